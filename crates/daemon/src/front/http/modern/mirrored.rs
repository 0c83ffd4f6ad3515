//! What a call's headers must say again of its arguments (2026-07-28, custom headers from tool parameters).
//!
//! A tool says by `x-mcp-header` in its `inputSchema` which of its parameters those are. Somebody on the way may
//! have gone by the header, so whoever reads the body sees to it that both say the same.

use std::collections::BTreeSet;

use hyper::header::{HeaderName, HeaderValue};
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Number, Value, value::RawValue};
use wire::{Frame, Message, Span};

use super::{
    fault::{Mismatch, ModernFault},
    headers::{PARAM_PREFIX, ParamHeaders, encoded},
};

/// What a schema says it by.
const ANNOTATION: &str = "x-mcp-header";

/// The types whose values can stand in a header.
const TYPES: [&str; 3] = ["string", "integer", "boolean"];

/// A parameter of a tool whose value stands in a header as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    /// The name of the header behind `Mcp-Param-`, as the schema writes it.
    written: Box<str>,
    /// The same in lower case.
    header: Box<str>,
    /// Where its value stands in the arguments.
    path: Vec<Box<str>>,
}

/// What a tool says of such parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mirroring {
    /// That it has none.
    None,
    /// Which those of the tool of this name are.
    Params(Box<str>, Vec<Param>),
    /// Something that breaks the rules: clients have to leave out such a tool.
    Broken,
}

impl Mirroring {
    /// Reads a tool as it stands in `tools/list`.
    pub(crate) fn of(tool: &str) -> Self {
        #[derive(Deserialize)]
        struct Tool<'a> {
            name: Option<Box<str>>,
            #[serde(borrow, rename = "inputSchema")]
            schema: Option<&'a RawValue>,
        }
        if !is_annotated(tool.as_bytes()) {
            return Mirroring::None;
        }
        let tool = serde_json::from_str::<Tool<'_>>(tool).ok();
        let read = tool.and_then(|tool| {
            let schema = serde_json::from_str(tool.schema?.get()).ok()?;
            Some((tool.name?, params_of(&schema)))
        });
        match read {
            None => Mirroring::None,
            Some((_name, None)) => Mirroring::Broken,
            Some((_name, Some(params))) if params.is_empty() => Mirroring::None,
            Some((name, Some(params))) => Mirroring::Params(name, params),
        }
    }
}

/// Whether there can be such parameters in it. Most tools have none, and are not read for that.
pub(crate) fn is_annotated(text: &[u8]) -> bool {
    memmem::find(text, ANNOTATION.as_bytes()).is_some()
}

/// The tools of one page of `tools/list` that have such parameters.
pub(crate) fn tools_of(page: &[u8]) -> Vec<(Box<str>, Vec<Param>)> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow, default)]
        tools: Vec<&'a RawValue>,
    }
    let Ok(page) = serde_json::from_slice::<Page<'_>>(page) else {
        return Vec::new();
    };
    let tools = page.tools.into_iter();
    let annotated = tools.filter_map(|tool| match Mirroring::of(tool.get()) {
        Mirroring::Params(name, params) => Some((name, params)),
        Mirroring::None | Mirroring::Broken => None,
    });
    annotated.collect()
}

/// The parameters of a tool with this schema that stand in headers; `None` if it breaks the rules.
fn params_of(schema: &Value) -> Option<Vec<Param>> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let keeps_the_rules = collect(schema, &mut Vec::new(), &mut |param: Param| {
        let is_new = known.insert(param.header.clone());
        found.push(param);
        is_new
    });
    keeps_the_rules.then_some(found)
}

