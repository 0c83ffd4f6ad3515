//! Sessions that are served before their server runs, from what it said at an earlier start.
//!
//! The first request that those words do not answer starts the process. What it says then is held
//! against them: its handshake as after any restart, its lists by asking for them once.
//!
//! **Invariant:** words are in force only until a process has been greeted or could not be, and a list for no longer
//! than its server said; what was told from them and has changed is told, to whoever was promised to hear of it.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{mem, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Frame, Message, Outgoing};

use crate::{
    action::{Action, Outbox},
    bridge,
    era::Era,
    event::{Route, Start},
    exchange::{Errand, Exchange, MintedId},
    fact::Fact,
    handshake::Handshake,
    ids::{SessionId, UpstreamId},
    kept_words::{KeptWords, Listing, Page, Wanted, holds},
    lists::List,
    moment::Moment,
    mux::Mux,
    offers::Offer,
    pages::Pages,
    routing::RouteKey,
    upstream::{Standing, State, Upstream},
    verdict::Finding,
};

/// What is known of what a server says of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Until a process has been greeted: sessions are served from it.
    recalled: Option<Arc<KeptWords>>,
    /// Whether nobody is to be served from it any longer.
    #[serde(default)]
    is_distrusted: bool,
    /// Since when.
    #[serde(default)]
    recalled_at: Moment,
    /// What sessions were served from before this process was greeted.
    compared: Option<Arc<KeptWords>>,
    lists: BTreeMap<Listing, Pages>,
    /// Answers to requests up to these may be older than a change of the list.
    changed_at: BTreeMap<Listing, MintedId>,
    /// What is kept already.
    kept: Option<Arc<KeptWords>>,
}

/// Whether the process that was greeted comes behind sessions that were served without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// It does: only what differs is told.
    BehindKeptWords,
    /// Nobody knows what it may have changed.
    Unseen,
}

impl Known {
    pub(crate) fn is_in_force(&self) -> bool {
        self.in_force().is_some()
    }

    fn in_force(&self) -> Option<&Arc<KeptWords>> {
        self.recalled.as_ref().filter(|_| !self.is_distrusted)
    }

    /// Whether no process has spoken yet to whoever was served from what was kept.
    pub(crate) fn is_of_earlier_start(&self) -> bool {
        self.recalled.is_some()
    }

    /// The server could not be started: nobody else is to be served as if it could.
    pub(crate) fn distrust(&mut self) {
        self.is_distrusted = true;
    }

    /// What was brought of it is not what would be said now. Says whether that is kept.
    fn take_back(&mut self) -> bool {
        self.distrust();
        self.lists.clear();
        self.kept.take().is_some()
    }

    fn len(&self) -> usize {
        self.lists.values().map(Pages::len).sum()
    }

    /// What was answered to this request may be outdated.
    fn is_outdated(&self, listing: Listing, minted: MintedId) -> bool {
        let changed_at = self.changed_at.get(&listing);
        changed_at.is_some_and(|changed_at| minted <= *changed_at)
    }

    /// Takes in a page that holds for so long; says whether that is news.
    fn see(
        &mut self,
        wanted: &Wanted,
        result: &[u8],
        time: (Moment, Option<Duration>),
        bytes_max: usize,
    ) -> bool {
        let Wanted { listing, cursor } = wanted;
        if result.len() > bytes_max {
            return self.lists.remove(listing).is_some();
        }
        let pages = self.lists.entry(*listing).or_default();
        let is_news = pages.see(cursor.as_deref(), result, time);
        if self.len() > bytes_max {
            self.lists.remove(listing);
        }
        is_news
    }
}

