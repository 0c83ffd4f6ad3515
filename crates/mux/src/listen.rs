//! What clients of the modern era want to be told of (`subscriptions/listen`, 2026-07-28), and how a server of
//! that era is listened to on behalf of all of its sessions.
//!
//! A client's wish is kept here and never goes to its server: the server is asked once for what all want
//! together, whichever its era is, and each client hears of its own part, named by the request that it sent.
//!
//! **Invariant:** a wish lasts until its client cancels it or goes.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Outgoing, Params, RequestId, meta_name, quoted};

use crate::{
    action::Outbox,
    backoff::wait,
    exchange::{Errand, Exchange, MintedId},
    from_session::cancellation,
    handshake::own_meta,
    ids::{LineNumber, SessionId, UpstreamId},
    lists::List,
    moment::Moment,
    mux::Mux,
    offers::{Offer, Offers},
    refusal::Refusal,
    session::Whereabouts,
    subscribe::covers,
    timers::Timer,
    upstream::Upstream,
};

/// The most bytes that the name of a part may have beside that of its whole, to be kept.
const PART_NAME_MAX: usize = 1 << 10;

/// What one request wants to be told of, as far as its server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) line: LineNumber,
    lists: BTreeSet<List>,
    pub(crate) uris: BTreeSet<Box<str>>,
    /// Those of which its server has not said whether it tells of them. It is acknowledged when there are none.
    #[serde(default)]
    pub(crate) awaited: BTreeSet<Box<str>>,
    #[serde(default)]
    pub(crate) since: Moment,
    /// Lists that have changed before it was acknowledged. That is told behind.
    #[serde(default)]
    missed: BTreeSet<List>,
    /// Of the resources that it names, those that have changed before it was acknowledged, each with the part of it
    /// that has.
    #[serde(default)]
    missed_updates: BTreeMap<Box<str>, Box<str>>,
}

/// How a server is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) request: MintedId,
    /// `None`: an earlier daemon asked, and for what is not known.
    pub(crate) uris: Option<Vec<Box<str>>>,
    #[serde(default)]
    since: Moment,
    /// What an earlier program has asked for counts as acknowledged.
    #[serde(default = "always")]
    pub(crate) is_acknowledged: bool,
    /// The one that tells of changes until this one is acknowledged.
    #[serde(default)]
    pub(crate) before: Option<Box<Heard>>,
}

fn always() -> bool {
    true
}

impl Heard {
    /// What an earlier daemon asked for counts as acknowledged, and tells of changes until this one has asked.
    pub(crate) fn of_earlier_daemon(request: MintedId, now: Moment) -> Self {
        Heard {
            request,
            uris: None,
            since: now,
            is_acknowledged: true,
            before: None,
        }
    }
}

/// What became of a request by which a server was listened to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unheard<'a> {
    /// The server has ended it.
    Ended,
    /// The server has refused it, in these words.
    Refused(&'a Frame),
}

/// The filter of a request.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    pub(crate) resource_subscriptions: Vec<Box<str>>,
}

impl Filter {
    fn of(frame: &Frame) -> Option<Self> {
        let Message::Request { params, .. } = &frame.message else {
            return None;
        };
        Filter::in_params(frame, params)
    }

    pub(crate) fn in_params(frame: &Frame, params: &Params) -> Option<Self> {
        let filter = frame.member(params.at.as_ref()?, "notifications")?;
        serde_json::from_str(filter.value).ok()
    }

