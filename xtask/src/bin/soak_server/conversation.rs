//! What is said to the server, and what it does.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::words::{self, Mark};

/// Marks of requests that a cancellation may still come for.
const REMEMBERED_MAX: usize = 4096;

/// What comes after a line.
pub(crate) enum Turn {
    GoOn,
    /// Say these last words, which need not be whole, and end.
    Crash {
        words: Vec<u8>,
    },
}

/// One process's side of the conversation.
pub(crate) struct Conversation {
    pid: u32,
    /// Lines for the ledger.
    pub(crate) deeds: String,
    /// Lines for standard output.
    pub(crate) says: String,
    /// Requests that are answered only once they are cancelled.
    held: BTreeMap<String, Held>,
    /// Requests of which it is known whose they are, and in which order they came.
    owners: BTreeMap<String, Mark>,
    order: VecDeque<String>,
    /// Questions to the client, each with the call that it was asked for.
    asks: BTreeMap<u64, Asked>,
    asked: u64,
    /// Subscribed resources.
    subscribed: BTreeSet<String>,
    /// How often each resource was said to have changed.
    stamps: BTreeMap<String, u64>,
}

struct Held {
    answer: String,
    answers_late: bool,
}

struct Asked {
    mark: Mark,
    answer: String,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// The parameters of a request: those of a call may stand in its arguments.
#[derive(Default, Deserialize)]
struct Params<'a> {
    mark: Option<Mark>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Arguments<'a>>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    mark: Option<Mark>,
    /// Steps of progress, or bytes of the answer before a crash.
    #[serde(default)]
    steps: u32,
    #[serde(default)]
    late: bool,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
}

impl Conversation {
    pub(crate) fn new(pid: u32) -> Conversation {
        Conversation {
            pid,
            deeds: String::new(),
            says: String::new(),
            held: BTreeMap::new(),
            owners: BTreeMap::new(),
            order: VecDeque::new(),
            asks: BTreeMap::new(),
            asked: 0,
            subscribed: BTreeSet::new(),
            stamps: BTreeMap::new(),
        }
    }

