//! The whole of the state, and the door to it.

use crate::{
    action::Outbox, event::Event, limits::Limits, moment::Moment, snapshot::Snapshot, timers::Timer,
};

/// The pooler's mind.
#[derive(Debug)]
pub struct Mux {}

impl Mux {
    /// A mind with nothing on it.
    pub fn new(_limits: Limits) -> Self {
        Mux {}
    }

    /// Takes in what happened at `now` and puts what must be done into `out`.
    pub fn handle(&mut self, _now: Moment, _event: Event, _out: &mut Outbox) {}

    /// When to be called with [`Event::DeadlineReached`], and why; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<(Moment, Timer)> {
        None
    }

    /// Whether everything has ended after [`Event::Shutdown`].
    pub fn is_finished(&self) -> bool {
        false
    }

    /// What there is, for `status`.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }
}
