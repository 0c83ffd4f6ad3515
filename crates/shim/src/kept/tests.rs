//! What is kept, and what the next daemon is told of it.

use proptest::prelude::*;

use super::*;

/// The lines that are not done: number, fate and text.
fn shown(kept: &Kept) -> Vec<(u64, Fate, String)> {
    kept.placed()
        .filter_map(|(line, begin)| {
            let mut bytes = Vec::new();
            kept.copy(begin, line.len, &mut bytes);
            Some((line.number, line.fate?, String::from_utf8(bytes).unwrap()))
        })
        .collect()
}

#[test]
fn lines_are_counted_from_one_however_they_come_in() {
    let text = b"first\n\nthird\nfourth";
    for cut in 0..text.len() {
        let mut kept = Kept::default();
        kept.take_in(&text[..cut]);
        kept.take_in(&text[cut..]);
        assert_eq!(
            shown(&kept),
            [
                (1, Fate::Handed, "first\n".into()),
                (2, Fate::Handed, "\n".into()),
                (3, Fate::Handed, "third\n".into()),
            ]
        );
        assert_eq!((kept.last, kept.waiting_bytes()), (3, 13));
    }
}

#[test]
fn a_line_goes_through_held_and_sent_to_done() {
    let mut kept = Kept::default();
    kept.take_in(b"a\nb\n");
    kept.note(Control::Held(2));
    assert_eq!(shown(&kept)[1].1, Fate::Held);
    kept.note(Control::Sent(2));
    assert_eq!(shown(&kept)[1].1, Fate::Sent);
    kept.note(Control::Done(2));
    assert_eq!(shown(&kept), [(1, Fate::Handed, "a\n".into())]);
}

#[test]
fn notes_on_lines_that_are_done_or_never_were_change_nothing() {
    let mut kept = Kept::default();
    kept.take_in(b"a\nb\nunfinished");
    kept.note(Control::Done(2));
    for number in [0, 2, 3, u64::MAX] {
        kept.note(Control::Done(number));
        kept.note(Control::Held(number));
    }
    assert_eq!(shown(&kept), [(1, Fate::Handed, "a\n".into())]);
    assert_eq!(kept.waiting_bytes(), 2);
}

/// What the next daemon is told, as one text.
fn told(kept: &Kept) -> String {
    let mut out = Vec::new();
    let told = kept.tell(0, usize::MAX, &mut out);
    assert!(told.last().is_none_or(|(_, end)| *end == out.len()));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_that_is_answered_and_kept_takes_no_room_for_others_until_it_is_done() {
    let mut kept = Kept::default();
    kept.take_in(b"hello\ncall\n");
    kept.note(Control::Keep(1));
    assert_eq!(kept.waiting_bytes(), 5);
    for control in [Control::Held(1), Control::Sent(1), Control::Keep(1)] {
        kept.note(control);
    }
    kept.break_off(2);
    assert_eq!(
        told(&kept),
        "\x1eline 1 kept\nhello\n\x1eline 2 sent\ncall\n"
    );
    kept.note(Control::Done(1));
    assert_eq!(told(&kept), "\x1eline 2 sent\ncall\n");
}

#[test]
fn a_line_that_is_answered_and_kept_behind_others_is_told_in_its_place() {
    let mut kept = Kept::default();
    kept.take_in(b"a\nb\nc\nd\n");
    kept.note(Control::Keep(3));
    kept.note(Control::Keep(1));
    assert_eq!(
        told(&kept),
        "\x1eline 1 kept\na\n\x1eline 2 fresh\nb\n\x1eline 3 kept\nc\n\x1eline 4 fresh\nd\n"
    );
    kept.note(Control::Done(2));
    kept.note(Control::Done(3));
    assert_eq!(told(&kept), "\x1eline 1 kept\na\n\x1eline 4 fresh\nd\n");
}

#[test]
fn a_line_is_told_as_what_the_daemons_before_made_of_it() {
    let mut kept = Kept::default();
    kept.take_in(b"whole\nheld\nannounced\ncut\nunfinished");
    kept.note(Control::Held(2));
    kept.note(Control::Held(3));
    kept.note(Control::Sent(3));
    kept.break_off(3);
    let pasts = |kept: &Kept| -> Vec<String> {
        let told = told(kept);
        told.lines()
            .filter_map(|line| Some(line.strip_prefix("\x1eline ")?.into()))
            .collect()
    };
    assert_eq!(pasts(&kept), ["1 sent", "2 fresh", "3 sent", "4 fresh"]);
    // Told again, but only the first two came there whole.
    kept.break_off(2);
    assert_eq!(pasts(&kept), ["1 repeated", "2 sent", "3 sent", "4 fresh"]);
    // Held this time: it was not sent a second time.
    kept.note(Control::Held(2));
    kept.break_off(4);
    assert_eq!(
        pasts(&kept),
        ["1 repeated", "2 sent", "3 repeated", "4 sent"]
    );
    kept.take_in(b" until now\n");
    assert_eq!(pasts(&kept).last().unwrap(), "5 fresh");
}

#[test]
fn lines_are_told_in_portions() {
    let mut kept = Kept::default();
    kept.take_in(b"a\nb\nc\n");
    let mut out = Vec::new();
    assert_eq!(kept.tell(0, 20, &mut out), [(1, 16), (2, 32)]);
    let mut rest = Vec::new();
    assert_eq!(kept.tell(2, 20, &mut rest), [(3, 16)]);
    assert_eq!(told(&kept).into_bytes(), [out, rest].concat());
    assert_eq!(kept.tell(3, 20, &mut Vec::new()), []);
}

#[test]
fn a_hundred_thousand_lines_behind_a_long_call_take_no_room_when_done() {
    let mut kept = Kept::default();
    kept.take_in(b"the long call\n");
    for number in 2..=100_000 {
        kept.take_in(format!("{{\"id\":{number},\"method\":\"ping\"}}\n").as_bytes());
        kept.note(Control::Done(number));
    }
    kept.take_in(b"open");
    assert_eq!(shown(&kept), [(1, Fate::Handed, "the long call\n".into())]);
    assert_eq!(kept.last, 100_000);
    assert!(kept.bytes.capacity() <= 4 * SMALL);
    assert!(kept.lines.len() <= 2 * FIRST_LINES);
}

#[test]
fn the_room_of_a_large_line_goes_back_when_it_is_done() {
    let mut kept = Kept::default();
    kept.take_in(&vec![b'x'; 10 << 20]);
    kept.take_in(b"\n");
    assert_eq!(kept.waiting_bytes(), (10 << 20) + 1);
    kept.note(Control::Done(1));
    assert_eq!(kept.waiting_bytes(), 0);
    assert!(kept.bytes.capacity() <= SMALL);
}

#[test]
fn a_line_that_is_too_long_is_counted_and_not_kept() {
    let mut kept = Kept::default();
    kept.take_in(b"a\n");
    let part = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        kept.take_in(&part);
    }
    assert!(kept.bytes.capacity() <= SMALL);
    kept.take_in(b"\nb\n");
    assert_eq!(
        shown(&kept),
        [
            (1, Fate::Handed, "a\n".into()),
            (3, Fate::Handed, "b\n".into())
        ]
    );
    kept.note(Control::Done(2));
    assert_eq!(kept.waiting_bytes(), 4);
}

