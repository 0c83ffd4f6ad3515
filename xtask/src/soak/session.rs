//! One session: what it has open, and the check of every line that comes.
//!
//! **Invariant:** a line is either exactly what this session can expect now, or a fault.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    faults::Class,
    record::{Outcome, Record},
    shared::{Counts, Server, Shared},
    words::{self, Mark},
};
use crate::pipes::Pipes;

/// How warnings are counted that a new process has forgotten what the last one knew.
const WARNINGS: &str = "← warnings of forgotten memory";

/// A session and all that it waits for.
pub(crate) struct Session<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) server: &'a Server,
    pub(crate) client: u16,
    pub(crate) generation: u16,
    pub(crate) pipes: Pipes,
    pub(crate) open: BTreeMap<String, Open>,
    /// Requests that were cancelled: an answer may have crossed with that.
    pub(crate) cancelled: BTreeMap<String, Open>,
    pub(crate) record: Record,
    pub(crate) counts: Counts,
    /// The process that answered last.
    pub(crate) last_pid: u32,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    /// Lines without an id that are to be refused.
    pub(crate) refusals_due: u64,
    pub(crate) list_changes: u64,
    /// Ids of which the first use was refused because the server had died, and the second not yet: it is,
    /// too, or it finds the id free again, and the next process answers it.
    pub(crate) used_again: BTreeSet<String>,
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) number: u64,
    pub(crate) form: Form,
    /// Steps of progress that must come before the answer, and those that have.
    pub(crate) steps: u32,
    pub(crate) steps_seen: u32,
    /// What must become of the resource that the call touches.
    pub(crate) touches: Option<Touch>,
    /// The resource that it subscribes to, or no longer.
    pub(crate) subject: Option<String>,
    /// Whether another request was sent under the same id, which is to be refused.
    pub(crate) is_doubled: bool,
}

/// What the answer to a request looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Its parameters, around the token that the server was given.
    Echo {
        before: String,
        after: Option<String>,
    },
    /// The same, only after it was cancelled: so it must not come.
    Held,
    /// A result, whatever it is.
    Any,
}

/// A resource that a call touches.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    pub(crate) uri: String,
    /// Whether we must hear of it before the answer; else we must not.
    pub(crate) is_heard: bool,
    pub(crate) heard: u32,
}

/// How a session stands to a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) stage: Stage,
    /// The process that spoke of it last, and its count.
    pub(crate) last: (u32, u64),
    /// Open calls that touch it.
    pub(crate) touches: u32,
}

/// The life of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Off,
    Asking,
    On,
    Ending,
    /// The end was asked for in vain.
    Unsure,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Echoed<'a> {
    pid: u32,
    #[serde(borrow)]
    echo: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    data: RefusedBecause,
}

#[derive(Default, Deserialize)]
struct RefusedBecause {
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "maybeExecuted")]
    maybe_executed: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    mark: Option<Mark>,
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    stamp: u64,
    #[serde(default)]
    data: Option<Marked>,
}

#[derive(Deserialize)]
struct Marked {
    mark: Mark,
}

