//! The books that are kept beside the core in tests: the module `audit` of `mux`.
//!
//! Compiled in by the feature `audit` alone; what users install has the other, empty half.
//!
//! **Invariant:** the books change nothing of what the daemon does. What they find is logged, as
//! `audit: ` with the number of the invariant, and the end of a daemon that keeps them says how much they
//! have seen.
//!
//! A program that takes the place of this one goes on with them.
//!
//! They take memory, though, for each message that is open. A daemon that is started with
//! `MCPOOL_BOOKS=none` keeps none: tests that measure what a daemon takes start it so.

pub(super) use kept::Books;

#[cfg(not(feature = "audit"))]
mod kept {
    use mux::{Event, Mux, Outbox};

    use crate::hub::{ProcessId, World};

    /// No books.
    #[derive(Debug, Default)]
    pub(in crate::hub) struct Books {}

    #[expect(clippy::unused_self, reason = "the other half has something to do")]
    impl Books {
        pub(in crate::hub) fn before(&mut self, _event: &Event, _out: &Outbox) {}

        pub(in crate::hub) fn after(&mut self, _out: &Outbox) {}

        pub(in crate::hub) fn stranger(&mut self, _process: ProcessId) {}

        pub(in crate::hub) fn between_turns(&mut self, _mux: &Mux, _world: &World) {}

        pub(in crate::hub) fn close(&mut self, _mux: &Mux) {}
    }
}

#[cfg(feature = "audit")]
mod kept {
    use serde::{Deserialize, Serialize};
    use serde_json::value::{RawValue, to_raw_value};

    use mux::{
        Event, Mux, Outbox, UpstreamId,
        audit::{Audit, Invariant, Process, Violation},
    };

    use crate::{
        hub::{ProcessId, World, pace::BACKLOG_MAX},
        link::Outlet,
        observe,
    };

    /// Most events after which everything is looked at once more.
    const LOOK_EVERY: u64 = 256;

    /// The part of what has been seen that is as many events as there are until the next look: at first
    /// there is one after each, as many a daemon sees few events in all.
    const LOOK_SHARE: u64 = 32;

    /// What a session is told of one request beside its answer, or in the place of one that was dropped.
    const OWED_BYTES: usize = 256;

    /// The books of one daemon.
    #[derive(Debug, Serialize, Deserialize)]
    pub(in crate::hub) struct Books {
        #[serde(skip)]
        is_kept: bool,
        audit: Audit,
        /// How many actions and facts there were before the event.
        #[serde(skip)]
        before: (usize, usize),
        /// Events at the last look at everything.
        looked_at: u64,
        /// What was found outside of the core.
        found_outside: u64,
    }

    impl Default for Books {
        fn default() -> Self {
            let wish = std::env::var_os("MCPOOL_BOOKS");
            Books {
                is_kept: wish.is_none_or(|wish| wish != "none"),
                audit: Audit::default(),
                before: (0, 0),
                looked_at: 0,
                found_outside: 0,
            }
        }
    }

    impl Books {
        /// All that stands in them, for the program that takes our place; `None` if none are kept.
        pub(in crate::hub) fn freeze(&self) -> serde_json::Result<Option<Box<RawValue>>> {
            self.is_kept.then(|| to_raw_value(self)).transpose()
        }

        /// Goes on with those of the program before us, or keeps none as it did.
        pub(in crate::hub) fn thaw(frozen: Option<&RawValue>) -> serde_json::Result<Self> {
            let Some(frozen) = frozen else {
                return Ok(Books {
                    is_kept: false,
                    ..Books::default()
                });
            };
            let books: Books = serde_json::from_str(frozen.get())?;
            Ok(Books {
                is_kept: true,
                ..books
            })
        }

        /// An event is about to be shown to the core.
        pub(in crate::hub) fn before(&mut self, event: &Event, out: &Outbox) {
            if !self.is_kept {
                return;
            }
            let (actions, facts) = out.contents();
            self.before = (actions.len(), facts.len());
            self.audit.event(event);
        }

