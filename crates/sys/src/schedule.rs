//! When the system lets a process run.

use std::io;

/// A turn of a thread that [`prefer_short_turns`], in nanoseconds: the shortest that Linux gives.
#[cfg(target_os = "linux")]
const TURN_NANOS: u64 = 100_000;

/// Has the calling thread run in short turns, which therefore come sooner.
///
/// It gets no more of the processor than before, and needs no right for that. When processes queue up
/// for a core, one with short turns is not put behind the long turns of those that woke up earlier.
/// Children and new threads do not inherit it.
///
/// Linux 6.12 and later know it; earlier ones, and other systems, leave everything as it is.
#[cfg(target_os = "linux")]
pub fn prefer_short_turns() -> io::Result<()> {
    let len = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(u32::MAX);
    // SAFETY: plain numbers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for `len` bytes, and the thread is the calling one.
    let got = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            0,
            std::ptr::from_mut(&mut attributes),
            len,
            0,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.size = len;
    attributes.sched_flags |= u64::from(libc::SCHED_FLAG_RESET_ON_FORK.unsigned_abs());
    attributes.sched_runtime = TURN_NANOS;
    // SAFETY: as above; the rest of the attributes is what the thread has already.
    let set = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            0,
            std::ptr::from_ref(&attributes),
            0,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Elsewhere there is nothing to be asked for.
#[cfg(not(target_os = "linux"))]
pub fn prefer_short_turns() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn short_turns_change_nothing_else_of_a_thread() {
        // A thread of its own, as they stay.
        std::thread::spawn(|| {
            // SAFETY: it reads a number of the calling thread.
            let policy = || unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
            // SAFETY: as above.
            let nice = || unsafe { libc::getpriority(0, 0) };
            let before = (policy(), nice());
            prefer_short_turns().unwrap();
            assert_eq!((policy(), nice()), before);
        })
        .join()
        .unwrap();
    }
}
