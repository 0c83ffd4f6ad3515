//! A hold on one process: whoever gets its number later is not meant.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::Hold;
#[cfg(not(target_os = "linux"))]
pub use other::Hold;
