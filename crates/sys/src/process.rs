//! A hold on one process: whoever gets its number later is not meant.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::Hold;
#[cfg(not(target_os = "linux"))]
pub use other::Hold;

impl Hold {
    /// Whether the process has ended.
    pub fn has_ended(&self) -> io::Result<bool> {
        let mut ended = [PollFd::new(self, PollFlags::IN)];
        Ok(poll(&mut ended, Some(&Timespec::default()))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::Pid;

    use super::*;

    #[test]
    fn who_is_held_has_ended_once_it_has() {
        let mut child = Command::new("cat");
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        let hold = Hold::of(Pid::from_child(&child)).unwrap();
        assert!(!hold.has_ended().unwrap());
        child.stdin = None;
        child.wait().unwrap();
        assert!(hold.has_ended().unwrap());
    }
}
