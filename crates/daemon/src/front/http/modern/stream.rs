//! A response of the modern era that is a stream: what belongs to one request, and then its answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    super::reply::{COMMENT, COMMENT_INTERVAL, event},
    presence::Attendance,
};
use crate::link::Chunk;

/// Messages as they come. Nobody comes back to them, so they have no numbers.
#[derive(Debug)]
pub(in super::super) struct Stream {
    from: Receiver<Chunk>,
    /// Of the event that is being written.
    pieces: VecDeque<Bytes>,
    /// When to say again that the stream lives.
    due: Pin<Box<Sleep>>,
    attendance: Attendance,
    is_over: bool,
}

impl Stream {
    /// One of which the `first` message may be here already.
    pub(in super::super) fn new(
        first: Option<Chunk>,
        from: Receiver<Chunk>,
        attendance: Attendance,
    ) -> Self {
        let mut stream = Stream {
            from,
            pieces: VecDeque::new(),
            due: Box::pin(sleep_until(Instant::now() + COMMENT_INTERVAL)),
            attendance,
            is_over: false,
        };
        if let Some(first) = first {
            stream.take(first);
        }
        stream
    }

    fn take(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Part(parcel) => self.pieces.extend(event(None, &parcel.open())),
            Chunk::Answer(parcel) => {
                self.pieces.extend(event(None, &parcel.open()));
                self.end();
            }
            // Nothing is refused that has begun.
            Chunk::Refused(_) => self.end(),
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.attendance.is_over();
    }

    /// Whether nothing more comes.
    pub(in super::super) fn has_ended(&self) -> bool {
        self.is_over && self.pieces.is_empty()
    }

    pub(in super::super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
                return Poll::Ready(Some(piece));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.from.poll_recv(context) {
                Poll::Ready(Some(chunk)) => self.take(chunk),
                // Its session has ended.
                Poll::Ready(None) => self.end(),
                Poll::Pending => break,
            }
        }
        std::task::ready!(self.due.as_mut().poll(context));
        self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
        // It has to be watched again.
        context.waker().wake_by_ref();
        Poll::Ready(Some(Bytes::from_static(COMMENT)))
    }
}

#[cfg(test)]
mod tests {
    use mux::{Answered, LineNumber, Then};
    use tokio::sync::mpsc;
    use wire::Outgoing;

    use super::*;
    use crate::{
        hub::Input,
        link::{ConnectionId, PIECES_MAX, Room, Rounds},
    };

    struct Scene {
        rounds: Rounds,
        stream: Stream,
        inputs: Receiver<Input>,
    }

    fn scene() -> Scene {
        let mut rounds = Rounds::new(1 << 20, &Room::new(1 << 30));
        let (to, from) = mpsc::channel(PIECES_MAX);
        rounds.open(LineNumber(1), (to, ConnectionId(1)));
        let (inbox, inputs) = mpsc::channel(1);
        let (attendance, presence) = Attendance::new(inbox);
        assert!(presence.is_for(mux::SessionId(7)));
        Scene {
            rounds,
            stream: Stream::new(None, from, attendance),
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

    async fn next(stream: &mut Stream) -> Option<String> {
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
}
