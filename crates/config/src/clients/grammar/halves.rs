//! Halves of characters in JSON: escapes of a surrogate that has no partner.
//!
//! Clients that are written in JavaScript write such a text where they have cut a string within a
//! character, and read it back. None of our texts can be one.

use std::{borrow::Cow, ops::Range};

/// Bytes of an escape that names a unit of UTF-16.
const ESCAPE_LEN: usize = 6;

/// A text of JSON, and where in it halves of characters stand.
pub(super) struct Halves<'t> {
    /// The text with a whole character in the place of each half, at the same length.
    pub(super) healed: Cow<'t, str>,
    /// Where the halves begin, in their order.
    starts: Vec<usize>,
}

impl<'t> Halves<'t> {
    /// Finds them.
    pub(super) fn of(text: &'t str) -> Self {
        let starts = starts(text);
        if starts.is_empty() {
            return Halves {
                healed: Cow::Borrowed(text),
                starts,
            };
        }
        let mut healed = String::with_capacity(text.len());
        let mut copied = 0;
        for start in &starts {
            healed.push_str(&text[copied..*start]);
            healed.push_str("\\ufffd");
            copied = start + ESCAPE_LEN;
        }
        healed.push_str(&text[copied..]);
        Halves {
            healed: Cow::Owned(healed),
            starts,
        }
    }

    /// Whether one stands in these bytes.
    pub(super) fn are_in(&self, span: &Range<usize>) -> bool {
        let next = self.starts.partition_point(|start| *start < span.start);
        self.starts.get(next).is_some_and(|start| *start < span.end)
    }
}

fn starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        at += match unit(bytes, at) {
            Some(0xd800..=0xdbff) if is_second(bytes, at + ESCAPE_LEN) => 2 * ESCAPE_LEN,
            Some(0xd800..=0xdfff) => {
                starts.push(at);
                ESCAPE_LEN
            }
            Some(_) => ESCAPE_LEN,
            // What is escaped is no other sign of an escape.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    starts
}

/// Whether the later half of a pair stands here.
fn is_second(bytes: &[u8], at: usize) -> bool {
    unit(bytes, at).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit))
}

/// The unit whose escape stands here.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE_LEN)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surrogate_is_a_half_unless_its_partner_is_beside_it() {
        for (text, expected) in [
            (r#""abc\ud83d""#, r#""abc\ufffd""#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\ud83dü\u00fc\é""#, r#""\ufffdü\u00fc\é""#),
            (r#""\ud8""#, r#""\ud8""#),
            ("\\", "\\"),
        ] {
            assert_eq!(Halves::of(text).healed, expected, "{text}");
        }
        let halves = Halves::of(r#"["\ud83d", "b"]"#);
        assert!(halves.are_in(&(1..9)));
        assert!(!halves.are_in(&(11..14)));
    }
}
