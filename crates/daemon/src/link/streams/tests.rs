use mux::{Refusal, Then};

use super::stream::{HANDED_MAX, KEPT_MAX};
use super::*;
use crate::link::{PIECES_MAX, Parcel, TubeEnd};

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

/// The connection that every response goes over.
const CONNECTION: ConnectionId = ConnectionId(0);

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
    fn post(&mut self, line: u64, wants: Wants) -> TubeEnd {
        let (to, from) = Tube::to(CONNECTION);
        let kind = (wants, Primes::No);
        self.streams.open(LineNumber(line), kind, to);
        from
    }

    /// A post whose client can be told where to go on.
    fn primed(&mut self, line: u64) -> TubeEnd {
        let (to, from) = Tube::to(CONNECTION);
        let kind = (Wants::Answer, Primes::Yes);
        self.streams.open(LineNumber(line), kind, to);
        from
    }

    fn listen(&mut self) -> TubeEnd {
        let (to, mut from) = Tube::to(CONNECTION);
        assert!(self.streams.listen(to, Primes::No).is_ok());
        assert_eq!(next(&mut from), "begun");
        from
    }

    /// Somebody goes on behind this event.
    fn resume(&mut self, last: &str) -> TubeEnd {
        let (to, mut from) = Tube::to(CONNECTION);
        let last = EventId::parse(last).unwrap();
        let gone_on = self.streams.resume(last, Primes::No, to);
        assert!(gone_on.is_ok(), "{last}");
        assert_eq!(next(&mut from), "begun");
        self.flush();
        from
    }

    fn has_nothing_of(&mut self, last: &str) -> bool {
        let (to, _from) = Tube::to(CONNECTION);
        self.streams
            .resume(EventId::parse(last).unwrap(), Primes::No, to)
            .is_err()
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
        let kept = self.streams.tally.kept;
        assert_eq!((sums, self.room.taken()), ((0, 0), kept));
    }
}