    /// Takes in one line.
    pub(crate) fn take(&mut self, line: &[u8]) -> Turn {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else {
            self.wrong(format_args!("a line that is no message"));
            return Turn::GoOn;
        };
        let raw = message.params.map_or("{}", RawValue::get);
        let Ok(params) = serde_json::from_str::<Params<'_>>(raw) else {
            self.wrong(format_args!("parameters that nobody sent: {raw}"));
            return Turn::GoOn;
        };
        match (message.method.as_deref(), message.id.map(RawValue::get)) {
            (Some(method), Some(id)) => return self.on_request(id, method, &params, raw),
            (Some("notifications/cancelled"), None) => self.on_cancelled(&params),
            (Some("notifications/soak"), None) => self.on_note(&params),
            (Some(_), None) => {}
            (None, Some(id)) => self.on_answer(id, message.error.is_some(), line),
            (None, None) => self.wrong(format_args!("neither a method nor an id")),
        }
        Turn::GoOn
    }

    fn on_request(&mut self, id: &str, method: &str, params: &Params<'_>, raw: &str) -> Turn {
        let arguments = params.arguments.as_ref();
        let mark = params.mark.or(arguments.and_then(|known| known.mark));
        match (method, mark) {
            ("initialize", _) => self.say(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{"listChanged":true}},"resources":{{"subscribe":true}},"prompts":{{}},"completions":{{}},"logging":{{}}}},"serverInfo":{{"name":"soak","version":"1"}}}}}}"#
            )),
            // Those that are asked by the pooler itself carry no mark, nor does the second use of an id.
            (_any, None) => {
                self.subscribe(method, params);
                self.say(&words::unmarked_result(id));
            }
            ("tools/call", Some(mark)) => {
                self.deed("call", mark);
                self.remember(id, mark);
                return self.on_call(id, mark, params, raw);
            }
            (_any, Some(mark)) => {
                self.deed("read", mark);
                self.subscribe(method, params);
                self.remember(id, mark);
                let answer = words::result(id, mark, self.pid, raw);
                self.say(&answer);
            }
        }
        Turn::GoOn
    }

    fn on_call(&mut self, id: &str, mark: Mark, params: &Params<'_>, raw: &str) -> Turn {
        let none = Arguments::default();
        let arguments = params.arguments.as_ref().unwrap_or(&none);
        let answer = words::result(id, mark, self.pid, raw);
        match params.name.as_deref().unwrap_or_default() {
            "hold" => {
                let held = Held {
                    answer,
                    answers_late: arguments.late,
                };
                self.held.insert(id.to_owned(), held);
                return Turn::GoOn;
            }
            "ask" => {
                self.asked += 1;
                self.deed("asked", mark);
                self.say(&words::ask(&self.asked.to_string(), mark));
                self.asks.insert(self.asked, Asked { mark, answer });
                return Turn::GoOn;
            }
            "touch" => self.touch(arguments.uri.as_deref().unwrap_or_default(), mark),
            "change" => {
                self.deed("changed", mark);
                self.say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
            }
            "log" => {
                self.deed("logged", mark);
                self.say(&words::log_message(mark));
            }
            "crash" => {
                let len = usize::try_from(arguments.steps).unwrap_or(usize::MAX);
                let mut words = (answer + "\n").into_bytes();
                words.truncate(len);
                return Turn::Crash { words };
            }
            _echo => self.progress(params, arguments.steps, mark),
        }
        self.say(&answer);
        Turn::GoOn
    }

    fn progress(&mut self, params: &Params<'_>, steps: u32, mark: Mark) {
        let token = params.meta.as_ref().and_then(|meta| meta.token);
        let Some(token) = token.map(RawValue::get) else {
            return;
        };
        for step in 1..=steps {
            self.say(&words::progress(token, mark, step));
        }
    }

    fn touch(&mut self, uri: &str, mark: Mark) {
        // Some servers speak of what nobody has subscribed to.
        if !self.subscribed.contains(uri) && !mark.number.is_multiple_of(4) {
            return;
        }
        let stamp = self.stamps.entry(uri.to_owned()).or_default();
        *stamp += 1;
        let text = words::updated(uri, mark, self.pid, *stamp);
        self.say(&text);
    }

    fn subscribe(&mut self, method: &str, params: &Params<'_>) {
        let uri = params.uri.as_deref().unwrap_or_default();
        if method == "resources/subscribe" {
            self.subscribed.insert(uri.to_owned());
        } else if method == "resources/unsubscribe" {
            self.subscribed.remove(uri);
        }
    }

    fn on_cancelled(&mut self, params: &Params<'_>) {
        let id = params.request_id.map_or("", RawValue::get);
        let Some(mark) = self.owners.get(id).copied() else {
            return self.wrong(format_args!("a cancellation of {id}, which never came"));
        };
        // The client gives its mark as a reason; a session that has gone gives none of that kind.
        let reason = params.reason.as_deref().unwrap_or_default();
        if reason.starts_with('[') && reason != mark.to_string() {
            self.wrong(format_args!("{mark} was cancelled for {reason}"));
        }
        self.deed("cancelled", mark);
        if let Some(held) = self.held.remove(id)
            && held.answers_late
        {
            self.say(&held.answer);
        }
    }

    fn on_note(&mut self, params: &Params<'_>) {
        match params.mark {
            Some(mark) => self.deed("note", mark),
            None => self.wrong(format_args!("a note without a mark")),
        }
    }

    fn on_answer(&mut self, id: &str, is_error: bool, line: &[u8]) {
        let asked = id.parse().ok().and_then(|id: u64| self.asks.remove(&id));
        let Some(Asked { mark, answer }) = asked else {
            return self.wrong(format_args!(
                "an answer to question {id}, which is not open"
            ));
        };
        if line == words::ask_answer(id, mark).as_bytes() {
            self.deed("answered", mark);
        } else if is_error && contains(line, br#""source":"mcpool""#) {
            let text = String::from_utf8_lossy(line);
            let reason = text.split(r#""reason":""#).nth(1).unwrap_or_default();
            let reason = reason.split('"').next().unwrap_or_default();
            self.deed(&format!("refused-{reason}"), mark);
        } else {
            let line = String::from_utf8_lossy(line).into_owned();
            self.wrong(format_args!("{mark} was answered {line}"));
        }
        self.say(&answer);
    }

    fn remember(&mut self, id: &str, mark: Mark) {
        if self.owners.insert(id.to_owned(), mark).is_some() {
            self.wrong(format_args!("id {id} came twice"));
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            if self.held.contains_key(&oldest) {
                self.order.push_back(oldest);
            } else {
                self.owners.remove(&oldest);
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.says.push_str(line);
        self.says.push('\n');
    }

    fn deed(&mut self, word: &str, mark: Mark) {
        let Mark {
            client,
            generation,
            number,
        } = mark;
        // Writing to memory cannot fail.
        let _infallible = writeln!(self.deeds, "{word} {client} {generation} {number}");
    }

    fn wrong(&mut self, what: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.deeds, "wrong {what}");
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
