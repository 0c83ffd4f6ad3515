//! What a server of the legacy era asks, put to a client of the modern era (2026-07-28, multi-round-trip requests).
//!
//! Such a client is asked nothing while it waits: its request is answered with the questions, and it sends the
//! request again with the answers. Meanwhile the server is still at the first one, which is *parked* here.
//!
//! **Invariant:** a handle is good once, in the session that it was given to, and for the same request. What
//! becomes of a parked request reaches whoever comes back for it, or nobody.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Outgoing, RequestId, quoted};

use crate::{
    action::Outbox,
    class::Class,
    era::Era,
    exchange::{Claim, Kept, MintedId, Owner},
    from_session::cancellation,
    handles::{
        HANDLE_PREFIX, answers_of, brings_state, class_of, handle_of, input_required, question,
        renamed, request_of,
    },
    ids::{LineNumber, SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
    refusal::Refusal,
    scales::{Scales, Weighed},
    session::{Session, Whereabouts},
    stream::Whose,
    timers::Timer,
    wishes::log_level_of,
};

/// What a client is told that comes with a handle which is not good.
const UNKNOWN_HANDLE: Refusal = Refusal::BadParameter {
    what: "`requestState` is none that is waited for here: it was used before, or its time is over",
};

/// How often in a row a client may come back without an answer to what it is asked.
const UNANSWERED_MAX: u32 = 8;

/// All requests of a session that wait for their client to come back, by their handles as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rounds {
    #[serde(with = "crate::frozen::forms::pairs")]
    parked: BTreeMap<RequestId, Parked>,
    issued: u64,
}

/// Texts of questions, by the ids under which they are known here.
type Questions = BTreeMap<u64, Weighed<Box<str>>>;

/// A request that its client was answered with questions, and that its server is still at.
#[derive(Debug, Serialize, Deserialize)]
struct Parked {
    minted: MintedId,
    /// What the client asked, which it has to ask again.
    request: Box<str>,
    /// Questions that the client has, by the ids under which they are known here.
    asked: BTreeSet<u64>,
    /// The same, as they are put. An earlier version has frozen none.
    #[serde(default)]
    questions: Questions,
    /// How often in a row the client has come back without an answer to each of them.
    #[serde(default)]
    unanswered: u32,
    /// Questions that have come since.
    to_come: Questions,
    /// What became of the request meanwhile.
    outcome: Option<Weighed<Outgoing>>,
    until: Moment,
    /// Until when other sessions' calls may have to wait for it.
    apart_until: Option<Moment>,
}

impl Rounds {
    pub(crate) fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Those that a server is at.
    pub(crate) fn at_server(&self) -> impl Iterator<Item = MintedId> {
        let parked = self.parked.values();
        parked
            .filter(|parked| parked.outcome.is_none())
            .map(|parked| parked.minted)
    }

    /// How many questions there are that the client has not been asked yet.
    pub(crate) fn to_come(&self) -> usize {
        self.parked
            .values()
            .map(|parked| parked.to_come.len())
            .sum()
    }

    /// The one that a server is at under this id.
    fn of_minted(&mut self, minted: MintedId) -> Option<&mut Parked> {
        let mut parked = self.parked.values_mut();
        parked.find(|parked| parked.minted == minted)
    }

    /// Bytes that are held of what is asked and of what has become of them.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let of_one = |parked: &Parked| {
            let questions = parked.questions.values().chain(parked.to_come.values());
            let questions: usize = questions.map(|question| question.len()).sum();
            let outcome = parked.outcome.as_ref();
            questions + outcome.map_or(0, |outcome| outcome.len())
        };
        self.parked.values().map(of_one).sum()
    }

    pub(crate) fn weigh_again(&mut self, session: &Scales) {
        for parked in self.parked.values_mut() {
            if let Some(outcome) = &mut parked.outcome {
                outcome.hang_on(session);
            }
            let questions = parked.questions.values_mut();
            for question in questions.chain(parked.to_come.values_mut()) {
                question.hang_on(session);
            }
        }
    }

    fn next_end(&self) -> Option<Moment> {
        let parked = self.parked.values();
        parked
            .map(|parked| parked.apart_until.unwrap_or(parked.until))
            .min()
    }

    /// A question need not be answered any more.
    pub(crate) fn withdraw(&mut self, shown: u64) {
        for parked in self.parked.values_mut() {
            parked.asked.remove(&shown);
            parked.questions.remove(&shown);
            parked.to_come.remove(&shown);
        }
    }
}

