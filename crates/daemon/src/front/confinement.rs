//! Whether a peer is as free as the daemon.
//!
//! Agents run their tools in sandboxes of the same user. A daemon that started whatever such a tool
//! asks for would be its way out, as the Docker socket is one.
//!
//! **Invariant:** whatever cannot be seen counts as confined.

use std::io;

use tokio::net::UnixStream;

#[cfg(target_os = "linux")]
#[path = "confinement/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "confinement/other.rs"]
mod system;

/// What a peer may have started for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freedom {
    /// It could do itself whatever the daemon does.
    AsFree,
    /// It cannot, or nobody knows.
    Confined,
    /// Nobody knows: it has come over HTTP. What it brings is a name, and no environment.
    Elsewhere,
}

impl Freedom {
    /// Looks at the process that made this connection.
    pub(crate) fn of_peer(socket: &UnixStream) -> Self {
        match is_as_free(socket) {
            Ok(true) => Freedom::AsFree,
            Ok(false) | Err(_) => Freedom::Confined,
        }
    }
}

fn is_as_free(socket: &UnixStream) -> io::Result<bool> {
    let pid = sys::peer::process(socket)?.ok_or(io::ErrorKind::NotFound)?;
    // Held from before to after, the number means the same process all the time.
    let held = sys::peer::hold(socket, pid)?;
    let is_as_free = system::is_as_free(socket, pid)?;
    Ok(is_as_free && !held.has_ended()?)
}
