//! How far a conversation is, for the program that is to go on with it.
//!
//! A connection cannot be handed over. Between two messages nothing hangs on one, though: then the conversation
//! is what the server calls it, and little else.
//!
//! **Invariant:** a conversation that can be handed over has nothing under way: neither a message that was
//! read from a pipe and is not answered, nor one that is not written to a pipe.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// All that is needed to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resumable {
    /// Path and query that messages are posted to.
    pub(super) path: String,
    /// What the server calls the session.
    pub(super) session: Option<String>,
    /// The version that it has answered with.
    pub(super) version: Option<String>,
    /// The last event of the stream on which it speaks of its own accord.
    pub(super) last_event: Option<String>,
    /// The requests that stay, as they were sent: they are under way all the time, and are sent again.
    #[serde(default)]
    pub(super) staying: Vec<String>,
}

/// Told by the conversation, looked at by the hub.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    busy: Arc<AtomicUsize>,
    /// Whether it hangs on its connection for as long as it lasts.
    is_bound: Arc<AtomicBool>,
    settled: Arc<watch::Sender<Option<Resumable>>>,
}

/// Something is under way as long as this is there.
#[derive(Debug)]
pub(super) struct Busy(Arc<AtomicUsize>);

impl Default for Standing {
    fn default() -> Self {
        Standing {
            busy: Arc::default(),
            is_bound: Arc::default(),
            settled: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Standing {
    /// Something is under way.
    pub(super) fn begin(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// From now on this is enough to go on with, whenever nothing is under way.
    pub(super) fn settle(&self, resumable: Resumable) {
        self.settled.send_replace(Some(resumable));
    }

    /// It hangs on its connection for as long as it lasts: nobody will ever go on with it.
    pub(super) fn bind(&self) {
        self.is_bound.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(crate) fn is_bound(&self) -> bool {
        self.is_bound.load(Ordering::Relaxed)
    }

    /// From now on nobody can go on with it.
    pub(super) fn unsettle(&self) {
        self.settled.send_replace(None);
    }

    /// The last event of the server's own stream.
    pub(super) fn heard(&self, event: Option<&str>) {
        self.settled.send_if_modified(|settled| {
            let known = settled.as_mut().map(|settled| &mut settled.last_event);
            let Some(known) = known.filter(|known| known.as_deref() != event) else {
                return false;
            };
            *known = event.map(str::to_owned);
            true
        });
    }

    /// These requests stay.
    pub(super) fn stay(&self, staying: Vec<String>) {
        self.settled.send_modify(|settled| {
            if let Some(settled) = settled {
                settled.staying = staying;
            }
        });
    }

    /// What another program goes on with, if it can now.
    pub(crate) fn resumable(&self) -> Option<Resumable> {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.settled.borrow().clone()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_handed_over_between_two_messages_and_with_its_last_event() {
        let standing = Standing::default();
        assert_eq!(standing.resumable(), None);
        let mut settled = Resumable {
            path: "/mcp".to_owned(),
            session: Some("7".to_owned()),
            version: None,
            last_event: None,
            staying: Vec::new(),
        };
        standing.settle(settled.clone());
        let (one, other) = (standing.begin(), standing.begin());
        drop(one);
        assert_eq!(standing.resumable(), None);
        drop(other);
        assert_eq!(standing.resumable().as_ref(), Some(&settled));
        standing.heard(Some("e1"));
        settled.last_event = Some("e1".to_owned());
        standing.stay(vec!["wish".to_owned()]);
        settled.staying.push("wish".to_owned());
        assert_eq!(standing.resumable(), Some(settled));
        standing.unsettle();
        standing.heard(Some("e2"));
        assert_eq!(standing.resumable(), None);
    }
}
