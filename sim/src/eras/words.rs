//! What is said in a world of both eras, as text: every message has a mark of its own.
//!
//! **Invariant:** what nobody may change stands in one piece, [`Request::body`] or [`content`], so that it can
//! be looked for, byte for byte, in what arrives.

use mux::{Era, SessionId};
use wire::{Frame, Message, Method};

use crate::payload::{Mark, mark_of};

/// What a request of the modern era says of its sender, and one of the legacy era does not.
pub(crate) const SENDER: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];

/// Where a message of the modern era names the wish that it comes of.
pub(crate) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What clients can do, by class.
pub(crate) const CLASSES: [&str; 3] = [
    "{}",
    r#"{"roots":{},"sampling":{},"elicitation":{"form":{},"url":{}}}"#,
    r#"{"elicitation":{"form":{}}}"#,
];

/// Severities that clients ask for, most verbose first.
pub(crate) const LEVELS: [&str; 3] = ["debug", "warning", "emergency"];

/// Tools and resources.
pub(crate) const TOOLS: [&str; 3] = ["a", "b", "c"];
pub(crate) const URIS: [&str; 3] = ["a:1", "a:1/part", "a:2"];

/// The places of the resources that this one is a part of, and its own.
pub(crate) fn wholes_of(uri: usize) -> impl Iterator<Item = usize> {
    let is_its = move |whole: &usize| {
        let rest = URIS[uri].strip_prefix(URIS[*whole]);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    (0..URIS.len()).filter(is_its)
}

/// Lists that change, and what they are called in the filter of a wish.
pub(crate) const LISTS: [(&str, &str); 3] = [
    ("tools", "toolsListChanged"),
    ("prompts", "promptsListChanged"),
    ("resources", "resourcesListChanged"),
];

/// What every server declares.
pub(crate) const DECLARED: &str = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true,"listChanged":true},"logging":{}}"#;

/// A page of a list, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPage {
    pub(crate) method: &'static str,
    /// What it is called in a result.
    pub(crate) list: &'static str,
    pub(crate) cursor: Option<&'static str>,
    /// What the page behind it is asked for with.
    pub(crate) next: Option<&'static str>,
}

/// Pages of lists that are kept from one start to the next: the first of [`LISTS`] has one, the second two.
pub(crate) const PAGES: [ListPage; 3] = [
    ListPage {
        method: "tools/list",
        list: "tools",
        cursor: None,
        next: None,
    },
    ListPage {
        method: "prompts/list",
        list: "prompts",
        cursor: None,
        next: Some("2"),
    },
    ListPage {
        method: "prompts/list",
        list: "prompts",
        cursor: Some("2"),
        next: None,
    },
];

/// The page that is asked for, by place.
pub(crate) fn page_of(at: u8) -> ListPage {
    PAGES[usize::from(at) % PAGES.len()]
}

/// The place of the page that a request asks for, if it asks for one.
pub(crate) fn page_asked(method: &Method, frame: &Frame) -> Option<u8> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    let said = params.at.as_ref().and_then(|at| frame.member(at, "cursor"));
    let cursor = said.map(|said| said.value.trim_matches('"'));
    let is_it = |page: &ListPage| page.method == method.name() && page.cursor == cursor;
    u8::try_from(PAGES.iter().position(is_it)?).ok()
}

/// For how long a server of the modern era lets others be told what it says, in milliseconds.
const TIMES_TO_LIVE: [u64; 5] = [60_000, 0, 5, 2_000, 1_000_000];

/// How long what a server says may be told to others, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    /// In milliseconds.
    pub(crate) ttl: u64,
    /// Whether anybody may be told.
    pub(crate) is_public: bool,
}

impl Hints {
    pub(crate) fn nth(at: u8) -> Self {
        Hints {
            ttl: TIMES_TO_LIVE[usize::from(at) % TIMES_TO_LIVE.len()],
            is_public: (at / 5).is_multiple_of(2),
        }
    }

    /// As members behind others.
    pub(crate) fn members(self) -> String {
        let scope = if self.is_public { "public" } else { "private" };
        format!(
            r#","resultType":"complete","ttlMs":{},"cacheScope":"{scope}""#,
            self.ttl
        )
    }
}

