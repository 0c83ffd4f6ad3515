//! Servers that a session runs itself, as it could have no daemon when it wanted one.
//!
//! **Invariant:** for as long as it does, no second of them is started; whoever waits for that is told
//! why after a while, and the start comes when it has ended.

use std::{path::Path, time::Duration};

use mux::{SessionId, UpstreamId};
use shim::direct::{self, Direct};
use tokio::time;

use super::{input::Input, world::World};
use crate::{observe, tasks};

/// How long sessions wait for it to end before they are told that it has not: less than their patience
/// with a start, and so long that the core, which counts these as deaths, goes on trying.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it is looked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

impl World {
    /// Whether a session runs the server itself that is to be started on behalf of another; then the
    /// start waits.
    pub(super) fn is_run_directly(
        &mut self,
        upstream: UpstreamId,
        on_behalf_of: SessionId,
    ) -> bool {
        let Some(session) = self.sessions.get(&on_behalf_of) else {
            return false;
        };
        let Some(lock) = session.direct.clone() else {
            return false;
        };
        let Some(holder) = holder(&lock) else {
            return false;
        };
        observe::run_directly(&session.server, &holder);
        self.behind_direct.insert(upstream, on_behalf_of);
        let inbox = self.around.inbox.clone();
        tasks::spawn("direct", async move {
            let mut now = Some(holder);
            for _look in 0..PATIENCE.as_millis() / LOOK_INTERVAL.as_millis() {
                time::sleep(LOOK_INTERVAL).await;
                now = self::holder(&lock);
                if now.is_none() {
                    break;
                }
            }
            let looked = Input::Looked {
                upstream,
                holder: now,
            };
            let _hub_gone = inbox.send(looked).await;
        });
        true
    }

    /// It has ended, and the start comes; or it has not, and those who wait are told.
    pub(super) fn on_looked(&mut self, upstream: UpstreamId, holder: Option<Direct>) {
        let Some(on_behalf_of) = self.behind_direct.remove(&upstream) else {
            return;
        };
        let Some(holder) = holder else {
            return self.start_process(upstream, on_behalf_of);
        };
        let why = format!(
            "process {} runs it without mcpool's daemon, which it could not have ({}); it is started \
             for others when that session has ended",
            holder.pid, holder.cause
        );
        self.fail_start(upstream, why);
    }

    /// What waits to be started is not wanted any more.
    pub(super) fn wait_no_longer(&mut self, upstream: UpstreamId) {
        let before = self.postponed.len();
        self.postponed.retain(|(waits, _)| *waits != upstream);
        let was_postponed = self.postponed.len() < before;
        let was_looked_at = self.starts.remove(&upstream).is_some();
        if self.behind_direct.remove(&upstream).is_some() || was_postponed || was_looked_at {
            let why = "it was stopped before it was started".to_owned();
            self.fail_start(upstream, why);
        }
    }
}

fn holder(lock: &Path) -> Option<Direct> {
    direct::holder(lock).unwrap_or_else(|error| {
        observe::direct_not_known(lock, &error);
        None
    })
}
