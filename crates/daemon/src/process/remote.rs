//! An upstream that is no process: the same three pipes, and at their other ends a task of ours.

use std::{sync::Arc, time::Duration};

use ::guardian::protocol::Patience;
use mux::UpstreamId;
use wire::Frame;

use super::{Ending, Process, pipes::Pipes};
use crate::{
    hub::{ProcessId, Surroundings},
    launch::RemoteSpec,
    link::{Outlet, Sink},
    logs::Veil,
    tasks,
    upstream::{self, End, Job, Stopper},
};

/// What there is in the place of a process.
#[derive(Debug)]
pub(super) struct Remote {
    stopper: Stopper,
    /// Where it is, without what may be a secret.
    shown: String,
    is_reached: bool,
    /// Why it could not be greeted.
    unstarted: Option<String>,
    /// Requests that were read from the pipe and that the server cannot have seen.
    undelivered: Vec<Frame>,
}

impl Process {
    /// Has a server reached that runs already.
    pub(crate) fn reach(
        process: ProcessId,
        upstream: UpstreamId,
        server: &Arc<str>,
        spec: &Arc<RemoteSpec>,
        around: &Surroundings,
        outlet_to: impl FnOnce(Sink) -> Outlet,
    ) -> Result<Process, String> {
        let (pipes, ends) =
            Pipes::with_us().map_err(|error| format!("no pipes could be made: {error}"))?;
        let (stopper, wanted) = Stopper::new();
        let mut reached = Process::silent(upstream, server, &around.logs);
        reached.log.draw(Veil::of_remote(spec));
        reached.connect(pipes, outlet_to);
        reached.remote = Some(Box::new(Remote {
            stopper,
            shown: spec.shown(),
            is_reached: false,
            unstarted: None,
            undelivered: Vec::new(),
        }));
        let job = Job {
            process,
            server: Arc::clone(server),
            spec: Arc::clone(spec),
            inbox: around.inbox.clone(),
            message_bytes: around.limits.message_bytes,
            room: Arc::clone(&around.room),
        };
        tasks::spawn("remote", upstream::run(job, ends, wanted));
        Ok(reached)
    }

    /// There is a way to the server: what it says is read from now on.
    pub(crate) fn on_reached(&mut self, process: ProcessId, around: &Surroundings) {
        if let Some(remote) = &mut self.remote {
            remote.is_reached = true;
            self.log.remark(&format!("reached at {}", remote.shown));
        }
        self.begin_reading(process, around);
    }

    /// It is over.
    pub(crate) fn on_remote_end(&mut self, end: End) -> Ending {
        if let Some(remote) = &mut self.remote {
            if let Some(why) = &end.unstarted {
                self.log.remark(&format!("not reached: {why}"));
            }
            remote.unstarted = end.unstarted;
            remote.undelivered = end.undelivered;
            if !remote.is_reached {
                // Nobody reads what it might have said.
                self.rest.output_ended = true;
                self.rest.errors_ended = true;
            }
        }
        self.rest.gone = true;
        self.on_exited(end.exit)
    }

    /// Has it end, if it is one that runs elsewhere; says whether it is.
    pub(crate) fn stop_remote(&self, patience: Patience) -> bool {
        let total: Duration = patience.eof + patience.term;
        if let Some(remote) = &self.remote {
            remote.stopper.stop(total);
        }
        self.remote.is_some()
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Where it runs, without what may be a secret, if that is elsewhere.
    pub(crate) fn place(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| remote.shown.as_str())
    }

    /// Whether it has ever run, as far as we know.
    pub(crate) fn has_begun(&self) -> bool {
        self.pid.is_some() || self.remote.as_ref().is_some_and(|remote| remote.is_reached)
    }

    /// Why it could not be started, or greeted.
    pub(crate) fn unstarted(&mut self) -> Option<String> {
        self.remote.as_mut()?.unstarted.take()
    }

    pub(super) fn undelivered(&mut self) -> Vec<Frame> {
        let remote = self.remote.as_mut();
        remote
            .map(|remote| std::mem::take(&mut remote.undelivered))
            .unwrap_or_default()
    }
}
