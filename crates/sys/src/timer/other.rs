//! Elsewhere: an event queue that hears of a moment.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use rustix::io::FdFlags;

/// One queue has one moment.
const MOMENT: isize = 1;

/// One that is not set.
pub fn new() -> io::Result<OwnedFd> {
    let queue = kqueue()?;
    rustix::io::fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
    Ok(queue)
}

/// Sets it, or sets it anew. A wait of nothing is the shortest there is.
pub fn set(timer: impl AsFd, wait: Duration) {
    let filter = EventFilter::Timer {
        ident: MOMENT,
        timer: Some(wait.max(Duration::from_nanos(1))),
    };
    let wish = Event::new(
        filter,
        EventFlags::ADD | EventFlags::ONESHOT,
        ptr::null_mut(),
    );
    let mut none: Vec<Event> = Vec::new();
    // It fails for what is no queue and for what is no time: for nothing that comes here.
    // SAFETY: the wish names a moment, and no descriptor that somebody could close.
    let _infallible = unsafe { kevent(timer, &[wish], &mut none, Some(Duration::ZERO)) };
}

/// Takes note that the moment has come; `WouldBlock` if it has not.
pub fn take(timer: impl AsFd) -> io::Result<()> {
    let mut events: Vec<Event> = Vec::with_capacity(1);
    let room = rustix::buffer::spare_capacity(&mut events);
    // SAFETY: nothing is wished for, so no descriptor is named.
    unsafe { kevent(timer, &[], room, Some(Duration::ZERO)) }?;
    if events.is_empty() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}
