//! One session as the edge sees it.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mux::{LineNumber, Route, SessionId};
use sys::handed;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    courtesy::Work,
    http::{Visited, Watched},
    modern_post::Modern,
    pace::Pace,
    replay::Replay,
    world::Surroundings,
};
use crate::{
    front::{AllTubes, FIRST_GENERATION, Generation},
    kept_words::Subject,
    launch::{Launcher, Means},
    link::{FrozenOutlet, Outlet, Reading, Rest, SessionReader, Sink, Socket, Valve, WayOut},
    upgrade::{FrozenSession, Handed, Hex, NOWHERE},
};

/// How long a session that was closed may take to read its last messages.
pub(super) const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// The link to one client, and what a server is started with for it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Session {
    pub(super) outlet: WayOut,
    /// Where its lines come from, unless it posts them.
    pub(super) socket: Option<Arc<Socket>>,
    /// What it has if it does.
    pub(super) visited: Option<Box<Visited>>,
    /// What it has if it is one request of the modern era.
    pub(super) modern: Option<Box<Modern>>,
    pub(super) valve: Arc<Valve>,
    pub(super) reader: Reading<Rest>,
    /// What its client calls it, if that has a word for it.
    pub(super) label: Option<Arc<str>>,
    /// The token that it was let in by, if it was by one and once for all that it says.
    pub(super) token: Option<Generation>,
    /// The last line that was no message, and how many in a row were none; of those over WebSockets.
    pub(super) misses: (LineNumber, u32),
    pub(super) server: Arc<str>,
    /// By what it shares that with others; `None` if the core has forgotten it.
    pub(super) route: Option<Route>,
    /// How there comes to be an upstream for it, or why there can be none.
    pub(super) means: Result<Means, Box<str>>,
    /// The lock of whoever runs its server without a daemon, if that is a server to be shared.
    pub(super) direct: Option<Box<Path>>,
    /// By what that is known which its server says of itself, if it is kept.
    pub(super) subject: Option<Arc<Subject>>,
    /// How many lines it has written.
    pub(super) lines: u64,
    /// What it has cost lately.
    pub(super) work: Work,
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

impl Session {
    /// Has it read, from where its reader stopped.
    pub(super) fn go_on(&mut self, session: SessionId, around: &Surroundings) {
        let Some(socket) = self.socket.clone() else {
            return;
        };
        let valve = Arc::clone(&self.valve);
        self.reader
            .go_on("session reader", &around.halt, |rest, halt| {
                let reader = SessionReader {
                    session,
                    socket,
                    valve,
                    floods: Arc::clone(&around.floods),
                    inbox: around.inbox.clone(),
                    room: Arc::clone(&around.room),
                };
                reader.run(rest, halt)
            });
    }

