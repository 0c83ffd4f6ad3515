//! Who a process is, told from a later one of its number by when it began.
//!
//! **Invariant:** a process is said to be over only if that is certain: what cannot be looked at, or was
//! noted where numbers mean something else, may still live.

use std::{fmt, io};

#[cfg(target_os = "linux")]
#[path = "birth/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "birth/macos.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
#[path = "birth/other.rs"]
mod system;

/// One process, for as long as the system is up. As a text it has no blanks at its ends and no newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    pid: u32,
    /// When it began, as the system counts.
    begun: u64,
    /// Where its number and that time mean something: one word.
    world: String,
}

impl Birth {
    /// Of the process that has this number now; `None` if none has, or it has ended.
    pub fn of(pid: u32) -> io::Result<Option<Birth>> {
        let world = system::world()?;
        Ok(system::begun(pid)?.map(|begun| Birth { pid, begun, world }))
    }

    /// Reads one from its text.
    pub fn parse(text: &str) -> Option<Birth> {
        let mut words = text.split(' ');
        let birth = Birth {
            pid: words.next()?.parse().ok()?,
            begun: words.next()?.parse().ok()?,
            world: words.next().filter(|world| !world.is_empty())?.to_owned(),
        };
        words.next().is_none().then_some(birth)
    }

    /// Whether it has certainly ended.
    pub fn is_over(&self) -> bool {
        match system::world() {
            Ok(world) if world == self.world => {
                matches!(system::begun(self.pid), Ok(begun) if begun != Some(self.begun))
            }
            Ok(_) | Err(_) => false,
        }
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.begun, self.world)
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos")))]
mod tests {
    use std::process::{self, Command, Stdio};

    use super::*;

    #[test]
    fn a_process_lives_until_it_has_ended_also_as_a_text() {
        let mut child = Command::new("cat");
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        let birth = Birth::of(child.id()).unwrap().unwrap();
        assert_eq!(Birth::parse(&birth.to_string()), Some(birth.clone()));
        assert!(!birth.is_over());
        child.stdin = None;
        // Not reaped yet, or reaped: it serves nobody.
        while !birth.is_over() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(birth.is_over());
    }

    #[test]
    fn another_process_of_its_number_is_not_it() {
        let mut birth = Birth::of(process::id()).unwrap().unwrap();
        assert!(!birth.is_over());
        birth.begun += 1;
        assert!(birth.is_over());
    }

    #[test]
    fn what_was_noted_elsewhere_may_still_live() {
        let mut birth = Birth::of(process::id()).unwrap().unwrap();
        birth.begun += 1;
        birth.world.push('x');
        assert!(!birth.is_over());
    }

    #[test]
    fn what_is_no_birth_is_not_taken_for_one() {
        for text in [
            "", "1", "1 2", "1 2 ", "1 2 x y", "x 2 w", "1 x w", "-1 2 w",
        ] {
            assert_eq!(Birth::parse(text), None, "{text:?}");
        }
    }
}
