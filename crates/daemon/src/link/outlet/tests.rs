use mux::{Answered, LineNumber, Then};
use proptest::prelude::*;
use wire::{Outgoing, RequestId};

use super::{super::memory::Memory, *};

fn message(text: &str) -> Outgoing {
    Outgoing::from(text.to_owned())
}

fn answer(line: u64) -> Answered {
    Answered {
        line: LineNumber(line),
        id: RequestId::from(line),
        others: Vec::new(),
        then: Then::Done,
    }
}

fn keeping(room: usize, limit: usize) -> (Outlet, Memory) {
    let memory = Memory::with_room(room);
    (
        Outlet::keeping(Sink::Memory(memory.clone()), limit, &Room::new(1 << 30)),
        memory,
    )
}

fn flush(outlet: &mut Outlet) -> Flushed {
    outlet.flush(|_| {})
}

#[test]
fn what_was_put_in_during_a_turn_leaves_in_one_write_with_its_done_lines() {
    let (mut outlet, memory) = keeping(10_000, 1000);
    outlet.push(message("one"), Some(answer(1)));
    outlet.push(message("note"), None);
    outlet.push(message("two"), Some(answer(2)));
    outlet.done(&[LineNumber(3)]);
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert_eq!(memory.take(), "one\nnote\ntwo\n\x1edone 3 1 2\n");
    assert_eq!(memory.writes(), 1);
    assert!(outlet.is_empty());
    assert_eq!(outlet.waiting(), 0);
}

fn kept_answer(line: u64) -> Answered {
    Answered {
        then: Then::Keep,
        ..answer(line)
    }
}

#[test]
fn a_line_that_stays_is_told_behind_its_answer_and_is_not_done() {
    let (mut outlet, memory) = keeping(10_000, 1000);
    outlet.push(message("one"), Some(kept_answer(1)));
    outlet.push(message("two"), Some(answer(2)));
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert_eq!(memory.take(), "one\n\x1ekeep 1\ntwo\n\x1edone 2\n");
    outlet.done(&[LineNumber(1)]);
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert_eq!(memory.take(), "\x1edone 1\n");
}

#[test]
fn a_line_that_stays_no_longer_is_not_done_before_its_answer() {
    let (mut outlet, memory) = keeping(10_000, 1000);
    outlet.push(message("one"), Some(kept_answer(1)));
    outlet.done(&[LineNumber(1)]);
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert_eq!(memory.take(), "one\n\x1ekeep 1\n\x1edone 1\n");
    assert!(outlet.keeps.is_empty());
}

#[test]
fn of_an_answer_that_was_cut_the_line_does_not_stay() {
    let (mut outlet, memory) = keeping(2, 1000);
    outlet.push(message("one"), Some(kept_answer(1)));
    outlet.push(message("two"), Some(kept_answer(2)));
    assert_eq!(flush(&mut outlet), Flushed::Blocked);
    outlet.cut();
    memory.give_room(10_000);
    assert_eq!(flush(&mut outlet), Flushed::All);
    let written = memory.take();
    assert!(written.starts_with("one\n\x1ekeep 1\n{"), "{written}");
    assert!(written.ends_with("}\n\x1edone 2\n"), "{written}");
    assert!(outlet.keeps.is_empty());
}

#[test]
fn a_plain_peer_gets_messages_and_no_control_lines() {
    let memory = Memory::with_room(10_000);
    let mut outlet = Outlet::plain(Sink::Memory(memory.clone()), 1000, &Room::new(1 << 30));
    outlet.held(LineNumber(1));
    outlet.push(message("one"), Some(answer(1)));
    outlet.done(&[LineNumber(2)]);
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert_eq!(memory.take(), "one\n");
}

#[test]
fn an_announcement_is_reported_when_it_has_left_and_not_before() {
    let (mut outlet, memory) = keeping(0, 1000);
    outlet.announce(LineNumber(7));
    let mut left = Vec::new();
    assert_eq!(outlet.flush(|line| left.push(line)), Flushed::Blocked);
    memory.give_room(7);
    assert_eq!(outlet.flush(|line| left.push(line)), Flushed::Blocked);
    assert_eq!(
        (memory.take().as_str(), left.as_slice()),
        ("\x1esent 7", &[][..])
    );
    memory.give_room(1);
    assert_eq!(outlet.flush(|line| left.push(line)), Flushed::All);
    assert_eq!(
        (memory.take().as_str(), left.as_slice()),
        ("\n", &[LineNumber(7)][..])
    );
}

