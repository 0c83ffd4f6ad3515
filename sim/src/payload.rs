//! What is said in a world, as text: every message has a mark of its own and some are hostile.
//!
//! **Invariant:** a message is rendered from its description alone, so that what was relayed can be
//! compared, byte for byte, with the same description under another id and token.

use std::{borrow::Cow, fmt, sync::LazyLock};

use mux::{SessionId, UpstreamId};
use wire::RequestId;

use crate::seed::Chance;

/// Who said it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The client of a session.
    Session(SessionId),
    /// A server.
    Server(UpstreamId),
}

/// The name of one message, never given twice in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Who said it.
    pub(crate) owner: Owner,
    /// Its running number.
    pub(crate) number: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Owner::Session(SessionId(id)) => write!(f, "s{id}.{}", self.number),
            Owner::Server(UpstreamId(id)) => write!(f, "u{id}.{}", self.number),
        }
    }
}

/// An id or token as its sender spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ident {
    /// There is none.
    None,
    /// One of [`ODD`].
    Odd(u8),
    /// A number in its shortest form.
    Number(u64),
    /// The same as a string.
    Quoted(u64),
}

/// Spellings that look like one another, or like what a pooler mints.
pub(crate) const ODD: [&str; 16] = [
    "1",
    "\"1\"",
    "1.0",
    "1e0",
    "2",
    "\"2\"",
    "9007199254740993",
    "9007199254740992",
    "-0",
    "0",
    "1e2",
    "\"\"",
    "\"\\u0031\"",
    "\"\\ud800\"",
    "18446744073709551616",
    // Replaced by a string of 1 KiB.
    "long",
];

static LONG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", "i".repeat(1024)));

impl Ident {
    /// An id that clients and servers alike may choose: often one that others choose, too.
    pub(crate) fn chosen(number: u8) -> Self {
        let count = ODD.len();
        match usize::from(number) {
            odd if odd < count => Ident::Odd(number),
            plain => Ident::Number((plain - count) as u64 + 1),
        }
    }

    /// As it stands in a message.
    pub(crate) fn text(self) -> Cow<'static, str> {
        match self {
            Ident::None => Cow::Borrowed(""),
            Ident::Odd(at) => match ODD.get(usize::from(at)) {
                Some(&"long") | None => Cow::Borrowed(LONG.as_str()),
                Some(text) => Cow::Borrowed(text),
            },
            Ident::Number(number) => Cow::Owned(number.to_string()),
            Ident::Quoted(number) => Cow::Owned(format!("\"{number}\"")),
        }
    }

    /// As the core sees it.
    pub(crate) fn id(self) -> Option<RequestId> {
        RequestId::from_json(&self.text())
    }

    /// The number, if it is what a pooler mints.
    pub(crate) fn number(self) -> Option<u64> {
        self.id().as_ref().and_then(RequestId::as_number)
    }
}

/// Which list has changed.
pub(crate) const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

/// The severities of RFC 5424, most verbose first.
pub(crate) const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// Tools, and what an honest server does in a call of one: see [`asks`] and [`logs`].
pub(crate) const TOOLS: [&str; 6] = ["quiet", "asks", "logs", "both", "\\u0061sks", "other"];

/// Resources by address; the last is the first in other letters.
pub(crate) const URIS: [&str; 5] = ["a:1", "a:2", "a:1/part", "file:///f", "a:\\u0031"];

/// The versions of the legacy era, oldest first, and one that nobody knows.
pub(crate) const VERSIONS: [&str; 5] = [
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "1999-01-01",
];

/// What clients declare.
pub(crate) const CLASSES: [&str; 5] = [
    "{}",
    r#"{"sampling":{},"roots":{"listChanged":true}}"#,
    r#"{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#,
    r#"{"elicitation":{}}"#,
    r#"{"roots":{},"experimental":{"x":1e400}}"#,
];

/// What servers declare.
pub(crate) const DECLARED: [&str; 4] = [
    r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{}}"#,
    r#"{"tools":{},"resources":{}}"#,
    r#"{"logging":{},"tools":{},"future":{"x":1e400}}"#,
    r#"{"tools":{},"tasks":{},"logging":{}}"#,
];

/// Whether a call of this tool makes an honest server ask.
pub(crate) fn asks(tool: u8) -> bool {
    matches!(
        TOOLS.get(usize::from(tool)),
        Some(&("asks" | "both" | "\\u0061sks"))
    )
}

/// Whether a call of this tool makes an honest server log.
pub(crate) fn logs(tool: u8) -> bool {
    matches!(TOOLS.get(usize::from(tool)), Some(&("logs" | "both")))
}

/// The address that an entry of [`URIS`] means.
pub(crate) fn uri(at: u8) -> &'static str {
    match URIS.get(usize::from(at)) {
        Some(&"a:\\u0031") | None => "a:1",
        Some(plain) => plain,
    }
}

