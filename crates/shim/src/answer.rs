//! The daemon's answer to a preface: one control line, before anything else.

use std::{fmt, str};

/// Longest answer that a shim reads, in bytes.
pub const ANSWER_MAX: usize = 4096;

/// What the daemon says to somebody who came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Accepted {
        /// What the daemon calls this session: what a shim names to the next daemon, to go on
        /// where this one was broken off. `None` from a daemon that is too old for that.
        session: Option<u64>,
    },
    /// The command is not in the configuration and the peer is more confined than
    /// the daemon: run it where you are, inside your own confinement.
    RunItYourself,
    /// No, and why: one line for a person.
    Refused(String),
}

impl Answer {
    /// Reads the line, with or without its newline; `None` if it is no answer.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line.strip_prefix(b"\x1e")?).ok()?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        match line.split_once(' ').unwrap_or((line, "")) {
            // Words behind the number are those of a newer daemon.
            ("accepted", words) => Some(Answer::Accepted {
                session: words.split(' ').next().and_then(|word| word.parse().ok()),
            }),
            ("run-it-yourself", _) => Some(Answer::RunItYourself),
            ("refused", text) => Some(Answer::Refused(text.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    /// The whole line with its newline; a text of several lines becomes one, and a
    /// very long one is cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Accepted { session: None } => f.write_str("\x1eaccepted\n"),
            Answer::Accepted {
                session: Some(session),
            } => writeln!(f, "\x1eaccepted {session}"),
            Answer::RunItYourself => f.write_str("\x1erun-it-yourself\n"),
            Answer::Refused(text) => {
                let end = text.floor_char_boundary(ANSWER_MAX - 16);
                writeln!(f, "\x1erefused {}", text[..end].replace(['\n', '\r'], " "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_its_line() {
        for answer in [
            Answer::Accepted { session: None },
            Answer::Accepted { session: Some(0) },
            Answer::Accepted {
                session: Some(u64::MAX),
            },
            Answer::RunItYourself,
            Answer::Refused("no server named `x` is configured".into()),
        ] {
            let line = answer.to_string();
            assert!(line.ends_with('\n'));
            assert_eq!(Answer::parse(line.as_bytes()), Some(answer));
        }
    }

    #[test]
    fn a_session_is_accepted_whatever_follows_the_word() {
        for (line, session) in [
            ("\x1eaccepted 7 and more\n", Some(7)),
            ("\x1eaccepted gladly\n", None),
            ("\x1eaccepted \n", None),
        ] {
            let answer = Answer::parse(line.as_bytes());
            assert_eq!(answer, Some(Answer::Accepted { session }), "{line:?}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_of_bounded_length() {
        let line = Answer::Refused("ä\n".repeat(ANSWER_MAX)).to_string();
        assert!(line.len() <= ANSWER_MAX);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        for line in ["accepted\n", "\x1emaybe\n", "", "{\"jsonrpc\":\"2.0\"}\n"] {
            assert_eq!(Answer::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
