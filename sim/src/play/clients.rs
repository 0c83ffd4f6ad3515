//! Steps of clients.

use bytes::Bytes;
use mux::SessionId;

use super::{long_line, nth};
use crate::{
    fault::Fault,
    payload::{Ident, LEVELS, Mark, Message, Owner, PLAIN, Shape, TOOLS, URIS},
    peers::Up,
    step::{Replying, Telling, Want},
    world::World,
};

impl World {
    pub(crate) fn say(
        &mut self,
        at: usize,
        shape: Shape,
        about: Option<Mark>,
        id: Ident,
        token: Ident,
    ) -> Message {
        let owner = Owner::Session(self.clients[at].id);
        let message = self.model.describe(owner, shape, about, id, token);
        let bytes = Bytes::from(message.render());
        self.clients[at].up.push_back(Up::Line {
            bytes,
            messages: vec![message],
        });
        message
    }

    pub(super) fn say_raw(&mut self, at: usize, text: impl Into<Bytes>) {
        self.clients[at].up.push_back(Up::Line {
            bytes: text.into(),
            messages: Vec::new(),
        });
    }

    pub(super) fn hello(&mut self, client: u8, id: u8, version: u8, class: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        if std::mem::replace(&mut self.clients[at].has_said_hello, true) {
            self.hit(Fault::HelloAgain);
        }
        let shape = Shape::Hello {
            version: version % 5,
            class: class % 5,
        };
        let message = self.say(at, shape, None, Ident::chosen(id % 40), Ident::None);
        self.clients[at].open.push(message);
    }

    pub(super) fn request(&mut self, client: u8, what: Want, which: u8, id: u8, token: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let within =
            |list: &[&str]| u8::try_from(usize::from(which) % list.len()).unwrap_or_default();
        let shape = match what {
            Want::Call => Shape::Call(within(&TOOLS)),
            Want::Prompt => Shape::Prompt,
            Want::Read => Shape::Read(within(&URIS)),
            Want::Subscribe => Shape::Subscribe(within(&URIS)),
            Want::Unsubscribe => Shape::Unsubscribe(within(&URIS)),
            Want::SetLevel => Shape::SetLevel(within(&LEVELS)),
            Want::Ping => Shape::Ping,
            Want::Discover => Shape::Discover,
            Want::Plain => Shape::Plain(within(&PLAIN)),
        };
        let id = Ident::chosen(id % 40);
        let token = if token.is_multiple_of(4) {
            Ident::None
        } else {
            Ident::chosen(token % 40)
        };
        self.note_collisions(at, id);
        let message = self.say(at, shape, None, id, token);
        self.clients[at].open.push(message);
    }

    pub(super) fn note_collisions(&mut self, at: usize, id: Ident) {
        let client = &self.clients[at];
        if !client.has_said_hello {
            self.hit(Fault::TooEarly);
        }
        let client = &self.clients[at];
        let is_own = client.open.iter().any(|message| message.id == id);
        let upstream = |session: SessionId| {
            self.model
                .sessions
                .get(&session)
                .and_then(|session| session.upstream)
        };
        let own = upstream(client.id);
        let others = self
            .clients
            .iter()
            .filter(|other| other.id != client.id && own.is_some() && upstream(other.id) == own);
        let is_shared = others
            .flat_map(|other| &other.open)
            .any(|message| message.id == id);
        if is_own {
            self.hit(Fault::IdReused);
        }
        if is_shared {
            self.hit(Fault::SameId);
        }
    }

    pub(super) fn batch(&mut self, client: u8, count: u8, salt: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let owner = Owner::Session(self.clients[at].id);
        let mut messages = Vec::new();
        for member in 0..2 + count % 3 {
            let salt = salt.wrapping_add(member.wrapping_mul(29));
            let shape = match salt % 7 {
                0 | 1 => Shape::Call(salt / 7 % 6),
                2 => Shape::Plain(salt / 7 % 6),
                3 => Shape::Subscribe(salt / 7 % 5),
                4 => Shape::Ping,
                5 => Shape::Told,
                _read => Shape::Read(salt / 7 % 5),
            };
            self.clients[at].batches += 1;
            let id = if shape == Shape::Told {
                Ident::None
            } else {
                Ident::Number(10_000 + self.clients[at].batches)
            };
            messages.push(self.model.describe(owner, shape, None, id, Ident::None));
        }
        let texts: Vec<String> = messages.iter().map(Message::render).collect();
        let bytes = Bytes::from(format!("[{}]", texts.join(" ,")));
        self.clients[at]
            .open
            .extend(messages.iter().filter(|message| message.id != Ident::None));
        self.clients[at].up.push_back(Up::Line { bytes, messages });
    }

    pub(super) fn cancel(&mut self, client: u8, which: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let open = &self.clients[at].open;
        let id = match nth(open, which) {
            Some(message) if which != u8::MAX => {
                self.note_race(at, &message);
                self.clients[at]
                    .open
                    .retain(|known| known.mark != message.mark || message.is_hello());
                message.id
            }
            _unknown => {
                self.hit(Fault::CancelUnknown);
                Ident::chosen(which % 40)
            }
        };
        self.say(at, Shape::Cancelled, None, id, Ident::None);
    }

