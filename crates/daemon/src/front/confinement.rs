//! Whether a peer is as free as the daemon.
//!
//! Agents run their tools in sandboxes of the same user. A daemon that started whatever such a tool
//! asks for would be its way out, as the Docker socket is one.
//!
//! **Invariant:** whatever cannot be seen counts as confined.

use rustix::process::Pid;
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
        let peer = sys::peer::process(socket).ok().flatten();
        if peer.is_some_and(|pid| matches!(is_as_free(socket, pid), Ok(true))) {
            Freedom::AsFree
        } else {
            Freedom::Confined
        }
    }
}

/// Whether the process of this number, which made this connection, can do whatever we can.
fn is_as_free(socket: &UnixStream, pid: Pid) -> std::io::Result<bool> {
    system::is_as_free(socket, pid)
}
