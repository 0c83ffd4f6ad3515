//! The language of the transcripts: one line, one thing that happens.

use std::{
    format,
    string::{String, ToString},
    time::Duration,
    vec::Vec,
};

use wire::Purpose;

use crate::{Capability, Class, Exit, Past};

/// The notifications that transcripts call by their last words.
pub(super) const NOTIFICATIONS: [&str; 11] = [
    "initialized",
    "cancelled",
    "progress",
    "message",
    "roots/list_changed",
    "tools/list_changed",
    "prompts/list_changed",
    "resources/list_changed",
    "resources/updated",
    "elicitation/complete",
    "subscriptions/acknowledged",
];

/// The lines of a transcript that say what happens; `None` for a blank one.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) lines: Vec<Option<(String, Happening)>>,
}

/// One thing that happens.
#[derive(Debug)]
pub(super) enum Happening {
    /// An upstream has come up and serves these sessions, without a word about how.
    Serves {
        names: Vec<String>,
        words: Words,
    },
    Opens {
        who: String,
        words: Words,
    },
    /// Opens and says `initialize #0`.
    Comes {
        who: String,
        words: Words,
    },
    Says {
        who: String,
        saying: Saying,
    },
    /// Something that has to do with another daemon.
    Succeeds(Succession),
    Leaves(String),
    Ends(String),
    IsCut(String),
    /// Much waits for a session to read, or no longer.
    StopsReading(String),
    ReadsOn(String),
    /// A session begins to listen for what belongs to none of its lines, or ceases to.
    Listens {
        who: String,
        listens: bool,
    },
    /// The announcements for a slow session have left.
    Hears(String),
    Starts {
        who: String,
        words: Words,
    },
    StartFails {
        who: String,
        why: String,
    },
    Exits {
        who: String,
        exit: Exit,
        /// The ids of requests of which nothing was written to it.
        unwritten: Vec<u64>,
    },
    Complains {
        who: String,
        line: String,
    },
    Blocks(String),
    Reads(String),
    Passes(Duration),
    /// Deadlines come and are told of only behind the next happening, as a busy edge does.
    PassesUnnoticed(Duration),
    /// What the edge holds of messages, in bytes.
    LinksHold(usize),
    AdminRestarts {
        server: String,
        patience: Duration,
    },
    Shutdown,
    /// From here on errors are shown with their text.
    ShowWords,
    /// From here on it is shown what the guardian is left with.
    ShowRecords,
}

/// One daemon after another.
#[derive(Debug)]
pub(super) enum Succession {
    /// The daemon is gone, and the next one finds the processes that there are.
    DaemonDies,
    /// The guardian has a process with a record that is written like this.
    IsInherited { who: String, record: String },
    /// A session opens at the next daemon as what it was.
    ComesBack(String),
    /// It tells the next daemon what it said to the last one.
    Replays {
        who: String,
        past: Past,
        saying: Saying,
    },
    /// It has replayed everything.
    IsReplayed(String),
}

/// What somebody says.
#[derive(Debug)]
pub(super) enum Saying {
    /// A line as it is, shown as it is.
    Raw(String),
    /// A message in the short form of the transcripts, spelt out.
    Message(String),
    /// A server's answer to our `initialize`.
    Greeting(Words),
    /// A message longer than may be, of which this much is known.
    TooLong {
        id: Option<String>,
        purpose: Purpose,
        end: End,
    },
}

/// How far a message is that is longer than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended.
    Here,
    /// It goes on.
    ToCome,
}

/// `name=value` and bare words.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Vec<String>);

impl Script {
    pub(super) fn parse(text: &str) -> Self {
        let indent = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.len() - line.trim_start().len())
            .min()
            .unwrap_or_default();
        let lines = text.trim_start_matches('\n').lines();
        let flush_left = lines
            .map(|line| line.get(indent..).unwrap_or_default())
            .filter(|line| !line.starts_with(' '));
        let mut lines: Vec<_> = flush_left
            .map(|line| (!line.is_empty()).then(|| (line.to_string(), Happening::parse(line))))
            .collect();
        while lines.last().is_some_and(Option::is_none) {
            lines.pop();
        }
        Script { lines }
    }
}

impl Happening {
    /// What stands behind a name and a colon.
    fn parse_said(line: &str) -> Option<Self> {
        let said = line.split_once(": ");
        let (who, said) = said.filter(|(who, _)| !who.contains(' '))?;
        let who = who.to_string();
        if let Some((past, said)) = replayed(said) {
            let saying = Saying::parse(said);
            let replays = Succession::Replays { who, past, saying };
            return Some(Happening::Succeeds(replays));
        }
        let saying = Saying::parse(said);
        Some(Happening::Says { who, saying })
    }

