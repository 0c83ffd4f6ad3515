//! What wakes the core, and why.

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{SessionId, UpstreamId},
    moment::Moment,
};

/// Why the core wants to be called though nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// A session has waited for its server's handshake as long as its client will.
    StartPatience(SessionId),
    /// A session that closed its input has waited for its answers long enough.
    DrainPatience(SessionId),
    /// A client has not come back for a request that was answered with questions.
    RoundPatience(SessionId),
    /// A client has not answered what its server wants to know before it answers, or a request of its may go to
    /// its server again.
    Inquiry(SessionId),
    /// A server has not said whether it tells of what a session wants to hear of.
    AgreementPatience(SessionId),
    /// A session may have been silent for so long that it is over.
    Silence(SessionId),
    /// A server has not answered the handshake.
    Greeting(UpstreamId),
    /// A server has had no session for its idle time.
    Idle(UpstreamId),
    /// A server that died may be started again.
    Rested(UpstreamId),
    /// A server of the modern era that has ended what it was listened to by may be listened to again.
    Listen(UpstreamId),
    /// The last call of sessions of one request that a server had is over, and no other has begun for a while.
    LastOfOneRequest(UpstreamId),
    /// The first call of a tool has run alone for long enough.
    Probation(UpstreamId),
    /// A server has said little enough of late that is no message, should it have been quiet.
    Noise(UpstreamId),
    /// A server has said nothing for a while, or has not answered a ping.
    Pulse(UpstreamId),
    /// Lists of a server have changed again after that was told.
    ChangeWindow(UpstreamId),
    /// An ask has waited for its owner to become clear.
    OwnerPatience(UpstreamId),
    /// A request of a server is as old as it may become, or has not got on for as long as it may.
    RequestTimeout(UpstreamId),
    /// There has been neither a session nor an upstream for as long as the daemon is kept then.
    Deserted,
    /// A server that is to be restarted has had time enough to answer what it works on.
    RestartPatience(UpstreamId),
}

/// Deadlines by time and by reason.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_moment: BTreeSet<(Moment, Timer)>,
    by_timer: BTreeMap<Timer, Moment>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, at: Moment) {
        if let Some(old) = self.by_timer.insert(timer, at) {
            self.by_moment.remove(&(old, timer));
        }
        self.by_moment.insert((at, timer));
    }

    /// Sets a timer, unless it is set for earlier.
    pub(crate) fn set_no_later(&mut self, timer: Timer, at: Moment) {
        if self.by_timer.get(&timer).is_none_or(|set| at < *set) {
            self.set(timer, at);
        }
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_moment.remove(&(at, timer));
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.by_timer.contains_key(&timer)
    }

    /// All that are set, the next one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Moment, Timer)> {
        self.by_moment.iter()
    }

    /// When a timer is due.
    pub(crate) fn moment_of(&self, timer: Timer) -> Option<Moment> {
        self.by_timer.get(&timer).copied()
    }

    pub(crate) fn next(&self) -> Option<(Moment, Timer)> {
        self.by_moment.first().copied()
    }

    /// Takes out the first timer whose moment has come.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
