//! Calls that several sessions make for the same reason: the first is carried out, and a repeat of it from
//! another session is answered with the first one's result, which says so.
//!
//! It is for tools that announce something, and for nothing that is not named in the configuration. Only a
//! result is repeated, never an error; while the first call is at work its repeats wait for it, and if it
//! fails, the next of them goes. A session that repeats its own call wants it carried out again.
//!
//! **Invariant:** a session gets the result of another session's call at most once, and only from the process
//! that it shares with it.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
};
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Outgoing, Params, RequestId, Span, meta_name};

use crate::{
    bridge,
    era::Era,
    event::{Link, OnceRule},
    exchange::MintedId,
    from_upstream::answer_in_era,
    ids::{SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
};

/// Calls of one upstream that are remembered at once.
const CALLS_MAX: usize = 64;

/// Longest result that is repeated, and longest key of a call, in bytes.
const RESULT_BYTES_MAX: usize = 64 * 1024;
const KEY_BYTES_MAX: usize = 16 * 1024;

/// What is equal for a call and its repeats: the tool, and the text of the arguments that count.
type CallKey = Box<str>;

/// A call that may be a repeat, or be repeated.
pub(crate) struct OnceCall {
    key: CallKey,
    ttl: Duration,
    id: RequestId,
}

/// The calls of one upstream that may be repeated.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Once {
    known: BTreeMap<CallKey, Call>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Call {
    /// Whose call is at work.
    at_work: Option<(SessionId, MintedId)>,
    /// For how long its result will count.
    ttl: Duration,
    result: Option<Outcome>,
}

/// A result that repeats are answered with.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    /// The message, as the server sent it.
    message: Box<str>,
    at: Moment,
    until: Moment,
    /// Whose call it was, and who has been answered with it.
    known_to: BTreeSet<SessionId>,
}

/// What becomes of a call that may be a repeat.
pub(crate) enum Repeat {
    /// It is none.
    No,
    /// The call that it repeats is at work.
    Waits,
    /// There is a result for it.
    Answered(Outgoing),
}

impl Once {
    /// A call goes to the server.
    fn begin(&mut self, key: CallKey, call: (SessionId, MintedId), ttl: Duration) {
        let call = Call {
            at_work: Some(call),
            ttl,
            result: self.known.remove(&key).and_then(|before| before.result),
        };
        self.known.insert(key, call);
    }

    /// A call is over, and this is its result, if it has one that can be repeated.
    fn end(&mut self, minted: MintedId, message: Option<Box<str>>, now: Moment) {
        let is_its = |call: &Call| call.at_work.is_some_and(|(_, at_work)| at_work == minted);
        let Some(call) = self.known.values_mut().find(|call| is_its(call)) else {
            return;
        };
        let first = call.at_work.take().map(|(session, _)| session);
        if let Some(message) = message {
            call.result = Some(Outcome {
                message,
                at: now,
                until: now + call.ttl,
                known_to: first.into_iter().collect(),
            });
        }
    }

    /// Forgets what nobody can repeat any more, and says whether there is room for another call.
    /// The process is gone whose results these are.
    pub(crate) fn forget_results(&mut self) {
        self.known.retain(|_, call| {
            call.result = None;
            call.at_work.is_some()
        });
    }

    fn has_room(&mut self, key: &str, now: Moment, is_open: impl Fn(MintedId) -> bool) -> bool {
        self.known.retain(|_, call| {
            call.at_work = call.at_work.filter(|(_, minted)| is_open(*minted));
            call.result.take_if(|result| result.until <= now);
            call.at_work.is_some() || call.result.is_some()
        });
        self.known.len() < CALLS_MAX || self.known.contains_key(key)
    }
}

impl OnceRule {
    /// What this call has in common with its repeats; `None` if it is not one that the rule is for.
    pub(crate) fn call(&self, tool: &str, frame: &Frame, params: &Params) -> Option<OnceCall> {
        if !self.tools.contains(tool) {
            return None;
        }
        let arguments = params
            .at
            .as_ref()
            .and_then(|at| frame.member(at, "arguments"));
        let mut key = String::from(tool);
        for counted in self.counted(frame, arguments.map(|it| it.at).as_ref()) {
            key.push('\n');
            key.push_str(&counted);
        }
        let id = frame.id().filter(|_| key.len() <= KEY_BYTES_MAX)?;
        Some(OnceCall {
            key: key.into(),
            ttl: self.ttl,
            id: id.clone(),
        })
    }

