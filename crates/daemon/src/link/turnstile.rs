//! Where floods wait, so that others come first.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, task};

use crate::alarm::Alarm;

/// How long it takes at least until the next may pass. Longer than a call takes, so that of all floods
/// together each call meets one piece.
pub(crate) const TURN: Duration = Duration::from_micros(200);

/// Lets everybody through, or one after the other.
#[derive(Debug)]
pub(crate) struct Turnstile {
    is_locked: AtomicBool,
    waiting: AtomicUsize,
    turn: Notify,
    alarm: Alarm,
}

impl Turnstile {
    /// One that lets everybody through.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Turnstile {
            is_locked: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            turn: Notify::new(),
            alarm: Alarm::new()?,
        })
    }

    /// Returns at once, or when it is this one's turn.
    pub(crate) async fn passed(&self) {
        if !self.is_locked() {
            return;
        }
        let _waiting = Waiting::at(self);
        self.alarm.set(TURN);
        self.turn.notified().await;
    }

    /// Returns when it may be somebody's turn.
    pub(crate) async fn is_asked(&self) {
        if self.alarm.rung().await.is_err() {
            // Without a clock that rings they would wait for ever.
            self.unlock();
            task::yield_now().await;
        }
    }

    /// Has them wait a little longer.
    pub(crate) fn put_off(&self, wait: Duration) {
        self.alarm.set(wait);
    }

    /// Lets one through.
    pub(crate) fn let_one_through(&self) {
        self.turn.notify_one();
        if self.waiting.load(Ordering::Relaxed) > 1 {
            self.alarm.set(TURN);
        }
    }

    /// Whether only one after the other passes.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked.load(Ordering::Relaxed)
    }

    /// From now on only one after the other passes.
    pub(crate) fn lock(&self) {
        self.is_locked.store(true, Ordering::Relaxed);
    }

    /// Lets everybody through.
    pub(crate) fn unlock(&self) {
        self.is_locked.store(false, Ordering::Relaxed);
        self.turn.notify_waiters();
    }
}

/// Somebody who waits.
struct Waiting<'a>(&'a Turnstile);

impl<'a> Waiting<'a> {
    fn at(turnstile: &'a Turnstile) -> Self {
        turnstile.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(turnstile)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    /// Whether it returns without waiting for anything more.
    async fn is_through(mut passing: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(passing.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn everybody_passes_until_it_is_locked_and_then_one_after_the_other() {
        let turnstile = Turnstile::new().unwrap();
        turnstile.passed().await;
        turnstile.lock();
        let (mut first, mut second) = (pin!(turnstile.passed()), pin!(turnstile.passed()));
        assert!(!is_through(first.as_mut()).await);
        assert!(!is_through(second.as_mut()).await);
        turnstile.is_asked().await;
        turnstile.let_one_through();
        assert!(is_through(first).await);
        assert!(!is_through(second.as_mut()).await);
        // It rings again for who still waits.
        turnstile.is_asked().await;
        turnstile.let_one_through();
        assert!(is_through(second).await);
    }

    #[tokio::test]
    async fn who_waits_passes_when_it_is_unlocked() {
        let turnstile = Turnstile::new().unwrap();
        turnstile.lock();
        let mut passing = pin!(turnstile.passed());
        assert!(!is_through(passing.as_mut()).await);
        turnstile.unlock();
        assert!(is_through(passing).await);
    }
}
