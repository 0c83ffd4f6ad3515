//! Servers, as they see themselves: what they have read, and what they say.

mod ending;
mod questions;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use mux::{Era, Event, Exit, UpstreamId};
use wire::{Frame, Message, Method};

use super::{
    judge::{Answer, Kind, Process, Seen},
    specs::{Discovery, SPECS, Speaks},
    words::{self, Asks, Hints, LEVELS, Shape, URIS},
    world::World,
};
use crate::{
    payload::{Mark, Owner},
    play::nth,
    world::Held,
};

/// A process and what it knows.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) spec: usize,
    pub(super) process: Process,
    /// Whether it does not read, and the core knows.
    pub(super) is_stalled: bool,
    /// Whether it was told to stop before it ran.
    pub(super) never_ran: bool,
    pub(super) inbox: VecDeque<Bytes>,
    /// How it was spoken to first.
    pub(super) era: Option<Era>,
    /// What it was asked first and has not answered.
    hello: Option<u64>,
    is_greeted: bool,
    pub(super) works: Vec<Work>,
    /// Its questions that are not answered, by id, with the request that they are because of.
    pub(super) asked: Vec<(String, Option<Mark>)>,
    asks_issued: u64,
    /// What it tells of.
    pub(super) topics: BTreeMap<String, bool>,
    /// Wishes of the modern era that it keeps, by id, with their filters.
    pub(super) listens: BTreeMap<u64, String>,
    /// Those that it has not acknowledged.
    pub(super) unsaid: BTreeMap<u64, String>,
}

/// Something that a server works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) minted: u64,
    /// The request of a client, if it is one.
    mark: Option<Mark>,
    pub(super) shape: Option<Shape>,
    has_token: bool,
    /// Which of the resources it subscribes to.
    pub(super) subscribes: Option<usize>,
    /// From which severity on its client wants log messages, if the request says so.
    level: Option<u8>,
}

impl Work {
    /// Whether it is one of these.
    pub(super) fn is_because_of(&self, causes: &[Mark]) -> bool {
        self.mark.is_some_and(|mark| causes.contains(&mark))
    }

    fn is_askable(&self) -> bool {
        self.shape.is_some_and(Shape::is_askable)
    }
}

impl Peer {
    pub(super) fn new(spec: usize) -> Self {
        Peer {
            spec,
            process: Process::Starting,
            is_stalled: false,
            never_ran: false,
            inbox: VecDeque::new(),
            era: None,
            hello: None,
            is_greeted: false,
            works: Vec::new(),
            asked: Vec::new(),
            asks_issued: 0,
            topics: BTreeMap::new(),
            listens: BTreeMap::new(),
            unsaid: BTreeMap::new(),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.process, Process::Running | Process::Stopping) && !self.never_ran
    }

    pub(super) fn is_running(&self) -> bool {
        self.process == Process::Running
    }

    /// Whether it waits for nothing but its own answer to what it was asked first.
    pub(super) fn is_asked_first(&self) -> bool {
        self.is_alive() && self.hello.is_some()
    }

    pub(super) fn serves(&self) -> bool {
        self.is_alive() && self.is_greeted
    }

    /// Whether it says nothing to what it was asked first.
    pub(super) fn is_silent(&self) -> bool {
        let ignores = SPECS[self.spec].speaks == Speaks::Legacy(Discovery::Ignores);
        ignores && self.era == Some(Era::Modern)
    }

    /// It is to tell of a resource, and does if it tells of that; says which it is.
    fn subscribe(&mut self, topic: String) -> Option<usize> {
        let at = URIS.iter().position(|uri| *uri == topic)?;
        self.topics.insert(topic, SPECS[self.spec].tells_of(at));
        Some(at)
    }

