//! Servers that have outlived the daemon that started them, and sessions that find them again.
//!
//! **Invariant:** a process is greeted once in its life, whichever daemon it was. What it says because of a
//! call of before reaches nobody whose call that cannot have been.

use alloc::sync::Arc;
use core::time::Duration;

use wire::{Frame, Message, Method};

use crate::{
    action::{Action, Outbox},
    class::Class,
    event::{Asks, Front, Joins, Link, Opening, Record, Start},
    exchange::{Errand, Exchange, MintedId},
    fact::Fact,
    ghosts::Haunting,
    ids::{LineNumber, SessionId, UpstreamId},
    keeping::Keepsake,
    listen::Heard,
    mux::Mux,
    offers::Offer,
    private::DECLARES_TASKS,
    record::{Contents, OF_ONE_REQUEST},
    refusal::Refusal,
    routing::{ASKS_UNBOUND, RouteKey},
    session::{Initialize, Session, State as SessionState},
    upstream::{Origin, Standing, State, StopCause, Upstream},
    wishes::{level_of, uri_of},
};

impl Mux {
    /// The guardian has a process of an earlier daemon.
    pub(crate) fn on_upstream_inherited(
        &mut self,
        upstream_id: UpstreamId,
        record: &Record,
        is_ending: bool,
        out: &mut Outbox,
    ) {
        // Whatever becomes of it, nothing else is ever called so.
        self.upstreams_issued = self.upstreams_issued.max(upstream_id.0);
        let read = Contents::read(record).and_then(|contents| {
            if self.routes.contains_key(&contents.key) {
                Err("another process has the same share key")
            } else {
                Ok(contents)
            }
        });
        match read {
            Ok(mut contents) => {
                if is_ending {
                    contents.handshake = None;
                }
                self.inherit(upstream_id, contents, out);
            }
            Err(why) => {
                let upstream = upstream_id;
                out.tell(Fact::RecordUnreadable { upstream, why });
                out.act(Action::StopUpstream { upstream });
            }
        }
    }

    fn inherit(&mut self, upstream_id: UpstreamId, contents: Contents, out: &mut Outbox) {
        out.tell(Fact::UpstreamInherited {
            upstream: upstream_id,
            server: contents.server.clone(),
            sessions: contents.sessions.len(),
            is_ready: contents.handshake.is_some(),
        });
        self.inherit_findings(&contents);
        let now = self.now;
        let means = (self.epoch, self.scales.of_another());
        let opening = opening_of(&contents);
        let mut upstream = Upstream::new(
            upstream_id,
            contents.key.clone(),
            &opening,
            &self.limits,
            means,
        );
        upstream.scope = contents.scope;
        upstream.starts = contents.starts;
        upstream.program = contents.program;
        upstream.greeted_program = contents.program;
        upstream.standing = Standing::Used;
        upstream.origin = Origin::EarlierDaemon;
        upstream.private = contents.private.as_deref().map(known_reason);
        upstream.level = contents.level;
        upstream.sessions_awaited_until = now + self.limits.resume_patience;
        // Which of them have called it nobody knows any more.
        let named = contents.sessions.iter();
        for session in named.filter(|session| **session != OF_ONE_REQUEST) {
            upstream.memory.note_call(*session);
        }
        let haunting = Haunting {
            cancelled: contents.ghosts,
            abandoned: contents.sessions,
        };
        upstream.lanes.inherit(
            &haunting,
            now + self.limits.ghost_life,
            now + self.limits.abandoned_life,
        );
        self.routes.insert(contents.key, upstream_id);
        let is_ready = contents.handshake.is_some();
        upstream.handshake = contents.handshake;
        upstream.state = if is_ready {
            State::Ready { since: now }
        } else {
            // Nobody can greet it a second time, or take back that it is to end.
            State::Draining {
                cause: StopCause::Asked,
            }
        };
        self.upstreams.insert(upstream_id, upstream);
        self.touch_record(upstream_id);
        if is_ready {
            for id in &contents.asks {
                let answer = Refusal::OwnerGone.to_response(Some(id));
                Mux::tell_upstream(upstream_id, answer, out);
            }
            if let Some(listens) = &contents.listens {
                self.inherit_listening(upstream_id, listens, out);
            }
            self.idle_if_unwanted(upstream_id, out);
        } else {
            let upstream = upstream_id;
            out.act(Action::StopUpstream { upstream });
        }
    }

    /// What the earlier daemon had found of the server itself.
    fn inherit_findings(&mut self, contents: &Contents) {
        let handshake = contents.handshake.as_ref();
        let has_tasks = handshake.is_some_and(|handshake| handshake.offers.has(Offer::Tasks));
        if has_tasks || contents.private.as_deref() == Some(DECLARES_TASKS) {
            let route = contents.key.route.clone();
            self.unshareable.insert(route, DECLARES_TASKS);
        }
        if contents.is_of_one_era {
            let RouteKey { route, era, .. } = &contents.key;
            self.inherit_verdict(route.clone(), *era, contents.program);
        }
    }

