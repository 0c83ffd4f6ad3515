//! The machine as a whole.

use std::io;

/// Memory that it could still give to programs, in KiB.
#[cfg(target_os = "linux")]
pub fn available_kb() -> io::Result<u64> {
    let table = std::fs::read_to_string("/proc/meminfo")?;
    let mut lines = table.lines();
    let available = lines.find_map(|line| line.strip_prefix("MemAvailable:"));
    available
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))
}

/// Memory that it could still give to programs, in KiB: as much of all as the system takes for free.
#[cfg(target_os = "macos")]
pub fn available_kb() -> io::Result<u64> {
    let all: u64 = by_name(c"hw.memsize")?;
    let free_percent: libc::c_int = by_name(c"kern.memorystatus_level")?;
    let free_percent = u64::try_from(free_percent).unwrap_or(0).min(100);
    Ok(all / 100 * free_percent / 1024)
}

/// Nobody knows.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn available_kb() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A figure of the kernel's: a plain number of the size of a `T`.
#[cfg(target_os = "macos")]
pub(crate) fn by_name<T: Copy + Default>(name: &std::ffi::CStr) -> io::Result<T> {
    let mut value = T::default();
    let mut len = size_of::<T>();
    // SAFETY: both places are valid for as many bytes as is said, and nothing is set.
    let result = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            std::ptr::from_mut(&mut value).cast(),
            std::ptr::from_mut(&mut len),
            std::ptr::null_mut(),
            0,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value)
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos")))]
mod tests {
    #[test]
    fn there_is_some_memory_left_for_this_test() {
        assert!(super::available_kb().unwrap() > 0);
    }
}
