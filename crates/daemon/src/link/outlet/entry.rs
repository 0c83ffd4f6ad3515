//! One thing that waits in an outlet.

use mux::{Answered, LineNumber, Then};
use serde::{Deserialize, Serialize};
use wire::Outgoing;

use crate::link::{Sign, packing::OwnHead};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) message: Outgoing,
    pub(super) role: Role,
    #[serde(default)]
    shape: Shape,
}

/// What stands around the bytes of an entry.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) enum Shape {
    /// The end of a line.
    #[default]
    Line,
    /// The head of a frame.
    Frame(OwnHead),
    /// Nothing: it is a frame.
    Bare,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Role {
    /// A message that answers nothing of the peer's.
    Message,
    Answer(Answered),
    /// A control line; it may be the announcement that a line is sent.
    Control {
        announces: Option<LineNumber>,
    },
    /// The control line behind the answer to a line that stays with the shim.
    Keep(LineNumber),
    /// That we have heard a ping.
    Pong,
}

impl Entry {
    /// A line.
    pub(super) fn line(message: Outgoing, role: Role) -> Self {
        Entry {
            message,
            role,
            shape: Shape::Line,
        }
    }

    /// A message in a frame of its own.
    pub(super) fn framed(message: Outgoing, role: Role) -> Self {
        let shape = Shape::Frame(OwnHead::of_message(message.len()));
        Entry {
            message,
            role,
            shape,
        }
    }

    /// What a frame says of the connection.
    pub(super) fn of_sign(sign: &Sign) -> Self {
        Entry {
            message: Outgoing::from(sign.pack()),
            role: match sign {
                Sign::Pong(_) => Role::Pong,
                Sign::Ping | Sign::Close(_) => Role::Control { announces: None },
            },
            shape: Shape::Bare,
        }
    }

    pub(super) fn is_pong(&self) -> bool {
        matches!(self.role, Role::Pong)
    }

    pub(super) fn len(&self) -> usize {
        self.message.len() + self.before().len() + self.behind().len()
    }

    fn before(&self) -> &[u8] {
        match &self.shape {
            Shape::Frame(head) => head.bytes(),
            Shape::Line | Shape::Bare => b"",
        }
    }

    fn behind(&self) -> &'static [u8] {
        match self.shape {
            Shape::Line => b"\n",
            Shape::Frame(_) | Shape::Bare => b"",
        }
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = self.message.pieces().iter().map(|piece| &**piece);
        [self.before()]
            .into_iter()
            .chain(pieces)
            .chain([self.behind()])
    }

    pub(super) fn done(&self) -> Option<LineNumber> {
        match &self.role {
            Role::Answer(answered) => match answered.then {
                Then::Done => Some(answered.line),
                Then::Keep => None,
            },
            Role::Message | Role::Control { .. } | Role::Keep(_) | Role::Pong => None,
        }
    }
}
