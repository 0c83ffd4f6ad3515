//! Connections that go on in the program that takes our place, each as it is: at rest, with a response that is still
//! owed, or in the middle of a stream of events.
//!
//! What serves a connection lets go of it where nothing is half read or half written ([`Loose`]), and what goes on
//! with it writes the rest of the response by itself and then serves it as ever, here or in the other program. What
//! a client has not taken of a response goes along. One that does not take what it is sent in a stream to which it
//! can come back is cut off: it comes back for the rest.
//!
//! **Invariant:** of a connection that is let go every byte has been understood, or goes along; and no byte of a
//! response is written twice.

mod writing;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, RawFd},
    sync::Arc,
};

use bytes::Bytes;
use mux::SessionId;
use serde::{Deserialize, Serialize};
use sys::handed;
use tokio::{io::AsyncWriteExt, sync::OwnedSemaphorePermit};

use super::{
    FIRST_GENERATION, Front, Generation, Key, Served,
    comer::{Comer, Kind, Rewound},
    events::Events,
    exchange,
    look::Order,
    modern,
    presence::{Attendance, DueRound},
    reply, serve,
    strangers::Stranger,
    timed::{Busy, Course, Stage, Timed},
};
use crate::{
    link::{Chunk, ConnectionId, RoundTubes, Share, Tube, TubeEnd},
    tasks,
    upgrade::{Handed, Hex},
};
use writing::{has_gone, write_body, write_head};

/// A connection that nobody serves.
#[derive(Debug)]
pub(super) struct Loose {
    id: ConnectionId,
    comer: Comer,
    /// What was read of it and not understood.
    read: Bytes,
    /// What its client has not taken.
    unwritten: Bytes,
    due: Due,
    is_last: bool,
    is_unchunked: bool,
    has_passed: bool,
    /// The token that it was let in by last.
    token: Option<Generation>,
    /// The server that is meant by who names none.
    only: Option<Arc<str>>,
}

/// What a connection is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The response to a post of the session with this key.
    Response(Key),
    /// The response to the post that this session begins with, if it is known which that is.
    Greeting(Option<SessionId>),
    /// The rest of a stream.
    Events,
    /// What is not written yet of the response to a request of the modern era.
    Round(DueRound),
}

/// A connection as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct FrozenConnection {
    id: u64,
    #[serde(default)]
    kind: Kind,
    socket: RawFd,
    read: Hex,
    #[serde(default)]
    unwritten: Hex,
    due: FrozenDue,
    is_last: bool,
    #[serde(default)]
    is_unchunked: bool,
    has_passed: bool,
    /// Whether it was let in by a token.
    #[serde(default)]
    has_token: bool,
    /// By which one; without it, by that which counts.
    #[serde(default)]
    token: Option<Generation>,
    #[serde(default)]
    only: Option<Arc<str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FrozenDue {
    Nothing,
    /// Without a key, to what begins a session.
    Response(Option<String>),
    Greeting(Option<SessionId>),
    Events,
    Round(DueRound),
}

/// Whether connections can be let go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Some are in the middle of something.
    NotYet,
    /// All can that are not slow.
    Can {
        /// Those whose responses come from the hub.
        owed: BTreeSet<ConnectionId>,
        /// Those whose clients take nothing of a stream, and come back for it.
        slow: BTreeSet<ConnectionId>,
    },
}

/// Where the hub sends the pieces of responses that are still owed.
pub(crate) type Tubes = BTreeMap<ConnectionId, Tube>;

/// The same, and for requests of the modern era.
#[derive(Debug, Default)]
pub(crate) struct AllTubes {
    pub(crate) posts: Tubes,
    pub(crate) rounds: RoundTubes,
}

/// What a response is made of.
struct From {
    pieces: TubeEnd,
    chunks: TubeEnd<Chunk>,
}

impl Busy {
    /// What the connection is owed; `None` if that cannot be told.
    fn due(&self) -> Option<(Due, Course)> {
        let course = self.course();
        if let (Some(round), false) = (self.round(), self.is_unwritten())
            && let Stage::AtTheHub | Stage::Streams = course.stage
        {
            let due = round.due(course.stage == Stage::Streams)?;
            return Some((Due::Round(due), course));
        }
        let due = match course.stage {
            _ if self.is_unwritten() => return None,
            Stage::AtRest => Due::Nothing,
            Stage::AtTheHub => match self.beginning() {
                Some(presence) => Due::Greeting(Some(presence.session()?)),
                None => Due::Response(course.key?),
            },
            Stage::Streams => Due::Events,
            Stage::Coming | Stage::Written => return None,
        };
        Some((due, course))
    }

    /// Whether its client does not take what it is sent, and comes back for it.
    fn is_slow(&self) -> bool {
        // To a request of the modern era nobody comes back.
        self.is_unwritten() && self.course().stage == Stage::Streams && self.round().is_none()
    }
}

