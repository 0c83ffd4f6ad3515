//! One JSON-RPC message: its envelope parsed, its payload raw.
//!
//! **Invariant:** every span lies within the bytes and on the value that it names, so a rewrite
//! changes that value and nothing else.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    fault::Fault,
    id::RequestId,
    method::Method,
    outgoing::Outgoing,
    params::{Params, Span, span, unquoted},
    skim::{NotJson, is_json, members},
};

/// One message with the bytes that it came in.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    /// What kind of message it is, with what routing needs of it.
    pub message: Message,
}

/// The three kinds of JSON-RPC messages.
#[derive(Clone, Debug)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// As its sender wrote it.
        id: RequestId,
        /// Where the id stands.
        id_span: Span,
        /// What it asks.
        method: Method,
        /// What routing needs of its parameters. Boxed, as frames are moved often.
        params: Box<Params>,
    },
    /// Wants none.
    Notification {
        /// What it tells.
        method: Method,
        /// What routing needs of its parameters. Boxed, as frames are moved often.
        params: Box<Params>,
    },
    /// The answer to a request.
    Response {
        /// `None` for the `null` of an error about a message whose id could not be read.
        id: Option<RequestId>,
        /// Where the id stands.
        id_span: Span,
        /// Where the result stands; `None` for an error.
        result: Option<Span>,
        /// Where the error stands; `None` for a result.
        error: Option<Span>,
    },
}

/// The kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// Is one.
    Response,
}

/// The members that make a message, as JSON text.
#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<&'a str>,
    id: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    is_doubled: bool,
    /// How deep the message is.
    depth: usize,
}

/// Deepest request or notification that is passed on: the parsers of many servers give up, or die, at
/// not much more, and a server is shared.
const DEPTH_MAX: usize = 128;

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, NotJson> {
        let mut envelope = Envelope::default();
        let depth = members(text, |name, value| {
            // Escapes in names are resolved, as every other parser does.
            let member = match unquoted(name).as_deref() {
                Some("jsonrpc") => &mut envelope.jsonrpc,
                Some("id") => &mut envelope.id,
                Some("method") => &mut envelope.method,
                Some("params") => &mut envelope.params,
                Some("result") => &mut envelope.result,
                Some("error") => &mut envelope.error,
                _unknown => return,
            };
            envelope.is_doubled |= member.replace(value).is_some();
        })?;
        envelope.depth = depth;
        Ok(envelope)
    }
}

