//! Elsewhere: an event queue that hears of signals, also of those that are blocked.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::mask::{self, Change};

/// A descriptor that becomes readable when one of its signals arrives.
#[derive(Debug)]
pub struct Signals {
    queue: OwnedFd,
}

impl Signals {
    /// Blocks `signals` in the calling thread and collects them from then on, first those that were blocked when they
    /// came, perhaps for another program that this process was.
    ///
    /// One that whoever started us has us pass over is heard as well.
    ///
    /// Call it before any other thread is started: a thread in which they are not
    /// blocked would get them instead.
    pub fn watch(signals: &[Signal]) -> io::Result<Signals> {
        mask::change(Change::Block, &mask::set_of(signals))?;
        let queue = kqueue()?;
        let wishes: Vec<Event> = signals.iter().map(|signal| wish(*signal)).collect();
        let mut none: Vec<Event> = Vec::new();
        // SAFETY: no descriptor is named in the wishes that somebody could close.
        unsafe { kevent(&queue, &wishes, &mut none, Some(Duration::ZERO)) }?;
        for signal in pending(signals)? {
            // The queue hears only of what comes from now on.
            rustix::process::kill_process(rustix::process::getpid(), signal)?;
        }
        Ok(Signals { queue })
    }

    /// Takes all that arrived; empty if nothing did. Never waits.
    ///
    /// Equal signals that were pending at once are one.
    pub fn drain(&self) -> io::Result<Vec<Signal>> {
        let mut arrived = Vec::new();
        loop {
            let mut events: Vec<Event> = Vec::with_capacity(8);
            let room = rustix::buffer::spare_capacity(&mut events);
            // SAFETY: nothing is wished for, so no descriptor is named.
            match unsafe { kevent(&self.queue, &[], room, Some(Duration::ZERO)) } {
                Ok(_) if events.is_empty() => return Ok(arrived),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                if let EventFilter::Signal { signal, times: _ } = event.filter() {
                    arrived.push(signal);
                }
            }
        }
    }
}

/// Those of them that have come and are blocked.
fn pending(signals: &[Signal]) -> io::Result<Vec<Signal>> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for the call, which only writes there.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful sigpending filled it in.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is valid; a `Signal` is a valid number.
    let is_in =
        |signal: &Signal| unsafe { libc::sigismember(&raw const set, signal.as_raw()) == 1 };
    Ok(signals.iter().copied().filter(is_in).collect())
}

fn wish(signal: Signal) -> Event {
    let filter = EventFilter::Signal { signal, times: 0 };
    Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, ptr::null_mut())
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
