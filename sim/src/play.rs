//! Steps, carried out.

mod clients;
mod servers;

use std::time::Duration;

use mux::{Moment, UpstreamId};

use crate::{
    fault::Fault,
    invariants::{Broken, ensure},
    peers::{NAMES, Process, Up},
    step::Step,
    world::{Held, TURNS, World},
};

/// How much time may pass at once, in milliseconds.
const TIMES: [u64; 9] = [1, 90, 400, 1_000, 7_000, 24_000, 31_000, 70_000, 660_000];

/// In place of such a number: to the very moment of the next deadline.
pub(crate) const TO_THE_DEADLINE: u8 = u8::MAX;

/// A link of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    FromClient(usize),
    ToClient(usize),
    ToServer(UpstreamId),
    FromServer(UpstreamId),
}

/// An entry of a list, modulo its length.
pub(crate) fn nth<T: Copy>(of: &[T], at: u8) -> Option<T> {
    of.get(usize::from(at) % of.len().max(1)).copied()
}

impl World {
    /// Takes one step, and checks everything.
    pub(crate) fn play(&mut self, step: Step) -> Held {
        self.tally.steps += 1;
        let was_late = self.is_late;
        self.trace.note(|| format!("== {step:?}"));
        self.take(step)?;
        self.perform()?;
        if was_late {
            self.ring()?;
        }
        self.check()
    }

    pub(super) fn take(&mut self, step: Step) -> Held {
        match step {
            Step::Open { kind, keeps } if !self.is_shut_down && self.clients.len() < 12 => {
                return self.open(kind, keeps);
            }
            Step::Open { .. } => {}
            Step::Hello {
                client,
                id,
                version,
                class,
            } => self.hello(client, id, version, class),
            Step::Request {
                client,
                what,
                which,
                id,
                token,
            } => self.request(client, what, which, id, token),
            Step::Batch {
                client,
                count,
                salt,
            } => self.batch(client, count, salt),
            Step::Cancel { client, which } => self.cancel(client, which),
            Step::Tell { client, what } => self.tell(client, what),
            Step::Reply { client, which, how } => self.reply(client, which, how),
            Step::Garbage { client, kind } => self.garbage(client, kind),
            Step::Churn {
                client,
                which,
                count,
            } => self.churn(client, which, count),
            Step::End { client } => self.end(client),
            Step::Leave { client } => self.leave(client),
            Step::Stall { client, stops } => self.stall(client, stops),
            Step::Carry { link, count } => return self.carry(link, count),
            Step::Start { server, fails } => return self.start(server, fails),
            Step::Greet {
                server,
                version,
                declares,
            } => self.greet(server, version, declares),
            Step::Answer { server, which, how } => self.answer(server, which, how),
            Step::Report { server, which } => self.report(server, which),
            Step::Inquire {
                server,
                which,
                what,
                id,
            } => self.inquire(server, which, what, id),
            Step::Withdraw { server, which } => self.withdraw(server, which),
            Step::Utter {
                server,
                what,
                which,
            } => self.utter(server, what, which),
            Step::Noise { server, kind } => self.noise(server, kind),
            Step::Crash { server, lost } => self.crash(server, lost),
            Step::Hang { server, stops } => self.hang(server, stops),
            Step::Exit { server, refuses } => self.leave_process(server, refuses),
            Step::Settle | Step::Pass { .. } | Step::Restart { .. } | Step::Shutdown => {
                return self.take_time(step);
            }
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "peers take the others")]
    fn take_time(&mut self, step: Step) -> Held {
        match step {
            Step::Settle => self.settle(),
            Step::Pass {
                how_long: TO_THE_DEADLINE,
                late,
            } => {
                let next = self.next_deadline().unwrap_or(self.now());
                self.pass(next.max(self.now()), late)
            }
            Step::Pass { how_long, late } => {
                let millis = TIMES[usize::from(how_long) % TIMES.len()];
                self.pass(self.now() + Duration::from_millis(millis), late)
            }
            Step::Restart { name } => self.restart(NAMES[usize::from(name) % NAMES.len()]),
            Step::Shutdown if !self.is_shut_down => {
                self.hit(Fault::ShutDown);
                self.shut_down()
            }
            _of_peers => Ok(()),
        }
    }

    /// Clients that may still say something.
    pub(super) fn speaker(&self, at: u8) -> Option<usize> {
        let speakers: Vec<usize> = (0..self.clients.len())
            .filter(|at| self.clients[*at].can_speak())
            .collect();
        nth(&speakers, at)
    }

