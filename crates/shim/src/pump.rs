//! stdin ↔ socket ↔ stdout, also from one daemon to the next.
//!
//! Two threads with blocking reads and writes: on the way of a message that costs
//! the fewest system calls. The main thread carries what the daemon sends to the
//! client, a second one carries what the client says to the daemon and keeps it
//! until it is done. If the daemon goes away, the main thread finds the next one and
//! tells it what is not done; meanwhile the second one only keeps.
//!
//! **Invariants:** a line is kept before the daemon can have heard of it; nothing
//! but whole messages goes to the client, and the one line that had been begun when
//! a daemon went away is ended; at most [`KEPT_MAX`] and one line more is kept, then
//! the client has to wait. While a link is up, or being made so, only the main thread
//! writes to the client; else only whoever holds the lock.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{Shutdown, shutdown},
};
use sys::quit;

use self::{
    downward::Downward,
    outage::{LEFT_AT_ONCE, NOT_READY},
    waiting::{Service, Waiting},
};
use crate::{control::Control, last_resort::Trouble};

mod downward;
mod outage;
mod waiting;

pub(crate) use self::outage::Seeker;

/// More bytes than these of lines that are not done, and we read no more of them.
const KEPT_MAX: usize = 64 * 1024 * 1024;

/// Room for one read: about what a unix socket holds. Pages of it that no read has
/// reached cost nothing.
const READ_SIZE: usize = 256 * 1024;

/// A read of more than this leaves pages behind that the next message may not need.
const LARGE_READ: usize = 32 * 1024;

/// Enough for the few frames of the second thread.
const STACK_SIZE: usize = 64 * 1024;

/// How a session begins.
pub(crate) enum Beginning {
    /// At a daemon that has accepted it.
    Met(OwnedFd),
    /// With a search for one, as none could be had until now.
    Unmet {
        /// From then on nobody is left waiting.
        hopeless_at: Instant,
        /// Why there is none.
        cause: String,
        /// None was there at all: whoever may run the server itself need not wait for another.
        nobody_there: bool,
    },
}

/// Why the pump came to its end. A daemon that goes away is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed our stdin, and all that was still to come has come.
    Finished,
    /// The client reads no more.
    ClientGone,
    /// A signal asked for it, and what had been received has been delivered.
    Asked,
    /// The client ended, or a signal asked for it, before anybody had served the session.
    Unserved,
}

/// Carries messages both ways until the client ends.
///
/// It is the main thread that calls this, the one that gets the signals of
/// [`sys::quit`]. The other thread is left behind when this returns: it may hang in a
/// read of `input` for as long as the process lives. Errors if it cannot be started.
pub(crate) fn run(
    beginning: Beginning,
    seeker: Seeker,
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
) -> io::Result<End> {
    let (link, waiting) = match beginning {
        Beginning::Met(socket) => {
            let link = Arc::new(socket);
            (Some(Arc::clone(&link)), Waiting::on_link(link))
        }
        Beginning::Unmet {
            hopeless_at,
            cause,
            nobody_there,
        } => (None, Waiting::unmet(hopeless_at, cause, nobody_there)),
    };
    let pump = Arc::new(Pump {
        input,
        output,
        waiting: Mutex::new(waiting),
        room: Condvar::new(),
        change: Condvar::new(),
    });
    let upward = Arc::clone(&pump);
    // Allocated here: an allocation on the second thread would cost it an arena.
    let mut buffer = Vec::with_capacity(READ_SIZE);
    // Most clients have said something already: it need not wait for a thread to start.
    if is_readable(input) {
        // An end shows again to the thread that is there for it.
        pump.carry_once(&mut buffer);
    }
    let second = thread::Builder::new().stack_size(STACK_SIZE);
    let carry_up = move || upward.carry_up(buffer);
    quit::blocked(|| second.spawn(carry_up))??;
    Ok(pump.carry_down(link, seeker))
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    Something,
    /// There is no more.
    Nothing,
}

