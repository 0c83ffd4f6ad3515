//! Ending soon when asked to, even in the middle of a blocking call.
//!
//! INT, TERM and HUP set a flag and interrupt the system call of the thread that
//! gets them. So that a process whose threads all hang (a client that reads no
//! more, a flag that was looked at just before) ends as well, they also start a
//! timer that ends it.
//!
//! **Invariant:** after the first of these signals the process lives for
//! [`PATIENCE`] at most.

use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::mask::{self, Change};

/// How long the process may still tidy up after it was asked to end.
pub const PATIENCE: Duration = Duration::from_millis(80);

/// The signals that ask a process to end.
const ASKING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

static ASKED: AtomicBool = AtomicBool::new(false);
static EXIT_CODE: AtomicI32 = AtomicI32::new(0);

/// Takes over INT, TERM, HUP and ALRM for the whole process.
///
/// `exit_code` is what the process ends with if the timer has to end it. Call it
/// once, on the main thread; [`blocked`] keeps other threads out of it.
pub fn install(exit_code: u8) -> io::Result<()> {
    exit_with(exit_code);
    handle(Signal::ALARM, on_alarm)?;
    for signal in ASKING {
        handle(signal, on_asked)?;
    }
    // Whoever started us may have had them blocked, and that is inherited.
    mask::change(Change::Unblock, &ours())?;
    Ok(())
}

/// Sets what the process ends with if the timer has to end it.
pub fn exit_with(exit_code: u8) {
    EXIT_CODE.store(i32::from(exit_code), Ordering::Relaxed);
}

/// Whether one of the signals has arrived.
///
/// Look again whenever a blocking call returns `Interrupted`.
pub fn asked() -> bool {
    ASKED.load(Ordering::Acquire)
}

/// Asks this process to end, as one of the signals does.
///
/// For a thread that cannot wake the one that called [`install`] in another way.
pub fn ask() {
    let own = rustix::process::getpid();
    // To oneself it cannot fail.
    let _ = rustix::process::kill_process(own, Signal::TERM);
}

/// Runs `start` with the signals blocked, so that threads started in it never get them.
///
/// They are then delivered to the thread that called [`install`], and it is that
/// thread's blocking call that is interrupted.
pub fn blocked<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let _restore = Restore(mask::change(Change::Block, &ours())?);
    Ok(start())
}

/// Puts the mask back, also when `start` panics.
struct Restore(libc::sigset_t);

impl Drop for Restore {
    fn drop(&mut self) {
        // A mask that the kernel gave us is one that it takes back.
        let _ = mask::change(Change::Replace, &self.0);
    }
}

fn ours() -> libc::sigset_t {
    let [int, term, hup] = ASKING;
    mask::set_of(&[int, term, hup, Signal::ALARM])
}

fn handle(signal: Signal, handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction: default handler, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    // No SA_RESTART: the interruption is the point.
    action.sa_flags = 0;
    // SAFETY: the action is initialised, and the handlers below are
    // async-signal-safe.
    let result =
        unsafe { libc::sigaction(signal.as_raw(), ptr::from_ref(&action), ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn on_asked(_: libc::c_int) {
    // Only the first one starts the timer: a second must not buy more time.
    if ASKED.swap(true, Ordering::AcqRel) {
        return;
    }
    let zero = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let patience = libc::timeval {
        tv_sec: 0,
        // Less than a second, which fits however wide the type is.
        tv_usec: libc::suseconds_t::from(PATIENCE.subsec_micros().cast_signed()),
    };
    let once = libc::itimerval {
        it_interval: zero,
        it_value: patience,
    };
    // SAFETY: a plain system call with a valid argument; it cannot fail with one,
    // so it does not disturb the errno of the interrupted code.
    unsafe { libc::setitimer(libc::ITIMER_REAL, ptr::from_ref(&once), ptr::null_mut()) };
}

extern "C" fn on_alarm(_: libc::c_int) {
    // SAFETY: _exit is async-signal-safe: no handlers, no buffers, no locks.
    unsafe { libc::_exit(EXIT_CODE.load(Ordering::Relaxed)) };
}