impl Mux {
    /// Puts a question of its server's to a session of the modern era: to whom a call of its is answered with it.
    pub(crate) fn put_input_request(
        &mut self,
        upstream_id: UpstreamId,
        whose: Whose,
        shown: u64,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let place = (whose.session, upstream_id);
        let minted = self.call_asked_for(whose, upstream_id);
        let Some(session) = self.sessions.get(&whose.session) else {
            return;
        };
        let question = session.scales.weigh(question(frame));
        self.put_question(place, minted, (shown, question), out);
    }

    /// Puts a question with a call that is at work; there may be none by now.
    fn put_question(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: Option<MintedId>,
        (shown, question): (u64, Weighed<Box<str>>),
        out: &mut Outbox,
    ) {
        let Some(minted) = minted else {
            let refusal = Refusal::OwnerGone;
            self.end_ask(session_id, &RequestId::from(shown), &refusal, out);
            return;
        };
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        if let Some(parked) = session.rounds.of_minted(minted) {
            parked.to_come.insert(shown, question);
            return;
        }
        if session.rounds.parked.len() >= self.limits.session_in_flight {
            let refusal = Refusal::Overloaded;
            self.end_ask(session_id, &RequestId::from(shown), &refusal, out);
            return;
        }
        let questions = BTreeMap::from([(shown, question)]);
        self.park((session_id, upstream_id), minted, (questions, 0), out);
    }

    /// The call that a server asks because of: the one on whose stream it does, if that is known.
    fn call_asked_for(&self, whose: Whose, upstream_id: UpstreamId) -> Option<MintedId> {
        match whose.request {
            Some((minted, _line)) => Some(minted).filter(|it| self.is_call(upstream_id, *it)),
            None => self.call_at_work(whose.session, upstream_id),
        }
    }

    /// The oldest call of a session that its server is at, which is most likely what made it ask.
    fn call_at_work(&self, session_id: SessionId, upstream_id: UpstreamId) -> Option<MintedId> {
        let session = self.sessions.get(&session_id)?;
        let open = session
            .open
            .values()
            .filter_map(|whereabouts| match whereabouts {
                Whereabouts::Upstream(minted) => Some(*minted),
                Whereabouts::Initialize
                | Whereabouts::Held(_)
                | Whereabouts::Asking(_)
                | Whereabouts::Listening
                | Whereabouts::Subscribing => None,
            });
        let all = open.chain(session.rounds.at_server());
        all.filter(|minted| self.is_call(upstream_id, *minted))
            .min()
    }

    /// Whether a server is at a request under this id that may be answered with questions.
    fn is_call(&self, upstream_id: UpstreamId, minted: MintedId) -> bool {
        let upstream = self.upstreams.get(&upstream_id);
        let exchange = upstream.and_then(|upstream| upstream.exchanges.get(minted));
        exchange.is_some_and(|it| match &it.owner {
            Owner::Session(claim) => claim.method.is_askable() && it.is_sent(),
            Owner::Ourselves(_) => false,
        })
    }

    /// What the client of a session can be asked: in the modern era each request says that for itself.
    pub(crate) fn askable_class(&self, whose: Whose, upstream_id: UpstreamId) -> Class {
        let session_id = whose.session;
        let Some(session) = self.sessions.get(&session_id) else {
            return Class::default();
        };
        if session.era == Era::Legacy {
            return session.class;
        }
        let asked = self.call_asked_for(whose, upstream_id).and_then(|minted| {
            let exchange = self.upstreams.get(&upstream_id)?.exchanges.get(minted)?;
            match &exchange.owner {
                Owner::Session(claim) => claim.class,
                Owner::Ourselves(_) => None,
            }
        });
        asked.unwrap_or(session.class)
    }

