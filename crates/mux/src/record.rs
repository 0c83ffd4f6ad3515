//! What a next daemon must know of a running process, as the guardian keeps it.
//!
//! **Invariant:** every format that was ever written can be read for ever. Members are only added, and
//! each that is added has a default.

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::BTreeSet,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wire::RequestId;

use crate::{
    action::{Action, Outbox},
    class::{Capability, Class},
    era::Era,
    event::{IdleTimeout, OnRestart, Program, Record, Route, Scope},
    exchange::MintedId,
    handshake::Handshake,
    ids::{SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
    routing::RouteKey,
    session::Session,
    timers::Timer,
    upstream::{State, Upstream},
    verbosity::Level,
};

/// The format that is written.
const FORMAT: u32 = 1;

/// Stands in a record for all sessions of one request each that have calls at work: no session has this number.
pub(crate) const OF_ONE_REQUEST: SessionId = SessionId(0);

/// The sessions of one request each that a process serves. They come and go with each request, and none of them ever
/// comes back to another daemon, so that its guardian is told only whether some of them have calls at work because of
/// which the server may ask.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Brief {
    here: BTreeSet<SessionId>,
    /// Whether that is in the record. It stays for a while when the last such call is over, as another may begin at
    /// once.
    is_told: bool,
}

impl Brief {
    /// The process has ended, and every call with it.
    pub(crate) fn lose_calls(&mut self) {
        self.is_told = false;
    }

    /// Whether this is one of them.
    #[cfg(test)]
    pub(crate) fn has(&self, session_id: SessionId) -> bool {
        self.here.contains(&session_id)
    }
}

/// What is in a record, by the meaning of it.
pub(crate) struct Contents {
    pub(crate) server: Arc<str>,
    pub(crate) key: RouteKey,
    pub(crate) scope: Scope,
    pub(crate) scope_reason: Arc<str>,
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) idle_timeout: IdleTimeout,
    /// Longest life of its requests; `None` is that of all.
    pub(crate) request_timeout: Option<Duration>,
    /// Longest time of a request without progress.
    pub(crate) request_idle_timeout: IdleTimeout,
    pub(crate) on_restart: OnRestart,
    pub(crate) withheld: Vec<Arc<str>>,
    pub(crate) starts: u64,
    /// What it was started from, if that is known.
    pub(crate) program: Option<Program>,
    /// Whether its server was found not to speak in the other era.
    pub(crate) is_of_one_era: bool,
    /// Why it serves one session only, though its scope is wider.
    pub(crate) private: Option<String>,
    /// `None` unless the process serves.
    pub(crate) handshake: Option<Handshake>,
    pub(crate) level: Option<Level>,
    /// Whose calls may be at work.
    pub(crate) sessions: Vec<SessionId>,
    /// Whose cancelled calls may be.
    pub(crate) ghosts: Vec<SessionId>,
    /// What the server has asked and has no answer to.
    pub(crate) asks: Vec<RequestId>,
    /// By which requests a server of the modern era is listened to, oldest first; `None` if that is not known.
    pub(crate) listens: Option<Vec<MintedId>>,
}

/// The same as it is written. The route holds environment values: there is no `Debug` here.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    server: String,
    /// In hexadecimal digits.
    route: String,
    #[serde(default)]
    class: Vec<String>,
    /// Whether it is spoken to as in the modern era.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    modern: bool,
    /// Whether its server does not speak in the other era.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    one_era: bool,
    /// Set when the process is for one session alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    scope: String,
    #[serde(default)]
    scope_reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    /// In milliseconds; none is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u64>,
    /// In milliseconds; none is that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_timeout: Option<u64>,
    /// In milliseconds; none is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_idle_timeout: Option<u64>,
    /// Whether the next call of a session is an error when the process is replaced.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    error_on_restart: bool,
    #[serde(default)]
    withheld: Vec<String>,
    #[serde(default = "once")]
    starts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<Program>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private: Option<String>,
    /// The result of `initialize`, to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handshake: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(default)]
    sessions: Vec<u64>,
    #[serde(default)]
    ghosts: Vec<u64>,
    /// Ids as the server wrote them.
    #[serde(default)]
    asks: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listens: Option<Vec<MintedId>>,
}

fn once() -> u64 {
    1
}

