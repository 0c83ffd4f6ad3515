//! Whether servers tell of the resources that sessions want to hear of, and who waits for that.
//!
//! A legacy server says so when it answers `resources/subscribe`, one of the modern era when it acknowledges
//! `subscriptions/listen` (2026-07-28: the acknowledgement names what is honoured). A client that speaks as its
//! server does asks itself; for any other we ask, and it hears of no agreement that nobody has given.
//!
//! **Invariant:** whoever waits hears once that the server agrees, that it does not, or that it has not said; but
//! who unsubscribes meanwhile hears that all is done.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Method, Params, RequestId, meta_name};

use crate::{
    action::Outbox,
    answers::empty_result,
    era::Era,
    exchange::{Errand, MintedId},
    from_upstream::answer_in_era,
    ids::{LineNumber, SessionId, UpstreamId},
    keeping::Keepsake,
    listen::{Filter, Listening},
    moment::Moment,
    mux::Mux,
    refusal::Refusal,
    session::{Session, Whereabouts},
    subscribe::{Forward, Subscriptions},
    terms::Lack,
    timers::Timer,
    upstream::State as UpstreamState,
};

/// A `resources/subscribe` of a legacy client whose server is of the modern era.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscribing {
    pub(crate) line: LineNumber,
    uri: Box<str>,
    since: Moment,
}

/// What whoever waits hears.
#[derive(Clone, Copy, Debug)]
enum Word<'a> {
    Agreed,
    /// With the server's own words, if it has answered with an error.
    Refused(Option<&'a Frame>),
}

const NOT_TOLD: Refusal = Refusal::BadParameter {
    what: "`uri` is no resource of whose changes the server tells",
};

impl Mux {
    /// A client of the legacy era subscribes at a server of the modern one.
    pub(crate) fn begin_subscribing(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        (id, line): (&RequestId, LineNumber),
        uri: Box<str>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.subscriptions.want(&uri, session_id) {
            let place = (session_id, upstream_id);
            self.answer_subscribing(place, (id, line), &uri, Word::Agreed, out);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.open.insert(id.clone(), Whereabouts::Subscribing);
            let subscribing = Subscribing {
                line,
                uri: uri.clone(),
                since: self.now,
            };
            session.subscribing.insert(id.clone(), subscribing);
        }
        self.watch_agreement(session_id);
        self.ask_for(upstream_id, &[uri], out);
    }

    /// A session has been told elsewhere that it is subscribed to some resources, and waits for word of others:
    /// this server is to tell of those, and to give it.
    pub(crate) fn bring_subscriptions(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        held: &[Box<str>],
        out: &mut Outbox,
    ) {
        let session = self.sessions.get(&session_id);
        let awaited: BTreeSet<Box<str>> = session
            .into_iter()
            .flat_map(Session::awaiting)
            .map(|(uri, _)| uri.into())
            .collect();
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        for uri in held {
            upstream.subscriptions.reinstate(uri, session_id);
        }
        let (agreed, mut asked): (Vec<Box<str>>, Vec<Box<str>>) = awaited
            .into_iter()
            .partition(|uri| upstream.subscriptions.want(uri, session_id));
        asked.extend_from_slice(held);
        self.ask_for(upstream_id, &asked, out);
        for uri in agreed {
            self.tell_word((session_id, upstream_id), &uri, Word::Agreed, out);
        }
    }

    /// Asks a server to tell of resources, as far as it has not been asked. One without a process is asked when it
    /// has one.
    pub(crate) fn ask_for(&mut self, upstream_id: UpstreamId, uris: &[Box<str>], out: &mut Outbox) {
        let upstream = self.upstreams.get(&upstream_id);
        if upstream.is_some_and(|upstream| upstream.key.era == Era::Modern) {
            self.listen_to(upstream_id, out);
            return;
        }
        for uri in uris {
            let upstream = self.upstreams.get(&upstream_id);
            if !upstream.is_some_and(|upstream| upstream.subscriptions.is_unasked(uri)) {
                continue;
            }
            let method = &Method::ResourcesSubscribe;
            let asked = self.run_errand(upstream_id, Errand::Subscribe, method, ("uri", uri), out);
            if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
                && let Some(minted) = asked
            {
                upstream.subscriptions.note_errand(uri, minted);
            }
        }
    }