struct Pump {
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
    waiting: Mutex<Waiting>,
    /// Told when there is room again for somebody who waits for it.
    room: Condvar,
    /// Told when the second thread has left a write to a link that is gone, and when the
    /// main thread is done with resuming.
    change: Condvar,
}

impl Pump {
    /// The daemons' messages, until the client needs no more of them.
    fn carry_down(&self, link: Option<Arc<OwnedFd>>, mut seeker: Seeker) -> End {
        let is_first_too_old = link.is_some() && seeker.is_first_too_old();
        let mut downward = Downward::new(self, is_first_too_old);
        let mut link = match link {
            Some(link) => link,
            None => match seeker.seek(self, &mut downward) {
                Ok(first) => first,
                Err(End::Finished | End::ClientGone | End::Asked | End::Unserved) => {
                    return End::Unserved;
                }
            },
        };
        // From now on its end is none of a session that nobody has served.
        quit::exit_with(0);
        loop {
            match self.to_the_next(&link, &mut downward, &mut seeker) {
                Ok(next) => link = next,
                Err(end) => return end,
            }
        }
    }

    /// Carries everything until the daemon is gone, and until there is another.
    fn to_the_next(
        &self,
        link: &OwnedFd,
        downward: &mut Downward<'_>,
        seeker: &mut Seeker,
    ) -> Result<Arc<OwnedFd>, End> {
        downward.carry(link)?;
        downward.close_line()?;
        self.lose(link, seeker)?;
        seeker.seek(self, downward)
    }

