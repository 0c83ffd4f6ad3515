//! On macOS: what the kernel says of a process.

use std::{io, mem, ptr};

use rustix::process::Pid;

use super::{Entry, Identity, arguments, process, unless_want};
use crate::machine::by_name;

/// How many processes there is room for at first.
const PROCESSES: usize = 2048;

pub(super) fn everybody() -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for pid in numbers()?.into_iter().filter_map(process) {
        all.extend(read(pid)?);
    }
    Ok(all)
}

fn numbers() -> io::Result<Vec<libc::pid_t>> {
    let mut room = PROCESSES;
    loop {
        let mut pids: Vec<libc::pid_t> = vec![0; room];
        let size = libc::c_int::try_from(size_of_val(pids.as_slice()));
        let size = size.map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the place is valid for so many bytes.
        let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // There may be more than there was room for.
        if count < room {
            pids.truncate(count);
            return Ok(pids);
        }
        room *= 2;
    }
}

pub(super) fn read(pid: Pid) -> io::Result<Option<Entry>> {
    // Those, too, that have ended and that nobody has waited for.
    const ZOMBIES_TOO: u64 = 1;
    // SAFETY: it is plain data, of which all zeroes is a value.
    let mut info: libc::proc_bsdinfo = unsafe { mem::zeroed() };
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).unwrap_or(0);
    let place = ptr::from_mut(&mut info).cast();
    let number = pid.as_raw_nonzero().get();
    // SAFETY: the place is valid for so many bytes.
    let got =
        unsafe { libc::proc_pidinfo(number, libc::PROC_PIDTBSDINFO, ZOMBIES_TOO, place, size) };
    if got != size {
        return unless_want(io::Error::last_os_error());
    }
    let related = |number: u32| i32::try_from(number).ok().and_then(process);
    let seconds = info.pbi_start_tvsec.saturating_mul(1_000_000);
    Ok(Some(Entry {
        identity: Identity {
            pid,
            start_time: seconds.saturating_add(info.pbi_start_tvusec),
        },
        parent: related(info.pbi_ppid),
        group: related(info.pbi_pgid),
        zombie: info.pbi_status == libc::SZOMB,
    }))
}

pub(super) fn carries(identity: Identity, is_meant: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let Some(bytes) = arguments_of(identity.pid)? else {
        return Ok(false);
    };
    // What was read is its own only if the number is still its own.
    let is_it = read(identity.pid)?.is_some_and(|entry| entry.identity == identity);
    Ok(is_it && arguments::environment(&bytes).any(is_meant))
}

/// What `KERN_PROCARGS2` hands out; `None` if the process is gone, or not ours to look at.
fn arguments_of(pid: Pid) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0_u8; arguments_max()?];
    let mut name = [
        libc::CTL_KERN,
        libc::KERN_PROCARGS2,
        pid.as_raw_nonzero().get(),
    ];
    let mut len = bytes.len();
    // SAFETY: both places are valid for as many values as is said, and nothing is set.
    let result = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            3,
            bytes.as_mut_ptr().cast(),
            ptr::from_mut(&mut len),
            ptr::null_mut(),
            0,
        )
    };
    if result != 0 {
        return unless_want(io::Error::last_os_error());
    }
    bytes.truncate(len);
    Ok(Some(bytes))
}

/// The most bytes that arguments and environment of a process may have together.
fn arguments_max() -> io::Result<usize> {
    let most: libc::c_int = by_name(c"kern.argmax")?;
    usize::try_from(most).map_err(io::Error::other)
}

pub(super) fn memory_kb(pid: u32) -> Option<u64> {
    let pid = libc::c_int::try_from(pid).ok()?;
    // SAFETY: it is plain data, of which all zeroes is a value.
    let mut usage: libc::rusage_info_v0 = unsafe { mem::zeroed() };
    let place: *mut libc::rusage_info_v0 = ptr::from_mut(&mut usage);
    // SAFETY: the place is valid for a value of the kind that is asked for.
    let result = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V0, place.cast()) };
    (result == 0).then_some(usage.ri_phys_footprint / 1024)
}
