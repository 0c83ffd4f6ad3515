//! The daemon's notes to a shim about lines from its client.
//!
//! They stand between the messages, each on a line that begins with 0x1E, which no
//! JSON text contains. Lines are numbered from 1, blank ones included. The daemon
//! tells `done` for every line, also for one that needs no answer, or `keep` in its
//! place; `held` and `sent` only for requests that had to wait.
//!
//! A shim that goes on with a session at the next daemon tells that one in the same
//! way what the lines are that it brings along: see [`Resumed`].

use std::{fmt, str};

/// The first byte of every control line.
///
/// JSON text never contains it: RFC 8259 section 7 demands that control characters be escaped.
pub const MARK: u8 = 0x1E;

/// Longest control line, in bytes; a daemon with more to tell uses several.
pub const CONTROL_MAX: usize = 64 * 1024;

/// What has become of one line, or is about to become of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The request has to wait; nothing of it has gone to a server.
    Held(u64),
    /// A held request is about to go to a server.
    Sent(u64),
    /// The line is answered, and the next daemon would have to hear it again.
    Keep(u64),
    /// Nothing more will be needed of this line. One that is refused before its end is done twice: at once,
    /// and when it ends.
    Done(u64),
    /// The daemon ends because somebody wants it to: no other is needed before the client
    /// says something.
    Ending,
}

impl fmt::Display for Control {
    /// The whole line, with mark and newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Held(line) => writeln!(f, "\x1eheld {line}"),
            Control::Sent(line) => writeln!(f, "\x1esent {line}"),
            Control::Keep(line) => writeln!(f, "\x1ekeep {line}"),
            Control::Done(line) => writeln!(f, "\x1edone {line}"),
            Control::Ending => f.write_str("\x1eending\n"),
        }
    }
}

/// What a shim tells the daemon at which it goes on with a session.
///
/// Each is a control line too. A session that goes on begins with one [`Resumed::Line`] for every line
/// that is not done, in their order, each followed by that line; then one [`Resumed::Next`], and all
/// that comes behind it are lines as ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// What follows is this line of the client.
    Line {
        /// Its number, which is larger than those before it.
        number: u64,
        /// How far it had come.
        past: Past,
    },
    /// The number of the next line; there are no more that come with a number.
    Next(u64),
}

/// What became of a line at the daemons before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It was answered, and must be heard again: [`Control::Keep`].
    Kept,
    /// No server can have seen it: no daemon had all of it, or the last that had it held it until
    /// its end.
    Fresh,
    /// A server may have seen it.
    Sent,
    /// It was told as [`Past::Sent`] to a daemon before, which may have sent it again.
    Repeated,
}

impl Past {
    /// All of them.
    pub const ALL: [Past; 4] = [Past::Kept, Past::Fresh, Past::Sent, Past::Repeated];

    fn word(self) -> &'static str {
        match self {
            Past::Kept => "kept",
            Past::Fresh => "fresh",
            Past::Sent => "sent",
            Past::Repeated => "repeated",
        }
    }
}

impl fmt::Display for Resumed {
    /// The whole line, with mark and newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resumed::Line { number, past } => writeln!(f, "\x1eline {number} {}", past.word()),
            Resumed::Next(number) => writeln!(f, "\x1enext {number}"),
        }
    }
}

/// Reads one control line of a shim; `None` if it is none that we know.
pub fn resumed(line: &[u8]) -> Option<Resumed> {
    let line = str::from_utf8(line.strip_prefix(&[MARK])?).ok()?;
    let mut words = line.strip_suffix('\n').unwrap_or(line).split(' ');
    let kind = words.next()?;
    let number = words.next()?.parse().ok()?;
    match kind {
        "line" => {
            let word = words.next()?;
            let past = Past::ALL.into_iter().find(|past| past.word() == word)?;
            Some(Resumed::Line { number, past })
        }
        "next" => Some(Resumed::Next(number)),
        _ => None,
    }
}

/// Reads one control line, which may concern several lines of the client.
///
/// Words that a newer daemon may have, and numbers that are none, are passed over.
pub fn parse(line: &[u8]) -> impl Iterator<Item = Control> {
    let line = line.strip_prefix(&[MARK]).unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ');
    let kind = words.next();
    let ending = (kind == Some(b"ending")).then_some(Control::Ending);
    let kind: Option<fn(u64) -> Control> = match kind {
        Some(b"held") => Some(Control::Held),
        Some(b"sent") => Some(Control::Sent),
        Some(b"keep") => Some(Control::Keep),
        Some(b"done") => Some(Control::Done),
        _ => None,
    };
    let of_lines = words.filter_map(move |word| {
        let number = str::from_utf8(word).ok()?.parse().ok()?;
        Some(kind?(number))
    });
    ending.into_iter().chain(of_lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Control> {
        parse(line.as_bytes()).collect()
    }

    #[test]
    fn a_note_survives_its_line() {
        for control in [
            Control::Held(1),
            Control::Sent(2),
            Control::Keep(3),
            Control::Done(u64::MAX),
            Control::Ending,
        ] {
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
    fn what_a_shim_brings_along_survives_its_line() {
        for number in [1, u64::MAX] {
            for past in Past::ALL {
                let line = Resumed::Line { number, past };
                assert_eq!(resumed(line.to_string().as_bytes()), Some(line));
            }
            let next = Resumed::Next(number);
            assert_eq!(resumed(next.to_string().as_bytes()), Some(next));
        }
    }

    #[test]
    fn what_a_shim_does_not_say_is_not_taken_for_its_word() {
        for line in [
            "",
            "{}\n",
            "\x1e\n",
            "\x1eline\n",
            "\x1eline 1\n",
            "\x1eline 1 gone\n",
            "\x1eline -1 sent\n",
            "\x1enext\n",
            "\x1enext x\n",
            "\x1edone 1\n",
            "next 1\n",
        ] {
            assert_eq!(resumed(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn words_of_a_newer_daemon_are_passed_over() {
        assert_eq!(read("\x1eresumed 3\n"), []);
        assert_eq!(read("\x1edone 1 x -2\n"), [Control::Done(1)]);
        assert_eq!(read("\x1e\n"), []);
    }
}