    #[expect(clippy::too_many_lines, reason = "one arm per happening reads better")]
    fn parse(line: &str) -> Self {
        if let Some(said) = Happening::parse_said(line) {
            return said;
        }
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(succession) = Succession::parse(&words) {
            return Happening::Succeeds(succession);
        }
        let rest = |from: usize| Words(words[from..].iter().map(ToString::to_string).collect());
        let who = words[0].to_string();
        match words.as_slice() {
            ["shutdown"] => Happening::Shutdown,
            ["links", "hold", bytes] => Happening::LinksHold(bytes.parse().unwrap()),
            ["show", "words"] => Happening::ShowWords,
            ["show", "records"] => Happening::ShowRecords,
            ["admin", "restarts", server] => Happening::AdminRestarts {
                server: (*server).to_string(),
                patience: Duration::ZERO,
            },
            ["admin", "restarts", server, "within", amount, unit] => Happening::AdminRestarts {
                server: (*server).to_string(),
                patience: duration(amount, unit),
            },
            [amount, unit, "pass"] => Happening::Passes(duration(amount, unit)),
            [amount, unit, "pass", "unnoticed"] => {
                Happening::PassesUnnoticed(duration(amount, unit))
            }
            [_, "serves", ..] => {
                let (words, names) = rest(2).split();
                Happening::Serves { names, words }
            }
            [_, "opens", ..] => Happening::Opens {
                who,
                words: rest(2),
            },
            [_, "comes", ..] => Happening::Comes {
                who,
                words: rest(2),
            },
            [_, "leaves"] => Happening::Leaves(who),
            [_, "ends"] => Happening::Ends(who),
            [_, "is", "cut"] => Happening::IsCut(who),
            [_, "stops", "reading"] => Happening::StopsReading(who),
            [_, "reads", "on"] => Happening::ReadsOn(who),
            [_, "listens", no_more @ ..] => Happening::Listens {
                who,
                listens: no_more.is_empty(),
            },
            [_, "hears"] => Happening::Hears(who),
            [_, "starts", ..] => Happening::Starts {
                who,
                words: rest(2),
            },
            [_, "start", "fails", why @ ..] => Happening::StartFails {
                who,
                why: why.join(" "),
            },
            [_, "exits", "code", code, rest @ ..] => Happening::Exits {
                who,
                exit: Exit::Code(code.parse().unwrap()),
                unwritten: unwritten(rest),
            },
            [_, "exits", "signal", signal, rest @ ..] => Happening::Exits {
                who,
                exit: Exit::Signal(signal.parse().unwrap()),
                unwritten: unwritten(rest),
            },
            [_, "forgets", rest @ ..] => Happening::Exits {
                who,
                exit: Exit::Forgetful,
                unwritten: unwritten(rest),
            },
            [_, "complains", text @ ..] => Happening::Complains {
                who,
                line: text.join(" "),
            },
            [_, "blocks"] => Happening::Blocks(who),
            [_, "reads"] => Happening::Reads(who),
            other => panic!("nobody knows what this means: {other:?}"),
        }
    }
}

/// `unwritten #3 #4`, or nothing.
fn unwritten(words: &[&str]) -> Vec<u64> {
    let Some((first, ids)) = words.split_first() else {
        return Vec::new();
    };
    assert_eq!(*first, "unwritten");
    let id = |word: &&str| word.strip_prefix('#').unwrap().parse().unwrap();
    ids.iter().map(id).collect()
}

impl Succession {
    fn parse(words: &[&str]) -> Option<Self> {
        match words {
            ["the", "daemon", "dies"] => Some(Succession::DaemonDies),
            [who, "is", "inherited", record @ ..] => Some(Succession::IsInherited {
                who: (*who).to_string(),
                record: record.join(" "),
            }),
            [who, "comes", "back"] => Some(Succession::ComesBack((*who).to_string())),
            [who, "is", "replayed"] => Some(Succession::IsReplayed((*who).to_string())),
            _others => None,
        }
    }
}

/// What is told of the past of a line, and the line.
fn replayed(said: &str) -> Option<(Past, &str)> {
    let (past, said) = said.strip_prefix("replays ")?.split_once(' ')?;
    let past = match past {
        "kept" => Past::Kept,
        "sent" => Past::Sent,
        "repeated" => Past::Repeated,
        other => panic!("no past: {other}"),
    };
    Some((past, said))
}

fn duration(amount: &str, unit: &str) -> Duration {
    let amount = amount.parse().unwrap();
    match unit {
        "ms" => Duration::from_millis(amount),
        "s" => Duration::from_secs(amount),
        "min" => Duration::from_mins(amount),
        "h" => Duration::from_hours(amount),
        other => panic!("no unit of time: {other}"),
    }
}

