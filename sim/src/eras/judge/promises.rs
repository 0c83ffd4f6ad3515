//! Of which resources servers have said that they tell, and who may be promised that.

use mux::{SessionId, UpstreamId};

use super::{Judge, Seen, bit_of, bits_of};
use crate::{
    eras::{specs::spec_of, words::URIS},
    invariants::{Broken, ensure},
    world::Held,
};

/// Which of the resources stand in these words.
fn named_in(words: &str) -> impl Iterator<Item = usize> {
    (0..URIS.len()).filter(move |at| words.contains(&format!(r#""{}""#, URIS[*at])))
}

impl Judge {
    /// A server says of which resources it tells.
    pub(crate) fn server_promises(&mut self, id: UpstreamId, words: &str) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.tells.extend(named_in(words));
        self.wishes_are_agreed_to(id);
    }

    /// A server is asked on behalf of all to tell of resources: for whoever has wished for that before, and what it
    /// tells from now on is theirs if it agrees.
    pub(super) fn is_asked_to_tell(&mut self, id: UpstreamId, words: &str) {
        let bits = bits_of(named_in(words));
        // What a client has wished for that does not read, or whose server does not, may not have come up yet.
        if self.servers.get(&id).is_none_or(|server| server.is_stalled) {
            return;
        }
        let here = self.sessions.values_mut();
        let here = here.filter(|it| it.upstream == Some(id) && !it.is_stalled);
        let open = here.flat_map(|session| session.open.values_mut());
        for wish in open.filter_map(|open| open.wish.as_mut()) {
            wish.asked |= bits & wish.bits;
        }
    }

    /// What a process has agreed to is promised to who waits for word of it, and of more, whatever becomes of that
    /// process.
    pub(super) fn wishes_are_agreed_to(&mut self, id: UpstreamId) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let bits = bits_of(server.tells.iter().copied());
        let here = self.sessions.values_mut();
        let here = here.filter(|session| session.upstream == Some(id));
        let open = here.flat_map(|session| session.open.values_mut());
        for wish in open.filter_map(|open| open.wish.as_mut()) {
            wish.agreed |= bits;
        }
    }

    /// A server answers a wish of the modern era, and keeps it no longer.
    pub(crate) fn listening_ends(&mut self, id: UpstreamId, minted: u64) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.listens.remove(&minted);
        if let Some(given) = server.given.get_mut(&minted) {
            given.is_over = true;
        }
    }

    /// Of all resources that a client wants to hear of its server has said that it tells of them, but for those of
    /// which it does not.
    pub(super) fn check_promised(
        &mut self,
        id: SessionId,
        (wanted, missing, agreed): (u8, u8, u8),
        is_late: bool,
        text: &str,
    ) -> Held {
        for at in 0..URIS.len() {
            let bit = bit_of(at);
            if wanted & bit == 0 {
                continue;
            }
            let tells = agreed & bit != 0 || self.has_agreed(id, at);
            if missing & bit == 0 {
                ensure!(tells, "{id} is promised what nobody tells: {text}");
                continue;
            }
            let name = self.sessions.get(&id).map_or("", |session| session.name);
            ensure!(
                is_late || !spec_of(name).tells_of(at),
                "{id} is not promised what its server tells: {text}"
            );
            self.saw(Seen::NotTold);
        }
        Ok(())
    }

    /// Whether the process of a session's server has said that it tells of a resource.
    pub(super) fn has_agreed(&self, id: SessionId, uri: usize) -> bool {
        let session = self.sessions.get(&id);
        let server = session.and_then(|session| self.servers.get(&session.upstream?));
        server.is_some_and(|server| server.tells.contains(&uri))
    }
}
