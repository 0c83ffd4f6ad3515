//! One look at all connections now and then, in place of a timer in each: what a connection is told from outside,
//! and what comes of it when a request, or the rest between two, has taken long.
//!
//! A timer that is set and taken back for each request costs more than most of what is done for it (`docs/adr/0028`).
//!
//! **Invariant:** what is told while nobody listens is heard later: a connection that is told to go has gone when
//! it would go on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::watch, time};

use super::{
    Front, REST_PATIENCE,
    events::COMMENT_INTERVAL,
    timed::{Busy, Stage},
};
use crate::hub::Input;

/// From one look to the next. Whatever takes time here is seen to be over by so much later.
const LOOK: Duration = Duration::from_millis(100);

/// How long an answer may take before its response becomes a stream, which a client can come back to.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// How long the body of a request may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection rests until it has no buffers.
const REST: Duration = LOOK;

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To keep nothing that it does not need to rest.
    Rest,
    /// To end.
    End,
    /// To be let go, so that somebody goes on with it.
    LetGo,
}

/// What it has been told and has not heard.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// 0 for nothing, or the number of the order. A greater one counts more.
    told: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Orders {
    pub(super) fn tell(&self, order: Order) {
        self.told.fetch_max(1 + order as u8, Ordering::Relaxed);
        self.wake();
    }

    /// Has whoever listens look after everything anew.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }

    /// Ready when something has been told.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Order> {
        let told = match self.told.load(Ordering::Relaxed) {
            0 => {
                let mut waker = self.waker();
                match &mut *waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            1 => Order::Rest,
            2 => Order::End,
            _ => Order::LetGo,
        };
        if told == Order::Rest {
            // The others are the end.
            self.told.store(0, Ordering::Relaxed);
        }
        Poll::Ready(told)
    }

    /// What is told next.
    pub(super) async fn come(&self) -> Order {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Nobody panics who holds it.
    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how many looks nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    /// What was seen: how many requests there were, and how far the last was.
    pub(super) seen: (u64, Stage),
    pub(super) looks: u32,
}

impl Age {
    /// This is what is seen now.
    pub(super) fn grow(&mut self, seen: (u64, Stage)) {
        let is_same = self.seen == seen;
        let looks = if is_same {
            self.looks.saturating_add(1)
        } else {
            0
        };
        *self = Age { seen, looks };
    }
}

/// The number of looks after which that time has passed.
const fn looks(time: Duration) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "all of them are minutes at most"
    )]
    let looks = time.as_millis().div_ceil(LOOK.as_millis()) as u32;
    looks
}

/// Looks after all connections until nobody is to be let in any more.
pub(super) async fn look_after(front: Arc<Front>, mut open: watch::Receiver<()>) {
    loop {
        // Those that are no request's, or whose streams go on, are left alone until that is over.
        let is_idle = front
            .awake()
            .all(|busy| busy.course().stage == Stage::Streams);
        tokio::select! {
            biased;
            _dropped = open.changed() => return,
            () = front.pause.stirred(), if is_idle => continue,
            () = time::sleep(LOOK), if !is_idle => {}
        }
        // Who has said everything may not have been heard.
        if !front.pause.is_on() {
            front.strangers.thin_out();
        }
        for busy in front.awake() {
            if let Some(input) = look_at(&busy)
                && front.inbox.send(input).await.is_err()
            {
                return;
            }
        }
    }
}

/// Looks at one connection; what the hub has to hear of it.
fn look_at(busy: &Busy) -> Option<Input> {
    let Age {
        seen: (_, stage),
        looks: passed,
    } = busy.grow_older();
    let course = busy.course();
    match stage {
        Stage::AtRest if passed >= looks(REST_PATIENCE) => busy.orders().tell(Order::End),
        Stage::AtRest if passed >= looks(REST) && busy.can_rest() => {
            busy.orders().tell(Order::Rest);
        }
        Stage::Coming if passed >= looks(BODY_PATIENCE) && course.has_body => {
            busy.is_too_slow();
        }
        Stage::AtTheHub if busy.round().is_none() => {
            let beyond = passed.checked_sub(looks(ANSWER_PATIENCE))?;
            if beyond % looks(COMMENT_INTERVAL) == 0 {
                let connection = busy.connection();
                // Without a key there is nothing to come back with.
                return Some(Input::AnswerLasts {
                    key: course.key?,
                    connection,
                });
            }
        }
        Stage::AtRest | Stage::Coming | Stage::AtTheHub | Stage::Streams | Stage::Written => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{front::Key, link::ConnectionId};

    fn busy() -> Busy {
        Busy::of(ConnectionId(7), super::super::timed::Pause::default())
    }

    /// How many looks it takes until one of them leads to something.
    fn until(mut happens: impl FnMut() -> bool) -> u32 {
        (0..1000).find(|_| happens()).unwrap_or(u32::MAX)
    }

    #[tokio::test]
    async fn what_is_told_before_anybody_listens_is_heard_and_the_end_counts_more_than_a_rest() {
        let orders = Orders::default();
        orders.tell(Order::Rest);
        assert_eq!(orders.come().await, Order::Rest);
        for order in [Order::End, Order::Rest] {
            orders.tell(order);
        }
        assert_eq!(orders.come().await, Order::End);
        let orders = Orders::default();
        let (heard, ()) = tokio::join!(orders.come(), async { orders.tell(Order::LetGo) });
        assert_eq!(heard, Order::LetGo);
    }

    #[tokio::test]
    async fn an_answer_lasts_after_its_time_and_again_when_a_comment_is_due() {
        let busy = busy();
        let key = Key::random().unwrap();
        let _answering = busy.begin();
        busy.is_of(Some(key));
        busy.is_at(Stage::AtTheHub);
        let lasts = || {
            let input = look_at(&busy);
            matches!(input, Some(Input::AnswerLasts { key: of, connection })
                if of == key && connection == busy.connection())
        };
        assert_eq!(until(lasts), looks(ANSWER_PATIENCE));
        assert_eq!(until(lasts), looks(COMMENT_INTERVAL) - 1);
    }

    #[tokio::test]
    async fn a_request_that_changes_is_looked_at_anew_and_rest_is_told_once_it_has_lasted() {
        let busy = busy();
        busy.passes();
        for _ in 0..10 {
            let answering = busy.begin();
            assert!(look_at(&busy).is_none());
            drop(answering);
            assert!(look_at(&busy).is_none());
        }
        let mut has_to_rest = || {
            look_at(&busy);
            let context = Context::from_waker(Waker::noop());
            busy.orders().poll(&context) == Poll::Ready(Order::Rest)
        };
        assert_eq!(until(&mut has_to_rest), looks(REST) - 1);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_too_slow() {
        let busy = busy();
        let _answering = busy.begin();
        busy.has_body(true);
        let is_late = || {
            look_at(&busy);
            busy.has_become_too_slow()
        };
        assert_eq!(until(is_late), looks(BODY_PATIENCE));
    }
}
