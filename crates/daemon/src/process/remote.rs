//! An upstream that is no process: the same three pipes, and at their other ends a task of ours.

use std::{io, os::fd::AsFd as _, sync::Arc, time::Duration};

use ::guardian::protocol::Patience;
use mux::UpstreamId;
use sys::handed;
use wire::Frame;

use super::{
    ELSEWHERE, Ending, Process,
    pipes::{self, Pipes},
};
use crate::{
    hub::{ProcessId, Surroundings},
    launch::RemoteSpec,
    link::{Outlet, Sink},
    logs::Veil,
    tasks,
    upgrade::{FrozenRemote, Handed, NOWHERE},
    upstream::{self, End, Ends, Job, Resumable, Standing, Stopper, WeakEnds},
};

/// Why there is no upgrade while a server that runs elsewhere is spoken to.
const UNDER_WAY: &str = "a server by URL is being spoken to";

/// What there is in the place of a process.
#[derive(Debug)]
pub(super) struct Remote {
    spec: Arc<RemoteSpec>,
    stopper: Stopper,
    standing: Standing,
    ends: WeakEnds,
    /// The ends, while all stand still.
    held: Option<Ends>,
    /// Where it is, without what may be a secret.
    shown: String,
    is_reached: bool,
    /// Why it could not be greeted.
    unstarted: Option<String>,
    /// Requests that were read from the pipe and that the server cannot have seen.
    undelivered: Vec<Frame>,
}

impl Remote {
    /// Has a task be the server, anew or where another program has left it.
    fn begin(
        (process, server): (ProcessId, Arc<str>),
        spec: &Arc<RemoteSpec>,
        ends: Ends,
        resumed: Option<Resumable>,
        around: &Surroundings,
    ) -> Self {
        let (stopper, wanted) = Stopper::new();
        let remote = Remote {
            spec: Arc::clone(spec),
            stopper,
            standing: Standing::default(),
            ends: ends.downgrade(),
            held: None,
            shown: spec.shown(),
            is_reached: resumed.is_some(),
            unstarted: None,
            undelivered: Vec::new(),
        };
        let job = Job {
            process,
            server,
            spec: Arc::clone(spec),
            standing: remote.standing.clone(),
            inbox: around.inbox.clone(),
            wait: if spec.may_come_later {
                around.limits.start_patience
            } else {
                Duration::ZERO
            },
            message_bytes: around.limits.message_bytes,
            room: Arc::clone(&around.room),
            left_alone: around.left_alone.clone(),
        };
        tasks::spawn("remote", upstream::run(job, ends, wanted, resumed));
        remote
    }

    /// What the program that takes our place has to know of it; an error if that is not possible now.
    pub(super) fn freeze<'a>(
        &'a self,
        handed: &mut Handed<'a>,
    ) -> Result<FrozenRemote, &'static str> {
        let resumable = self.standing.resumable().ok_or(self.why_not())?;
        let ends = self.held.as_ref().map(|ends| {
            let ends = [ends.input.as_fd(), ends.output.as_fd(), ends.errors.as_fd()];
            ends.map(|fd| handed.over(fd))
        });
        Ok(FrozenRemote {
            spec: Arc::clone(&self.spec),
            ends: ends.unwrap_or([NOWHERE; 3]),
            resumable,
        })
    }

    /// Why another program cannot go on with it now.
    fn why_not(&self) -> &'static str {
        if self.standing.is_bound() {
            ELSEWHERE
        } else {
            UNDER_WAY
        }
    }

    /// Goes on with one that the program before us had.
    pub(super) fn thaw(
        job: (ProcessId, Arc<str>),
        frozen: FrozenRemote,
        around: &Surroundings,
    ) -> io::Result<Self> {
        let [input, output, errors] = frozen.ends;
        let ends = Ends {
            input: pipes::output(handed::take(input)?)?,
            output: pipes::input(handed::take(output)?)?,
            errors: pipes::input(handed::take(errors)?)?,
        };
        let resumed = Some(frozen.resumable);
        Ok(Remote::begin(job, &frozen.spec, ends, resumed, around))
    }

    /// All stand still: its ends must stay open until they are handed over.
    pub(super) fn hold(&mut self) {
        self.held = self.ends.upgrade();
    }

    pub(super) fn hold_no_longer(&mut self) {
        self.held = None;
    }
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
        let mut reached = Process::silent(upstream, server, &around.logs);
        reached.log.draw(Veil::of_remote(spec));
        reached.connect(pipes, outlet_to);
        let job = (process, Arc::clone(server));
        reached.remote = Some(Box::new(Remote::begin(job, spec, ends, None, around)));
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
            // It may quote what the server was told.
            let why = end.unstarted.map(|why| self.log.veil().over_words(&why));
            if let Some(why) = &why {
                self.log.remark(&format!("not reached: {why}"));
            }
            remote.unstarted = why;
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

    /// Why there can be no upgrade now because of it.
    pub(crate) fn what_is_under_way(&self) -> Option<&'static str> {
        let remote = self.remote.as_ref()?;
        if self.closing {
            return Some(UNDER_WAY);
        }
        let is_still = remote.standing.resumable().is_some();
        (!is_still).then(|| remote.why_not())
    }

    /// Whether it runs elsewhere, and its connection is all that there is of it.
    pub(crate) fn is_web_socket(&self) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.spec.url.starts_with("ws"))
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Where it runs, without what may be a secret, if that is elsewhere.
    pub(crate) fn place(&self) -> Option<&str> {
        self.remote.as_ref().map(|remote| remote.shown.as_str())
    }

    /// The same with all that it is reached by, unless that is of one session alone.
    pub(crate) fn common_url(&self) -> Option<&str> {
        self.remote.as_ref()?.spec.common_url()
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
