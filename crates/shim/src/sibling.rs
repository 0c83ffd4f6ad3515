//! The other executable of the same installation.
//!
//! `mcpool` and `mcpoold` lie in one folder and call each other by it, never by
//! `PATH`: a client's `PATH` may name another version, or nothing.

use std::{
    env, io,
    path::{Path, PathBuf},
};

/// The program that serves and executes every verb but `connect`.
pub const DAEMON: &str = "mcpoold";

/// The path of the program `name` beside the running executable.
///
/// Errors if the system cannot say which executable runs, or if there is no such
/// file beside it.
pub fn path(name: &str) -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    // Not every system follows a link by which it was started, such as one by the name of mcp-proxy.
    let own = own.canonicalize().unwrap_or(own);
    let path = own.parent().unwrap_or(Path::new("/")).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{} is missing: mcpool needs both of its programs in one folder; install it again",
            path.display()
        ),
    ))
}
