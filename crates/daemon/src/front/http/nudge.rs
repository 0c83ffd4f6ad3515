//! A connection that asks to be polled again while it is polled is polled again at once.
//!
//! hyper has a connection woken whenever a part of a body is taken out that it has put in, though both happen in one
//! poll (`docs/adr/0030`). In a thousand connections each such wake would mean to come back to one of them when all
//! that is known of it has long left the processor's cache.
//!
//! **Invariant:** no wake is lost: one that comes amid a poll leads to another, or is passed on.

use std::{
    mem,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use super::lock;

/// The wakes that come to one connection, while it is polled and after.
#[derive(Debug)]
pub(super) struct Nudges {
    shared: Arc<Shared>,
    /// What the connection is given to be woken by.
    waker: Waker,
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
enum State {
    /// A wake is passed on to whoever has polled last.
    Away(Waker),
    Polling,
    /// A wake has come while it is polled.
    Asked,
}

impl Nudges {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared(Mutex::new(State::Away(Waker::noop().clone()))));
        Nudges {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Polls, and once more if that is asked for meanwhile.
    pub(super) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut inner = Context::from_waker(&self.waker);
        self.shared.set(State::Polling);
        let mut polled = poll(&mut inner);
        if polled.is_pending() && matches!(self.shared.set(State::Polling), State::Asked) {
            polled = poll(&mut inner);
        }
        let away = State::Away(context.waker().clone());
        if matches!(self.shared.set(away), State::Asked) {
            // Others have their turn first.
            context.waker().wake_by_ref();
        }
        polled
    }
}

impl Shared {
    /// What it was before.
    fn set(&self, state: State) -> State {
        mem::replace(&mut *lock(&self.0), state)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = lock(&self.0);
        match &*state {
            State::Away(waker) => waker.wake_by_ref(),
            State::Polling | State::Asked => *state = State::Asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::woken::Woken;

    #[test]
    fn whoever_is_woken_amid_a_poll_is_polled_again_and_nobody_else_hears_of_it() {
        let (woken, waker) = Woken::new();
        let nudges = Nudges::new();
        let mut polls = 0;
        let polled = nudges.poll(&mut Context::from_waker(&waker), |context| {
            polls += 1;
            if polls == 1 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(polls)
        });
        assert_eq!((polled, woken.times()), (Poll::Ready(2), 0));
    }

    #[test]
    fn whoever_never_rests_has_others_have_their_turn() {
        let (woken, waker) = Woken::new();
        let nudges = Nudges::new();
        let mut polls = 0;
        let polled: Poll<()> = nudges.poll(&mut Context::from_waker(&waker), |context| {
            polls += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((polled, polls, woken.times()), (Poll::Pending, 2, 1));
    }

    #[test]
    fn a_wake_while_nobody_polls_is_passed_on_to_who_polled_last() {
        let (before, now) = (Woken::new(), Woken::new());
        let nudges = Nudges::new();
        let mut kept = None;
        for (_, waker) in [&before, &now] {
            let _pending: Poll<()> = nudges.poll(&mut Context::from_waker(waker), |context| {
                kept = Some(context.waker().clone());
                Poll::Pending
            });
        }
        kept.unwrap().wake();
        assert_eq!((before.0.times(), now.0.times()), (0, 1));
    }
}
