use mux::{Refusal, Then};
use tokio::sync::mpsc::{self, Receiver};

use super::*;
use crate::link::PIECES_MAX;

/// The ways out of one session, and the room that they take.
struct Scene {
    streams: Streams,
    room: Arc<Room>,
}

fn scene() -> Scene {
    let room = Room::new(1 << 30);
    Scene {
        streams: Streams::new(Key::random().unwrap(), 1 << 20, &room),
        room,
    }
}

fn message(text: &str) -> Outgoing {
    Outgoing::from(text.to_owned())
}

fn answer(line: u64) -> Answered {
    Answered {
        line: LineNumber(line),
        id: line.into(),
        others: Vec::new(),
        then: Then::Done,
    }
}

impl Scene {
    fn post(&mut self, line: u64, wants: Wants) -> Receiver<Piece> {
        let (to, from) = mpsc::channel(PIECES_MAX);
        self.streams.open(LineNumber(line), wants, to);
        from
    }

    fn listen(&mut self) -> Receiver<Piece> {
        let (to, mut from) = mpsc::channel(PIECES_MAX);
        assert!(self.streams.listen(to).is_ok());
        assert_eq!(next(&mut from), "done");
        from
    }

    fn part(&mut self, line: Option<u64>, text: &str) {
        let line = line.map(LineNumber);
        self.streams.push(message(text), None, line);
    }

    fn answer(&mut self, line: u64, text: &str) {
        self.streams.push(message(text), Some(answer(line)), None);
    }

    fn flush(&mut self) -> Flushed {
        self.streams.flush(false)
    }

    /// Nothing waits, and nothing takes any room.
    fn is_at_rest(&self) {
        assert!(self.streams.is_empty());
        let sums = (self.streams.behind_head(), self.streams.waiting());
        assert_eq!((sums, self.room.taken()), ((0, 0), 0));
    }
}

/// What comes next, or how it ends.
fn next(from: &mut Receiver<Piece>) -> String {
    let text = |parcel: Parcel| String::from_utf8(parcel.open().to_vec()).unwrap();
    match from.try_recv() {
        Ok(Piece::Part(parcel)) => text(parcel),
        Ok(Piece::Answer { parcel, begins }) => {
            let begins = begins.map_or("", |_key| ", begins");
            format!("answer {}{begins}", text(parcel))
        }
        Ok(Piece::Fault(parcel)) => format!("fault {}", text(parcel)),
        Ok(Piece::Done) => "done".to_owned(),
        Ok(Piece::Over) => "over".to_owned(),
        Ok(Piece::Refused(denial)) => format!("{denial:?}"),
        Err(error) => error.to_string(),
    }
}

const NOTHING: &str = "receiving on an empty channel";
const END: &str = "receiving on a closed channel";

#[test]
fn each_post_gets_what_belongs_to_it_and_then_its_answer() {
    let mut scene = scene();
    let mut first = scene.post(1, Wants::Answer);
    let mut second = scene.post(2, Wants::Answer);
    scene.part(Some(2), "progress");
    scene.answer(1, "one");
    assert_eq!(scene.flush(), Flushed::All);
    assert_eq!(next(&mut first), "answer one, begins");
    assert_eq!(next(&mut first), END);
    assert_eq!(next(&mut second), "progress");
    assert_eq!(next(&mut second), NOTHING);
    scene.answer(2, "two");
    scene.flush();
    assert_eq!(next(&mut second), "answer two");
    assert_eq!(next(&mut second), END);
    scene.is_at_rest();
}

#[test]
fn a_session_that_is_closed_with_its_first_answer_has_not_begun() {
    let mut scene = scene();
    let mut first = scene.post(1, Wants::Answer);
    scene.answer(1, "no");
    scene.streams.flush(true);
    assert_eq!(next(&mut first), "answer no");
}

#[test]
fn what_wants_no_answer_is_receipted_and_what_is_at_fault_is_told() {
    let mut scene = scene();
    let mut told = scene.post(1, Wants::Receipt);
    let mut wrong = scene.post(2, Wants::Answer);
    let mut cancelled = scene.post(3, Wants::Answer);
    scene.part(Some(2), "no message");
    scene.streams.done(&[LineNumber(2), LineNumber(3)]);
    scene.flush();
    assert_eq!(next(&mut told), "done");
    assert_eq!(next(&mut wrong), "fault no message");
    assert_eq!(next(&mut cancelled), "over");
    // Late news of what is over.
    scene.streams.done(&[LineNumber(1)]);
    scene.answer(3, "too late");
    assert_eq!(scene.flush(), Flushed::All);
    scene.is_at_rest();
}

