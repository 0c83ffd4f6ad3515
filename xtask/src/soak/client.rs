//! One client: sessions, one after the other, until the soak ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;

use super::{
    faults::Class,
    record::{Outcome, Record},
    session::{Form, Session},
    shared::{Counts, Meetings, Server, Shared},
};
use crate::pipes::{Moved, Pipes};

/// Requests that a session has open at once, those not counted that wait to be cancelled.
const WINDOW: usize = 16;

/// Bytes that may wait to be written before nothing new is said.
const UNSAID_MAX: usize = 256 << 10;

/// What a session says in its life, more or less.
const LIFE: u64 = 1500;

/// How long nothing may come while something is owed.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long nothing may come before a client gives up the calls that the server holds.
const HOLD_PATIENCE: Duration = Duration::from_millis(5);

/// How a session ends before the soak does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Killed, whatever is open.
    Kill,
    /// Its input ends, whatever is open, and all of it is answered.
    Close,
}

/// Messages of the first session before the daemon is looked at for the first time.
const WARM_UP: u64 = 500;

/// Runs one client to the end of the soak.
pub(crate) fn run(shared: &Shared, client: u16) {
    let mut meetings = shared.meetings();
    if let Err(error) = live(shared, client, &mut meetings) {
        let what = format!("client {client}: {error:#}");
        shared.faults.note(Class::Unexpected, what);
        // The others need not go on.
        shared.end();
    }
    // Nobody must wait for us: not after an error, nor if the end was told between two of our sessions.
    meetings.attend_the_rest();
}

fn live(shared: &Shared, client: u16, meetings: &mut Meetings<'_>) -> anyhow::Result<()> {
    let mut dice = Rng::with_seed(shared.seed.wrapping_add(u64::from(client) << 32));
    for generation in 0.. {
        let mut session = open(shared, client, generation)?;
        let lived = session.live(&mut dice, meetings);
        session.hand_in();
        lived?;
        if shared.is_ending() {
            break;
        }
    }
    Ok(())
}

fn open(shared: &Shared, client: u16, generation: u16) -> anyhow::Result<Session<'_>> {
    let server: &Server = &shared.servers[usize::from(client) % shared.servers.len()];
    Ok(Session {
        shared,
        server,
        client,
        generation,
        pipes: Pipes::open(shared.connect(server))?,
        open: BTreeMap::new(),
        cancelled: BTreeMap::new(),
        record: Record::default(),
        counts: Counts::new(),
        last_pid: 0,
        subscriptions: BTreeMap::new(),
        refusals_due: 0,
        list_changes: 0,
        used_again: BTreeSet::new(),
    })
}

