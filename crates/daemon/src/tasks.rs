//! Tasks with a name, whose panics are reported and stay theirs.
//!
//! **Invariant:** no task ends unseen: a panic in one is logged with the task's name and ends
//! nothing but that task.

use std::{
    any::Any,
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use rustix::process::Signal;
use tokio::{sync::oneshot, task::JoinHandle};

/// The signals that end the daemon.
pub(crate) const ENDING: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];

/// What a thread has by default.
const ASIDE_STACK_BYTES: usize = 2 << 20;

/// How many have panicked.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many tasks have panicked since the program began.
pub(crate) fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Runs `future` beside everything else. `None` comes out if it panicked.
pub(crate) fn spawn<F>(name: &'static str, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the function that everybody else calls instead"
    )]
    tokio::spawn(caught(name, future))
}

/// Runs `future` as a part of the calling task; `None` if it panicked, which has been logged then.
///
/// For tasks that must say goodbye for a peer, whatever happened to them.
pub(crate) async fn caught<F: Future>(name: &'static str, future: F) -> Option<F::Output> {
    match (Caught {
        future: Box::pin(future),
    })
    .await
    {
        Ok(output) => Some(output),
        Err(panic) => {
            PANICS.fetch_add(1, Ordering::Relaxed);
            crate::observe::panicked(name, &words_of(&*panic));
            None
        }
    }
}

/// Does what takes time on a thread of its own.
///
/// It fails if the system has no thread for it, or if it panicked. The runtime's own way to do this
/// panics in the first case.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    thread("mcpool-aside", ASIDE_STACK_BYTES, move || {
        // Whoever asked may have gone.
        let _gone = sender.send(work());
    })?;
    done.await
        .map_err(|_| io::Error::other("the thread for it panicked"))
}

/// Does what takes time on a thread of its own, or here if the system has none: then everybody waits for it.
/// `None` if it panicked.
pub(crate) async fn aside_or_here<T: Send + 'static>(
    work: impl Fn() -> T + Send + Sync + 'static,
) -> Option<T> {
    let work = Arc::new(work);
    let (sender, done) = oneshot::channel();
    let its = Arc::clone(&work);
    let started = thread("mcpool-aside", ASIDE_STACK_BYTES, move || {
        let outcome = its();
        // What it holds is free before anybody hears of it.
        drop(its);
        // Whoever asked may have gone.
        let _gone = sender.send(outcome);
    });
    match started {
        Ok(_thread) => done.await.ok(),
        Err(error) => {
            tracing::debug!(%error, "there is no thread for a look");
            caught("look", async { work() }).await
        }
    }
}

/// Starts a thread. Signals that end the daemon are none of its business: an upgrade holds them back in the
/// main thread, and this one would take them.
pub(crate) fn thread(
    name: &str,
    stack_bytes: usize,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(stack_bytes)
        .spawn(move || {
            // It fails for what is no mask, which this is.
            let _infallible = sys::signals::hold(&ENDING);
            work();
        })
}

struct Caught<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A future that panicked is not polled again, so nobody sees what it left half-done.
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_own_task_and_no_other() {
        let calm = spawn("calm", async { 7 });
        let doomed = spawn("doomed", async { panic!("on purpose") });
        assert!(matches!(doomed.await, Ok(None::<()>)));
        assert!(matches!(calm.await, Ok(Some(7))));
    }

    #[tokio::test]
    async fn what_is_done_aside_comes_back_and_its_panic_is_an_error() {
        assert_eq!(aside(|| 7).await.unwrap(), 7);
        assert!(aside(|| panic!("on purpose")).await.is_err());
        assert_eq!(aside_or_here(|| 7).await, Some(7));
        assert_eq!(aside_or_here(|| panic!("on purpose")).await, None::<()>);
    }
}
