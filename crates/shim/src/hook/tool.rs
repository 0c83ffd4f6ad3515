//! A tool that hears of an event: what it is called with, and what its result says to the agent.
//!
//! Everything here is pure; the daemon does the same for events that come over HTTP.

use std::{borrow::Cow, fmt};

use wire::{Json, meta_name, quoted};

/// The version in whose words a tool is called: the one that needs no greeting first.
pub const VERSION: &str = "2026-07-28";

/// The id of the only request.
pub(super) const ID: &str = "1";

/// Events at which an agent takes what is said in plain words for something to know.
const OF_CONTEXT: [&str; 2] = ["SessionStart", "UserPromptSubmit"];

/// The members by which the answer of a hook is known, in the words of Claude Code, Codex and Gemini CLI, of Cursor,
/// and of Copilot.
const OF_AGENTS: [&str; 9] = [
    "continue",
    "decision",
    "hookSpecificOutput",
    "stopReason",
    "suppressOutput",
    "systemMessage",
    "permission",
    "permissionDecision",
    "additionalContext",
];

/// Which tool is called, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The server, as it is named in the configuration.
    pub server: String,
    /// Its tool.
    pub tool: String,
    /// What it is called with.
    pub arguments: Vec<Argument>,
}

/// One argument of a tool: text, with what is in the event put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    name: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A path in the event.
    Path(String),
}

/// What is no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadArgument {
    /// There is no name before a `=`.
    NoName,
    /// A `${` without its `}`, or with nothing in between.
    BadPath,
}

impl BadArgument {
    /// What it has to be.
    pub fn expected(self) -> &'static str {
        match self {
            BadArgument::NoName => "NAME=VALUE",
            BadArgument::BadPath => "text in which each `${` has a path and a `}`",
        }
    }
}

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be {}", self.expected())
    }
}

impl Argument {
    /// Reads `NAME=VALUE`; in the value `${a.b}` stands for what is there in the event, `${.}` for all of
    /// it, and `$${` for `${` itself.
    pub fn parse(written: &str) -> Result<Self, BadArgument> {
        let (name, value) = written.split_once('=').ok_or(BadArgument::NoName)?;
        if name.is_empty() {
            return Err(BadArgument::NoName);
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = behind;
                continue;
            }
            let (path, behind) = behind.split_once('}').ok_or(BadArgument::BadPath)?;
            if path.is_empty() {
                return Err(BadArgument::BadPath);
            }
            text.push_str(before);
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Path(path.to_owned()));
            rest = behind;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Argument {
            name: name.to_owned(),
            parts,
        })
    }

    /// About how many bytes its value has, before it is made.
    fn bytes(&self, event: Json<'_>) -> usize {
        let bytes = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Path(path) => found(event, path).map_or(0, |value| value.text().len()),
        });
        bytes.sum()
    }

    /// Its value as JSON: what stands in the event, as it stands there, if it is that alone, else a string.
    /// `None` if it is that alone and is not there.
    fn value(&self, event: Json<'_>) -> Option<String> {
        if let [Part::Path(path)] = &self.parts[..] {
            return found(event, path).map(|value| value.text().to_owned());
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Path(path) => {
                    let value = found(event, path);
                    let said = value.map(|value| value.string().unwrap_or(value.text().into()));
                    text.push_str(&said.unwrap_or_default());
                }
            }
        }
        Some(quoted(&text))
    }
}

fn found<'a>(event: Json<'a>, path: &str) -> Option<Json<'a>> {
    if path == "." {
        Some(event)
    } else {
        event.at(path)
    }
}

impl ToolCall {
    /// The request, without a line end in it; `None` if it would be longer than `bytes_max`, as may be where
    /// a long event is put in more than once.
    pub fn request(&self, event: Json<'_>, bytes_max: usize) -> Option<String> {
        let mut arguments = String::new();
        for argument in &self.arguments {
            if arguments.len() + argument.bytes(event) > bytes_max {
                return None;
            }
            if let Some(value) = argument.value(event) {
                if !arguments.is_empty() {
                    arguments.push(',');
                }
                arguments.push_str(&quoted(&argument.name));
                arguments.push(':');
                arguments.push_str(&value);
            }
        }
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"name":{},"arguments":{{{arguments}}},"_meta":{{"{}":"{VERSION}","{}":{{}},"{}":{{"name":"mcpool hook","version":"{}"}}}}}}}}"#,
            quoted(&self.tool),
            meta_name::VERSION,
            meta_name::CAPABILITIES,
            meta_name::CLIENT,
            env!("CARGO_PKG_VERSION"),
        );
        // Those of an event stand between its values, as a string cannot hold one.
        let request = request.replace(['\n', '\r'], " ");
        (request.len() <= bytes_max).then_some(request)
    }
}

/// Whether this answers the request.
pub fn is_answer(message: Json<'_>) -> bool {
    message.member("id").map(Json::text) == Some(ID) && message.member("method").is_none()
}

