//! What of servers may be told to others than those who were answered with it: for as long as they allow, to whom
//! they allow, and only until a process has spoken.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mux::{Era, KeptWords, Moment, SessionId, UpstreamId};
use wire::{Frame, Member, Method};

use super::{Judge, Open, Seen, Server};
use crate::{
    eras::words::{self, Hints, LISTS, Shape},
    invariants::{Broken, ensure},
    payload::{Mark, mark_of},
    world::Held,
};

/// What a server has told that others may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// What it is.
    Greeting,
    /// What stands on a page.
    Page(u8),
}

/// Everything that others may be told.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    told: Vec<Telling>,
    /// Servers of which it was found before the beginning that they do not speak in an era.
    found: BTreeSet<&'static str>,
    /// Which pages the pooler has asked each process for.
    compared: BTreeMap<UpstreamId, BTreeSet<u8>>,
}

/// A server has told something.
#[derive(Debug)]
struct Telling {
    told: Told,
    number: usize,
    /// Which, in which era, to clients of which class; in the modern era all are told the same.
    name: &'static str,
    era: Era,
    class: u8,
    /// Who, if whoever is there has it for itself.
    alone: Option<UpstreamId>,
    at: Moment,
    /// In the modern era.
    hints: Option<Hints>,
    /// Set when the server has said that it is something else by now.
    is_over: bool,
}

impl Telling {
    /// Until when others may be told; `None` for ever.
    fn until(&self) -> Option<Moment> {
        let hints = self.hints?;
        Some(self.at + Duration::from_millis(hints.ttl))
    }

    /// For how long others may still be told, in milliseconds; for none if it was not said.
    fn left(&self, now: Moment) -> u64 {
        let left = self
            .until()
            .map_or(Duration::ZERO, |until| until.max(now) - now);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    fn is_public(&self) -> bool {
        self.hints.is_none_or(|hints| hints.is_public)
    }
}

impl Judge {
    /// A server has said something before the beginning.
    pub(crate) fn told_earlier(
        &mut self,
        (name, era, class): (&'static str, Era, u8),
        told: Told,
        mark: Mark,
        hints: Option<Hints>,
    ) {
        let alone = words_of_one(name).then_some(UpstreamId(0));
        self.memory.told.push(Telling {
            told,
            number: mark.number,
            name,
            era,
            class,
            alone,
            at: self.now,
            hints,
            is_over: false,
        });
    }

    /// It was found before the beginning that a server does not speak in an era.
    pub(crate) fn found_earlier(&mut self, name: &'static str) {
        self.memory.found.insert(name);
    }

    /// Whether a server may be spoken to in another era than it could be.
    pub(crate) fn was_found(&self, name: &str) -> bool {
        self.memory.found.contains(name)
    }

    /// A server says what others may be told.
    pub(crate) fn server_tells(
        &mut self,
        id: UpstreamId,
        told: Told,
        mark: Mark,
        hints: Option<Hints>,
    ) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        self.memory.told.push(Telling {
            told,
            number: mark.number,
            name: server.name,
            era: server.era.unwrap_or_default(),
            class: server.class.unwrap_or_default(),
            alone: (!server.is_shared).then_some(id),
            at: self.now,
            hints,
            is_over: false,
        });
    }

    /// A list of a server is something else from now on.
    pub(super) fn is_told_no_longer(&mut self, id: UpstreamId, list: usize) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let (list, _) = LISTS[list];
        let is_shared = server.is_shared;
        for telling in &mut self.memory.told {
            let is_of = matches!(telling.told, Told::Page(at) if words::page_of(at).list == list);
            let is_its = telling.name == server.name
                && Some(telling.era) == server.era
                && (telling.era == Era::Modern || Some(telling.class) == server.class)
                && (is_shared || telling.alone == Some(id));
            telling.is_over |= is_of && is_its;
        }
    }

    /// The process of a server is gone.
    pub(super) fn compares_anew(&mut self, id: UpstreamId) {
        self.memory.compared.remove(&id);
    }

    /// The pooler asks a server for a list on its own account: for a page that sessions may have been told, once for
    /// each process.
    pub(super) fn check_compared(&mut self, id: UpstreamId, at: u8, text: &str) -> Held {
        let name = self.servers.get(&id).map(|server| server.name);
        let mut told = self.memory.told.iter();
        let is_known = told.any(|it| it.told == Told::Page(at) && Some(it.name) == name);
        let is_first = self.memory.compared.entry(id).or_default().insert(at);
        ensure!(
            is_known && is_first,
            "{id} is asked for a list that nobody has asked for: {text}"
        );
        self.saw(Seen::Compared);
        Ok(())
    }

