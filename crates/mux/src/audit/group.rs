//! Requests that are alike to the byte, but for ids and tokens, and where they are.
//!
//! From outside nobody can tell which of several such requests went to a server, so they are counted
//! together. Usually there is one.
//!
//! **Invariant:** where it is open which request left a group, the counts are what favours the core.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wire::{Method, RequestId};

use crate::{Past, SessionId, UpstreamId};

/// A request as its client knows it.
pub(super) type Asked = (SessionId, RequestId);

/// A request as a server knows it.
pub(super) type Sent = (UpstreamId, u64);

/// How often one request may go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Times {
    /// It does something.
    Once,
    /// It only reads: once more after the server has died.
    Twice,
}

/// Open requests that are alike.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Group {
    times: Times,
    #[serde(with = "crate::frozen::forms::pairs")]
    open: BTreeMap<Asked, usize>,
    open_count: usize,
    /// Of which servers have these and no answer was passed on yet.
    pub(super) sent: BTreeSet<Sent>,
    /// How many of the open ones are at a server, at least.
    away: usize,
    /// How often the open ones went to a server, at least.
    sends: usize,
    /// How many of the open ones came in a batch, whose answers wait for each other.
    batched: usize,
    /// How many answers in `sent` may be nobody's: of which request they were is open.
    doubtful: usize,
}

impl Group {
    pub(super) fn new(method: &Method) -> Self {
        Group {
            times: if method.is_read_only() {
                Times::Twice
            } else {
                Times::Once
            },
            open: BTreeMap::new(),
            open_count: 0,
            sent: BTreeSet::new(),
            away: 0,
            sends: 0,
            batched: 0,
            doubtful: 0,
        }
    }

    pub(super) fn enter(&mut self, asked: Asked, in_batch: bool) {
        *self.open.entry(asked).or_default() += 1;
        self.open_count += 1;
        self.batched += usize::from(in_batch);
    }

    /// A request is over, whatever became of it.
    pub(super) fn leave(&mut self, asked: &Asked, in_batch: bool) {
        if let Some(count) = self.open.get_mut(asked) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(asked);
            }
            self.open_count -= 1;
            self.batched -= usize::from(in_batch);
            self.away = self.away.saturating_sub(1);
            self.sends = self.sends.saturating_sub(self.times_max());
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Asked> {
        self.open.keys()
    }

    pub(super) fn has_batched(&self) -> bool {
        self.batched > 0
    }

    /// Who has one of them and has not answered, as far as was passed on: a session may have gone elsewhere while the
    /// first answers of a batch waited for the last.
    pub(super) fn servers(&self) -> BTreeSet<UpstreamId> {
        self.sent.iter().map(|(server, _)| *server).collect()
    }

    /// One of them goes to a server. Says whether it may.
    #[must_use]
    pub(super) fn send(&mut self, sent: Sent) -> bool {
        self.sent.insert(sent);
        self.away += 1;
        self.sends += 1;
        self.sends <= self.times_max() * self.open_count && !self.is_for_nobody()
    }

    /// One of them went to a server before there were these books, and so often.
    pub(super) fn was_sent(&mut self, past: Past) {
        let times = match past {
            Past::Kept => 0,
            Past::Sent => 1,
            Past::Repeated => 2,
        };
        self.sends += times;
        if times >= self.times_max() {
            // It is nowhere, and must not go anywhere.
            self.away += 1;
        }
    }

    /// A server has died with one of them.
    pub(super) fn died(&mut self, sent: Sent) {
        if self.sent.remove(&sent) && self.times == Times::Twice {
            self.away = self.away.saturating_sub(1);
        }
    }

    /// One of them was for a server that has died, and never reached it.
    pub(super) fn returned(&mut self, sent: Sent) {
        if self.sent.remove(&sent) {
            self.away = self.away.saturating_sub(1);
            self.sends = self.sends.saturating_sub(1);
        }
    }

    /// Whether one that was sent is at no server any longer and has no answer either.
    pub(super) fn has_lost_one(&self) -> bool {
        self.batched == 0 && self.away > self.sent.len()
    }

    /// Whether a server works on one that nobody waits for.
    pub(super) fn is_for_nobody(&self) -> bool {
        self.sent.len() - self.doubtful.min(self.sent.len()) > self.open_count
    }

    /// A request of a batch has no room for its answer, or its server had none for it. In the first case
    /// one of the answers that wait is its own, and is nobody's now.
    pub(super) fn doubt(&mut self) {
        self.doubtful += 1;
    }

    /// So many of those that were sent have answers, which wait for the rest of their batches. Those that
    /// are too many are nobody's, whichever they are.
    pub(super) fn settle_doubt(&mut self, answered: usize) {
        let too_many = self.sent.len().saturating_sub(self.open_count);
        self.doubtful = self.doubtful.max(too_many).min(answered);
    }

    /// Counts anew from what there is, so that one fault is found once.
    pub(super) fn forgive(&mut self) {
        self.away = self.sent.len();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open_count == 0 && self.sent.is_empty()
    }

    fn times_max(&self) -> usize {
        match self.times {
            Times::Once => 1,
            Times::Twice => 2,
        }
    }
}
