//! The daemon's notes to a shim about lines from its client.
//!
//! They stand between the messages, each on a line that begins with 0x1E, which no
//! JSON text contains. Lines are numbered from 1, blank ones included. The daemon
//! tells `done` for every line, also for one that needs no answer; `held` and
//! `sent` only for requests that had to wait.

use std::{fmt, str};

/// The first byte of every control line.
///
/// JSON text never contains it: RFC 8259 section 7 demands that control characters be escaped.
pub const MARK: u8 = 0x1E;

/// Longest control line, in bytes; a daemon with more to tell uses several.
pub const CONTROL_MAX: usize = 64 * 1024;

/// What has become of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The request has to wait; nothing of it has gone to a server.
    Held(u64),
    /// A held request is about to go to a server.
    Sent(u64),
    /// Nothing more will be needed of this line.
    Done(u64),
}

impl fmt::Display for Control {
    /// The whole line, with mark and newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Held(line) => writeln!(f, "\x1eheld {line}"),
            Control::Sent(line) => writeln!(f, "\x1esent {line}"),
            Control::Done(line) => writeln!(f, "\x1edone {line}"),
        }
    }
}

/// Reads one control line, which may concern several lines of the client.
///
/// Words that a newer daemon may have, and numbers that are none, are passed over.
pub fn parse(line: &[u8]) -> impl Iterator<Item = Control> {
    let line = line.strip_prefix(&[MARK]).unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ');
    let kind: Option<fn(u64) -> Control> = match words.next() {
        Some(b"held") => Some(Control::Held),
        Some(b"sent") => Some(Control::Sent),
        Some(b"done") => Some(Control::Done),
        _ => None,
    };
    words.filter_map(move |word| {
        let number = str::from_utf8(word).ok()?.parse().ok()?;
        Some(kind?(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Control> {
        parse(line.as_bytes()).collect()
    }

    #[test]
    fn a_note_survives_its_line() {
        for control in [Control::Held(1), Control::Sent(2), Control::Done(u64::MAX)] {
            assert_eq!(read(&control.to_string()), [control]);
        }
    }

    #[test]
    fn one_line_may_end_several() {
        assert_eq!(
            read("\x1edone 3 1 2\n"),
            [Control::Done(3), Control::Done(1), Control::Done(2)]
        );
    }

    #[test]
    fn words_of_a_newer_daemon_are_passed_over() {
        assert_eq!(read("\x1eresumed 3\n"), []);
        assert_eq!(read("\x1edone 1 x -2\n"), [Control::Done(1)]);
        assert_eq!(read("\x1e\n"), []);
    }
}