    /// Servers that are as far as that.
    pub(super) fn server(
        &self,
        at: u8,
        is_so: impl Fn(&crate::peers::Peer) -> bool,
    ) -> Option<UpstreamId> {
        let fitting: Vec<UpstreamId> = self
            .servers
            .iter()
            .filter(|(_, peer)| is_so(peer))
            .map(|(id, _)| *id)
            .collect();
        nth(&fitting, at)
    }

    pub(super) fn speaking(&self, at: u8) -> Option<UpstreamId> {
        self.server(at, crate::peers::Peer::is_speaking)
    }

    /// Links that have something on them and are not held up.
    pub(crate) fn busy_links(&self) -> Vec<LinkEnd> {
        let mut links = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            let is_closing = matches!(client.up.front(), Some(Up::Close));
            if !client.up.is_empty() && (!client.is_paused || is_closing) {
                links.push(LinkEnd::FromClient(at));
            }
            if !client.down.is_empty() && !client.is_stalled {
                links.push(LinkEnd::ToClient(at));
            }
        }
        for (id, peer) in &self.servers {
            let reads = matches!(peer.process, Process::Running | Process::Stopping);
            if !peer.inbox.is_empty() && !peer.is_hung && reads {
                links.push(LinkEnd::ToServer(*id));
            }
            if !peer.outbox.is_empty() {
                links.push(LinkEnd::FromServer(*id));
            }
        }
        links
    }

    pub(super) fn carry(&mut self, link: u8, count: u8) -> Held {
        let links = self.busy_links();
        let Some(end) = nth(&links, link) else {
            return Ok(());
        };
        let since = self.since(end);
        let has_older = links.iter().any(|other| self.since(*other) < since);
        // What comes in one turn is shown to the core before anything is done about it.
        for _ in 0..=count % 8 {
            if !self.carry_one(end)? {
                break;
            }
        }
        if has_older {
            self.hit(Fault::Reordered);
        }
        Ok(())
    }

    /// When the next thing on a link was said.
    fn since(&self, end: LinkEnd) -> Option<u64> {
        match end {
            LinkEnd::FromClient(at) => self.clients[at].up.since(),
            LinkEnd::ToClient(at) => self.clients[at].down.since(),
            LinkEnd::ToServer(id) => self.servers.get(&id)?.inbox.since(),
            LinkEnd::FromServer(id) => self.servers.get(&id)?.outbox.since(),
        }
    }

    /// Says whether there may be more on the link.
    pub(crate) fn carry_one(&mut self, end: LinkEnd) -> Result<bool, Broken> {
        match end {
            LinkEnd::FromClient(at) => {
                let is_last = matches!(self.clients[at].up.front(), Some(Up::Close));
                self.carry_up(at)?;
                Ok(!is_last && !self.clients[at].up.is_empty())
            }
            LinkEnd::ToClient(at) => {
                let is_last = matches!(
                    self.clients[at].down.front(),
                    Some(crate::peers::Down::Close)
                );
                self.carry_down(at)?;
                Ok(!is_last && !self.clients[at].down.is_empty())
            }
            LinkEnd::ToServer(id) => {
                self.carry_in(id)?;
                Ok(self
                    .servers
                    .get(&id)
                    .is_some_and(|peer| !peer.inbox.is_empty()))
            }
            LinkEnd::FromServer(id) => {
                self.carry_out(id)?;
                Ok(self
                    .servers
                    .get(&id)
                    .is_some_and(|peer| !peer.outbox.is_empty()))
            }
        }
    }

    pub(crate) fn pass(&mut self, end: Moment, late: bool) -> Held {
        if !self.busy_links().is_empty() {
            self.hit(Fault::Delayed);
        }
        if late {
            if self.next_deadline().is_some_and(|next| next < end) {
                self.hit(Fault::Overslept);
            }
            self.model.now = end;
            self.is_late = true;
            return Ok(());
        }
        let mut turns = 0;
        while let Some(next) = self.next_deadline().filter(|next| *next <= end) {
            turns += 1;
            ensure!(turns < TURNS, "there are deadlines without end");
            self.model.now = self.now().max(next);
            self.ring()?;
        }
        self.model.now = end;
        Ok(())
    }
}

/// A line that is longer than a message may be.
fn long_line(before: &str, bytes: usize, after: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0",{before}"x":"{}"{after}}}"#,
        "y".repeat(bytes)
    )
}