    /// Takes leave of a link at the other end of which nobody is any more.
    fn lose(&self, link: &OwnedFd, seeker: &mut Seeker) -> Result<(), End> {
        // Whoever hangs in a write to it must come out.
        let _ = shutdown(link, Shutdown::Both);
        let mut waiting = self.waiting();
        waiting.leave_link();
        while waiting.is_writing() {
            waiting = self
                .change
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.break_off();
        if waiting.has_input_ended {
            // Who says nothing more is not worth a new daemon, but gets to know.
            let _gone = waiting.answer_all(&Trouble::Ended, self.output);
            return Err(End::Finished);
        }
        let service = waiting.service();
        let cause = match service {
            Service::NotNeeded | Service::Done => NOT_READY,
            Service::Lacking => LEFT_AT_ONCE,
        };
        let hopeless_at = seeker.begin_outage(service);
        // Where daemons come one after the other, and none stays for long enough to answer, nobody
        // waits for the last resort: it is for when none comes.
        let has_last_resort = hopeless_at > Instant::now() && seeker.has_last_resort();
        waiting.begin_outage(hopeless_at, has_last_resort, cause);
        waiting
            .answer_if_hopeless(self.output)
            .map_err(|_| End::ClientGone)?;
        self.tell_room(&mut waiting);
        Ok(())
    }

    /// The client's messages, until there are no more.
    fn carry_up(&self, mut buffer: Vec<u8>) {
        while self.carry_once(&mut buffer) == Carried::Something {}
        let mut waiting = self.waiting();
        waiting.has_input_ended = true;
        while waiting.is_resuming() {
            waiting = self
                .change
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.is_outage() {
            // The main thread may be deep in a search; what it finds would be for nobody.
            let trouble = waiting.trouble_at_the_end();
            let _gone = waiting.answer_all(&trouble, self.output);
            quit::ask();
            return;
        }
        // If there is none, the other thread will see that the input has ended.
        let Some(passage) = waiting.passage(&[]) else {
            return;
        };
        drop(waiting);
        // If the link is broken, the other thread hears of it.
        let written = write_all(passage.link.as_fd(), &passage.open);
        self.leave_write(&passage.link, &[], written);
        let _ = shutdown(&passage.link, Shutdown::Write);
        // What is still to come is for a client that may not wait for it: without a
        // reader the output reports an error, which needs no asking for.
        wait_for(self.output, PollFlags::empty());
        let _ = shutdown(&passage.link, Shutdown::Both);
    }

    /// What one read of the client's messages brings.
    fn carry_once(&self, buffer: &mut Vec<u8>) -> Carried {
        loop {
            match rustix::io::read(self.input, spare_capacity(buffer)) {
                Ok(0) => return Carried::Nothing,
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(self.input, PollFlags::IN),
                // A terminal that was hung up, say: it will not get better.
                Err(_) => return Carried::Nothing,
            }
        }
        let mut waiting = self.waiting();
        let passage = waiting.passage(buffer);
        waiting.kept.take_in(buffer);
        if passage.is_none() {
            // If the client is gone, the main thread sees it.
            let _gone = waiting.answer_if_hopeless(self.output);
            self.change.notify_all();
        }
        let is_full = waiting.is_too_much();
        drop(waiting);
        if let Some(passage) = passage {
            let link = passage.link.as_fd();
            let written = write_all(link, &passage.open)
                // Then nothing of the chunk can go.
                .map_err(|_| Unwritten(buffer.len()))
                .and_then(|()| write_all(link, &buffer[passage.skip..]));
            self.leave_write(&passage.link, buffer, written);
        }
        if is_full {
            self.wait_for_room();
        }
        reuse(buffer, self.input);
        Carried::Something
    }

    /// Notes how much of a chunk has gone to the daemon.
    fn leave_write(&self, link: &OwnedFd, chunk: &[u8], written: Result<(), Unwritten>) {
        let left = match written {
            Ok(()) => 0,
            Err(Unwritten(left)) => {
                // The main thread reads what there still is, and then the end.
                let _ = shutdown(link, Shutdown::Both);
                left.min(chunk.len())
            }
        };
        let mut waiting = self.waiting();
        if waiting.leave_write(&chunk[chunk.len() - left..]) {
            self.change.notify_all();
        }
    }

    fn note(&self, control: Control) {
        let mut waiting = self.waiting();
        waiting.kept.note(control);
        self.tell_room(&mut waiting);
    }

    /// Waits, without a daemon, until the client says something.
    ///
    /// A signal ends the process also from here, by its timer.
    fn wait_until_needed(&self) {
        let mut waiting = self.waiting();
        while waiting.kept.first_open().is_none() {
            waiting = self
                .change
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell_room(&self, waiting: &mut Waiting) {
        if waiting.is_full && !waiting.is_too_much() {
            waiting.is_full = false;
            self.room.notify_one();
        }
    }

    fn wait_for_room(&self) {
        let mut waiting = self.waiting();
        waiting.is_full = waiting.is_too_much();
        while waiting.is_full {
            waiting = self
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empties the buffer for the next read, and gives the pages of a large one back as
/// soon as `source` has nothing more.
fn reuse(buffer: &mut Vec<u8>, source: BorrowedFd<'_>) {
    if buffer.len() > LARGE_READ && rustix::io::ioctl_fionread(source) == Ok(0) {
        *buffer = Vec::with_capacity(READ_SIZE);
    }
    buffer.clear();
}

/// So many bytes were not taken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unwritten(usize);

/// Writes everything, whether or not somebody made the descriptor non-blocking.
fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Unwritten> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(0) => return Err(Unwritten(bytes.len())),
            Ok(written) => bytes = &bytes[written..],
            // If a signal asked us to end, a timer ends this, too.
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(output, PollFlags::OUT),
            Err(_) => return Err(Unwritten(bytes.len())),
        }
    }
    Ok(())
}

/// Whether a read would not wait, for whatever reason.
fn is_readable(input: BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(input, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut descriptors, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Waits until the descriptor is ready for it, or broken.
fn wait_for(descriptor: BorrowedFd<'_>, flags: PollFlags) {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, flags)];
    while poll(&mut descriptors, None) == Err(Errno::INTR) {}
}
