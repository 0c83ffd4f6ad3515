//! Calls that were cancelled and that the server may still be working on.
//!
//! What such a call makes the server ask must not reach another session. A ghost is laid by the late
//! answer, as soon as no ask waits that came before it, or fades when its time is over. Of calls of an
//! earlier daemon nobody knows the ids: whose they may be is known, and that until the session says that
//! it has none.
//!
//! **Invariant:** what is kept is bounded for each session, and goes with its time.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{exchange::MintedId, ids::SessionId, moment::Moment};

/// Ghosts of one session that are told apart. When there are more, no answer lays any of them.
const TOLD_APART_MAX: usize = 256;

/// Cancelled calls, by the session that they were of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ghosts {
    by_session: BTreeMap<SessionId, Haunt>,
    owners: BTreeMap<MintedId, SessionId>,
    /// Those of `owners` that have been answered and are not laid yet.
    answered: BTreeSet<MintedId>,
    /// Sessions that an earlier daemon had, and until when calls of that time may be at work.
    abandoned: BTreeMap<SessionId, Moment>,
}

/// The sessions whose calls may be at work though nobody waits for them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Haunting {
    /// Cancelled calls.
    pub(crate) cancelled: Vec<SessionId>,
    /// Calls of an earlier daemon.
    pub(crate) abandoned: Vec<SessionId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Haunt {
    /// `None` for a crowd.
    ids: Option<BTreeSet<MintedId>>,
    until: Moment,
    /// Until when others wait for its answers. It is not put off by those that come to it: a server that
    /// acknowledges cancellations does so at once, and most that do not never will.
    #[serde(default)]
    awaited_until: Moment,
}

/// How long a cancelled call counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    /// Until when what the server says may be because of it.
    pub(crate) until: Moment,
    /// Until when what could be mistaken for it waits for its answer.
    pub(crate) awaited_until: Moment,
}

impl Ghosts {
    pub(crate) fn appear(&mut self, id: MintedId, session: SessionId, now: Moment, spell: Spell) {
        self.fade(now);
        let haunt = self.by_session.entry(session).or_insert_with(|| Haunt {
            ids: Some(BTreeSet::new()),
            until: spell.until,
            awaited_until: spell.awaited_until,
        });
        haunt.until = haunt.until.max(spell.until);
        let Some(ids) = &mut haunt.ids else {
            return;
        };
        ids.insert(id);
        self.owners.insert(id, session);
        if ids.len() > TOLD_APART_MAX {
            for id in haunt.ids.take().into_iter().flatten() {
                self.owners.remove(&id);
                self.answered.remove(&id);
            }
        }
    }

    /// An earlier daemon had cancelled calls of this session.
    pub(crate) fn appear_unnamed(&mut self, session: SessionId, until: Moment) {
        let haunt = Haunt {
            ids: None,
            until,
            awaited_until: Moment::default(),
        };
        self.by_session.insert(session, haunt);
    }

    /// An earlier daemon had this session, whose calls may be at work.
    pub(crate) fn abandon(&mut self, session: SessionId, until: Moment) {
        self.abandoned.insert(session, until);
    }

    /// The session is here again and had no call at work. Says whether that is news.
    pub(crate) fn return_from(&mut self, session: SessionId) -> bool {
        self.abandoned.remove(&session).is_some()
    }

    pub(crate) fn haunting(&mut self, now: Moment) -> Haunting {
        self.fade(now);
        Haunting {
            cancelled: self.by_session.keys().copied().collect(),
            abandoned: self.abandoned.keys().copied().collect(),
        }
    }

    /// Whether a session has cancelled calls here.
    pub(crate) fn has_any_of(&self, session: SessionId) -> bool {
        self.by_session.contains_key(&session)
    }

