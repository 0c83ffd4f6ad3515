//! What wakes the hub, or the door, though nothing happens.
//!
//! A timer of the kernel's rather than the runtime's: a runtime that has a timer arms it anew at every
//! wait and looks at the clock after it, twice for each call that passes.

use std::{io, time::Duration};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe;

const NEVER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// One moment to be woken at.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The runtime's type for what is only read, whatever it is.
    timer: pipe::Receiver,
}

impl Alarm {
    /// One that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = pipe::Receiver::from_owned_fd_unchecked(timer)?;
        Ok(Alarm { timer })
    }

    /// Sets it, or sets it anew. A wait of nothing is the shortest there is.
    pub(crate) fn set(&self, wait: Duration) {
        let wait = wait.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: NEVER,
            it_value: Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            },
        };
        // It fails for what is no timer and for what is no time: for nothing that comes here.
        let _infallible = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }

    /// Returns when the moment has come.
    pub(crate) async fn rung(&self) -> io::Result<()> {
        let mut count = [0; 8];
        loop {
            self.timer.readable().await?;
            match self.timer.try_read(&mut count) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_once_at_the_moment_that_was_set_last() {
        let alarm = Alarm::new().unwrap();
        alarm.set(Duration::from_hours(1));
        alarm.set(Duration::ZERO);
        alarm.rung().await.unwrap();
        let mut count = [0; 8];
        let again = alarm.timer.try_read(&mut count).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::WouldBlock);
    }
}
