//! On Linux: a descriptor for exactly that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

const NEVER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// One that is not set.
pub fn new() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Sets it, or sets it anew. A wait of nothing is the shortest there is.
pub fn set(timer: impl AsFd, wait: Duration) {
    let wait = wait.max(Duration::from_nanos(1));
    let once = Itimerspec {
        it_interval: NEVER,
        it_value: Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        },
    };
    // It fails for what is no timer and for what is no time: for nothing that comes here.
    let _infallible = timerfd_settime(timer, TimerfdTimerFlags::empty(), &once);
}

/// Takes note that the moment has come; `WouldBlock` if it has not.
pub fn take(timer: impl AsFd) -> io::Result<()> {
    let mut count = [0; 8];
    rustix::io::read(timer, &mut count)?;
    Ok(())
}
