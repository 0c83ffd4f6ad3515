//! Elsewhere: an event queue that hears of signals, also of those that are blocked.

use std::io;
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
    /// Blocks `signals` in the calling thread and collects them from then on.
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

fn wish(signal: Signal) -> Event {
    let filter = EventFilter::Signal { signal, times: 0 };
    Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, ptr::null_mut())
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