        /// The core has decided.
        pub(in crate::hub) fn after(&mut self, out: &Outbox) {
            if !self.is_kept {
                return;
            }
            let (actions, facts) = out.contents();
            let actions = actions.get(self.before.0..).unwrap_or_default();
            let facts = facts.get(self.before.1..).unwrap_or_default();
            self.audit.outcome(actions, facts);
            self.report();
        }

        /// The guardian has started a process that nobody has asked for.
        pub(in crate::hub) fn stranger(&mut self, process: ProcessId) {
            self.find(
                Invariant::WantedChildren,
                format!("{process} was started and nobody has asked for it"),
            );
        }

        /// A turn is over: now and then everything is looked at.
        pub(in crate::hub) fn between_turns(&mut self, mux: &Mux, world: &World) {
            let events = self.audit.count().events;
            let pause = (self.looked_at / LOOK_SHARE).min(LOOK_EVERY);
            if events - self.looked_at <= pause {
                return;
            }
            self.looked_at = events;
            self.look(mux, world);
        }

        fn look(&mut self, mux: &Mux, world: &World) {
            self.audit.compare(&mux.snapshot(), &world.around.limits);
            self.report();
            self.look_at_children(world);
            self.look_at_queues(world);
        }

        /// The end of the daemon. Nobody must take it for an audit where no books are kept.
        pub(in crate::hub) fn close(&mut self, mux: &Mux) {
            if !self.is_kept {
                return;
            }
            if mux.is_finished() {
                self.audit.at_rest();
                self.report();
            }
            let mut count = self.audit.count();
            count.violations += self.found_outside;
            observe::audited(count);
        }

        /// What the core wants to run has a process, or waits to have one, and nothing else has.
        fn look_at_children(&mut self, world: &World) {
            let waits = |upstream: &UpstreamId| {
                world.behind_direct.contains_key(upstream)
                    || world.starts.contains_key(upstream)
                    || world
                        .postponed
                        .iter()
                        .any(|(waiting, _)| waiting == upstream)
            };
            let wanted = self.audit.processes();
            let wanted = wanted.filter(|(_, process)| *process != Process::None);
            let wanted = wanted.filter(|(upstream, _)| !waits(upstream));
            let wanted: Vec<UpstreamId> = wanted.map(|(upstream, _)| upstream).collect();
            let there: Vec<UpstreamId> = world.by_upstream.keys().copied().collect();
            if wanted != there || there.len() != world.processes.len() {
                self.find(
                    Invariant::WantedChildren,
                    format!("{there:?} have processes and {wanted:?} should"),
                );
            }
        }

        /// No more waits for anybody than may.
        fn look_at_queues(&mut self, world: &World) {
            let limits = &world.around.limits;
            let requests_max = limits.session_queue + limits.session_in_flight;
            for (id, session) in &world.sessions {
                let outlet = &session.outlet;
                let limit = limits.slow_reader_bytes;
                // One message more always fits, and what is said in place of answers that were dropped.
                let beside = outlet.longest() + requests_max * OWED_BYTES;
                let waiting = outlet.waiting();
                let is_within = outlet.behind_head() <= limit + beside;
                let reads_on = session.pace.has_read(outlet.taken(), limit)
                    && waiting <= BACKLOG_MAX * limit + beside;
                if !(is_within || reads_on) {
                    self.find(
                        Invariant::WithinCaps,
                        format!("{waiting} bytes wait for {id}"),
                    );
                }
            }
            // That no request is sent to one with more than that, once the core knows, is seen by the audit.
            for (id, process) in &world.processes {
                let outlet = process.outlet.as_ref().filter(|_| !process.blocked);
                let waiting = outlet.map_or(0, Outlet::waiting);
                if waiting > limits.slow_server_bytes {
                    self.find(
                        Invariant::WithinCaps,
                        format!("{waiting} bytes wait for {id} and the core does not know it"),
                    );
                }
            }
        }

        fn find(&mut self, invariant: Invariant, words: String) {
            self.found_outside += 1;
            observe::violated(&Violation { invariant, words });
        }

        fn report(&mut self) {
            for violation in self.audit.take_violations() {
                observe::violated(&violation);
            }
        }
    }
}
