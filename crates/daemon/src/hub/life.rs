//! Processes of upstreams, from the wish for one to the end of it.

use std::sync::Arc;

use guardian::protocol::Patience;
use mux::{Event, Exit, SessionId, UpstreamId};
use tokio::time;

use super::{
    input::{Input, ProcessId},
    session::Session,
    world::{Lingering, Surroundings, World},
};
use crate::{
    kept_words::wall_clock,
    launch::Means,
    link::Outlet,
    process::{Ending, OUTPUT_PATIENCE, Process, STOP_PATIENCE},
    tasks,
};

impl World {
    /// Stops a process that cannot be talked to any more.
    pub(super) fn give_up_process(&mut self, id: ProcessId) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.stop_writing();
            // What is said to it from now on would be lost with it: it is for the next process.
            if !process.blocked {
                process.blocked = true;
                let upstream = process.upstream;
                self.echoes.push(Event::UpstreamBlocked { upstream });
            }
            self.stop_in_time(id, STOP_PATIENCE);
        }
    }

    /// Has an upstream's process end, with all below it, or what there is in its place.
    pub(super) fn stop_in_time(&mut self, id: ProcessId, patience: Patience) {
        let process = self.processes.get(&id);
        if !process.is_some_and(|process| process.stop_remote(patience)) {
            self.around.guardian.stop(id, patience);
        }
    }

    /// Something of a process has ended.
    pub(super) fn on_ending(&mut self, id: ProcessId, ending: Ending) {
        match ending {
            Ending::NotYet => {}
            Ending::IsMute => self.give_up_process(id),
            Ending::AwaitOutputs => {
                // What it has said is to be read in time, however much that is.
                self.around.floods.unlock();
                let inbox = self.around.inbox.clone();
                tasks::spawn("last words", async move {
                    time::sleep(OUTPUT_PATIENCE).await;
                    let _hub_gone = inbox.send(Input::OutputOverdue(id)).await;
                });
            }
            Ending::Over(exit) => self.end_process(id, exit),
        }
    }

    /// Nothing more is heard of a process.
    pub(super) fn end_process(&mut self, id: ProcessId, exit: Exit) {
        if let Some(mut process) = self.processes.remove(&id) {
            let upstream = process.upstream;
            self.by_upstream.remove(&upstream);
            self.ended.push(upstream);
            if process.has_begun() && !process.is_gone() {
                let left = Lingering {
                    upstream,
                    server: Arc::clone(&process.server),
                    route: process.route.take(),
                };
                self.lingering.insert(id, left);
            }
            self.echoes.push(if let Some(why) = process.unstarted() {
                Event::UpstreamStartFailed { upstream, why }
            } else if process.has_begun() {
                let unwritten = process.unwritten_requests();
                Event::UpstreamExited {
                    upstream,
                    exit,
                    unwritten,
                }
            } else {
                let why = "the guardian ended before the server was started".to_owned();
                Event::UpstreamStartFailed { upstream, why }
            });
        }
    }

    /// Nothing more is kept of the processes that have ended, now that the core has heard of it.
    pub(super) fn forget_subjects(&mut self) {
        for upstream in std::mem::take(&mut self.ended) {
            if !self.by_upstream.contains_key(&upstream) {
                self.subjects.remove(&upstream);
            }
        }
    }

    /// The process of an upstream, if it has one.
    pub(super) fn process_of(&self, upstream: UpstreamId) -> Option<ProcessId> {
        self.by_upstream.get(&upstream).copied()
    }

    /// Whether something of an earlier daemon has to end before anything is started.
    fn must_wait_for_earlier(&self) -> bool {
        !self.strangers.is_empty() || self.around.guardian.is_ending()
    }

    /// Whether something is left of the last process of an upstream, or of one with its share key: the core
    /// may have forgotten that one's upstream and made another.
    ///
    /// What the core adds to the key is passed over. It may have become another while the process ran, and
    /// what is left of a process is not there for long.
    fn lingers(&self, upstream: UpstreamId, on_behalf_of: SessionId) -> bool {
        let session = self.sessions.get(&on_behalf_of);
        let route = session.and_then(|session| session.route.as_ref());
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

    /// Has a process started for an upstream with what a session came with.
    pub(super) fn start_process(&mut self, upstream: UpstreamId, on_behalf_of: SessionId) {
        if self.must_wait_for_earlier() || self.lingers(upstream, on_behalf_of) {
            self.postponed.push((upstream, on_behalf_of));
            return;
        }
        if self.is_run_directly(upstream, on_behalf_of) {
            return;
        }
        let id = ProcessId(self.next_id());
        let session = self.sessions.get(&on_behalf_of);
        let subject = session.and_then(|session| session.subject.clone());
        let route = session.and_then(|session| session.route.clone());
        let started = match self.sessions.get(&on_behalf_of) {
            None => Err("the session that it was for has gone".to_owned()),
            Some(Session {
                means: Err(why), ..
            }) => Err(why.to_string()),
            Some(Session {
                means: Ok(means),
                server,
                ..
            }) => start(id, upstream, server, means, &mut self.around),
        };
        match started {
            Ok(mut process) => {
                process.route = route;
                self.processes.insert(id, process);
                self.by_upstream.insert(upstream, id);
                match subject {
                    Some(subject) => self.subjects.insert(upstream, (subject, wall_clock())),
                    None => self.subjects.remove(&upstream),
                };
            }
            Err(why) => self
                .echoes
                .push(Event::UpstreamStartFailed { upstream, why }),
        }
    }
}

/// Has a process started, or what there is in its place reached.
fn start(
    id: ProcessId,
    upstream: UpstreamId,
    server: &Arc<str>,
    means: &Means,
    around: &mut Surroundings,
) -> Result<Process, String> {
    let limit = around.limits.slow_server_bytes;
    let room = Arc::clone(&around.room);
    let outlet = |sink| Outlet::plain(sink, limit, &room);
    match means {
        Means::Process(spec) => {
            let (guardian, logs) = (&mut around.guardian, &around.logs);
            Process::start(guardian, id, upstream, server, spec, logs, outlet)
        }
        Means::Remote(spec) => Process::reach(id, upstream, server, spec, around, outlet),
    }
}
