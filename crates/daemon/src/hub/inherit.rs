//! Servers of a daemon before us, taken over before anybody is let in.
//!
//! **Invariant:** of every process that was left the core is told, or nothing is started before it has
//! ended.

use std::{io, os::fd::OwnedFd, sync::Arc};

use guardian::protocol::Held;
use mux::Event;

use super::{Hub, ProcessId};
use crate::{
    link::Outlet,
    observe,
    process::{Inheritance, Note, Process, STOP_PATIENCE},
};

impl Hub {
    /// Takes over what was left.
    pub(crate) fn inherit(&mut self, inheritance: Inheritance) -> io::Result<()> {
        let Inheritance {
            guardian,
            epoch,
            servers,
        } = inheritance;
        let Some(guardian) = guardian else {
            return Ok(());
        };
        observe::guardian_inherited(guardian.pid(), epoch, servers.len());
        self.world.around.guardian.take_over(guardian)?;
        for (held, fds) in servers {
            self.inherit_process(&held, fds)?;
        }
        Ok(())
    }

    fn inherit_process(&mut self, held: &Held, fds: Vec<OwnedFd>) -> io::Result<()> {
        let world = &mut self.world;
        let id = ProcessId(held.upstream);
        let note = Note::decode(&held.record).filter(|note| note.record.is_readable());
        let Some(note) = note else {
            observe::unknown_server_ended(held.pid);
            world.strangers.insert(id);
            world.around.guardian.stop(id, STOP_PATIENCE);
            return Ok(());
        };
        let pipes = <[OwnedFd; 3]>::try_from(fds).ok();
        let is_ending = pipes.is_none();
        let upstream = note.upstream;
        let limit = world.around.limits.slow_server_bytes;
        let room = Arc::clone(&world.around.room);
        let mut process =
            Process::inherit(upstream, &note.server, pipes, &world.around.logs, |sink| {
                Outlet::plain(sink, limit, &room)
            })?;
        process.on_running(id, held.pid, &world.around);
        world.processes.insert(id, process);
        world.by_upstream.insert(upstream, id);
        world.touch_process(id);
        let now = self.now();
        let event = Event::UpstreamInherited {
            upstream,
            record: note.record,
            is_ending,
        };
        self.handle(now, event);
        if let Some(process) = self.world.processes.get_mut(&id) {
            process.route = self.mux.route_of(upstream).cloned();
        }
        Ok(())
    }
}
