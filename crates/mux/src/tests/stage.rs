//! Where transcripts are played: a core, a clock, and peers that do what the script says.

use std::{
    collections::BTreeMap,
    fmt::Write,
    format,
    string::{String, ToString},
    sync::Arc,
    time::Duration,
    vec::Vec,
};

use bytes::Bytes;
use wire::{About, Fault, Frame, Named, RequestId};

use super::{
    facts::{show_fact, time_of},
    invariants,
    opening::{opening, recalled, started},
    render::{self, Detail},
    script::{End, Happening, Saying, Script, Words, class},
};
use crate::{
    Action, AdminAsk, Epoch, Era, Event, Exit, KeptWords, Limits, LineNumber, Moment, Mux, Outbox,
    Record, Route, SessionId, Ticket, UpstreamId,
    audit::{Audit, Process},
};

/// Of so many changes of the program the books go through one: it takes them longer than the core.
const BOOKS_THAW_EVERY: u64 = 10;

/// A core with everything around it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) mux: Mux,
    pub(super) now: Moment,
    pub(super) sessions: BTreeMap<String, Part>,
    pub(super) audit: Audit,
    pub(super) epoch: Epoch,
    /// What the guardian has of each process.
    pub(super) records: BTreeMap<UpstreamId, Record>,
    pub(super) shows_records: bool,
    /// Events that the core was handed.
    events: u64,
    /// Announcements that slow sessions have not been given yet.
    announced: Vec<(SessionId, LineNumber)>,
    /// What each process was given.
    given: BTreeMap<UpstreamId, Vec<Frame>>,
    detail: Detail,
    /// What is kept of what servers said, of each route the last of each class and era.
    kept: BTreeMap<Route, Vec<(Moment, Arc<KeptWords>)>>,
    shown: Vec<String>,
    tickets: u64,
    /// Set while deadlines have passed that the core has not been told of.
    is_late: bool,
}

/// A session on the stage.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) id: SessionId,
    /// What it came with.
    pub(super) words: Words,
    lines: u64,
    is_slow: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Stage::with_limits(Limits::default())
    }
}

impl Stage {
    pub(super) fn with_limits(limits: Limits) -> Self {
        Stage {
            mux: Mux::new(limits, Epoch(0)),
            epoch: Epoch(0),
            records: BTreeMap::new(),
            shows_records: false,
            events: 0,
            now: Moment(0),
            sessions: BTreeMap::new(),
            audit: Audit::default(),
            announced: Vec::new(),
            given: BTreeMap::new(),
            detail: Detail::Short,
            kept: BTreeMap::new(),
            shown: Vec::new(),
            is_late: false,
            tickets: 0,
        }
    }

    pub(super) fn play(&mut self, script: &Script) -> String {
        let mut played = String::new();
        for line in &script.lines {
            let Some((text, happening)) = line else {
                played.push('\n');
                continue;
            };
            let step = std::panic::AssertUnwindSafe(|| self.perform(happening));
            if let Err(panic) = std::panic::catch_unwind(step) {
                std::eprintln!("{played}{text}\n    {}", self.shown.join("\n    "));
                std::panic::resume_unwind(panic);
            }
            writeln!(played, "{text}").unwrap();
            for shown in self.shown.drain(..) {
                writeln!(played, "    {shown}").unwrap();
            }
        }
        played
    }