impl Mux {
    /// Takes note that the next daemon would have to know something else of an upstream.
    pub(crate) fn touch_record(&mut self, upstream: UpstreamId) {
        self.unrecorded.insert(upstream);
    }

    /// Takes note that an upstream serves a session.
    pub(crate) fn note_attached(&mut self, session_id: SessionId, upstream_id: UpstreamId) {
        let session = self.sessions.get(&session_id);
        if !session.is_some_and(Session::is_of_one_request) {
            return self.touch_record(upstream_id);
        }
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.brief.here.insert(session_id);
        }
    }

    /// Takes note that an upstream serves a session no longer.
    pub(crate) fn note_detached(&mut self, session_id: SessionId, upstream_id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.brief.here.remove(&session_id) {
            self.note_call_over(upstream_id);
        } else {
            self.touch_record(upstream_id);
        }
    }

    /// Takes note that a session has a call at an upstream which that may ask because of.
    pub(crate) fn note_call(&mut self, session_id: SessionId, upstream_id: UpstreamId) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && upstream.brief.here.contains(&session_id)
            && !mem::replace(&mut upstream.brief.is_told, true)
        {
            self.touch_record(upstream_id);
        }
    }

    /// Takes note that such a call is over.
    pub(crate) fn note_call_over(&mut self, upstream_id: UpstreamId) {
        let upstream = self.upstreams.get(&upstream_id);
        if upstream.is_some_and(|upstream| upstream.brief.is_told && !upstream.has_brief_calls()) {
            let at = self.now + self.limits.record_patience;
            self.timers.set(Timer::LastOfOneRequest(upstream_id), at);
        }
    }

    /// The last call of a session of one request is over, and another may have begun.
    pub(crate) fn on_last_of_one_request(&mut self, upstream_id: UpstreamId) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && !upstream.has_brief_calls()
            && mem::take(&mut upstream.brief.is_told)
        {
            self.touch_record(upstream_id);
        }
    }

    /// Leaves with the guardian what has changed. Called once for each event, when all else is done.
    pub(crate) fn leave_records(&mut self, out: &mut Outbox) {
        while let Some(id) = self.unrecorded.pop_first() {
            let record = self.record_of(id);
            let Some(upstream) = self.upstreams.get_mut(&id) else {
                continue;
            };
            if upstream.recorded == record {
                continue;
            }
            upstream.recorded.clone_from(&record);
            if let Some(record) = record {
                let upstream = id;
                out.act(Action::Record { upstream, record });
            }
        }
    }

    /// What the next daemon must know of an upstream now; nothing if it has no process.
    pub(crate) fn record_of(&mut self, id: UpstreamId) -> Option<Record> {
        let key = &self.upstreams.get(&id)?.key;
        let is_of_one_era = self.is_of_one_era(key);
        let upstream = self.upstreams.get_mut(&id);
        let upstream = upstream.filter(|upstream| upstream.has_process())?;
        Some(upstream.record(self.now, is_of_one_era))
    }
}

impl Upstream {
    /// Whether a session of one request has a call at work because of which the server may ask.
    fn has_brief_calls(&self) -> bool {
        let mut callers = self.lanes.callers();
        callers.any(|caller| self.brief.here.contains(&caller))
    }

