//! Which upstream serves a session: server × share key.

use serde::{Deserialize, Serialize};

use crate::{
    action::Outbox,
    class::Class,
    era::Era,
    event::{Asks, Joins, Opening, Route, Scope},
    fact::Fact,
    ids::{SessionId, UpstreamId},
    mux::Mux,
    session::{Initialize, State},
    upstream::{Standing, Upstream},
    verdict::spoken_for,
};

/// Why a server is not shared: one of the constants that say so.
pub(crate) type Reason = &'static str;

/// Why a server that asks outside of calls is not shared.
pub(crate) const ASKS_UNBOUND: Reason = "its asks are not bound to calls";

/// What must be equal for two sessions to share an upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RouteKey {
    pub(crate) route: Route,
    /// What its sessions can do; the same for all where each request says so by itself.
    pub(crate) class: Class,
    /// How its process is spoken to.
    #[serde(default)]
    pub(crate) era: Era,
    /// Set when the upstream is of one session alone.
    pub(crate) session: Option<SessionId>,
}

impl Mux {
    /// What sessions must have in common to share an upstream, but for what the core adds itself.
    pub fn route_of(&self, upstream: UpstreamId) -> Option<&Route> {
        Some(&self.upstreams.get(&upstream)?.key.route)
    }

    /// The same of what serves a session, or would.
    pub fn route_of_session(&self, session: SessionId) -> Option<&Route> {
        Some(&self.sessions.get(&session)?.opening.route)
    }

    /// The version of the protocol that a session was answered in; empty before that.
    pub fn version_of_session(&self, session: SessionId) -> Option<&str> {
        Some(&self.sessions.get(&session)?.version)
    }

    /// Finds or makes the upstream of a session that has said `initialize`, and has it wait there.
    pub(crate) fn route(
        &mut self,
        session_id: SessionId,
        initialize: Initialize,
        out: &mut Outbox,
    ) -> Option<UpstreamId> {
        let upstream = self.upstream_for(session_id)?;
        let session = self.sessions.get_mut(&session_id)?;
        session.state = State::Waiting(upstream, initialize);
        self.upstreams
            .get_mut(&upstream)?
            .waiting
            .push_back(session_id);
        out.tell(Fact::SessionRouted {
            session: session_id,
            upstream,
        });
        Some(upstream)
    }

    /// Finds or makes the upstream of a session.
    pub(crate) fn upstream_for(&mut self, session_id: SessionId) -> Option<UpstreamId> {
        match self.running_to_join(session_id) {
            Some(upstream) => Some(upstream),
            None => self.upstream_of_key(session_id),
        }
    }

    fn upstream_of_key(&mut self, session_id: SessionId) -> Option<UpstreamId> {
        self.learn_verdict(session_id);
        let session = self.sessions.get(&session_id)?;
        let opening = &session.opening;
        let era = self.era_for(opening, session.era);
        let alone = self.is_alone(opening, era);
        let key = RouteKey {
            route: opening.route.clone(),
            class: match era {
                Era::Legacy => opening.fixed_class.unwrap_or(session.class),
                Era::Modern => Class::default(),
            },
            era,
            session: alone.then_some(session_id),
        };
        if let Some(upstream) = self.routes.get(&key) {
            return Some(*upstream);
        }
        if let Some(upstream) = self.unclaimed(&key, opening) {
            self.claim(upstream, session_id);
            return Some(upstream);
        }
        self.upstreams_issued += 1;
        let id = UpstreamId(self.upstreams_issued);
        let means = (self.epoch, self.scales.of_another());
        let mut upstream = Upstream::new(id, key.clone(), opening, &self.limits, means);
        if opening.scope_in(era) != Scope::Session {
            upstream.private = match (opening.asks, self.unshareable.get(&opening.route)) {
                (_, Some(why)) => Some(*why),
                (Asks::Session, None) => Some(ASKS_UNBOUND),
                (Asks::Shared, None) => None,
            };
        }
        self.routes.insert(key, id);
        self.upstreams.insert(id, upstream);
        Some(id)
    }