    /// What of it such a server tells.
    fn honoured(self, line: LineNumber, offers: Offers, now: Moment) -> Listening {
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
            awaited: BTreeSet::new(),
            since: now,
            missed: BTreeSet::new(),
            missed_updates: BTreeMap::new(),
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

    /// Whether it has been acknowledged: nothing is told before that.
    fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    fn wants(&self, uri: &str) -> bool {
        self.uris.iter().any(|whole| covers(whole, uri))
    }

    /// A resource has changed that may be told when it is acknowledged. Where several parts of a resource have, or
    /// one whose name is long, the resource itself is told: it is no more than the wish names, in number and in bytes.
    fn miss(&mut self, uri: &str) {
        for whole in self.uris.iter().filter(|whole| covers(whole, uri)) {
            miss_part(&mut self.missed_updates, whole, uri);
        }
    }

    /// Its session comes back to a process that has told of changes meanwhile.
    fn miss_all(&mut self, upstream: &Upstream) {
        let lists = self.lists.iter();
        let changed = lists.filter(|list| upstream.may_have_changed(**list));
        self.missed.extend(changed);
        for whole in &self.uris {
            for uri in upstream.missed.of(whole) {
                miss_part(&mut self.missed_updates, whole, uri);
            }
        }
    }

    /// What has changed meanwhile of what it is told of, now that it is acknowledged.
    fn take_missed(&mut self) -> (BTreeSet<List>, BTreeSet<Box<str>>) {
        let updates = core::mem::take(&mut self.missed_updates).into_iter();
        let told = updates.filter(|(whole, _)| self.uris.contains(whole));
        let told = told.map(|(_, part)| part).collect();
        (core::mem::take(&mut self.missed), told)
    }
}

/// A part of a resource has changed, or the resource itself.
fn miss_part(missed: &mut BTreeMap<Box<str>, Box<str>>, whole: &str, uri: &str) {
    let is_long = uri.len() > whole.len() + PART_NAME_MAX;
    let missed = missed.entry(whole.into());
    let missed = missed.or_insert_with(|| if is_long { whole } else { uri }.into());
    if **missed != *uri {
        *missed = whole.into();
    }
}

/// That a list has changed, for who has wished to be told.
fn change_for(list: List, id: &RequestId) -> Outgoing {
    let (meta, notification) = (named(id), list.notification());
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","method":"{notification}","params":{{"_meta":{meta}}}}}"#
    ))
}

