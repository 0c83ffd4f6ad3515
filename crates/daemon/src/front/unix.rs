//! The unix socket: sessions from shims, and orders from the command line.
//!
//! **Invariant:** nothing is read from a peer of another user, and nobody who comes in can keep
//! others out: there are limits on how many wait, how long they may take and how much they may say.

use std::{
    io::{self, IoSlice},
    os::{
        fd::{AsFd, RawFd},
        unix::net::UnixListener as StdListener,
    },
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use shim::{
    answer::Answer,
    preface::{self, Ask, Head, Preface, PrefaceError},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender, oneshot},
    time::{self, Instant},
};

use super::{Descriptors, Freedom, Stand};
use crate::{
    admin,
    alarm::Alarm,
    hub::{AdminCall, Arrival, Entrance, Input},
    link::Socket,
    tasks,
    upgrade::{FrozenStand, Handed, Successor, UNDER_WAY, UpgradeWish},
};

/// Longest time from connecting to the end of the preface.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How long whoever gave an order may take to read the answer.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How long those who are just being let in may keep an upgrade waiting.
const QUIET_PATIENCE: Duration = Duration::from_millis(500);

/// What who asks is told when nobody answers any more.
const ENDING: &str = "the daemon is ending";

/// Pause after the system had no descriptor for a new connection.
const STARVED_PAUSE: Duration = Duration::from_millis(100);

/// More than a usual environment.
const READ_BYTES: usize = 16 << 10;

/// How often it is looked whether the socket and the lock are still in their places.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Longest preface of which every caller may have one.
const LARGE_PREFACE_BYTES: usize = 64 << 10;

/// Longer ones that are read at the same time; others wait.
const LARGE_PREFACES_MAX: usize = 16;

/// Lets people in.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    stand: Stand,
    /// Ends when nobody is to be let in any more.
    closing: oneshot::Receiver<()>,
    /// Rings when it is time to look at where we stand.
    alarm: Alarm,
    inbox: Sender<Input>,
    rooms: Arc<Rooms>,
}

/// What there is only so much of.
#[derive(Debug)]
struct Rooms {
    callers: Arc<Semaphore>,
    /// How many callers there may be.
    callers_max: u32,
    sessions: Arc<Semaphore>,
    large_prefaces: Semaphore,
    /// For who has the program changed.
    upgrade: Arc<Semaphore>,
    successor: Successor,
}

/// Places of the sessions that there may be.
#[derive(Debug)]
pub(crate) struct SessionPlaces(Arc<Rooms>);

impl SessionPlaces {
    /// The same for another front.
    pub(crate) fn share(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.sessions)
    }

    /// One for a session that is here already, though there should be fewer from now on.
    pub(crate) fn take(&self) -> anyhow::Result<OwnedSemaphorePermit> {
        let sessions = &self.0.sessions;
        if sessions.available_permits() == 0 {
            sessions.add_permits(1);
        }
        Ok(Arc::clone(sessions).try_acquire_owned()?)
    }
}

/// Why a peer was not let in.
#[derive(Debug)]
enum Unwelcome {
    /// It has gone, or the system failed it.
    Io(io::Error),
    /// It does not say what we understand.
    Preface(PrefaceError),
}

impl From<io::Error> for Unwelcome {
    fn from(error: io::Error) -> Self {
        Unwelcome::Io(error)
    }
}

impl From<PrefaceError> for Unwelcome {
    fn from(error: PrefaceError) -> Self {
        Unwelcome::Preface(error)
    }
}

impl Door {
    /// A door through which so many `sessions` may come, if there are `descriptors` for them.
    pub(crate) fn new(
        (listener, stand): (StdListener, Stand),
        closing: oneshot::Receiver<()>,
        inbox: Sender<Input>,
        (sessions, descriptors): (usize, Descriptors),
        successor: Successor,
    ) -> io::Result<Self> {
        // There are never that many.
        let callers_max = u32::try_from(descriptors.callers).unwrap_or(u32::MAX);
        Ok(Door {
            listener: UnixListener::from_std(listener)?,
            stand,
            closing,
            alarm: Alarm::new()?,
            inbox,
            rooms: Arc::new(Rooms {
                callers: Arc::new(Semaphore::new(descriptors.callers)),
                callers_max,
                sessions: Arc::new(Semaphore::new(sessions.min(descriptors.sessions))),
                large_prefaces: Semaphore::new(LARGE_PREFACES_MAX),
                upgrade: Arc::new(Semaphore::new(1)),
                successor,
            }),
        })
    }

    /// The places for sessions behind it.
    pub(crate) fn places(&self) -> SessionPlaces {
        SessionPlaces(Arc::clone(&self.rooms))
    }

