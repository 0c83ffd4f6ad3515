//! The calling thread's signal mask.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::Signal;

/// What to do with a set of signals.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Block,
    Unblock,
    /// The set becomes the whole mask.
    Replace,
}

/// The set of exactly these signals.
pub(crate) fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset writes the whole set behind a valid pointer; it
    // fails only for a bad pointer.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was initialised above; a `Signal` is a valid number.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal.as_raw()) };
    }
    // SAFETY: sigemptyset initialised it.
    unsafe { set.assume_init() }
}

/// Changes the calling thread's mask and returns the one before.
///
/// Async-signal-safe: it may be called between fork and exec.
pub(crate) fn change(change: Change, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let how = match change {
        Change::Block => libc::SIG_BLOCK,
        Change::Unblock => libc::SIG_UNBLOCK,
        Change::Replace => libc::SIG_SETMASK,
    };
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both pointers are valid for the call; `before` is only written.
    let error = unsafe { libc::pthread_sigmask(how, ptr::from_ref(set), before.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: a successful pthread_sigmask filled it in.
    Ok(unsafe { before.assume_init() })
}
