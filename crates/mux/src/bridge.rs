//! What a message becomes between a client of one era and a server of the other.
//!
//! Only what an era has that the other has not is taken out, put in or said otherwise, by span; the rest
//! stays as it was written. What cannot be said otherwise is listed in `docs/eras.md`.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write as _;

use wire::{Frame, Message, Method, Outgoing, Params, RequestId, Span, meta_name};

use crate::{
    era::{Era, MODERN_VERSION},
    exchange::Claim,
    handshake::NAMELESS,
    verbosity::Level,
};

/// A server of the legacy era says so of a resource that it has not (until 2025-11-25).
const RESOURCE_NOT_FOUND: &str = "-32002";

/// A server of the legacy era says so of a user who has to visit addresses first (2025-11-25).
const ADDRESSES_FIRST: &str = "-32042";

/// What a server of the modern era says of what only that era has (2026-07-28).
const HEADER_MISMATCH: &str = "-32020";
const LACKS_CAPABILITY: &str = "-32021";
const UNSUPPORTED_VERSION: &str = "-32022";

/// What a request says in the modern era alone that is asked once more.
const OF_ROUNDS: [&str; 2] = ["inputResponses", "requestState"];

/// In the modern era that is a parameter like any other that is wrong.
const INVALID_PARAMS: &str = "-32602";

/// What a modern server calls a result that is the end of it.
const COMPLETE: &str = "complete";

/// What it calls one that is none.
const INPUT_REQUIRED: &str = "input_required";

/// For what a client can do nothing about.
const INTERNAL_ERROR: &str = "-32603";