impl Mux {
    /// Takes what a session has brought along. An upstream that was never started stands on it from now on.
    pub(crate) fn recall(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return;
        };
        let brought = session.opening.kept.as_mut().map(mem::take);
        let is_first = !mem::replace(&mut session.has_handed_over, true);
        let has_looked = is_first && brought.is_some();
        let (class, era) = (upstream.class(), upstream.key.era);
        let is_of_one_session = upstream.is_of_one_session();
        let (State::Stopped, Some(known)) = (&upstream.state, &mut upstream.known) else {
            return;
        };
        let mut brought = brought.into_iter().flatten();
        let words = brought.find(|words| (words.class, words.era) == (class, era));
        if words.is_none() && has_looked && known.is_in_force() {
            // Nothing is kept any more of what would be started now: it is another program, or too long ago.
            known.take_back();
        }
        let Some(words) = words.filter(|_| upstream.handshake.is_none()) else {
            return;
        };
        // The client may have taken its time.
        let words = words.aged(self.now - session.since);
        let words = if is_of_one_session {
            Arc::new(Arc::unwrap_or_clone(words).public())
        } else {
            words
        };
        let handshake = Handshake::read(&words.handshake);
        let is_usable = |said: &Handshake| said.era == era && !said.offers.has(Offer::Tasks);
        let Some(handshake) = handshake.filter(is_usable) else {
            return;
        };
        let lists = words.lists.iter();
        known.lists = lists
            .map(|(listing, pages)| (*listing, Pages::of(pages, self.now)))
            .collect();
        known.kept = Some(Arc::clone(&words));
        known.recalled = Some(words);
        known.is_distrusted = false;
        known.recalled_at = self.now;
        upstream.handshake = Some(handshake);
        out.tell(Fact::UpstreamRecalled {
            upstream: upstream_id,
            server: upstream.server.clone(),
        });
    }

    /// Serves a session that waits at an upstream without a process, if that can be done.
    pub(crate) fn attach_recalled(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) -> bool {
        if !self.is_recalled(upstream_id) {
            return false;
        }
        let start = self.sessions.get(&session_id).map(|s| s.opening.start);
        self.attach_waiting(upstream_id, out);
        if start == Some(Start::WithSession) {
            self.want(upstream_id, out);
        }
        true
    }

    /// What is known of the tools of the servers of this route, page by page.
    pub fn listed_tools(&self, route: &Route) -> Vec<&Page> {
        let of_route = self
            .upstreams
            .values()
            .filter(|upstream| upstream.key.route == *route);
        let known = of_route.filter_map(|upstream| upstream.known.as_ref());
        let pages = known.filter_map(|known| known.lists.get(&Listing::Tools));
        pages.flat_map(Pages::iter).collect()
    }

    fn is_recalled(&self, upstream_id: UpstreamId) -> bool {
        let upstream = self.upstreams.get(&upstream_id);
        let known = upstream.and_then(|upstream| upstream.known.as_ref());
        known.is_some_and(Known::is_in_force)
    }

    /// The answer to a request that needs no process, unless its session waits for something before.
    pub(crate) fn answer_recalled(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        frame: &Frame,
    ) -> Option<Outgoing> {
        let known = self.upstreams.get(&upstream_id)?.known.as_ref()?;
        let words = known.in_force()?;
        let session = self.sessions.get(&session_id)?;
        if !session.is_attached() || !session.queue.is_empty() {
            return None;
        }
        let page = words.page(&Wanted::by(frame)?)?;
        let age = self.now - known.recalled_at;
        let answer = page.answer_after(frame.id()?, age)?;
        if session.era == words.era {
            return Some(answer);
        }
        let said = Frame::parse(Bytes::from(answer.to_vec())).ok()?;
        let asked = (session.era, frame.id()?);
        let handshake = self.upstreams.get(&upstream_id)?.handshake.as_ref()?;
        let info = handshake.server_info();
        Some(bridge::answer(
            &said,
            asked,
            frame.method()?,
            info.as_deref(),
        ))
    }

    /// A process has been greeted: what was said before is no longer in force.
    pub(crate) fn end_recall(
        &mut self,
        upstream_id: UpstreamId,
        before: Option<&Handshake>,
    ) -> Comes {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Comes::Unseen;
        };
        let is_alike = match (&upstream.handshake, before) {
            (Some(now), Some(before)) => now.result() == before.result(),
            (Some(_) | None, None) | (None, Some(_)) => false,
        };
        let Some(known) = &mut upstream.known else {
            return Comes::Unseen;
        };
        known.changed_at.clear();
        let was_in_force = known.is_in_force();
        known.compared = known.recalled.take().filter(|_| was_in_force);
        known.is_distrusted = false;
        if known.compared.is_some() {
            return Comes::BehindKeptWords;
        }
        if !is_alike {
            known.lists.clear();
        }
        Comes::Unseen
    }

    /// The server has shown that it does not speak any more as is kept of it: nobody who comes later is to be served
    /// from that, by this daemon or the next.
    pub(crate) fn take_back_words(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if let Some(known) = &mut upstream.known
            && known.is_of_earlier_start()
            && known.take_back()
        {
            self.keep_instead(upstream_id, None, out);
        }
    }

    /// Has words kept in place of those before, or nothing. Whoever has brought those and has not asked anything yet
    /// stands on what is kept now: a little less long than it may, as that is as old as the session by then.
    fn keep_instead(
        &mut self,
        upstream_id: UpstreamId,
        words: Option<Arc<KeptWords>>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let RouteKey {
            route, class, era, ..
        } = &upstream.key;
        let sessions = self.sessions.values_mut();
        let waiting = sessions.filter(|it| !it.has_handed_over && it.opening.route == *route);
        for kept in waiting.filter_map(|session| session.opening.kept.as_mut()) {
            kept.retain(|words| (words.class, words.era) != (*class, *era));
            kept.extend(words.clone());
        }
        out.act(Action::KeepWords {
            upstream: upstream_id,
            class: *class,
            era: *era,
            words,
        });
    }

    /// Asks the new process for the lists that sessions may have been given before it ran.
    pub(crate) fn compare_lists(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let compared = upstream
            .known
            .as_ref()
            .and_then(|known| known.compared.clone());
        let offers = upstream.handshake.as_ref().map(|said| said.offers);
        let lists = compared.iter().flat_map(|words| words.lists.keys());
        let listings: Vec<Listing> = lists
            .copied()
            .filter(|listing| offers.is_some_and(|offers| offers.has(listing.offer())))
            .collect();
        for listing in listings {
            self.compare_page(upstream_id, listing, 0, out);
        }
    }

    /// Asks for one page, counted from the first, if there was one.
    fn compare_page(
        &mut self,
        upstream_id: UpstreamId,
        listing: Listing,
        at: usize,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(page) = upstream.compared_page(listing, at).cloned() else {
            return;
        };
        if !upstream.is_ready() {
            return;
        }
        let (errand, era) = (Errand::Compare(listing, at), upstream.key.era);
        let id = upstream
            .exchanges
            .open(Exchange::of_errand(errand, self.now));
        self.watch_request_timeout(upstream_id);
        let wanted = Wanted {
            listing,
            cursor: page.cursor,
        };
        let request = wanted.request(id, era);
        Mux::tell_upstream(upstream_id, request, out);
    }

    /// The new process has said what stands on a page.
    pub(crate) fn on_compared(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        (listing, at): (Listing, usize),
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let known = upstream.known.as_ref();
        if known.is_none_or(|known| known.is_outdated(listing, minted)) {
            // The server has said itself that the list has changed.
            return;
        }
        let (
            Some(page),
            Message::Response {
                result: Some(result),
                ..
            },
        ) = (upstream.compared_page(listing, at), &frame.message)
        else {
            return self.on_list_lost(upstream_id, listing, out);
        };
        let result = frame.json(result);
        let is_alike = page.is_like(result);
        let wanted = Wanted {
            listing,
            cursor: page.cursor.clone(),
        };
        self.on_listed(upstream_id, minted, &wanted, result, out);
        if is_alike {
            self.compare_page(upstream_id, listing, at + 1, out);
        } else {
            self.tell_outdated(upstream_id, listing, out);
        }
    }

    /// The new process does not say what stands in a list.
    pub(crate) fn on_list_lost(
        &mut self,
        upstream_id: UpstreamId,
        listing: Listing,
        out: &mut Outbox,
    ) {
        let upstream = self.upstreams.get_mut(&upstream_id);
        if let Some(known) = upstream.and_then(|upstream| upstream.known.as_mut()) {
            known.lists.remove(&listing);
        }
        self.keep_words(upstream_id, out);
        self.tell_outdated(upstream_id, listing, out);
    }

    fn tell_outdated(&mut self, upstream_id: UpstreamId, listing: Listing, out: &mut Outbox) {
        out.tell(Fact::ListOutdated {
            upstream: upstream_id,
            list: listing.name(),
        });
        self.tell_list_of_new_process(upstream_id, listing.list(), out);
    }

    /// What a request that goes to the server now will teach us: a page, if it asks for one.
    pub(crate) fn page_wanted(&self, upstream_id: UpstreamId, frame: &Frame) -> Option<Wanted> {
        self.upstreams.get(&upstream_id)?.known.as_ref()?;
        Wanted::by(frame)
    }

    /// The server has said what stands on a page of one of its lists.
    pub(crate) fn on_listed(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        wanted: &Wanted,
        result: &str,
        out: &mut Outbox,
    ) {
        let bytes_max = self.limits.kept_words_bytes;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let says_how_long = upstream.key.era == Era::Modern;
        let time = (self.now, says_how_long.then(|| holds(result)));
        let known = upstream.known.as_mut();
        let is_news = known.is_some_and(|known| {
            !known.is_outdated(wanted.listing, minted)
                && known.see(wanted, result.as_bytes(), time, bytes_max)
        });
        if is_news {
            self.keep_words(upstream_id, out);
        }
    }

    /// A list is another one by now; nobody has seen it yet.
    pub(crate) fn forget_list(&mut self, upstream_id: UpstreamId, list: List, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let asked = upstream.exchanges.last_issued();
        let Some(known) = &mut upstream.known else {
            return;
        };
        let mut was_known = false;
        for listing in Listing::ALL {
            if listing.list() == list {
                was_known |= known.lists.remove(&listing).is_some();
                known.changed_at.insert(listing, asked);
            }
        }
        // A server may say so without end.
        if was_known {
            self.keep_words(upstream_id, out);
        }
    }

    /// Has what is known of a server that runs kept, if that is something else than what is kept already.
    pub(crate) fn keep_words(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let bytes_max = self.limits.kept_words_bytes;
        let upstream = self.upstreams.get(&upstream_id);
        let refused = upstream.and_then(|upstream| self.verdict_to_keep(&upstream.key.route));
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        // Also one that is being stopped says that something is not so any more.
        if upstream.standing == Standing::Strange {
            return;
        }
        let words = upstream.words(refused, self.now, bytes_max);
        let is_kept = |kept: Option<&KeptWords>| match (kept, &words) {
            (Some(kept), Some(words)) => kept.is_like(words),
            (kept, words) => kept.is_none() && words.is_none(),
        };
        if let Some(known) = &mut upstream.known
            && !is_kept(known.kept.as_deref())
        {
            let words = words.map(Arc::new);
            known.kept.clone_from(&words);
            self.keep_instead(upstream_id, words, out);
        }
    }
}