    /// A legacy server has answered a subscription of ours; with nothing that can be read, if there is no answer.
    pub(crate) fn on_subscribed(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        answer: Option<&Frame>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(uri) = upstream.subscriptions.take_errand(minted) else {
            return;
        };
        if answer.is_none() {
            upstream.subscriptions.may_have_agreed(&uri);
        }
        let word = match answer.map(|answer| &answer.message) {
            Some(Message::Response {
                result: Some(_), ..
            }) => Word::Agreed,
            Some(_) | None => Word::Refused(answer),
        };
        self.settle_agreement(upstream_id, &uri, word, out);
    }

    /// A server of the modern era has said of what it will tell by this request.
    pub(crate) fn on_listen_acknowledged(
        &mut self,
        upstream_id: UpstreamId,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let meta = params.meta.as_ref();
        let named = meta.and_then(|meta| frame.member(meta, meta_name::SUBSCRIPTION));
        let named = named.and_then(|named| RequestId::from_json(named.value)?.as_number());
        // Of one that another has taken the place of meanwhile nobody waits for word.
        let Some(heard) = upstream
            .heard
            .as_mut()
            .filter(|heard| named == Some(heard.request) && !heard.is_acknowledged)
        else {
            return;
        };
        heard.is_acknowledged = true;
        let honoured = Filter::in_params(frame, params).unwrap_or_default();
        let honoured: BTreeSet<Box<str>> = honoured.resource_subscriptions.into_iter().collect();
        // What it has not agreed to is not what it is listened to for.
        let uris = heard.uris.take().unwrap_or_default();
        let told = uris.iter().filter(|uri| honoured.contains(*uri));
        heard.uris = Some(told.cloned().collect());
        let before = heard.before.take();
        if let Some(before) = before {
            self.listen_no_longer(upstream_id, before.request, out);
        }
        for uri in &uris {
            let word = if honoured.contains(uri) {
                Word::Agreed
            } else {
                Word::Refused(None)
            };
            self.settle_agreement(upstream_id, uri, word, out);
        }
        self.listen_to(upstream_id, out);
    }

    /// A server of the modern era refuses to be listened to so. Where it was asked for more than it has agreed to,
    /// that may be why: of several new resources each is asked for by itself from now on, and the refusal is
    /// for nobody but those who want the one.
    pub(crate) fn on_listen_refused(
        &mut self,
        upstream_id: UpstreamId,
        uris: &[Box<str>],
        answer: &Frame,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let subscriptions = &mut upstream.subscriptions;
        let mut suspects = uris.iter().filter(|uri| !subscriptions.is_agreed(uri));
        match (suspects.next(), suspects.next()) {
            (None, _) => {}
            (Some(_), Some(_)) => subscriptions.ask_singly(),
            (Some(only), None) => {
                let only = only.clone();
                self.settle_agreement(upstream_id, &only, Word::Refused(Some(answer)), out);
            }
        }
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.heard.is_none() {
            upstream.subscriptions.doubt(uris);
        }
        // It would refuse the same again.
        if upstream.subscriptions.uris_to_ask_for() != uris {
            self.listen_to(upstream_id, out);
        }
    }

    /// A server has said whether it tells of a resource.
    fn settle_agreement(
        &mut self,
        upstream_id: UpstreamId,
        uri: &str,
        word: Word<'_>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let agrees = matches!(word, Word::Agreed);
        let judged = upstream.subscriptions.judge(uri, agrees);
        for session_id in judged.waited {
            self.tell_word((session_id, upstream_id), uri, word, out);
        }
        if judged.is_orphaned {
            self.unsubscribe(upstream_id, uri, out);
        }
    }

