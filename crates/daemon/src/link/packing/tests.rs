use std::io;

use proptest::prelude::*;
use tungstenite::{
    Message,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::Frame},
};

use super::*;

const MASK: [u8; 4] = [0x12, 0x00, 0xFF, 0x5A];

/// A frame of a client's.
fn frame(opcode: OpCode, is_final: bool, body: &[u8]) -> Vec<u8> {
    let head = FrameHeader {
        is_final,
        opcode,
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    framed(&head, body)
}

fn framed(head: &FrameHeader, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.format(body.len() as u64, &mut bytes).unwrap();
    let masks = head.mask.unwrap_or_default().into_iter().cycle();
    bytes.extend(body.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn text(is_final: bool, body: &str) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), is_final, body.as_bytes())
}

fn more(is_final: bool, body: &str) -> Vec<u8> {
    frame(OpCode::Data(Data::Continue), is_final, body.as_bytes())
}

fn sign(control: Control, body: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(control), true, body)
}

/// What is found in this, read in pieces of that size: messages and what is to be said, and how it ends.
fn found(read: &[u8], pieces: usize) -> (Vec<String>, Vec<Sign>, Result<(), Farewell>) {
    let mut unpacker = Unpacker::default();
    let (mut messages, mut signs, mut unfinished) = (Vec::new(), Vec::new(), Vec::new());
    for piece in read.chunks(pieces) {
        let ended = unpacker.feed(&mut piece.to_vec(), |it| match it {
            Unpacked::Part(part) => unfinished.extend_from_slice(part),
            Unpacked::End => {
                let message = std::mem::take(&mut unfinished);
                messages.push(String::from_utf8(message).unwrap());
            }
            Unpacked::Ping(with) => signs.push(Sign::Pong(with.to_vec())),
        });
        if ended.is_err() {
            return (messages, signs, ended);
        }
    }
    (messages, signs, Ok(()))
}

#[test]
fn messages_come_out_of_their_frames_however_those_are_split() {
    let long = "x".repeat(70_000);
    let medium = "y".repeat(300);
    let all = [
        text(true, "{}"),
        text(false, "{\"a\":"),
        sign(Control::Ping, b"still there?"),
        more(false, ""),
        more(true, "1}"),
        text(true, ""),
        sign(Control::Pong, b"nobody has asked"),
        text(true, &medium),
        text(true, &long),
        text(true, "{\n\r\n}"),
        text(true, "\"é\u{1f600}\""),
    ]
    .concat();
    let messages = [
        "{}",
        "{\"a\":1}",
        "",
        &medium,
        &long,
        "{   }",
        "\"é\u{1f600}\"",
    ];
    for pieces in [1, 2, 3, 5, 7, 13, 1000, all.len()] {
        let (found, signs, ended) = found(&all, pieces);
        assert_eq!(found, messages, "in pieces of {pieces}");
        assert_eq!(signs, [Sign::Pong(b"still there?".to_vec())]);
        assert_eq!(ended, Ok(()));
    }
}

#[test]
fn what_breaks_the_rules_is_answered_with_its_code_and_not_read_any_further() {
    let bare = |change: fn(&mut FrameHeader)| {
        let mut head = FrameHeader {
            opcode: OpCode::Data(Data::Text),
            mask: Some(MASK),
            ..FrameHeader::default()
        };
        change(&mut head);
        framed(&head, b"{}")
    };
    let close = |code: u16, reason: &[u8]| {
        let body = [&code.to_be_bytes(), reason].concat();
        sign(Control::Close, &body)
    };
    let bytes = |kind: Data, is_final: bool, body: &[u8]| frame(OpCode::Data(kind), is_final, body);
    let cases: [(Vec<u8>, Farewell); 22] = [
        (bytes(Data::Text, true, b"\"\xff\""), Farewell::NotUtf8),
        (bytes(Data::Text, true, b"\xf0\x9f\x98"), Farewell::NotUtf8),
        (
            [
                bytes(Data::Text, false, b"\xc3"),
                bytes(Data::Continue, true, b"("),
            ]
            .concat(),
            Farewell::NotUtf8,
        ),
        // Half of a pair is no character.
        (bytes(Data::Text, true, b"\xed\xa0\x80"), Farewell::NotUtf8),
        (bare(|head| head.mask = None), Farewell::Violation),
        (bare(|head| head.rsv1 = true), Farewell::Violation),
        (bare(|head| head.rsv3 = true), Farewell::Violation),
        (vec![0x83, 0x80, 0, 0, 0, 0], Farewell::Violation),
        (vec![0x8B, 0x80, 0, 0, 0, 0], Farewell::Violation),
        (
            frame(OpCode::Data(Data::Binary), true, b"{}"),
            Farewell::NoText,
        ),
        (more(true, "{}"), Farewell::Violation),
        (
            [text(false, "{"), text(true, "}")].concat(),
            Farewell::Violation,
        ),
        (
            frame(OpCode::Control(Control::Ping), false, b""),
            Farewell::Violation,
        ),
        (sign(Control::Ping, &[b'x'; 126]), Farewell::Violation),
        (
            [&[0x81, 0xFF][..], &[0xFF; 8], &MASK].concat(),
            Farewell::Violation,
        ),
        (sign(Control::Close, b""), Farewell::Returned(None)),
        (sign(Control::Close, b"x"), Farewell::Violation),
        (close(1000, b""), Farewell::Returned(Some(1000))),
        (close(4000, b"bye"), Farewell::Returned(Some(4000))),
        (close(1005, b""), Farewell::Violation),
        (close(999, b""), Farewell::Violation),
        (close(1000, b"\xff"), Farewell::Violation),
    ];
    for (bytes, expected) in cases {
        let behind = [bytes.clone(), text(true, "not read")].concat();
        for pieces in [1, behind.len()] {
            let (messages, _, ended) = found(&behind, pieces);
            assert_eq!(ended, Err(expected), "{bytes:x?}");
            assert!(messages.is_empty(), "{messages:?}");
        }
    }
}