impl Frame {
    /// Reads one message. Blanks around it are no part of it.
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        let text = simdutf8::basic::from_utf8(&bytes).map_err(|_| Fault::NotUtf8)?;
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        if !trimmed.starts_with('{') {
            let is_json = is_json(trimmed);
            return Err(if is_json {
                Fault::NotAnObject
            } else {
                Fault::NotJson
            });
        }
        let trim = span(text, trimmed);
        let message = parse_message(trimmed)?;
        let bytes = if trim.len() == bytes.len() {
            bytes
        } else {
            bytes.slice(trim)
        };
        Ok(Frame { bytes, message })
    }

    /// Reads the messages of a JSON-RPC batch, which 2025-03-26 alone allows; `None` if the line is no array.
    ///
    /// Each message may be at fault of its own. An empty batch has one fault, as JSON-RPC 2.0 section 6 says.
    pub fn parse_batch(bytes: &Bytes) -> Option<Vec<Result<Frame, Fault>>> {
        let text = core::str::from_utf8(bytes).ok()?;
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        if !trimmed.starts_with('[') {
            return None;
        }
        let items: Vec<&RawValue> = match serde_json::from_str(trimmed) {
            Ok(items) => items,
            Err(_) => return Some(alloc::vec![Err(Fault::NotJson)]),
        };
        if items.is_empty() {
            return Some(alloc::vec![Err(Fault::NotAnObject)]);
        }
        Some(
            items
                .into_iter()
                .map(|item| Frame::parse(bytes.slice(span(text, item.get()))))
                .collect(),
        )
    }

    /// What kind of message it is.
    pub fn kind(&self) -> Kind {
        match &self.message {
            Message::Request { .. } => Kind::Request,
            Message::Notification { .. } => Kind::Notification,
            Message::Response { .. } => Kind::Response,
        }
    }

    /// The id, if the message has one that is not `null`.
    pub fn id(&self) -> Option<&RequestId> {
        match &self.message {
            Message::Request { id, .. } => Some(id),
            Message::Response { id, .. } => id.as_ref(),
            Message::Notification { .. } => None,
        }
    }

    /// The method, unless it is a response.
    pub fn method(&self) -> Option<&Method> {
        match &self.message {
            Message::Request { method, .. } | Message::Notification { method, .. } => Some(method),
            Message::Response { .. } => None,
        }
    }

    /// The same message in bytes of its own: one of a batch shares those of the whole.
    #[must_use]
    pub fn copied(&self) -> Self {
        Frame {
            bytes: Bytes::copy_from_slice(&self.bytes),
            message: self.message.clone(),
        }
    }

    /// The number of bytes, without a line end.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes; a parsed frame always has some.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The JSON text at a span of this frame.
    pub fn json(&self, span: &Span) -> &str {
        self.bytes
            .get(span.clone())
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// The text of the JSON string at a span of this frame; `None` if something else stands there.
    pub fn text(&self, span: &Span) -> Option<Cow<'_, str>> {
        unquoted(self.json(span))
    }

    /// The bytes at a span, shared with this frame.
    pub fn share(&self, span: &Span) -> Bytes {
        self.bytes.slice(span.clone())
    }

    /// The message as it came.
    pub fn unchanged(&self) -> Outgoing {
        Outgoing::from(self.bytes.clone())
    }

    /// The message with the values at these spans replaced and everything else as it came.
    ///
    /// The spans must not overlap; their order does not matter.
    pub fn rewrite(&self, edits: &mut [(Span, &[u8])]) -> Outgoing {
        Outgoing::spliced(&self.bytes, edits)
    }
}

