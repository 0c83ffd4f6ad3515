//! The loop that owns the core and shows it the world, one event at a time.
//!
//! A turn takes in everything that has arrived, lets the core decide on all of it, does what it asks
//! for into outlets, and then writes each outlet that was touched, once. What the writing leads to
//! (announcements that have left, sessions that were cut) is decided in the same turn.
//!
//! What one read of a peer brought arrives in pieces, so that others get in between. As long as nobody
//! does, a turn goes on with the next piece, and nothing is written: a flood costs as few writes as it
//! would in one piece. While floods take turns no piece is waited for.
//!
//! **Invariant:** nothing in a turn waits: effects are handed over, and a peer that does not read has
//! its own queue fill up.

mod books;
mod clock;
mod courtesy;
mod direct;
mod flush;
mod http;
mod inherit;
mod input;
mod intake;
mod keepsakes;
mod life;
mod lines;
mod look_up;
mod looks;
mod modern_post;
mod openings;
mod pace;
mod perform;
mod replay;
mod revive;
mod schemas;
mod session;
mod starts;
mod upgrade;
mod way_in;
mod web;
mod world;

use std::{
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use mux::{Event, Moment, Mux, Outbox};
use tokio::{net::UnixStream, sync::mpsc::Receiver};

use crate::{
    alarm::Alarm,
    front::HttpFault,
    link::Share,
    process::Process,
    upgrade::{UpgradeWish, monotonic},
};
use books::Books;
use clock::Clock;
use courtesy::Courtesy;
use upgrade::Wanted;

pub(crate) use courtesy::Rests;
pub(crate) use http::FrozenVisited;
pub(crate) use input::{AdminCall, Arrival, Entrance, Heard, Input, Peer, ProcessId};
pub(crate) use modern_post::FrozenModern;
pub(crate) use world::{Surroundings, World};

/// Inputs that are taken in by one turn.
const TURN_INPUTS: usize = 256;

/// Pieces that a turn goes on for at most when nobody else has anything to say.
const TURN_PIECES: u32 = 32;

/// Longest sleep; a deadline beyond it is looked at again.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// The core, the world, and the clock between them.
#[derive(Debug)]
pub(crate) struct Hub {
    mux: Mux,
    world: World,
    out: Outbox,
    books: Books,
    clock: Clock,
    alarm: Alarm,
    courtesy: Courtesy,
    stopping: Option<Stopping>,
    /// Set while somebody waits for another program to take our place.
    wanted: Option<Wanted>,
    /// Pieces that the turn has gone on for.
    pieces: u32,
    /// What the core takes of the room for all.
    of_core: Share,
    /// What the core was told last that the links take of it.
    told_buffered: usize,
}

/// How a hub has come to its end.
#[derive(Debug)]
pub(crate) enum Left {
    /// Everything has ended. These wait to hear of it.
    Ended(Vec<UnixStream>),
    /// It stands still since then, by the system's monotonic clock, and is to go on in another program; if
    /// that cannot be, here.
    Upgrade(Box<Hub>, Receiver<Input>, UpgradeWish, Duration),
}

/// The end of it all, once it is decided.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// When to leave, whatever is left.
    at_latest: Moment,
    /// When the servers had all ended, and until when clients may read their last messages.
    linger_until: Option<Moment>,
}

/// How finely the core is told how much the links hold: in so many steps of all that they may.
const BUFFERED_STEPS: usize = 64;

/// From the order to stop to the end, whatever hangs.
const STOP_AT_LATEST: Duration = Duration::from_secs(15);

/// What clients get to read their last messages.
const LINGER: Duration = Duration::from_millis(500);

impl Hub {
    pub(crate) fn new(mux: Mux, world: World) -> io::Result<Self> {
        Ok(Hub {
            mux,
            courtesy: Courtesy::new(world.around.rests.clone(), Arc::clone(&world.around.floods)),
            of_core: Share::of(&world.around.room),
            told_buffered: 0,
            world,
            out: Outbox::default(),
            books: Books::default(),
            clock: Clock::new(Instant::now()),
            alarm: Alarm::new()?,
            stopping: None,
            wanted: None,
            pieces: 0,
        })
    }

    /// Runs until everything has been stopped, or another program is to go on here.
    pub(crate) async fn run(mut self, mut inbox: Receiver<Input>) -> Left {
        let mut armed = Moment::NEVER;
        let mut batch = Vec::with_capacity(TURN_INPUTS);
        loop {
            let now = self.clock.look(Instant::now(), armed);
            if self.clock.stood_still() {
                // What it was set for has not come yet, though it may have rung.
                armed = Moment::NEVER;
            }
            self.turn(now, &mut batch);
            if self.is_over(now) {
                self.books.close(&self.mux);
                return Left::Ended(self.world.take_leave());
            }
            if let Some(wish) = self.due_upgrade(now) {
                return Left::Upgrade(Box::new(self), inbox, wish, monotonic());
            }
            let wake = self.next_wake(now);
            // One that is set too early costs a look at the clock; moving it costs the same each time.
            if wake < armed || armed <= now {
                armed = wake;
                self.alarm.set(wake - now);
            }
            self.show_courtesy(now);
            tokio::select! {
                biased;
                never = self.courtesy.attend(), if self.world.around.floods.is_locked() => match never {},
                count = inbox.recv_many(&mut batch, TURN_INPUTS) => {
                    debug_assert!(count > 0, "the world holds a sender");
                }
                _rung = self.alarm.rung() => {}
            }
        }
    }

