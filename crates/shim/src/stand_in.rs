//! What stands in for the daemon when none can be had: this session's server, run by us.
//!
//! To the pump it is a daemon like any other, at the other end of a socket: it is told what is not
//! done, and tells what has become of it. So the session goes on with a server that has forgotten
//! what it knew; when that ends, a daemon is looked for again.
//!
//! Two threads: one carries the client's lines to the server, and ends it when there are no more; the
//! other carries what the server says.
//!
//! **Invariants:** what an earlier server may have done is not done again; an answer that nobody waits
//! for goes to nobody; every request has its answer before the link is closed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::FdFlags,
    process::{Pid, Signal, kill_process_group},
};
use sys::{quit, wait};
use wire::{Frame, Message, Method, RequestId};

use crate::{
    control::{Control, Past, Resumed, resumed},
    direct,
    kept::LINE_MAX,
    last_resort::{Trouble, Verdict, judge, refuse},
};

/// How long a server may take to end by itself, and then when it is asked to.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3)];

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// More than the few frames of a thread, and what reading a message takes.
const STACK_SIZE: usize = 512 * 1024;

/// Most messages in one line of the server.
const BATCH_MAX: usize = 1000;

const GREETED: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";

/// Starts the server with this command; hands out the pump's end of the link to it.
///
/// The server has the lock as well, and it is held until both it and what stands in for the daemon
/// have ended. To be called on the main thread: when that ends, so does the server.
pub(crate) fn start(mut command: Command, lock: Option<File>) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    sys::child::tie_to_us(&mut command);
    let mut child = command.spawn()?;
    if let Some(lock) = &lock {
        // Should we end before it does, it still counts. If that cannot be written, only we do.
        let _full_disk = direct::add(lock, child.id());
        // No daemon that we start later is to hold it.
        rustix::io::fcntl_setfd(lock, FdFlags::CLOEXEC)?;
    }
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("a child without pipes"));
    };
    let stand_in = Arc::new(StandIn {
        link: Mutex::new(theirs.try_clone()?),
        books: Mutex::default(),
        change: Condvar::new(),
    });
    let downward = Arc::clone(&stand_in);
    quit::blocked(|| -> io::Result<()> {
        spawn(move || downward.carry_down(output))?;
        spawn(move || {
            // Whatever is wrong with what it is told, the pump finds the link closed.
            let _ = stand_in.carry_up(theirs, input);
            end(child);
            drop(lock);
        })
    })??;
    Ok(ours.into())
}

/// The same for a session that has said nothing yet: it need not tell what is not done.
pub(crate) fn start_afresh(command: Command, lock: Option<File>) -> io::Result<OwnedFd> {
    let link = UnixStream::from(start(command, lock)?);
    (&link).write_all(Resumed::Next(1).to_string().as_bytes())?;
    Ok(link.into())
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .stack_size(STACK_SIZE)
        .spawn(run)
        .map(drop)
}

/// Ends a server whose input has ended, with all that is of its process group.
fn end(mut child: Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        for (patience, signal) in PATIENCE.into_iter().zip([Signal::TERM, Signal::KILL]) {
            let deadline = Instant::now() + patience;
            // Looked at only: for as long as it is not waited for, the number is its own.
            while matches!(wait::ended(group), Ok(None)) && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
            let _gone = kill_process_group(group, signal);
        }
    }
    let _ended = child.wait();
}

struct StandIn {
    link: Mutex<UnixStream>,
    books: Mutex<Books>,
    /// Told when an answer has come, or the server has ended.
    change: Condvar,
}

#[derive(Default)]
struct Books {
    /// What the server owes.
    open: Vec<Open>,
    /// What the server has asked, and not been told.
    asked: Vec<RequestId>,
    has_ended: bool,
}

struct Open {
    id: RequestId,
    line: u64,
    then: Then,
    /// Whether it is more than a question.
    acts: bool,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The client gets it, and its line is done.
    Finish,
    /// The client gets it, and the next daemon must hear the line again.
    Keep,
    /// The client has had one.
    Swallow,
}

impl Open {
    /// What is told of the line with the answer; `None` if the client gets none.
    fn control(&self) -> Option<Control> {
        match self.then {
            Then::Finish => Some(Control::Done(self.line)),
            Then::Keep => Some(Control::Keep(self.line)),
            Then::Swallow => None,
        }
    }
}

impl StandIn {
    /// The client's lines, until there are no more, or nobody to take them.
    fn carry_up(&self, socket: UnixStream, input: ChildStdin) -> io::Result<()> {
        let mut lines = BufReader::new(socket);
        let mut upward = Upward {
            stand_in: self,
            input,
            is_greeted: false,
        };
        let mut next = loop {
            let Some(note) = line_of(&mut lines)? else {
                return Ok(());
            };
            match resumed(&note) {
                Some(Resumed::Next(number)) => break number,
                Some(Resumed::Line { number, past }) => {
                    let Some(text) = line_of(&mut lines)? else {
                        return Ok(());
                    };
                    upward.take(number, past, text)?;
                }
                None => return Err(io::ErrorKind::InvalidData.into()),
            }
        };
        while let Some(text) = line_of(&mut lines)? {
            upward.take(next, Past::Fresh, text)?;
            next += 1;
        }
        Ok(())
    }

    /// Answers what goes to no server, if it wants an answer.
    fn judge(&self, number: u64, past: Past, line: Vec<u8>, trouble: &Trouble) -> io::Result<()> {
        let answer = match judge(line, past, trouble) {
            Verdict::Answer(answer) => answer,
            Verdict::Keep | Verdict::Forget => Vec::new(),
        };
        self.say(&answer, Control::Done(number))
    }