    /// Answers a request with questions; its server stays at it.
    fn park(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        (questions, unanswered): (Questions, u32),
        out: &mut Outbox,
    ) {
        let until = self.now + self.limits.round_patience;
        let apart_until = self.now + self.limits.round_apart;
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return;
        };
        let Some(exchange) = upstream.exchanges.get_mut(minted) else {
            return;
        };
        let Owner::Session(claim) = &mut exchange.owner else {
            return;
        };
        session.rounds.issued += 1;
        let name = session.opening.handle.as_deref().unwrap_or("session");
        let handle = quoted(&format!("{HANDLE_PREFIX}{name}.{}", session.rounds.issued));
        let Some(handle) = RequestId::from_json(&handle) else {
            return;
        };
        let (id, line) = (claim.id.clone(), claim.line);
        claim.token = None;
        claim.id = handle.clone();
        // Its client has an answer: what is sent again, whatever it only reads, would get another.
        exchange.kept = Kept::Nothing;
        exchange.again = None;
        let answer = input_required(&id, &questions, &handle);
        let parked = Parked {
            minted,
            request: claim.asks.clone().unwrap_or_default(),
            asked: questions.keys().copied().collect(),
            questions,
            unanswered,
            to_come: Questions::new(),
            outcome: None,
            until,
            apart_until: Some(apart_until),
        };
        session.rounds.parked.insert(handle, parked);
        self.watch_rounds(session_id);
        self.answer(session_id, &id, line, answer, out);
    }

    /// Whether the client of a request has been answered with questions.
    pub(crate) fn is_parked(&self, claim: &Claim) -> bool {
        let session = self.sessions.get(&claim.session);
        session.is_some_and(|session| session.rounds.parked.contains_key(&claim.id))
    }

    fn watch_rounds(&mut self, session_id: SessionId) {
        let session = self.sessions.get(&session_id);
        let timer = Timer::RoundPatience(session_id);
        match session.and_then(|session| session.rounds.next_end()) {
            Some(end) => self.timers.set(timer, end),
            None => self.timers.clear(timer),
        }
    }

    /// Keeps what has become of a parked request for whoever comes back for it; says whether it was one.
    pub(crate) fn keep_outcome(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        answer: &Outgoing,
    ) -> bool {
        let session = self.sessions.get(&session_id);
        if session.is_none_or(|session| !session.rounds.parked.contains_key(id)) {
            return false;
        }
        let outcome = if self.is_crowded(answer.len()) {
            Refusal::AnswerDropped.to_response(Some(id))
        } else {
            answer.clone()
        };
        if let Some(session) = self.sessions.get_mut(&session_id)
            && let Some(parked) = session.rounds.parked.get_mut(id)
        {
            parked.outcome = Some(session.scales.weigh(outcome));
        }
        true
    }

    /// A client comes back for a request that was answered with questions; says whether it is one.
    pub(crate) fn resume_round(
        &mut self,
        session_id: SessionId,
        (id, line): (&RequestId, LineNumber),
        frame: &Frame,
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        let handle = handle_of(frame).filter(|handle| session.rounds.parked.contains_key(handle));
        let Some(handle) = handle else {
            // A modern server may call something of its own so.
            let is_refused = brings_state(frame) && self.era_of_server(session_id) == Era::Legacy;
            if is_refused {
                self.refuse(session_id, id, line, UNKNOWN_HANDLE, out);
            }
            return is_refused;
        };
        let parked = session.rounds.parked.get(&handle);
        let is_same = parked.is_some_and(|parked| parked.is_of(frame));
        let parked = is_same.then(|| session.rounds.parked.remove(&handle));
        self.watch_rounds(session_id);
        match parked.flatten() {
            Some(parked) => self.take_up(session_id, parked, (id, line), frame, out),
            None => self.refuse(session_id, id, line, UNKNOWN_HANDLE, out),
        }
        true
    }

    /// Why a request cannot go to its server with the state that it brings along: a legacy server has given none,
    /// so that it was one of our handles, or is for somebody else. It may have turned out to be one only since.
    pub(crate) fn refusal_of_state(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        frame: &Frame,
    ) -> Option<Refusal> {
        let (session, upstream) = (
            self.sessions.get(&session_id)?,
            self.upstreams.get(&upstream_id)?,
        );
        let is_bridged = (session.era, upstream.key.era) == (Era::Modern, Era::Legacy);
        (is_bridged && brings_state(frame)).then_some(UNKNOWN_HANDLE)
    }

    fn take_up(
        &mut self,
        session_id: SessionId,
        mut parked: Parked,
        (id, line): (&RequestId, LineNumber),
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let upstream_id = self.sessions.get(&session_id).and_then(Session::upstream);
        let is_open = parked.outcome.is_none();
        let claimed = upstream_id.filter(|upstream_id| {
            let place = (session_id, *upstream_id);
            is_open && self.claim_anew(place, parked.minted, (id, line), frame)
        });
        if let Some(upstream_id) = claimed {
            self.tell_level(upstream_id, out);
        }
        // Also where its call is over: the server may have asked for another call of the same client.
        let mut answers = answers_of(frame);
        let may_ask_again = claimed.is_some() && parked.unanswered < UNANSWERED_MAX;
        let mut unanswered = 0;
        for shown in parked.asked {
            let answer = answers.remove(&format!("{shown}"));
            if let Some(answer) = answer.filter(|answer| answer.starts_with('{')) {
                self.answer_input(session_id, shown, &answer, out);
            } else if may_ask_again && let Some(question) = parked.questions.remove(&shown) {
                unanswered = parked.unanswered + 1;
                parked.to_come.insert(shown, question);
            } else {
                // It was put to the client, which does not answer it: nobody else has it.
                let shown = RequestId::from(shown);
                self.end_ask(session_id, &shown, &Refusal::InputRefused, out);
            }
        }
        match (claimed, parked.outcome) {
            (Some(upstream_id), _) if !parked.to_come.is_empty() => {
                let place = (session_id, upstream_id);
                let questions = core::mem::take(&mut parked.to_come);
                self.park(place, parked.minted, (questions, unanswered), out);
            }
            (Some(_), _) => {}
            (None, Some(outcome)) => {
                let answer = renamed(&outcome, id);
                self.answer(session_id, id, line, answer, out);
            }
            (None, None) => self.refuse(session_id, id, line, UNKNOWN_HANDLE, out),
        }
        if claimed.is_none()
            && let Some(upstream_id) = upstream_id
        {
            for (shown, question) in parked.to_come {
                let minted = self.call_at_work(session_id, upstream_id);
                self.put_question((session_id, upstream_id), minted, (shown, question), out);
            }
        }
    }

    /// What was parked is claimed by the request with which its client has come back; says whether its server
    /// is still at it.
    fn claim_anew(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        (id, line): (&RequestId, LineNumber),
        frame: &Frame,
    ) -> bool {
        let Message::Request { params, .. } = &frame.message else {
            return false;
        };
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return false;
        };
        let Some(exchange) = upstream.exchanges.get_mut(minted) else {
            return false;
        };
        exchange.moved = self.now;
        if let Owner::Session(claim) = &mut exchange.owner {
            claim.id = id.clone();
            claim.line = line;
            claim.class = class_of(frame);
            claim.token = params.meta_token.as_ref().map(|(token, _)| token.clone());
        }
        upstream
            .exchanges
            .set_log_level(minted, log_level_of(frame));
        let whereabouts = Whereabouts::Upstream(minted);
        session.open.insert(id.clone(), whereabouts);
        true
    }

    /// The server has its answer.
    fn answer_input(&mut self, session_id: SessionId, shown: u64, answer: &str, out: &mut Outbox) {
        if let Some((upstream_id, asked)) = self.take_ask(session_id, &RequestId::from(shown)) {
            let words = format!(r#"{{"jsonrpc":"2.0","id":{asked},"result":{answer}}}"#);
            Mux::tell_upstream(upstream_id, Outgoing::from(words), out);
        }
    }

    /// Other sessions' calls need not wait any longer for these.
    fn let_others_in(&mut self, upstream_id: UpstreamId, calls: &[MintedId], out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        for minted in calls {
            upstream.lanes.end_apart(*minted);
        }
        if !calls.is_empty() {
            self.release(upstream_id, out);
        }
    }

    /// Clients have not come back in time.
    pub(crate) fn on_round_patience(&mut self, session_id: SessionId, out: &mut Outbox) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let upstream_id = session.upstream();
        let mut let_in = Vec::new();
        for parked in session.rounds.parked.values_mut() {
            if parked.apart_until.take_if(|until| *until <= now).is_some() {
                let_in.push(parked.minted);
            }
        }
        if let Some(upstream_id) = upstream_id {
            self.let_others_in(upstream_id, &let_in, out);
        }
        self.drop_rounds(session_id, |until| until <= now, out);
        self.watch_rounds(session_id);
        self.close_if_drained(session_id, out);
    }

    /// A client will not come back for anything.
    pub(crate) fn end_rounds(&mut self, session_id: SessionId, out: &mut Outbox) {
        self.drop_rounds(session_id, |_| true, out);
        self.watch_rounds(session_id);
    }

    /// Nobody waits any longer for those that this is true of.
    fn drop_rounds(
        &mut self,
        session_id: SessionId,
        is_over: impl Fn(Moment) -> bool,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let upstream_id = session.upstream();
        let is_over = |_: &RequestId, parked: &mut Parked| is_over(parked.until);
        let over: Vec<Parked> = session
            .rounds
            .parked
            .extract_if(.., is_over)
            .map(|(_, parked)| parked)
            .collect();
        for parked in over {
            let unanswered = parked.asked.iter().chain(parked.to_come.keys());
            for shown in unanswered.copied().collect::<Vec<u64>>() {
                let refusal = Refusal::OwnerGone;
                self.end_ask(session_id, &RequestId::from(shown), &refusal, out);
            }
            if let (Some(upstream_id), None) = (upstream_id, &parked.outcome) {
                let words = cancellation(parked.minted, "the client has not come back for it");
                self.abandon(upstream_id, parked.minted, words, out);
                self.after_exchange(upstream_id, out);
            }
        }
    }
}

impl Parked {
    /// Whether a request is the one that was parked, asked again. An earlier version has frozen what it asks
    /// without its arguments.
    fn is_of(&self, frame: &Frame) -> bool {
        let asks = request_of(frame).unwrap_or_default();
        let without_arguments = asks.rsplit_once(' ').map(|(asks, _)| asks);
        self.request == asks || without_arguments == Some(&*self.request)
    }
}