#[test]
fn a_reader_that_is_halted_amid_a_frame_goes_on_from_there() {
    let all = [
        text(false, "{\"a\":"),
        sign(Control::Ping, b"halted"),
        more(true, "[1,2,3]}"),
    ]
    .concat();
    for at in 0..all.len() {
        let (before, behind) = all.split_at(at);
        let (mut message, mut signs) = (String::new(), Vec::new());
        let mut unpacker = Unpacker::default();
        for part in [before, behind] {
            unpacker
                .feed(&mut part.to_vec(), |it| match it {
                    Unpacked::Part(part) => message.push_str(str::from_utf8(part).unwrap()),
                    Unpacked::End => message.push('\n'),
                    Unpacked::Ping(with) => signs.push(Sign::Pong(with.to_vec())),
                })
                .unwrap();
            let frozen = serde_json::to_string(&unpacker).unwrap();
            unpacker = serde_json::from_str(&frozen).unwrap();
        }
        assert_eq!(message, "{\"a\":[1,2,3]}\n", "halted at {at}");
        assert_eq!(signs, [Sign::Pong(b"halted".to_vec())]);
    }
}

/// Both ends of a connection in memory: what the library reads, and what it writes.
struct Wire(Cursor<Vec<u8>>, Vec<u8>);

impl io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, buffer)
    }
}

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client that uses the library reads of this.
fn heard(bytes: Vec<u8>) -> Message {
    let mut context = WebSocketContext::new(Role::Client, Some(WebSocketConfig::default()));
    let mut wire = Wire(Cursor::new(bytes), Vec::new());
    context.read(&mut wire).unwrap()
}

#[test]
fn what_we_say_is_understood_by_others() {
    for len in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
        let message = "x".repeat(len);
        let head = OwnHead::of_message(len);
        let bytes = [head.bytes(), message.as_bytes()].concat();
        assert_eq!(heard(bytes), Message::text(message));
    }
    assert_eq!(heard(Sign::Ping.pack().to_vec()), Message::Ping("".into()));
    let pong = Sign::Pong(b"same".to_vec());
    assert_eq!(heard(pong.pack().to_vec()), Message::Pong("same".into()));
    for (farewell, code) in [
        (Farewell::Leaving, CloseCode::Away),
        (Farewell::Violation, CloseCode::Protocol),
        (Farewell::NoText, CloseCode::Unsupported),
        (Farewell::NotUtf8, CloseCode::Invalid),
        (Farewell::Garbage, CloseCode::Policy),
        (Farewell::Returned(Some(4321)), CloseCode::Library(4321)),
    ] {
        let close = CloseFrame {
            code,
            reason: "".into(),
        };
        let sign = Sign::Close(farewell);
        assert_eq!(heard(sign.pack().to_vec()), Message::Close(Some(close)));
    }
}

proptest! {
    /// What the library writes for a client is read here as it was meant.
    #[test]
    fn what_others_say_is_understood_by_us(
        texts in proptest::collection::vec("[ -~]{0,400}", 1..8),
        pieces in 1..2000_usize,
    ) {
        let mut context = WebSocketContext::new(Role::Client, None);
        let mut wire = Wire(Cursor::default(), Vec::new());
        for text in &texts {
            let (first, last) = text.split_at(text.len() / 2);
            let first = Frame::message(first.to_owned(), OpCode::Data(Data::Text), false);
            let last = Frame::message(last.to_owned(), OpCode::Data(Data::Continue), true);
            for part in [first, last] {
                context.write(&mut wire, Message::Frame(part)).unwrap();
            }
            context.write(&mut wire, Message::Ping("p".into())).unwrap();
            context.write(&mut wire, Message::text(text.clone())).unwrap();
        }
        context.flush(&mut wire).unwrap();
        let (messages, signs, ended) = found(&wire.1, pieces);
        let expected: Vec<&String> = texts.iter().flat_map(|text| [text, text]).collect();
        prop_assert_eq!(messages.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(signs.len(), texts.len());
        prop_assert_eq!(ended, Ok(()));
    }

    /// Whatever comes, it is found to be the same however it is split.
    #[test]
    fn any_bytes_are_taken_the_same_way_in_any_pieces(
        bytes in proptest::collection::vec(
            prop_oneof![
                3 => any::<u8>(),
                1 => prop::sample::select(vec![0x81, 0x01, 0x80, 0x88, 0x89, 0x8A, 0x82, 0xFE, 0xFF]),
            ],
            0..300,
        ),
        pieces in 1..40_usize,
    ) {
        let lossy = |read: &[u8], pieces: usize| {
            let mut unpacker = Unpacker::default();
            let (mut words, mut ended) = (Vec::new(), Ok(()));
            for piece in read.chunks(pieces) {
                ended = unpacker.feed(&mut piece.to_vec(), |it| match it {
                    Unpacked::Part(part) => {
                        assert!(memchr::memchr2(b'\r', b'\n', part).is_none());
                        words.extend_from_slice(part);
                    }
                    Unpacked::End => words.push(b'\n'),
                    Unpacked::Ping(with) => words.extend([b"ping ", with].concat()),
                });
            }
            (words, ended)
        };
        prop_assert_eq!(lossy(&bytes, pieces), lossy(&bytes, bytes.len().max(1)));
    }
}
