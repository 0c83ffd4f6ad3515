//! Bytes to lines: however a stream is split, the same lines come out, and memory stays within bounds.
//!
//! The first byte of an input says how it is read, the rest is the stream. The oracle is the stream
//! itself, cut at its newlines.

use bytes::Bytes;
use wire::{About, CutOff, Frame, Kind, Line, LineSplitter, Named, Purpose, Unended, Unkept};

use crate::choices::Choices;

/// How much of a line that is too long is kept at most.
const HEAD_BYTES: usize = 64 * 1024;

/// And how much of its end.
const TAIL_BYTES: usize = 4 * 1024;

/// How often a byte of a stretched stream is repeated: a few hundred bytes pass every buffer of ours.
const STRETCH: usize = 300;

/// From this first byte on, the stream is stretched; seldom, because that costs time.
const STRETCHED_FROM: u8 = 224;

/// Checks the line splitter, and the search for ids in what was cut off.
pub fn check(input: &[u8]) {
    let Some((plan, stream)) = input.split_first() else {
        return;
    };
    let mut choices = Choices::of(input);
    if *plan < STRETCHED_FROM {
        let pieces = [1, 3, 17, 300];
        check_stream(
            stream,
            usize::from(*plan),
            *choices.one_of(&pieces),
            &mut choices,
        );
    } else {
        let limit = 3000 * usize::from(*plan - STRETCHED_FROM);
        let pieces = [700, 20_000, 150_000];
        let longest = *choices.one_of(&pieces);
        check_stream(&stretched(stream), limit, longest, &mut choices);
    }
    for line in stream.split(|byte| *byte == b'\n') {
        check_search(line);
    }
}

/// The stream with every byte but newlines repeated.
fn stretched(stream: &[u8]) -> Vec<u8> {
    let mut stretched = Vec::with_capacity(stream.len() * STRETCH);
    for byte in stream {
        let times = if *byte == b'\n' { 1 } else { STRETCH };
        stretched.resize(stretched.len() + times, *byte);
    }
    stretched
}

fn check_stream(stream: &[u8], limit: usize, longest_piece: usize, choices: &mut Choices) {
    check_lines(stream, limit, &read_whole(stream, limit));
    let in_pieces = read_in_pieces(stream, limit, longest_piece, choices);
    check_lines(stream, limit, &in_pieces);
}

fn read_whole(stream: &[u8], limit: usize) -> Vec<Line> {
    let mut splitter = LineSplitter::new(limit);
    let mut lines = Vec::new();
    splitter.feed(stream, |line| lines.push(line));
    check_leftover(&splitter, limit);
    lines
}

/// Reads as the daemon does: now into a buffer of its own, now directly behind an unfinished line.
fn read_in_pieces(
    stream: &[u8],
    limit: usize,
    longest_piece: usize,
    choices: &mut Choices,
) -> Vec<Line> {
    let mut splitter = LineSplitter::new(limit);
    let mut lines = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((1 + choices.below(longest_piece)).min(rest.len()));
        rest = later;
        let is_direct = choices.below(2) == 0
            && splitter
                .tail(piece.len())
                .map(|tail| tail.extend_from_slice(piece))
                .is_some();
        if is_direct {
            splitter.grown(piece.len(), |line| lines.push(line));
        } else {
            splitter.feed(piece, |line| lines.push(line));
        }
        check_leftover(&splitter, limit);
    }
    lines
}

/// What is kept of an unfinished line is the line while it is within the limit, and its head and its end
/// after.
fn check_leftover(splitter: &LineSplitter, limit: usize) {
    let kept = splitter.leftover();
    assert!(
        kept <= limit || kept <= HEAD_BYTES + 2 * TAIL_BYTES,
        "{kept} bytes are kept with a limit of {limit}"
    );
}

fn check_lines(stream: &[u8], limit: usize, lines: &[Line]) {
    let mut expected: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    // What follows the last newline is no line yet.
    let unfinished = expected.pop().unwrap_or_default();
    check_news(lines, unfinished);
    let lines = || lines.iter().filter(|line| !is_news(line));
    assert_eq!(lines().count(), expected.len(), "one line for each newline");
    for (line, expected) in lines().zip(expected) {
        match line {
            Line::Unended(_) => panic!("it has come to its end"),
            Line::Whole(line) => {
                assert_eq!(line, expected);
                assert!(line.len() <= limit, "a line within the limit");
            }
            Line::GivenUp(_) => panic!("nobody gave it up"),
            Line::TooLong(CutOff { head, tail }) => {
                assert!(expected.len() > limit, "only a longer line is too long");
                assert!(expected.ends_with(tail));
                assert_eq!(tail.len(), expected.len().min(TAIL_BYTES));
                assert!(expected.starts_with(head));
                assert!(head.len() >= HEAD_BYTES.min(limit + 1), "enough is kept");
                assert!(head.len() <= HEAD_BYTES, "not too much is kept");
            }
        }
    }
}

fn is_news(line: &Line) -> bool {
    matches!(line, Line::Unended(_))
}

/// News is of the line that comes next, and says how that begins.
fn check_news(lines: &[Line], unfinished: &[u8]) {
    for (at, news) in lines.iter().enumerate() {
        let Line::Unended(Unended { why, head }) = news else {
            continue;
        };
        assert_eq!(*why, Unkept::TooLong, "nobody gave it up");
        match lines.get(at + 1) {
            Some(Line::TooLong(left)) => assert_eq!(left.head, head),
            None => assert!(unfinished.starts_with(head)),
            Some(Line::Whole(_) | Line::GivenUp(_) | Line::Unended(_)) => {
                panic!("news of a line that is not what it says")
            }
        }
    }
}

/// Of a message, and of each beginning of it, the search finds the id that is there, or none.
fn check_search(line: &[u8]) {
    // Never panics, whatever it is.
    let whole = About::garbled(line);
    let Ok(frame) = Frame::parse(Bytes::copy_from_slice(line)) else {
        return;
    };
    let named = frame.id().cloned().map_or(Named::Nobody, Named::One);
    assert_eq!(whole.named, named, "the id of a whole message");
    match frame.kind() {
        // What else it holds may look like a question.
        Kind::Response => assert!(matches!(whole.purpose, Purpose::Answer | Purpose::Either)),
        Kind::Request | Kind::Notification => assert_eq!(whole.purpose, Purpose::Question),
    }
    let step = 1 + line.len() / 24;
    for end in (0..line.len()).step_by(step) {
        let About {
            named: found,
            purpose,
        } = About::cut_off(&line[..end], b"");
        assert!(
            found == named || found == Named::Unknown || line[..end].trim_ascii().is_empty(),
            "an id that is not there, in the first {end} bytes"
        );
        assert!(
            purpose == whole.purpose
                || whole.purpose == Purpose::Either
                || matches!(purpose, Purpose::Either | Purpose::Noise),
            "something else than it is, in the first {end} bytes"
        );
        let About { named: found, .. } = About::cut_off(&line[..end], &line[end..]);
        assert!(
            found == named || found == Named::Unknown || line[..end].trim_ascii().is_empty(),
            "an id that is not there, behind the first {end} bytes"
        );
    }
}