impl Session<'_> {
    pub(crate) fn mark(&self, number: u64) -> Mark {
        Mark {
            client: self.client,
            generation: self.generation,
            number,
        }
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
        self.shared.messages.fetch_add(1, Ordering::Relaxed);
    }

    fn fault(&self, class: Class, what: &str, line: &str) {
        let shown: String = line.chars().take(600).collect();
        let who = self.mark(0);
        self.shared
            .faults
            .note(class, format!("{who}: {what}: {shown}"));
    }

    /// Checks one line.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let Ok(text) = str::from_utf8(line) else {
            return self.fault(Class::Altered, "no text", &String::from_utf8_lossy(line));
        };
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
            return self.fault(Class::Altered, "no message", text);
        };
        match (envelope.method.as_deref(), envelope.id.map(RawValue::get)) {
            (Some(_), Some(id)) => self.on_ask(id, envelope.params, text),
            (Some(method), None) => self.on_notification(method, envelope.params, text),
            (None, Some("null") | None) => self.on_refusal(&envelope, text),
            (None, Some(id)) => self.on_response(id, &envelope, text),
        }
    }

    /// Complains of a line that is not `expected`, and says so.
    fn differs(&self, expected: &str, mark: Option<Mark>, line: &str) -> bool {
        if expected == line {
            return false;
        }
        let is_ours = mark
            .is_some_and(|mark| (mark.client, mark.generation) == (self.client, self.generation));
        let class = if is_ours {
            Class::Altered
        } else {
            Class::Misrouted
        };
        self.fault(class, &format!("not {expected}"), line);
        true
    }

    fn on_response(&mut self, id: &str, envelope: &Envelope<'_>, line: &str) {
        if envelope.error.is_some() && self.is_second_refused(id, envelope) {
            return;
        }
        let was_open = self.open.remove(id);
        let is_open = was_open.is_some();
        let Some(open) = was_open.or_else(|| self.cancelled.remove(id)) else {
            if self.used_again.remove(id) {
                match envelope.error {
                    Some(error) => {
                        self.on_error(error, line);
                    }
                    None if line == words::unmarked_result(id) => self.count("← results"),
                    None => self.fault(Class::Altered, "not what a second use gets", line),
                }
                return;
            }
            let class = if self.was_answered(id) {
                Class::Duplicated
            } else {
                Class::Misrouted
            };
            return self.fault(class, "nothing is open under this id", line);
        };
        if let Some(touch) = &open.touches
            && let Some(subscription) = self.subscriptions.get_mut(&touch.uri)
        {
            subscription.touches -= 1;
        }
        let outcome = match (envelope.result, envelope.error) {
            (Some(result), None) => self.on_result(&open, id, result, line),
            (None, Some(error)) => self.on_error(error, line),
            _neither => {
                self.fault(Class::Altered, "neither a result nor an error", line);
                Outcome::Crossed
            }
        };
        if open.is_doubled {
            self.used_again.insert(id.to_owned());
        }
        self.on_errand(&open, outcome);
        let outcome = if is_open { outcome } else { Outcome::Crossed };
        self.record.set(open.number, outcome);
    }

    /// Whether this is the answer to a second request under an id that is open.
    fn is_second_refused(&mut self, id: &str, envelope: &Envelope<'_>) -> bool {
        let Some(open) = self.open.get_mut(id).or_else(|| self.cancelled.get_mut(id)) else {
            return false;
        };
        let is_that = envelope
            .error
            .is_some_and(|error| refusal(error).reason == "id-in-use");
        if is_that && open.is_doubled {
            open.is_doubled = false;
            self.count("← refusals of a second use of an id");
            return true;
        }
        false
    }

    fn was_answered(&self, id: &str) -> bool {
        (1..=self.record.0.len() as u64).any(|number| self.id(number) == id)
    }

    fn on_result(&mut self, open: &Open, id: &str, result: &RawValue, line: &str) -> Outcome {
        self.count("← results");
        let mark = self.mark(open.number);
        let Form::Echo { before, after } = &open.form else {
            if open.form == Form::Held {
                self.fault(Class::Unexpected, "this was never to be answered", line);
            }
            return Outcome::Answered { pid: self.last_pid };
        };
        let Ok(Echoed { pid, echo }) = serde_json::from_str(result.get()) else {
            self.fault(Class::Altered, "no echo", line);
            return Outcome::Answered { pid: 0 };
        };
        let token = match after {
            None => Some(""),
            Some(after) => echo
                .get()
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str())),
        };
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_digit()));
        let echo = format!(
            "{before}{}{}",
            token.unwrap_or("?"),
            after.as_deref().unwrap_or("")
        );
        let is_ours = line.contains(&format!(r#""mark":{mark}"#)).then_some(mark);
        if !self.differs(&words::result(id, mark, pid, &echo), is_ours, line) {
            self.is_complete(open, line);
        }
        self.last_pid = pid;
        self.server.pid.store(pid, Ordering::Release);
        Outcome::Answered { pid }
    }

    /// What had to come before an answer has come.
    fn is_complete(&self, open: &Open, line: &str) {
        if open.steps_seen != open.steps {
            let what = format!("after {} of {} steps", open.steps_seen, open.steps);
            self.fault(Class::Lost, &what, line);
        }
        if let Some(touch) = &open.touches
            && touch.is_heard
            && touch.heard != 1
        {
            let class = if touch.heard == 0 {
                Class::Lost
            } else {
                Class::Duplicated
            };
            self.fault(class, &format!("{} updates before", touch.heard), line);
        }
    }

    fn on_error(&mut self, error: &RawValue, line: &str) -> Outcome {
        self.count("← errors");
        let because = refusal(error);
        let is_known = match because.reason.as_str() {
            "upstream-exited" | "still-failing" => self.server.has_crashed(),
            _other => false,
        };
        if !is_known {
            self.fault(Class::Unexpected, "an error", line);
        }
        Outcome::Refused {
            maybe_executed: because.maybe_executed,
        }
    }

    /// A line without an id was refused, as it was to be.
    fn on_refusal(&mut self, envelope: &Envelope<'_>, line: &str) {
        let is_due = envelope
            .error
            .is_some_and(|error| refusal(error).reason == "malformed");
        if is_due && self.refusals_due > 0 {
            self.refusals_due -= 1;
            self.count("← refusals of garbage");
        } else {
            self.fault(Class::Unexpected, "a response without an id", line);
        }
    }

    fn on_ask(&mut self, id: &str, params: Option<&RawValue>, line: &str) {
        self.count("← asks");
        let mark = params_of(params).mark;
        let expected = mark.map(|mark| words::ask(id, mark)).unwrap_or_default();
        if self.differs(&expected, mark, line) {
            return;
        }
        let Some(mark) = mark.filter(|mark| *mark == self.mark(mark.number)) else {
            return self.fault(Class::Misrouted, "an ask", line);
        };
        let call = self.id(mark.number);
        if !self.open.contains_key(&call) && !self.cancelled.contains_key(&call) {
            return self.fault(Class::Unexpected, "an ask of a call that is over", line);
        }
        self.pipes.say(&words::ask_answer(id, mark));
        self.count("→ answers to asks");
    }

    fn on_notification(&mut self, method: &str, params: Option<&RawValue>, line: &str) {
        let params = params_of(params);
        match method {
            "notifications/progress" => self.on_progress(&params, line),
            "notifications/resources/updated" => self.on_updated(&params, line),
            "notifications/message" if line == warning(&self.server.name) => {
                self.count(WARNINGS);
                let seen = self.counts.get(WARNINGS).copied().unwrap_or(0);
                let crashes = self.server.crashes.load(Ordering::Acquire);
                if seen > u64::from(crashes) {
                    self.fault(Class::Unexpected, "a warning and no crash", line);
                }
            }
            "notifications/message" => {
                self.count("← log messages");
                let mark = params.data.map(|data| data.mark);
                let expected = mark.map(words::log_message).unwrap_or_default();
                if !self.differs(&expected, mark, line)
                    && mark.is_none_or(|mark| mark != self.mark(mark.number))
                {
                    self.fault(Class::Misrouted, "a log message", line);
                }
            }
            "notifications/tools/list_changed" => {
                self.count("← changes of lists");
                self.list_changes += 1;
            }
            // What a server asked ends with it, though the answer may be on its way.
            "notifications/cancelled" if self.server.has_crashed() => {
                self.count("← cancellations of asks");
            }
            _other => self.fault(Class::Unexpected, "a notification", line),
        }
    }

    fn on_progress(&mut self, params: &Params<'_>, line: &str) {
        self.count("← progress");
        let token = params.token.map_or("", RawValue::get);
        let Some(open) = self
            .open
            .get_mut(token)
            .or_else(|| self.cancelled.get_mut(token))
        else {
            return self.fault(Class::Misrouted, "progress of nothing that is open", line);
        };
        open.steps_seen += 1;
        let (number, step) = (open.number, open.steps_seen);
        let expected = words::progress(token, self.mark(number), step);
        self.differs(&expected, params.mark, line);
    }

    fn on_updated(&mut self, params: &Params<'_>, line: &str) {
        self.count("← updates");
        let (Some(uri), Some(mark)) = (params.uri.as_deref(), params.mark) else {
            return self.fault(Class::Altered, "an update", line);
        };
        let expected = words::updated(uri, mark, params.pid, params.stamp);
        if expected != line {
            return self.fault(Class::Altered, &format!("not {expected}"), line);
        }
        let Some(subscription) = self.subscriptions.get_mut(uri) else {
            return self.fault(Class::Misrouted, "an update", line);
        };
        let last = subscription.last;
        subscription.last = (params.pid, params.stamp);
        let is_next = last.0 != params.pid || params.stamp == last.1 + 1;
        match subscription.stage {
            Stage::Off => self.fault(
                Class::Misrouted,
                "an update of what is not subscribed",
                line,
            ),
            Stage::On if !is_next => {
                let class = if params.stamp <= last.1 {
                    Class::Duplicated
                } else {
                    Class::Lost
                };
                self.fault(class, &format!("the last was {last:?}"), line);
            }
            Stage::Asking | Stage::On | Stage::Ending | Stage::Unsure => {}
        }
        if mark == self.mark(mark.number) {
            let id = self.id(mark.number);
            match self
                .open
                .get_mut(&id)
                .and_then(|open| open.touches.as_mut())
            {
                Some(touch) => touch.heard += 1,
                None => self.fault(Class::Unexpected, "an update of a call that is over", line),
            }
        }
    }

    /// A request that changes how we stand to a resource has its answer.
    fn on_errand(&mut self, open: &Open, outcome: Outcome) {
        let is_done = matches!(outcome, Outcome::Answered { .. });
        if let Some(uri) = &open.subject
            && let Some(subscription) = self.subscriptions.get_mut(uri)
        {
            subscription.stage = match (subscription.stage, is_done) {
                (Stage::Asking, true) => Stage::On,
                (Stage::Asking, false) | (Stage::Ending, true) => Stage::Off,
                (Stage::Ending, false) => Stage::Unsure,
                (stage @ (Stage::On | Stage::Off | Stage::Unsure), _) => stage,
            };
        }
    }
}

fn refusal(error: &RawValue) -> RefusedBecause {
    let refused: Refused = serde_json::from_str(error.get()).unwrap_or_default();
    refused.data
}

fn params_of(params: Option<&RawValue>) -> Params<'_> {
    params
        .and_then(|params| serde_json::from_str(params.get()).ok())
        .unwrap_or_default()
}

/// What the daemon itself tells those who had called a process that another one has replaced.
fn warning(server: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"warning","logger":"mcpool","data":"`{server}` was started again and may have forgotten what earlier calls did"}}}}"#
    )
}
