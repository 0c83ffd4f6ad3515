use mux::Then;

use super::*;
use crate::link::{PIECES_MAX, TubeEnd};

struct Scene {
    rounds: Rounds,
    room: Arc<Room>,
}

fn scene() -> Scene {
    let room = Room::new(1 << 30);
    Scene {
        rounds: Rounds::new(1 << 20, &room),
        room,
    }
}

impl Scene {
    fn post(&mut self, line: u64) -> TubeEnd<Chunk> {
        let (to, from) = Tube::to(ConnectionId(line));
        self.rounds.open(LineNumber(line), to);
        from
    }

    fn part(&mut self, line: u64, text: impl Into<String>) {
        let message = Outgoing::from(text.into());
        self.rounds.push(message, None, Some(LineNumber(line)));
    }

    fn answer(&mut self, line: u64, text: impl Into<String>) {
        let answered = Answered {
            line: LineNumber(line),
            id: line.into(),
            others: Vec::new(),
            then: Then::Done,
        };
        let message = Outgoing::from(text.into());
        self.rounds.push(message, Some(answered), None);
    }

    /// Nothing waits, and nothing takes any room.
    fn is_at_rest(&self) {
        assert!(self.rounds.is_empty() && self.rounds.open.is_empty());
        let sums = (self.rounds.behind_head(), self.rounds.waiting());
        assert_eq!((sums, self.room.taken()), ((0, 0), 0));
    }
}

/// What comes next, or how it ends.
fn next(from: &mut TubeEnd<Chunk>) -> String {
    let text = |parcel: Parcel| String::from_utf8(parcel.open().to_vec()).unwrap();
    match from.try_recv() {
        Ok(Chunk::Part(parcel)) => text(parcel),
        Ok(Chunk::Answer(parcel)) => format!("answer {}", text(parcel)),
        Ok(Chunk::Refused(denial)) => format!("{denial:?}"),
        Err(error) => error.to_string(),
    }
}

const NOTHING: &str = "receiving on an empty channel";
const END: &str = "receiving on a closed channel";

#[test]
fn each_round_gets_what_belongs_to_it_and_then_its_answer() {
    let mut scene = scene();
    let mut first = scene.post(1);
    scene.part(1, "a");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut first), "a");
    assert_eq!(next(&mut first), NOTHING);
    scene.answer(1, "b");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    let mut second = scene.post(2);
    scene.part(1, "late");
    scene.part(2, "c");
    scene.answer(2, "d");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut first), "answer b");
    assert_eq!(next(&mut first), END);
    assert_eq!(next(&mut second), "c");
    assert_eq!(next(&mut second), "answer d");
    assert_eq!(next(&mut second), END);
    scene.is_at_rest();
}

#[test]
fn a_round_that_is_done_without_an_answer_ends_and_what_is_for_none_is_dropped() {
    let mut scene = scene();
    scene
        .rounds
        .push(Outgoing::from("x".to_owned()), None, None);
    let mut first = scene.post(1);
    scene.part(1, "a");
    scene.rounds.done(&[LineNumber(1)]);
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut first), "a");
    assert_eq!(next(&mut first), END);
    scene.is_at_rest();
}

#[test]
fn who_has_gone_is_owed_nothing() {
    let mut scene = scene();
    let first = scene.post(1);
    scene.part(1, "a");
    scene.part(1, "b");
    drop(first);
    scene.answer(1, "c");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    scene.is_at_rest();
}

#[test]
fn a_client_is_given_so_much_at_once_and_the_rest_when_it_has_read() {
    let mut scene = scene();
    let mut first = scene.post(1);
    let long = "x".repeat(HANDED_MAX);
    for text in [&*long, "b"] {
        scene.part(1, text);
    }
    scene.answer(1, "c");
    assert_eq!(scene.rounds.flush(), Flushed::Blocked);
    assert_eq!(scene.rounds.behind_head(), 2);
    assert_eq!(next(&mut first), long);
    assert_eq!(next(&mut first), NOTHING);
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut first), "b");
    assert_eq!(next(&mut first), "answer c");
    scene.is_at_rest();
    // So many messages are as much.
    let mut second = scene.post(2);
    for _ in 0..=PIECES_MAX {
        scene.part(2, "x");
    }
    assert_eq!(scene.rounds.flush(), Flushed::Blocked);
    assert_eq!(next(&mut second), "x");
    assert_eq!(scene.rounds.flush(), Flushed::All);
}