impl Front {
    /// How far connections are from being let go.
    pub(super) fn readiness(&self) -> Readiness {
        if Arc::strong_count(&self.grants) > 1 {
            return Readiness::NotYet;
        }
        let (mut owed, mut slow) = (BTreeSet::new(), BTreeSet::new());
        for busy in self.busy().values() {
            match busy.due() {
                Some((Due::Nothing, _)) => {}
                Some((Due::Response(_) | Due::Greeting(_) | Due::Events | Due::Round(_), _)) => {
                    owed.insert(busy.connection());
                }
                None if busy.is_slow() => {
                    slow.insert(busy.connection());
                }
                None => return Readiness::NotYet,
            }
        }
        Readiness::Can { owed, slow }
    }

    /// Lets go of a connection, if it can be gone on with.
    pub(super) fn let_go(
        &self,
        (stream, read): (Timed<Rewound>, Bytes),
        due: Option<Loosely>,
        only: Option<Arc<str>>,
    ) {
        let Some(Loosely { due, course, busy }) = due else {
            return;
        };
        let (stream, unwritten) = stream.into_parts();
        let (comer, unread) = stream.into_parts();
        let read = [read, unread].concat().into();
        // There is room for all that there are.
        let _full = self.loose.try_send(Loose {
            id: busy.connection(),
            comer,
            read,
            unwritten: unwritten.freeze(),
            due,
            is_last: course.is_last,
            is_unchunked: course.is_unchunked,
            has_passed: busy.has_passed(),
            token: busy.token(),
            only,
        });
    }
}

/// How a connection is let go.
pub(super) struct Loosely {
    due: Due,
    course: Course,
    busy: Busy,
}

impl Loosely {
    /// That of this connection. What serves it may be dropped from then on.
    pub(super) fn of(busy: &Busy) -> Option<Self> {
        let (due, course) = busy.due()?;
        let presence = match &due {
            Due::Round(_) => busy.round().map(|round| round.presence),
            Due::Greeting(_) => busy.beginning(),
            Due::Nothing | Due::Response(_) | Due::Events => None,
        };
        if let Some(presence) = presence {
            presence.is_handed_over();
        }
        let busy = busy.clone();
        Some(Loosely { due, course, busy })
    }
}

impl Loose {
    /// Whether another program can go on with it.
    pub(super) fn can_move(&self) -> bool {
        self.comer.kind() != Kind::Secure
    }

    pub(super) fn freeze<'a>(&'a self, handed: &mut Handed<'a>) -> FrozenConnection {
        FrozenConnection {
            id: self.id.0,
            kind: self.comer.kind(),
            socket: handed.over(self.comer.as_fd()),
            read: Hex(self.read.to_vec()),
            unwritten: Hex(self.unwritten.to_vec()),
            due: match &self.due {
                Due::Nothing => FrozenDue::Nothing,
                Due::Response(key) => FrozenDue::Response(Some(key.to_text())),
                Due::Greeting(session) => FrozenDue::Greeting(*session),
                Due::Events => FrozenDue::Events,
                Due::Round(round) => FrozenDue::Round(round.clone()),
            },
            is_last: self.is_last,
            is_unchunked: self.is_unchunked,
            has_passed: self.has_passed,
            has_token: self.token.is_some(),
            token: self.token,
            only: self.only.clone(),
        }
    }

    pub(super) fn thaw(frozen: FrozenConnection) -> io::Result<Self> {
        Ok(Loose {
            id: ConnectionId(frozen.id),
            comer: Comer::of(frozen.kind, handed::take(frozen.socket)?)?,
            read: frozen.read.0.into(),
            unwritten: frozen.unwritten.0.into(),
            due: match frozen.due {
                FrozenDue::Nothing => Due::Nothing,
                FrozenDue::Response(key) => {
                    let key = key.and_then(|key| Key::parse(&key));
                    key.map_or(Due::Greeting(None), Due::Response)
                }
                FrozenDue::Greeting(session) => Due::Greeting(session),
                FrozenDue::Events => Due::Events,
                FrozenDue::Round(round) => Due::Round(round),
            },
            is_last: frozen.is_last,
            is_unchunked: frozen.is_unchunked,
            has_passed: frozen.has_passed,
            token: frozen
                .has_token
                .then(|| frozen.token.unwrap_or(FIRST_GENERATION)),
            only: frozen.only,
        })
    }

    /// Has it served again. What it is owed comes by the tube that is put in, under the number that it had.
    pub(super) fn go_on(self, front: &Arc<Front>, tubes: &mut AllTubes) {
        let Ok(place) = Arc::clone(&front.connections).try_acquire_owned() else {
            return;
        };
        let served = front.begin(self.only.clone());
        let busy = served.busy.clone();
        let (tube, pieces) = Tube::to(busy.connection());
        let (to, chunks) = Tube::to(busy.connection());
        match self.due {
            Due::Nothing => {}
            Due::Response(_) | Due::Greeting(_) | Due::Events => {
                tubes.posts.insert(self.id, tube);
            }
            Due::Round(_) => {
                tubes.rounds.insert(self.id, to);
            }
        }
        let from = From { pieces, chunks };
        if self.has_passed {
            busy.passes();
        }
        if let Some(token) = self.token {
            busy.has_token(token);
        }
        let stranger = front.strangers.welcome_again(self.has_passed);
        tasks::spawn("http connection", async move {
            go_on(served, self, from, stranger, place).await;
        });
    }
}

