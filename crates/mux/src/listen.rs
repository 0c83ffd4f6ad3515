//! What clients of the modern era want to be told of (`subscriptions/listen`, 2026-07-28), and how a server of
//! that era is listened to on behalf of all of its sessions.
//!
//! A client's wish is kept here and never goes to its server: the server is asked once for what all want
//! together, whichever its era is, and each client hears of its own part, named by the request that it sent.
//!
//! **Invariant:** a wish lasts until its client cancels it or goes.

use alloc::{boxed::Box, collections::BTreeSet, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Outgoing, RequestId, meta_name, quoted};

use crate::{
    action::Outbox,
    backoff::wait,
    era::Era,
    exchange::{Errand, Exchange, MintedId},
    from_session::cancellation,
    handshake::own_meta,
    ids::{LineNumber, SessionId, UpstreamId},
    lists::List,
    moment::Moment,
    mux::Mux,
    offers::{Offer, Offers},
    refusal::Refusal,
    session::{Session, Whereabouts},
    subscribe::{Forward, covers},
    timers::Timer,
};

/// What one request wants to be told of, as far as its server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listening {
    line: LineNumber,
    lists: BTreeSet<List>,
    uris: BTreeSet<Box<str>>,
}

/// How a server is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    request: MintedId,
    uris: Vec<Box<str>>,
    #[serde(default)]
    since: Moment,
}

/// What became of a request by which a server was listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    /// The server has ended it.
    Ended,
    /// The server has refused it.
    Refused,
}

/// The filter of a request.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<Box<str>>,
}

impl Filter {
    fn of(frame: &Frame) -> Option<Self> {
        let Message::Request { params, .. } = &frame.message else {
            return None;
        };
        let filter = frame.member(params.at.as_ref()?, "notifications")?;
        serde_json::from_str(filter.value).ok()
    }

    /// What of it such a server tells.
    fn honoured(self, line: LineNumber, offers: Offers) -> Listening {
        let wanted = [
            (List::Tools, self.tools_list_changed),
            (List::Prompts, self.prompts_list_changed),
            (List::Resources, self.resources_list_changed),
        ];
        let lists = wanted
            .into_iter()
            .filter(|(list, is_wanted)| *is_wanted && offers.has(list.offer()));
        let uris = self.resource_subscriptions.into_iter();
        Listening {
            line,
            lists: lists.map(|(list, _)| list).collect(),
            uris: uris.filter(|_| offers.has(Offer::Subscriptions)).collect(),
        }
    }
}

/// Lists and resources as a filter names them.
fn filter_of(lists: impl Iterator<Item = List>, uris: &[&str]) -> String {
    let mut members: Vec<String> = lists
        .map(|list| format!(r#""{}":true"#, list.in_filter()))
        .collect();
    if !uris.is_empty() {
        let uris: Vec<String> = uris.iter().map(|uri| quoted(uri)).collect();
        members.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

fn named(id: &RequestId) -> String {
    format!(r#"{{"{}":{id}}}"#, meta_name::SUBSCRIPTION)
}

impl Listening {
    /// The first that whoever sent the request hears: what of it will be told.
    fn acknowledgement(&self, id: &RequestId) -> Outgoing {
        let uris: Vec<&str> = self.uris.iter().map(|uri| &**uri).collect();
        let filter = filter_of(self.lists.iter().copied(), &uris);
        let meta = named(id);
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{meta},"notifications":{filter}}}}}"#
        ))
    }

    fn wants(&self, uri: &str) -> bool {
        self.uris.iter().any(|whole| covers(whole, uri))
    }
}

/// The end of a wish that nobody has cancelled.
fn ended(id: &RequestId) -> Outgoing {
    let meta = named(id);
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{meta}}}}}"#
    ))
}