#[test]
fn what_is_cut_leaves_the_answers_as_errors() {
    let mut scene = scene();
    let mut first = scene.post(1);
    let long = "x".repeat(2 * HANDED_MAX);
    for text in [&*long, &*long] {
        scene.part(1, text);
    }
    scene.answer(1, long.clone());
    assert_eq!(scene.rounds.flush(), Flushed::Blocked);
    scene.rounds.cut();
    assert_eq!(next(&mut first), long);
    assert_eq!(scene.rounds.flush(), Flushed::All);
    let cut = next(&mut first);
    assert!(cut.contains("too-slow"), "{cut}");
    assert_eq!(next(&mut first), END);
    scene.is_at_rest();
}

#[test]
fn what_waits_is_handed_over_to_whoever_has_the_connection_then() {
    let mut scene = scene();
    let mut first = scene.post(1);
    scene.part(1, "a");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert!(!scene.rounds.are_taken());
    assert_eq!(next(&mut first), "a");
    assert!(scene.rounds.are_taken());
    scene.part(1, "b");
    scene.answer(1, "c");
    // It is let go.
    drop(first);
    let frozen = serde_json::to_vec(&scene.rounds.freeze()).unwrap();
    let frozen = serde_json::from_slice(&frozen).unwrap();
    let (to, mut from) = Tube::to(ConnectionId(7));
    let mut tubes = RoundTubes::from([(ConnectionId(1), to)]);
    scene.rounds = Rounds::thaw(frozen, 1 << 20, &scene.room, &mut tubes);
    assert!(tubes.is_empty() && !scene.rounds.was_left());
    assert_eq!(
        scene.rounds.readers().collect::<Vec<_>>(),
        [ConnectionId(7)]
    );
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut from), "b");
    assert_eq!(next(&mut from), "answer c");
    assert_eq!(next(&mut from), END);
    scene.is_at_rest();
}

#[test]
fn whoever_did_not_come_along_has_left() {
    let mut scene = scene();
    let first = scene.post(1);
    let frozen = scene.rounds.freeze();
    drop(first);
    let mut tubes = RoundTubes::new();
    scene.rounds = Rounds::thaw(frozen, 1 << 20, &scene.room, &mut tubes);
    assert!(scene.rounds.was_left());
    assert_eq!(scene.rounds.flush(), Flushed::Broken);
}

#[test]
fn a_client_that_gives_up_one_of_two_posts_is_there_until_the_other_is_answered() {
    let mut scene = scene();
    let (first, mut second) = (scene.post(1), scene.post(2));
    drop(first);
    assert!(scene.rounds.lose());
    assert_eq!(scene.rounds.flush(), Flushed::All);
    scene.answer(2, "a");
    assert_eq!(scene.rounds.flush(), Flushed::Broken);
    assert_eq!(next(&mut second), "answer a");
    // Where the one that was given up has been answered meanwhile, nothing is left to be given up.
    let mut scene = self::scene();
    let (mut first, second) = (scene.post(1), scene.post(2));
    drop(second);
    assert!(scene.rounds.lose());
    scene.answer(2, "refused");
    scene.answer(1, "b");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut first), "answer b");
    scene.is_at_rest();
    // Who has only one is gone with it.
    let first = scene.post(4);
    drop(first);
    assert!(!scene.rounds.lose());
}

#[test]
fn a_session_of_two_posts_is_not_left_by_a_client_that_comes_along_with_one() {
    let mut scene = scene();
    let (first, second) = (scene.post(1), scene.post(2));
    let frozen = scene.rounds.freeze();
    drop((first, second));
    let (to, mut from) = Tube::to(ConnectionId(7));
    let mut tubes = RoundTubes::from([(ConnectionId(2), to)]);
    scene.rounds = Rounds::thaw(frozen, 1 << 20, &scene.room, &mut tubes);
    assert!(!scene.rounds.was_left());
    scene.part(1, "for nobody");
    scene.part(2, "a");
    assert_eq!(scene.rounds.flush(), Flushed::All);
    assert_eq!(next(&mut from), "a");
    scene.answer(2, "b");
    assert_eq!(scene.rounds.flush(), Flushed::Broken);
    assert_eq!(next(&mut from), "answer b");
}
