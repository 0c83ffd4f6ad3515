//! What a message is recognised by when it leaves again under other ids.

use core::hash::Hasher as _;
use std::{
    borrow::{Cow, ToOwned},
    hash::DefaultHasher,
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Span, meta_name};

use crate::bridge::{sends_to_addresses, wants_input};

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

impl Print {
    /// The same, with no regard to what only one of the eras says: who sends a request, and that a result is
    /// one. Where a message stands in between, its members may change their order.
    pub(super) fn across(frame: &Frame) -> Self {
        let whole = 0..frame.len();
        let mut kept: Vec<(String, Vec<Cow<'_, str>>)> = Vec::new();
        for member in frame.members(&whole).unwrap_or_default() {
            let pieces = match (&frame.message, member.name.as_ref()) {
                (Message::Request { .. } | Message::Response { .. }, "id") => continue,
                (Message::Request { .. }, "params") => without(frame, &member.at, &OF_ROUNDS),
                (Message::Response { .. }, "result") if wants_input(frame, &member.at) => continue,
                (Message::Response { .. }, "error") if sends_to_addresses(frame, &member.at) => {
                    continue;
                }
                (Message::Response { .. }, "error") => without_code(frame, &member.at),
                (Message::Response { .. }, "result") => without(frame, &member.at, &OF_RESULTS),
                _as_it_is => Vec::from([Cow::Borrowed(frame.json(&member.at))]),
            };
            if !pieces.is_empty() {
                kept.push((member.name.into_owned(), pieces));
            }
        }
        kept.sort_unstable();
        let mut all: Vec<&[u8]> = Vec::new();
        for (name, pieces) in &kept {
            all.push(name.as_bytes());
            all.extend(pieces.iter().map(|piece| piece.as_bytes()));
        }
        Print(hash(&all))
    }
}

/// What a request says in the modern era alone that goes once more.
const OF_ROUNDS: [&str; 2] = ["inputResponses", "requestState"];

/// What results say in the modern era alone.
const OF_RESULTS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// What `_meta` says in the modern era alone, what is replaced there, and what is our own.
const OF_META: [&str; 7] = [
    meta_name::PROGRESS_TOKEN,
    meta_name::VERSION,
    meta_name::CAPABILITIES,
    meta_name::CLIENT,
    meta_name::LOG_LEVEL,
    meta_name::SERVER,
    meta_name::ONCE,
];

/// Codes of errors by which either era says what the other says by another.
const CODES: [&str; 6] = ["-32002", "-32020", "-32021", "-32022", "-32602", "-32603"];

/// An error without its code, where that may be another one in the other era.
fn without_code<'a>(frame: &'a Frame, error: &Span) -> Vec<Cow<'a, str>> {
    let code = frame.member(error, "code");
    if code.is_some_and(|code| CODES.contains(&code.value)) {
        without(frame, error, &["code"])
    } else {
        without(frame, error, &[])
    }
}

/// An object in pieces, without these members, and with what is left of its `_meta` behind all others. What is
/// large is not copied.
fn without<'a>(frame: &'a Frame, object: &Span, names: &[&str]) -> Vec<Cow<'a, str>> {
    let Some(members) = frame.members(object) else {
        let value = frame.json(object);
        let value = Some(value).filter(|value| *value != "null");
        return value.map(Cow::Borrowed).into_iter().collect();
    };
    let mut pieces = Vec::new();
    let mut meta = None;
    for member in members {
        if member.name == "_meta" {
            let rest = frame.edited(&member.at, &OF_META, &[]);
            meta = Some(rest.unwrap_or_else(|| member.value.to_owned()));
        } else if !names.contains(&member.name.as_ref()) {
            pieces.push(member.name);
            pieces.push(Cow::Borrowed(member.value));
        }
    }
    pieces.extend(meta.filter(|meta| meta != "{}").map(Cow::Owned));
    pieces
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
    fn what_only_one_era_says_makes_no_difference_between_them_and_everything_else_does() {
        let across = |text: &str| {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            Print::across(&Frame::parse(bytes).unwrap())
        };
        let legacy = across(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        let sender = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
        for params in ["{}".to_owned(), format!(r#"{{"_meta":{{{sender}}}}}"#)] {
            let modern =
                format!(r#"{{"params":{params},"jsonrpc":"2.0","id":"a","method":"tools/list"}}"#);
            assert_eq!(across(&modern), legacy, "{params}");
        }
        let other = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"a"}}"#;
        assert_ne!(across(other), legacy);
        let result = across(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
        let complete =
            r#"{"jsonrpc":"2.0","id":5,"result":{"resultType":"complete","content":[]}}"#;
        assert_eq!(across(complete), result);
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