    fn show_courtesy(&mut self, now: Moment) {
        let (sessions, processes) = (&mut self.world.sessions, &self.world.processes);
        self.courtesy.show(
            now,
            sessions.values_mut().map(|session| &mut session.work),
            || !processes.values().any(Process::awaits_outputs),
        );
    }

    /// The time, before there is anything to be woken for.
    fn now(&mut self) -> Moment {
        self.clock.look(Instant::now(), Moment::NEVER)
    }

    fn next_wake(&self, now: Moment) -> Moment {
        let wanted = self.mux.next_deadline().map_or(Moment::NEVER, |(at, _)| at);
        let ending = self.stopping.map_or(Moment::NEVER, |stopping| {
            stopping.linger_until.unwrap_or(stopping.at_latest)
        });
        let wanted = wanted.min(self.wanted.as_ref().map_or(Moment::NEVER, |it| it.until));
        // A moment that has passed is one whose turn comes at once.
        wanted
            .min(ending)
            .min(now + SLEEP_MAX)
            .max(Moment(now.0 + 1))
    }

    /// Shows the core an event.
    fn handle(&mut self, now: Moment, event: Event) {
        self.books.before(&event, &self.out);
        self.mux.handle(now, event, &mut self.out);
        self.books.after(&self.out);
    }

    fn turn(&mut self, now: Moment, batch: &mut Vec<Input>) {
        batch.iter_mut().for_each(Input::count_out);
        self.tell_buffered(now);
        // The reader of a piece that goes on has the next one in its hands, or says that it has ended.
        let is_read = |session| self.world.is_read(session);
        let goes_on = !batch.is_empty() && batch.iter().all(|input| input.goes_on(is_read));
        for input in batch.drain(..) {
            self.take_in(now, input);
        }
        // If floods wait, the next piece does not follow at once.
        if goes_on && self.pieces < TURN_PIECES && !self.world.around.floods.is_locked() {
            self.pieces += 1;
            return;
        }
        self.pieces = 0;
        if self.mux.next_deadline().is_some_and(|(at, _)| at <= now) {
            self.handle(now, Event::DeadlineReached);
        }
        loop {
            for action in self.out.actions() {
                self.world.perform(action);
            }
            if mem::take(&mut self.world.is_deserted) {
                self.stop(now, "nobody has needed it for as long as it is kept");
                continue;
            }
            self.world.flush_touched();
            let unheld = self.world.take_unheld();
            if self.world.echoes.is_empty() && unheld.is_empty() {
                break;
            }
            for event in mem::take(&mut self.world.echoes) {
                self.handle(now, event);
            }
            for session in unheld {
                self.take_held(now, session);
            }
        }
        self.world.forget_subjects();
        self.note_begun();
        // Last: the thread that writes the log should not wake up before the peers do.
        for fact in self.out.facts() {
            self.world.observe(&fact);
        }
        self.world.see_off();
        self.books.between_turns(&self.mux, &self.world);
    }

    /// Tells the core how much the links hold, if that is another order of things by now.
    fn tell_buffered(&mut self, now: Moment) {
        self.of_core.set(self.mux.held_bytes());
        let bytes = self.world.around.room.taken() - self.of_core.bytes();
        let step = self.world.around.limits.buffered_bytes / BUFFERED_STEPS;
        if bytes.abs_diff(self.told_buffered) > step {
            self.told_buffered = bytes;
            self.handle(now, Event::Buffered { bytes });
        }
    }

    /// Begins the end, or, when asked again, presses for it.
    fn stop(&mut self, now: Moment, why: &'static str) {
        if self.stopping.is_some() {
            self.world.hurry();
            return;
        }
        crate::observe::ending(why);
        self.stopping = Some(Stopping {
            at_latest: now + STOP_AT_LATEST,
            linger_until: None,
        });
        self.world.is_ending = true;
        self.world.close_door();
        self.world.tell_ending();
        self.world.looks.turn_away(HttpFault::Ending);
        self.world.set_aside.clear();
        self.turn_away_all_visits(&HttpFault::Ending);
        self.handle(now, Event::Shutdown);
    }

    fn is_over(&mut self, now: Moment) -> bool {
        let Some(stopping) = &mut self.stopping else {
            return false;
        };
        if now >= stopping.at_latest {
            crate::observe::ended_in_disorder("servers or clients that would not end");
            return true;
        }
        if !self.mux.is_finished() || self.world.end_guardian() {
            return false;
        }
        // They have been turned away, and are told so when they are heard of.
        if !self.world.looked_up.is_empty() {
            return false;
        }
        let until = *stopping.linger_until.get_or_insert(now + LINGER);
        now >= until || !self.world.has_sessions()
    }
}
