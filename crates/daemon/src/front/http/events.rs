//! A response that is a stream: messages as server-sent events, as they come, and now and then a sign of life.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};
use wire::Pieces;

use super::{exchange::without_line_ends, presence::Attendance};
use crate::link::{Chunk, EventId, HELD_BYTES_MIN, Parcel, Piece, TubeEnd};

/// How often a stream says that it lives.
pub(super) const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

const EVENT_TAIL: &[u8] = b"\n\n";
const COMMENT: &[u8] = b": alive\n\n";

/// When to come back for the rest, in milliseconds.
const RETRY: &[u8] = b"retry: 500\n\n";

/// Messages as they come.
#[derive(Debug)]
pub(super) struct Events {
    source: Source,
    /// Of the event that is being written.
    pieces: VecDeque<Bytes>,
    /// When to say again that the stream lives.
    due: Pin<Box<Sleep>>,
    is_over: bool,
}

/// Where they come from.
#[derive(Debug)]
enum Source {
    /// A stream that its client can come back to, so its events have numbers.
    Session(TubeEnd),
    /// A request of the modern era. Nobody comes back to it, and who goes away has cancelled it.
    Request(TubeEnd<Chunk>, Attendance),
}

/// What comes next.
enum Next {
    /// What follows is behind this one.
    Behind(EventId),
    Message(Option<EventId>, Parcel),
    /// The message that answers, and the end.
    Answer(Option<EventId>, Parcel),
    /// The end for now.
    Interlude,
    Nothing,
    End,
}

impl Events {
    /// Those of a session, the `first` of which is here already.
    pub(super) fn of_session(first: Piece, from: TubeEnd) -> Self {
        Events::new(Source::Session(from), Some(first.into()))
    }

    /// Those of a request of the modern era.
    pub(super) fn of_request(
        first: Option<Chunk>,
        from: TubeEnd<Chunk>,
        attendance: Attendance,
    ) -> Self {
        Events::new(Source::Request(from, attendance), first.map(Next::from))
    }

    fn new(source: Source, first: Option<Next>) -> Self {
        let mut events = Events {
            source,
            pieces: VecDeque::new(),
            due: Box::pin(sleep_until(Instant::now() + COMMENT_INTERVAL)),
            is_over: false,
        };
        if let Some(first) = first {
            events.take(first);
        }
        events
    }

    /// Whether nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        self.is_over && self.pieces.is_empty()
    }

    fn take(&mut self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Behind(id) => {
                let told = format!("id: {id}\ndata: \n\n");
                self.pieces.push_back(told.into());
            }
            Next::Message(id, parcel) => self.pieces.extend(event(id, parcel)),
            Next::Answer(id, parcel) => {
                self.pieces.extend(event(id, parcel));
                self.end();
            }
            Next::Interlude => {
                self.pieces.push_back(Bytes::from_static(RETRY));
                self.end();
            }
            Next::End => self.end(),
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        if let Source::Request(_, attendance) = &mut self.source {
            attendance.is_over();
        }
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
                return Poll::Ready(Some(piece));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.source.poll(context) {
                Poll::Ready(next) => self.take(next),
                Poll::Pending => break,
            }
        }
        ready!(self.due.as_mut().poll(context));
        self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
        // It has to be watched again.
        context.waker().wake_by_ref();
        Poll::Ready(Some(Bytes::from_static(COMMENT)))
    }
}

impl Source {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let next = match self {
            Source::Session(from) => ready!(from.poll_recv(context)).map(Next::from),
            Source::Request(from, _) => ready!(from.poll_recv(context)).map(Next::from),
        };
        // Its session has ended.
        Poll::Ready(next.unwrap_or(Next::End))
    }
}

impl From<Piece> for Next {
    fn from(piece: Piece) -> Self {
        match piece {
            // That it has begun is said by the head.
            Piece::Begun(None) => Next::Nothing,
            Piece::Begun(Some(id)) => Next::Behind(id),
            Piece::Part { id, parcel } => Next::Message(Some(id), parcel),
            Piece::Answer { id, parcel, .. } => Next::Answer(Some(id), parcel),
            Piece::Interlude => Next::Interlude,
            // None of these comes behind the beginning of a stream.
            Piece::Fault(_) | Piece::Done | Piece::Refused(_) | Piece::Over => Next::End,
        }
    }
}

impl From<Chunk> for Next {
    fn from(chunk: Chunk) -> Self {
        match chunk {
            Chunk::Part(parcel) => Next::Message(None, parcel),
            Chunk::Answer(parcel) => Next::Answer(None, parcel),
            // Nothing is refused that has begun.
            Chunk::Refused(_) => Next::End,
        }
    }
}

/// A message as an event, which is counted until it is written.
fn event(id: Option<EventId>, parcel: Parcel) -> Pieces {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let head = format!("{id}event: message\ndata: ");
    let message = parcel.message();
    let bytes = message.len() + head.len() + EVENT_TAIL.len();
    if bytes < HELD_BYTES_MIN {
        let mut whole = BytesMut::with_capacity(bytes);
        whole.put_slice(head.as_bytes());
        for piece in message.pieces() {
            whole.put_slice(&one_line(piece));
        }
        whole.put_slice(EVENT_TAIL);
        return Pieces::from_iter([whole.freeze()]);
    }
    let mut pieces = Pieces::from_iter([Bytes::from(head)]);
    pieces.extend(message.pieces().iter().map(one_line));
    pieces.push(Bytes::from_static(EVENT_TAIL));
    parcel.held_by(pieces)
}