    /// What the program that takes our place has to know of it; an error if that is not possible now.
    pub(super) fn freeze<'a>(
        &'a self,
        id: SessionId,
        handed: &mut Handed<'a>,
    ) -> Result<FrozenSession, &'static str> {
        let socket = self.socket.as_ref();
        let nothing = FrozenOutlet::default();
        let (outlet, visited, modern) = match (&self.outlet, &self.visited, &self.modern) {
            (WayOut::Line(outlet), _, _) => (outlet.freeze(), None, None),
            (WayOut::Posts(streams), Some(visited), _) => {
                let visited = visited.freeze(streams.freeze());
                (nothing, Some(Box::new(visited)), None)
            }
            (WayOut::Rounds(rounds), _, Some(modern)) => {
                (nothing, None, Some(Box::new(modern.freeze(rounds))))
            }
            (WayOut::Posts(_) | WayOut::Rounds(_), _, _) => {
                return Err("a session contradicts itself");
            }
        };
        let unread = self.reader.unread();
        let unread =
            unread.map_err(|_| "a client is in the middle of a message that is too long")?;
        Ok(FrozenSession {
            id,
            socket: socket.map_or(NOWHERE, |socket| handed.over(socket.as_fd())),
            outlet,
            visited,
            modern,
            unpacker: self.reader.unpacker().cloned(),
            is_paused: self.valve.is_closed(),
            has_reader: self.reader.is_open(),
            unread: Hex(unread),
            label: self.label.clone(),
            has_token: self.token.is_some(),
            token: self.token,
            server: Arc::clone(&self.server),
            spec: self.means.clone(),
            subject: self.subject.clone(),
            direct: self
                .direct
                .as_ref()
                .map(|lock| lock.as_os_str().to_owned().into()),
            lines: LineNumber(self.lines),
            is_blocked: self.blocked,
            is_closing: self.closing,
        })
    }

    /// Goes on with one that the program before us had.
    pub(super) fn thaw(
        frozen: FrozenSession,
        around: &Surroundings,
        permit: OwnedSemaphorePermit,
        tubes: &mut AllTubes,
    ) -> io::Result<(Session, Option<Watched>)> {
        let limit = around.limits.slow_reader_bytes;
        let (mut socket, mut visited, mut modern, mut watched) = (None, None, None, None);
        let outlet = if let Some(frozen) = frozen.visited {
            let (known, streams, listens) = frozen.thaw(limit, &around.unread, &mut tubes.posts)?;
            (visited, watched) = (Some(known), listens);
            WayOut::Posts(Box::new(streams))
        } else if let Some(frozen) = frozen.modern {
            let (known, rounds) = frozen.thaw(limit, &around.unread, &mut tubes.rounds)?;
            modern = Some(known);
            WayOut::Rounds(Box::new(rounds))
        } else {
            let (outlet, its) = line(frozen.socket, frozen.outlet, around)?;
            socket = Some(its);
            WayOut::Line(outlet)
        };
        let valve = Arc::<Valve>::default();
        if frozen.is_paused {
            valve.close();
        }
        let pace = Pace::resumed(outlet.taken(), outlet.behind_head(), limit);
        let (unread, limit) = (&frozen.unread.0, around.limits.message_bytes);
        let reader = match frozen.unpacker {
            Some(unpacker) => Reading::resumed_unpacking(unread, limit, unpacker),
            None if frozen.has_reader => Reading::resumed(unread, limit),
            None => Reading::Over,
        };
        let session = Session {
            outlet,
            socket,
            visited,
            modern,
            valve,
            reader,
            label: frozen.label,
            token: frozen
                .has_token
                .then(|| frozen.token.unwrap_or(FIRST_GENERATION)),
            misses: (LineNumber(0), 0),
            server: frozen.server,
            // The core knows it.
            route: None,
            means: frozen.spec,
            subject: frozen.subject,
            direct: frozen
                .direct
                .map(|lock| PathBuf::from(OsString::from(lock)).into_boxed_path()),
            lines: frozen.lines.0,
            work: Work::default(),
            replay: None,
            pace,
            blocked: frozen.is_blocked,
            awaiting_room: false,
            closing: frozen.is_closing,
            touched: false,
            _permit: permit,
        };
        Ok((session, watched))
    }

    /// Has what is equal for several sessions in memory once.
    pub(super) fn share(&mut self, launcher: &mut Launcher) {
        if let Ok(Means::Process(spec)) = &mut self.means {
            *spec = launcher.keep_once(Arc::clone(spec));
            if let Some(subject) = &mut self.subject {
                let subject = Arc::make_mut(subject);
                subject.spec = Arc::clone(spec);
            }
        }
    }
}

/// The way out over a socket that was handed over.
fn line(
    socket: RawFd,
    outlet: FrozenOutlet,
    around: &Surroundings,
) -> io::Result<(Outlet, Arc<Socket>)> {
    let descriptor = handed::take(socket)?;
    let socket = Arc::new(if outlet.packs() {
        Socket::web(descriptor)?
    } else {
        Socket::of(descriptor)?
    });
    let sink = Sink::Socket(Arc::clone(&socket));
    let limit = around.limits.slow_reader_bytes;
    let outlet = Outlet::thaw(outlet, sink, limit, &around.unread);
    Ok((outlet, socket))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
        // Its tasks hold the socket for a little longer; the client should not wait for that.
        if let Some(socket) = &self.socket {
            let _gone = rustix::net::shutdown(&**socket, rustix::net::Shutdown::Both);
        }
    }
}