/// What an answer tells the agent, as JSON, if it tells it anything; else why nothing came of it.
pub fn told(event_name: &str, answer: Json<'_>) -> Result<Option<String>, String> {
    if let Some(error) = answer.member("error") {
        let message = error.member("message").and_then(Json::string);
        return Err(message
            .unwrap_or("the server answered with an error".into())
            .into_owned());
    }
    let result = answer
        .member("result")
        .ok_or("the answer has neither result nor error")?;
    let kind = result.member("resultType").and_then(Json::string);
    if kind.as_deref() == Some("input_required") {
        return Err(
            "the tool asks for something before it answers, which a hook cannot give".into(),
        );
    }
    let texts = texts_of(result);
    let text = texts.join("\n");
    if result.member("isError").map(Json::text) == Some("true") {
        return Err(if text.is_empty() {
            "the tool failed without a word".into()
        } else {
            text
        });
    }
    if let Some(object) = object(&text) {
        return Ok(Some(object.to_owned()));
    }
    let structured = result.member("structuredContent");
    let structured = structured.filter(|it| it.is_object());
    if let Some(structured) = structured.filter(|it| text.is_empty() || is_for_agent(*it)) {
        return Ok(Some(structured.text().to_owned()));
    }
    let mut objects = texts
        .iter()
        .filter_map(|text| Json::parse(text).filter(|it| it.is_object() && is_for_agent(*it)));
    match (objects.next(), objects.next()) {
        (Some(object), None) => Ok(Some(object.text().to_owned())),
        (Some(_), Some(_)) => {
            Err("the tool gives several answers, of which an agent takes one".into())
        }
        (None, _) => Ok(in_context(event_name, &text)),
    }
}

/// The text, if it is a JSON object.
fn object(text: &str) -> Option<&str> {
    Json::parse(text)
        .filter(|it| it.is_object())
        .map(Json::text)
}

/// Whether it says something that agents read. Most tools have structured content of their own beside their words.
fn is_for_agent(object: Json<'_>) -> bool {
    OF_AGENTS
        .iter()
        .any(|member| object.member(member).is_some())
}

/// Each text of a result.
fn texts_of(result: Json<'_>) -> Vec<String> {
    let content = result.member("content").and_then(Json::elements);
    let texts = content.unwrap_or_default().into_iter().filter_map(|part| {
        let kind = part.member("type").and_then(Json::string);
        let text = part.member("text").and_then(Json::string);
        text.filter(|_| kind.as_deref() == Some("text"))
            .map(Cow::into_owned)
    });
    texts.collect()
}

/// Plain words, made an object, which is what agents read, where they mean something; they are left out elsewhere,
/// where agents complain of them or show them to nobody.
fn in_context(event_name: &str, text: &str) -> Option<String> {
    (!text.is_empty() && OF_CONTEXT.contains(&event_name)).then(|| {
        format!(
            r#"{{"hookSpecificOutput":{{"hookEventName":{},"additionalContext":{}}}}}"#,
            quoted(event_name),
            quoted(text)
        )
    })
}