    /// Tells a session all that it waited for word of a resource with.
    fn tell_word(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        uri: &str,
        word: Word<'_>,
        out: &mut Outbox,
    ) {
        for (id, line) in self.take_subscribing(session_id, uri) {
            self.answer_subscribing((session_id, upstream_id), (&id, line), uri, word, out);
        }
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let mut complete: Vec<RequestId> = Vec::new();
        for (id, listening) in &mut session.listening {
            if !listening.awaited.remove(uri) {
                continue;
            }
            if !matches!(word, Word::Agreed) {
                listening.uris.remove(uri);
            }
            if listening.awaited.is_empty() {
                complete.push(id.clone());
            }
        }
        for id in complete {
            self.acknowledge(session_id, &id, out);
        }
    }

    fn answer_subscribing(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        (id, line): (&RequestId, LineNumber),
        uri: &str,
        word: Word<'_>,
        out: &mut Outbox,
    ) {
        match word {
            Word::Agreed => {
                let keepsake = Keepsake::Subscription(uri.into());
                self.answer_and_keep(session_id, (id, line), empty_result(id), keepsake, out);
            }
            Word::Refused(Some(answer)) => {
                if let Some(upstream) = self.upstreams.get(&upstream_id) {
                    let method = &Method::ResourcesSubscribe;
                    let words = answer_in_era(upstream, answer, (Era::Legacy, id), method);
                    self.answer(session_id, id, line, words, out);
                }
            }
            Word::Refused(None) => self.refuse(session_id, id, line, NOT_TOLD, out),
        }
    }