/// The request as a server sees it that speaks as its client does: with our id, and with the same number
/// for a token.
pub(crate) fn renumbered(frame: &Frame, minted: u64) -> Outgoing {
    let Message::Request {
        id_span, params, ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    let number = RequestId::from(minted);
    match &params.meta_token {
        Some((_, token_span)) => frame.rewrite(&mut [
            (id_span.clone(), number.as_bytes()),
            (token_span.clone(), number.as_bytes()),
        ]),
        None => frame.rewrite(&mut [(id_span.clone(), number.as_bytes())]),
    }
}

/// A modern client's request as a legacy server sees it.
pub(crate) fn request_to_legacy(frame: &Frame, minted: u64) -> Outgoing {
    let Message::Request {
        id_span, params, ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    let number = RequestId::from(minted);
    let Some(place) = &params.at else {
        return frame.rewrite(&mut [(id_span.clone(), number.as_bytes())]);
    };
    let members = frame.members(place).unwrap_or_default();
    let digits = format!("{minted}");
    let meta = params.meta.as_ref();
    let token = params.meta_token.as_ref().map(|_| digits.as_str());
    let meta = meta.and_then(|meta| meta_of(frame, meta, token, &[]));
    let comes_back = members
        .iter()
        .any(|member| OF_ROUNDS.contains(&member.name.as_ref()));
    let edit = match (&params.meta, meta) {
        // The arguments of a call may be long, and stay where they are.
        (Some(place), Some(meta)) if !comes_back => Some((place.clone(), meta)),
        (_, meta) if comes_back => {
            let mut without = Vec::from(OF_ROUNDS);
            without.push("_meta");
            let with: Vec<(&str, &str)> = meta.iter().map(|it| ("_meta", it.as_str())).collect();
            frame
                .edited(place, &without, &with)
                .map(|edited| (place.clone(), edited))
        }
        _nothing => None,
    };
    match &edit {
        Some((span, text)) => frame.rewrite(&mut [
            (id_span.clone(), number.as_bytes()),
            (span.clone(), text.as_bytes()),
        ]),
        None => frame.rewrite(&mut [(id_span.clone(), number.as_bytes())]),
    }
}

/// What a legacy client's requests say of it to a modern server; all are JSON.
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a str,
    pub(crate) capabilities: &'a str,
    /// From which severity on it wants log messages, if it has said so.
    pub(crate) level: Option<&'a str>,
}

/// A legacy client's request as a modern server sees it.
pub(crate) fn request_to_modern(frame: &Frame, minted: u64, sender: &Sender<'_>) -> Outgoing {
    let Message::Request {
        id_span, params, ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    let number = RequestId::from(minted);
    let digits = number.to_string();
    let token = params.meta_token.as_ref().map(|_| digits.as_str());
    let (place, text) = with_sender(frame, params, token, sender);
    frame.rewrite(&mut [
        (id_span.clone(), number.as_bytes()),
        (place, text.as_bytes()),
    ])
}

/// Where a request says what it is of, and what is to stand there: this sender, and this token.
fn with_sender(
    frame: &Frame,
    params: &Params,
    token: Option<&str>,
    sender: &Sender<'_>,
) -> (Span, String) {
    let version = wire::quoted(MODERN_VERSION);
    let level = sender.level.map(wire::quoted);
    let mut said = Vec::from([
        (meta_name::VERSION, version.as_str()),
        (meta_name::CLIENT, sender.client),
        (meta_name::CAPABILITIES, sender.capabilities),
    ]);
    said.extend(level.as_deref().map(|level| (meta_name::LOG_LEVEL, level)));
    let with_token = || {
        let token = token.map(|token| (meta_name::PROGRESS_TOKEN, token));
        let said: Vec<(&str, &str)> = token.into_iter().chain(said.iter().copied()).collect();
        object(&said)
    };
    match (&params.at, &params.meta) {
        (_, Some(meta)) => {
            let edited = meta_of(frame, meta, token, &said);
            (meta.clone(), edited.unwrap_or_default())
        }
        (Some(params), None) => beside_others(frame, params, "_meta", &with_token()),
        (None, None) => {
            let params = format!(r#"{{"_meta":{}}}"#, with_token());
            beside_others(frame, &(0..frame.len()), "params", &params)
        }
    }
}

/// A request that a server of this era was to have, as its client has said it: with its own id and token. Of what
/// was taken out of it for a server of the legacy era that is put in again which counts there.
pub(crate) fn as_said(frame: &Frame, claim: &Claim, server: Era) -> Outgoing {
    let Message::Request {
        id_span, params, ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    // Of a request for which its client has come back it is the token of that.
    let token = claim.token.as_ref().map(ToString::to_string);
    let token = token.as_deref();
    let edit = match (claim.era, server) {
        (Era::Modern, Era::Legacy) => {
            let sender = Sender {
                client: NAMELESS,
                capabilities: &claim.class.unwrap_or_default().to_json(),
                level: claim.log_level.map(Level::name),
            };
            Some(with_sender(frame, params, token, &sender))
        }
        (Era::Legacy, Era::Modern) => params.meta.as_ref().and_then(|meta| {
            let edited = meta_of(frame, meta, token, &[])?;
            Some((meta.clone(), edited))
        }),
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {
            let place = params.meta_token.as_ref().map(|(_, span)| span.clone());
            place.zip(token.map(ToString::to_string))
        }
    };
    let mut edits = Vec::from([(id_span.clone(), claim.id.as_bytes())]);
    edits.extend(
        edit.iter()
            .map(|(place, text)| (place.clone(), text.as_bytes())),
    );
    frame.rewrite(&mut edits)
}

/// A server's answer as a client of the other era reads it.
pub(crate) fn answer(
    frame: &Frame,
    (client, id): (Era, &RequestId),
    method: &Method,
    server_info: Option<&str>,
) -> Outgoing {
    let Message::Response {
        id_span,
        result,
        error,
        ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    let mut edits: Vec<(Span, String)> = Vec::new();
    match (client, result, error) {
        (Era::Modern, Some(result), _) => {
            edits.extend(completed(frame, result, method, server_info));
        }
        (Era::Modern, None, Some(error)) => {
            if let Some(words) = addresses_to_visit(frame, error, id) {
                return words;
            }
            edits.extend(not_found(frame, error));
        }
        (Era::Legacy, Some(result), _) => {
            let edited = frame.edited(result, &["resultType"], &[]);
            edits.extend(edited.map(|edited| (result.clone(), edited)));
        }
        (Era::Legacy, None, Some(error)) => edits.extend(of_one_hop(frame, error)),
        (Era::Legacy | Era::Modern, None, None) => {}
    }
    let mut spans: Vec<(Span, &[u8])> = edits
        .iter()
        .map(|(span, text)| (span.clone(), text.as_bytes()))
        .collect();
    spans.push((id_span.clone(), id.as_bytes()));
    frame.rewrite(&mut spans)
}

/// What is put into a legacy server's result: that it is one, how long it holds, and who says so.
fn completed(
    frame: &Frame,
    result: &Span,
    method: &Method,
    server_info: Option<&str>,
) -> Vec<(Span, String)> {
    let Some(members) = frame.members(result) else {
        return Vec::new();
    };
    let has = |name: &str| members.iter().any(|member| member.name == name);
    let mut new = String::new();
    let mut add = |name: &str, value: &str| {
        if !has(name) {
            // Writing to a text cannot fail.
            let _infallible = write!(new, r#""{name}":{value},"#);
        }
    };
    add("resultType", &wire::quoted(COMPLETE));
    if is_cacheable(method) {
        add("ttlMs", "0");
        add("cacheScope", r#""private""#);
    }
    if let Some(info) = server_info {
        add("_meta", &format!(r#"{{"{}":{info}}}"#, meta_name::SERVER));
    }
    if members.is_empty() {
        new.pop();
    }
    let inside = result.start + 1;
    Vec::from([(inside..inside, new)])
}

/// The error of a legacy server about a resource that it has not, in the words of the modern era.
fn not_found(frame: &Frame, error: &Span) -> Option<(Span, String)> {
    let code = frame.member(error, "code")?;
    (code.value == RESOURCE_NOT_FOUND).then(|| (code.at.clone(), String::from(INVALID_PARAMS)))
}

/// The error of a modern server about what we have said to it on behalf of a client that knows nothing of it (2026-07-28:
/// headers, capabilities and versions of requests), in the words of the legacy era.
fn of_one_hop(frame: &Frame, error: &Span) -> Option<(Span, String)> {
    let code = frame.member(error, "code")?;
    let other = match code.value {
        LACKS_CAPABILITY => INVALID_PARAMS,
        HEADER_MISMATCH | UNSUPPORTED_VERSION => INTERNAL_ERROR,
        _understood => return None,
    };
    Some((code.at.clone(), String::from(other)))
}

/// A legacy server's error that sends a user to addresses first (2025-11-25, -32042), as questions: whoever has
/// been there asks again.
fn addresses_to_visit(frame: &Frame, error: &Span, id: &RequestId) -> Option<Outgoing> {
    if !sends_to_addresses(frame, error) {
        return None;
    }
    let data = frame.member(error, "data")?;
    let listed = frame.member(&data.at, "elicitations")?;
    let listed: Vec<&serde_json::value::RawValue> = serde_json::from_str(listed.value).ok()?;
    let questions = listed.iter().enumerate().filter_map(|(at, asked)| {
        let asked = asked.get();
        let start = asked.as_ptr() as usize - frame.json(&(0..frame.len())).as_ptr() as usize;
        let place = start..start + asked.len();
        let params = frame.edited(&place, &["elicitationId"], &[])?;
        Some(format!(
            r#""{}":{{"method":"elicitation/create","params":{params}}}"#,
            at + 1
        ))
    });
    let questions: Vec<String> = questions.collect();
    if questions.is_empty() {
        return None;
    }
    let questions = questions.join(",");
    Some(Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"input_required","inputRequests":{{{questions}}}}}}}"#
    )))
}

/// Whether an error is one of those.
pub(crate) fn sends_to_addresses(frame: &Frame, error: &Span) -> bool {
    let code = frame.member(error, "code");
    code.is_some_and(|code| code.value == ADDRESSES_FIRST)
}

/// Whether the answer says how long it holds (2026-07-28, caching).
pub(crate) fn is_cacheable(method: &Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
    )
}

/// A `_meta` with these words on its sender, and this token, in place of any others.
fn meta_of(
    frame: &Frame,
    meta: &Span,
    token: Option<&str>,
    said: &[(&str, &str)],
) -> Option<String> {
    let mut without = Vec::from(meta_name::OF_SENDER);
    without.push(meta_name::PROGRESS_TOKEN);
    let token = token.map(|token| (meta_name::PROGRESS_TOKEN, token));
    let with: Vec<(&str, &str)> = token.into_iter().chain(said.iter().copied()).collect();
    frame.edited(meta, &without, &with)
}

/// Where a member goes into an object, in place of another of that name, and the text that goes there.
fn beside_others(frame: &Frame, object: &Span, name: &str, value: &str) -> (Span, String) {
    let members = frame.members(object).unwrap_or_default();
    if let Some(other) = members.iter().find(|member| member.name == name) {
        return (other.at.clone(), String::from(value));
    }
    let inside = object.start + 1;
    let comma = if members.is_empty() { "" } else { "," };
    (inside..inside, format!(r#""{name}":{value}{comma}"#))
}

fn object(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!(r#""{name}":{value}"#))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Whether a modern server's result is no end: it wants to know something first.
pub(crate) fn wants_input(frame: &Frame, result: &Span) -> bool {
    kind_of(frame, result).is_some_and(|kind| kind == INPUT_REQUIRED)
}

/// The kind of a modern server's result, where it is one that the legacy era does not have.
pub(crate) fn kind_of<'a>(frame: &'a Frame, result: &Span) -> Option<Cow<'a, str>> {
    let kind = frame.member(result, "resultType")?;
    let kind = match frame.text(&kind.at) {
        Some(kind) => kind,
        None if kind.value == "null" => return None,
        None => Cow::Borrowed(kind.value),
    };
    (kind != COMPLETE).then_some(kind)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is read is read once")]
    fn text(said: Outgoing) -> String {
        String::from_utf8(said.to_vec()).unwrap()
    }

    #[test]
    fn a_legacy_server_hears_nothing_that_only_modern_clients_say() {
        let said = frame(
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"t","traceparent":"00","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"debug"},"arguments":{"a":1e400}}}"#,
        );
        assert_eq!(
            text(request_to_legacy(&said, 7)),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","_meta":{"traceparent":"00","progressToken":7},"arguments":{"a":1e400}}}"#
        );
    }

    #[test]
    fn what_a_modern_client_brings_back_is_not_for_a_legacy_server() {
        let said = frame(
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","inputResponses":{"1":{}},"requestState":"s","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"a":1},"arguments":{"a":1e400}}}"#,
        );
        assert_eq!(
            text(request_to_legacy(&said, 7)),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"a":1e400},"_meta":{"a":1}}}"#
        );
    }

    #[test]
    fn a_modern_server_hears_of_a_legacy_client_with_each_request() {
        let sender = Sender {
            client: r#"{"name":"c","version":"1"}"#,
            capabilities: r#"{"roots":{}}"#,
            level: Some("debug"),
        };
        let us = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"debug""#;
        let table = [
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
                format!(
                    r#"{{"params":{{"_meta":{{{us}}}}},"jsonrpc":"2.0","id":7,"method":"tools/list"}}"#
                ),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":null}"#,
                format!(
                    r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{"_meta":{{{us}}}}}}}"#
                ),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}"#,
                format!(
                    r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{"_meta":{{{us}}}}}}}"#
                ),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{"a":1,"_meta":{"progressToken":3,"b":2}}}"#,
                format!(
                    r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{{"a":1,"_meta":{{"b":2,"progressToken":7,{us}}}}}}}"#
                ),
            ),
        ];
        for (said, heard) in table {
            let heard_now = text(request_to_modern(&frame(said), 7, &sender));
            assert_eq!(heard_now, heard, "{said}");
            frame(&heard_now);
        }
    }

    #[test]
    fn what_is_put_in_beside_a_name_that_cannot_be_read_is_still_a_member() {
        let said = frame(r#"{"jsonrpc":"2.0","id":7,"result":{"\ud800":1}}"#);
        let id = RequestId::from_json("1").unwrap();
        let answered = answer(&said, (Era::Modern, &id), &Method::ToolsCall, None);
        assert_eq!(
            text(answered),
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","\ud800":1}}"#
        );
    }

    #[test]
    fn a_modern_client_reads_a_legacy_servers_answer_in_its_own_words() {
        let id = RequestId::from_json("\"a\"").unwrap();
        let read = |said: &str, method: Method| {
            text(answer(
                &frame(said),
                (Era::Modern, &id),
                &method,
                Some(r#"{"name":"s","version":"1"}"#),
            ))
        };
        assert_eq!(
            read(
                r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[1e400]}}"#,
                Method::ToolsList
            ),
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}},"tools":[1e400]}}"#
        );
        assert_eq!(
            read(
                r#"{"jsonrpc":"2.0","id":7,"result":{"_meta":{"x":1},"content":[]}}"#,
                Method::ToolsCall
            ),
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","_meta":{"x":1},"content":[]}}"#
        );
        assert_eq!(
            read(
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32042,"message":"no","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://x","message":"go"}]}}}"#,
                Method::ToolsCall
            ),
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"mode":"url","url":"https://x","message":"go"}}}}}"#
        );
        assert_eq!(
            read(
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"no"}}"#,
                Method::ResourcesRead
            ),
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32602,"message":"no"}}"#
        );
    }

    #[test]
    fn a_legacy_client_reads_no_word_of_the_modern_era() {
        let id = RequestId::from_json("5").unwrap();
        let said =
            frame(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"resultType":"complete"}}"#);
        let read = answer(&said, (Era::Legacy, &id), &Method::ToolsCall, None);
        assert_eq!(
            text(read),
            r#"{"jsonrpc":"2.0","id":5,"result":{"content":[]}}"#
        );
        let open = frame(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required"}}"#);
        let Message::Response {
            result: Some(result),
            ..
        } = &open.message
        else {
            panic!("a result");
        };
        assert!(wants_input(&open, result));
    }
}
