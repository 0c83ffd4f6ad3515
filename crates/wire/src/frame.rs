//! One JSON-RPC message: its envelope parsed, its payload raw.
//!
//! **Invariant:** every span lies within the bytes and on the value that it names, so a rewrite
//! changes that value and nothing else.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use bytes::Bytes;

use crate::{
    about::{About, Ids, Signs},
    fault::Fault,
    id::RequestId,
    method::Method,
    outgoing::Outgoing,
    params::{Params, Span, span, unquoted},
    skim::{NotJson, elements, is_json, members},
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
    /// All ids, where there are several. Boxed, as there seldom are.
    ids: Option<Box<Ids>>,
    /// How deep the message is.
    depth: usize,
}

/// Deepest message that is passed on, either way: as deep as the strictest of the usual parsers goes
/// (`serde_json` gives up at 128), and where a message is not read, somebody waits in vain.
const DEPTH_MAX: usize = 127;

/// Text of which nothing can be made.
const NO_JSON: Fault = Fault::NotJson {
    about: About::NOISE,
};

/// What is wrong with an id that cannot be one.
const NO_ID: &str = "`id` must be a string or a number of at most 1 KiB";

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, NotJson> {
        let mut envelope = Envelope::default();
        let depth = members(text, |name, value| {
            // Escapes in names are resolved, as every other parser does.
            let member = match unquoted(name).as_deref() {
                Some("jsonrpc") => &mut envelope.jsonrpc,
                Some("id") => {
                    if let Some(first) = envelope.id {
                        let ids = envelope.ids.get_or_insert_with(|| {
                            let mut ids = Box::<Ids>::default();
                            ids.meet(first);
                            ids
                        });
                        ids.meet(value);
                    }
                    &mut envelope.id
                }
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

    /// Whose the message is and what it was to be, should it be at fault.
    fn about(&self) -> About {
        let signs = Signs {
            ids: match (&self.ids, self.id) {
                (Some(ids), _) => Ids::clone(ids),
                (None, Some(id)) => Ids::of(id),
                (None, None) => Ids::default(),
            },
            has_version: self.jsonrpc.is_some(),
            has_question: self.method.is_some() || self.params.is_some(),
            has_outcome: self.result.is_some() || self.error.is_some(),
        };
        About {
            named: signs.ids.named(),
            purpose: signs.purpose(),
        }
    }
}

impl Frame {
    /// Reads one message. Blanks around it are no part of it.
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        let text = simdutf8::basic::from_utf8(&bytes).map_err(|_| Fault::NotUtf8 {
            about: About::garbled(&bytes),
        })?;
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        if !trimmed.starts_with('{') {
            let is_json = is_json(trimmed);
            return Err(if is_json { Fault::NotAnObject } else { NO_JSON });
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
    /// Each message may be at fault of its own. An empty batch has one fault, as JSON-RPC 2.0 section 6
    /// says, and so has one of more than `limit` messages: each of them may cost more than its bytes.
    pub fn parse_batch(bytes: &Bytes, limit: usize) -> Option<Vec<Result<Frame, Fault>>> {
        let text = core::str::from_utf8(bytes).ok()?;
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        if !trimmed.starts_with('[') {
            return None;
        }
        let mut places = Vec::new();
        let count = elements(trimmed, |element| {
            if places.len() < limit {
                places.push(span(text, element));
            }
        });
        let fault = match count {
            Err(NotJson) => NO_JSON,
            Ok(0) => Fault::NotAnObject,
            Ok(count) if count > limit => Fault::TooMany { limit },
            Ok(_) => {
                let messages = places.into_iter();
                return Some(
                    messages
                        .map(|place| Frame::parse(bytes.slice(place)))
                        .collect(),
                );
            }
        };
        Some(alloc::vec![Err(fault)])
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
    let envelope = Envelope::read(text).map_err(|NotJson| Fault::NotJson {
        about: About::garbled(text.as_bytes()),
    })?;
    envelope.message(text).map_err(|what| Fault::NotJsonRpc {
        what,
        about: envelope.about(),
    })
}

impl Envelope<'_> {
    /// The message that this is in, or what is wrong with it.
    fn message(&self, text: &str) -> Result<Message, &'static str> {
        if self.is_doubled {
            return Err("a member of the envelope stands there twice");
        }
        if self.jsonrpc.and_then(unquoted).as_deref() != Some("2.0") {
            return Err("`jsonrpc` must be \"2.0\"");
        }
        if self.depth > DEPTH_MAX {
            return Err("more than 127 arrays and objects stand in each other");
        }
        // Some servers name both and leave one empty, in the manner of JSON-RPC 1.0.
        let (result, error) = match (self.result, self.error) {
            (Some(result), Some("null")) => (Some(result), None),
            (Some("null"), Some(error)) => (None, Some(error)),
            both => both,
        };
        match (self.method, result, error) {
            (Some(method), None, None) => self.question(text, method),
            (None, Some(_), None) | (None, None, Some(_)) => self.answer(text, result, error),
            (None, None, None) => Err("neither `method` nor `result` nor `error` is there"),
            _several => Err("only one of `method`, `result` and `error` may be there"),
        }
    }

    fn question(&self, text: &str, method: &str) -> Result<Message, &'static str> {
        let method = unquoted(method).ok_or("`method` must be a string")?;
        let method = Method::from_name(&method);
        let params = match self.params {
            Some(params) => Params::read(text, params, &method)?,
            None => Params::default(),
        };
        let params = Box::new(params);
        let Some(id) = self.id else {
            return Ok(Message::Notification { method, params });
        };
        Ok(Message::Request {
            id: RequestId::from_json(id).ok_or(NO_ID)?,
            id_span: span(text, id),
            method,
            params,
        })
    }

    fn answer(
        &self,
        text: &str,
        result: Option<&str>,
        error: Option<&str>,
    ) -> Result<Message, &'static str> {
        let raw_id = self.id.ok_or("a response must have an `id`")?;
        let id = RequestId::from_json(raw_id);
        if id.is_none() && raw_id != "null" {
            return Err(NO_ID);
        }
        Ok(Message::Response {
            id,
            id_span: span(text, raw_id),
            result: result.map(|result| span(text, result)),
            error: error.map(|error| span(text, error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::{Named, Purpose};

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
    fn a_message_may_be_so_deep_and_no_deeper() {
        let nested = |depth: usize, member: &str| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            alloc::format!(r#"{{"jsonrpc":"2.0","id":7,{member}:{{"a":{open}{close}}}}}"#)
        };
        for member in [
            r#""method":"tools/call","params""#,
            r#""result""#,
            r#""error""#,
            r#""method":"x","future""#,
        ] {
            let deepest = nested(DEPTH_MAX - 2, member);
            assert!(parse(&deepest).is_ok(), "{member}");
            // The strictest of the parsers that clients and servers use.
            assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
            for depth in [DEPTH_MAX - 1, 1_000_000] {
                let fault = parse(&nested(depth, member)).unwrap_err();
                assert_eq!(fault.code(), -32600);
                assert_eq!(fault.id(), RequestId::from_json("7").as_ref(), "{fault}");
            }
        }
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
        let certain = [
            r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":7,"\u0069d":7,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","method":"y"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
        ];
        for text in certain {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.id(), Some(&RequestId::from(7)), "{text}");
        }
        let fault = parse(r#"{"jsonrpc":"2.0","id":7,"id":8,"result":{}}"#).unwrap_err();
        assert_eq!(fault.id(), None);
        assert_eq!(
            *fault.about(),
            About {
                named: Named::Several([RequestId::from(7), RequestId::from(8)].to_vec()),
                purpose: Purpose::Answer
            }
        );
    }

    #[test]
    fn what_a_message_at_fault_was_to_be_is_said_by_its_members() {
        for (text, purpose) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
                Purpose::Answer,
            ),
            (r#"{"jsonrpc":"2.0","id":{},"result":{}}"#, Purpose::Answer),
            (r#"{"id":1,"method":"x"}"#, Purpose::Question),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
                Purpose::Either,
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, Purpose::Either),
            (r#"{"level":"info","id":1}"#, Purpose::Noise),
        ] {
            assert_eq!(parse(text).unwrap_err().about().purpose, purpose, "{text}");
        }
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
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_what_is_no_message() {
        assert_eq!(parse("hello").unwrap_err(), NO_JSON);
        assert!(matches!(parse("[1]"), Err(Fault::NotAnObject)));
        assert!(matches!(parse("{\"a\":1}"), Err(Fault::NotJsonRpc { .. })));
        assert!(matches!(
            Frame::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")),
            Err(Fault::NotUtf8 { .. })
        ));
    }

    #[test]
    fn a_batch_is_its_messages() {
        let line = Bytes::from_static(
            br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 5, {"jsonrpc":"2.0","method":"x"}]"#,
        );
        let batch = Frame::parse_batch(&line, 3).unwrap();
        assert_eq!(batch.len(), 3);
        assert!(batch[1].is_err());
        assert!(Frame::parse_batch(&Bytes::from_static(b"{}"), 3).is_none());
        let batch = Frame::parse_batch(&line, 2).unwrap();
        assert!(matches!(batch[..], [Err(Fault::TooMany { limit: 2 })]));
    }

    impl PartialEq for Frame {
        fn eq(&self, other: &Self) -> bool {
            self.bytes == other.bytes
        }
    }
}
