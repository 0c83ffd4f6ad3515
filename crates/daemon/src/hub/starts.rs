//! Starts of the processes of upstreams. What is to be started is looked at first, beside the hub: it may be on a disk
//! that takes its time.
//!
//! **Invariant:** the core hears of a program as it was before its process was started. What takes its place in between
//! is found out at the next start, and is never mistaken for what was before.

use std::{sync::Arc, time::Duration};

use mux::{Event, Program, Route, SessionId, UpstreamId};
use tokio::time::{self, Instant};

use super::{
    input::{Input, ProcessId},
    world::{Surroundings, World},
};
use crate::{
    kept_words::{Subject, program, wall_clock},
    launch::{LaunchSpec, Means},
    link::Outlet,
    process::Process,
    tasks,
};

/// How long a start waits until it is seen what is started. Then it comes without.
const PATIENCE: Duration = Duration::from_millis(250);

/// What an upstream is started with, for the session that it was wanted for first.
#[derive(Debug)]
pub(super) struct Start {
    on_behalf_of: SessionId,
    server: Arc<str>,
    means: Means,
    route: Option<Route>,
    subject: Option<Arc<Subject>>,
}

impl World {
    /// Whether something of an earlier daemon has to end before anything is started.
    fn must_wait_for_earlier(&self) -> bool {
        !self.strangers.is_empty() || self.around.guardian.is_ending()
    }

    /// Whether something is left of the last process of an upstream, or of one with its share key: the core
    /// may have forgotten that one's upstream and made another.
    ///
    /// What the core adds to the key is passed over. It may have become another while the process ran, and
    /// what is left of a process is not there for long.
    fn lingers(&self, upstream: UpstreamId, route: Option<&Route>) -> bool {
        self.lingering.values().any(|left| {
            let may_be_it = left.route.as_ref().is_none_or(|left| Some(left) == route);
            left.upstream == upstream || may_be_it
        })
    }

    /// Starts what had to wait, if it need not any longer.
    pub(super) fn start_postponed(&mut self) {
        if self.must_wait_for_earlier() {
            return;
        }
        for (upstream, on_behalf_of) in std::mem::take(&mut self.postponed) {
            self.start_process(upstream, on_behalf_of);
        }
    }

    /// What waits to be started, for whatever reason, and for whom.
    pub(super) fn not_started(&self) -> impl Iterator<Item = (UpstreamId, SessionId)> {
        let behind_direct = self
            .behind_direct
            .iter()
            .map(|(id, session)| (*id, *session));
        let looked_at = self.starts.iter();
        let looked_at = looked_at.map(|(id, start)| (*id, start.on_behalf_of));
        let postponed = self.postponed.iter().copied();
        postponed.chain(behind_direct).chain(looked_at)
    }

    /// Has a process started for an upstream with what a session came with.
    pub(super) fn start_process(&mut self, upstream: UpstreamId, on_behalf_of: SessionId) {
        let session = self.sessions.get(&on_behalf_of);
        let route = session.and_then(|session| session.route.as_ref());
        if self.must_wait_for_earlier() || self.lingers(upstream, route) {
            self.postponed.push((upstream, on_behalf_of));
            return;
        }
        if self.is_run_directly(upstream, on_behalf_of) {
            return;
        }
        match self.start_for(on_behalf_of) {
            Ok(start) => match &start.means {
                Means::Process(spec) => self.look_at(upstream, &Arc::clone(spec), start),
                Means::Remote(_) => self.begin(upstream, start, None),
            },
            Err(why) => self.fail_start(upstream, why),
        }
    }

    fn start_for(&self, on_behalf_of: SessionId) -> Result<Start, String> {
        let session = self.sessions.get(&on_behalf_of);
        let session = session.ok_or("the session that it was for has gone")?;
        let means = session.means.as_ref().map_err(ToString::to_string)?;
        Ok(Start {
            on_behalf_of,
            server: Arc::clone(&session.server),
            means: means.clone(),
            route: session.route.clone(),
            subject: session.subject.clone(),
        })
    }

    /// Nothing comes of a start.
    pub(super) fn fail_start(&mut self, upstream: UpstreamId, why: String) {
        self.echoes
            .push(Event::UpstreamStartFailed { upstream, why });
    }

    /// Has it looked at what is to be started.
    fn look_at(&mut self, upstream: UpstreamId, spec: &Arc<LaunchSpec>, start: Start) {
        let since = Instant::now();
        let look = self
            .looks
            .begin(Some(&start.server), &spec.directory, since);
        self.starts.insert(upstream, start);
        let (spec, inbox) = (Arc::clone(spec), self.around.inbox.clone());
        tasks::spawn("program", async move {
            let seen = look.seen(move || program(&spec));
            let seen = time::timeout(PATIENCE, seen).await;
            let program = seen.ok().and_then(Result::ok).flatten();
            let input = Input::ProgramSeen { upstream, program };
            let _hub_gone = inbox.send(input).await;
        });
    }

    /// It is known what is to be started, or not in time.
    pub(super) fn on_program_seen(&mut self, upstream: UpstreamId, program: Option<Program>) {
        let Some(start) = self.starts.remove(&upstream) else {
            return;
        };
        if self.lingers(upstream, start.route.as_ref()) {
            self.postponed.push((upstream, start.on_behalf_of));
        } else {
            self.begin(upstream, start, program);
        }
    }

    fn begin(&mut self, upstream: UpstreamId, start: Start, program: Option<Program>) {
        let id = ProcessId(self.next_id());
        match start.process(id, upstream, &mut self.around) {
            Ok(mut process) => {
                process.route = start.route;
                process.program = program;
                self.processes.insert(id, process);
                self.by_upstream.insert(upstream, id);
                match start.subject {
                    Some(subject) => self.subjects.insert(upstream, (subject, wall_clock())),
                    None => self.subjects.remove(&upstream),
                };
            }
            Err(why) => self.fail_start(upstream, why),
        }
    }
}

impl Start {
    /// Has a process started, or what there is in its place reached.
    fn process(
        &self,
        id: ProcessId,
        upstream: UpstreamId,
        around: &mut Surroundings,
    ) -> Result<Process, String> {
        let limit = around.limits.slow_server_bytes;
        let room = Arc::clone(&around.room);
        let outlet = |sink| Outlet::plain(sink, limit, &room);
        let server = &self.server;
        match &self.means {
            Means::Process(spec) => {
                let (guardian, logs) = (&mut around.guardian, &around.logs);
                Process::start(guardian, id, upstream, server, spec, logs, outlet)
            }
            Means::Remote(spec) => Process::reach(id, upstream, server, spec, around, outlet),
        }
    }
}