    /// A session is told what its server is, from what is kept, or what stands on a page.
    pub(super) fn check_kept(
        &mut self,
        id: SessionId,
        open: &Open,
        (told, members): (Told, &[Member<'_>]),
        text: &str,
    ) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let server = session.upstream.and_then(|at| self.servers.get(&at));
        ensure!(
            server.is_none_or(|server| !server.has_spoken),
            "{id} is told what was kept, and its server has spoken: {text}"
        );
        let number = mark_of(text).map(|mark| mark.number);
        let number = number.filter(|number| text.contains(&self.said[*number].words));
        let is_it = |telling: &&Telling| {
            Some(telling.number) == number
                && (telling.told, telling.name) == (told, session.name)
                && (telling.era == Era::Modern || telling.class == session.class)
        };
        let said = ttl_in(members);
        ensure!(
            said.is_some() || open.request.era == Era::Legacy,
            "{id} is not told how long it holds: {text}"
        );
        let left = |it: &Telling| match told {
            Told::Greeting => 0,
            Told::Page(_) => it.left(self.now),
        };
        let may_hear = |it: &Telling| {
            let holds = told == Told::Greeting || it.until().is_none_or(|until| self.now < until);
            let is_for_it = session.is_shared || it.is_public();
            !it.is_over && holds && is_for_it && said.is_none_or(|said| said <= left(it))
        };
        let all: Vec<&Telling> = self.memory.told.iter().filter(is_it).collect();
        ensure!(
            all.iter().any(|it| may_hear(it)),
            "{id} is told at {:?} for {said:?} ms what it may not be told, of {all:?}: {text}",
            self.now
        );
        self.saw(match told {
            Told::Greeting => Seen::KeptGreeting,
            Told::Page(_) => Seen::KeptPage,
        });
        Ok(())
    }

    /// A page reaches who asked for it: of a process, or as it is kept.
    pub(super) fn check_page(
        &mut self,
        id: SessionId,
        open: &Open,
        (at, members): (u8, &[Member<'_>]),
        text: &str,
    ) -> Held {
        let Some((number, _)) = open.answer else {
            return self.check_kept(id, open, (Told::Page(at), members), text);
        };
        let words = &self.said[number].words;
        ensure!(
            mark_of(text).is_some_and(|mark| mark.number == number) && text.contains(words),
            "{id} does not hear {words} but {text}"
        );
        Ok(())
    }

    /// What a process says of itself is told for no longer than it allows.
    pub(super) fn check_age_of_greeting(
        &self,
        id: SessionId,
        (number, members): (usize, &[Member<'_>]),
        text: &str,
    ) -> Held {
        let mut told = self.memory.told.iter();
        let Some(telling) = told.find(|it| it.number == number) else {
            return Err(Broken(format!("{id} is greeted by nobody: {text}")));
        };
        let (said, left) = (ttl_in(members), telling.left(self.now));
        ensure!(
            said.is_none_or(|said| said <= left),
            "{id} is told that it holds for {said:?} ms, and {left} are left: {text}"
        );
        Ok(())
    }

    /// Words are kept in place of others: what their server has said, whole, no longer than it allows, and of one that
    /// is of one session nothing that is private.
    pub(super) fn check_kept_words(&mut self, id: UpstreamId, words: Option<&KeptWords>) -> Held {
        let Some(words) = words else {
            self.saw(Seen::TakenBack);
            return Ok(());
        };
        let Some(server) = self.servers.get(&id) else {
            return Err(Broken(format!(
                "{words:?} are kept of {id}, which never ran"
            )));
        };
        let is_right = words.handshake.is_empty() || {
            let text = String::from_utf8_lossy(&words.handshake);
            self.is_kept_rightly(server, Told::Greeting, &text, None)
        };
        ensure!(is_right, "{words:?} are kept of {id}");
        for (listing, pages) in &words.lists {
            for page in pages {
                let is_it = |at: &u8| {
                    let page_of = words::page_of(*at);
                    page_of.method == listing.name() && page_of.cursor == page.cursor.as_deref()
                };
                let at = (0..).take(words::PAGES.len()).find(is_it);
                let text = String::from_utf8_lossy(&page.result);
                let told = at.map(Told::Page);
                let is_right =
                    told.is_some_and(|told| self.is_kept_rightly(server, told, &text, page.holds));
                ensure!(
                    is_right,
                    "{listing:?} of {id} is kept at {:?} for {:?}: {text}",
                    self.now,
                    page.holds
                );
            }
        }
        self.saw(Seen::KeptWords);
        Ok(())
    }

    fn is_kept_rightly(
        &self,
        server: &Server,
        told: Told,
        text: &str,
        holds: Option<Duration>,
    ) -> bool {
        let number = mark_of(text).map(|mark| mark.number);
        let mut all = self.memory.told.iter();
        all.any(|it| {
            let is_it = Some(it.number) == number
                && (it.told, it.name, Some(it.era)) == (told, server.name, server.era);
            let is_young = match (it.until(), told) {
                (Some(until), Told::Page(_)) => {
                    holds.is_some_and(|holds| self.now + holds <= until)
                }
                (_, Told::Greeting) | (None, _) => holds.is_none(),
            };
            is_it && is_young && !it.is_over && (server.is_shared || it.is_public())
        })
    }

    /// The request of a session that has no name in it, by what it asks for.
    pub(super) fn asked_plainly(
        &self,
        id: UpstreamId,
        (method, frame): (&Method, &Frame),
        text: &str,
    ) -> Option<Mark> {
        let asked = Shape::Plain(words::page_asked(method, frame)?);
        // What we ask ourselves begins with something else.
        let is_relayed = text.starts_with(r#"{"jsonrpc":"2.0","id":"#);
        let sessions = self.sessions.values();
        let here = sessions.filter(|it| is_relayed && it.upstream == Some(id));
        let mut open = here.flat_map(|session| session.open.values());
        let waits = |open: &&Open| {
            open.request.shape == asked && open.sent.is_none() && open.answer.is_none()
        };
        open.find(waits).map(|open| open.origin)
    }
}

/// For how long a result says that it holds.
fn ttl_in(members: &[Member<'_>]) -> Option<u64> {
    let said = members.iter().find(|member| member.name == "ttlMs")?;
    said.value.parse().ok()
}

/// Whether each session has a server of this name for itself.
fn words_of_one(name: &str) -> bool {
    crate::eras::specs::spec_of(name).scope == mux::Scope::Session
}
