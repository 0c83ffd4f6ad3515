//! What must hold between two steps, and when everything is over.

use std::vec::Vec;

use super::{Audit, Invariant, client::Input, group::Sent, print::Print, server::Process};
use crate::{Limits, SessionSnapshot, Snapshot, UpstreamSnapshot};

/// What a message that waits counts beside its bytes, as users are told.
const HELD_COST: usize = 512;

impl Audit {
    /// Nothing of the step may be left undone.
    pub(super) fn end_step(&mut self) {
        self.settle_questions_to_us();
        let step = core::mem::take(&mut self.step);
        if let Some(upstream) = step.inherited {
            self.check_inherited(upstream);
        }
        let mut touched = step.touched;
        for (asking, asked) in step.leaving {
            if let Some(print) = asking.print {
                if let Some(group) = self.groups.get_mut(&print) {
                    group.leave(&asked, asking.in_batch);
                }
                touched.insert(print);
            }
        }
        for (upstream, id) in step.due {
            let server = self.servers.get(&upstream);
            let working = server.and_then(|server| server.sent.get(&id));
            let group = working
                .and_then(|working| working.print)
                .and_then(|print| self.groups.get(&print));
            if group.is_some_and(|group| !group.has_batched()) {
                self.forget_sent(upstream, id);
                self.find(
                    Invariant::OneOutcome,
                    format_args!("the answer of {upstream} to #{id} reaches nobody"),
                );
            }
        }
        touched.append(&mut self.step.touched);
        for print in touched {
            self.check_group(print);
        }
        for (session, shown) in step.withdrawn {
            let client = self.clients.get_mut(&session);
            // A client of the modern era has nothing to withdraw until it comes back.
            if client.is_some_and(|client| {
                client.asks.remove(&shown).is_some() && client.era == crate::Era::Legacy
            }) {
                self.find(
                    Invariant::OneOutcome,
                    format_args!("{session} is not told that #{shown} is over"),
                );
            }
        }
        for (upstream, id) in step.orphaned {
            let server = self.servers.get(&upstream);
            let ask = server.and_then(|server| server.asks.get(&id));
            let shown = ask.and_then(|ask| ask.shown);
            if shown.is_some_and(|(session, _)| !self.clients.contains_key(&session)) {
                self.find(
                    Invariant::OneOutcome,
                    format_args!("{upstream} has asked {id:?} of one who is gone, and waits"),
                );
            }
        }
    }

    fn check_group(&mut self, print: Print) {
        let Some(group) = self.groups.get_mut(&print) else {
            return;
        };
        let servers = &self.servers;
        let is_answered = |(upstream, id): &Sent| {
            let server = servers.get(upstream);
            let working = server.and_then(|server| server.sent.get(id));
            working.is_some_and(|working| working.answer.is_some())
        };
        let answered = group.sent.iter().filter(|sent| is_answered(sent)).copied();
        let answered: Vec<Sent> = answered.collect();
        if group.has_batched() {
            group.settle_doubt(answered.len());
        } else {
            // Answers that waited for the rest of a batch have gone with it.
            for (upstream, id) in &answered {
                group.sent.remove(&(*upstream, *id));
                if let Some(server) = self.servers.get_mut(upstream) {
                    server.sent.remove(id);
                }
            }
            group.settle_doubt(0);
        }
        let example = group.sent.first().copied();
        let for_nobody = example.filter(|_| group.is_for_nobody());
        let lost = group
            .has_lost_one()
            .then(|| group.members().next().cloned());
        if for_nobody.is_some() || lost.is_some() {
            group.forgive();
        }
        if group.is_empty() {
            self.groups.remove(&print);
        }
        if let Some((upstream, id)) = for_nobody {
            self.forget_sent(upstream, id);
            self.find(
                Invariant::OneOutcome,
                format_args!("{upstream} works on one like #{id} and nobody waits for it"),
            );
        }
        if let Some((session, id)) = lost.flatten() {
            self.find(
                Invariant::OneOutcome,
                format_args!("one like {id:?} of {session} is at no server and has no answer"),
            );
        }
    }

    /// Checks that nothing is owed to anybody. For when all sessions have gone.
    pub fn at_rest(&mut self) {
        for (session, owed) in self.sessions().collect::<Vec<_>>() {
            self.find(
                Invariant::OneOutcome,
                format_args!("{session} is still there and waits for {owed:?}"),
            );
        }
        if self.clients.is_empty() && !self.groups.is_empty() {
            let count = self.groups.len();
            self.find(
                Invariant::SameTable,
                format_args!("{count} kinds of requests are open and no session is there"),
            );
        }
        let waiting = self.servers.iter().filter_map(|(upstream, server)| {
            let (asked, _) = server.asks.first_key_value()?;
            (server.process == Process::Running).then(|| (*upstream, asked.clone()))
        });
        for (upstream, asked) in waiting.collect::<Vec<_>>() {
            self.find(
                Invariant::OneOutcome,
                format_args!("{upstream} has asked {asked:?} and waits"),
            );
        }
    }