#[test]
fn what_belongs_to_nothing_waits_for_somebody_who_listens() {
    let mut scene = scene();
    scene.part(None, "first");
    assert_eq!(scene.flush(), Flushed::All);
    assert!(scene.streams.is_empty(), "it keeps nobody waiting");
    let mut listener = scene.listen();
    scene.part(None, "second");
    scene.flush();
    assert_eq!(next(&mut listener), "first");
    assert_eq!(next(&mut listener), "second");
    let (to, _from) = mpsc::channel(PIECES_MAX);
    assert!(scene.streams.listen(to).is_err(), "there is one already");
    drop(listener);
    scene.part(None, "third");
    scene.flush();
    let mut next_one = scene.listen();
    scene.flush();
    assert_eq!(next(&mut next_one), "third");
    scene.is_at_rest();
}

#[test]
fn of_what_is_parked_the_oldest_goes_that_is_no_question() {
    let mut scene = scene();
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#;
    scene.part(None, question);
    for number in 0..PARKED_MAX {
        scene.part(None, &number.to_string());
    }
    let mut listener = scene.listen();
    let mut heard = Vec::new();
    while scene.flush() == Flushed::Blocked || heard.len() < PARKED_MAX {
        heard.extend(
            (0..PIECES_MAX)
                .map(|_| next(&mut listener))
                .filter(|it| it != NOTHING),
        );
    }
    assert_eq!(heard.len(), PARKED_MAX);
    assert_eq!(heard[0], question);
    assert_eq!(heard[1], "1", "the first notification was dropped");
    scene.is_at_rest();
}

#[test]
fn a_response_that_is_not_read_holds_up_no_other() {
    let mut scene = scene();
    let mut slow = scene.post(1, Wants::Answer);
    let half = "x".repeat(HANDED_MAX / 2 + 1);
    for _ in 0..3 {
        scene.part(Some(1), &half);
    }
    assert_eq!(scene.flush(), Flushed::Blocked);
    assert_eq!(scene.streams.behind_head(), 2 * half.len());
    let mut other = scene.post(2, Wants::Answer);
    scene.answer(2, "two");
    assert_eq!(scene.flush(), Flushed::Blocked);
    assert_eq!(next(&mut other), "answer two");
    assert_eq!(scene.streams.waiting(), 3 * half.len());
    for _ in 0..3 {
        assert_eq!(next(&mut slow), half);
        assert_eq!(next(&mut slow), NOTHING);
        scene.flush();
    }
    assert_eq!(scene.streams.taken(), 3 * half.len() as u64 + 3);
    scene.answer(1, "one");
    assert_eq!(scene.flush(), Flushed::All);
    assert_eq!(next(&mut slow), "answer one, begins");
    scene.is_at_rest();
}

#[test]
fn who_takes_from_a_full_response_is_heard_of() {
    let mut scene = scene();
    let mut slow = scene.post(1, Wants::Answer);
    let large = "x".repeat(HANDED_MAX);
    scene.part(Some(1), &large);
    scene.part(Some(1), &large);
    assert_eq!(scene.flush(), Flushed::Blocked);
    let drained = scene.streams.drained();
    let mut is_told = notified(drained);
    assert!(!is_told());
    next(&mut slow);
    assert!(is_told());
}

/// Whether somebody was notified since this was asked last.
fn notified(notify: Arc<Notify>) -> impl FnMut() -> bool {
    move || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let notified = std::pin::pin!(notify.notified());
        notified.poll(&mut context).is_ready()
    }
}

#[test]
fn who_does_not_read_loses_all_but_that_there_were_answers() {
    let mut scene = scene();
    let mut slow = scene.post(1, Wants::Answer);
    let large = "x".repeat(HANDED_MAX);
    scene.part(Some(1), &large);
    scene.part(Some(1), &large);
    scene.answer(1, "one");
    scene.flush();
    scene.streams.cut();
    assert_eq!(next(&mut slow), large);
    scene.flush();
    let too_slow = String::from_utf8(Refusal::TooSlow.to_response(Some(&1.into())).to_vec());
    assert_eq!(
        next(&mut slow),
        format!("answer {}, begins", too_slow.unwrap())
    );
    scene.is_at_rest();
}

#[test]
fn what_a_client_is_asked_that_has_left_its_post_is_heard_by_who_listens() {
    let mut scene = scene();
    let post = scene.post(1, Wants::Answer);
    scene.part(Some(1), "before it goes");
    drop(post);
    scene.flush();
    scene.part(Some(1), "after that");
    scene.answer(1, "to nobody");
    scene.flush();
    let mut listener = scene.listen();
    scene.flush();
    assert_eq!(next(&mut listener), "before it goes");
    assert_eq!(next(&mut listener), "after that");
    assert_eq!(next(&mut listener), NOTHING);
    scene.is_at_rest();
    assert!(scene.streams.posts.is_empty());
}