    /// A server is listened to by what an earlier daemon asked it. Of two, the older one tells of changes: the other
    /// had come to take its place.
    fn inherit_listening(
        &mut self,
        upstream_id: UpstreamId,
        requests: &[MintedId],
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        for request in requests {
            let exchange = Exchange::of_errand(Errand::Listen, self.now);
            upstream.exchanges.inherit(*request, exchange);
        }
        let Some((oldest, others)) = requests.split_first() else {
            // The server had ended it, and nobody has asked again.
            return self.listen_to(upstream_id, out);
        };
        upstream.heard = Some(Heard::of_earlier_daemon(*oldest, self.now));
        for request in others {
            self.listen_no_longer(upstream_id, *request, out);
        }
    }

    /// A line of a session brought something about that still holds.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a later daemon may have kept lines that mean nothing to this one"
    )]
    pub(crate) fn reinstate(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Message::Request {
            id, method, params, ..
        } = &frame.message
        else {
            return;
        };
        match method {
            Method::Initialize => {
                let read = self.read_initialize(session_id, frame, params, id, line);
                self.reinstate_greeting(session_id, read, out);
            }
            Method::SetLevel => self.reinstate_level(session_id, line, frame, out),
            Method::ResourcesSubscribe => self.reinstate_subscription(session_id, line, frame, out),
            _unknown => {}
        }
    }

    /// The client was greeted by an earlier daemon: it is served as if it had been by this one.
    fn reinstate_greeting(
        &mut self,
        session_id: SessionId,
        (initialize, class): (Initialize, Class),
        out: &mut Outbox,
    ) {
        self.keep(session_id, initialize.line, Keepsake::Greeting, out);
        if self.refusal_of_unserved(session_id).is_some() {
            return;
        }
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let comes = session.state == SessionState::New;
        let upstream_id = match &session.state {
            SessionState::Waiting(..) | SessionState::Awaiting(_) => return,
            // It said hello again.
            SessionState::Attached(upstream_id) => *upstream_id,
            SessionState::New => {
                session.class = class;
                let Some(upstream_id) = self.upstream_for(session_id) else {
                    Mux::contradiction("a session could not be routed again", out);
                    return;
                };
                upstream_id
            }
        };
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.version.clone_from(&initialize.version);
            session.reinstated = Some(initialize.version);
        }
        self.seat(session_id, upstream_id, out);
        self.settle_reinstated(upstream_id);
        if comes {
            self.miss_memory(session_id, upstream_id, out);
        }
        self.tell_level_again(upstream_id, out);
        self.tell_missed_changes(session_id, upstream_id, out);
        self.want(upstream_id, out);
    }

    /// What reinstated sessions were answered can be told now that there is a handshake.
    pub(crate) fn settle_reinstated(&mut self, upstream_id: UpstreamId) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let Some(handshake) = &upstream.handshake else {
            return;
        };
        for session in &upstream.attached {
            if let Some(session) = self.sessions.get_mut(session)
                && let Some(asked) = session.reinstated.take()
            {
                session.version = handshake.version_for(&asked);
                session.offers = handshake.offers;
            }
        }
    }

    fn reinstate_level(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(level) = level_of(frame) else {
            return;
        };
        self.keep(session_id, line, Keepsake::Level, out);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(upstream_id) = session.upstream() else {
            return;
        };
        session.level = Some(level);
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.listeners.insert(session_id);
        }
        self.tell_level(upstream_id, out);
    }

    fn reinstate_subscription(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(uri) = uri_of(frame) else {
            return;
        };
        self.keep(session_id, line, Keepsake::Subscription(uri.clone()), out);
        let Some(upstream_id) = self.sessions.get(&session_id).and_then(Session::upstream) else {
            return;
        };
        self.tell_missed_updates(session_id, upstream_id, &uri, out);
        // A server that was taken over may have it already, and loses nothing when it hears of it again.
        self.bring_subscriptions((session_id, upstream_id), &[uri], out);
    }
}

/// What a session would have come with that made this upstream.
fn opening_of(contents: &Contents) -> Opening {
    Opening {
        server: contents.server.clone(),
        front: Front::Stdio,
        link: Link::Plain,
        refused: None,
        route: contents.key.route.clone(),
        scope: contents.scope,
        scope_reason: contents.scope_reason.clone(),
        modern_scope: None,
        workspace: contents.workspace.clone(),
        asks: Asks::Shared,
        fixed_class: None,
        idle_timeout: contents.idle_timeout,
        request_timeout: contents.request_timeout,
        request_idle_timeout: Some(contents.request_idle_timeout),
        on_restart: contents.on_restart,
        kept: None,
        found: None,
        start: Start::OnDemand,
        joins: Joins::OwnRoute,
        withheld: contents.withheld.clone(),
        resumes: true,
        waited: Duration::ZERO,
        silence_max: None,
        era: None,
        handle: None,
        rules: Arc::default(),
    }
}

/// The reason for not sharing a server, as we would say it.
pub(crate) fn known_reason(why: &str) -> &'static str {
    let known = [DECLARES_TASKS, ASKS_UNBOUND];
    known
        .into_iter()
        .find(|known| *known == why)
        .unwrap_or("an earlier daemon found that it cannot be")
}