    fn expect(&self, open: Open) -> io::Result<()> {
        let mut books = self.books();
        if books.has_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        books.open.push(open);
        Ok(())
    }

    fn await_answer(&self, id: &RequestId) -> io::Result<()> {
        let mut books = self.books();
        while !books.has_ended && books.open.iter().any(|open| open.id == *id) {
            books = self
                .change
                .wait(books)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if books.has_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn take_asked(&self, id: &RequestId) -> bool {
        let mut books = self.books();
        let at = books.asked.iter().position(|asked| asked == id);
        at.map(|at| books.asked.swap_remove(at)).is_some()
    }

    /// What the server says, until it says nothing more; then the link is closed.
    fn carry_down(&self, output: ChildStdout) {
        let mut output = BufReader::new(output);
        // It has ended, or the client has; a line without an end means the same.
        while let Ok(Some(line)) = line_of(&mut output) {
            if self.pass_down(line).is_err() {
                break;
            }
        }
        let left = {
            let mut books = self.books();
            books.has_ended = true;
            mem::take(&mut books.open)
        };
        self.change.notify_all();
        for open in left {
            if let Some(control) = open.control() {
                let answer = refuse(&open.id, open.acts, &Trouble::ServerEnded);
                let _gone = self.say(&answer, control);
            }
        }
        let _closed = self.link().shutdown(Shutdown::Both);
    }

    fn pass_down(&self, line: Vec<u8>) -> io::Result<()> {
        let bytes = line.into();
        match Frame::parse_batch(&bytes, BATCH_MAX) {
            Some(messages) => {
                for frame in messages.into_iter().flatten() {
                    self.pass_message(&frame)?;
                }
                Ok(())
            }
            // What is no message goes to nobody.
            None => Frame::parse(bytes).map_or(Ok(()), |frame| self.pass_message(&frame)),
        }
    }

    fn pass_message(&self, frame: &Frame) -> io::Result<()> {
        let mut text = frame.unchanged().to_vec();
        text.push(b'\n');
        match &frame.message {
            Message::Request { id, .. } => {
                self.books().asked.push(id.clone());
                self.link().write_all(&text)
            }
            Message::Notification { .. } => self.link().write_all(&text),
            Message::Response { id, .. } => {
                let answered = id.as_ref().and_then(|id| self.answered(id));
                match answered.and_then(|open| open.control()) {
                    Some(control) => self.say(&text, control),
                    None => Ok(()),
                }
            }
        }
    }

    fn answered(&self, id: &RequestId) -> Option<Open> {
        let mut books = self.books();
        let at = books.open.iter().position(|open| open.id == *id)?;
        let open = books.open.swap_remove(at);
        drop(books);
        self.change.notify_all();
        Some(open)
    }

    /// A message, or none, and what has become of a line: in one go, so that nobody gets in between.
    fn say(&self, message: &[u8], control: Control) -> io::Result<()> {
        let mut text = message.to_vec();
        text.extend_from_slice(control.to_string().as_bytes());
        self.link().write_all(&text)
    }

    fn link(&self) -> MutexGuard<'_, UnixStream> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the server.
struct Upward<'a> {
    stand_in: &'a StandIn,
    input: ChildStdin,
    /// The server has been greeted in the client's name, as that had been greeted before.
    is_greeted: bool,
}

impl Upward<'_> {
    /// Passes a line on, if that may be.
    fn take(&mut self, number: u64, past: Past, text: Vec<u8>) -> io::Result<()> {
        let bytes = text.clone().into();
        if Frame::parse_batch(&bytes, BATCH_MAX).is_some() {
            let why = "a batch is not passed on without one".to_owned();
            let trouble = Trouble::Unreachable(why);
            return self.stand_in.judge(number, past, text, &trouble);
        }
        let Ok(frame) = Frame::parse(bytes) else {
            return self.stand_in.judge(number, past, text, &Trouble::Ended);
        };
        let is_wanted = match &frame.message {
            Message::Request { id, method, .. } => {
                return self.take_request((number, past), id, method, text);
            }
            Message::Notification { method, .. } => {
                !(self.is_greeted && *method == Method::Initialized)
            }
            Message::Response { id, .. } => {
                id.as_ref().is_some_and(|id| self.stand_in.take_asked(id))
            }
        };
        if is_wanted && past == Past::Fresh {
            self.input.write_all(&text)?;
        }
        self.stand_in.say(b"", Control::Done(number))
    }

    fn take_request(
        &mut self,
        (number, past): (u64, Past),
        id: &RequestId,
        method: &Method,
        text: Vec<u8>,
    ) -> io::Result<()> {
        let is_greeting = *method == Method::Initialize;
        let acts = !method.is_read_only();
        let then = match past {
            Past::Kept => Then::Swallow,
            Past::Fresh if is_greeting => Then::Keep,
            Past::Fresh => Then::Finish,
            Past::Sent if !acts => Then::Finish,
            Past::Sent | Past::Repeated => {
                return self.stand_in.judge(number, past, text, &Trouble::Ended);
            }
        };
        self.stand_in.expect(Open {
            id: id.clone(),
            line: number,
            then,
            acts,
        })?;
        self.input.write_all(&text)?;
        if is_greeting && then == Then::Swallow {
            self.stand_in.await_answer(id)?;
            self.input.write_all(GREETED)?;
            self.is_greeted = true;
        }
        Ok(())
    }
}

/// The next whole line; `None` if there is none, or none of a bearable length.
fn line_of(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(LINE_MAX as u64)
        .read_until(b'\n', &mut line)?;
    Ok(line.ends_with(b"\n").then_some(line))
}
