//! The way to one response, and which connection that goes over.
//!
//! Most responses have one piece, and there is a way for each of them. A channel of the runtime has room for as
//! many pieces as it takes at once from its beginning, and lies at an address of a kind that has to be looked for.
//! This is one allocation, and has room for more when it is needed.
//!
//! **Invariant:** pieces come out in the order in which they were put in, each once; whoever waits at one end hears
//! of it when the other has gone.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;
#[cfg(test)]
use tokio::sync::mpsc::error::TryRecvError;

use super::{PIECES_MAX, Piece};

/// One connection over HTTP: a number that no other has in this program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Where the pieces of one response go.
#[derive(Debug)]
pub(crate) struct Tube<T = Piece> {
    shared: Arc<Shared<T>>,
    pub(crate) connection: ConnectionId,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct TubeEnd<T = Piece>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    inside: Mutex<Inside<T>>,
    /// Told when the end has gone.
    gone: Notify,
}

#[derive(Debug)]
struct Inside<T> {
    first: Option<T>,
    /// What was put in while the first was there.
    behind: VecDeque<T>,
    /// How many there are who may put something in.
    tubes: usize,
    has_end: bool,
    /// What is to be woken when there is something to take out.
    waker: Option<Waker>,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    Full,
    Gone,
}

impl<T> Tube<T> {
    /// One that leads to a response over this connection.
    pub(crate) fn to(connection: ConnectionId) -> (Tube<T>, TubeEnd<T>) {
        let shared = Arc::new(Shared {
            inside: Mutex::new(Inside {
                first: None,
                behind: VecDeque::new(),
                tubes: 1,
                has_end: true,
                waker: None,
            }),
            gone: Notify::new(),
        });
        let end = TubeEnd(Arc::clone(&shared));
        (Tube { shared, connection }, end)
    }

    pub(crate) fn send(&self, piece: T) -> Sent {
        let mut inside = self.shared.lock();
        if !inside.has_end {
            return Sent::Gone;
        }
        if inside.len() >= PIECES_MAX {
            return Sent::Full;
        }
        if inside.first.is_none() {
            inside.first = Some(piece);
        } else {
            inside.behind.push_back(piece);
        }
        let waker = inside.waker.take();
        drop(inside);
        wake(waker);
        Sent::Yes
    }

    pub(crate) fn is_closed(&self) -> bool {
        !self.shared.lock().has_end
    }

    /// Whether somebody is there who has a place for another piece.
    pub(crate) fn can_take(&self) -> bool {
        let inside = self.shared.lock();
        inside.has_end && inside.len() < PIECES_MAX
    }

    /// Whether everything has been taken out that was put in.
    pub(crate) fn is_taken(&self) -> bool {
        let inside = self.shared.lock();
        !inside.has_end || inside.len() == 0
    }

    /// Returns when nobody is at the other end any more.
    pub(crate) async fn closed(&self) {
        loop {
            // It is told to whoever has begun to wait before anybody looks.
            let gone = self.shared.gone.notified();
            if self.is_closed() {
                return;
            }
            gone.await;
        }
    }
}

impl<T> Clone for Tube<T> {
    fn clone(&self) -> Self {
        self.shared.lock().tubes += 1;
        Tube {
            shared: Arc::clone(&self.shared),
            connection: self.connection,
        }
    }
}

impl<T> Drop for Tube<T> {
    fn drop(&mut self) {
        let mut inside = self.shared.lock();
        inside.tubes -= 1;
        let waker = if inside.tubes == 0 {
            inside.waker.take()
        } else {
            None
        };
        drop(inside);
        wake(waker);
    }
}

impl<T> TubeEnd<T> {
    /// The next piece; `None` if there will be none.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inside = self.0.lock();
        if let Some(piece) = inside.take() {
            return Poll::Ready(Some(piece));
        }
        if inside.tubes == 0 {
            return Poll::Ready(None);
        }
        match &mut inside.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// What has come by now; an error if that is nothing.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut inside = self.0.lock();
        let nothing = if inside.tubes == 0 {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        };
        inside.take().ok_or(nothing)
    }
}

impl<T> Drop for TubeEnd<T> {
    fn drop(&mut self) {
        let mut inside = self.0.lock();
        inside.has_end = false;
        // Nobody takes these out any more. What hears of their end is not to find us locked.
        let left = (
            inside.first.take(),
            mem::take(&mut inside.behind),
            inside.waker.take(),
        );
        drop(inside);
        drop(left);
        self.0.gone.notify_waiters();
    }
}

impl<T> Shared<T> {
    /// Nobody panics who holds it.
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inside<T> {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.behind.len()
    }

    fn take(&mut self) -> Option<T> {
        mem::replace(&mut self.first, self.behind.pop_front())
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin};

    use super::*;
    use crate::woken::Woken;

    fn tube() -> (Tube, TubeEnd) {
        Tube::to(ConnectionId(1))
    }

    #[test]
    fn pieces_come_out_in_their_order_and_no_more_than_have_a_place() {
        let (to, mut end) = tube();
        assert!(to.is_taken() && to.can_take());
        assert_eq!(to.send(Piece::Begun(None)), Sent::Yes);
        for _ in 1..PIECES_MAX {
            assert_eq!(to.send(Piece::Done), Sent::Yes);
        }
        assert!(!to.can_take() && !to.is_taken());
        assert_eq!(to.send(Piece::Over), Sent::Full);
        assert!(matches!(end.try_recv(), Ok(Piece::Begun(None))));
        assert_eq!(to.send(Piece::Over), Sent::Yes);
        for _ in 1..PIECES_MAX {
            assert!(matches!(end.try_recv(), Ok(Piece::Done)));
        }
        assert!(matches!(end.try_recv(), Ok(Piece::Over)));
        assert!(end.try_recv().is_err() && to.is_taken());
    }

    #[test]
    fn whoever_waits_hears_of_a_piece_and_of_the_end_of_the_last_tube() {
        let (woken, waker) = Woken::new();
        let mut context = Context::from_waker(&waker);
        let (to, mut end) = tube();
        let other = to.clone();
        assert!(end.poll_recv(&mut context).is_pending());
        assert_eq!(to.send(Piece::Done), Sent::Yes);
        assert_eq!(woken.times(), 1);
        assert!(matches!(
            end.poll_recv(&mut context),
            Poll::Ready(Some(Piece::Done))
        ));
        assert!(end.poll_recv(&mut context).is_pending());
        drop(to);
        assert_eq!(woken.times(), 1);
        drop(other);
        assert_eq!(woken.times(), 2);
        assert!(matches!(end.poll_recv(&mut context), Poll::Ready(None)));
    }

    #[test]
    fn whoever_waits_for_the_end_to_go_hears_of_it() {
        let (woken, waker) = Woken::new();
        let mut context = Context::from_waker(&waker);
        let (to, end) = tube();
        assert_eq!(to.send(Piece::Done), Sent::Yes);
        let other = to.clone();
        let mut closed = pin!(other.closed());
        assert!(closed.as_mut().poll(&mut context).is_pending());
        drop(end);
        assert_eq!(woken.times(), 1);
        assert!(closed.as_mut().poll(&mut context).is_ready());
        assert!(to.is_closed() && to.is_taken() && !to.can_take());
        assert_eq!(to.send(Piece::Done), Sent::Gone);
    }
}