/// The end of a line would be the end of an event's line. Within JSON it is a blank like any other.
fn one_line(piece: &Bytes) -> Bytes {
    if memchr::memchr2(b'\r', b'\n', piece).is_none() {
        return piece.clone();
    }
    without_line_ends(piece)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mux::{Answered, LineNumber, Then};
    use tokio::sync::{
        Notify,
        mpsc::{self, Receiver},
    };
    use wire::Outgoing;

    use super::*;
    use crate::{
        hub::Input,
        link::{ConnectionId, Room, Rounds, Sent, StreamId, Tube},
    };

    struct Scene {
        rounds: Rounds,
        stream: Events,
        inputs: Receiver<Input>,
    }

    fn scene() -> Scene {
        let mut rounds = Rounds::new(1 << 20, &Room::new(1 << 30));
        let (to, from) = Tube::to(ConnectionId(1));
        rounds.open(LineNumber(1), to);
        let (inbox, inputs) = mpsc::channel(1);
        let (attendance, presence) = Attendance::new(inbox);
        assert!(presence.is_for(mux::SessionId(7)));
        Scene {
            rounds,
            stream: Events::of_request(None, from, attendance),
            inputs,
        }
    }

    impl Scene {
        fn say(&mut self, text: &str, answered: Option<Answered>) {
            let message = Outgoing::from(text.to_owned());
            self.rounds.push(message, answered, Some(LineNumber(1)));
            self.rounds.flush();
        }
    }

    async fn next(stream: &mut Events) -> Option<String> {
        let bytes = std::future::poll_fn(|context| stream.poll_frame(context)).await;
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_lives_until_the_answer_and_its_events_have_no_numbers() {
        let mut scene = scene();
        let began = Instant::now();
        assert_eq!(
            next(&mut scene.stream).await.as_deref(),
            Some(": alive\n\n")
        );
        assert_eq!(began.elapsed(), COMMENT_INTERVAL);
        scene.say("1", None);
        assert_eq!(
            next(&mut scene.stream).await.as_deref(),
            Some("event: message\ndata: 1\n\n")
        );
        scene.say(
            "2",
            Some(Answered {
                line: LineNumber(1),
                id: 1.into(),
                others: Vec::new(),
                then: Then::Done,
            }),
        );
        assert_eq!(
            next(&mut scene.stream).await.as_deref(),
            Some("event: message\ndata: 2\n\n")
        );
        assert!(scene.stream.has_ended());
        assert_eq!(next(&mut scene.stream).await, None);
        drop(scene.stream);
        assert!(scene.inputs.recv().await.is_none(), "nobody has gone early");
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_early_tells_so() {
        let mut scene = scene();
        scene.say("1", None);
        assert!(next(&mut scene.stream).await.is_some());
        drop(scene.stream);
        let told = scene.inputs.recv().await;
        assert!(
            matches!(told, Some(Input::Closed(mux::SessionId(7)))),
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_session() {
        let mut scene = scene();
        drop(scene.rounds);
        assert_eq!(next(&mut scene.stream).await, None);
        drop(scene.stream);
        assert!(scene.inputs.recv().await.is_none(), "nobody has gone early");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_says_now_and_then_that_it_lives_and_ends_with_its_sender() {
        let (to, from) = Tube::to(ConnectionId(1));
        let mut events = Events::of_session(Piece::Begun(None), from);
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(next(&mut events).await.as_deref(), Some(": alive\n\n"));
        }
        assert_eq!(began.elapsed(), 3 * COMMENT_INTERVAL);
        drop(to);
        assert_eq!(next(&mut events).await, None);
    }

    const ID: EventId = EventId {
        stream: StreamId::LISTENER,
        number: 7,
    };

    #[tokio::test]
    async fn a_client_is_told_where_to_go_on_and_when() {
        let (to, from) = Tube::to(ConnectionId(1));
        let id = EventId {
            stream: StreamId::of(LineNumber(3)),
            ..ID
        };
        let mut events = Events::of_session(Piece::Begun(Some(id)), from);
        assert_eq!(
            next(&mut events).await.as_deref(),
            Some("id: 3-7\ndata: \n\n")
        );
        assert_eq!(to.send(Piece::Interlude), Sent::Yes);
        assert_eq!(next(&mut events).await.as_deref(), Some("retry: 500\n\n"));
        assert_eq!(next(&mut events).await, None);
    }

    #[test]
    fn an_event_has_its_message_on_one_line_whatever_its_size() {
        let room = Room::new(1 << 20);
        let pieces = |message: Outgoing| {
            event(
                Some(ID),
                Parcel::new(message, &room, &Arc::new(Notify::new())),
            )
        };
        let whole = |message: Outgoing| String::from_utf8(pieces(message).concat()).unwrap();
        let head = "id: 0-7\nevent: message\ndata: ";
        let short = Outgoing::from("{\r\"a\":1}".to_owned());
        assert_eq!(whole(short), format!("{head}{{ \"a\":1}}\n\n"));
        let text = "x".repeat(2 * HELD_BYTES_MIN);
        let long = Outgoing::from(text.clone());
        let parts = pieces(long.clone());
        assert_eq!(parts.len(), 3, "it is not copied");
        assert!(room.taken() == text.len(), "it is being written");
        drop(parts);
        assert_eq!(room.taken(), 0);
        assert_eq!(whole(long), format!("{head}{text}\n\n"));
    }
}