    fn perform(&mut self, happening: &Happening) {
        match happening {
            Happening::Serves { names, words } => self.serve(names, words),
            Happening::Opens { who, words } => self.open(who, words),
            Happening::Comes { who, words } => self.come(who, words),
            Happening::Says { who, saying } => self.say(who, saying),
            Happening::Leaves(who) => self.handle(Event::SessionClosed {
                session: self.session(who),
            }),
            Happening::Ends(who) => self.handle(Event::SessionEnding {
                session: self.session(who),
            }),
            Happening::IsCut(who) => self.handle(Event::SessionCut {
                session: self.session(who),
            }),
            Happening::StopsReading(who) => self.handle(Event::SessionBlocked {
                session: self.session(who),
            }),
            Happening::ReadsOn(who) => self.handle(Event::SessionWritable {
                session: self.session(who),
            }),
            Happening::Listens { who, listens } => self.listen(who, *listens),
            Happening::Hears(who) => self.hear(who),
            Happening::Starts { who, words } => self.start(upstream(who), words),
            Happening::StartFails { who, why } => {
                let upstream = upstream(who);
                let why = why.clone();
                self.handle(Event::UpstreamStartFailed { upstream, why });
            }
            Happening::Exits {
                who,
                exit,
                unwritten,
            } => self.exit(upstream(who), *exit, unwritten),
            Happening::Complains { who, line } => self.handle(Event::UpstreamComplained {
                upstream: upstream(who),
                line: line.clone(),
            }),
            Happening::Blocks(who) => self.handle(Event::UpstreamBlocked {
                upstream: upstream(who),
            }),
            Happening::Reads(who) => self.handle(Event::UpstreamWritable {
                upstream: upstream(who),
            }),
            Happening::Passes(time) => self.pass(*time),
            Happening::PassesUnnoticed(time) => {
                self.now = self.now + *time;
                self.is_late = true;
                return;
            }
            Happening::LinksHold(bytes) => self.handle(Event::Buffered { bytes: *bytes }),
            Happening::AdminRestarts { server, patience } => {
                self.tickets += 1;
                self.handle(Event::AdminAsked {
                    ticket: Ticket(self.tickets),
                    ask: AdminAsk::Restart {
                        server: server.as_str().into(),
                        patience: *patience,
                    },
                });
            }
            Happening::Shutdown => self.handle(Event::Shutdown),
            Happening::ShowWords => self.detail = Detail::Words,
            Happening::ShowRecords => self.shows_records = true,
            Happening::Succeeds(succession) => self.succeed(succession),
        }
        if core::mem::take(&mut self.is_late) {
            self.pass(Duration::ZERO);
        }
    }

    fn listen(&mut self, who: &str, listens: bool) {
        let session = self.session(who);
        self.handle(Event::SessionListens { session, listens });
    }

    /// The announcements for a session that reads slowly have left.
    fn hear(&mut self, who: &str) {
        let heard = self.session(who);
        let (its, others) = core::mem::take(&mut self.announced)
            .into_iter()
            .partition::<Vec<_>, _>(|(session, _)| *session == heard);
        self.announced = others;
        for (session, line) in its {
            self.handle(Event::Announced { session, line });
        }
    }

    /// Whether the session is neither gone nor closed.
    pub(super) fn is_open(&self, session: SessionId) -> bool {
        self.audit.sessions().any(|(open, _)| open == session)
    }