    fn record(&mut self, now: Moment, is_of_one_era: bool) -> Record {
        let judged_at = self.judged_at(now);
        let haunting = self.lanes.haunting(judged_at);
        let (class, key) = (self.class(), &self.key);
        let serves = matches!(self.state, State::Ready { .. });
        let handshake = self.handshake.as_ref().filter(|_| serves);
        let handshake = handshake.and_then(|handshake| {
            let text = core::str::from_utf8(handshake.result()).ok()?;
            RawValue::from_string(text.to_owned()).ok()
        });
        let named = self.attached.difference(&self.brief.here);
        let mut sessions: Vec<SessionId> = named.copied().collect();
        sessions.extend(self.brief.is_told.then_some(OF_ONE_REQUEST));
        sessions.extend(haunting.abandoned);
        sessions.sort_unstable();
        sessions.dedup();
        let undecided = self.undecided.iter().filter_map(|ask| ask.frame.id());
        let written = Written {
            format: FORMAT,
            server: self.server.as_ref().to_owned(),
            route: to_hex(&key.route.0),
            class: class.names().into_iter().map(ToString::to_string).collect(),
            modern: key.era == Era::Modern,
            one_era: is_of_one_era,
            session: key.session.map(|session| session.0),
            scope: self.scope.name().to_owned(),
            scope_reason: self.scope_reason.as_ref().to_owned(),
            workspace: self.workspace.as_deref().map(ToOwned::to_owned),
            idle_timeout: milliseconds_of(self.idle_timeout),
            request_timeout: Some(milliseconds(self.terms.life)),
            request_idle_timeout: milliseconds_of(self.terms.idle),
            error_on_restart: self.on_restart == OnRestart::Error,
            withheld: self.withheld.iter().map(ToString::to_string).collect(),
            starts: self.starts,
            program: self.program,
            private: self.private.map(ToOwned::to_owned),
            handshake,
            level: self.level.map(|level| level.name().to_owned()),
            sessions: sessions.into_iter().map(|session| session.0).collect(),
            ghosts: haunting.cancelled.iter().map(|session| session.0).collect(),
            asks: self
                .asks
                .keys()
                .chain(undecided)
                .map(ToString::to_string)
                .collect(),
            listens: (key.era == Era::Modern).then(|| self.exchanges.lasting().collect()),
        };
        // Strings and numbers can always be written.
        Record(Bytes::from(
            serde_json::to_vec(&written).unwrap_or_default(),
        ))
    }
}

impl Record {
    /// Whether this daemon understands it: one that it does not may be of a later version.
    pub fn is_readable(&self) -> bool {
        Contents::read(self).is_ok()
    }
}

