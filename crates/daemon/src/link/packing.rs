//! Messages in the frames of a WebSocket (RFC 6455): taken out of them, and put into them.
//!
//! What comes out of a frame goes on as a line, one for each message, so that all that holds for lines holds
//! here: how long one may be and what becomes of one that is longer, who comes first, how it is handed over.
//! What a frame says of the connection itself is a [`Sign`]. Heads of frames are read and written by
//! `tungstenite`; its reader is of no use here, as it has a buffer for each connection and gives a message
//! that is too long up without a word of whose it was (`docs/adr/0021`).
//!
//! **Invariant:** however the bytes are split, the same comes out; and nothing is kept of what has come out.

use std::{io::Cursor, str};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// The longest head of a frame of a client's.
const HEAD_BYTES_MAX: usize = 14;

/// The longest head of one of ours, which has no mask.
const OWN_HEAD_BYTES_MAX: usize = 10;

/// The most that a sign may bring along.
const SIGN_BYTES_MAX: u64 = 125;

/// What one side says of the connection, beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Whether anybody is there.
    Ping,
    /// Somebody is, as the same bytes show.
    Pong(Vec<u8>),
    /// There is nothing more to be said, and that is why.
    Close(Farewell),
}

/// Why a WebSocket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Farewell {
    /// The client has closed it, with this code if with any.
    Returned(Option<u16>),
    /// The session is over on our side.
    Leaving,
    /// The client does not keep to the rules of frames.
    Violation,
    /// The client sends what is no text.
    NoText,
    /// The client sends as text what is none (RFC 6455, 8.1).
    NotUtf8,
    /// The client says nothing but what is no message.
    Garbage,
    /// What the client was let in by counts no more.
    Revoked,
}

/// What is found in frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unpacked<'a> {
    /// More of a message, without an end of a line in it.
    Part(&'a [u8]),
    /// A message has come to its end.
    End,
    /// Somebody asks whether we are there, with these bytes.
    Ping(&'a [u8]),
}

/// Takes messages out of the frames of a client.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Unpacker {
    /// The beginning of a head, and how much of it there is.
    head: [u8; HEAD_BYTES_MAX],
    head_len: usize,
    /// The frame whose head has come.
    body: Option<Body>,
    /// Whether there was a part of a message, and not the last.
    is_amid: bool,
    /// What has come of a character of the message.
    #[serde(default)]
    character: Vec<u8>,
    /// What has come of a sign.
    sign: Vec<u8>,
    /// What was read before anybody could take it.
    early: Vec<u8>,
    /// Why nothing more is to be read.
    ended: Option<Farewell>,
}

/// What is left of a frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Body {
    kind: Kind,
    is_last: bool,
    left: u64,
    /// Turned so that it begins with what the next byte is masked with.
    mask: [u8; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    Ping,
    Pong,
    Close,
}

impl Unpacker {
    /// One before which so much was read.
    pub(crate) fn of(early: &[u8]) -> Self {
        Unpacker {
            early: early.to_vec(),
            ..Unpacker::default()
        }
    }

    /// What was read before, once.
    pub(crate) fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    /// Takes what was read, which is changed where it stands, and hands out what is found in it; an error
    /// if nothing that follows is to be read, and from then on.
    pub(crate) fn feed(
        &mut self,
        read: &mut [u8],
        mut on: impl FnMut(Unpacked<'_>),
    ) -> Result<(), Farewell> {
        if self.ended.is_none() {
            self.ended = self.take(read, &mut on).err();
        }
        self.ended.map_or(Ok(()), Err)
    }

    fn take(
        &mut self,
        mut read: &mut [u8],
        on: &mut impl FnMut(Unpacked<'_>),
    ) -> Result<(), Farewell> {
        loop {
            let Some(body) = &mut self.body else {
                if read.is_empty() {
                    return Ok(());
                }
                let used = self.take_head(read)?;
                read = read.get_mut(used..).unwrap_or_default();
                continue;
            };
            let len = usize::try_from(body.left).unwrap_or(usize::MAX);
            let (part, rest) = read.split_at_mut(len.min(read.len()));
            read = rest;
            body.unmask(part);
            match body.kind {
                Kind::Text if part.is_empty() => {}
                Kind::Text => {
                    let checked = check_text(&mut self.character, part);
                    let sound = checked.err().unwrap_or(part.len());
                    let (sound, _rest) = part.split_at_mut(sound);
                    if !sound.is_empty() {
                        on_one_line(sound);
                        on(Unpacked::Part(sound));
                    }
                    checked.map_err(|_| Farewell::NotUtf8)?;
                }
                Kind::Ping | Kind::Pong | Kind::Close => self.sign.extend_from_slice(part),
            }
            if body.left > 0 {
                return Ok(());
            }
            self.finish(on)?;
        }
    }

    /// Takes what belongs to the head of a frame; how much that was.
    fn take_head(&mut self, read: &[u8]) -> Result<usize, Farewell> {
        let kept = self.head_len;
        let room = self.head.get_mut(kept..).unwrap_or_default();
        let more = room.len().min(read.len());
        let (room, read) = (room.get_mut(..more), read.get(..more));
        if let (Some(room), Some(read)) = (room, read) {
            room.copy_from_slice(read);
        }
        let mut cursor = Cursor::new(self.head.get(..kept + more).unwrap_or_default());
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((head, length))) => {
                let end = usize::try_from(cursor.position()).unwrap_or(kept);
                self.head_len = 0;
                self.body = Some(self.begin(&head, length)?);
                Ok(end.saturating_sub(kept))
            }
            Ok(None) if more > 0 => {
                self.head_len = kept + more;
                Ok(more)
            }
            Ok(None) | Err(_) => Err(Farewell::Violation),
        }
    }