fn parse_message(text: &str) -> Result<Message, Fault> {
    let envelope = Envelope::read(text).map_err(|NotJson| Fault::NotJson)?;
    // Of a doubled id nobody knows which one is meant.
    let id = envelope
        .id
        .filter(|_| !envelope.is_doubled)
        .and_then(RequestId::from_json);
    let fault = |what| Fault::NotJsonRpc {
        what,
        id: id.clone(),
        response: envelope.method.is_none()
            && (envelope.result.is_some() || envelope.error.is_some()),
    };
    if envelope.is_doubled {
        return Err(fault("a member of the envelope stands there twice"));
    }
    if envelope.jsonrpc.and_then(unquoted).as_deref() != Some("2.0") {
        return Err(fault("`jsonrpc` must be \"2.0\""));
    }
    // Some servers name both and leave one empty, in the manner of JSON-RPC 1.0.
    let (result, error) = match (envelope.result, envelope.error) {
        (Some(result), Some("null")) => (Some(result), None),
        (Some("null"), Some(error)) => (None, Some(error)),
        both => both,
    };
    match (envelope.method, result, error) {
        (Some(_), None, None) if envelope.depth > DEPTH_MAX => Err(fault(
            "more than 128 arrays and objects stand in each other",
        )),
        (Some(method), None, None) => {
            let method = unquoted(method).ok_or_else(|| fault("`method` must be a string"))?;
            let method = Method::from_name(&method);
            let params = match envelope.params {
                Some(params) => Params::read(text, params, &method).map_err(fault)?,
                None => Params::default(),
            };
            let params = Box::new(params);
            let Some(raw_id) = envelope.id else {
                return Ok(Message::Notification { method, params });
            };
            let id = id
                .clone()
                .ok_or_else(|| fault("`id` must be a string or a number of at most 1 KiB"))?;
            Ok(Message::Request {
                id,
                id_span: span(text, raw_id),
                method,
                params,
            })
        }
        (None, Some(_), None) | (None, None, Some(_)) => {
            let raw_id = envelope
                .id
                .ok_or_else(|| fault("a response must have an `id`"))?;
            if id.is_none() && raw_id != "null" {
                return Err(fault("`id` must be a string or a number of at most 1 KiB"));
            }
            Ok(Message::Response {
                id,
                id_span: span(text, raw_id),
                result: result.map(|result| span(text, result)),
                error: error.map(|error| span(text, error)),
            })
        }
        (None, None, None) => Err(fault("neither `method` nor `result` nor `error` is there")),
        _several => Err(fault(
            "only one of `method`, `result` and `error` may be there",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Frame, Fault> {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn rewritten(text: &str, id: &str) -> alloc::string::String {
        let frame = parse(text).unwrap();
        let (Message::Request { id_span, .. } | Message::Response { id_span, .. }) = &frame.message
        else {
            panic!("no id in {text}")
        };
        let out = frame.rewrite(&mut [(id_span.clone(), id.as_bytes())]);
        alloc::string::String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_request_may_be_so_deep_and_no_deeper_and_a_response_as_deep_as_it_likes() {
        let nested = |depth: usize, member: &str| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            parse(&alloc::format!(
                r#"{{"jsonrpc":"2.0","id":7,{member}:{{"a":{open}{close}}}}}"#
            ))
        };
        let request = r#""method":"tools/call","params""#;
        assert!(nested(DEPTH_MAX - 2, request).is_ok());
        for depth in [DEPTH_MAX - 1, 1_000_000] {
            let fault = nested(depth, request).unwrap_err();
            assert_eq!(fault.code(), -32600);
            assert_eq!(fault.id(), RequestId::from_json("7").as_ref(), "{fault}");
        }
        assert!(nested(100_000, r#""result""#).is_ok());
    }

    #[test]
    fn a_rewrite_changes_the_id_and_nothing_else() {
        let odd = r#"{ "params":{"b":1e400,"a":1.0,"s":"\ud800 \u0041"} ,"future" : [1,{"id":7}], "id" : "a" , "method":"tools/call","jsonrpc":"2.0"}"#;
        let want = odd.replace(r#""id" : "a""#, r#""id" : 12"#);
        assert_eq!(rewritten(odd, "12"), want);
        let reply = r#"{"result":{"id":1,"x":[[-0.0]]},"jsonrpc":"2.0","id":1}"#;
        assert_eq!(
            rewritten(reply, "\"one\""),
            r#"{"result":{"id":1,"x":[[-0.0]]},"jsonrpc":"2.0","id":"one"}"#
        );
    }

    #[test]
    fn doubled_routing_members_are_refused() {
        let doubled = [
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}"#,
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        ];
        for text in doubled {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.code(), -32600, "{text}");
        }
    }

    #[test]
    fn escapes_change_no_meaning() {
        let frame = parse(r#"{"jsonrpc":"\u0032.0","\u0069d":1,"method":"\u0070ing"}"#).unwrap();
        assert_eq!(frame.id(), Some(&RequestId::from(1)));
        assert_eq!(frame.method(), Some(&Method::Ping));
    }

    #[test]
    fn a_token_that_is_none_is_at_fault_only_where_it_is_one() {
        for (method, member) in [
            ("notifications/progress", "progressToken"),
            ("notifications/cancelled", "requestId"),
        ] {
            let of = |method: &str| {
                parse(&alloc::format!(
                    r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"{member}":{{}}}}}}"#
                ))
            };
            assert!(of(method).is_err());
            let frame = of("acme/other").unwrap();
            let Message::Notification { params, .. } = &frame.message else {
                panic!("a notification")
            };
            assert!(params.token.is_none() && params.request_id.is_none());
        }
    }

    #[test]
    fn names_are_case_exact() {
        let fault = parse(r#"{"jsonrpc":"2.0","ID":1,"Method":"x"}"#).unwrap_err();
        assert!(matches!(fault, Fault::NotJsonRpc { .. }));
    }

    #[test]
    fn a_null_result_is_a_result_and_a_null_id_is_none() {
        let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap();
        assert!(matches!(
            frame.message,
            Message::Response {
                result: Some(_),
                ..
            }
        ));
        let frame = parse(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap();
        assert!(matches!(
            frame.message,
            Message::Response {
                id: None,
                error: Some(_),
                ..
            }
        ));
        assert!(parse(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#).is_err());
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let mut text = alloc::string::String::from(r#"{"jsonrpc":"2.0","id":1,"result":"#);
        text.push_str(&"[".repeat(1_000_000));
        text.push_str(&"]".repeat(1_000_000));
        text.push('}');
        assert_eq!(parse(&text).unwrap().id(), Some(&RequestId::from(1)));
    }

    #[test]
    fn the_token_is_found_where_it_stands() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":{"progressToken":9},"_meta":{"k":1,"progressToken":"t"}}}"#;
        let frame = parse(text).unwrap();
        let Message::Request { params, .. } = &frame.message else {
            panic!("a request")
        };
        let (token, at) = params.meta_token.clone().unwrap();
        assert_eq!(token.as_bytes(), b"\"t\"");
        assert_eq!(frame.json(&at), "\"t\"");
    }

    #[test]
    fn a_null_where_something_of_ours_may_stand_is_as_good_as_nothing() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":null},"progressToken":null,"tools":null}}"#;
        let frame = parse(text).unwrap();
        let Message::Request { params, .. } = &frame.message else {
            panic!("a request")
        };
        assert!(params.meta_token.is_none() && params.token.is_none() && !params.has_tools);
    }

    #[test]
    fn the_id_of_a_message_at_fault_is_kept_where_it_is_certain() {
        let fault = parse(r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#).unwrap_err();
        assert_eq!(fault.id(), Some(&RequestId::from(7)));
        let fault = parse(r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"x"}"#).unwrap_err();
        assert_eq!(fault.id(), None);
    }

    #[test]
    fn positional_parameters_pass_unread() {
        let frame = parse(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1,2,3]}"#).unwrap();
        assert_eq!(frame.kind(), Kind::Request);
    }

    #[test]
    fn a_response_in_the_manner_of_older_libraries_is_what_it_says() {
        let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#).unwrap();
        assert!(matches!(
            frame.message,
            Message::Response {
                result: Some(_),
                error: None,
                ..
            }
        ));
        let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}"#).unwrap();
        assert!(matches!(
            frame.message,
            Message::Response {
                result: None,
                error: Some(_),
                ..
            }
        ));
        let fault = parse(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#).unwrap_err();
        assert!(matches!(
            fault,
            Fault::NotJsonRpc {
                id: Some(_),
                response: true,
                ..
            }
        ));
        let fault = parse(r#"{"id":1,"method":"x"}"#).unwrap_err();
        assert!(matches!(
            fault,
            Fault::NotJsonRpc {
                response: false,
                ..
            }
        ));
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_what_is_no_message() {
        assert_eq!(parse("hello").unwrap_err(), Fault::NotJson);
        assert!(matches!(parse("[1]"), Err(Fault::NotAnObject)));
        assert!(matches!(parse("{\"a\":1}"), Err(Fault::NotJsonRpc { .. })));
        assert!(matches!(
            Frame::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")),
            Err(Fault::NotUtf8)
        ));
    }

    #[test]
    fn a_batch_is_its_messages() {
        let line = Bytes::from_static(
            br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 5, {"jsonrpc":"2.0","method":"x"}]"#,
        );
        let batch = Frame::parse_batch(&line).unwrap();
        assert_eq!(batch.len(), 3);
        assert!(batch[1].is_err());
        assert!(Frame::parse_batch(&Bytes::from_static(b"{}")).is_none());
    }

    impl PartialEq for Frame {
        fn eq(&self, other: &Self) -> bool {
            self.bytes == other.bytes
        }
    }
}
