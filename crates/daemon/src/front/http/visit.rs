//! What somebody who comes in over HTTP wants of the hub.

use std::{fmt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use mux::Said;
use serde::{Deserialize, Serialize};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Generation, Presence};
use crate::link::{EventId, NoRoom, Room, Share, Socket, Tube};

/// Digits of a key as it is given out.
const KEY_DIGITS: usize = 32;

/// By what a session is known: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key([u8; KEY_DIGITS / 2]);

impl fmt::Debug for Key {
    /// Who knows a key can speak for its session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// One that nobody can guess.
    pub(crate) fn random() -> std::io::Result<Self> {
        let mut bytes = [0; KEY_DIGITS / 2];
        sys::random::fill(&mut bytes)?;
        Ok(Key(bytes))
    }

    /// To make sums with.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        crate::kept_words::array_from_hex(text).map(Key)
    }

    /// As it is given out.
    pub(crate) fn to_text(self) -> String {
        crate::kept_words::hex(&self.0)
    }
}

/// What a session is at, as its URL says. It stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    /// Its server; `None` for the only one that there is.
    pub(crate) server: Option<Arc<str>>,
    /// Its workspace, as it was written.
    pub(crate) workspace: Option<PathBuf>,
    /// What its client calls the session, for servers that want to know.
    pub(crate) session_key: Option<Arc<str>>,
}

impl Place {
    /// Whether a session that has begun there is found here. What its client calls it counts only when it begins.
    pub(crate) fn has_the_sessions_of(&self, other: &Place) -> bool {
        (&self.server, &self.workspace) == (&other.server, &other.workspace)
    }
}

/// By what somebody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Caller {
    /// It is a program of the same user.
    SameUser,
    /// It has the token.
    Token,
    /// Nobody is asked.
    Anybody,
}

/// A workspace that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Since when somebody waits for what is there.
    pub(crate) since: Instant,
}

/// One request that the hub has to see to.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) place: Place,
    /// The workspace of the place, once that was looked at.
    pub(crate) found: Option<Found>,
    pub(crate) caller: Caller,
    pub(crate) wish: Wish,
    /// Where the response is made of what comes.
    pub(crate) reply: Tube,
}

impl Visit {
    /// Counts it no longer to what waits to be taken in.
    pub(crate) fn count_out(&mut self) {
        match &mut self.wish {
            Wish::Begin(post, ..) | Wish::Say(_, post) => post.share = None,
            Wish::Listen(_) | Wish::Resume(..) | Wish::Leave(_) | Wish::Meet | Wish::Talk(..) => {}
        }
    }

    /// Counts it again, as it is to wait for longer.
    pub(crate) fn count_in(&mut self, room: &Arc<Room>) -> Result<(), NoRoom> {
        match &mut self.wish {
            Wish::Begin(post, ..) | Wish::Say(_, post) => post.count_in(room),
            Wish::Listen(_) | Wish::Resume(..) | Wish::Leave(_) | Wish::Meet | Wish::Talk(..) => {
                Ok(())
            }
        }
    }

    /// The workspace that has to be looked at before anything is begun for it.
    pub(crate) fn unseen(&self) -> Option<PathBuf> {
        let begins = matches!(self.wish, Wish::Begin(..) | Wish::Meet | Wish::Talk(..));
        let workspace = self.place.workspace.as_ref();
        workspace
            .filter(|_| begins && self.found.is_none())
            .cloned()
    }
}

#[derive(Debug)]
pub(crate) enum Wish {
    /// To begin a session with this `initialize`, in this place among those that there may be, as long as somebody
    /// waits for it.
    Begin(Post, OwnedSemaphorePermit, Arc<Presence>),
    /// To say something in a session.
    Say(Key, Post),
    /// To hear what belongs to nothing that the session says.
    Listen(Key),
    /// To go on with a stream behind this event of it.
    Resume(Key, EventId),
    /// To end a session.
    Leave(Key),
    /// To hear whether there may be a session over a WebSocket.
    Meet,
    /// To begin it over this one, in this place, with what was read behind the handshake. If it was let in by a
    /// token, that is the one.
    Talk(Socket, Bytes, OwnedSemaphorePermit, Option<Generation>),
}

impl Wish {
    /// By what its session is known, if it is about one that there is.
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Wish::Begin(..) | Wish::Meet | Wish::Talk(..) => None,
            Wish::Say(key, _) | Wish::Listen(key) | Wish::Resume(key, _) | Wish::Leave(key) => {
                Some(*key)
            }
        }
    }
}

/// What was posted.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) said: Said,
    pub(crate) bytes: usize,
    /// What it takes of the room for all until the hub takes it in.
    pub(crate) share: Option<Share>,
}

impl Post {
    /// Takes room again, as it is to wait for longer.
    pub(crate) fn count_in(&mut self, room: &Arc<Room>) -> Result<(), NoRoom> {
        let mut share = Share::of(room);
        share.try_set(self.bytes)?;
        self.share = Some(share);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_itself_and_nothing_else_is_one() {
        let key = Key::random().unwrap();
        let text = key.to_text();
        assert_eq!(Key::parse(&text), Some(key));
        assert!(Key::random().unwrap() != key);
        for other in [
            "",
            &text[1..],
            &format!("{text}0"),
            &"G".repeat(32),
            &"A".repeat(32),
        ] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }
}