/// Whether an event can have this name.
pub fn is_event_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "{\"cwd\":\"/w\",\n \"tool_input\":{\"file_path\":\"/w/ä\\n.rs\",\"edits\":[\n1, 2]},\"n\":1.50}";

    fn value(written: &str) -> Option<String> {
        let event = Json::parse(EVENT).unwrap();
        Argument::parse(written).unwrap().value(event)
    }

    #[test]
    fn what_stands_alone_keeps_its_type_and_what_stands_in_text_becomes_text() {
        let of = |written| value(written).unwrap();
        assert_eq!(of("a=${tool_input.file_path}"), r#""/w/ä\n.rs""#);
        assert_eq!(of("a=${n}"), "1.50");
        assert_eq!(of("a=${tool_input.edits}"), "[\n1, 2]");
        assert_eq!(of("a=${.}"), EVENT);
        assert_eq!(of("a=<${n}> in ${cwd}"), r#""<1.50> in /w""#);
        assert_eq!(of("a=${nothing}!"), r#""!""#);
        assert_eq!(of("a=5"), r#""5""#);
        assert_eq!(of("a="), r#""""#);
        assert_eq!(of("a=$${cwd}=${cwd}$"), r#""${cwd}=/w$""#);
        assert_eq!(value("a=${nothing}"), None);
    }

    #[test]
    fn what_is_no_argument_is_told() {
        for (written, expected) in [
            ("", BadArgument::NoName),
            ("a", BadArgument::NoName),
            ("=a", BadArgument::NoName),
            ("a=${", BadArgument::BadPath),
            ("a=${}", BadArgument::BadPath),
            ("a=${x} ${y", BadArgument::BadPath),
        ] {
            assert_eq!(Argument::parse(written), Err(expected), "{written}");
        }
    }

    #[test]
    fn a_request_is_one_line_and_leaves_out_what_is_not_there() {
        let call = ToolCall {
            server: "s".into(),
            tool: "say \"it\"".into(),
            arguments: ["whole=${.}", "none=${nothing}", "text=x"]
                .map(|written| Argument::parse(written).unwrap())
                .to_vec(),
        };
        let event = Json::parse(EVENT).unwrap();
        let request = call.request(event, 1000).unwrap();
        assert_eq!(call.request(event, request.len() - 1), None);
        assert_eq!(call.request(event, EVENT.len()), None);
        assert!(!request.contains('\n'));
        let request = Json::parse(&request).unwrap();
        let at = |path| request.at(path).map(Json::text);
        assert_eq!(at("params.name"), Some(r#""say \"it\"""#));
        assert_eq!(at("params.arguments.whole.tool_input.edits.1"), Some("2"));
        assert_eq!(at("params.arguments.none"), None);
        assert_eq!(at("params.arguments.text"), Some("\"x\""));
        let meta = request.at("params._meta").unwrap();
        let version = meta.member(meta_name::VERSION).and_then(Json::string);
        assert_eq!(version.as_deref(), Some(VERSION));
    }

    fn told_of(event: &str, answer: &str) -> Result<Option<String>, String> {
        told(event, Json::parse(answer).unwrap())
    }

    #[test]
    fn an_object_goes_to_the_agent_and_plain_words_only_where_they_mean_something() {
        let blocks = r#"{"id":1,"result":{"content":[{"type":"text","text":" {\"decision\":\"block\"}\n"}]}}"#;
        let said = told_of("PreToolUse", blocks).unwrap();
        assert_eq!(said.as_deref(), Some(r#"{"decision":"block"}"#));
        let words = r#"{"id":1,"result":{"content":[{"type":"text","text":"a"},{"type":"image","data":""},{"type":"text","text":"b"}]}}"#;
        assert_eq!(told_of("PostToolUse", words), Ok(None));
        assert_eq!(
            told_of("SessionStart", words).unwrap().as_deref(),
            Some(
                r#"{"hookSpecificOutput":{"hookEventName":"SessionStart","additionalContext":"a\nb"}}"#
            )
        );
        let structured =
            r#"{"id":1,"result":{"content":[],"structuredContent":{"continue": false}}}"#;
        let said = told_of("Stop", structured).unwrap();
        assert_eq!(said.as_deref(), Some(r#"{"continue": false}"#));
        let nothing = r#"{"id":1,"result":{"content":[]}}"#;
        assert_eq!(told_of("UserPromptSubmit", nothing), Ok(None));
    }

    #[test]
    fn an_object_is_found_beside_words_and_several_are_no_answer() {
        let told_of_result = |event, content: &[&str], more: &str| {
            let parts = content
                .iter()
                .map(|text| format!(r#"{{"type":"text","text":{}}}"#, quoted(text)));
            let parts: Vec<String> = parts.collect();
            let parts = parts.join(",");
            told_of(
                event,
                &format!(r#"{{"id":1,"result":{{"content":[{parts}]{more}}}}}"#),
            )
        };
        let block = r#"{"decision":"block"}"#;
        let structured = format!(r#","structuredContent":{block}"#);
        for (content, more) in [
            (&["rm is not allowed"][..], structured.as_str()),
            (&[block, "rm is not allowed"], ""),
            (&["rm is not allowed", block], ""),
            // What an SDK makes of the list of both.
            (
                &[block, "no"],
                r#","structuredContent":{ "result": [{"decision":"block"}, "no"] }"#,
            ),
        ] {
            for event in ["PreToolUse", "SessionStart"] {
                let said = told_of_result(event, content, more).unwrap();
                assert_eq!(said.as_deref(), Some(block), "{content:?}{more}");
            }
        }
        let words = told_of_result("PreToolUse", &[block, block], "").unwrap_err();
        assert!(words.contains("several"), "{words}");
        // What tools have beside their words is no answer.
        for (content, more) in [
            ("hello", r#","structuredContent":{"result":"hello"}"#),
            ("{}\nhello", ""),
        ] {
            let content: Vec<&str> = content.lines().collect();
            assert_eq!(told_of_result("Stop", &content, more), Ok(None));
            let said = told_of_result("SessionStart", &content, more).unwrap();
            assert!(said.unwrap().contains("hello\"}}"));
        }
    }

    #[test]
    fn what_failed_is_no_answer_to_the_agent() {
        for (answer, why) in [
            (r#"{"id":1,"error":{"code":1,"message":"no"}}"#, "no"),
            (
                r#"{"id":1,"result":{"content":[{"type":"text","text":"{}"}],"isError":true}}"#,
                "{}",
            ),
            (
                r#"{"id":1,"result":{"content":[],"isError":true}}"#,
                "without a word",
            ),
            (
                r#"{"id":1,"result":{"resultType":"input_required"}}"#,
                "asks for something",
            ),
            (r#"{"id":1}"#, "neither"),
        ] {
            let words = told_of("PreToolUse", answer).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
    }

    #[test]
    fn the_answer_is_told_from_what_else_comes() {
        let is = |text| is_answer(Json::parse(text).unwrap());
        assert!(is(r#"{"id":1,"result":{}}"#));
        for other in [
            r#"{"id":"1","result":{}}"#,
            r#"{"id":2,"result":{}}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"method":"notifications/message"}"#,
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn names_of_events_can_stand_in_a_method_and_in_a_path() {
        assert!(is_event_name("PreToolUse") && is_event_name("my-event_2"));
        for name in ["", "2x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_event_name(name), "{name}");
        }
    }
}
