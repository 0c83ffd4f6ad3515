//! What wakes those who have something to do though nothing happens.
//!
//! A timer of the kernel's rather than the runtime's: a runtime that has a timer arms it anew at every
//! wait and looks at the clock after it, twice for each call that passes.

use std::{io, time::Duration};

use sys::timer;
use tokio::{net::unix::pipe, time};

/// One moment to be woken at.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The runtime's type for what is only read, whatever it is.
    timer: pipe::Receiver,
}

impl Alarm {
    /// One that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = pipe::Receiver::from_owned_fd_unchecked(timer::new()?)?;
        Ok(Alarm { timer })
    }

    /// Sets it, or sets it anew. A wait of nothing is the shortest there is.
    pub(crate) fn set(&self, wait: Duration) {
        timer::set(&self.timer, wait);
    }

    /// Returns when the moment has come.
    pub(crate) async fn rung(&self) -> io::Result<()> {
        loop {
            self.timer.readable().await?;
            match self.timer.try_io(|| timer::take(&self.timer)) {
                // Set anew meanwhile, it is not there yet.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                rung => return rung,
            }
        }
    }
}

/// What is done now and then for as long as the daemon runs.
#[derive(Debug)]
pub(crate) struct Ticks {
    /// `None` if the system had none.
    alarm: Option<Alarm>,
}

impl Ticks {
    pub(crate) fn new() -> Self {
        Ticks {
            alarm: Alarm::new().ok(),
        }
    }

    /// Returns after so long.
    pub(crate) async fn next(&self, wait: Duration) {
        if let Some(alarm) = &self.alarm {
            alarm.set(wait);
            if alarm.rung().await.is_ok() {
                return;
            }
        }
        time::sleep(wait).await;
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
        let again = timer::take(&alarm.timer).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn ticks_come_as_late_as_they_are_asked_for_also_without_a_timer_of_the_system() {
        let wait = Duration::from_millis(5);
        for ticks in [Ticks::new(), Ticks { alarm: None }] {
            let began = time::Instant::now();
            ticks.next(wait).await;
            ticks.next(wait).await;
            assert!(began.elapsed() >= 2 * wait);
        }
    }
}
