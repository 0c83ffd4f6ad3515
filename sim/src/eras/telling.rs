//! Of what servers tell: whether they say that they will, and what changes.

use mux::{Era, UpstreamId};

use super::{
    server::Peer,
    specs::SPECS,
    words::{self, LISTS, SUBSCRIPTION, URIS},
    world::World,
};
use crate::{payload::Owner, world::Held};

impl World {
    /// Whether it does not tell of a resource.
    pub(super) fn refuses(&self, id: UpstreamId, uri: usize) -> bool {
        let peer = self.servers.get(&id);
        peer.is_some_and(|peer| !SPECS[peer.spec].tells_of(uri))
    }

    /// A server of the modern era says of what it will tell, or that it will not be listened to so.
    pub(super) fn acknowledge(&mut self, who: u8) -> Held {
        match self.server(who, |peer| peer.serves() && !peer.unsaid.is_empty()) {
            Some(id) => self.acknowledge_one(id),
            None => Ok(()),
        }
    }

    pub(super) fn acknowledge_one(&mut self, id: UpstreamId) -> Held {
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let Some((minted, mut filter)) = peer.unsaid.pop_first() else {
            return Ok(());
        };
        let spec = &SPECS[peer.spec];
        let kept = spec.keeps_to_itself.map(|at| URIS[usize::from(at)]);
        let kept = kept.filter(|uri| filter.contains(&format!(r#""{uri}""#)));
        if spec.is_strict && kept.is_some() {
            self.judge.listening_ends(id, minted);
            let error = format!(r#"{{"code":-32000,"message":"{}"}}"#, words::NOT_TOLD);
            return self.speak(
                id,
                format!(r#"{{"jsonrpc":"2.0","id":{minted},"error":{error}}}"#),
            );
        }
        if let Some(uri) = kept {
            filter = words::without(&filter, uri);
        }
        peer.listens.insert(minted, filter.clone());
        self.judge.server_promises(id, &filter);
        let meta = format!(r#""_meta":{{"{SUBSCRIPTION}":{minted}}}"#);
        let params = format!(r#"{{{meta},"notifications":{filter}}}"#);
        self.speak(
            id,
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{params}}}"#
            ),
        )
    }

    /// The wish under which a server of the modern era says something; nothing for one of the legacy era. `None` if
    /// nobody wants to know.
    fn wish_for(&self, id: UpstreamId, words: &[String]) -> Option<String> {
        let peer = &self.servers[&id];
        if peer.era == Some(Era::Legacy) {
            return Some(String::new());
        }
        let mut wishes = peer
            .listens
            .iter()
            .filter(|(_, filter)| words.iter().any(|word| filter.contains(word)));
        let (minted, _) = wishes.next()?;
        Some(format!(r#""_meta":{{"{SUBSCRIPTION}":{minted}}}"#))
    }

    pub(super) fn change(&mut self, who: u8, what: u8) -> Held {
        let list = usize::from(what) % LISTS.len();
        let Some(id) = self
            .server(who, Peer::serves)
            .filter(|_| words::is_told(list))
        else {
            return Ok(());
        };
        let (name, filter) = LISTS[list];
        let Some(wish) = self.wish_for(id, &[filter.to_owned()]) else {
            return Ok(());
        };
        self.pages_change(id, list);
        self.judge.list_changes(id, list, false);
        let params = format!(r#""params":{{{wish}}}"#);
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/{name}/list_changed",{params}}}"#),
        )
    }

    pub(super) fn update(&mut self, who: u8, what: u8) -> Held {
        let at = usize::from(what) % URIS.len();
        let Some(id) = self.server(who, Peer::serves) else {
            return Ok(());
        };
        let uri = URIS[at];
        let wholes: Vec<String> = words::wholes_of(at)
            .map(|at| format!(r#""{}""#, URIS[at]))
            .collect();
        let Some(wish) = self.wish_for(id, &wholes) else {
            return Ok(());
        };
        let mark = self.judge.name(Owner::Server(id), None);
        let words = format!(r#""mark":"~{mark}~","uri":"{uri}""#);
        self.judge.is_worded(mark, words.clone());
        self.judge.resource_changes(id, at, mark);
        let wish = if wish.is_empty() {
            wish
        } else {
            format!(",{wish}")
        };
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{{words}{wish}}}}}"#),
        )
    }
}
