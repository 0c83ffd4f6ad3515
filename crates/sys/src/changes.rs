//! Waiting until something happens in a folder, or to a file in it.

#[cfg(target_os = "linux")]
#[path = "changes/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "changes/other.rs"]
mod system;

pub use system::Changes;