impl Mux {
    /// A session that is served wants to be told of something.
    pub(crate) fn begin_listening(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        (id, line): (&RequestId, LineNumber),
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get(&upstream_id),
        ) else {
            return;
        };
        let offers = upstream.handshake.as_ref().map(|said| said.offers);
        let Some(filter) = Filter::of(frame) else {
            let refusal = Refusal::BadParameter {
                what: "`notifications` must say what is to be told",
            };
            self.refuse(session_id, id, line, refusal, out);
            return;
        };
        let listening = filter.honoured(line, offers.unwrap_or_default());
        let held: usize = session.listening.values().map(|it| it.uris.len() + 1).sum();
        if held + listening.uris.len() >= self.limits.subscriptions {
            self.refuse(session_id, id, line, Refusal::Overloaded, out);
            return;
        }
        if session.is_ending {
            // It waited for its server, and would last for as long as the session, which is over.
            self.answer(session_id, id, line, ended(id), out);
            return;
        }
        session.open.insert(id.clone(), Whereabouts::Listening);
        session.listening.insert(id.clone(), listening.clone());
        let acknowledgement = listening.acknowledgement(id);
        self.tell_with(session_id, Some(line), acknowledgement, out);
        let new: Vec<Box<str>> = listening
            .uris
            .iter()
            .filter(|uri| {
                let upstream = self.upstreams.get_mut(&upstream_id);
                upstream.is_some_and(|upstream| {
                    upstream.subscriptions.reinstate(uri, session_id) == Forward::Yes
                })
            })
            .cloned()
            .collect();
        let method = &wire::Method::ResourcesSubscribe;
        self.tell_wanted(upstream_id, (Errand::Subscribe, method), &new, out);
        if !listening.uris.is_empty() {
            // Without a process nobody watches a resource.
            self.want(upstream_id, out);
        }
    }

    /// Sees to it that a server tells of changes of a resource.
    pub(crate) fn subscribe(
        &mut self,
        upstream_id: UpstreamId,
        uri: &str,
        session_id: SessionId,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.subscriptions.reinstate(uri, session_id) == Forward::Yes {
            self.run_errand(
                upstream_id,
                Errand::Subscribe,
                &wire::Method::ResourcesSubscribe,
                ("uri", uri),
                out,
            );
        }
    }

    /// A client need not be told any longer.
    pub(crate) fn cancel_listening(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(listening) = session.listening.remove(id) else {
            return;
        };
        session.open.remove(id);
        self.stop_listening(session_id, &listening, out);
        self.end_unanswered(session_id, listening.line, out);
    }

    /// Ends all that a session wants to be told of, and says so.
    pub(crate) fn end_listening(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let all = core::mem::take(&mut session.listening);
        for (id, listening) in all {
            self.stop_listening(session_id, &listening, out);
            self.answer(session_id, &id, listening.line, ended(&id), out);
        }
    }

    fn stop_listening(&mut self, session_id: SessionId, listening: &Listening, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let Some(upstream_id) = session.upstream() else {
            return;
        };
        let still = |uri: &str| session.listening.values().any(|it| it.uris.contains(uri));
        let over: Vec<Box<str>> = listening
            .uris
            .iter()
            .filter(|uri| !still(uri))
            .cloned()
            .collect();
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let mut unwanted = over;
        unwanted.retain(|uri| upstream.subscriptions.unsubscribe(uri, session_id) == Forward::Yes);
        let method = &wire::Method::ResourcesUnsubscribe;
        self.tell_wanted(upstream_id, (Errand::Unsubscribe, method), &unwanted, out);
    }

    /// Tells a server of which resources it is to tell, or no longer: one of the modern era hears what is wanted
    /// as a whole, and hears it once.
    fn tell_wanted(
        &mut self,
        upstream_id: UpstreamId,
        (errand, method): (Errand, &wire::Method),
        uris: &[Box<str>],
        out: &mut Outbox,
    ) {
        let upstream = self.upstreams.get(&upstream_id);
        let is_modern = upstream.is_some_and(|upstream| upstream.key.era == Era::Modern);
        let times = if is_modern { 1 } else { uris.len() };
        for uri in uris.iter().take(times) {
            self.run_errand(upstream_id, errand, method, ("uri", uri), out);
        }
    }

    /// Tells a session of the modern era that a list has changed, as often as it asked for that.
    pub(crate) fn tell_listening(&self, session: &Session, list: List, out: &mut Outbox) {
        for (id, listening) in &session.listening {
            if listening.lists.contains(&list) {
                let meta = named(id);
                let notification = list.notification();
                let frame = Outgoing::from(format!(
                    r#"{{"jsonrpc":"2.0","method":"{notification}","params":{{"_meta":{meta}}}}}"#
                ));
                self.tell_with(session.id, Some(listening.line), frame, out);
            }
        }
    }

    /// Tells a session that a resource has changed, as often as it asked for that.
    pub(crate) fn tell_updated(
        &self,
        session_id: SessionId,
        uri: &str,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        for (id, listening) in &session.listening {
            if listening.wants(uri) {
                let words = with_meta(frame, Some(&named(id)));
                self.tell_with(session_id, Some(listening.line), words, out);
            }
        }
    }

    /// Asks a server of the modern era for all that its sessions may want to be told, in place of what it
    /// was asked for before.
    pub(crate) fn listen_to(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(handshake) = upstream.handshake.as_ref().filter(|_| upstream.is_ready()) else {
            return;
        };
        let uris = upstream.subscriptions.uris();
        if upstream
            .heard
            .as_ref()
            .is_some_and(|heard| heard.uris == uris)
        {
            return;
        }
        self.timers.clear(Timer::Listen(upstream_id));
        let offers = handshake.offers;
        let lists: Vec<List> = List::ALL
            .into_iter()
            .filter(|list| offers.has(list.offer()))
            .collect();
        let before = upstream.heard.take();
        if !lists.is_empty() || !uris.is_empty() {
            let exchange = Exchange::of_errand(Errand::Listen, self.now);
            let request = upstream.exchanges.open(exchange);
            let names: Vec<&str> = uris.iter().map(|uri| &**uri).collect();
            let filter = filter_of(lists.into_iter(), &names);
            let meta = own_meta();
            let words = format!(
                r#"{{"jsonrpc":"2.0","id":{request},"method":"subscriptions/listen","params":{{"_meta":{meta},"notifications":{filter}}}}}"#
            );
            upstream.heard = Some(Heard {
                request,
                uris,
                since: self.now,
            });
            Mux::tell_upstream(upstream_id, Outgoing::from(words), out);
        }
        if let Some(before) = before
            && let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && upstream.exchanges.close(before.request).is_some()
        {
            let words = cancellation(before.request, "another has taken its place");
            Mux::tell_upstream(upstream_id, words, out);
        }
    }

    /// A server tells nothing more by this request. One that has ended it is listened to again, after a rest that
    /// grows while it goes on so. What sessions want to be told of lasts.
    pub(crate) fn on_unheard(&mut self, upstream_id: UpstreamId, request: MintedId, how: Unheard) {
        let now = self.now;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(heard) = upstream.heard.take_if(|heard| heard.request == request) else {
            return;
        };
        if how == Unheard::Refused {
            return;
        }
        if now - heard.since >= self.limits.good_service {
            upstream.unheard_in_a_row = 0;
        }
        upstream.unheard_in_a_row = upstream.unheard_in_a_row.saturating_add(1);
        let rest = wait(upstream.unheard_in_a_row, &self.limits, upstream_id.0);
        self.timers.set(Timer::Listen(upstream_id), now + rest);
    }

    /// A server of the modern era says itself that it tells nothing more by a request of ours; says whether it was
    /// that.
    pub(crate) fn take_end_of_listening(
        &mut self,
        upstream_id: UpstreamId,
        request: &RequestId,
    ) -> bool {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return false;
        };
        let heard = upstream.heard.as_ref().map(|heard| heard.request);
        let Some(request) = heard.filter(|heard| request.as_number() == Some(*heard)) else {
            return false;
        };
        upstream.exchanges.close(request);
        self.on_unheard(upstream_id, request, Unheard::Ended);
        true
    }
}

/// A notification with another `_meta`, or with none.
pub(crate) fn with_meta(frame: &Frame, meta: Option<&str>) -> Outgoing {
    let Message::Notification { params, .. } = &frame.message else {
        return frame.unchanged();
    };
    let Some(place) = &params.at else {
        return frame.unchanged();
    };
    let with: Vec<(&str, &str)> = meta.map(|meta| ("_meta", meta)).into_iter().collect();
    match frame.edited(place, &["_meta"], &with) {
        Some(edited) => frame.rewrite(&mut [(place.clone(), edited.as_bytes())]),
        None => frame.unchanged(),
    }
}

impl List {
    /// What it is called in a filter.
    fn in_filter(self) -> &'static str {
        match self {
            List::Tools => "toolsListChanged",
            List::Prompts => "promptsListChanged",
            List::Resources => "resourcesListChanged",
        }
    }
}