    /// It reads something, and remembers what it is to do about it.
    fn read(
        &mut self,
        bytes: Bytes,
        shape_of: impl Fn(Mark) -> Option<Shape>,
        mark_of: impl Fn(u64) -> Option<Mark>,
    ) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Ok(frame) = Frame::parse(bytes) else {
            return;
        };
        match &frame.message {
            Message::Request {
                id, method, params, ..
            } => {
                let minted = id.as_number().unwrap_or_default();
                if self.era.is_none() {
                    let is_modern = *method == Method::Discover;
                    self.era = Some(if is_modern { Era::Modern } else { Era::Legacy });
                    self.hello = Some(minted);
                    return;
                }
                let uri = params.uri.as_ref().and_then(|span| frame.text(span));
                let topic = uri.as_deref().unwrap_or_default().to_owned();
                let mut subscribes = None;
                #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
                match method {
                    Method::Listen => {
                        let filter = params
                            .at
                            .as_ref()
                            .and_then(|at| frame.member(at, "notifications"));
                        let filter = filter.map_or("", |filter| filter.value).to_owned();
                        self.unsaid.insert(minted, filter);
                        return;
                    }
                    Method::ResourcesSubscribe => subscribes = self.subscribe(topic),
                    Method::ResourcesUnsubscribe => drop(self.topics.insert(topic, false)),
                    _plain => {}
                }
                let mark = words::request_in(&text).or_else(|| mark_of(minted));
                let shape = match mark {
                    Some(mark) => shape_of(mark),
                    None => words::page_asked(method, &frame).map(Shape::Plain),
                };
                let level = params
                    .modern
                    .as_deref()
                    .and_then(|said| frame.text(said.log_level.as_ref()?));
                let level = level.and_then(|name| LEVELS.iter().position(|known| *known == name));
                self.works.push(Work {
                    minted,
                    mark,
                    shape,
                    has_token: params.meta_token.is_some(),
                    subscribes,
                    level: level.and_then(|at| u8::try_from(at).ok()),
                });
            }
            Message::Notification { method, params } if *method == Method::Cancelled => {
                let named = params.request_id.as_ref();
                let minted = named.and_then(|(id, _)| id.as_number()).unwrap_or(u64::MAX);
                self.listens.remove(&minted);
                self.unsaid.remove(&minted);
                let works = self.works.extract_if(.., |work| work.minted == minted);
                let marks: Vec<Option<Mark>> = works.map(|work| work.mark).collect();
                // Whoever was asked because of it has heard of that.
                self.asked
                    .retain(|(_, cause)| cause.is_none() || !marks.contains(cause));
            }
            Message::Notification { .. } => {}
            Message::Response { id, .. } => {
                let named = id.as_ref().map(ToString::to_string);
                self.asked
                    .retain(|(known, _)| Some(known) != named.as_ref());
            }
        }
    }
}

impl World {
    /// One of the processes for which it is so.
    pub(super) fn server(&self, who: u8, is_so: impl Fn(&Peer) -> bool) -> Option<UpstreamId> {
        let fitting = self.servers.iter().filter(|(_, peer)| is_so(peer));
        let fitting: Vec<UpstreamId> = fitting.map(|(id, _)| *id).collect();
        nth(&fitting, who)
    }

    pub(super) fn start(&mut self, who: u8, what: u8) -> Held {
        match self.server(who, |peer| peer.process == Process::Starting) {
            Some(id) if what % 16 == 15 => self.start_failed(id),
            Some(id) => self.started(id),
            None => Ok(()),
        }
    }

    pub(super) fn take_in(&mut self, who: u8, what: u8) {
        let id = self.server(who, |peer| {
            peer.is_alive() && !peer.is_stalled && !peer.inbox.is_empty()
        });
        let (said, servers) = (&self.judge.said, &self.judge.servers);
        let Some((id, peer)) = id.and_then(|id| Some((id, self.servers.get_mut(&id)?))) else {
            return;
        };
        self.reads += 1;
        let mark_of = |minted: u64| {
            let (_, mark) = servers.get(&id)?.given.get(&minted)?.claim?;
            Some(mark)
        };
        for _ in 0..=what % 4 {
            if let Some(bytes) = peer.inbox.pop_front() {
                peer.read(bytes, |mark| said[mark.number].shape, mark_of);
            }
        }
    }