#[test]
fn a_reader_that_has_gone_is_told_from_one_that_is_slow() {
    let (mut outlet, memory) = keeping(0, 1000);
    outlet.push(message("one"), None);
    assert_eq!(flush(&mut outlet), Flushed::Blocked);
    memory.leave();
    assert_eq!(flush(&mut outlet), Flushed::Broken);
}

#[test]
fn one_message_of_any_size_fits_and_so_does_the_one_behind_it() {
    let (mut outlet, _memory) = keeping(0, 10);
    let large = "x".repeat(1000);
    outlet.push(message(&large), None);
    assert_eq!(outlet.overflow(), Overflow::No);
    outlet.push(message(&large), None);
    assert_eq!(outlet.overflow(), Overflow::Yes);
}

#[test]
fn a_cut_finishes_what_was_begun_and_answers_what_it_drops() {
    let (mut outlet, memory) = keeping(5, 10);
    outlet.push(message("begun, long"), Some(answer(1)));
    outlet.push(message("dropped"), None);
    outlet.held(LineNumber(9));
    outlet.push(message("a very long answer"), Some(answer(2)));
    outlet.push(
        message("[batch]"),
        Some(Answered {
            others: vec![RequestId::from(4)],
            ..answer(3)
        }),
    );
    assert_eq!(flush(&mut outlet), Flushed::Blocked);
    outlet.cut();
    memory.give_room(10_000);
    assert_eq!(flush(&mut outlet), Flushed::All);
    let written = memory.take();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines[0], "begun, long");
    assert_eq!(lines[1], "\x1eheld 9");
    assert!(
        lines[2].contains(r#""id":2,"#) && lines[2].contains("too-slow"),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].starts_with('[') && lines[3].contains(r#""id":4,"#),
        "{}",
        lines[3]
    );
    assert_eq!(lines[4], "\x1edone 1 2 3");
    assert_eq!(lines.len(), 5);
    assert_eq!(outlet.waiting(), 0);
}

#[test]
fn what_a_peer_that_has_gone_was_not_written_a_byte_of_is_handed_out() {
    let room = Room::new(1 << 30);
    for (written, expected) in [
        (0, ["one", "two", "three"].as_slice()),
        (2, &["two", "three"]),
        (3, &["two", "three"]),
        (4, &["two", "three"]),
        (5, &["three"]),
        (100, &[]),
    ] {
        let memory = Memory::with_room(written);
        let mut outlet = Outlet::plain(Sink::Memory(memory.clone()), 10, &room);
        for text in ["one", "two", "three"] {
            outlet.push(message(text), None);
        }
        flush(&mut outlet);
        memory.leave();
        let mut unwritten = outlet.into_unwritten();
        unwritten.push(message("four"));
        let bytes: usize = unwritten.messages.iter().map(Outgoing::len).sum();
        assert_eq!(room.taken(), bytes);
        let expected = expected.iter().chain(&["four"]).map(|text| message(text));
        assert_eq!(unwritten.into_messages(), expected.collect::<Vec<_>>());
        assert_eq!(room.taken(), 0);
    }
}

#[test]
fn many_messages_leave_in_few_writes() {
    let (mut outlet, memory) = keeping(1 << 20, 1 << 20);
    for line in 1..=1000 {
        outlet.push(message("x"), Some(answer(line)));
    }
    assert_eq!(flush(&mut outlet), Flushed::All);
    assert!(memory.writes() <= 1000 / 50, "{}", memory.writes());
    let (messages, done) = read_back(&memory.take());
    assert_eq!(messages.len(), 1000);
    assert_eq!(done, (1..=1000).collect::<Vec<_>>());
}

/// The same outlet after an upgrade.
fn thawed(outlet: &Outlet, memory: &Memory) -> Outlet {
    let text = serde_json::to_string(&outlet.freeze()).unwrap();
    let frozen: FrozenOutlet = serde_json::from_str(&text).unwrap();
    let next = Outlet::thaw(
        frozen,
        Sink::Memory(memory.clone()),
        outlet.limit,
        &Room::new(1 << 30),
    );
    assert_eq!(serde_json::to_string(&next.freeze()).unwrap(), text);
    assert_eq!(next.waiting(), outlet.waiting());
    next
}

/// The messages, and the lines that were told to be done, in order.
fn read_back(written: &str) -> (Vec<String>, Vec<u64>) {
    let (mut messages, mut done) = (Vec::new(), Vec::new());
    for line in written.split_terminator('\n') {
        match line.strip_prefix("\x1edone ") {
            Some(lines) => done.extend(lines.split(' ').map(|line| line.parse::<u64>().unwrap())),
            None => messages.push(line.to_owned()),
        }
    }
    (messages, done)
}

