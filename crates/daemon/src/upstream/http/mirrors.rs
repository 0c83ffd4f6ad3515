//! Headers of our requests that say again what their bodies say (2026-07-28), and which parameters of which tools
//! those are, as the server says in its lists.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Frame, Message, Method, Span};

use crate::front::{Mirroring, Param, encoded, is_annotated, param_headers};

/// Tools of which it is known which of their parameters stand in headers.
pub(super) const TOOLS_MAX: usize = 4096;

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// One such header.
pub(super) type Mirror = (HeaderName, HeaderValue);

/// Tools with such parameters, and these.
pub(super) type Tools = Vec<(Box<str>, Arc<[Param]>)>;

/// What a server has said of its tools.
pub(super) enum Listed {
    /// On one page or several; there may be others.
    Page(Tools),
    /// On all pages.
    All(Tools),
}

impl Listed {
    pub(super) fn tools(&self) -> &Tools {
        match self {
            Listed::Page(tools) | Listed::All(tools) => tools,
        }
    }
}

/// The tool that a request calls.
pub(super) fn tool_of(frame: &Frame) -> Option<Box<str>> {
    match &frame.message {
        Message::Request {
            method: Method::ToolsCall,
            params,
            ..
        } => Some(frame.text(params.name.as_ref()?)?.into()),
        Message::Request { .. } | Message::Notification { .. } | Message::Response { .. } => None,
    }
}

/// The headers of a message, for a call of a tool whose parameters these are.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "three methods are about something with a name"
)]
pub(super) fn mirrors_of(frame: &Frame, tool: Option<&[Param]>) -> Vec<Mirror> {
    let (method, params) = match &frame.message {
        Message::Request { method, params, .. } | Message::Notification { method, params } => {
            (method, params)
        }
        Message::Response { .. } => return Vec::new(),
    };
    let name = match method {
        Method::ToolsCall | Method::PromptsGet => params.name.as_ref(),
        Method::ResourcesRead => params.uri.as_ref(),
        _others => None,
    };
    let name = name.and_then(|span| frame.text(span));
    let method = HeaderValue::from_str(method.name()).ok();
    let mut mirrors: Vec<Mirror> = method.map(|method| (METHOD, method)).into_iter().collect();
    mirrors.extend(name.map(|name| (NAME, encoded(&name))));
    mirrors.extend(
        tool.into_iter()
            .flat_map(|params| param_headers(frame, params)),
    );
    mirrors
}

/// Takes from the answer to `tools/list` which parameters stand in headers. Tools that say so wrongly are left
/// out, as clients have to.
pub(super) fn sift(answer: Bytes) -> (Bytes, Tools) {
    if !is_annotated(&answer) {
        return (answer, Tools::new());
    }
    let Some(list) = Frame::parse(answer.clone()).ok().and_then(List::of) else {
        return (answer, Tools::new());
    };
    let (kept, tools) = list.sifted();
    (kept.unwrap_or(answer), tools)
}

/// An answer that holds a list of tools.
struct List {
    answer: Frame,
    tools: Span,
}

impl List {
    fn of(answer: Frame) -> Option<Self> {
        let Message::Response {
            result: Some(result),
            ..
        } = &answer.message
        else {
            return None;
        };
        let tools = answer.member(result, "tools")?.at;
        Some(List { answer, tools })
    }

    /// The answer without the tools that are left out, if there are any, and what the others say.
    fn sifted(&self) -> (Option<Bytes>, Tools) {
        #[derive(Deserialize)]
        struct All<'a>(#[serde(borrow)] Vec<&'a RawValue>);
        let text = self.answer.json(&self.tools);
        let Ok(All(all)) = serde_json::from_str(text) else {
            return (None, Tools::new());
        };
        let (mut kept, mut tools) = (Vec::new(), Tools::new());
        for tool in &all {
            match Mirroring::of(tool.get()) {
                Mirroring::None => {}
                Mirroring::Params(name, params) => tools.push((name, params.into())),
                Mirroring::Broken => continue,
            }
            kept.push(tool.get());
        }
        if kept.len() == all.len() {
            return (None, tools);
        }
        let kept = format!("[{}]", kept.join(","));
        let edit = (self.tools.clone(), kept.as_bytes());
        let answer = self.answer.rewrite(&mut [edit]).to_vec();
        (Some(answer.into()), tools)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn shown(frame: &Frame, tool: Option<&[Param]>) -> Vec<String> {
        let mirrors = mirrors_of(frame, tool);
        let show = |(name, value): &Mirror| format!("{name}: {}", value.to_str().unwrap());
        mirrors.iter().map(show).collect()
    }

    #[test]
    fn what_a_message_is_about_stands_in_its_headers() {
        for (text, headers) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
                vec!["mcp-method: tools/list"],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a b"}}"#,
                vec!["mcp-method: prompts/get", "mcp-name: a b"],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:\u00e4"}}"#,
                vec![
                    "mcp-method: resources/read",
                    "mcp-name: =?base64?YTrDpA==?=",
                ],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
                vec!["mcp-method: notifications/x"],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, vec![]),
        ] {
            assert_eq!(shown(&frame(text), None), headers, "{text}");
        }
    }

    #[test]
    fn a_tool_that_is_annotated_wrongly_is_left_out_and_the_others_stand_as_they_stood() {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[ {"name":"plain", "x":1e400},{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}},{"name":"t","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"Region"},"b":{"type":"integer","x-mcp-header":"B"},"c":{"type":"boolean","x-mcp-header":"C"}}}}],"ttlMs":0}}"#;
        let (kept, tools) = sift(Bytes::from(answer));
        let kept = str::from_utf8(&kept).unwrap();
        assert!(
            kept.contains(r#""tools":[{"name":"plain", "x":1e400},{"name":"t""#),
            "{kept}"
        );
        assert!(
            !kept.contains("bad") && kept.ends_with(r#","ttlMs":0}}"#),
            "{kept}"
        );
        let [(name, params)] = &tools[..] else {
            panic!("{tools:?}");
        };
        let call = frame(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":" us","b":42,"c":null}}}"#,
        );
        assert_eq!(tool_of(&call).as_ref(), Some(name));
        assert_eq!(
            shown(&call, Some(params)),
            [
                "mcp-method: tools/call",
                "mcp-name: t",
                "mcp-param-region: =?base64?IHVz?=",
                "mcp-param-b: 42"
            ]
        );
    }

    #[test]
    fn what_has_nothing_to_be_left_out_is_passed_on_as_it_is() {
        for answer in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"plain"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x-mcp-header"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":"x-mcp-header"}}"#,
        ] {
            let (kept, tools) = sift(Bytes::from(answer));
            assert_eq!((kept, tools.len()), (Bytes::from(answer), 0));
        }
    }
}
