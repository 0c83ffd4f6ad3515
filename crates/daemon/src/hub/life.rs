//! Processes of upstreams that run, and the end of them.

use std::sync::Arc;

use guardian::protocol::Patience;
use mux::{Event, Exit, UpstreamId};
use tokio::time;

use super::{
    input::{Input, ProcessId},
    world::{Lingering, World},
};
use crate::{
    process::{Ending, OUTPUT_PATIENCE, STOP_PATIENCE},
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
}