    /// The texts of the arguments that count, each with a mark if it is there at all.
    fn counted(&self, frame: &Frame, arguments: Option<&Span>) -> alloc::vec::Vec<String> {
        let text = |span: Option<&Span>| {
            span.map_or_else(String::new, |at| format!("={}", frame.json(at)))
        };
        let Some(names) = &self.key else {
            return [text(arguments)].into();
        };
        let of_name = |name: &str| {
            let member = arguments.and_then(|at| frame.member(at, name));
            text(member.map(|member| member.at).as_ref())
        };
        names.iter().map(|name| of_name(name)).collect()
    }
}

impl Mux {
    /// What becomes of a call, as far as others have made it before.
    pub(crate) fn repeat(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        OnceCall { key, id, .. }: &OnceCall,
    ) -> Repeat {
        let now = self.now;
        let session = self.sessions.get(&session_id);
        if session
            .is_none_or(|session| session.era == Era::Modern && session.opening.link == Link::Posts)
        {
            // Each request is a session of its own there: it may be the same client that repeats its own.
            return Repeat::No;
        }
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Repeat::No;
        };
        let exchanges = &upstream.exchanges;
        upstream
            .once
            .has_room(key, now, |minted| exchanges.get(minted).is_some());
        let Some(call) = upstream.once.known.get_mut(key) else {
            return Repeat::No;
        };
        if let Some(result) = &mut call.result
            && result.known_to.insert(session_id)
        {
            let repeated = (result.message.clone(), result.at, result.until);
            let answer = self.repeated((session_id, upstream_id), id, repeated);
            return answer.map_or(Repeat::No, Repeat::Answered);
        }
        match call.at_work {
            Some((first, _)) if first != session_id => Repeat::Waits,
            Some(_) | None => Repeat::No,
        }
    }

    /// Takes note of a call that others may repeat, unless there are too many of them already.
    pub(crate) fn begin_once(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        OnceCall { key, ttl, .. }: OnceCall,
        minted: MintedId,
    ) {
        let now = self.now;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            let exchanges = &upstream.exchanges;
            let has_room = upstream
                .once
                .has_room(&key, now, |minted| exchanges.get(minted).is_some());
            if has_room {
                upstream.once.begin(key, (session_id, minted), ttl);
            }
        }
    }

    /// A call has been answered.
    pub(crate) fn end_once(&mut self, upstream_id: UpstreamId, minted: MintedId, frame: &Frame) {
        let now = self.now;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && !upstream.once.known.is_empty()
        {
            upstream.once.end(minted, repeatable(frame), now);
        }
    }

    /// A result of before as this session reads it, which says that it is one.
    fn repeated(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        (message, at, until): (Box<str>, Moment, Moment),
    ) -> Option<Outgoing> {
        let frame = Frame::parse(Bytes::from(String::from(message))).ok()?;
        let era = self.sessions.get(&session_id)?.era;
        let upstream = self.upstreams.get(&upstream_id)?;
        let answer = answer_in_era(upstream, &frame, (era, id), &wire::Method::ToolsCall);
        let (since, left) = (self.now - at, until - self.now);
        let mark = format!(
            r#"{{"firstMsAgo":{},"ttlLeftMs":{}}}"#,
            since.as_millis(),
            left.as_millis()
        );
        marked(&answer, &mark)
    }
}

/// The message, if it is a result of a call that went well and is not too long.
fn repeatable(frame: &Frame) -> Option<Box<str>> {
    let Message::Response {
        result: Some(result),
        ..
    } = &frame.message
    else {
        return None;
    };
    let failed = frame
        .member(result, "isError")
        .is_some_and(|it| it.value != "false");
    if failed || bridge::kind_of(frame, result).is_some() || frame.len() > RESULT_BYTES_MAX {
        return None;
    }
    let bytes = frame.unchanged().to_vec();
    String::from_utf8(bytes).ok().map(String::into_boxed_str)
}

