//! One session as the edge sees it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, task::AbortHandle};

use super::{pace::Pace, replay::Replay};
use crate::{
    kept_words::Subject,
    launch::LaunchSpec,
    link::{Outlet, Socket, Valve},
};

/// How long a session that was closed may take to read its last messages.
pub(super) const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The link to one client, and what a server is started with for it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Session {
    pub(super) outlet: Outlet,
    pub(super) socket: Arc<Socket>,
    pub(super) valve: Arc<Valve>,
    pub(super) reader: AbortHandle,
    pub(super) server: Arc<str>,
    /// Or why nothing can be started.
    pub(super) spec: Result<Arc<LaunchSpec>, Box<str>>,
    /// By what that is known which its server says of itself, if it is kept.
    pub(super) subject: Option<Arc<Subject>>,
    /// How many lines it has written.
    pub(super) lines: u64,
    /// Set while it brings along what an earlier daemon has left undone.
    pub(super) replay: Option<Replay>,
    /// Whether it reads, should much wait for it.
    pub(super) pace: Pace,
    /// Whether the core knows that it has much to read.
    pub(super) blocked: bool,
    /// Whether somebody waits for room in its socket.
    pub(super) awaiting_room: bool,
    /// Whether it is over once what waits is written. The core has forgotten it.
    pub(super) closing: bool,
    /// Whether it is among those to be flushed.
    pub(super) touched: bool,
    /// Its place among the sessions that there may be.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
        // Its tasks hold the socket for a little longer; the client should not wait for that.
        let _gone = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
    }
}
