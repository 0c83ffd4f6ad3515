//! How processes end: by themselves, because they were told to, or because the way to them is cut.

use mux::{Exit, UpstreamId};

use crate::{
    eras::{
        judge::{Process, Seen},
        world::World,
    },
    world::Held,
};

impl World {
    pub(in crate::eras) fn crash(&mut self, who: u8, what: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.process == Process::Running) else {
            return Ok(());
        };
        let exit = if what.is_multiple_of(4) {
            Exit::Signal(9)
        } else {
            Exit::Code(1)
        };
        let written = if what.is_multiple_of(2) {
            usize::MAX
        } else {
            0
        };
        self.exited(id, exit, written)
    }

    /// The way to a server is cut, in the middle of what is being written there; or it has forgotten all that was said
    /// to it.
    pub(in crate::eras) fn cut_server(&mut self, who: u8, what: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.process == Process::Running) else {
            return Ok(());
        };
        let exit = if what.is_multiple_of(4) {
            self.judge.saw(Seen::ServerForgot);
            Exit::Forgetful
        } else {
            self.judge.saw(Seen::ServerCut);
            Exit::Disconnected
        };
        let written = usize::from(what / 4) % (self.servers[&id].inbox.len() + 1);
        self.exited(id, exit, written)
    }

    pub(in crate::eras) fn exit(&mut self, who: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.process == Process::Stopping) else {
            return Ok(());
        };
        self.exit_of(id)
    }

    pub(in crate::eras) fn exit_of(&mut self, id: UpstreamId) -> Held {
        if self.servers.get(&id).is_some_and(|peer| peer.never_ran) {
            return self.start_failed(id);
        }
        self.exited(id, Exit::Code(0), usize::MAX)
    }
}