/// What kind of message it is, with what matters of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `initialize`: version and capabilities, by their places in [`VERSIONS`] and [`CLASSES`].
    Hello { version: u8, class: u8 },
    /// `tools/call` of a tool of [`TOOLS`].
    Call(u8),
    /// `prompts/get`.
    Prompt,
    /// `resources/read` of a resource of [`URIS`].
    Read(u8),
    /// `resources/subscribe`.
    Subscribe(u8),
    /// `resources/unsubscribe`.
    Unsubscribe(u8),
    /// `logging/setLevel`.
    SetLevel(u8),
    /// `ping`.
    Ping,
    /// `server/discover`.
    Discover,
    /// `tools/list` and its like, by place in [`PLAIN`].
    Plain(u8),
    /// `roots/list`.
    Roots,
    /// `sampling/createMessage`, perhaps with tools.
    Sampling { tools: bool },
    /// `elicitation/create`, perhaps by address.
    Elicit { url: bool },
    /// A request of a server that nobody knows.
    Inquiry,
    /// `notifications/cancelled` of the request with the message's id.
    Cancelled,
    /// `notifications/progress` under the message's token.
    Progress,
    /// `notifications/message`.
    Log(u8),
    /// `notifications/…/list_changed`.
    ListChanged(u8),
    /// `notifications/resources/updated`.
    Updated(u8),
    /// `notifications/elicitation/complete` of the question that the message is about.
    Settled,
    /// A notification that nobody knows.
    Told,
    /// `notifications/initialized`.
    Initialized,
    /// `notifications/roots/list_changed`.
    RootsChanged,
    /// A response with a result.
    Result,
    /// A response with an error.
    Error,
    /// The error that sends a user to an address.
    UrlError,
    /// The result of `initialize`, by place in [`VERSIONS`] and [`DECLARED`].
    Greeting { version: u8, declares: u8 },
}

/// Requests that are nothing but asked and answered, and change nothing when they are repeated.
pub(crate) const PLAIN: [&str; 6] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "completion/complete",
    // Except this one, which may.
    "vendor/do",
];

impl Shape {
    /// The method, unless it is a response.
    pub(crate) fn method(self) -> Option<&'static str> {
        let lists = [
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
        ];
        Some(match self {
            Shape::Hello { .. } => "initialize",
            Shape::Call(_) => "tools/call",
            Shape::Prompt => "prompts/get",
            Shape::Read(_) => "resources/read",
            Shape::Subscribe(_) => "resources/subscribe",
            Shape::Unsubscribe(_) => "resources/unsubscribe",
            Shape::SetLevel(_) => "logging/setLevel",
            Shape::Ping => "ping",
            Shape::Discover => "server/discover",
            Shape::Plain(at) => PLAIN.get(usize::from(at)).unwrap_or(&PLAIN[0]),
            Shape::Roots => "roots/list",
            Shape::Sampling { .. } => "sampling/createMessage",
            Shape::Elicit { .. } => "elicitation/create",
            Shape::Inquiry => "vendor/ask",
            Shape::Cancelled => "notifications/cancelled",
            Shape::Progress => "notifications/progress",
            Shape::Log(_) => "notifications/message",
            Shape::ListChanged(at) => lists.get(usize::from(at)).unwrap_or(&lists[0]),
            Shape::Updated(_) => "notifications/resources/updated",
            Shape::Settled => "notifications/elicitation/complete",
            Shape::Told => "notifications/vendor/told",
            Shape::Initialized => "notifications/initialized",
            Shape::RootsChanged => "notifications/roots/list_changed",
            Shape::Result | Shape::Error | Shape::UrlError | Shape::Greeting { .. } => return None,
        })
    }

    /// Whether an honest server may ask while it works on it (SEP-2260).
    pub(crate) fn is_askable(self) -> bool {
        matches!(self, Shape::Call(_) | Shape::Prompt | Shape::Read(_))
    }

    /// Whether the specification makes it a question that may be asked again.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn is_read_only(self) -> bool {
        match self {
            Shape::Plain(at) => PLAIN.get(usize::from(at)) != Some(&"vendor/do"),
            Shape::Prompt | Shape::Read(_) | Shape::Ping | Shape::Discover => true,
            _other => false,
        }
    }

    /// Whether it answers a request, when a server says it.
    pub(crate) fn is_answer(self) -> bool {
        matches!(
            self,
            Shape::Greeting { .. } | Shape::Result | Shape::Error | Shape::UrlError
        )
    }

    /// Whether a client may be asked this.
    pub(crate) fn is_for_clients(self) -> bool {
        matches!(
            self,
            Shape::Sampling { .. } | Shape::Elicit { .. } | Shape::Inquiry
        )
    }

    /// Whether it is a request of a client that the pooler may answer itself with `{}`.
    pub(crate) fn is_answered_here(self) -> bool {
        matches!(
            self,
            Shape::Ping | Shape::Subscribe(_) | Shape::Unsubscribe(_) | Shape::SetLevel(_)
        )
    }
}

