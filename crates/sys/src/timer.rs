//! A timer of the kernel's: a descriptor that becomes readable at the moment that was set.

#[cfg(target_os = "linux")]
#[path = "timer/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "timer/other.rs"]
mod system;

pub use system::{new, set, take};

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn it_is_readable_at_the_moment_that_was_set_last_until_that_is_taken_note_of() {
        let timer = new().unwrap();
        set(&timer, Duration::from_hours(1));
        let early = take(&timer).unwrap_err();
        assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
        set(&timer, Duration::ZERO);
        let mut fds = [PollFd::new(&timer, PollFlags::IN)];
        assert_eq!(poll(&mut fds, None), Ok(1));
        take(&timer).unwrap();
        let again = take(&timer).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::WouldBlock);
    }
}