    /// Opens it again, until `closing` ends.
    pub(crate) fn reopen(&mut self, closing: oneshot::Receiver<()>) {
        self.closing = closing;
    }

    /// Where we stand.
    pub(crate) fn into_stand(self) -> Stand {
        self.stand
    }

    /// What the program that takes our place has to know of it.
    pub(crate) fn freeze<'a>(&'a self, handed: &mut Handed<'a>) -> (FrozenStand, RawFd) {
        let listener = handed.over(self.listener.as_fd());
        (self.stand.freeze(handed), listener)
    }

    /// Whether nobody is just being let in, or has an order in hands, while nobody stands at the door but whoever
    /// wishes for this.
    pub(crate) fn is_quiet(&self, wish: &UpgradeWish) -> bool {
        let kept_free = wish
            .quiet
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let free = self.rooms.callers.available_permits() + kept_free;
        u32::try_from(free).is_ok_and(|free| free == self.rooms.callers_max)
    }

    /// The program to change to.
    pub(crate) fn successor(&self) -> &Successor {
        &self.rooms.successor
    }

    /// Lets people in until nobody is to be let in any more.
    pub(crate) async fn run(mut self) -> Door {
        let user = rustix::process::geteuid().as_raw();
        self.alarm.set(LOOK_INTERVAL);
        loop {
            let next = tokio::select! {
                biased;
                _dropped = &mut self.closing => return self,
                next = next_caller(&self.listener, &self.rooms.callers) => next,
                _rung = self.alarm.rung() => {
                    self.look();
                    continue;
                }
            };
            match next {
                // Anybody else gets no word and is not read.
                Ok((socket, caller)) => {
                    if socket.peer_cred().is_ok_and(|peer| peer.uid() == user) {
                        self.let_in(socket, caller);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept");
                    tokio::select! {
                        _dropped = &mut self.closing => return self,
                        () = time::sleep(STARVED_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Listens elsewhere, if somebody has removed the socket.
    fn look(&mut self) {
        match self.stand.look().map(UnixListener::from_std) {
            Some(Ok(listener)) => self.listener = listener,
            Some(Err(error)) => tracing::debug!(%error, "the socket cannot be watched"),
            None => {}
        }
        self.alarm.set(LOOK_INTERVAL);
    }

    fn let_in(&self, socket: UnixStream, caller: OwnedSemaphorePermit) {
        let (inbox, rooms) = (self.inbox.clone(), Arc::clone(&self.rooms));
        tasks::spawn("greeting", async move {
            let greeting = greet(socket, caller, rooms, inbox);
            if time::timeout(GREETING_PATIENCE, greeting).await.is_err() {
                tracing::debug!("a peer did not say what it wants");
            }
        });
    }
}

/// Whoever comes next, once there is a place for another caller.
async fn next_caller(
    listener: &UnixListener,
    callers: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(callers).acquire_owned().await;
    // It is never closed.
    let place = place.map_err(io::Error::other)?;
    let (socket, _nameless) = listener.accept().await?;
    Ok((socket, place))
}

async fn greet(
    socket: UnixStream,
    caller: OwnedSemaphorePermit,
    rooms: Arc<Rooms>,
    inbox: Sender<Input>,
) {
    // Looked at first: a number is of use only while its process is surely there.
    let freedom = Freedom::of_peer(&socket);
    let (preface, early) = match read_preface(&socket, &rooms.large_prefaces).await {
        Ok(read) => read,
        Err(Unwelcome::Preface(error)) => {
            let _gone = say(&socket, &Answer::Refused(error.to_string()).to_string()).await;
            return;
        }
        Err(Unwelcome::Io(error)) => {
            tracing::debug!(%error, "a peer went away before it had said what it wants");
            return;
        }
    };
    match preface.ask {
        Ask::Session(ask) => {
            if freedom == Freedom::Confined && !ask.command.is_empty() {
                let _gone = say(&socket, &Answer::RunItYourself.to_string()).await;
                return;
            }
            if freedom == Freedom::Confined && ask.address.is_some() {
                let why = "a session in a sandbox reaches only servers that are configured";
                let _gone = say(&socket, &Answer::Refused(why.to_owned()).to_string()).await;
                return;
            }
            let Ok(permit) = Arc::clone(&rooms.sessions).try_acquire_owned() else {
                let full = "there are as many sessions as there may be".to_owned();
                let _gone = say(&socket, &Answer::Refused(full).to_string()).await;
                return;
            };
            let socket = match Socket::new(socket) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::debug!(%error, "a session's socket cannot be watched");
                    return;
                }
            };
            let arrival = Arrival {
                entrance: Entrance::Socket(socket, early),
                since: Instant::now(),
                cwd: preface.cwd,
                umask: preface.umask,
                ask: Arc::new(ask),
                freedom,
                permit,
            };
            let _hub_gone = inbox.send(Input::Came(Box::new(arrival))).await;
        }
        // Not awaited here: an order may take longer than a greeting.
        Ask::Admin(ask) => {
            tasks::spawn("order", async move {
                let _gone = serve_order(socket, ask, (inbox, rooms), caller).await;
            });
        }
    }
}

async fn read_preface(
    socket: &UnixStream,
    large: &Semaphore,
) -> Result<(Preface, Bytes), Unwelcome> {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    let mut large_permit = None;
    loop {
        if let Head::Complete { body_at, body_len } = preface::head(&read)? {
            let end = body_at + body_len;
            if let Some(body) = read.get(body_at..end) {
                let preface = Preface::decode(body)?;
                let early = Bytes::copy_from_slice(read.get(end..).unwrap_or_default());
                return Ok((preface, early));
            }
            if end > LARGE_PREFACE_BYTES && large_permit.is_none() {
                // It is never closed.
                large_permit = large.acquire().await.ok();
            }
            read.reserve(end - read.len());
        }
        socket.readable().await?;
        match socket.try_read_buf(&mut read) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn serve_order(
    socket: UnixStream,
    ask: preface::AdminAsk,
    (inbox, rooms): (Sender<Input>, Arc<Rooms>),
    caller: OwnedSemaphorePermit,
) -> io::Result<()> {
    say(&socket, &Answer::Accepted { session: None }.to_string()).await?;
    let no_hub = || io::Error::from(io::ErrorKind::BrokenPipe);
    let answer = match ask {
        preface::AdminAsk::Status => {
            let (reply, draft) = oneshot::channel();
            let call = AdminCall::Status(reply);
            inbox.send(Input::Asked(call)).await.map_err(|_| no_hub())?;
            let draft = draft.await.map_err(|_| no_hub())?;
            // It reads /proc for as long as the kernel takes to count pages.
            match tasks::aside(move || draft.finish()).await {
                Ok(status) => admin::Answer::Ok(admin::Outcome::Status(Box::new(status))),
                Err(error) => admin::Answer::Error(format!("nothing can be counted now: {error}")),
            }
        }
        preface::AdminAsk::Restart { server, wait } => {
            let (reply, answer) = oneshot::channel();
            let call = AdminCall::Restart {
                server,
                patience: wait,
                reply,
            };
            inbox.send(Input::Asked(call)).await.map_err(|_| no_hub())?;
            admin::Answer::from(answer.await.map_err(|_| no_hub())?)
        }
        preface::AdminAsk::Upgrade => match Arc::clone(&rooms.upgrade).try_acquire_owned() {
            Ok(only_one) => match rehearse(&rooms, &inbox).await {
                Ok(()) => {
                    drop(caller);
                    return have_upgraded(socket, only_one, &rooms, &inbox).await;
                }
                Err(error) => admin::Answer::Error(format!("not upgraded: {error:#}")),
            },
            Err(_other) => admin::Answer::Busy(format!("not upgraded: {UNDER_WAY}")),
        },
        preface::AdminAsk::Stop => {
            let call = AdminCall::Stop(socket);
            return inbox.send(Input::Asked(call)).await.map_err(|_| no_hub());
        }
    };
    let line = answer.to_line();
    time::timeout(ANSWER_PATIENCE, say(&socket, &line)).await?
}

/// Has the program that is installed now show that it can go on here.
async fn rehearse(rooms: &Rooms, inbox: &Sender<Input>) -> anyhow::Result<()> {
    let (reply, state) = oneshot::channel();
    let call = AdminCall::Rehearse(reply);
    inbox.send(Input::Asked(call)).await.ok().context(ENDING)?;
    let state = state.await.ok().context(ENDING)?;
    let state = state.map_err(anyhow::Error::msg)?;
    let successor = rooms.successor.clone();
    tasks::aside(move || successor.rehearse(&state)).await??;
    Ok(())
}

/// Has it go on here, once nobody is just being let in. Whoever takes too long for that has to come again.
async fn have_upgraded(
    requester: UnixStream,
    only_one: OwnedSemaphorePermit,
    rooms: &Rooms,
    inbox: &Sender<Input>,
) -> io::Result<()> {
    let callers = Arc::clone(&rooms.callers);
    // The door holds one for whoever comes next.
    let others = callers.acquire_many_owned(rooms.callers_max.saturating_sub(1));
    let quiet = time::timeout(QUIET_PATIENCE, others).await.ok();
    let wish = UpgradeWish {
        requester,
        quiet: quiet.and_then(Result::ok),
        only_one,
    };
    let call = AdminCall::Upgrade(wish);
    let sent = inbox.send(Input::Asked(call)).await;
    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

pub(crate) async fn say(socket: &UnixStream, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write_vectored(&[IoSlice::new(rest)]) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
