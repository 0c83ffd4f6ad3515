//! stdin ↔ socket ↔ stdout.
//!
//! Two threads with blocking reads and writes: on the way of a message that costs
//! the fewest system calls. The main thread carries what the daemon sends to the
//! client, a second one carries what the client says to the daemon and keeps it
//! until it is done.
//!
//! **Invariants:** a line is kept before the daemon can have heard of it; nothing
//! but message bytes goes to the client; at most [`KEPT_MAX`] and one line more is
//! kept, then the client has to wait.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
};
use sys::quit;

use crate::{control::Control, kept::Kept, strip::Stripper};

/// More bytes than these of lines that are not done, and we read no more of them.
pub const KEPT_MAX: usize = 64 * 1024 * 1024;

/// Room for one read: about what a unix socket holds. Pages of it that no read has
/// reached cost nothing.
const READ_SIZE: usize = 256 * 1024;

/// A read of more than this leaves pages behind that the next message may not need.
const LARGE_READ: usize = 32 * 1024;

/// Enough for the few frames of the second thread.
const STACK_SIZE: usize = 64 * 1024;

/// Why the pump came to its end.
#[derive(Debug)]
pub enum End {
    /// The client closed our stdin, and all that was still to come has come.
    Finished,
    /// The client reads no more.
    ClientGone,
    /// A signal asked for it, and what had been received has been delivered.
    Asked,
    /// The daemon closed or broke the connection while the client was still there.
    DaemonGone(Option<io::Error>),
}

/// Carries messages both ways until one side ends.
///
/// It is the main thread that calls this, the one that gets the signals of
/// [`sys::quit`]. The other thread is left behind when this returns: it may hang in a
/// read of `input` for as long as the process lives. Errors if it cannot be started.
pub fn run(
    socket: OwnedFd,
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
) -> io::Result<End> {
    let pump = Arc::new(Pump {
        socket,
        waiting: Mutex::default(),
        room: Condvar::new(),
        has_input_ended: AtomicBool::new(false),
    });
    let upward = Arc::clone(&pump);
    // Allocated here: an allocation on the second thread would cost it an arena.
    let mut buffer = Vec::with_capacity(READ_SIZE);
    // Most clients have said something already: it need not wait for a thread to start.
    if is_readable(input) {
        // An end, or a daemon that is gone, shows again to the thread that is there for it.
        pump.carry_once(input, &mut buffer);
    }
    let second = thread::Builder::new().stack_size(STACK_SIZE);
    let carry_up = move || upward.carry_up(input, output, buffer);
    quit::blocked(|| second.spawn(carry_up))??;
    Ok(pump.carry_down(output))
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    Something,
    /// There is no more.
    Nothing,
    /// The daemon reads no more.
    ToNobody,
}

struct Pump {
    socket: OwnedFd,
    waiting: Mutex<Waiting>,
    /// Told when there is room again for somebody who waits for it.
    room: Condvar,
    has_input_ended: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    kept: Kept,
    is_full: bool,
}

impl Pump {
    /// The daemon's messages, until there are no more.
    fn carry_down(&self, output: BorrowedFd<'_>) -> End {
        let mut buffer = Vec::with_capacity(READ_SIZE);
        let mut stripper = Stripper::default();
        loop {
            let is_asked = quit::asked();
            let flags = if is_asked {
                RecvFlags::DONTWAIT
            } else {
                RecvFlags::empty()
            };
            match recv(&self.socket, spare_capacity(&mut buffer), flags) {
                Ok((0, _)) if self.has_input_ended.load(Ordering::Acquire) => return End::Finished,
                Ok((0, _)) => return End::DaemonGone(None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if is_asked => return End::Asked,
                Err(errno) => return End::DaemonGone(Some(errno.into())),
            }
            let len = stripper.strip(&mut buffer, |control| self.note(control));
            if write_all(output, &buffer[..len]).is_err() {
                return End::ClientGone;
            }
            reuse(&mut buffer, self.socket.as_fd());
        }
    }

    /// The client's messages, until there are no more.
    fn carry_up(&self, input: BorrowedFd<'_>, output: BorrowedFd<'_>, mut buffer: Vec<u8>) {
        loop {
            match self.carry_once(input, &mut buffer) {
                Carried::Something => {}
                Carried::Nothing => break,
                // The other thread hears it too, after what is still to be read.
                Carried::ToNobody => return,
            }
        }
        self.has_input_ended.store(true, Ordering::Release);
        // If the socket is broken, the other thread hears of it.
        let _ = shutdown(&self.socket, Shutdown::Write);
        // What is still to come is for a client that may not wait for it: without a
        // reader the output reports an error, which needs no asking for.
        wait_for(output, PollFlags::empty());
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// What one read of the client's messages brings.
    fn carry_once(&self, input: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Carried {
        loop {
            match rustix::io::read(input, spare_capacity(buffer)) {
                Ok(0) => return Carried::Nothing,
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(input, PollFlags::IN),
                // A terminal that was hung up, say: it will not get better.
                Err(_) => return Carried::Nothing,
            }
        }
        let is_full = self.keep(buffer);
        if write_all(self.socket.as_fd(), buffer).is_err() {
            return Carried::ToNobody;
        }
        if is_full {
            self.wait_for_room();
        }
        reuse(buffer, input);
        Carried::Something
    }

    /// Keeps what the client said; returns whether that is all that we can keep.
    fn keep(&self, chunk: &[u8]) -> bool {
        let mut waiting = self.waiting();
        waiting.kept.take_in(chunk);
        waiting.kept.waiting_bytes() > KEPT_MAX
    }

    fn note(&self, control: Control) {
        let mut waiting = self.waiting();
        waiting.kept.note(control);
        if waiting.is_full && waiting.kept.waiting_bytes() <= KEPT_MAX {
            waiting.is_full = false;
            self.room.notify_one();
        }
    }

    fn wait_for_room(&self) {
        let mut waiting = self.waiting();
        waiting.is_full = waiting.kept.waiting_bytes() > KEPT_MAX;
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

/// Writes everything, whether or not somebody made the descriptor non-blocking.
fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = &bytes[written..],
            // If a signal asked us to end, a timer ends this, too.
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(output, PollFlags::OUT),
            Err(errno) => return Err(errno),
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