/// Walks along `properties` alone: elsewhere nobody can say whether a value is one of the parameter. Says whether
/// everything is as it may be.
fn collect(schema: &Value, path: &mut Vec<Box<str>>, take: &mut impl FnMut(Param) -> bool) -> bool {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return true;
    };
    properties.iter().all(|(name, property)| {
        path.push(name.as_str().into());
        let is_good = match property.get(ANNOTATION) {
            None => true,
            Some(Value::String(header)) if is_token(header) && can_stand_there(property) => {
                take(Param {
                    written: header.as_str().into(),
                    header: header.to_ascii_lowercase().into(),
                    path: path.clone(),
                })
            }
            Some(_) => false,
        };
        let is_good = is_good && collect(property, path, take);
        path.pop();
        is_good
    })
}

/// Whether a name can be a part of a header's name (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether the values of a property can stand in a header; that there may be none changes nothing.
fn can_stand_there(property: &Value) -> bool {
    let is_known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
    match property.get("type") {
        Some(Value::Array(types)) => {
            let mut others = types.iter().filter(|name| *name != "null").peekable();
            others.peek().is_some() && others.all(is_known)
        }
        Some(name) => is_known(name),
        None => false,
    }
}

/// Whether the headers say of the arguments of this call what the call says.
pub(crate) fn check(
    call: &Frame,
    params: &[Param],
    headers: &ParamHeaders,
) -> Result<(), ModernFault> {
    let arguments = arguments_of(call);
    params.iter().try_for_each(|param| {
        let checked = arguments
            .clone()
            .and_then(|arguments| param.check(call, arguments, headers));
        checked.map_err(|mismatch| param.fault(mismatch))
    })
}

/// The headers of a call of ours: each says again what its argument says, if there is one.
pub(crate) fn headers_of(call: &Frame, params: &[Param]) -> Vec<(HeaderName, HeaderValue)> {
    let arguments = arguments_of(call);
    let headers = params.iter().filter_map(|param| {
        let value = param.value(call, arguments.clone().ok()?).ok()??;
        let value = if value.starts_with('"') {
            encoded(&serde_json::from_str::<String>(value).ok()?)
        } else {
            encoded(value)
        };
        let name = format!("{PARAM_PREFIX}{}", param.header).parse().ok()?;
        Some((name, value))
    });
    headers.collect()
}

/// Where the arguments of a call stand.
fn arguments_of(call: &Frame) -> Result<Option<Span>, Mismatch> {
    let params = match &call.message {
        Message::Request { params, .. } => params.at.as_ref(),
        Message::Notification { .. } | Message::Response { .. } => None,
    };
    params.map_or(Ok(None), |at| member(call, at, "arguments"))
}

impl Param {
    fn check(
        &self,
        call: &Frame,
        arguments: Option<Span>,
        headers: &ParamHeaders,
    ) -> Result<(), Mismatch> {
        let header = headers.find(&self.header)?;
        agree(self.value(call, arguments)?, header.as_deref())
    }

    /// Its value in these arguments as JSON, if it has one that can stand in a header; what it is otherwise is
    /// for the server to refuse.
    fn value<'c>(
        &self,
        call: &'c Frame,
        arguments: Option<Span>,
    ) -> Result<Option<&'c str>, Mismatch> {
        let mut at = arguments;
        for name in &self.path {
            at = match at {
                Some(object) => member(call, &object, name)?,
                None => None,
            };
        }
        let value = at.map(|at| call.json(&at));
        Ok(value.filter(|value| *value != "null" && !value.starts_with(['{', '['])))
    }

    fn fault(&self, mismatch: Mismatch) -> ModernFault {
        ModernFault::HeaderMismatch {
            header: format!("Mcp-Param-{}", self.written).into(),
            mismatch,
        }
    }
}

/// Where the member of an object stands; of two of a name nobody knows which one is meant.
fn member(frame: &Frame, object: &Span, name: &str) -> Result<Option<Span>, Mismatch> {
    let members = frame.members(object).unwrap_or_default();
    let mut named = members.into_iter().filter(|member| member.name == name);
    let found = named.next().map(|member| member.at);
    if named.next().is_some() {
        return Err(Mismatch::Unequal);
    }
    Ok(found)
}