impl Upstream {
    /// What there is to be kept of what its process says, which is no more than so many bytes.
    fn words(&self, refused: Option<Finding>, now: Moment, bytes_max: usize) -> Option<KeptWords> {
        let (known, handshake) = (self.known.as_ref()?, self.handshake.as_ref()?);
        // One that is not shared is not begun for several either.
        if handshake.offers.has(Offer::Tasks) || handshake.result().len() > bytes_max {
            return None;
        }
        let mut words = KeptWords {
            class: self.class(),
            era: handshake.era,
            program: self.greeted_program,
            refused,
            handshake: handshake.result().clone(),
            lists: BTreeMap::new(),
        };
        for (listing, pages) in &known.lists {
            if handshake.offers.has(listing.offer())
                && words.len() + pages.len() <= bytes_max
                && let Some(pages) = pages.whole(now)
                && pages.iter().all(|page| page.may_be_told(words.era))
            {
                words.lists.insert(*listing, pages);
            }
        }
        if self.is_of_one_session() {
            words = words.public();
        }
        let has_something = !words.handshake.is_empty() || words.refused.is_some();
        has_something.then_some(words)
    }

    /// One page of a list, counted from the first, as sessions were given it before the process ran.
    fn compared_page(&self, listing: Listing, at: usize) -> Option<&Page> {
        let compared = self.known.as_ref()?.compared.as_ref()?;
        compared.lists.get(&listing)?.get(at)
    }
}
