//! `mcpool hook`: one event of an agent, told to whoever is to hear of it.
//!
//! An agent runs a hook for every call of a tool and waits for it, so this is a process of a millisecond:
//! blocking code that reads one JSON text, asks one question, writes one answer and ends.
//!
//! **Invariants:** it ends by its deadline, whoever else hangs; what goes wrong never looks like an answer,
//! and stops the agent only if the command line says so.

pub mod arguments;
mod input;
mod post;
mod relay;
pub(crate) mod talk;
pub(crate) mod target;
pub mod tool;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    pipe::PIPE_BUF,
};
use sys::memory;

use self::{
    arguments::{Hook, OnFailure, Parsed, Target, UsageError},
    input::InputError,
    talk::Telling,
    target::Url,
};
use crate::{
    meet::{NotMet, is_silence},
    places::PlacesError,
    workspace::BadFolder,
};

/// For agents: nothing came of it, and they go on. 1 is what they do not take for an answer.
const FAILED: u8 = 1;
/// For agents: they do not go on, and read why on standard error.
const BLOCKED: u8 = 2;

/// Most bytes that whoever says that there is room takes at once, be it a pipe or a socket; the system says how many
/// that are of a pipe.
const AT_ONCE_MAX: usize = PIPE_BUF;

/// Most bytes of an event, and of an answer.
const BYTES_MAX: u64 = 64 << 20;

/// Until when all of it has to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    whole: Duration,
}

impl Deadline {
    pub(crate) fn begin(whole: Duration) -> Self {
        Deadline {
            at: Instant::now() + whole,
            whole,
        }
    }

    /// What is left of the time, if there is any.
    fn left(self) -> Result<Duration, Failure> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(Failure::TimedOut(self.whole))
        } else {
            Ok(left)
        }
    }

    /// What an error means when the time for it was what was left.
    fn of_error(self, doing: &'static str, error: io::Error) -> Failure {
        if is_silence(&error) {
            Failure::TimedOut(self.whole)
        } else {
            Failure::Io(doing, error)
        }
    }
}

/// Has something done that may take as long as it likes, as the system has no bound for it: by somebody else, who
/// is left behind at the deadline.
fn within<T: Send + 'static>(
    deadline: Deadline,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, doing) = mpsc::channel();
    let act = move || {
        // Nobody waits any more.
        let _late = done.send(act());
    };
    let begun = thread::Builder::new().spawn(act);
    begun.map_err(|error| Failure::Io("starting a thread", error))?;
    let late = Failure::TimedOut(deadline.whole);
    doing.recv_timeout(deadline.left()?).map_err(|_| late)
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Failure {
    Usage(UsageError),
    Input(InputError),
    Places(PlacesError),
    Workspace(BadFolder),
    NotMet(NotMet),
    /// There was no answer within this time.
    TimedOut(Duration),
    /// There was one, and nobody took it within this time.
    Unread(Duration),
    /// What we did, and what the system said.
    Io(&'static str, io::Error),
    /// Whoever was to hear of it said no, or nothing that makes sense: in words for people.
    Said(String),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Failure::Usage(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => write!(f, "{error}\nTry `mcpool hook --help`."),
            Failure::Input(error) => error.fmt(f),
            Failure::Places(error) => error.fmt(f),
            Failure::Workspace(error) => error.fmt(f),
            Failure::NotMet(error) => error.fmt(f),
            Failure::TimedOut(after) => {
                write!(f, "no answer within {} s", after.as_secs_f64())
            }
            Failure::Unread(after) => {
                write!(
                    f,
                    "nobody has read the answer within {} s",
                    after.as_secs_f64()
                )
            }
            Failure::Io(doing, error) => write!(f, "{doing}: {error}"),
            Failure::Said(words) => f.write_str(words),
        }
    }
}