async fn go_on(
    mut served: Served,
    loose: Loose,
    from: From,
    stranger: Stranger,
    _place: OwnedSemaphorePermit,
) {
    let Loose {
        comer,
        read,
        unwritten,
        due,
        is_last,
        is_unchunked,
        ..
    } = loose;
    if due == Due::Nothing && unwritten.is_empty() && is_last {
        // It was about to be closed.
        return;
    }
    let (front, busy) = (Arc::clone(&served.front), served.busy.clone());
    let mut place = Share::of(&front.room);
    place.set(unwritten.len());
    let stream = Timed::new(Rewound::new(read, comer), busy.clone());
    let mut stream = stream.behind(&unwritten, place);
    drop(unwritten);
    if due != Due::Nothing || is_last {
        let answering = (due != Due::Nothing).then(|| busy.begin());
        if is_last {
            busy.is_last(is_unchunked);
        }
        let finished = tokio::select! {
            biased;
            // Before what answers is dropped, and with it that it does.
            let_go = is_let_go(&busy) => Err(let_go),
            written = async {
                let finished = finish(&front, &mut stream, &busy, due, from).await;
                drop(answering);
                finished?;
                if is_last {
                    stream.shutdown().await?;
                }
                Ok::<_, io::Error>(())
            } => Ok(written),
        };
        match finished {
            Err(None) => return,
            Err(loosely) => {
                return front.let_go((stream, Bytes::new()), loosely, served.only.take());
            }
            Ok(Ok(())) if !is_last => {}
            Ok(Ok(()) | Err(_)) => return,
        }
    }
    serve(served, stream, stranger).await;
}

/// Returns when the connection is let go, or has to end: then there is nothing to go on with.
async fn is_let_go(busy: &Busy) -> Option<Loosely> {
    loop {
        match busy.orders().come().await {
            Order::Rest => {}
            Order::End => return None,
            Order::LetGo => return Loosely::of(busy),
        }
    }
}

/// Writes what a connection is owed.
async fn finish(
    front: &Front,
    stream: &mut Timed<Rewound>,
    busy: &Busy,
    due: Due,
    from: From,
) -> io::Result<()> {
    let From { pieces, chunks } = from;
    let body = match due {
        Due::Nothing => return Ok(()),
        Due::Events => {
            busy.is_at(Stage::Streams);
            reply::rest_of_events(pieces)
        }
        Due::Round(round) => return finish_round(front, stream, busy, round, chunks).await,
        Due::Response(key) => {
            busy.is_of(Some(key));
            busy.is_at(Stage::AtTheHub);
            let answered = tokio::select! {
                biased;
                answered = exchange::answer(busy, pieces) => answered,
                gone = has_gone(stream) => return Err(gone),
            };
            let response = answered.unwrap_or_else(|fault| reply::refused(&fault));
            write_head(stream, busy, response).await?
        }
        Due::Greeting(session) => {
            let attendance = session.map(|session| {
                let (attendance, presence) = Attendance::of(session, front.inbox.clone());
                busy.is_beginning(presence);
                attendance
            });
            busy.is_at(Stage::AtTheHub);
            let greeted = tokio::select! {
                biased;
                greeted = exchange::greet(busy, pieces, attendance) => greeted,
                gone = has_gone(stream) => return Err(gone),
            };
            let response = greeted.unwrap_or_else(|fault| reply::refused(&fault));
            write_head(stream, busy, response).await?
        }
    };
    write_body(stream, busy, body).await
}

/// The same of a request of the modern era, whose client has cancelled it if it is not there any more.
async fn finish_round(
    front: &Front,
    stream: &mut Timed<Rewound>,
    busy: &Busy,
    round: DueRound,
    chunks: TubeEnd<Chunk>,
) -> io::Result<()> {
    let (attendance, presence) = Attendance::of(round.session, front.inbox.clone());
    let again = round.again(presence);
    busy.is_round(again.clone());
    let body = if round.streams {
        busy.is_at(Stage::Streams);
        reply::events(Events::of_request(None, chunks, attendance)).into_body()
    } else {
        let response = tokio::select! {
            biased;
            response = modern::respond_again(chunks, attendance, &again, busy) => response,
            gone = has_gone(stream) => return Err(gone),
        };
        write_head(stream, busy, response).await?
    };
    write_body(stream, busy, body).await
}

#[cfg(test)]
mod tests;