proptest! {
    #[test]
    fn however_little_the_peer_takes_at_once_it_gets_everything_once_and_in_order(
        sizes in proptest::collection::vec((0_usize..40, any::<bool>()), 1..60),
        rooms in proptest::collection::vec(1_usize..50, 1..20),
    ) {
        let (mut outlet, memory) = keeping(0, 10);
        let mut wanted = Vec::new();
        let mut answered = Vec::new();
        let mut written = String::new();
        let mut rooms = rooms.iter().cycle();
        for (number, (size, answers)) in (1..).zip(&sizes) {
            let text = format!("{number}{}", "m".repeat(*size));
            outlet.push(message(&text), answers.then(|| answer(number)));
            wanted.push(text);
            if *answers { answered.push(number); }
            memory.give_room(*rooms.next().unwrap());
            flush(&mut outlet);
            outlet = thawed(&outlet, &memory);
            let part = memory.take();
            written.push_str(&part);
        }
        while flush(&mut outlet) != Flushed::All {
            memory.give_room(*rooms.next().unwrap());
            written.push_str(&memory.take());
        }
        written.push_str(&memory.take());
        let (messages, mut done) = read_back(&written);
        prop_assert_eq!(messages, wanted);
        // A line is told to be done behind its answer; which of two comes first does not matter.
        done.sort_unstable();
        prop_assert_eq!(done, answered);
        prop_assert_eq!(outlet.waiting(), 0);
    }

    #[test]
    fn no_line_is_done_before_its_answer_was_written(
        answers in 1_u64..40, rooms in proptest::collection::vec(1_usize..30, 1..20),
    ) {
        let (mut outlet, memory) = keeping(0, 10);
        for line in 1..=answers { outlet.push(message(&format!("answer {line}")), Some(answer(line))); }
        let mut written = String::new();
        for room in rooms.iter().cycle() {
            memory.give_room(*room);
            let flushed = flush(&mut outlet);
            outlet = thawed(&outlet, &memory);
            written.push_str(&memory.take());
            if flushed == Flushed::All { break; }
        }
        let mut answered = 0;
        for line in written.lines() {
            if let Some(done) = line.strip_prefix("\x1edone ") {
                for line in done.split(' ') {
                    prop_assert!(line.parse::<u64>().unwrap() <= answered);
                }
            } else {
                answered += 1;
            }
        }
        prop_assert_eq!(answered, answers);
    }
}

fn packing(room: usize) -> (Outlet, Memory) {
    let memory = Memory::with_room(room);
    (
        Outlet::packing(Sink::Memory(memory.clone()), 10_000, &Room::new(1 << 30)),
        memory,
    )
}

#[test]
fn frames_leave_whole_and_in_order_however_little_the_peer_takes_at_once() {
    let written = |step: usize| {
        let (mut outlet, memory) = packing(0);
        outlet.push(message("one"), Some(answer(1)));
        outlet.push_sign(&Sign::Ping);
        outlet.push(message(&"x".repeat(100)), None);
        outlet.done(&[LineNumber(7)]);
        while flush(&mut outlet) != Flushed::All {
            memory.give_room(step);
        }
        assert_eq!(outlet.waiting(), 0);
        memory.take_bytes()
    };
    let text = |body: &str| {
        let head = [0x81, u8::try_from(body.len()).unwrap()];
        [&head[..], body.as_bytes()].concat()
    };
    let expected = [text("one"), vec![0x89, 0], text(&"x".repeat(100))].concat();
    for step in [1, 2, 3, 10, 1000] {
        assert_eq!(written(step), expected, "{step} bytes at a time");
    }
}

#[test]
fn of_several_pings_the_last_is_answered_and_a_cut_leaves_what_is_said_of_the_connection() {
    let (mut outlet, memory) = packing(3);
    let pong = |text: &str| Sign::Pong(text.as_bytes().to_vec());
    outlet.push(message("one"), Some(answer(1)));
    assert_eq!(flush(&mut outlet), Flushed::Blocked);
    outlet.push_sign(&pong("first"));
    outlet.push(message("note"), None);
    outlet.push(message("two"), Some(answer(2)));
    outlet.push_sign(&pong("2nd"));
    let waiting = outlet.waiting();
    outlet.push_sign(&pong("third"));
    assert_eq!(outlet.waiting(), waiting + 2);
    outlet.cut();
    memory.give_room(10_000);
    assert_eq!(flush(&mut outlet), Flushed::All);
    let written = memory.take_bytes();
    let text = String::from_utf8_lossy(&written);
    for (words, is_there) in [
        ("one", true),
        ("third", true),
        ("too-slow", true),
        ("first", false),
        ("2nd", false),
        ("note", false),
    ] {
        assert_eq!(text.contains(words), is_there, "{words} in {text}");
    }
    assert_eq!(outlet.waiting(), 0);
}
