//! Becoming the parent of what descendants leave behind.

use std::io;

/// Has everything fall to this process that its descendants leave behind, from now on; says whether the
/// system does so.
///
/// Where it does not, orphans fall to the first process of the system, and are known by their marks
/// alone.
#[cfg(target_os = "linux")]
pub fn adopt() -> io::Result<Adopted> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(Adopted::All)
}

/// Has everything fall to this process that its descendants leave behind, from now on; says whether the
/// system does so.
///
/// Where it does not, orphans fall to the first process of the system, and are known by their marks
/// alone.
#[cfg(not(target_os = "linux"))]
pub fn adopt() -> io::Result<Adopted> {
    Ok(Adopted::None)
}

/// Which orphans fall to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// All below it.
    All,
    /// None.
    None,
}
