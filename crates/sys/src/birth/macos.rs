//! On macOS: what the kernel says of a process. Numbers are the same everywhere there.

use std::{io, mem, ptr};

/// There is one only.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn world() -> io::Result<String> {
    Ok("-".to_owned())
}

/// Microseconds since 1970; `None` if it is not there, or a zombie.
pub(super) fn begun(pid: u32) -> io::Result<Option<u64>> {
    let Ok(pid) = libc::c_int::try_from(pid) else {
        return Ok(None);
    };
    // SAFETY: it is plain data, of which all zeroes is a value.
    let mut info: libc::proc_bsdinfo = unsafe { mem::zeroed() };
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).unwrap_or(0);
    let place = ptr::from_mut(&mut info).cast();
    // SAFETY: the place is valid for so many bytes.
    let got = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, place, size) };
    if got == size {
        let seconds = info.pbi_start_tvsec.saturating_mul(1_000_000);
        return Ok(Some(seconds.saturating_add(info.pbi_start_tvusec)));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) {
        Ok(None)
    } else {
        Err(error)
    }
}