    /// A server answers what it was asked first, in its own way.
    pub(super) fn greet(&mut self, who: u8, what: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.is_asked_first() && !peer.is_silent()) else {
            return Ok(());
        };
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let (Some(minted), Some(era)) = (peer.hello.take(), peer.era) else {
            return Ok(());
        };
        let error = |code: i32| {
            format!(r#"{{"jsonrpc":"2.0","id":{minted},"error":{{"code":{code},"message":"no"}}}}"#)
        };
        let refusal = match (SPECS[peer.spec].speaks, era) {
            (Speaks::Legacy(Discovery::Ends), Era::Modern) => {
                return self.exited(id, Exit::Code(1), usize::MAX);
            }
            (Speaks::Legacy(_), Era::Modern) => Some(error(if what.is_multiple_of(2) {
                -32601
            } else {
                -32600
            })),
            (Speaks::Modern, Era::Legacy) => Some(error(if what.is_multiple_of(2) {
                -32601
            } else {
                -32022
            })),
            _either if what % 32 == 31 => Some(error(-32603)),
            _either => None,
        };
        if let Some(refusal) = refusal {
            return self.speak(id, refusal);
        }
        peer.is_greeted = true;
        let mark = self.judge.name(Owner::Server(id), None);
        let hints = (era == Era::Modern).then(|| Hints::nth(what / 2));
        self.judge.server_greets(id, mark, hints);
        let result = words::greeting(mark, hints);
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","id":{minted},"result":{result}}}"#),
        )
    }

    pub(super) fn answer(&mut self, who: u8, what: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.serves() && !peer.works.is_empty()) else {
            return Ok(());
        };
        let insists = SPECS[self.servers[&id].spec].insists;
        let kind = match what % 8 {
            _any if insists => Kind::Questions,
            4 => Kind::Error,
            5 => Kind::NotFound,
            6 => Kind::Address,
            3 | 7 => Kind::Questions,
            _most => Kind::Result,
        };
        let which = usize::from(what / 8) % self.servers[&id].works.len();
        self.answer_one(id, which, kind, what)
    }

    /// A server answers; what it has asked because of that it no longer wants to know.
    pub(super) fn answer_one(
        &mut self,
        id: UpstreamId,
        which: usize,
        kind: Kind,
        what: u8,
    ) -> Held {
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let (work, era) = (peer.works.remove(which), peer.era.unwrap_or_default());
        let minted = work.minted;
        let Some(cause) = work.mark else {
            return self.answer_errand(id, work, kind, what);
        };
        let is_its = |(_, of): &mut (String, Option<Mark>)| *of == Some(cause);
        let asked: Vec<String> = peer
            .asked
            .extract_if(.., is_its)
            .map(|(named, _)| named)
            .collect();
        for named in asked {
            self.say_withdrawn(id, &named)?;
        }
        let shape = work.shape.unwrap_or(Shape::Ping);
        let kind = if work.subscribes.is_some_and(|at| self.refuses(id, at)) {
            Kind::Error
        } else if self.judge.may_answer(id, shape, kind) {
            kind
        } else {
            Kind::Result
        };
        let mark = match (shape, kind) {
            (Shape::Plain(at), Kind::Result) => self.page_mark(id, at, what),
            _other => self.judge.name(Owner::Server(id), Some(cause)),
        };
        let mut answer = Answer {
            minted,
            mark,
            kind,
            state: String::new(),
            asks: Vec::new(),
        };
        let outcome = match kind {
            Kind::Result if matches!(shape, Shape::Plain(_)) => {
                format!(r#""result":{}"#, self.page_text(id, shape, mark, what))
            }
            Kind::Result => {
                if let Some(at) = work.subscribes {
                    self.judge
                        .server_promises(id, &format!(r#""{}""#, URIS[at]));
                }
                self.result_of(mark, cause, era, shape)
            }
            Kind::Error | Kind::NotFound => {
                let code = if kind == Kind::NotFound {
                    -32002
                } else {
                    -32000
                };
                format!(r#""error":{{"code":{code},"message":"~{mark}~","data":"^{cause}^"}}"#)
            }
            Kind::Address => format!(
                r#""error":{{"code":-32042,"message":"go","data":{{"elicitations":[{{"mode":"url","elicitationId":"e{}","url":"https://x/~{mark}~","message":"^{cause}^"}}]}}}}"#,
                mark.number
            ),
            Kind::Questions => self.questions_of(&mut answer, cause, what),
        };
        self.judge.server_answers(id, answer);
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","id":{minted},{outcome}}}"#),
        )
    }

    fn result_of(&mut self, mark: Mark, cause: Mark, era: Era, shape: Shape) -> String {
        let content = words::content(mark, Some(cause));
        self.judge.is_worded(mark, content.clone());
        let more = match era {
            Era::Legacy => "",
            Era::Modern if shape.is_cacheable() => {
                r#","resultType":"complete","ttlMs":5,"cacheScope":"private""#
            }
            Era::Modern => r#","resultType":"complete""#,
        };
        format!(r#""result":{{{content}{more}}}"#)
    }

    /// Questions in place of an answer: up to three.
    fn questions_of(&mut self, answer: &mut Answer, cause: Mark, what: u8) -> String {
        let owner = answer.mark.owner;
        let mut questions = Vec::new();
        for at in 0..what / 8 % 4 {
            let asks = Asks::ALL[usize::from(what / 32 + at) % 4];
            let mark = self.judge.name(owner, Some(cause));
            let (name, method) = (format!("q{at}"), asks.method());
            let params = asks.params(mark, Some(cause), Era::Modern);
            questions.push(format!(
                r#""{name}":{{"method":"{method}","params":{params}}}"#
            ));
            answer.asks.push((name, mark, asks));
        }
        answer.state = format!(r#""state of {}""#, answer.mark.number);
        let words = format!(
            r#""inputRequests":{{{}}},"requestState":{}"#,
            questions.join(","),
            answer.state
        );
        self.judge.is_worded(answer.mark, words.clone());
        format!(
            r#""result":{{"resultType":"input_required","note":"~{}~",{words}}}"#,
            answer.mark
        )
    }

    pub(super) fn report(&mut self, who: u8, what: u8) -> Held {
        let reports = |work: &&Work| work.has_token && work.mark.is_some();
        let Some(id) = self.server(who, |peer| {
            peer.serves() && peer.works.iter().any(|it| reports(&it))
        }) else {
            return Ok(());
        };
        let works: Vec<Work> = self.servers[&id]
            .works
            .iter()
            .filter(reports)
            .copied()
            .collect();
        let Some(Work {
            minted,
            mark: cause,
            ..
        }) = nth(&works, what)
        else {
            return Ok(());
        };
        let mark = self.judge.name(Owner::Server(id), cause);
        let told = format!(
            r#""progress":0.10,"message":"~{mark}~"{}"#,
            words::because_of(cause)
        );
        self.judge.is_worded(mark, told.clone());
        self.judge.server_reports(id, minted, mark);
        let within = self.stream_for(id, minted);
        self.speak_within(
            id,
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{minted},{told}}}}}"#
            ),
            within,
        )
    }

    /// A server logs because of a call: one of the modern era only if the call wants that.
    pub(super) fn log(&mut self, who: u8, what: u8) -> Held {
        let level = what % 3;
        let logs = |peer: &Peer, work: &Work| {
            let is_wanted = work.level.is_some_and(|least| least <= level);
            work.is_askable() && (peer.era == Some(Era::Legacy) || is_wanted)
        };
        let Some(id) = self.server(who, |peer| {
            peer.serves() && peer.works.iter().any(|it| logs(peer, it))
        }) else {
            return Ok(());
        };
        let peer = &self.servers[&id];
        let works: Vec<Work> = peer
            .works
            .iter()
            .filter(|it| logs(peer, it))
            .copied()
            .collect();
        let work = nth(&works, what / 3);
        let cause = work.and_then(|work| work.mark);
        let within = work.and_then(|work| self.stream_for(id, work.minted));
        let mark = self.judge.name(Owner::Server(id), cause);
        let told = format!(
            r#""data":{{"mark":"~{mark}~"{}}}"#,
            words::because_of(cause)
        );
        self.judge.is_worded(mark, told.clone());
        if let Some(minted) = within {
            self.judge.server_logs(id, minted, (level, mark));
        }
        let name = LEVELS[usize::from(level)];
        self.speak_within(
            id,
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{name}",{told}}}}}"#
            ),
            within,
        )
    }

    /// The stream on which a server says what belongs to a request, if it has several.
    pub(super) fn stream_for(&self, id: UpstreamId, minted: u64) -> Option<u64> {
        let peer = self.servers.get(&id)?;
        SPECS[peer.spec].streams.then_some(minted)
    }

    /// The first of those who do not read, by place among those that run.
    pub(super) fn stalled_server(&self) -> Option<u8> {
        let mut running = self.servers.values().filter(|peer| peer.is_running());
        let at = running.position(|peer| peer.is_stalled)?;
        u8::try_from(at).ok()
    }

    /// A server ceases to read, or reads on.
    pub(super) fn stall_server(&mut self, who: u8) -> Held {
        let Some(upstream) = self.server(who, Peer::is_running) else {
            return Ok(());
        };
        let is_stalled = self.servers.get_mut(&upstream).is_some_and(|peer| {
            peer.is_stalled = !peer.is_stalled;
            peer.is_stalled
        });
        if let Some(server) = self.judge.servers.get_mut(&upstream) {
            server.is_stalled = is_stalled;
        }
        self.judge.saw(Seen::ServerStalled);
        self.handle(if is_stalled {
            Event::UpstreamBlocked { upstream }
        } else {
            Event::UpstreamWritable { upstream }
        })
    }
}