    fn assert_clean(&mut self) {
        let violations = self.audit.take_violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    pub(super) fn session(&self, who: &str) -> SessionId {
        let part = self.sessions.get(who);
        part.unwrap_or_else(|| panic!("who is {who}?")).id
    }

    fn open(&mut self, who: &str, words: &Words) {
        let id = SessionId(self.sessions.len() as u64 + 1);
        let part = Part {
            id,
            words: words.clone(),
            lines: 0,
            is_slow: words.has("slow"),
        };
        let before = self.sessions.insert(who.to_string(), part);
        assert!(before.is_none(), "{who} is there already");
        let mut opening = opening(words);
        if words.has("lazy") {
            let kept = self.kept.get(&opening.route);
            opening.kept = Some(recalled(words, kept, self.now));
        }
        self.handle(Event::SessionOpened {
            session: id,
            opening,
        });
    }

    fn come(&mut self, who: &str, words: &Words) {
        self.open(who, words);
        let version = words.get("version").unwrap_or("2025-11-25");
        let capabilities = class(words.get("caps").unwrap_or_default()).to_json();
        self.client_line(
            who,
            &format!(
                r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities}}}}}"#
            ),
        );
    }

    fn serve(&mut self, names: &[String], words: &Words) {
        for (at, name) in names.iter().enumerate() {
            self.come(name, words);
            if at == 0 {
                let session = &self.mux.sessions[&self.session(name)];
                let upstream = session.upstream().unwrap();
                self.start(upstream, words);
                self.greet(upstream, words);
            }
        }
        self.shown.clear();
    }

    fn start(&mut self, upstream: UpstreamId, words: &Words) {
        self.handle(started(upstream, words));
    }

    fn exit(&mut self, upstream: UpstreamId, exit: Exit, unwritten: &[u64]) {
        let given = self.given.remove(&upstream).unwrap_or_default();
        let is_unwritten = |frame: &Frame| {
            let id = frame.id().and_then(RequestId::as_number);
            id.is_some_and(|id| unwritten.contains(&id))
        };
        let unwritten: Vec<Frame> = given.into_iter().filter(is_unwritten).collect();
        self.handle(Event::UpstreamExited {
            upstream,
            exit,
            unwritten,
        });
    }

    fn greet(&mut self, upstream: UpstreamId, words: &Words) {
        let version = words.get("speaks").unwrap_or("2025-11-25");
        let declared = words.get("declares").unwrap_or("tools+resources+logging");
        let declared: Vec<String> = declared
            .split('+')
            .map(|name| {
                let (name, members) = name.split_once('.').unwrap_or((name, ""));
                let members: Vec<String> = members
                    .split('.')
                    .filter(|member| !member.is_empty())
                    .map(|member| format!(r#""{member}":true"#))
                    .collect();
                format!(r#""{name}":{{{}}}"#, members.join(","))
            })
            .collect();
        let greeting = self.mux.upstreams[&upstream].exchanges.oldest();
        let (id, _) = greeting.expect("it was greeted");
        let declared = declared.join(",");
        let era = self.mux.upstreams[&upstream].key.era;
        let said = match era {
            Era::Legacy => format!(
                r#""protocolVersion":"{version}","capabilities":{{{declared}}},"serverInfo":{{"name":"echo","version":"1"}}"#
            ),
            Era::Modern => format!(
                r#""supportedVersions":["2026-07-28"],"capabilities":{{{declared}}},"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"echo","version":"1"}}}}"#
            ),
        };
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{said}}}}}"#);
        self.server_line(upstream, None, &line);
    }

    fn say(&mut self, who: &str, saying: &Saying) {
        // `u1#3` speaks on the stream of its request #3.
        let within = who.split_once('#').map(|(_, id)| id.parse().unwrap());
        let who = who.split('#').next().unwrap_or(who);
        let is_upstream = who.starts_with('u') && who[1..].parse::<u64>().is_ok();
        match saying {
            Saying::Raw(line) => {
                let detail = core::mem::replace(&mut self.detail, Detail::Raw);
                if is_upstream {
                    self.server_line(upstream(who), within, line);
                } else {
                    self.client_line(who, line);
                }
                self.detail = detail;
            }
            Saying::Message(line) if is_upstream => self.server_line(upstream(who), within, line),
            Saying::Message(line) => self.client_line(who, line),
            Saying::Greeting(words) => self.greet(upstream(who), words),
            Saying::TooLong { id, purpose, end } => {
                let fault = Fault::TooLong {
                    limit: 1000,
                    about: About {
                        named: id
                            .as_deref()
                            .and_then(RequestId::from_json)
                            .map_or(Named::Unknown, Named::One),
                        purpose: *purpose,
                    },
                };
                match (is_upstream, end) {
                    (true, End::Here) => self.server_fault(upstream(who), fault),
                    (true, End::ToCome) => panic!("that is told of clients alone"),
                    (false, End::Here) => self.client_fault(who, fault),
                    (false, End::ToCome) => self.client_overrun(who, fault),
                }
            }
        }
    }

    pub(super) fn client_line(&mut self, who: &str, text: &str) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        if let Some(frames) = Frame::parse_batch(&bytes, self.mux.limits.batch_messages) {
            let (session, line) = self.next_line(who);
            self.handle(Event::SessionBatch {
                session,
                line,
                frames,
            });
            return;
        }
        match Frame::parse(bytes) {
            Ok(frame) => {
                let (session, line) = self.next_line(who);
                self.handle(Event::SessionFrame {
                    session,
                    line,
                    frame,
                });
            }
            Err(fault) => self.client_fault(who, fault),
        }
    }

    /// As [`Stage::client_line`], with servers that start, greet and answer everything at once; says
    /// what was done.
    pub(super) fn client_line_served(&mut self, who: &str, text: &str, knows: Era) -> Vec<String> {
        self.client_line(who, text);
        let mut seen = 0;
        while let Some(shown) = self.shown.get(seen).cloned() {
            seen += 1;
            let words: Vec<&str> = shown.split([' ', ':', '#']).collect();
            match words.as_slice() {
                ["->", "start", who, ..] => self.start(upstream(who), &Words::default()),
                ["->", "stop", who] => self.exit(upstream(who), Exit::Code(0), &[]),
                ["->", who, "", "initialize", "", ..] => {
                    self.greet(upstream(who), &Words::default());
                }
                ["->", who, "", "server/discover", "", id, ..] if knows == Era::Legacy => {
                    let error = format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#
                    );
                    self.server_line(upstream(who), None, &error);
                }
                ["->", who, "", "server/discover", "", ..] => {
                    self.greet(upstream(who), &Words::default());
                }
                // It has no answer before its end.
                ["->", who, "", "subscriptions/listen", ..] if who.starts_with('u') => {}
                ["->", who, "", _method, "", id, ..] if who.starts_with('u') => {
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
                    self.server_line(upstream(who), None, &answer);
                }
                _other => {}
            }
        }
        core::mem::take(&mut self.shown)
    }

    fn client_fault(&mut self, who: &str, fault: Fault) {
        let (session, line) = self.next_line(who);
        self.handle(Event::SessionFault {
            session,
            line,
            fault,
        });
    }

    fn client_overrun(&mut self, who: &str, fault: Fault) {
        let part = &self.sessions[who];
        self.handle(Event::SessionOverrun {
            session: part.id,
            line: LineNumber(part.lines + 1),
            fault,
        });
    }

    pub(super) fn next_line(&mut self, who: &str) -> (SessionId, LineNumber) {
        let part = self.sessions.get_mut(who);
        let part = part.unwrap_or_else(|| panic!("who is {who}?"));
        part.lines += 1;
        (part.id, LineNumber(part.lines))
    }

    fn server_line(&mut self, upstream: UpstreamId, within: Option<u64>, text: &str) {
        match Frame::parse(Bytes::copy_from_slice(text.as_bytes())) {
            Ok(frame) => self.handle(Event::UpstreamFrame {
                upstream,
                frame,
                within,
            }),
            Err(fault) => self.server_fault(upstream, fault),
        }
    }

    fn server_fault(&mut self, upstream: UpstreamId, fault: Fault) {
        self.handle(Event::UpstreamFault { upstream, fault });
    }

    fn pass(&mut self, time: Duration) {
        let begin = self.now;
        let end = begin + time;
        while let Some((at, _)) = self.mux.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            let shown = self.shown.len();
            self.handle(Event::DeadlineReached);
            if self.shown.len() > shown {
                let after = self.now - begin;
                self.shown
                    .insert(shown, format!("after {}", time_of(after)));
            }
        }
        self.now = end;
    }

    /// Freezes the core, and now and then its books, and goes on with what was thawed, which must be the same.
    fn change_program(&mut self) {
        let frozen = self.mux.freeze();
        let thawed = Mux::thaw(&frozen, self.mux.limits.clone()).unwrap();
        assert_eq!(format!("{thawed:?}"), format!("{:?}", self.mux));
        let again = thawed.freeze();
        assert_eq!(String::from_utf8(again), String::from_utf8(frozen));
        self.mux = thawed;
        if self.events.is_multiple_of(BOOKS_THAW_EVERY) {
            self.rebind_books();
        }
    }

    fn rebind_books(&mut self) {
        let books = serde_json::to_string(&self.audit).unwrap();
        let thawed: Audit = serde_json::from_str(&books).unwrap();
        assert_eq!(format!("{thawed:?}"), format!("{:?}", self.audit));
        self.audit = thawed;
    }

    /// Hands the core an event, does what it wants done, and checks what must always hold.
    pub(super) fn handle(&mut self, event: Event) {
        self.events += 1;
        // In a long walk, often enough.
        if self.events < 100 || self.events.is_multiple_of(251) {
            self.change_program();
        }
        self.note_end(&event);
        let mut out = Outbox::default();
        self.audit.event(&event);
        self.mux.handle(self.now, event, &mut out);
        let (actions, facts) = out.contents();
        self.audit.outcome(actions, facts);
        self.audit.compare(&self.mux.snapshot(), &self.mux.limits);
        let mut announced = Vec::new();
        for action in out.actions() {
            if let Action::Announce { session, line } = action {
                let is_slow = self.sessions.values().any(|p| p.id == session && p.is_slow);
                if is_slow {
                    self.announced.push((session, line));
                } else {
                    announced.push((session, line));
                }
            }
            if let Action::SendToUpstream { upstream, frame } = &action {
                let frame = Frame::parse(Bytes::from(frame.to_vec())).unwrap();
                self.given.entry(*upstream).or_default().push(frame);
            }
            if let Action::Record { upstream, record } = &action {
                self.shown.extend(self.show_record(*upstream, record));
                self.records.insert(*upstream, record.clone());
                continue;
            }
            if let Action::KeepWords {
                upstream,
                class,
                era,
                words,
            } = &action
            {
                let route = self.mux.upstreams[upstream].key.route.clone();
                let kept = self.kept.entry(route).or_default();
                kept.retain(|(_, known)| (known.class, known.era) != (*class, *era));
                kept.extend(words.clone().map(|words| (self.now, words)));
            }
            let shown = self.show(&action);
            self.shown.push(shown);
        }
        for fact in out.facts() {
            self.shown.extend(show_fact(&fact));
        }
        self.assert_clean();
        invariants::check(&self.mux, &self.audit);
        if !self.is_late {
            invariants::check_settled(&mut self.mux);
        }
        for (session, line) in announced {
            self.handle(Event::Announced { session, line });
        }
    }

    fn show(&self, action: &Action) -> String {
        let name = |id: &SessionId| {
            let part = self.sessions.iter().find(|(_, part)| part.id == *id);
            part.unwrap().0.clone()
        };
        render::action(action, self.detail, name)
    }

    /// Everybody leaves and everything comes to rest: nothing may be left.
    pub(super) fn clear(&mut self) {
        let parts: Vec<SessionId> = self.sessions.values().map(|part| part.id).collect();
        for session in parts {
            if self.is_open(session) {
                self.handle(Event::SessionClosed { session });
            }
        }
        self.audit.at_rest();
        self.assert_clean();
        self.rest();
        if self
            .audit
            .processes()
            .any(|(_, process)| process != Process::None)
        {
            self.handle(Event::Shutdown);
            self.rest();
            assert!(self.mux.is_finished());
        }
        invariants::check_empty(&self.mux);
    }

    fn rest(&mut self) {
        for _ in 0..10_000 {
            let mut processes = self.audit.processes();
            let stopping = processes.find(|(_, process)| *process == Process::Stopping);
            drop(processes);
            if let Some((upstream, _)) = stopping {
                self.exit(upstream, Exit::Code(0), &[]);
            } else if let Some((at, _)) = self.mux.next_deadline() {
                self.now = self.now.max(at);
                self.handle(Event::DeadlineReached);
            } else {
                return;
            }
        }
        panic!("no rest: {:?}", self.mux.next_deadline());
    }
}

pub(super) fn upstream(who: &str) -> UpstreamId {
    let number = who.strip_prefix('u').and_then(|number| number.parse().ok());
    UpstreamId(number.unwrap_or_else(|| panic!("{who} is no upstream")))
}