impl Saying {
    fn parse(said: &str) -> Self {
        if let Some(raw) = said.strip_prefix("raw ") {
            return Saying::Raw(raw.to_string());
        }
        let words: Vec<&str> = said.split(' ').collect();
        let id_of = |word: &str| word.strip_prefix('#').map(str::to_string);
        match words.as_slice() {
            ["greets", rest @ ..] => {
                Saying::Greeting(Words(rest.iter().map(ToString::to_string).collect()))
            }
            ["too", "long", rest @ ..] => Saying::TooLong {
                id: rest.iter().find_map(|word| id_of(word)),
                purpose: if rest.contains(&"response") {
                    Purpose::Answer
                } else if rest.contains(&"request") {
                    Purpose::Question
                } else {
                    Purpose::Either
                },
                end: if rest.contains(&"unended") {
                    End::ToCome
                } else {
                    End::Here
                },
            },
            ["result", id, rest @ ..] => {
                let id = id_of(id).unwrap();
                let result = rest.join(" ");
                let result = if result.is_empty() { "{}" } else { &result };
                Saying::Message(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
                ))
            }
            ["error", id] => {
                let id = id_of(id).unwrap();
                Saying::Message(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"no"}}}}"#
                ))
            }
            [method, rest @ ..] => Saying::Message(message(method, rest)),
            [] => panic!("nothing was said"),
        }
    }
}

/// A request or notification, spelt out.
fn message(method: &str, rest: &[&str]) -> String {
    let name = if NOTIFICATIONS.contains(&method) {
        format!("notifications/{method}")
    } else {
        method.to_string()
    };
    let id = rest.iter().find_map(|word| word.strip_prefix('#'));
    let words = Words(rest.iter().map(ToString::to_string).collect());
    let mut params: Vec<String> = Vec::new();
    for (name, member) in [
        ("tool", "name"),
        ("prompt", "name"),
        ("uri", "uri"),
        ("level", "level"),
        ("version", "protocolVersion"),
        ("mode", "mode"),
        ("elicitation", "elicitationId"),
    ] {
        params.extend(
            words
                .get(name)
                .map(|value| format!(r#""{member}":"{value}""#)),
        );
    }
    if let Some(text) = words.get("says") {
        let voice = words.get("voice").unwrap_or("low");
        params.push(format!(
            r#""arguments":{{"text":"{text}","voice":"{voice}"}}"#
        ));
    }
    let mut meta: Vec<String> = Vec::new();
    if let Some(token) = words.get("token") {
        if method == "progress" {
            params.push(format!(r#""progressToken":{token},"progress":1"#));
        } else {
            meta.push(format!(r#""progressToken":{token}"#));
        }
    }
    if words.has("modern") {
        meta.push(sender(&words));
    }
    if let ("subscriptions/acknowledged", Some(id)) = (method, id) {
        meta.push(format!(r#""{}":{id}"#, wire::meta_name::SUBSCRIPTION));
    }
    if !meta.is_empty() {
        params.push(format!(r#""_meta":{{{}}}"#, meta.join(",")));
    }
    if name.contains("subscriptions/") {
        params.push(filter(&words));
    }
    if method == "initialize" {
        let class = class(words.get("caps").unwrap_or_default());
        params.push(format!(r#""capabilities":{}"#, class.to_json()));
    }
    if words.has("tools") {
        params.push(r#""tools":[]"#.to_string());
    }
    let id = match (method, id) {
        ("cancelled", Some(id)) => {
            params.push(format!(r#""requestId":{id}"#));
            String::new()
        }
        ("subscriptions/acknowledged", _) => String::new(),
        (_, Some(id)) => format!(r#""id":{id},"#),
        (_, None) => String::new(),
    };
    let params = params.join(",");
    format!(r#"{{"jsonrpc":"2.0",{id}"method":"{name}","params":{{{params}}}}}"#)
}

/// What a request of the modern era says of its sender.
fn sender(words: &Words) -> String {
    let class = class(words.get("caps").unwrap_or_default());
    let level = words
        .get("log")
        .map(|level| format!(r#","io.modelcontextprotocol/logLevel":"{level}""#));
    format!(
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}{}"#,
        class.to_json(),
        level.unwrap_or_default()
    )
}

/// What is to be told: `changes=tools+prompts` and `watches=a:1+a:2`.
fn filter(words: &Words) -> String {
    let lists = words.get("changes").unwrap_or_default().split('+');
    let mut members: Vec<String> = lists
        .filter(|list| !list.is_empty())
        .map(|list| format!(r#""{list}ListChanged":true"#))
        .collect();
    members.extend(words.get("watches").map(|uris| {
        let uris = uris.replace('+', r#"",""#);
        format!(r#""resourceSubscriptions":["{uris}"]"#)
    }));
    format!(r#""notifications":{{{}}}"#, members.join(","))
}

/// The class of capabilities that are named with `+` between them.
pub(super) fn class(names: &str) -> Class {
    let all = Capability::ALL;
    let capability = |name: &str| match name {
        "elicitation" => Capability::ElicitationForm,
        name => *all.iter().find(|known| known.name() == name).unwrap(),
    };
    Class::of(
        names
            .split('+')
            .filter(|name| !name.is_empty())
            .map(capability),
    )
}

impl Words {
    /// The words that are options, and those that are names.
    fn split(self) -> (Words, Vec<String>) {
        const FLAGS: [&str; 6] = ["keeps", "slow", "joins", "lazy", "warm", "posts"];
        let is_option = |word: &String| word.contains('=') || FLAGS.contains(&word.as_str());
        let (options, names) = self.0.into_iter().partition(is_option);
        (Words(options), names)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }
}