/// What a server says of itself: in the modern era with hints.
pub(crate) fn greeting(mark: Mark, hints: Option<Hints>) -> String {
    let us = r#"{"name":"s","version":"1"}"#;
    match hints {
        None => format!(
            r#"{{"protocolVersion":"2025-11-25","capabilities":{DECLARED},"serverInfo":{us},"instructions":"~{mark}~"}}"#
        ),
        Some(hints) => format!(
            r#"{{"supportedVersions":["2026-07-28"],"capabilities":{DECLARED},"instructions":"~{mark}~","_meta":{{"io.modelcontextprotocol/serverInfo":{us}}}{}}}"#,
            hints.members()
        ),
    }
}

/// What stands on a page, which must arrive as it is.
pub(crate) fn items(mark: Mark) -> String {
    format!(r#"[{{"mark":"~{mark}~","big":1e400}}]"#)
}

/// A page of a list: in the modern era with hints.
pub(crate) fn page(at: u8, mark: Mark, hints: Option<Hints>) -> String {
    let ListPage { list, next, .. } = page_of(at);
    let next = next.map_or(String::new(), |next| format!(r#","nextCursor":"{next}""#));
    let hints = hints.map_or(String::new(), Hints::members);
    format!(r#"{{"{list}":{}{next}{hints}}}"#, items(mark))
}

/// Whether every server tells changes of this list.
pub(crate) fn is_told(list: usize) -> bool {
    list != 1
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Hello,
    Discover,
    /// A wish to be told: a bit for each of [`LISTS`], and one for each of [`URIS`].
    Listen(u8),
    Call(u8),
    Prompt,
    Read(u8),
    List(u8),
    /// One of [`PAGES`], and nothing besides: what others were answered with is an answer to it.
    Plain(u8),
    Subscribe(u8),
    Unsubscribe(u8),
    SetLevel(u8),
    Ping,
}

impl Shape {
    pub(crate) fn method(self) -> &'static str {
        const KINDS: [&str; 3] = ["tools/list", "resources/list", "completion/complete"];
        match self {
            Shape::Hello => "initialize",
            Shape::Discover => "server/discover",
            Shape::Listen(_) => "subscriptions/listen",
            Shape::Call(_) => "tools/call",
            Shape::Prompt => "prompts/get",
            Shape::Read(_) => "resources/read",
            Shape::List(at) => KINDS[usize::from(at) % KINDS.len()],
            Shape::Plain(at) => page_of(at).method,
            Shape::Subscribe(_) => "resources/subscribe",
            Shape::Unsubscribe(_) => "resources/unsubscribe",
            Shape::SetLevel(_) => "logging/setLevel",
            Shape::Ping => "ping",
        }
    }

    /// Whether a server may ask while it works on it.
    pub(crate) fn is_askable(self) -> bool {
        matches!(self, Shape::Call(_) | Shape::Prompt | Shape::Read(_))
    }

    /// Whether it changes nothing when it is asked again.
    pub(crate) fn is_read_only(self) -> bool {
        matches!(
            self,
            Shape::Prompt | Shape::Read(_) | Shape::List(_) | Shape::Plain(_)
        )
    }

    /// Whether an answer of the modern era says how long it holds.
    pub(crate) fn is_cacheable(self) -> bool {
        matches!(
            self,
            Shape::Discover | Shape::Read(_) | Shape::List(0 | 1) | Shape::Plain(_)
        )
    }

    /// What of its parameters matters, as members before others.
    fn members(self) -> String {
        let uri = |at: u8| format!(r#""uri":"{}","#, URIS[usize::from(at) % URIS.len()]);
        match self {
            Shape::Call(at) => format!(r#""name":"{}","#, TOOLS[usize::from(at) % TOOLS.len()]),
            Shape::Prompt => r#""name":"p","#.to_owned(),
            Shape::Read(at) | Shape::Subscribe(at) | Shape::Unsubscribe(at) => uri(at),
            Shape::SetLevel(at) => {
                format!(r#""level":"{}","#, LEVELS[usize::from(at) % LEVELS.len()])
            }
            Shape::Listen(bits) => format!(r#""notifications":{},"#, filter(bits)),
            Shape::Plain(at) => {
                let cursor = page_of(at).cursor;
                cursor.map_or(String::new(), |cursor| format!(r#""cursor":"{cursor}""#))
            }
            Shape::Hello | Shape::Discover | Shape::List(_) | Shape::Ping => String::new(),
        }
    }
}

/// The filter of a wish.
pub(crate) fn filter(bits: u8) -> String {
    let lists = LISTS.iter().enumerate();
    let lists = lists.filter(|(at, _)| bits >> at & 1 == 1);
    let mut members: Vec<String> = lists
        .map(|(_, (_, name))| format!(r#""{name}":true"#))
        .collect();
    let uris: Vec<String> = uris_of(bits).map(|uri| format!(r#""{uri}""#)).collect();
    if !uris.is_empty() {
        members.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

/// The words of a server that does not tell of a resource.
pub(crate) const NOT_TOLD: &str = "not told of";

/// A filter that does not name a resource.
pub(crate) fn without(filter: &str, uri: &str) -> String {
    let bits = (0..1 << (LISTS.len() + URIS.len())).find(|bits| self::filter(*bits) == filter);
    let at = URIS.iter().position(|known| *known == uri);
    match (bits, at) {
        (Some(bits), Some(at)) => self::filter(bits & !(1 << (LISTS.len() + at))),
        _unknown => filter.to_owned(),
    }
}

/// What of a wish is kept: what every server tells.
pub(crate) fn honoured(bits: u8) -> u8 {
    bits & !0b010
}

pub(crate) fn uris_of(bits: u8) -> impl Iterator<Item = &'static str> {
    let uris = URIS.iter().enumerate();
    uris.filter(move |(at, _)| bits >> (LISTS.len() + at) & 1 == 1)
        .map(|(_, uri)| *uri)
}

/// A request, described.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) shape: Shape,
    pub(crate) mark: Mark,
    pub(crate) era: Era,
    pub(crate) class: u8,
    /// As JSON.
    pub(crate) id: String,
    /// As JSON.
    pub(crate) token: Option<String>,
    /// From which of [`LEVELS`] on its client wants log messages, if it is of the modern era and says so.
    pub(crate) level: Option<u8>,
    /// What it brings back.
    pub(crate) back: Option<Back>,
}

/// What a client of the modern era comes back with.
#[derive(Clone, Debug)]
pub(crate) struct Back {
    /// As JSON, if it was given one.
    pub(crate) state: Option<String>,
    /// Names and answers, as JSON.
    pub(crate) answers: Vec<(String, String)>,
}

impl Back {
    /// As members behind others.
    pub(crate) fn members(&self) -> String {
        let answers = self.answers.iter();
        let answers: Vec<String> = answers
            .map(|(name, answer)| format!(r#""{name}":{answer}"#))
            .collect();
        let state = self.state.as_ref();
        let state = state.map_or(String::new(), |state| format!(r#","requestState":{state}"#));
        format!(r#","inputResponses":{{{}}}{state}"#, answers.join(","))
    }
}

impl Request {
    /// What must arrive as it is.
    pub(crate) fn body(&self) -> String {
        if matches!(self.shape, Shape::Plain(_)) {
            return self.shape.members();
        }
        // Whoever comes back asks the same, but for the mark.
        format!(
            r#""ask":"~{}~","arguments":{{"id":9,"big":1e400}}"#,
            self.mark
        )
    }

    pub(crate) fn render(&self) -> String {
        let (id, method, members) = (&self.id, self.shape.method(), self.shape.members());
        let back = self.back.as_ref().map_or(String::new(), Back::members);
        let meta = self.meta();
        let body = self.body();
        if self.shape == Shape::Hello {
            let class = CLASSES[usize::from(self.class)];
            return format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{class},"clientInfo":{{"name":"c","version":"1"}},{body}}}}}"#
            );
        }
        if matches!(self.shape, Shape::Plain(_)) {
            let meta = if members.is_empty() {
                meta.trim_start_matches(',')
            } else {
                &meta
            };
            return format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}{meta}}}}}"#
            );
        }
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}{body}{back}{meta}}}}}"#
        )
    }

    fn meta(&self) -> String {
        let mut members = Vec::new();
        if self.era == Era::Modern {
            let class = CLASSES[usize::from(self.class)];
            members.push(format!(r#""{}":"2026-07-28""#, SENDER[0]));
            members.push(format!(r#""{}":{class}"#, SENDER[1]));
            members.push(format!(r#""{}":{{"name":"m","version":"1"}}"#, SENDER[2]));
            let level = self.level.map(|level| LEVELS[usize::from(level)]);
            members.extend(level.map(|level| format!(r#""{}":"{level}""#, SENDER[3])));
        }
        let token = self.token.as_ref();
        members.extend(token.map(|token| format!(r#""progressToken":{token}"#)));
        if members.is_empty() {
            return String::new();
        }
        if !matches!(self.shape, Shape::Plain(_)) {
            members.insert(members.len() / 2, r#""traceparent":"00""#.to_owned());
        }
        format!(r#","_meta":{{{}}}"#, members.join(","))
    }
}

/// The name of the request of a client's that this text is, if it is one.
pub(crate) fn request_in(text: &str) -> Option<Mark> {
    let (_, body) = text.split_once(r#""ask":"#)?;
    mark_of(body)
}

/// The answer of a client to a question.
pub(crate) fn accepted(mark: Mark) -> String {
    format!(r#"{{"action":"accept","content":{{"mark":"~{mark}~","big":1e400}}}}"#)
}

/// What a server has to tell in a result, which must arrive as it is.
pub(crate) fn content(mark: Mark, cause: Option<Mark>) -> String {
    let cause = because_of(cause);
    format!(r#""content":[{{"mark":"~{mark}~","big":1e400{cause}}}]"#)
}

/// The request of a session that a message is because of, as a member behind others.
pub(crate) fn because_of(cause: Option<Mark>) -> String {
    cause.map_or(String::new(), |cause| format!(r#","about":"^{cause}^""#))
}

/// What servers ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Sampling,
    Form,
    Address,
    Roots,
    Ping,
}

impl Asks {
    pub(crate) const ALL: [Asks; 5] = [
        Asks::Form,
        Asks::Sampling,
        Asks::Address,
        Asks::Roots,
        Asks::Ping,
    ];

    pub(crate) fn method(self) -> &'static str {
        match self {
            Asks::Sampling => "sampling/createMessage",
            Asks::Form | Asks::Address => "elicitation/create",
            Asks::Roots => "roots/list",
            Asks::Ping => "ping",
        }
    }

    /// Whether a client has to be asked.
    pub(crate) fn is_for_clients(self) -> bool {
        !matches!(self, Asks::Roots | Asks::Ping)
    }

    /// Whether a client of this class can be asked.
    pub(crate) fn is_for_class(self, class: u8) -> bool {
        match self {
            Asks::Sampling | Asks::Address | Asks::Roots => class == 1,
            Asks::Form => class > 0,
            Asks::Ping => true,
        }
    }

    /// Its parameters; a question by address has a name in the legacy era.
    pub(crate) fn params(self, mark: Mark, cause: Option<Mark>, era: Era) -> String {
        let cause = because_of(cause);
        let more = match (self, era) {
            (Asks::Form, _) => r#","mode":"form","message":"who?""#.to_owned(),
            (Asks::Address, Era::Modern) => r#","mode":"url","url":"https://x""#.to_owned(),
            (Asks::Address, Era::Legacy) => {
                format!(
                    r#","mode":"url","url":"https://x","elicitationId":"e{}""#,
                    mark.number
                )
            }
            (Asks::Sampling, _) => r#","messages":[]"#.to_owned(),
            (Asks::Roots | Asks::Ping, _) => String::new(),
        };
        format!(r#"{{"mark":"~{mark}~"{cause}{more}}}"#)
    }
}

/// An id that others choose as well, as JSON: numbers, and the same as strings.
pub(crate) fn nth_id(at: u64) -> String {
    if at.is_multiple_of(2) {
        format!("{}", at / 2)
    } else {
        format!(r#""{}""#, at / 2)
    }
}

/// What names a session to whoever goes on with a request of it.
pub(crate) fn handle_name(session: SessionId) -> String {
    format!("of{}", session.0)
}
