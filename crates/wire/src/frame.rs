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

/// What is wrong with an id that cannot be one.
const NO_ID: &str = "`id` must be a string or a number of at most 1 KiB";

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, NotJson> {
        let mut envelope = Envelope::default();
        let depth = members(text, |name, value| {
            let member = match name.text().as_deref() {
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
            return Err(if is_json {
                Fault::NotAnObject
            } else {
                Fault::NotJson {
                    about: About::garbled(trimmed.as_bytes()),
                }
            });
        }
        let trim = span(text, trimmed);
        let message = parse_message(trimmed)?;
        let bytes = part(bytes, trim);
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
            Err(NotJson) => Fault::NotJson {
                about: About::garbled(bytes),
            },
            Ok(0) => Fault::NotAnObject,
            Ok(count) if count > limit => Fault::TooMany { limit },
            Ok(_) => {
                let messages = places.into_iter();
                return Some(
                    messages
                        .map(|place| Frame::parse(part(bytes.clone(), place)))
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

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
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

/// A part of a line, which does not keep a line that is much longer.
fn part(bytes: Bytes, place: Span) -> Bytes {
    if place.len() == bytes.len() {
        bytes
    } else if place.len() < bytes.len() / 2 {
        Bytes::copy_from_slice(bytes.get(place).unwrap_or_default())
    } else {
        bytes.slice(place)
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
mod tests;
