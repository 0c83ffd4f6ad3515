//! A heap that stays small.
//!
//! glibc's allocator is tuned for speed: it gives every thread an arena of its own, and
//! learns from the first large block that is freed to keep such blocks. One large message,
//! and a process that waits for days is large for days. Other C libraries keep little
//! anyway; there these functions do nothing.

/// Blocks of this many bytes and more go back to the system when they are freed.
///
/// It is where glibc begins too; saying so ends the learning.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// Makes the allocator thrifty, for the whole process.
///
/// Call it before other threads start: the arenas of those that run stay.
pub fn economise() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
        (libc::M_ARENA_MAX, 1),
    ] {
        // SAFETY: it sets a number in the allocator, under the allocator's lock.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives what is free to the system, small blocks too; for the end of a busy time.
///
/// It looks through the whole heap, so it is not for every message.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only free memory, under the allocator's lock.
    unsafe {
        libc::malloc_trim(0)
    };
}