impl Session<'_> {
    fn live(&mut self, dice: &mut Rng, meetings: &mut Meetings<'_>) -> anyhow::Result<()> {
        self.greet()?;
        if self.generation == 0 {
            self.steps(dice, WARM_UP)?;
            self.drain()?;
            meetings.rest();
        }
        let life = LIFE / 2 + dice.u64(..LIFE);
        self.steps(dice, life)?;
        if self.shared.is_ending() {
            self.drain()?;
            meetings.rest();
            self.hear_the_news()?;
            return self.close();
        }
        match if dice.bool() { End::Kill } else { End::Close } {
            End::Kill => self.kill(dice),
            End::Close => self.close(),
        }
    }

    fn greet(&mut self) -> anyhow::Result<()> {
        let capabilities = if self.server.asks {
            r#"{"sampling":{},"elicitation":{}}"#
        } else {
            "{}"
        };
        self.errand(
            "initialize",
            format!(
                r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"clientInfo":{{"name":"soak","version":"1"}}}}"#
            ),
        );
        self.wait_for_all().context("greeting")?;
        self.pipes
            .say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        self.count("→ notifications");
        // On one server only: calls that log run apart where somebody listens.
        if self.client.is_multiple_of(4) && !self.server.asks {
            self.errand("logging/setLevel", r#"{"level":"debug"}"#.to_owned());
        }
        Ok(())
    }

    /// Goes on until so many messages were sent, or the soak ends.
    fn steps(&mut self, dice: &mut Rng, count: u64) -> anyhow::Result<()> {
        while !self.shared.is_ending() && (self.record.0.len() as u64) < count {
            self.step(dice)?;
        }
        Ok(())
    }

    /// Says what there is room for, and takes in what has come.
    fn step(&mut self, dice: &mut Rng) -> anyhow::Result<()> {
        while self.owed() < WINDOW && self.pipes.unsaid() < UNSAID_MAX {
            self.say_something(dice);
        }
        match self.pipes.exchange(HOLD_PATIENCE)? {
            Moved::Something => {
                self.take_all();
                return Ok(());
            }
            Moved::Nothing => {}
            Moved::End => bail!("the session ended by itself"),
        }
        // Calls of others, or our own, may wait for one that we hold.
        self.cancel_all_held();
        self.exchange()
    }

    /// Requests that will be answered.
    fn owed(&self) -> usize {
        let held = self.open.values().filter(|open| open.form == Form::Held);
        self.open.len() - held.count()
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        match self.pipes.exchange(PATIENCE)? {
            Moved::Something => self.take_all(),
            Moved::Nothing => {
                for open in self.open.values() {
                    let what = format!("{}: no answer", self.mark(open.number));
                    self.shared.faults.note(Class::Lost, what);
                }
                bail!(
                    "nothing came for {PATIENCE:?}, with {} bytes unsaid and {} refusals due",
                    self.pipes.unsaid(),
                    self.refusals_due
                );
            }
            Moved::End => bail!("the session ended by itself"),
        }
        Ok(())
    }

    fn take_all(&mut self) {
        while let Some(line) = self.pipes.line() {
            self.take(&line);
        }
    }

    /// Waits until everything that is open is answered.
    fn wait_for_all(&mut self) -> anyhow::Result<()> {
        while !self.open.is_empty() || self.pipes.unsaid() > 0 || self.refusals_due > 0 {
            self.exchange()?;
        }
        Ok(())
    }

    /// Comes to rest.
    fn drain(&mut self) -> anyhow::Result<()> {
        self.cancel_all_held();
        self.wait_for_all()?;
        // Behind the last cancellation, so that it has been dealt with.
        self.errand("ping", "{}".to_owned());
        self.wait_for_all()
    }

    /// One client of each server causes news for all.
    fn hear_the_news(&mut self) -> anyhow::Result<()> {
        let before = self.list_changes;
        if self.server.take_news() {
            self.change_list();
        }
        while self.list_changes == before {
            self.exchange().context("waiting for news of a list")?;
        }
        self.wait_for_all()
    }

    /// Gives what was sent and seen to whoever compares.
    fn hand_in(&mut self) {
        let record = std::mem::take(&mut self.record);
        let counts = std::mem::take(&mut self.counts);
        self.shared
            .hand_in((self.client, self.generation), record, counts);
    }

    /// Ends the input with whatever is open; all of it must be answered.
    fn close(&mut self) -> anyhow::Result<()> {
        self.cancel_all_held();
        while self.pipes.unsaid() > 0 {
            self.exchange()?;
        }
        self.pipes.close();
        let begun = Instant::now();
        loop {
            match self.pipes.exchange(PATIENCE)? {
                Moved::Something => self.take_all(),
                Moved::End => break,
                Moved::Nothing => bail!("a session did not end within {:?}", begun.elapsed()),
            }
        }
        self.take_all();
        for open in self.open.values() {
            let what = format!("{}: no answer before the end", self.mark(open.number));
            self.shared.faults.note(Class::Lost, what);
        }
        if self.refusals_due > 0 {
            let what = format!("{}: {} refusals", self.mark(0), self.refusals_due);
            self.shared.faults.note(Class::Lost, what);
        }
        *self.counts.entry("sessions that were closed").or_default() += 1;
        let status = self.pipes.ended()?;
        ensure!(status.success(), "a shim ended with {status}");
        Ok(())
    }

    /// Ends at once, in the middle of a line if it is so.
    fn kill(&mut self, dice: &mut Rng) -> anyhow::Result<()> {
        if dice.bool() {
            self.mutter();
            self.exchange()?;
        }
        // An answer, or our cancellation, may be on its way for ever. But what the server holds is
        // cancelled in every case: by us, or because we are gone.
        let open = self.open.values().chain(self.cancelled.values());
        for open in open {
            let outcome = if open.form == Form::Held {
                Outcome::Abandoned
            } else {
                Outcome::Orphaned
            };
            self.record.set(open.number, outcome);
        }
        *self.counts.entry("sessions that were killed").or_default() += 1;
        self.pipes.kill()
    }
}