    /// A frame of which this is the head; an error if none like that may come now.
    fn begin(&self, head: &FrameHeader, length: u64) -> Result<Body, Farewell> {
        let is_sign = matches!(head.opcode, OpCode::Control(_));
        let is_sound = !(head.rsv1 || head.rsv2 || head.rsv3)
            && i64::try_from(length).is_ok()
            && (!is_sign || head.is_final && length <= SIGN_BYTES_MAX);
        let Some(mask) = head.mask.filter(|_| is_sound) else {
            return Err(Farewell::Violation);
        };
        let kind = match head.opcode {
            OpCode::Data(Data::Text) if !self.is_amid => Kind::Text,
            OpCode::Data(Data::Continue) if self.is_amid => Kind::Text,
            OpCode::Data(Data::Binary) if !self.is_amid => return Err(Farewell::NoText),
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Data(_) | OpCode::Control(Control::Reserved(_)) => {
                return Err(Farewell::Violation);
            }
        };
        Ok(Body {
            kind,
            is_last: head.is_final,
            left: length,
            mask,
        })
    }

    /// A frame has come to its end.
    fn finish(&mut self, on: &mut impl FnMut(Unpacked<'_>)) -> Result<(), Farewell> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        match body.kind {
            Kind::Text => {
                self.is_amid = !body.is_last;
                if body.is_last {
                    if !self.character.is_empty() {
                        return Err(Farewell::NotUtf8);
                    }
                    on(Unpacked::End);
                }
            }
            Kind::Ping => on(Unpacked::Ping(&self.sign)),
            Kind::Pong => {}
            Kind::Close => return Err(farewell(&self.sign)),
        }
        self.sign = Vec::new();
        Ok(())
    }
}

impl Body {
    fn unmask(&mut self, part: &mut [u8]) {
        let key = u32::from_ne_bytes(self.mask);
        let (words, rest) = part.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        self.mask.rotate_left(rest.len());
        self.left -= part.len() as u64;
    }
}

/// Goes on with a text of which so much of a character has come already. If it is none, how much comes before the byte
/// that shows so.
fn check_text(character: &mut Vec<u8>, part: &[u8]) -> Result<(), usize> {
    let is_broken =
        |bytes: &[u8]| str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some());
    let mut at = 0;
    while !character.is_empty()
        && let Some(byte) = part.get(at)
    {
        character.push(*byte);
        if is_broken(character) {
            return Err(at);
        }
        if str::from_utf8(character).is_ok() {
            *character = Vec::new();
        }
        at += 1;
    }
    let rest = part.get(at..).unwrap_or_default();
    let Err(error) = str::from_utf8(rest) else {
        return Ok(());
    };
    let begun = rest.get(error.valid_up_to()..).unwrap_or_default();
    let broken = (1..=begun.len()).find(|length| is_broken(&begun[..*length]));
    if let Some(length) = broken {
        return Err(at + error.valid_up_to() + length - 1);
    }
    character.extend_from_slice(begun);
    Ok(())
}

/// Within JSON an end of a line is a blank like any other.
fn on_one_line(mut part: &mut [u8]) {
    while let Some(at) = memchr::memchr2(b'\r', b'\n', part) {
        let (before, rest) = part.split_at_mut(at + 1);
        if let Some(end) = before.last_mut() {
            *end = b' ';
        }
        part = rest;
    }
}

/// What is answered to a close with these bytes.
fn farewell(said: &[u8]) -> Farewell {
    let Some((code, reason)) = said.split_first_chunk::<2>() else {
        return if said.is_empty() {
            Farewell::Returned(None)
        } else {
            Farewell::Violation
        };
    };
    let code = u16::from_be_bytes(*code);
    if CloseCode::from(code).is_allowed() && str::from_utf8(reason).is_ok() {
        Farewell::Returned(Some(code))
    } else {
        Farewell::Violation
    }
}

impl Farewell {
    fn code(self) -> Option<u16> {
        let code = match self {
            Farewell::Returned(code) => return code,
            Farewell::Leaving => CloseCode::Away,
            Farewell::Violation => CloseCode::Protocol,
            Farewell::NoText => CloseCode::Unsupported,
            Farewell::NotUtf8 => CloseCode::Invalid,
            Farewell::Garbage | Farewell::Revoked => CloseCode::Policy,
        };
        Some(code.into())
    }
}

impl Sign {
    /// The whole frame that says it.
    pub(crate) fn pack(&self) -> Bytes {
        let (opcode, body) = match self {
            Sign::Ping => (Control::Ping, Vec::new()),
            Sign::Pong(bytes) => (Control::Pong, bytes.clone()),
            Sign::Close(farewell) => {
                let code = farewell.code().map(u16::to_be_bytes);
                (
                    Control::Close,
                    code.map(|code| code.to_vec()).unwrap_or_default(),
                )
            }
        };
        let head = OwnHead::new(OpCode::Control(opcode), body.len());
        [head.bytes(), body.as_slice()].concat().into()
    }
}

/// The head of a frame of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnHead {
    bytes: [u8; OWN_HEAD_BYTES_MAX],
    len: u8,
}

impl OwnHead {
    /// That of a message of so many bytes.
    pub(crate) fn of_message(bytes: usize) -> Self {
        OwnHead::new(OpCode::Data(Data::Text), bytes)
    }

    fn new(opcode: OpCode, length: usize) -> Self {
        let head = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        let mut own = OwnHead::default();
        let mut room = own.bytes.as_mut_slice();
        // There is room for any.
        let _infallible = head.format(length as u64, &mut room);
        let left = room.len();
        own.len = u8::try_from(OWN_HEAD_BYTES_MAX - left).unwrap_or_default();
        own
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