    /// Whether the answer to what is cancelled is on its way.
    pub(super) fn note_race(&mut self, at: usize, message: &Message) {
        let session = self.model.sessions.get(&self.clients[at].id);
        let owed = session.and_then(|session| {
            session
                .owed
                .values()
                .find(|owed| owed.message.mark == message.mark)
        });
        let minted = owed.and_then(|owed| owed.minted);
        let is_answered = minted.is_some_and(|(upstream, minted)| {
            self.servers
                .get(&upstream)
                .is_some_and(|peer| peer.over.contains(&minted))
        });
        if is_answered {
            self.hit(Fault::CancelAtReply);
        }
    }

    pub(super) fn tell(&mut self, client: u8, what: Telling) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let (shape, token) = match what {
            Telling::Vendor => (Shape::Told, Ident::None),
            Telling::Initialized => (Shape::Initialized, Ident::None),
            Telling::Roots => (Shape::RootsChanged, Ident::None),
            Telling::Progress => {
                let wants = self.clients[at].asked.iter().find(|(_, wants)| *wants);
                (
                    Shape::Progress,
                    wants.map_or(Ident::Number(77), |(shown, _)| Ident::Number(*shown)),
                )
            }
        };
        self.say(at, shape, None, Ident::None, token);
    }

    pub(crate) fn reply(&mut self, client: u8, which: u8, how: Replying) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let asked = nth(&self.clients[at].asked, which).filter(|_| how != Replying::MadeUp);
        let shown = asked.map_or(u64::from(which), |(shown, _)| shown);
        self.clients[at]
            .asked
            .retain(|(known, _)| Some(*known) != asked.map(|(shown, _)| shown));
        let is_open = self
            .model
            .sessions
            .get(&self.clients[at].id)
            .is_some_and(|session| session.asked.contains_key(&shown));
        if !is_open || how == Replying::Twice {
            self.hit(Fault::LateReply);
        }
        let shape = if how == Replying::Error {
            Shape::Error
        } else {
            Shape::Result
        };
        self.say(at, shape, None, Ident::Number(shown), Ident::None);
        if how == Replying::Twice {
            self.say(at, Shape::Result, None, Ident::Number(shown), Ident::None);
        }
    }

    pub(super) fn garbage(&mut self, client: u8, kind: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        let kinds: [&'static [u8]; 14] = [
            b"hello?",
            b"{\"jsonrpc\":\"2.0\",\"id\":1",
            b"\xff\xfe{}",
            b"[]",
            b"[1]",
            b"[1,2]",
            b"17",
            br#"{"jsonrpc":"2.0","id":3,"id":4,"method":"tools/call","params":{}}"#,
            br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","method":"ping"}"#,
            br#"{"jsonrpc":"1.0","id":3,"method":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":[],"method":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            br#"{"jsonrpc":"2.0","Id":3,"Method":"tools/call"}"#,
        ];
        match usize::from(kind) % (kinds.len() + 2) {
            at_limit if at_limit < kinds.len() => self.say_raw(at, kinds[at_limit]),
            early if early == kinds.len() => self.say_raw(
                at,
                long_line(
                    r#""id":5,"method":"tools/call","#,
                    self.limits.message_bytes,
                    "",
                ),
            ),
            _late => self.say_raw(
                at,
                long_line("", self.limits.message_bytes, r#","id":1,"result":{}"#),
            ),
        }
    }

    pub(super) fn churn(&mut self, client: u8, which: u8, count: u8) {
        if self.speaker(client).is_some() {
            self.hit(Fault::Churn);
        }
        for turn in 0..2 + count % 5 {
            let what = if turn % 2 == 0 {
                Want::Subscribe
            } else {
                Want::Unsubscribe
            };
            self.request(client, what, which, which.wrapping_add(turn), 0);
        }
    }

    pub(super) fn end(&mut self, client: u8) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        self.hit(Fault::Ended);
        self.clients[at].has_ended = true;
        self.clients[at].up.push_back(Up::End);
    }

    pub(super) fn leave(&mut self, client: u8) {
        let here: Vec<usize> = (0..self.clients.len())
            .filter(|at| !self.clients[*at].is_closed)
            .collect();
        let Some(at) = nth(&here, client) else { return };
        if matches!(self.clients[at].up.back(), Some(Up::Close)) {
            return;
        }
        self.hit(Fault::Vanished);
        if !self.clients[at].open.is_empty() {
            self.hit(Fault::VanishedBusy);
        }
        let client = &mut self.clients[at];
        client.has_ended = true;
        // What it had written may be lost with it.
        if client.up.len() % 2 == 1 {
            client.up.clear();
        }
        client.up.push_back(Up::Close);
        client.is_paused = false;
    }

    pub(super) fn stall(&mut self, client: u8, stops: bool) {
        let Some(at) = self.speaker(client) else {
            return;
        };
        if stops && !self.clients[at].is_stalled {
            self.hit(Fault::Stalled);
        }
        self.clients[at].is_stalled = stops;
    }
}