#[test]
fn a_line_that_is_done_before_its_end_is_counted_and_not_kept() {
    let mut kept = Kept::default();
    kept.take_in(b"a\n{\"id\":1,");
    kept.note(Control::Done(2));
    assert!(kept.open_line_is_dropped());
    assert_eq!((kept.open_line(), kept.last()), (None, 1));
    kept.take_in(b"\"x\":");
    assert!(kept.open_line_is_dropped());
    kept.take_in(b"2}\nb\nc");
    kept.note(Control::Done(2));
    assert_eq!(
        shown(&kept),
        [
            (1, Fate::Handed, "a\n".into()),
            (3, Fate::Handed, "b\n".into())
        ]
    );
    assert_eq!(kept.open_line(), Some(b"c".to_vec()));
}

/// What is known of a line, told plainly.
struct Model {
    number: u64,
    text: String,
    past: Past,
    fate: Fate,
}

impl Model {
    fn break_off(&mut self, whole: u64) {
        let may_be_seen = match self.fate {
            Fate::Handed => self.number <= whole,
            Fate::Held => false,
            Fate::Sent => true,
        };
        self.fate = Fate::Handed;
        self.past = match (self.past, may_be_seen) {
            (Past::Kept, _) => Past::Kept,
            (past, false) => past,
            (Past::Fresh, true) => Past::Sent,
            (Past::Sent | Past::Repeated, true) => Past::Repeated,
        };
    }
}

proptest! {
    #[test]
    fn what_is_told_is_what_a_plain_list_would_tell(
        steps in prop::collection::vec((0u8..7, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut kept = Kept::default();
        let mut model: Vec<Model> = Vec::new();
        let mut last = 0usize;
        for (step, at) in steps {
            match step {
                0 | 1 => {
                    last += 1;
                    let text = format!("{}\n", "x".repeat(at.index(9000)));
                    kept.take_in(text.as_bytes());
                    model.push(Model { number: last as u64, text, past: Past::Fresh, fate: Fate::Handed });
                }
                2 => {
                    let whole = at.index(last + 1) as u64;
                    kept.break_off(whole);
                    for line in &mut model {
                        line.break_off(whole);
                    }
                }
                _ if model.is_empty() => {}
                _ => {
                    let at = at.index(model.len());
                    let number = model[at].number;
                    kept.note(match step {
                        3 => Control::Held(number),
                        4 => Control::Sent(number),
                        5 => Control::Keep(number),
                        _ => Control::Done(number),
                    });
                    match step {
                        6 => drop(model.remove(at)),
                        _ if model[at].past == Past::Kept => {}
                        3 => model[at].fate = Fate::Held,
                        4 => model[at].fate = Fate::Sent,
                        _ => model[at].past = Past::Kept,
                    }
                }
            }
        }
        let mut expected = String::new();
        for Model { number, text, past, .. } in &model {
            let (number, past) = (*number, *past);
            expected += &Resumed::Line { number, past }.to_string();
            expected += text;
        }
        prop_assert!(told(&kept) == expected);
    }

    #[test]
    fn it_keeps_what_a_plain_list_would_keep(
        steps in prop::collection::vec((0usize..300, any::<prop::sample::Index>()), 1..400),
    ) {
        let mut kept = Kept::default();
        let mut model: Vec<(u64, Fate, String)> = Vec::new();
        for (number, (len, done)) in (1..).zip(steps) {
            let line = format!("{}\n", number.to_string().repeat(len));
            kept.take_in(line.as_bytes());
            model.push((number, Fate::Handed, line));
            if len % 3 > 0 {
                let (number, ..) = model.remove(done.index(model.len()));
                kept.note(Control::Done(number));
            }
            let waiting: usize = model.iter().map(|(.., line)| line.len()).sum();
            prop_assert_eq!(kept.waiting_bytes(), waiting);
        }
        prop_assert_eq!(shown(&kept), model);
    }
}
