//! What servers of the legacy era ask, and no longer want to know.

use mux::{Era, UpstreamId};

use super::super::{
    judge::Ask,
    words::{self, Asks},
    world::World,
};
use crate::{
    payload::{Mark, Owner},
    play::nth,
    world::Held,
};

impl World {
    /// A server of the legacy era asks something.
    pub(in crate::eras) fn question(&mut self, who: u8, what: u8) -> Held {
        let id = self.server(who, |peer| {
            let is_legacy = peer.era == Some(Era::Legacy);
            // One that does not read and asks on is answered no more.
            peer.serves() && is_legacy && !peer.is_stalled && peer.asked.len() < 8
        });
        let Some(id) = id else { return Ok(()) };
        let asks = Asks::ALL[usize::from(what) % 5];
        let works = &self.servers[&id].works;
        let callers: Vec<Mark> = works
            .iter()
            .filter(|it| it.is_askable())
            .filter_map(|it| it.mark)
            .collect();
        let cause = nth(&callers, what / 5).filter(|_| what < 240);
        if cause.is_none() && what < 240 {
            return Ok(());
        }
        self.ask_because(id, asks, cause)
    }

    pub(in crate::eras) fn ask_because(
        &mut self,
        id: UpstreamId,
        asks: Asks,
        cause: Option<Mark>,
    ) -> Held {
        let mark = self.judge.name(Owner::Server(id), cause);
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        peer.asks_issued += 1;
        let named = words::nth_id(peer.asks_issued);
        peer.asked.push((named.clone(), cause));
        let work = peer.works.iter().find(|work| work.mark == cause);
        let minted = work.filter(|_| cause.is_some()).map(|work| work.minted);
        let within = minted.and_then(|minted| self.stream_for(id, minted));
        let params = asks.params(mark, cause, Era::Legacy);
        let method = asks.method();
        if let Some(server) = self.judge.servers.get_mut(&id) {
            let ask = Ask {
                number: mark.number,
                asks,
                put: None,
                within,
                reply: None,
                is_refused: false,
                is_left: false,
            };
            server.asks.insert(named.clone(), ask);
        }
        self.speak_within(
            id,
            format!(r#"{{"jsonrpc":"2.0","id":{named},"method":"{method}","params":{params}}}"#),
            within,
        )
    }

    pub(in crate::eras) fn withdraw(&mut self, who: u8, what: u8) -> Held {
        let Some(id) = self.server(who, |peer| peer.serves() && !peer.asked.is_empty()) else {
            return Ok(());
        };
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let (named, _) = peer.asked.remove(usize::from(what) % peer.asked.len());
        self.say_withdrawn(id, &named)
    }

    pub(super) fn say_withdrawn(&mut self, id: UpstreamId, named: &str) -> Held {
        self.judge.server_withdraws(id, named);
        let params = format!(r#"{{"requestId":{named}}}"#);
        self.speak(
            id,
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#),
        )
    }
}
