//! Descriptors that stay open when one program takes the place of another in its process.
//!
//! Everything that we open is close-on-exec. What the next program is to have is made to stay just before,
//! and that is how the next program knows it.
//!
//! **Invariant:** a descriptor is handed over once: whoever takes it makes it close-on-exec again.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first number that is none of standard input, output and error.
const FIRST: RawFd = 3;

/// Has a descriptor stay open when another program is executed.
pub fn keep(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

/// Takes that back: the other program was not executed.
pub fn keep_no_longer(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::CLOEXEC)?)
}

/// Takes a descriptor that the program before us has kept for us under this number.
///
/// Fails if there is none, and if it was not kept for us or is taken already.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let none = |what: &str| {
        let words = format!("descriptor {number} {what}");
        Err(io::Error::new(io::ErrorKind::NotFound, words))
    };
    if number < FIRST {
        return none("is nobody's to hand over");
    }
    // SAFETY: it is only looked at, and borrowed for this call. If nobody has it open, that is an error.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl_getfd(fd) {
        Ok(flags) if flags.contains(FdFlags::CLOEXEC) => none("belongs to somebody here already"),
        Ok(_) => {
            fcntl_setfd(fd, FdFlags::CLOEXEC)?;
            // SAFETY: it is open, and nothing in this process has opened it, as all that we open is
            // close-on-exec; from now on this one is too, so it is not taken twice.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        }
        Err(_) => none("is not open"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn what_was_kept_can_be_taken_once_and_nothing_else_can() {
        let file = File::open("/dev/null").unwrap();
        let number = file.as_raw_fd();
        assert!(take(number).is_err(), "it is ours");
        keep(&file).unwrap();
        let kept = std::os::fd::IntoRawFd::into_raw_fd(file);
        let taken = take(kept).unwrap();
        assert!(take(kept).is_err(), "it is taken");
        drop(taken);
        for number in [-1, 0, 2, RawFd::MAX] {
            assert!(take(number).is_err(), "{number}");
        }
    }

    #[test]
    fn what_is_kept_no_longer_is_not_handed_over() {
        let file = File::open("/dev/null").unwrap();
        keep(&file).unwrap();
        keep_no_longer(&file).unwrap();
        assert!(take(file.as_raw_fd()).is_err());
    }
}
