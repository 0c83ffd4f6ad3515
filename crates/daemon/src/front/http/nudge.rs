//! A connection that asks for another look while it is looked after gets that at once.
//!
//! hyper has a connection woken whenever a part of a body is taken out that it has put in, though both happen in one
//! look (`docs/adr/0030`). In a thousand connections each such wake would mean to come back to one of them when all
//! that is known of it has long left the processor's cache.
//!
//! **Invariant:** no wake is lost: one that comes amid a look leads to another, or is passed on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Nobody looks: a wake is passed on.
const AWAY: u8 = 0;
/// Somebody looks.
const LOOKING: u8 = 1;
/// Somebody looks, and was asked to look once more.
const ASKED: u8 = 2;

/// Whoever looks after one connection.
#[derive(Debug)]
pub(super) struct Nudges {
    shared: Arc<Shared>,
    /// The same, to be given to who is looked after.
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// Wakes whoever looks.
    waker: Mutex<Option<Waker>>,
}

impl Nudges {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(AWAY),
            waker: Mutex::new(None),
        });
        Nudges {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Looks, and once more if that is asked for meanwhile.
    pub(super) fn look<T>(
        &self,
        context: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match &mut *self.shared.waker() {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        let mut inner = Context::from_waker(&self.waker);
        self.shared.state.store(LOOKING, Ordering::SeqCst);
        let mut seen = look(&mut inner);
        if seen.is_pending() && self.shared.state.swap(LOOKING, Ordering::SeqCst) == ASKED {
            seen = look(&mut inner);
        }
        if self.shared.state.swap(AWAY, Ordering::SeqCst) == ASKED {
            // Others have their turn first.
            context.waker().wake_by_ref();
        }
        seen
    }
}

impl Shared {
    /// Nobody panics who holds it.
    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let asked = |state| (state != AWAY).then_some(ASKED);
        let amid = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, asked);
        if amid.is_err()
            && let Some(waker) = &*self.waker()
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// How often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn whoever_is_woken_amid_a_look_is_looked_after_again_and_nobody_else_hears_of_it() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let nudges = Nudges::new();
        let mut looks = 0;
        let seen = nudges.look(&mut Context::from_waker(&waker), |context| {
            looks += 1;
            if looks == 1 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(looks)
        });
        assert_eq!((seen, woken.times()), (Poll::Ready(2), 0));
    }

    #[test]
    fn whoever_never_rests_has_others_have_their_turn() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let nudges = Nudges::new();
        let mut looks = 0;
        let seen: Poll<()> = nudges.look(&mut Context::from_waker(&waker), |context| {
            looks += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((seen, looks, woken.times()), (Poll::Pending, 2, 1));
    }

    #[test]
    fn a_wake_while_nobody_looks_is_passed_on_to_who_looked_last() {
        let (before, now) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        let nudges = Nudges::new();
        let mut kept = None;
        for woken in [&before, &now] {
            let waker = Waker::from(Arc::clone(woken));
            let _pending: Poll<()> = nudges.look(&mut Context::from_waker(&waker), |context| {
                kept = Some(context.waker().clone());
                Poll::Pending
            });
        }
        kept.unwrap().wake();
        assert_eq!((before.times(), now.times()), (0, 1));
    }
}
