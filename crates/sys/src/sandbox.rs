//! Whether a process is in a sandbox of macOS.

use std::io;

use rustix::process::Pid;

/// Whether the process that has this number is in one.
#[cfg(target_os = "macos")]
pub fn holds(pid: Pid) -> io::Result<bool> {
    use std::ffi::{c_char, c_int};

    unsafe extern "C" {
        /// Of the system's own library, as browsers use it: 0 if the process may do `operation`; with none, 0
        /// if it is in no sandbox.
        fn sandbox_check(pid: libc::pid_t, operation: *const c_char, filter: c_int, ...) -> c_int;
    }
    /// No operation in particular: whether there is a sandbox at all.
    const NO_FILTER: c_int = 0;
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: without an operation it reads nothing but its number.
    match unsafe { sandbox_check(pid, std::ptr::null(), NO_FILTER) } {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Nobody knows here.
#[cfg(not(target_os = "macos"))]
pub fn holds(_pid: Pid) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