/// A message, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it is.
    pub(crate) shape: Shape,
    /// Its own name.
    pub(crate) mark: Mark,
    /// The message of a session that it is because of.
    pub(crate) about: Option<Mark>,
    /// Its id, or that of the request that it cancels.
    pub(crate) id: Ident,
    /// The token of its progress.
    pub(crate) token: Ident,
}

impl Message {
    /// Whether it is an `initialize`.
    pub(crate) fn is_hello(&self) -> bool {
        matches!(self.shape, Shape::Hello { .. })
    }

    /// What it declares, if it is the result of an `initialize`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn declares(&self) -> Option<u8> {
        match self.shape {
            Shape::Greeting { declares, .. } => Some(declares),
            _other => None,
        }
    }

    /// The same message under another id and another token, if it has one.
    pub(crate) fn renamed(self, id: Ident, token: Ident) -> Self {
        let keep = |old, new| if old == Ident::None { old } else { new };
        Message {
            id: keep(self.id, id),
            token: keep(self.token, token),
            ..self
        }
    }

    /// The message as its sender writes it, without a line end.
    pub(crate) fn render(&self) -> String {
        let mut chance = Chance::new(self.mark.number as u64);
        let mut members = vec![r#""jsonrpc":"2.0""#.to_owned()];
        let blank = if chance.one_in(5) { " " } else { "" };
        if let Some(method) = self.shape.method() {
            let is_request = !method.starts_with("notifications/");
            if is_request {
                members.push(format!(r#""id":{blank}{}"#, self.id.text()));
            }
            let name = if chance.one_in(9) {
                r"m\u0065thod"
            } else {
                "method"
            };
            members.push(format!(r#""{name}"{blank}:"{method}""#));
            members.push(format!(r#""params":{blank}{}"#, self.params(&mut chance)));
        } else {
            let name = if chance.one_in(9) { r"\u0069d" } else { "id" };
            members.push(format!(r#""{name}":{blank}{}"#, self.id.text()));
            members.push(self.outcome(&mut chance));
            if chance.one_in(11) && self.shape == Shape::Result {
                members.push(r#""error":null"#.to_owned());
            }
        }
        if chance.one_in(7) {
            members.push(r#""future":[1,{"id":9,"method":"x"}]"#.to_owned());
        }
        let turn = chance.below(members.len());
        members.rotate_left(turn);
        format!("{{{blank}{}{blank}}}", members.join(","))
    }

    fn params(&self, chance: &mut Chance) -> String {
        let about = self
            .about
            .map_or(String::new(), |about| format!(r#","about":"^{about}^""#));
        let mut params = format!(r#"{{"mark":"~{}~"{about}"#, self.mark);
        params += &garnish(chance);
        params += &self.members();
        let meta = match (self.token, self.shape) {
            (Ident::None, _) | (_, Shape::Progress) => String::new(),
            (token, _) => format!(
                r#","_meta":{{"x":{{"progressToken":7}},"progressToken":{}}}"#,
                token.text()
            ),
        };
        params + &meta + "}"
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn members(&self) -> String {
        let at =
            |list: &[&'static str], at: u8| list.get(usize::from(at)).copied().unwrap_or(list[0]);
        match self.shape {
            Shape::Hello { version, class } => format!(
                r#","protocolVersion":"{}","capabilities":{},"clientInfo":{{"name":"c","version":"1"}}"#,
                at(&VERSIONS, version),
                at(&CLASSES, class)
            ),
            Shape::Call(tool) => {
                format!(r#","name":"{}","arguments":{{"id":1}}"#, at(&TOOLS, tool))
            }
            Shape::Prompt => r#","name":"greet""#.to_owned(),
            Shape::Read(uri)
            | Shape::Subscribe(uri)
            | Shape::Unsubscribe(uri)
            | Shape::Updated(uri) => {
                format!(r#","uri":"{}""#, at(&URIS, uri))
            }
            Shape::SetLevel(level) | Shape::Log(level) => {
                format!(r#","level":"{}","data":1e400"#, at(&LEVELS, level))
            }
            Shape::Sampling { tools: true } => r#","messages":[],"tools":[]"#.to_owned(),
            Shape::Elicit { url: true } => {
                format!(r#","mode":"url","elicitationId":"e{}""#, self.mark.number)
            }
            Shape::Settled => {
                let question = self.about.map_or(0, |question| question.number);
                format!(r#","elicitationId":"e{question}""#)
            }
            Shape::Cancelled => format!(r#","requestId":{}"#, self.id.text()),
            Shape::Progress => format!(r#","progressToken":{},"progress":0.10"#, self.token.text()),
            _plain => String::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn outcome(&self, chance: &mut Chance) -> String {
        let about = self
            .about
            .map_or(String::new(), |about| format!(r#","re":"^{about}^""#));
        let (mark, garnish) = (self.mark, garnish(chance));
        match self.shape {
            Shape::Greeting { version, .. } => {
                let version = VERSIONS.get(usize::from(version)).unwrap_or(&VERSIONS[0]);
                format!(r#""result":{}"#, self.greeting(version))
            }
            Shape::Error => format!(
                r#""error":{{"code":-32000,"message":"~{mark}~","data":{{"x":0{about}{garnish}}}}}"#
            ),
            Shape::UrlError => format!(
                r#""error":{{"code":-32042,"message":"~{mark}~","data":{{"elicitations":[{{"elicitationId":"e{}"}}]{about}}}}}"#,
                mark.number
            ),
            _result => format!(r#""result":{{"mark":"~{mark}~"{about}{garnish}}}"#),
        }
    }

    /// What a server says of itself, in the words of a version.
    pub(crate) fn greeting(&self, version: &str) -> String {
        let Shape::Greeting { declares, .. } = self.shape else {
            return String::new();
        };
        let declared = DECLARED.get(usize::from(declares)).unwrap_or(&DECLARED[0]);
        format!(
            r#"{{"serverInfo":{{"name":"~{}~"}}, "capabilities":{declared},"protocolVersion" : "{version}","future":[1.0]}}"#,
            self.mark
        )
    }
}

/// Members that mean nothing to a pooler and that must come through as they are.
fn garnish(chance: &mut Chance) -> String {
    const PLATES: [&str; 12] = [
        r#","x":1e400"#,
        r#","minus":-0,"one":1.000"#,
        r#","half":"\ud800 \u0041\/""#,
        r#","o":{"a":1,"a":2,"id":3,"id":4}"#,
        r#", "blank" : [ 1 ,	2 ] "#,
        r#","id":7,"method":"tools/call","jsonrpc":"1.0","result":null"#,
        r#","deep":[[[[[[[[{"_meta":{"progressToken":5}}]]]]]]]]"#,
        r#","words":"é漢😀\"\\""#,
        r#","big":123456789012345678901234567890"#,
        r#","nothing":null,"":"","no":false"#,
        r#","data":{"source":"mcpool","reason":"id-in-use"}"#,
        r#","requestid":"1","Method":"x""#,
    ];
    let mut plate = String::new();
    while chance.one_in(2) {
        // A name may stand here once only where a pooler reads it; none of these is such a name.
        plate += chance.pick(&PLATES);
    }
    if chance.one_in(60) {
        plate += r#","long":""#;
        plate += &"x".repeat(4096 + chance.below(3000));
        plate.push('"');
    }
    plate
}

/// The name of the message that this text is, or was made from.
pub(crate) fn mark_of(text: &str) -> Option<Mark> {
    let mut parts = text.split('~');
    parts.next()?;
    parse(parts.next()?)
}

/// The messages of sessions that this text is because of.
pub(crate) fn causes(text: &str) -> impl Iterator<Item = Mark> {
    text.split('^').skip(1).step_by(2).filter_map(parse)
}

fn parse(text: &str) -> Option<Mark> {
    let (owner, number) = text.split_once('.')?;
    let (kind, id) = (owner.get(..1)?, owner.get(1..)?.parse().ok()?);
    let owner = match kind {
        "s" => Owner::Session(SessionId(id)),
        "u" => Owner::Server(UpstreamId(id)),
        _other => return None,
    };
    Some(Mark {
        owner,
        number: number.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_one_and_can_be_told_by_its_mark() {
        let shapes = [
            Shape::Hello {
                version: 0,
                class: 1,
            },
            Shape::Call(4),
            Shape::Elicit { url: true },
            Shape::Cancelled,
            Shape::Progress,
            Shape::Result,
            Shape::UrlError,
            Shape::Greeting {
                version: 3,
                declares: 0,
            },
        ];
        for number in 0..4000 {
            let owner = Owner::Session(SessionId(7));
            let mark = Mark { owner, number };
            let about = (number % 3 == 0).then_some(mark);
            let id = Ident::chosen(u8::try_from(number % 40).unwrap());
            let shape = shapes[number % shapes.len()];
            let message = Message {
                shape,
                mark,
                about,
                id,
                token: id,
            };
            let text = message.render();
            let frame = wire::Frame::parse(bytes::Bytes::from(text.clone())).expect(&text);
            assert_eq!(frame.method().map(wire::Method::name), shape.method());
            assert_eq!(mark_of(&text), Some(mark));
            assert!(causes(&text).eq(about.filter(|_| !matches!(shape, Shape::Greeting { .. }))));
        }
    }
}