    /// Attaches a session that needs no answer for it.
    pub(crate) fn seat(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.state = State::Attached(upstream_id);
        }
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.attached.insert(session_id);
            upstream.is_awaited = false;
            upstream.welcome(session_id);
        }
        self.note_attached(session_id, upstream_id);
        out.tell(Fact::SessionRouted {
            session: session_id,
            upstream: upstream_id,
        });
    }

    /// Has a session be served where it belongs by now, with what waits of it and what it was promised. No process
    /// has heard of it where it was.
    pub(crate) fn seat_elsewhere(
        &mut self,
        session_id: SessionId,
        from: UpstreamId,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&from) else {
            return;
        };
        if !upstream.attached.remove(&session_id) {
            return;
        }
        upstream.turns.remove(session_id);
        upstream.listeners.remove(&session_id);
        let has_lost = upstream.memory.forget(session_id);
        let uris = upstream.subscriptions.of(session_id);
        let awaited = upstream.subscriptions.awaited_by(session_id);
        upstream.subscriptions.release(session_id);
        self.note_detached(session_id, from);
        let Some(upstream_id) = self.upstream_for(session_id) else {
            Mux::contradiction("a session could not be routed again", out);
            return;
        };
        self.seat(session_id, upstream_id, out);
        if has_lost {
            self.miss_memory(session_id, upstream_id, out);
        }
        let (Some(session), Some(upstream)) = (
            self.sessions.get(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return;
        };
        if !session.queue.is_empty() {
            upstream.turns.queue_up(session_id);
        }
        if session.level.is_some() {
            upstream.listeners.insert(session_id);
        }
        for uri in uris {
            self.subscribe(upstream_id, &uri, session_id, out);
        }
        for uri in awaited {
            self.await_agreement((session_id, upstream_id), &uri, out);
        }
        self.tell_level(upstream_id, out);
        self.tell_missed_changes(session_id, upstream_id, out);
        self.want(upstream_id, out);
        self.release(upstream_id, out);
    }

    /// Whether each session of this kind has an upstream of its own, where that is spoken to so.
    pub(crate) fn is_alone(&self, opening: &Opening, era: Era) -> bool {
        opening.scope_in(era) == Scope::Session
            || opening.asks == Asks::Session
            || self.unshareable.contains_key(&opening.route)
    }

    /// How the server of a session is spoken to, or would be.
    pub(crate) fn era_of_server(&mut self, session_id: SessionId) -> Era {
        self.learn_verdict(session_id);
        let Some(session) = self.sessions.get(&session_id) else {
            return Era::default();
        };
        let upstream = session.upstream().and_then(|id| self.upstreams.get(&id));
        upstream.map_or_else(
            || self.era_for(&session.opening, session.era),
            |upstream| upstream.key.era,
        )
    }

    /// How the server of a session is spoken to: as the configuration says, else as the session speaks, if
    /// the server was not found to refuse that.
    pub(crate) fn era_for(&self, opening: &Opening, client: Era) -> Era {
        if let Some(fixed) = opening.era {
            return fixed;
        }
        spoken_for(client, self.refused_era(&opening.route))
    }

    /// An upstream for one session alone whose session has given up waiting for it.
    ///
    /// It has served nobody, so it is as good as a new one.
    fn unclaimed(&self, key: &RouteKey, opening: &Opening) -> Option<UpstreamId> {
        key.session?;
        let shared = RouteKey {
            session: None,
            ..key.clone()
        };
        let upstream = self.upstreams.get(self.routes.get(&shared)?)?;
        let is_free = upstream.has_folders_of(opening)
            && !upstream.is_wanted()
            && upstream.standing != Standing::Used;
        is_free.then_some(upstream.id)
    }

    /// Makes an upstream one of this session alone.
    pub(crate) fn claim(&mut self, upstream_id: UpstreamId, session_id: SessionId) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            self.routes.remove(&upstream.key);
            upstream.key.session = Some(session_id);
            self.routes.insert(upstream.key.clone(), upstream_id);
            self.touch_record(upstream_id);
        }
    }

    /// Makes an upstream whose only session has given up waiting one for whoever comes next.
    pub(crate) fn give_back(&mut self, upstream_id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.key.session.is_none() || upstream.is_wanted() {
            return;
        }
        let shared = RouteKey {
            session: None,
            ..upstream.key.clone()
        };
        if !self.routes.contains_key(&shared) {
            self.routes.remove(&upstream.key);
            upstream.key = shared.clone();
            self.routes.insert(shared, upstream_id);
            self.touch_record(upstream_id);
        }
    }

    /// The upstream that a session may join which takes any of its server's: never that of another project.
    pub(crate) fn running_to_join(&self, session_id: SessionId) -> Option<UpstreamId> {
        let opening = &self.sessions.get(&session_id)?.opening;
        // Where a server is shared only because its era has no sessions, what it is asked with may name a project.
        let is_same = |upstream: &Upstream| {
            opening.modern_scope.is_none() || upstream.key.route == opening.route
        };
        if opening.joins != Joins::AnyRunning {
            return None;
        }
        let suits = |upstream: &&Upstream| {
            upstream.server == opening.server
                && upstream.is_ready()
                && upstream.key.session.is_none()
                && upstream.private.is_none()
                && upstream.scope != Scope::Session
                && upstream.has_folders_of(opening)
                && is_same(upstream)
        };
        self.upstreams.values().find(suits).map(|it| it.id)
    }

    /// Forgets an upstream that has no process and that nobody wants.
    pub(crate) fn forget_if_over(&mut self, id: UpstreamId) {
        let is_over = self.upstreams.get(&id).is_some_and(|upstream| {
            upstream.state == crate::upstream::State::Stopped
                && !upstream.is_wanted()
                && upstream.restarting.is_empty()
        });
        if is_over && let Some(upstream) = self.upstreams.remove(&id) {
            self.routes.remove(&upstream.key);
            self.clear_timers_of(id);
            self.forget_conduct(&upstream.key.route);
        }
    }

    /// What is known of a route outlives its upstreams, unless too many are known.
    fn forget_conduct(&mut self, route: &Route) {
        if self.conduct.len() > self.limits.routes_remembered {
            self.conduct.remove(route);
        }
        if self.unshareable.len() > self.limits.routes_remembered {
            self.unshareable.remove(route);
        }
        if self.verdicts.len() > self.limits.routes_remembered {
            self.verdicts.remove(route);
        }
    }
}

impl Opening {
    /// How widely its upstream is shared, where that is spoken to so.
    pub(crate) fn scope_in(&self, era: Era) -> Scope {
        match (era, self.modern_scope) {
            (Era::Modern, Some(scope)) => scope,
            (Era::Modern, None) | (Era::Legacy, _) => self.scope,
        }
    }
}