    /// Holds what the core says that there is against the books, and against its limits.
    pub fn compare(&mut self, snapshot: &Snapshot, limits: &Limits) {
        for session in &snapshot.sessions {
            self.compare_session(session, limits);
        }
        for upstream in &snapshot.upstreams {
            self.compare_upstream(upstream, snapshot, limits);
        }
        if snapshot.sessions.len() != self.clients.len() {
            let (known, open) = (snapshot.sessions.len(), self.clients.len());
            self.find(
                Invariant::SameTable,
                format_args!("the core knows {known} sessions and {open} are open"),
            );
        }
        let held: usize = snapshot.sessions.iter().map(|session| session.held).sum();
        let held_bytes: usize = snapshot
            .sessions
            .iter()
            .map(|session| session.held_bytes)
            .sum();
        if held > limits.waiting || held_bytes > limits.buffered_bytes + limits.message_bytes {
            self.find(
                Invariant::WithinCaps,
                format_args!("{held} messages of {held_bytes} bytes wait in all"),
            );
        }
    }

    fn compare_session(&mut self, session: &SessionSnapshot, limits: &Limits) {
        let id = session.id;
        let Some(client) = self.clients.get(&id) else {
            return self.find(
                Invariant::NothingToClosed,
                format_args!("{id} is gone and the core knows it"),
            );
        };
        let (open, asks) = (client.open.len(), client.asks.len());
        // What was answered and waits for the rest of its batch is in the books still.
        let has_batch = client.open.values().any(|asking| asking.in_batch);
        let in_flight = session.in_flight;
        if in_flight > open || (in_flight < open && !has_batch) || session.asks != asks {
            self.find(
                Invariant::SameTable,
                format_args!("{id} has {open} requests open, not {in_flight}, and {asks} asks"),
            );
        }
        if session.at_server > limits.session_in_flight || asks > limits.session_asks {
            let at_server = session.at_server;
            self.find(
                Invariant::WithinCaps,
                format_args!("{id} has {at_server} requests at its server and {asks} asks"),
            );
        }
        self.compare_queue(session, limits);
    }

    /// Nobody is read who has as much here as may wait, but for those who were asked something. Of those who
    /// have closed their input there is nothing to read.
    fn compare_queue(&mut self, session: &SessionSnapshot, limits: &Limits) {
        let (id, held, bytes) = (session.id, session.held, session.held_bytes);
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let is_paused = client.is_paused;
        let may_be_read = client.input == Input::Ended || !client.asks.is_empty();
        if session.is_paused != is_paused {
            self.find(
                Invariant::SameTable,
                format_args!("{id} is paused: the core says {}", session.is_paused),
            );
        }
        let costs = bytes + held * HELD_COST;
        // One message may be as long as a message may be.
        let is_full =
            held >= limits.session_queue || (held > 1 && costs > limits.session_queue_bytes);
        if is_full && !is_paused && !may_be_read {
            self.find(
                Invariant::WithinCaps,
                format_args!("{held} messages of {bytes} bytes of {id} wait, and it is read"),
            );
        }
    }

    fn compare_upstream(&mut self, upstream: &UpstreamSnapshot, all: &Snapshot, limits: &Limits) {
        let id = upstream.id;
        let of_this = |session: &&SessionSnapshot| session.upstream == Some(id);
        let sessions = all.sessions.iter().filter(of_this);
        let claimed: usize = sessions.map(|session| session.at_server).sum();
        let in_flight = upstream.in_flight;
        if claimed != in_flight {
            self.find(
                Invariant::SameTable,
                format_args!("{id} has {in_flight} requests and its sessions have {claimed} there"),
            );
        }
        let known = self.servers.get(&id).map_or(0, |server| {
            let mut sent = server.sent.values();
            sent.by_ref()
                .filter(|working| working.print.is_some() && working.answer.is_none())
                .count()
        });
        if known > in_flight {
            self.find(
                Invariant::SameTable,
                format_args!("{id} works on {known} requests and the core knows {in_flight}"),
            );
        }
        if upstream.undecided > limits.session_asks {
            let undecided = upstream.undecided;
            self.find(
                Invariant::WithinCaps,
                format_args!("{undecided} asks of {id} wait for an owner"),
            );
        }
    }
}
