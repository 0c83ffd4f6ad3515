//! On Linux: what `/proc` says.

use std::{fs, io, process};

use crate::stat;

/// The namespaces of process numbers and of the clocks, if `/proc` shows our own.
pub(super) fn world() -> io::Result<String> {
    let stat = fs::read("/proc/self/stat")?;
    let own = process::id().to_string();
    if stat.split(|byte| *byte == b' ').next() != Some(own.as_bytes()) {
        return Err(io::Error::other("/proc is that of other numbers"));
    }
    let numbers = fs::read_link("/proc/self/ns/pid")?;
    // Kernels before 5.6 know of one time only.
    let time = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Ok(format!("{},{}", numbers.display(), time.display()))
}

/// Clock ticks since boot; `None` if it is not there, or a zombie.
pub(super) fn begun(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let strange = || io::Error::other(format!("/proc/{pid}/stat makes no sense"));
    let fields: Vec<&str> = stat::fields(&stat).ok_or_else(strange)?.collect();
    // The first is field 3, the state; 20 is the number of threads, 22 the time.
    let (Some(state), Some(threads), Some(begun)) =
        (fields.first(), fields.get(17), fields.get(19))
    else {
        return Err(strange());
    };
    // One whose first thread alone has ended looks like a zombie, and lives.
    let has_ended = matches!(*state, "Z" | "X" | "x") && matches!(*threads, "0" | "1");
    if has_ended {
        return Ok(None);
    }
    begun.parse().map(Some).map_err(|_| strange())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}