impl Contents {
    /// Reads a record, or says why it cannot be.
    pub(crate) fn read(record: &Record) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Ok(Format { format }) = serde_json::from_slice(&record.0) else {
            return Err("it is no record");
        };
        if format != FORMAT {
            return Err("its format is not known here");
        }
        let written: Written =
            serde_json::from_slice(&record.0).map_err(|_| "a member is missing or malformed")?;
        let handshake = match written.handshake {
            Some(text) => Some(
                Handshake::read(&Bytes::from(String::from(Box::<str>::from(text))))
                    .ok_or("its handshake is none")?,
            ),
            None => None,
        };
        let sessions = |ids: Vec<u64>| ids.into_iter().map(SessionId).collect();
        Ok(Contents {
            server: Arc::from(written.server),
            key: RouteKey {
                route: Route(from_hex(&written.route).ok_or("its route is malformed")?),
                class: class_of(&written.class)
                    .ok_or("it has a capability that is not known here")?,
                era: if written.modern {
                    Era::Modern
                } else {
                    Era::Legacy
                },
                session: written.session.map(SessionId),
            },
            scope: scope_of(&written.scope).ok_or("its scope is not known here")?,
            scope_reason: Arc::from(written.scope_reason),
            workspace: written.workspace.map(Arc::from),
            idle_timeout: timeout_of(written.idle_timeout),
            request_timeout: written.request_timeout.map(Duration::from_millis),
            request_idle_timeout: timeout_of(written.request_idle_timeout),
            on_restart: if written.error_on_restart {
                OnRestart::Error
            } else {
                OnRestart::Continue
            },
            withheld: written.withheld.into_iter().map(Arc::from).collect(),
            starts: written.starts,
            program: written.program,
            is_of_one_era: written.one_era,
            private: written.private,
            handshake,
            level: written.level.as_deref().and_then(Level::from_name),
            sessions: sessions(written.sessions),
            ghosts: sessions(written.ghosts),
            asks: written
                .asks
                .iter()
                .map(|id| RequestId::from_json(id).ok_or("an id in it is malformed"))
                .collect::<Result<_, _>>()?,
            listens: written.listens,
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn milliseconds_of(timeout: IdleTimeout) -> Option<u64> {
    match timeout {
        IdleTimeout::After(time) => Some(milliseconds(time)),
        IdleTimeout::Never => None,
    }
}

fn timeout_of(milliseconds: Option<u64>) -> IdleTimeout {
    milliseconds.map_or(IdleTimeout::Never, |time| {
        IdleTimeout::After(Duration::from_millis(time))
    })
}

pub(crate) fn class_of(names: &[String]) -> Option<Class> {
    let known = |name: &String| {
        let mut all = Capability::ALL.into_iter();
        all.find(|capability| capability.name() == name)
    };
    let capabilities: Vec<Capability> = names.iter().map(known).collect::<Option<_>>()?;
    Some(Class::of(capabilities))
}

fn scope_of(name: &str) -> Option<Scope> {
    let mut all = [Scope::Global, Scope::Workspace, Scope::Session].into_iter();
    all.find(|scope| scope.name() == name)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Arc<[u8]>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low);
    rest.is_empty().then(|| bytes.collect())
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    /// As format 1 was first written. These files are never changed.
    const READY: &[u8] = include_bytes!("../fixtures/record-1-ready.json");
    const STARTING: &[u8] = include_bytes!("../fixtures/record-1-starting.json");

    fn read(text: &[u8]) -> Result<Contents, &'static str> {
        Contents::read(&Record(Bytes::copy_from_slice(text)))
    }

    #[test]
    fn the_first_format_can_be_read_for_ever() {
        let ready = read(READY).unwrap();
        assert_eq!(&*ready.server, "github");
        assert_eq!(&*ready.key.route.0, b"\0github GITHUB_TOKEN=secret \xff");
        assert_eq!(
            ready.key.class,
            Class::of([Capability::Roots, Capability::ElicitationForm])
        );
        assert_eq!(ready.key.session, Some(SessionId(7)));
        assert_eq!(
            (ready.scope, &*ready.scope_reason),
            (Scope::Session, "it was asked for")
        );
        assert_eq!(ready.workspace.as_deref(), Some("/home/u/project"));
        assert_eq!(
            ready.idle_timeout,
            IdleTimeout::After(Duration::from_mins(10))
        );
        assert_eq!(ready.withheld, [Arc::from("AWS_SECRET_ACCESS_KEY")]);
        assert_eq!(
            (ready.starts, ready.private.as_deref()),
            (3, Some("it declares tasks"))
        );
        assert_eq!(ready.handshake.unwrap().version, "2025-06-18");
        assert_eq!(ready.level, Some(Level::Warning));
        assert_eq!(ready.sessions, [SessionId(7), SessionId(8)]);
        assert_eq!(ready.ghosts, [SessionId(9)]);
        let asks: Vec<_> = ready.asks.iter().map(ToString::to_string).collect();
        assert_eq!(asks, ["1", "\"a\"", "1.0"]);
        let starting = read(STARTING).unwrap();
        assert!(starting.handshake.is_none() && starting.sessions.is_empty());
        assert_eq!(
            (starting.starts, starting.idle_timeout),
            (1, IdleTimeout::Never)
        );
        assert_eq!((starting.key.session, starting.level), (None, None));
    }

    #[test]
    fn what_cannot_be_understood_whole_is_not_understood_in_part() {
        let ready = core::str::from_utf8(READY).unwrap();
        let table = [
            ("", "it is no record"),
            ("[]", "it is no record"),
            (r#"{"format":2}"#, "its format is not known here"),
            (r#"{"format":1}"#, "a member is missing or malformed"),
            (
                &ready.replace("\"roots\"", "\"telepathy\""),
                "it has a capability that is not known here",
            ),
            (
                &ready.replace("\"scope\":\"session\"", "\"scope\":\"galaxy\""),
                "its scope is not known here",
            ),
            (
                &ready.replace("\"route\":\"00", "\"route\":\"0"),
                "its route is malformed",
            ),
            (
                &ready.replace("\"1.0\"", "\"{}\""),
                "an id in it is malformed",
            ),
            (
                &ready.replace("\"protocolVersion\"", "\"version\""),
                "its handshake is none",
            ),
        ];
        for (text, why) in table {
            assert_eq!(read(text.as_bytes()).err(), Some(why), "{text}");
        }
        let added = ready.replacen('{', r#"{"future":[{}],"#, 1);
        assert!(read(added.as_bytes()).is_ok());
    }

    #[test]
    fn a_record_is_never_printed() {
        let record = Record(Bytes::from_static(READY));
        assert_eq!(
            format!("{record:?}"),
            format!("Record({} bytes)", READY.len())
        );
    }
}
