//! What is kept of servers from one start to the next, as the edge keeps it, and what servers say in their lists.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use mux::{Action, Class, Era, Finding, KeptWords, Listing, Moment, Page, UpstreamId};

use super::{
    judge::{Kind, Told},
    server::Work,
    specs::{SPECS, Spec},
    words::{self, CLASSES, Hints, LISTS, NOT_TOLD, PAGES, Shape, URIS},
    world::World,
};
use crate::{
    payload::{Mark, Owner},
    world::Held,
};

/// Whoever has said what is kept from before the beginning.
const EARLIER: UpstreamId = UpstreamId(0);

/// How long it is believed that a server does not speak in an era, of what was found before the beginning.
const LIVES: [Duration; 2] = [Duration::from_secs(40), Duration::from_hours(24)];

/// What is kept, and what stands in lists.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Of which servers anything is kept.
    names: BTreeMap<&'static str, bool>,
    /// The last words of each, class and era, with the moment at which they were kept.
    words: BTreeMap<&'static str, Vec<(Moment, Arc<KeptWords>)>>,
    /// What stands on which page of which server, until it changes.
    pages: BTreeMap<(usize, u8), Mark>,
}

impl Kept {
    /// What a session brings along for this server, if anything is kept of that.
    pub(super) fn brought(
        &mut self,
        spec: &Spec,
        is_kept: bool,
        now: Moment,
    ) -> Option<Vec<Arc<KeptWords>>> {
        if !*self.names.entry(spec.name).or_insert(is_kept) {
            return None;
        }
        let words = self.words.get(spec.name).into_iter().flatten();
        let aged = words.map(|(at, words)| Arc::new((**words).clone().after(Some(now - *at))));
        Some(aged.collect())
    }

    /// Something is kept in place of what was.
    fn replace(
        &mut self,
        (name, class, era): (&'static str, Class, Era),
        words: Option<Arc<KeptWords>>,
        now: Moment,
    ) {
        let kept = self.words.entry(name).or_default();
        kept.retain(|(_, words)| (words.class, words.era) != (class, era));
        kept.extend(words.map(|words| (now, words)));
    }
}

impl World {
    /// The core has something kept.
    pub(super) fn keep_words(&mut self, action: Action) {
        if let Action::KeepWords {
            upstream,
            class,
            era,
            words,
        } = action
        {
            let name = self.judge.servers[&upstream].name;
            self.kept.replace((name, class, era), words, self.now());
        }
    }

    /// Something is kept of a server from before the beginning. It need not be so any more.
    pub(super) fn keep(&mut self, who: u8, what: u8) {
        if self.has_begun() {
            return;
        }
        self.reads += 1;
        let place = usize::from(who) % SPECS.len();
        let era = [Era::Legacy, Era::Modern][usize::from(what) % 2];
        let class = if era == Era::Legacy { what / 2 % 3 } else { 0 };
        let hints = |at| (era == Era::Modern).then(|| Hints::nth(at));
        let found = LIVES.get(usize::from(what / 6 % 4));
        let refused = found.map(|life| Finding {
            refused: [Era::Modern, Era::Legacy][usize::from(what) % 2],
            life: *life,
        });
        let mut told = |told: Told, hints: Option<Hints>| {
            let mark = self.judge.name(Owner::Server(EARLIER), None);
            if let Told::Page(_) = told {
                self.judge.is_worded(mark, words::items(mark));
            }
            let of = (SPECS[place].name, era, class);
            self.judge.told_earlier(of, told, mark, hints);
            mark
        };
        let greeting = hints(what / 24);
        let handshake = words::greeting(told(Told::Greeting, greeting), greeting);
        let mut lists: BTreeMap<Listing, Vec<Page>> = BTreeMap::new();
        for at in (0..).take(PAGES.len()) {
            let hints = hints(what / 8 + at);
            let mark = told(Told::Page(at), hints);
            let listing = Listing::from_name(words::page_of(at).method);
            let page = Page {
                cursor: words::page_of(at).cursor.map(Box::from),
                result: Bytes::from(words::page(at, mark, hints)),
                holds: hints.map(|hints| Duration::from_millis(hints.ttl)),
            };
            lists
                .entry(listing.unwrap_or(Listing::Tools))
                .or_default()
                .push(page);
            if !what.is_multiple_of(5) {
                self.kept.pages.insert((place, at), mark);
            }
        }
        let class = Class::declared(CLASSES[usize::from(class)]);
        let words = KeptWords {
            class,
            era,
            program: None,
            handshake: Bytes::from(handshake),
            refused,
            lists,
        };
        let name = SPECS[place].name;
        self.kept.names.insert(name, true);
        let now = self.now();
        self.kept
            .replace((name, class, era), Some(Arc::new(words)), now);
        if refused.is_some() {
            self.judge.found_earlier(name);
        }
    }

    /// The name of what stands on a page now.
    pub(super) fn page_mark(&mut self, id: UpstreamId, at: u8, what: u8) -> Mark {
        let place = (self.servers[&id].spec, at);
        // A server may have another list without a word.
        let known = self.kept.pages.get(&place).filter(|_| what % 64 != 63);
        if let Some(mark) = known {
            return *mark;
        }
        let mark = self.judge.name(Owner::Server(id), None);
        self.judge.is_worded(mark, words::items(mark));
        self.kept.pages.insert(place, mark);
        mark
    }

    /// A server says what stands on a page.
    pub(super) fn page_text(
        &mut self,
        id: UpstreamId,
        shape: Shape,
        mark: Mark,
        what: u8,
    ) -> String {
        let Shape::Plain(at) = shape else {
            return "{}".to_owned();
        };
        let is_modern = self.servers[&id].era == Some(Era::Modern);
        let hints = is_modern.then(|| Hints::nth(what / 8));
        self.judge.server_tells(id, Told::Page(at), mark, hints);
        words::page(at, mark, hints)
    }

    /// What stands in a list of a server is something else from now on.
    pub(super) fn pages_change(&mut self, id: UpstreamId, list: usize) {
        let spec = self.servers[&id].spec;
        let (name, _) = LISTS[list];
        let is_of = |at: u8| words::page_of(at).list == name;
        self.kept
            .pages
            .retain(|(known, at), _| *known != spec || !is_of(*at));
    }

    /// A server answers what the pooler has asked on its own account.
    pub(super) fn answer_errand(
        &mut self,
        id: UpstreamId,
        work: Work,
        kind: Kind,
        what: u8,
    ) -> Held {
        let minted = work.minted;
        let is_modern = self.servers[&id].era == Some(Era::Modern);
        let refused = work.subscribes.filter(|at| self.refuses(id, *at));
        if let Some(at) = work.subscribes
            && refused.is_none()
        {
            self.judge
                .server_promises(id, &format!(r#""{}""#, URIS[at]));
        }
        let outcome = match work.shape {
            _any if refused.is_some() => {
                format!(r#""error":{{"code":-32000,"message":"{NOT_TOLD}"}}"#)
            }
            Some(Shape::Plain(_)) if kind == Kind::Error => {
                r#""error":{"code":-32000,"message":"no"}"#.to_owned()
            }
            Some(Shape::Plain(at)) => {
                let mark = self.page_mark(id, at, what);
                let text = self.page_text(id, Shape::Plain(at), mark, what);
                format!(r#""result":{text}"#)
            }
            _other if is_modern => r#""result":{"resultType":"complete"}"#.to_owned(),
            _other => r#""result":{}"#.to_owned(),
        };
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","id":{minted},{outcome}}}"#),
        )
    }
}