/// The message with this word in the `_meta` of its result.
fn marked(answer: &Outgoing, mark: &str) -> Option<Outgoing> {
    let frame = Frame::parse(Bytes::from(answer.to_vec())).ok()?;
    let Message::Response {
        result: Some(result),
        ..
    } = &frame.message
    else {
        return None;
    };
    let with = [(meta_name::ONCE, mark)];
    let meta = frame
        .member(result, "_meta")
        .and_then(|meta| frame.edited(&meta.at, &[meta_name::ONCE], &with))
        .unwrap_or_else(|| format!(r#"{{"{}":{mark}}}"#, meta_name::ONCE));
    let edited = frame.edited(result, &["_meta"], &[("_meta", &meta)])?;
    Some(frame.rewrite(&mut [(result.clone(), edited.as_bytes())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn the_word_stands_beside_what_else_is_in_meta_and_everything_else_stays() {
        let check = |result: &str, expected: &str| {
            let whole = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":"x","result":{result}}}"#);
            let answer = marked(&frame(&whole(result)).unchanged(), "{\"n\":1}").unwrap();
            assert_eq!(String::from_utf8(answer.to_vec()).unwrap(), whole(expected));
        };
        check(
            r#"{"content":[1e400],"_meta":{"a":1}, "b" : 2}"#,
            r#"{"content":[1e400],"b":2,"_meta":{"a":1,"dev.mcpool/once":{"n":1}}}"#,
        );
        check(r"{}", r#"{"_meta":{"dev.mcpool/once":{"n":1}}}"#);
        check(
            r#"{"_meta":null}"#,
            r#"{"_meta":{"dev.mcpool/once":{"n":1}}}"#,
        );
    }

    #[test]
    fn only_a_result_that_went_well_is_repeated() {
        let result = |text: &str| {
            let whole = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#);
            repeatable(&frame(&whole)).is_some()
        };
        assert!(result(r#"{"content":[]}"#));
        assert!(result(
            r#"{"content":[],"isError":false,"resultType":"complete"}"#
        ));
        assert!(!result(r#"{"content":[],"isError":true}"#));
        assert!(!result(r#"{"resultType":"input_required"}"#));
        let long = "x".repeat(RESULT_BYTES_MAX);
        assert!(!result(&format!(r#"{{"content":["{long}"]}}"#)));
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#;
        assert!(repeatable(&frame(error)).is_none());
    }

    #[test]
    fn a_key_is_the_tool_and_the_text_of_what_counts() {
        let key = |names: Option<&[&str]>, params: &str| {
            let rule = OnceRule {
                tools: BTreeSet::from(["speak".into()]),
                key: names.map(|names| names.iter().map(|name| (*name).into()).collect()),
                ttl: Duration::from_secs(1),
            };
            let whole =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            let frame = frame(&whole);
            let Message::Request { params, .. } = &frame.message else {
                panic!("a request");
            };
            rule.call("speak", &frame, params).map(|call| call.key)
        };
        let all = |arguments: &str| {
            key(
                None,
                &format!(r#"{{"name":"speak","arguments":{arguments}}}"#),
            )
        };
        assert_eq!(all(r#"{"a":1}"#), all(r#"{"a":1}"#));
        assert_ne!(all(r#"{"a":1}"#), all(r#"{"a":2}"#));
        assert_ne!(all(r#"{}"#), key(None, r#"{"name":"speak"}"#));
        let text = |arguments: &str| {
            let params = format!(r#"{{"name":"speak","arguments":{arguments}}}"#);
            key(Some(&["text", "to"]), &params)
        };
        assert_eq!(text(r#"{"text":"a","x":1}"#), text(r#"{"x":2,"text":"a"}"#));
        assert_ne!(text(r#"{"text":"a"}"#), text(r#"{"to":"a"}"#));
        assert_ne!(text(r#"{"text":"","to":""}"#), text(r#"{}"#));
    }
}