    /// The server has answered it. Says whether it was there.
    pub(crate) fn lay(&mut self, id: MintedId) -> bool {
        let Some(session) = self.owners.remove(&id) else {
            return false;
        };
        self.answered.remove(&id);
        if let Some(haunt) = self.by_session.get_mut(&session)
            && let Some(ids) = &mut haunt.ids
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_session.remove(&session);
            }
        }
        true
    }

    /// The server has answered it, and may have asked because of it before.
    pub(crate) fn lay_later(&mut self, id: MintedId) {
        if self.owners.contains_key(&id) {
            self.answered.insert(id);
        }
    }

    /// Lays those that have been answered.
    pub(crate) fn lay_the_answered(&mut self) {
        for id in core::mem::take(&mut self.answered) {
            self.lay(id);
        }
    }

    /// Forgets those whose time is over.
    pub(crate) fn fade(&mut self, now: Moment) {
        let (owners, answered) = (&mut self.owners, &mut self.answered);
        self.by_session.retain(|_, haunt| {
            let stays = haunt.until > now;
            if !stays {
                for id in haunt.ids.iter().flatten() {
                    owners.remove(id);
                    answered.remove(id);
                }
            }
            stays
        });
        self.abandoned.retain(|_, until| *until > now);
    }

    pub(crate) fn are_of_none(&self) -> bool {
        self.by_session.is_empty() && self.abandoned.is_empty()
    }

    /// Whether an answer is still awaited that lays a ghost of another session. What an earlier daemon had
    /// never gets one.
    pub(crate) fn are_awaited_beside(&self, session: SessionId, now: Moment) -> bool {
        let mut haunts = self.by_session.iter();
        haunts.any(|(haunting, haunt)| *haunting != session && haunt.awaited_until > now)
    }

    /// When the next of these waits is over.
    pub(crate) fn next_unawaited(&self, now: Moment) -> Option<Moment> {
        let awaited = self.by_session.values().map(|haunt| haunt.awaited_until);
        awaited.filter(|until| *until > now).min()
    }

    pub(crate) fn are_all_of(&self, session: SessionId) -> bool {
        let mut haunting = self.by_session.keys().chain(self.abandoned.keys());
        haunting.all(|haunting| *haunting == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId(1);
    const BOB: SessionId = SessionId(2);
    const NOW: Moment = Moment(0);
    const LATER: Moment = Moment(1_000);

    fn until(until: Moment) -> Spell {
        Spell {
            until,
            awaited_until: Moment(100),
        }
    }

    #[test]
    fn a_ghost_is_laid_by_its_answer_or_fades() {
        let mut ghosts = Ghosts::default();
        ghosts.appear(1, ALICE, NOW, until(LATER));
        ghosts.appear(2, BOB, NOW, until(Moment(2_000)));
        assert!(!ghosts.are_all_of(ALICE));
        assert!(ghosts.lay(2) && !ghosts.lay(2));
        assert!(ghosts.are_all_of(ALICE) && !ghosts.are_of_none());
        ghosts.fade(LATER);
        assert!(ghosts.are_of_none() && ghosts.owners.is_empty());
    }

    #[test]
    fn one_that_is_answered_while_an_ask_waits_is_laid_when_that_is_decided() {
        let mut ghosts = Ghosts::default();
        ghosts.appear(1, ALICE, NOW, until(LATER));
        ghosts.lay_later(1);
        ghosts.lay_later(77);
        assert!(!ghosts.are_of_none());
        ghosts.lay_the_answered();
        assert!(ghosts.are_of_none() && ghosts.answered.is_empty());
        ghosts.appear(2, ALICE, NOW, until(LATER));
        ghosts.lay_later(2);
        ghosts.fade(LATER);
        assert!(ghosts.are_of_none() && ghosts.answered.is_empty());
    }

    #[test]
    fn what_an_earlier_daemon_had_goes_when_its_session_is_back_or_fades() {
        let mut ghosts = Ghosts::default();
        ghosts.abandon(ALICE, LATER);
        ghosts.abandon(BOB, LATER);
        ghosts.appear_unnamed(BOB, Moment(500));
        assert!(!ghosts.are_all_of(BOB) && !ghosts.are_awaited_beside(BOB, NOW));
        ghosts.appear(1, ALICE, NOW, until(LATER));
        assert!(ghosts.are_awaited_beside(BOB, NOW) && ghosts.lay(1));
        assert!(ghosts.return_from(ALICE) && !ghosts.return_from(ALICE));
        assert!(ghosts.are_all_of(BOB) && ghosts.return_from(BOB));
        assert!(!ghosts.are_of_none(), "what was cancelled is not told of");
        ghosts.abandon(ALICE, LATER);
        ghosts.fade(LATER);
        assert!(ghosts.are_of_none());
    }

    #[test]
    fn an_answer_is_awaited_once_however_many_calls_are_cancelled() {
        let mut ghosts = Ghosts::default();
        ghosts.appear(1, ALICE, NOW, until(LATER));
        assert!(ghosts.are_awaited_beside(BOB, NOW) && !ghosts.are_awaited_beside(ALICE, NOW));
        assert_eq!(ghosts.next_unawaited(NOW), Some(Moment(100)));
        let later = Spell {
            until: LATER,
            awaited_until: Moment(150),
        };
        ghosts.appear(2, ALICE, Moment(50), later);
        assert!(!ghosts.are_awaited_beside(BOB, Moment(100)) && !ghosts.are_all_of(BOB));
        assert!(ghosts.lay(1) && ghosts.lay(2));
        ghosts.appear(3, ALICE, Moment(100), later);
        assert!(
            ghosts.are_awaited_beside(BOB, Moment(100)),
            "who answers is awaited again"
        );
    }

    #[test]
    fn a_crowd_is_kept_as_one_and_only_fades() {
        let mut ghosts = Ghosts::default();
        for id in 0..10_000 {
            ghosts.appear(id, ALICE, NOW, until(LATER));
        }
        assert!(ghosts.owners.is_empty());
        assert!(!ghosts.lay(9_999));
        assert!(!ghosts.are_of_none() && ghosts.are_all_of(ALICE));
        ghosts.fade(LATER);
        assert!(ghosts.are_of_none());
    }
}