/// Whether a value, if there is one, and its header, if there is one, say the same.
fn agree(value: Option<&str>, header: Option<&str>) -> Result<(), Mismatch> {
    let (value, header) = match (value, header) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(Mismatch::Unfounded),
        (Some(_), None) => return Err(Mismatch::Missing),
        (Some(value), Some(header)) => (value, header),
    };
    let is_equal = if value.starts_with('"') {
        serde_json::from_str::<String>(value).is_ok_and(|text| text == header)
    } else if value == "true" || value == "false" {
        value == header
    } else {
        are_equal_numbers(value, header)
    };
    if is_equal {
        Ok(())
    } else {
        Err(Mismatch::Unequal)
    }
}

/// Whether both are numbers, and the same, however they are written.
fn are_equal_numbers(one: &str, other: &str) -> bool {
    let number = |text: &str| serde_json::from_str::<Number>(text).ok();
    let (Some(one), Some(other)) = (number(one), number(other)) else {
        return false;
    };
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        _one_has_a_point => one.as_f64() == other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::{
        HeaderMap,
        header::{HeaderName, HeaderValue},
    };
    use serde_json::json;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> ParamHeaders {
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        ParamHeaders::of(&map)
    }

    fn call(arguments: &str) -> Frame {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t"{arguments}}}}}"#
        );
        Frame::parse(Bytes::from(text)).unwrap()
    }

    fn names(schema: &Value) -> Vec<String> {
        let params = params_of(schema).unwrap();
        let name = |param: &Param| format!("{}={}", param.written, param.path.join("."));
        params.iter().map(name).collect()
    }

    #[test]
    fn parameters_are_found_along_properties_at_any_depth() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "plain": {"type": "string"},
            "inner": {"type": "object", "properties": {
                "count": {"type": ["integer", "null"], "x-mcp-header": "X-Count"},
            }},
            // Nobody can say which of several values that would be.
            "list": {"type": "array", "items": {"properties": {
                "each": {"type": "string", "x-mcp-header": "Each"},
            }}},
        }});
        assert_eq!(names(&schema), ["X-Count=inner.count", "Region=region"]);
    }

    #[test]
    fn a_tool_that_breaks_the_rules_has_no_such_parameters() {
        let good = json!({"type": "boolean", "x-mcp-header": "Good"});
        for bad in [
            json!({"type": "string", "x-mcp-header": ""}),
            json!({"type": "string", "x-mcp-header": "a b"}),
            json!({"type": "string", "x-mcp-header": "ä"}),
            json!({"type": "string", "x-mcp-header": "a:"}),
            json!({"type": "string", "x-mcp-header": 7}),
            json!({"type": "string", "x-mcp-header": "gOOD"}),
            json!({"type": "number", "x-mcp-header": "Bad"}),
            json!({"type": "object", "x-mcp-header": "Bad"}),
            json!({"type": ["string", "object"], "x-mcp-header": "Bad"}),
            json!({"type": ["null"], "x-mcp-header": "Bad"}),
            json!({"x-mcp-header": "Bad"}),
        ] {
            let schema = json!({"properties": {"a": good, "b": bad}});
            assert_eq!(params_of(&schema), None, "{schema}");
        }
        let schema = json!({"properties": {"a": good}});
        assert_eq!(names(&schema), ["Good=a"]);
    }

    #[test]
    fn a_page_is_read_for_what_is_annotated_and_nothing_that_it_holds_is_trusted() {
        let page = json!({"tools": [
            {"name": "plain", "inputSchema": {"type": "object"}},
            {"name": "t", "inputSchema": {"properties": {
                "a": {"type": "integer", "x-mcp-header": "A"},
            }}},
            {"inputSchema": {"properties": {"a": {"type": "integer", "x-mcp-header": "A"}}}},
            {"name": "words", "inputSchema": {"title": "x-mcp-header"}},
            {"name": "bare"},
        ]});
        let tools = tools_of(page.to_string().as_bytes());
        let [(name, params)] = &tools[..] else {
            panic!("{tools:?}");
        };
        assert_eq!((&**name, params.len()), ("t", 1));
        for page in ["", "7", "{}", r#"{"tools":7}"#] {
            assert_eq!(tools_of(page.as_bytes()), [], "{page}");
        }
    }

    #[test]
    fn a_header_says_what_its_argument_says() {
        let params = params_of(&json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "A"},
        }}));
        let params = params.unwrap();
        let ok = Ok(());
        for (arguments, header, expected) in [
            (r#"{"a":"Hello"}"#, Some("Hello"), ok),
            (r#"{"a":"H\u0065llo"}"#, Some("Hello"), ok),
            (r#"{"\u0061":"Hello"}"#, Some("=?base64?SGVsbG8=?="), ok),
            (r#"{"a":"SGVsbG8="}"#, Some("SGVsbG8="), ok),
            (
                r#"{"a":"=?base64?SGVsbG8="}"#,
                Some("=?base64?SGVsbG8="),
                ok,
            ),
            (r#"{"a":""}"#, Some(""), ok),
            (r#"{"a":null}"#, None, ok),
            ("{}", None, ok),
            (r#"{"a":42}"#, Some("42.0"), ok),
            (r#"{"a":4.2e1}"#, Some("42"), ok),
            (r#"{"a":-0}"#, Some("0"), ok),
            (r#"{"a":true}"#, Some("true"), ok),
            (r#"{"a":{"b":1}}"#, None, ok),
            (r#"{"a":"hello"}"#, Some("Hello"), Err(Mismatch::Unequal)),
            (
                r#"{"a":"Hello"}"#,
                Some("=?base64?SGVsbG8?="),
                Err(Mismatch::Unreadable),
            ),
            (r#"{"a":"Hello"}"#, None, Err(Mismatch::Missing)),
            (r#"{"a":null}"#, Some("null"), Err(Mismatch::Unfounded)),
            ("{}", Some("x"), Err(Mismatch::Unfounded)),
            (r#"{"a":{"b":1}}"#, Some("x"), Err(Mismatch::Unfounded)),
            (r#"{"a":42}"#, Some("43"), Err(Mismatch::Unequal)),
            (
                r#"{"a":9007199254740993}"#,
                Some("9007199254740992"),
                Err(Mismatch::Unequal),
            ),
            (r#"{"a":42}"#, Some("+42"), Err(Mismatch::Unequal)),
            (r#"{"a":42}"#, Some("forty-two"), Err(Mismatch::Unequal)),
            (r#"{"a":false}"#, Some("False"), Err(Mismatch::Unequal)),
            (r#"{"a":"x","a":"y"}"#, Some("x"), Err(Mismatch::Unequal)),
        ] {
            let sent: Vec<_> = header
                .map(|value| ("mcp-param-a", value))
                .into_iter()
                .collect();
            let frame = call(&format!(r#","arguments":{arguments}"#));
            let checked = check(&frame, &params, &headers(&sent));
            let expected = expected.map_err(|mismatch| ModernFault::HeaderMismatch {
                header: "Mcp-Param-A".into(),
                mismatch,
            });
            assert_eq!(checked, expected, "{arguments} {header:?}");
        }
    }

    #[test]
    fn a_call_without_arguments_has_no_headers_for_them_and_others_are_left_alone() {
        let params = params_of(&json!({"properties": {
            "o": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}},
        }}));
        let params = params.unwrap();
        for arguments in ["", r#","arguments":null"#, r#","arguments":{"o":7}"#] {
            let frame = call(arguments);
            assert_eq!(
                check(&frame, &params, &headers(&[("mcp-param-b", "x")])),
                Ok(())
            );
            assert!(check(&frame, &params, &headers(&[("mcp-param-a", "x")])).is_err());
        }
        let frame = call(r#","arguments":{"o":{"a":"x"}}"#);
        assert_eq!(
            check(&frame, &params, &headers(&[("mcp-param-a", "x")])),
            Ok(())
        );
    }
}