    fn take_subscribing(
        &mut self,
        session_id: SessionId,
        uri: &str,
    ) -> Vec<(RequestId, LineNumber)> {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return Vec::new();
        };
        let about_it = |_: &RequestId, it: &mut Subscribing| *it.uri == *uri;
        let taken = session.subscribing.extract_if(.., about_it);
        taken.map(|(id, it)| (id, it.line)).collect()
    }

    /// A client unsubscribes from what it has not been told yet whether it is subscribed to.
    pub(crate) fn end_subscribing(&mut self, session_id: SessionId, uri: &str, out: &mut Outbox) {
        for (id, line) in self.take_subscribing(session_id, uri) {
            self.answer_empty(session_id, &id, line, out);
        }
    }

    /// A client does not wait any longer for whether it is subscribed.
    pub(crate) fn cancel_subscribing(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(Subscribing { line, uri, .. }) = session.subscribing.remove(id) else {
            return;
        };
        session.open.remove(id);
        let still = session.subscribing.values().any(|it| it.uri == uri);
        if !still {
            self.want_no_longer(session_id, [uri], out);
        }
        self.end_unanswered(session_id, line, out);
    }

    /// Refuses what of a session waits for a server's agreement.
    pub(crate) fn refuse_awaiting(
        &mut self,
        session_id: SessionId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let subscribing = core::mem::take(&mut session.subscribing);
        let is_waiting = |_: &RequestId, it: &mut Listening| !it.awaited.is_empty();
        let listening: Vec<_> = session.listening.extract_if(.., is_waiting).collect();
        let still = session.still_wanted();
        let subscribed = subscribing.values().map(|it| it.uri.clone());
        let listened = listening.iter().flat_map(|(_, it)| it.uris.iter().cloned());
        let all: BTreeSet<Box<str>> = subscribed.chain(listened).collect();
        self.want_no_longer(session_id, all.difference(&still).cloned(), out);
        for (id, it) in subscribing {
            self.refuse(session_id, &id, it.line, refusal.clone(), out);
        }
        for (id, it) in listening {
            self.refuse(session_id, &id, it.line, refusal.clone(), out);
        }
    }

    /// A session does not want to be told of resources any more.
    pub(crate) fn want_no_longer(
        &mut self,
        session_id: SessionId,
        uris: impl IntoIterator<Item = Box<str>>,
        out: &mut Outbox,
    ) {
        let session = self.sessions.get(&session_id);
        let Some((upstream_id, era)) = session.and_then(|it| Some((it.upstream()?, it.era))) else {
            return;
        };
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let mut unwanted: Vec<Box<str>> = uris.into_iter().collect();
        // A legacy client has been told of each by itself, and takes that back by itself.
        let over = match era {
            Era::Legacy => Subscriptions::withdraw,
            Era::Modern => Subscriptions::unsubscribe,
        };
        let subscriptions = &mut upstream.subscriptions;
        unwanted.retain(|uri| over(subscriptions, uri, session_id) == Forward::Yes);
        // A server of the modern era hears what is wanted as a whole, and hears it once.
        let is_modern = upstream.key.era == Era::Modern;
        let times = if is_modern { 1 } else { unwanted.len() };
        for uri in unwanted.iter().take(times) {
            self.unsubscribe(upstream_id, uri, out);
        }
    }

    /// Sees to it that a session does not wait for ever.
    pub(crate) fn watch_agreement(&mut self, session_id: SessionId) {
        let timer = Timer::AgreementPatience(session_id);
        let asked = self.asked_since(session_id);
        let session = self.sessions.get(&session_id);
        let earliest = session.and_then(|session| session.awaiting().map(|(_, since)| since).min());
        match earliest {
            Some(since) => {
                let due = since.max(asked) + self.limits.agreement_patience;
                self.timers.set(timer, due);
            }
            None => self.timers.clear(timer),
        }
    }

    /// Since when the server of a session can have been asked: while there is no process, no time counts.
    fn asked_since(&self, session_id: SessionId) -> Moment {
        let session = self.sessions.get(&session_id);
        let upstream = session.and_then(|session| self.upstreams.get(&session.upstream()?));
        match upstream.map(|upstream| upstream.state) {
            Some(UpstreamState::Ready { since }) => since,
            Some(_) | None => self.now,
        }
    }

    /// A server has not said in time whether it tells of what a session wants to hear of.
    pub(crate) fn on_agreement_patience(&mut self, session_id: SessionId, out: &mut Outbox) {
        let patience = self.limits.agreement_patience;
        let asked = self.asked_since(session_id);
        let is_over = |since: Moment| since.max(asked) + patience <= self.now;
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let subscribing = session
            .subscribing
            .extract_if(.., |_, it| is_over(it.since));
        let subscribing: Vec<(RequestId, Subscribing)> = subscribing.collect();
        let mut over: BTreeSet<Box<str>> = subscribing
            .iter()
            .map(|(_, subscribing)| subscribing.uri.clone())
            .collect();
        let mut complete: Vec<RequestId> = Vec::new();
        for (id, listening) in &mut session.listening {
            if is_over(listening.since) && !listening.awaited.is_empty() {
                let awaited = core::mem::take(&mut listening.awaited);
                listening.uris.retain(|uri| !awaited.contains(uri));
                over.extend(awaited);
                complete.push(id.clone());
            }
        }
        let still = session.still_wanted();
        self.want_no_longer(session_id, over.difference(&still).cloned(), out);
        for (id, it) in subscribing {
            let refusal = Refusal::TookTooLong {
                after: patience,
                lack: Lack::Answer,
            };
            self.refuse(session_id, &id, it.line, refusal, out);
        }
        for id in complete {
            self.acknowledge(session_id, &id, out);
        }
        self.watch_agreement(session_id);
    }
}

impl Session {
    /// All resources that it wishes to be told of.
    fn still_wanted(&self) -> BTreeSet<Box<str>> {
        let subscribing = self.subscribing.values().map(|it| it.uri.clone());
        let listening = self
            .listening
            .values()
            .flat_map(|it| it.uris.iter().cloned());
        subscribing.chain(listening).collect()
    }

    /// Of which resources it waits for word, and since when.
    pub(crate) fn awaiting(&self) -> impl Iterator<Item = (&str, Moment)> {
        let subscribing = self.subscribing.values().map(|it| (&*it.uri, it.since));
        let listening = self.listening.values().flat_map(|it| {
            let awaited = it.awaited.iter();
            awaited.map(|uri| (&**uri, it.since))
        });
        subscribing.chain(listening)
    }
}