/// What comes next, or how it ends.
fn next(from: &mut TubeEnd) -> String {
    let text = |parcel: Parcel| String::from_utf8(parcel.open().to_vec()).unwrap();
    match from.try_recv() {
        Ok(Piece::Begun(None)) => "begun".to_owned(),
        Ok(Piece::Begun(Some(id))) => format!("begun {id}"),
        Ok(Piece::Part { id, parcel }) => format!("{id} {}", text(parcel)),
        Ok(Piece::Answer { id, parcel, begins }) => {
            let begins = begins.map_or("", |_key| ", begins");
            format!("{id} answer {}{begins}", text(parcel))
        }
        Ok(Piece::Interlude) => "interlude".to_owned(),
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
    assert_eq!(next(&mut first), "1-1 answer one, begins");
    assert_eq!(next(&mut first), END);
    assert_eq!(next(&mut second), "begun");
    assert_eq!(next(&mut second), "2-1 progress");
    assert_eq!(next(&mut second), NOTHING);
    scene.answer(2, "two");
    scene.flush();
    assert_eq!(next(&mut second), "2-2 answer two");
    assert_eq!(next(&mut second), END);
    scene.is_at_rest();
}

#[test]
fn a_session_that_is_closed_with_its_first_answer_has_not_begun() {
    let mut scene = scene();
    let mut first = scene.post(1, Wants::Answer);
    scene.answer(1, "no");
    scene.streams.flush(true);
    assert_eq!(next(&mut first), "1-1 answer no");
}

#[test]
fn what_wants_no_answer_is_receipted_and_what_is_at_fault_is_told() {
    let mut scene = scene();
    let mut told = scene.post(1, Wants::Receipt);
    let mut wrong = scene.post(2, Wants::Answer);
    let mut cancelled = scene.post(3, Wants::Answer);
    let mut told_of = scene.post(4, Wants::Answer);
    let fault = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    scene.part(Some(2), fault);
    scene.part(Some(4), log);
    scene.streams.done(&[2, 3, 4].map(LineNumber));
    scene.flush();
    assert_eq!(next(&mut told), "done");
    assert_eq!(next(&mut wrong), format!("fault {fault}"));
    assert_eq!(next(&mut cancelled), "over");
    for expected in ["begun", &format!("4-1 {log}"), "over"] {
        assert_eq!(next(&mut told_of), expected, "a call that is cancelled");
    }
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
    assert_eq!(next(&mut listener), "0-1 first");
    assert_eq!(next(&mut listener), "0-2 second");
    let (to, _from) = Tube::to(CONNECTION);
    let second = scene.streams.listen(to, Primes::No);
    assert!(second.is_err(), "there is one already");
    drop(listener);
    scene.part(None, "third");
    scene.flush();
    let mut next_one = scene.listen();
    scene.flush();
    assert_eq!(next(&mut next_one), "0-3 third");
    scene.is_at_rest();
}

#[test]
fn of_what_is_parked_the_oldest_goes_that_is_no_question() {
    let mut scene = scene();
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#;
    scene.part(None, question);
    for number in 0..KEPT_MAX {
        scene.part(None, &number.to_string());
    }
    let mut listener = scene.listen();
    let mut heard = Vec::new();
    while scene.flush() == Flushed::Blocked || heard.len() < KEPT_MAX {
        heard.extend(
            (0..PIECES_MAX)
                .map(|_| next(&mut listener))
                .filter(|it| it != NOTHING),
        );
    }
    assert_eq!(heard.len(), KEPT_MAX);
    assert_eq!(heard[0], format!("0-1 {question}"));
    assert_eq!(heard[1], "0-3 1", "the first notification was dropped");
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
    assert_eq!(next(&mut other), "2-1 answer two");
    assert_eq!(scene.streams.waiting(), 3 * half.len());
    assert_eq!(next(&mut slow), "begun");
    for number in 1..=3 {
        assert_eq!(next(&mut slow), format!("1-{number} {half}"));
        assert_eq!(next(&mut slow), NOTHING);
        scene.flush();
    }
    assert_eq!(scene.streams.taken(), 3 * half.len() as u64 + 3);
    scene.answer(1, "one");
    assert_eq!(scene.flush(), Flushed::All);
    assert_eq!(next(&mut slow), "1-4 answer one, begins");
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
    assert_eq!(next(&mut slow), "begun");
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
    assert_eq!(next(&mut slow), "begun");
    assert_eq!(next(&mut slow), format!("1-1 {large}"));
    scene.flush();
    let too_slow = String::from_utf8(Refusal::TooSlow.to_response(Some(&1.into())).to_vec());
    assert_eq!(
        next(&mut slow),
        format!("1-3 answer {}, begins", too_slow.unwrap())
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
    assert_eq!(next(&mut listener), "0-1 before it goes");
    assert_eq!(next(&mut listener), "0-2 after that");
    assert_eq!(next(&mut listener), NOTHING);
    scene.is_at_rest();
    assert!(scene.streams.posts.is_empty());
}

#[test]
fn who_comes_back_to_a_post_hears_what_came_behind_the_last_that_it_heard() {
    let mut scene = scene();
    let mut post = scene.post(1, Wants::Answer);
    scene.part(Some(1), "a");
    scene.part(Some(1), "b");
    scene.flush();
    assert_eq!(next(&mut post), "begun");
    assert_eq!(next(&mut post), "1-1 a");
    // The second was on its way.
    drop(post);
    scene.part(Some(1), "c");
    scene.flush();
    scene.part(None, "for another stream");
    let mut again = scene.resume("1-1");
    assert_eq!(next(&mut again), "1-2 b");
    assert_eq!(next(&mut again), "1-3 c");
    assert_eq!(next(&mut again), NOTHING);
    scene.answer(1, "one");
    scene.flush();
    assert_eq!(next(&mut again), "1-4 answer one, begins");
    assert_eq!(next(&mut again), END);
    // The end may be lost on the way, too.
    let mut once_more = scene.resume("1-3");
    assert_eq!(next(&mut once_more), "1-4 answer one");
    assert_eq!(next(&mut once_more), END);
    let (to, _from) = Tube::to(CONNECTION);
    let all = EventId::parse("1-4").unwrap();
    let more = scene.streams.resume(all, Primes::No, to);
    assert!(matches!(more, Err(NothingLeft::Heard(_))));
    scene.is_at_rest();
}

#[test]
fn an_answer_that_comes_while_nobody_reads_waits_for_who_comes_back() {
    let mut scene = scene();
    let mut post = scene.primed(1);
    scene.streams.begin(CONNECTION);
    assert_eq!(next(&mut post), "begun 1-0");
    drop(post);
    scene.flush();
    scene.answer(1, "one");
    assert_eq!(scene.flush(), Flushed::All);
    assert!(scene.streams.is_empty(), "it keeps nobody waiting");
    let mut again = scene.resume("1-0");
    assert_eq!(next(&mut again), "1-1 answer one, begins");
    assert_eq!(next(&mut again), END);
}

#[test]
fn a_response_can_end_before_its_stream_does() {
    let mut scene = scene();
    let mut post = scene.primed(1);
    scene.streams.interrupt(LineNumber(1));
    assert_eq!(next(&mut post), "begun 1-0");
    assert_eq!(next(&mut post), "interlude");
    drop(post);
    scene.answer(1, "one");
    scene.flush();
    // It is over already.
    scene.streams.interrupt(LineNumber(1));
    let mut again = scene.resume("1-0");
    assert_eq!(next(&mut again), "1-1 answer one, begins");
}

#[test]
fn who_has_come_back_is_told_again_where_to_go_on_and_is_not_sent_away_again() {
    let mut scene = scene();
    let mut post = scene.primed(1);
    scene.streams.interrupt(LineNumber(1));
    assert_eq!(next(&mut post), "begun 1-0");
    assert_eq!(scene.streams.open_posts(), [], "nobody reads it");
    for last in ["1-0", "1-1", "1-2"] {
        let (to, mut again) = Tube::to(CONNECTION);
        let id = EventId::parse(last).unwrap();
        let gone_on = scene.streams.resume(id, Primes::Yes, to);
        assert!(gone_on.is_ok(), "{last}");
        assert_eq!(next(&mut again), format!("begun {last}"));
        scene.streams.interrupt(LineNumber(1));
        assert_eq!(scene.streams.open_posts(), []);
        scene.part(Some(1), "more");
        scene.flush();
        assert!(next(&mut again).ends_with(" more"));
    }
    let (to, mut listens) = Tube::to(CONNECTION);
    let id = EventId::parse("0-0").unwrap();
    assert!(scene.streams.resume(id, Primes::Yes, to).is_ok());
    assert_eq!(next(&mut listens), "begun 0-0");
}

#[test]
fn who_comes_back_takes_the_place_of_who_was_there() {
    let mut scene = scene();
    let mut first = scene.listen();
    scene.part(None, "a");
    scene.flush();
    let mut second = scene.resume("0-0");
    assert_eq!(next(&mut first), "0-1 a");
    assert_eq!(next(&mut first), END);
    assert_eq!(next(&mut second), "0-1 a");
    scene.part(None, "b");
    scene.flush();
    assert_eq!(next(&mut second), "0-2 b");
    drop(second);
    // Who does not say what it has heard gets only what is new.
    let mut third = scene.listen();
    scene.part(None, "c");
    scene.flush();
    assert_eq!(next(&mut third), "0-3 c");
    assert_eq!(next(&mut third), NOTHING);
}

#[test]
fn nobody_comes_back_to_what_was_no_stream_or_is_long_over() {
    let mut scene = scene();
    assert!(scene.has_nothing_of("1-0"));
    let mut quick = scene.post(1, Wants::Answer);
    scene.answer(1, "one");
    scene.flush();
    assert_eq!(next(&mut quick), "1-1 answer one, begins");
    assert!(scene.has_nothing_of("1-0"));
    let mut post = scene.post(2, Wants::Answer);
    scene.part(Some(2), "progress");
    scene.answer(2, "two");
    scene.flush();
    while next(&mut post) != END {}
    let pass = |scene: &mut Scene, times| (0..times).for_each(|_| scene.streams.grow_older());
    pass(&mut scene, ENDED_AGE_MAX);
    assert!(!scene.has_nothing_of("2-1"));
    scene.flush();
    pass(&mut scene, ENDED_AGE_MAX + 1);
    assert!(scene.has_nothing_of("2-1"));
    assert!(scene.streams.posts.is_empty());
    scene.is_at_rest();
    assert_eq!(scene.room.taken(), 0);
}

#[test]
fn no_more_is_kept_of_what_is_over_than_may() {
    let mut scene = scene();
    let large = "x".repeat(1 << 20);
    for line in 1..=ENDED_MAX as u64 + 8 {
        let mut post = scene.post(line, Wants::Answer);
        scene.part(Some(line), "progress");
        scene.answer(line, if line > 20 { &large } else { "answer" });
        while scene.flush() == Flushed::Blocked {
            while next(&mut post) != NOTHING {}
        }
        assert!(scene.streams.ended.len() <= ENDED_MAX);
        assert!(scene.streams.tally.kept <= KEPT_BYTES_MAX + large.len());
    }
    assert!(scene.streams.ended.len() <= 16);
    assert!(scene.has_nothing_of("20-1"));
    assert!(!scene.has_nothing_of(&format!("{}-1", ENDED_MAX + 8)));
}

#[test]
fn what_nobody_comes_back_for_is_asked_elsewhere() {
    let mut scene = scene();
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#;
    let post = scene.primed(1);
    scene.streams.begin(CONNECTION);
    drop(post);
    scene.flush();
    scene.part(Some(1), question);
    let mut listener = scene.listen();
    scene.flush();
    assert_eq!(next(&mut listener), NOTHING);
    for _ in 0..=LEFT_AGE_MAX {
        scene.streams.grow_older();
    }
    scene.flush();
    assert_eq!(next(&mut listener), format!("0-1 {question}"));
}

#[test]
fn what_was_handed_over_makes_room_for_others_and_what_was_not_does_not() {
    let mut scene = scene();
    let mut listener = scene.listen();
    scene.part(None, "heard");
    scene.flush();
    assert_eq!(next(&mut listener), "0-1 heard");
    drop(listener);
    scene.part(None, "not heard");
    assert!(scene.streams.forget_handed());
    assert!(!scene.streams.forget_handed());
    let mut again = scene.resume("0-0");
    assert_eq!(next(&mut again), "0-2 not heard");
    scene.is_at_rest();
}
