//! What goes over the link before and between messages: the preface, the daemon's answer, its notes.
//!
//! Whoever calls may send anything, in any pieces; whatever is understood must survive another trip.

use std::str;

use shim::{
    answer::{ANSWER_MAX, Answer},
    control::{self, Control},
    preface::{BODY_MAX, Head, Preface, PrefaceError, head},
};

/// Checks the bytes as a whole preface, as the body of one, as an answer and as a control line.
pub fn check(input: &[u8]) {
    check_head(input);
    check_body(input);
    check_answer(input);
    check_control(input);
}

/// However far the first line has come, what is said of it does not change later.
fn check_head(input: &[u8]) {
    let last = head(input);
    let mut settled: Option<Result<Head, PrefaceError>> = None;
    for end in 0..=input.len().min(80) {
        let now = head(&input[..end]);
        match &settled {
            Some(before) => assert_eq!(before, &now, "decided before byte {end}"),
            None if now == Ok(Head::Incomplete) => {}
            None => settled = Some(now),
        }
    }
    assert_eq!(last, settled.unwrap_or(Ok(Head::Incomplete)));
    if let Ok(Head::Complete { body_at, body_len }) = last {
        assert!(body_at <= 64 && body_len <= BODY_MAX);
        assert_eq!(input.get(body_at - 1), Some(&b'\n'));
        let body = &input[body_at..];
        check_body(body.get(..body_len).unwrap_or(body));
    }
}

/// What was understood says the same when it is written and read again.
fn check_body(body: &[u8]) {
    let preface = match Preface::decode(body) {
        Ok(preface) => preface,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let bytes = match preface.encode() {
        Ok(bytes) => bytes,
        Err(error) => panic!("{preface:?} cannot be written: {error}"),
    };
    let (body_at, body_len) = match head(&bytes) {
        Ok(Head::Complete { body_at, body_len }) => (body_at, body_len),
        incomplete => panic!("the head of what was written is {incomplete:?}"),
    };
    assert_eq!(body_at + body_len, bytes.len());
    assert_eq!(Preface::decode(&bytes[body_at..]), Ok(preface));
}

/// An answer that is written again is one short line, and the same answer.
fn check_answer(line: &[u8]) {
    let Some(answer) = Answer::parse(line) else {
        return;
    };
    let written = answer.to_string();
    assert!(written.len() <= ANSWER_MAX, "a shim reads no longer one");
    assert!(written.starts_with('\x1e') && written.ends_with('\n'));
    let is_one_line = written.matches(['\n', '\r']).count() == 1;
    assert!(is_one_line, "one line, whatever was to be said");
    let again = Answer::parse(written.as_bytes());
    match (&answer, &again) {
        (Answer::Refused(before), Some(Answer::Refused(after))) => {
            assert!(
                before
                    .replace(['\n', '\r'], " ")
                    .starts_with(after.as_str())
            );
            assert!(after == before || before.len() > after.len() || before.contains(['\n', '\r']));
        }
        _others => assert_eq!(again, Some(answer)),
    }
}

/// Every note that was understood is a word of the line, and survives a line of its own.
fn check_control(line: &[u8]) {
    let notes: Vec<Control> = control::parse(line).collect();
    assert!(notes.len() <= line.len() / 2, "no more notes than numbers");
    assert!(notes.is_empty() || line.first() == Some(&control::MARK));
    for note in notes {
        let alone = note.to_string();
        let (word, number) = match note {
            Control::Held(number) => ("held ", number),
            Control::Sent(number) => ("sent ", number),
            Control::Keep(number) => ("keep ", number),
            Control::Done(number) => ("done ", number),
            Control::Ending => {
                assert!(line[1..].starts_with(b"ending"));
                assert_eq!(alone, "\x1eending\n");
                continue;
            }
        };
        assert!(
            line[1..].starts_with(word.as_bytes()),
            "{note:?} has another word"
        );
        let is_there = line
            .split(|byte| matches!(byte, b' ' | b'\n'))
            .any(|word| str::from_utf8(word).is_ok_and(|word| word.parse() == Ok(number)));
        assert!(is_there, "{number} is not in the line");
        assert!(control::parse(alone.as_bytes()).eq([note]));
    }
}
