//! What a message is recognised by when it leaves again under other ids.

use core::hash::Hasher as _;
use std::{hash::DefaultHasher, vec::Vec};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Span};

/// A stand-in for a message without its ids and tokens, which the core replaces.
///
/// Of a long message it covers the length and both ends: enough to tell messages apart. That nothing
/// in between is altered is for tests that compare bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Print(u64);

/// Bytes at either end of a message that are looked at.
const END_BYTES: usize = 2048;

impl Print {
    pub(super) fn of(frame: &Frame) -> Self {
        let mut spans: Vec<&Span> = replaced(&frame.message).into_iter().flatten().collect();
        spans.sort_unstable_by_key(|span| span.start);
        let all = frame.share(&(0..frame.len()));
        let mut kept = Vec::with_capacity(spans.len() + 1);
        let mut done = 0;
        for span in spans {
            kept.push(all.get(done..span.start).unwrap_or_default());
            done = span.end;
        }
        kept.push(all.get(done..).unwrap_or_default());
        Print(hash(&kept))
    }
}

/// Where the core puts ids and tokens of its own, or puts back those of a peer.
fn replaced(message: &Message) -> [Option<&Span>; 2] {
    match message {
        Message::Request {
            id_span, params, ..
        } => [
            Some(id_span),
            params.meta_token.as_ref().map(|(_, span)| span),
        ],
        Message::Notification { params, .. } => [
            params.token.as_ref().map(|(_, span)| span),
            params.request_id.as_ref().map(|(_, span)| span),
        ],
        Message::Response { id_span, .. } => [Some(id_span), None],
    }
}

fn hash(pieces: &[&[u8]]) -> u64 {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let tail = len.saturating_sub(END_BYTES);
    let mut hasher = DefaultHasher::new();
    hasher.write_usize(len);
    let mut at = 0;
    for piece in pieces {
        let end = at + piece.len();
        for (from, to) in [(0, END_BYTES.min(tail)), (tail, len)] {
            let part = from.clamp(at, end) - at..to.clamp(at, end) - at;
            hasher.write(piece.get(part).unwrap_or_default());
        }
        at = end;
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::{format, string::String};

    use bytes::Bytes;

    use super::*;

    fn print(text: String) -> Print {
        Print::of(&Frame::parse(Bytes::from(text)).unwrap())
    }

    fn call(id: &str, token: &str, text: &str) -> Print {
        print(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{token}}},"text":"{text}"}}}}"#
        ))
    }

    #[test]
    fn ids_and_tokens_make_no_difference_and_every_other_byte_near_an_end_does() {
        assert_eq!(call("1", "\"t\"", "a"), call("\"long id\"", "77", "a"));
        assert_ne!(call("1", "1", "a"), call("1", "1", "b"));
        let long = "x".repeat(10 * END_BYTES);
        assert_eq!(call("1", "1", &long), call("99", "5", &long));
        assert_ne!(call("1", "1", &long), call("1", "1", &format!("y{long}")));
        assert_ne!(
            call("1", "1", &format!("{long}a")),
            call("1", "1", &format!("{long}b"))
        );
    }
}
