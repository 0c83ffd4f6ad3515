//! Descriptors that stay open when one program takes the place of another in its process.
//!
//! Everything that we open is close-on-exec. What the next program is to have is made to stay just before,
//! and that is how the next program knows it.
//!
//! **Invariant:** a descriptor is handed over once: whoever takes it makes it close-on-exec again.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first number that is none of standard input, output and error.
const FIRST: RawFd = 3;

/// Set once this program hands something over itself: what is not close-on-exec from then on is its own.
static HANDS_OVER: AtomicBool = AtomicBool::new(false);

/// Has a descriptor stay open when another program is executed.
pub fn keep(fd: impl AsFd) -> io::Result<()> {
    HANDS_OVER.store(true, Ordering::SeqCst);
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

/// Takes that back: the other program was not executed.
pub fn keep_no_longer(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::CLOEXEC)?)
}

/// Takes a descriptor that the program before us has kept for us under this number.
///
/// Fails if there is none, if it was not kept for us or is taken already, and once this program has kept
/// anything itself.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let none = |what: &str| {
        let words = format!("descriptor {number} {what}");
        Err(io::Error::new(io::ErrorKind::NotFound, words))
    };
    if HANDS_OVER.load(Ordering::SeqCst) {
        return none("can be no other program's any more");
    }
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
            // close-on-exec, and we have not changed that of any; from now on this one is too, so it is
            // not taken twice.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        }
        Err(_) => none("is not open"),
    }
}

/// Lets go of whatever else the program before us has kept, at the next exec: it knew more than we do.
#[cfg(target_os = "linux")]
pub fn take_no_more() {
    const FROM: libc::c_uint = FIRST.cast_unsigned();
    // SAFETY: it closes nothing; it marks what is open. Where the system does not know the call, all is as
    // it was.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FROM,
            libc::c_uint::MAX,
            CLOSE_ON_EXEC,
        )
    };
}

/// Of `close_range`: mark, and do not close.
#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: libc::c_uint = 4;

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
pub fn take_no_more() {}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::fd::{AsRawFd, IntoRawFd},
    };

    use super::*;

    /// As a program before us would have left it.
    fn left() -> RawFd {
        let file = File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        file.into_raw_fd()
    }

    // One test, as it is about the whole process.
    #[test]
    fn what_was_kept_for_us_is_taken_once_and_nothing_else_is() {
        let file = File::open("/dev/null").unwrap();
        assert!(take(file.as_raw_fd()).is_err(), "it is ours");
        let number = left();
        let taken = take(number).unwrap();
        assert!(take(number).is_err(), "it is taken");
        drop(taken);
        for number in [-1, 0, 2, RawFd::MAX] {
            assert!(take(number).is_err(), "{number}");
        }
        let unknown = left();
        take_no_more();
        assert!(take(unknown).is_err(), "it was not taken in time");
        keep(&file).unwrap();
        assert!(take(file.as_raw_fd()).is_err(), "we keep it for another");
        keep_no_longer(&file).unwrap();
        assert!(take(file.as_raw_fd()).is_err(), "it is ours again");
    }
}