/// The same of a resource.
fn update_for(uri: &str, id: &RequestId) -> Outgoing {
    let (meta, uri) = (named(id), quoted(uri));
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{meta},"uri":{uri}}}}}"#
    ))
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
            self.upstreams.get_mut(&upstream_id),
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
        let mut listening = filter.honoured(line, offers.unwrap_or_default(), self.now);
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
        if session.is_replayed() {
            listening.miss_all(upstream);
        }
        for uri in &listening.uris {
            if !upstream.subscriptions.want(uri, session_id) {
                listening.awaited.insert(uri.clone());
            }
        }
        let awaited: Vec<Box<str>> = listening.awaited.iter().cloned().collect();
        session.open.insert(id.clone(), Whereabouts::Listening);
        session.listening.insert(id.clone(), listening.clone());
        if awaited.is_empty() {
            self.acknowledge(session_id, id, out);
        } else {
            self.watch_agreement(session_id);
            self.ask_for(upstream_id, &awaited, out);
        }
        if !listening.uris.is_empty() {
            // Without a process nobody watches a resource.
            self.want(upstream_id, out);
        }
    }

    /// Tells a session what of a wish of its will be told, and what it has missed.
    pub(crate) fn acknowledge(&mut self, session_id: SessionId, id: &RequestId, out: &mut Outbox) {
        let session = self.sessions.get_mut(&session_id);
        let Some(listening) = session.and_then(|session| session.listening.get_mut(id)) else {
            return;
        };
        let (line, words) = (listening.line, listening.acknowledgement(id));
        let (lists, updates) = listening.take_missed();
        self.tell_with(session_id, Some(line), words, out);
        for list in lists {
            self.tell_with(session_id, Some(line), change_for(list, id), out);
        }
        for uri in updates {
            self.tell_with(session_id, Some(line), update_for(&uri, id), out);
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
        let still = |uri: &str| session.listening.values().any(|it| it.uris.contains(uri));
        let over: Vec<Box<str>> = listening
            .uris
            .iter()
            .filter(|uri| !still(uri))
            .cloned()
            .collect();
        self.want_no_longer(session_id, over, out);
    }

    /// Tells a session of the modern era that a list has changed, as often as it asked for that.
    pub(crate) fn tell_listening(&mut self, session_id: SessionId, list: List, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let mut told = Vec::new();
        for (id, listening) in &mut session.listening {
            if !listening.lists.contains(&list) {
                continue;
            }
            if listening.is_complete() {
                told.push((listening.line, change_for(list, id)));
            } else {
                listening.missed.insert(list);
            }
        }
        for (line, words) in told {
            self.tell_with(session_id, Some(line), words, out);
        }
    }

    /// Tells a session that a resource has changed, as often as it asked for that; what is not acknowledged keeps it.
    pub(crate) fn tell_updated(
        &mut self,
        session_id: SessionId,
        uri: &str,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let mut told = Vec::new();
        for (id, listening) in &mut session.listening {
            if !listening.is_complete() {
                listening.miss(uri);
            } else if listening.wants(uri) {
                told.push((listening.line, with_meta(frame, Some(&named(id)))));
            }
        }
        for (line, words) in told {
            self.tell_with(session_id, Some(line), words, out);
        }
    }

    /// Asks a server of the modern era for all that its sessions may want to be told, in place of what it
    /// was asked for before.
    pub(crate) fn listen_to(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let said = upstream.handshake.as_ref().filter(|_| upstream.is_ready());
        let Some(offers) = said.map(|said| said.offers) else {
            return;
        };
        let uris = upstream.subscriptions.uris_to_ask_for();
        let heard = upstream.heard.as_ref();
        if heard.is_some_and(|heard| heard.uris.as_ref() == Some(&uris)) {
            return;
        }
        // What comes to be wanted while it may still acknowledge the last is asked for together.
        if let Some(heard) = upstream.heard.as_ref().filter(|it| !it.is_acknowledged) {
            let until = heard.since + self.limits.listen_patience;
            if self.now < until {
                self.timers.set(Timer::Listen(upstream_id), until);
                return;
            }
        }
        self.timers.clear(Timer::Listen(upstream_id));
        let lists: Vec<List> = List::ALL
            .into_iter()
            .filter(|list| offers.has(list.offer()))
            .collect();
        // It tells of changes until there is another. One of which nothing has been heard yet tells nothing.
        let (before, unheard) = match upstream.heard.take() {
            Some(heard) if heard.is_acknowledged => (Some(Box::new(heard)), None),
            Some(mut heard) => (heard.before.take(), Some(heard.request)),
            None => (None, None),
        };
        let mut over = Vec::from_iter(unheard);
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
                uris: Some(uris),
                since: self.now,
                is_acknowledged: false,
                before,
            });
            self.touch_record(upstream_id);
            Mux::tell_upstream(upstream_id, Outgoing::from(words), out);
        } else {
            over.extend(before.map(|before| before.request));
        }
        for request in over {
            self.listen_no_longer(upstream_id, request, out);
        }
    }

    /// Another request has taken the place of one by which a server is listened to.
    pub(crate) fn listen_no_longer(
        &mut self,
        upstream_id: UpstreamId,
        request: MintedId,
        out: &mut Outbox,
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && upstream.exchanges.close(request).is_some()
        {
            self.touch_record(upstream_id);
            let words = cancellation(request, "another has taken its place");
            Mux::tell_upstream(upstream_id, words, out);
        }
    }

    /// A server tells nothing more by this request. One that has ended it is listened to again, after a rest that
    /// grows while it goes on so; one that has refused it is not asked the same again. What sessions have been
    /// promised lasts.
    pub(crate) fn on_unheard(
        &mut self,
        upstream_id: UpstreamId,
        request: MintedId,
        how: Unheard<'_>,
        out: &mut Outbox,
    ) {
        self.touch_record(upstream_id);
        let now = self.now;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(heard) = upstream.heard.take_if(|heard| heard.request == request) else {
            if let Some(heard) = &mut upstream.heard {
                heard.before.take_if(|before| before.request == request);
            }
            return;
        };
        // Until it is asked again, it tells of what it told before.
        upstream.heard = heard.before.map(|before| *before);
        match how {
            Unheard::Refused(answer) => {
                match heard.uris {
                    Some(uris) => self.on_listen_refused(upstream_id, &uris, answer, out),
                    // It has not refused us yet.
                    None => self.listen_to(upstream_id, out),
                }
            }
            Unheard::Ended => {
                if now - heard.since >= self.limits.good_service {
                    upstream.unheard_in_a_row = 0;
                }
                upstream.unheard_in_a_row = upstream.unheard_in_a_row.saturating_add(1);
                let rest = wait(upstream.unheard_in_a_row, &self.limits, upstream_id.0);
                self.timers.set(Timer::Listen(upstream_id), now + rest);
            }
        }
    }

    /// A server of the modern era says itself that it tells nothing more by a request of ours; says whether it was
    /// that.
    pub(crate) fn take_end_of_listening(
        &mut self,
        upstream_id: UpstreamId,
        request: &RequestId,
        out: &mut Outbox,
    ) -> bool {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return false;
        };
        let heard = upstream.heard.as_ref();
        let before = heard.and_then(|heard| heard.before.as_deref());
        let mut ours = heard.into_iter().chain(before).map(|heard| heard.request);
        let Some(request) = ours.find(|ours| request.as_number() == Some(*ours)) else {
            return false;
        };
        upstream.exchanges.close(request);
        self.on_unheard(upstream_id, request, Unheard::Ended, out);
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