/// Runs the verb with the arguments that follow it, as the only thing that this process does.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    memory::economise();
    let words: Vec<OsString> = arguments.collect();
    let on_failure = arguments::on_failure(&words);
    let done = match arguments::parse(words.into_iter()) {
        Ok(Parsed::Help) => {
            // Whoever has closed stdout does not want to read it.
            let _gone = io::stdout().write_all(arguments::HELP.as_bytes());
            Ok(())
        }
        Ok(Parsed::Hook(hook)) => relay(&hook, on_failure),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody to tell that stderr is closed.
            let _gone = writeln!(io::stderr(), "mcpool hook: {failure}");
            ExitCode::from(match on_failure {
                OnFailure::Continue => FAILED,
                OnFailure::Block => BLOCKED,
            })
        }
    }
}

/// Tells the event, and says on standard output what is for the agent.
fn relay(hook: &Hook, on_failure: OnFailure) -> Result<(), Failure> {
    let deadline = Deadline::begin(hook.timeout);
    let event = input::read(deadline, on_failure)?;
    let said = match &hook.target {
        Target::Tool(call) => relay::call(hook, call, &event, deadline)?,
        Target::Http(url) => post::post(url, hook, &event, deadline)?,
        Target::WebSocket(url) => tell_daemon(url, hook, &event, deadline)?,
    };
    said.map_or(Ok(()), |said| say(said, deadline))
}

/// The event for somebody whose failure blocks nobody.
pub(crate) fn read_event(deadline: Deadline) -> Result<String, Failure> {
    input::read(deadline, OnFailure::Continue)
}

/// Tells a daemon that takes hooks over WebSockets.
fn tell_daemon(
    url: &Url,
    hook: &Hook,
    event: &str,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    let token = post::bearer(hook)?;
    let headers = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
    let telling = Telling {
        name: &hook.event,
        event,
        wants: hook.wants,
        headers: headers.as_slice(),
    };
    talk::tell(url.connect(deadline)?, url, &telling, deadline)
}

/// Says it to the agent, who may not read: an answer that has not arrived is none.
pub(crate) fn say(mut said: String, deadline: Deadline) -> Result<(), Failure> {
    if !said.ends_with('\n') {
        said.push('\n');
    }
    let writing = |error| Failure::Io("writing the answer", error);
    if said.len() <= AT_ONCE_MAX && is_room(deadline)? {
        let mut agent = io::stdout();
        let written = agent.write_all(said.as_bytes());
        return written.and_then(|()| agent.flush()).map_err(writing);
    }
    let write = move || {
        let mut agent = io::stdout();
        agent
            .write_all(said.as_bytes())
            .and_then(|()| agent.flush())
    };
    let written = within(deadline, write).map_err(|failure| {
        if let Failure::TimedOut(after) = failure {
            Failure::Unread(after)
        } else {
            failure
        }
    })?;
    written.map_err(writing)
}

/// Whether there is known to be room for a short answer, which is waited for until the deadline: then a write does
/// not wait, so that nobody else has to do it. Of files and terminals that is not known.
fn is_room(deadline: Deadline) -> Result<bool, Failure> {
    let stdout = io::stdout();
    let kind = fstat(&stdout).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if !matches!(kind, Ok(FileType::Fifo | FileType::Socket)) {
        return Ok(false);
    }
    let late = Failure::Unread(deadline.whole);
    let left = deadline.left().ok().map(Timespec::try_from);
    let Some(Ok(left)) = left else {
        return Err(late);
    };
    let mut agent = [PollFd::new(&stdout, PollFlags::OUT)];
    match poll(&mut agent, Some(&left)) {
        Ok(0) => Err(late),
        Ok(_) => Ok(agent[0].revents() == PollFlags::OUT),
        // Whatever it is, the write itself tells.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_left_behind_at_the_deadline() {
        let deadline = |time| Deadline::begin(Duration::from_millis(time));
        let (never, waiting) = mpsc::channel::<()>();
        let stuck = within(deadline(10), move || waiting.recv());
        assert!(matches!(stuck, Err(Failure::TimedOut(_))), "{stuck:?}");
        assert!(never.send(()).is_ok(), "it is at it still");
        assert_eq!(within(deadline(60_000), || 5).unwrap(), 5);
    }
}
