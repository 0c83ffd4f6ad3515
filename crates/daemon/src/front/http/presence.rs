//! Whether a client still waits for what comes of its request.
//!
//! A client of the modern era cancels a request by going away (2026-07-28, Streamable HTTP), and one that goes before
//! it hears by what its session is known has left that behind for nobody. Whoever writes the response is dropped
//! then, and tells the hub, which may have a session for the request by that time or not.
//!
//! **Invariant:** a client that goes away before its answer is heard of exactly once: by the hub as it begins
//! the session, or by an input that names the session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mux::SessionId;
use serde::{Deserialize, Serialize};
use shim::hook::arguments::TIMEOUT;
use tokio::{
    runtime::Handle,
    sync::mpsc::{Sender, error::TrySendError},
};
use wire::RequestId;

use super::hook::Waits;
use crate::{hub::Input, tasks};

/// No session has this number, nor the other.
const NO_SESSION_YET: u64 = 0;
const GONE: u64 = u64::MAX;

/// What the hub knows of a client that waits.
#[derive(Debug)]
pub(crate) struct Presence(AtomicU64);

/// A request of the modern era.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) presence: Arc<Presence>,
    pub(super) id: Option<RequestId>,
    /// What waits for the answer, if that is a hook of an agent.
    pub(super) hook: Option<Waits>,
}

/// What is not written yet of the response to such a request, in words for another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueRound {
    pub(super) session: SessionId,
    /// That of the request.
    pub(super) id: Option<RequestId>,
    /// Whether the head is written, and a stream goes on.
    pub(super) streams: bool,
    /// The event, if the answer is for a hook of an agent.
    #[serde(default)]
    pub(super) hook: Option<Arc<str>>,
    /// How long that waits for it still.
    #[serde(default)]
    pub(super) hook_left: Option<Duration>,
}

impl Round {
    /// What is due of it; `None` if it is not known yet of which session it is.
    pub(super) fn due(self, streams: bool) -> Option<DueRound> {
        let hook = self.hook.map(|waits| (waits.left(), waits.event));
        let (hook_left, hook) = hook.unzip();
        Some(DueRound {
            session: self.presence.session()?,
            id: self.id,
            streams,
            hook,
            hook_left,
        })
    }
}

impl DueRound {
    /// The request, whose client waits here now.
    pub(super) fn again(&self, presence: Arc<Presence>) -> Round {
        Round {
            presence,
            id: self.id.clone(),
            hook: self.hook.clone().map(|event| {
                let left = self.hook_left.unwrap_or(TIMEOUT);
                Waits::of(event, left)
            }),
        }
    }
}

/// Held by whoever writes the response, for as long as it is not whole.
#[derive(Debug)]
pub(super) struct Attendance {
    presence: Arc<Presence>,
    inbox: Sender<Input>,
    is_over: bool,
}

impl Presence {
    /// The request is one of this session. False if nobody waits any more.
    pub(crate) fn is_for(&self, session: SessionId) -> bool {
        let known = self.0.compare_exchange(
            NO_SESSION_YET,
            session.0,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        known.is_ok()
    }

    /// Its session, if there is one by now and somebody waits.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.0.load(Ordering::Acquire) {
            NO_SESSION_YET | GONE => None,
            session => Some(SessionId(session)),
        }
    }

    /// Nobody hears of it when whoever writes the response is dropped: another goes on with that.
    pub(super) fn is_handed_over(&self) {
        let _session = self.leave();
    }

    fn leave(&self) -> Option<SessionId> {
        match self.0.swap(GONE, Ordering::AcqRel) {
            NO_SESSION_YET | GONE => None,
            session => Some(SessionId(session)),
        }
    }
}

impl Attendance {
    pub(super) fn new(inbox: Sender<Input>) -> (Self, Arc<Presence>) {
        let presence = Arc::new(Presence(AtomicU64::new(NO_SESSION_YET)));
        let attendance = Attendance {
            presence: Arc::clone(&presence),
            inbox,
            is_over: false,
        };
        (attendance, presence)
    }

    /// Goes on with the response to a request of this session.
    pub(super) fn of(session: SessionId, inbox: Sender<Input>) -> (Self, Arc<Presence>) {
        let presence = Arc::new(Presence(AtomicU64::new(session.0)));
        let attendance = Attendance {
            presence: Arc::clone(&presence),
            inbox,
            is_over: false,
        };
        (attendance, presence)
    }

    /// The response is whole.
    pub(super) fn is_over(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Some(session) = self.presence.leave() else {
            return;
        };
        if let Err(TrySendError::Full(input)) = self.inbox.try_send(Input::Closed(session))
            && Handle::try_current().is_ok()
        {
            let inbox = self.inbox.clone();
            tasks::spawn("leaving client", async move {
                let _hub_gone = inbox.send(input).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::{sync::mpsc, time};

    use super::*;

    fn closed(input: Option<Input>) -> SessionId {
        match input {
            Some(Input::Closed(session)) => session,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_waits_for_no_longer_in_another_program() {
        let (inbox, _inputs) = mpsc::channel(1);
        let (_attendance, presence) = Attendance::of(SessionId(7), inbox);
        let round = Round {
            presence: Arc::clone(&presence),
            id: None,
            hook: Some(Waits::of("Stop".into(), Duration::from_secs(3))),
        };
        time::advance(Duration::from_secs(1)).await;
        let due = round.due(false).unwrap();
        let waits = due.again(presence).hook.unwrap();
        assert_eq!(
            (&*waits.event, waits.left()),
            ("Stop", Duration::from_secs(2))
        );
        let late = waits
            .in_time(std::future::pending::<()>())
            .await
            .unwrap_err();
        assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(waits.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_goes_away_is_heard_of_once_whenever_that_is() {
        let (inbox, mut inputs) = mpsc::channel(1);
        // Before there is a session.
        let (attendance, presence) = Attendance::new(inbox.clone());
        drop(attendance);
        assert!(!presence.is_for(SessionId(7)));
        assert!(inputs.try_recv().is_err());
        // When there is one.
        let (attendance, presence) = Attendance::new(inbox.clone());
        assert!(presence.is_for(SessionId(8)));
        drop(attendance);
        assert_eq!(closed(inputs.recv().await), SessionId(8));
        // When the hub has no time.
        inbox.try_send(Input::Quit).unwrap();
        let (attendance, presence) = Attendance::new(inbox.clone());
        assert!(presence.is_for(SessionId(9)));
        drop(attendance);
        assert!(matches!(inputs.recv().await, Some(Input::Quit)));
        assert_eq!(closed(inputs.recv().await), SessionId(9));
        // When it has its answer.
        let (mut attendance, presence) = Attendance::new(inbox);
        assert!(presence.is_for(SessionId(10)));
        attendance.is_over();
        drop(attendance);
        assert!(
            inputs.recv().await.is_none(),
            "nobody is left who could say anything"
        );
    }
}
