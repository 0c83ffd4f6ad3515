//! Reads a session at the other end of a WebSocket: the same lines, out of frames.

use std::{mem, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{self, Instant, Sleep};

use super::{Desk, Found, Lines, Pieces, Rest, SessionReader, Share, Source, failpoint, make_do};
use crate::{
    hub::Input,
    link::{Farewell, Sign, Unpacker, packing::Unpacked},
};

/// A client that has said nothing for so long is asked whether it is there, and has as long to answer.
const SILENCE: Duration = Duration::from_secs(20);

/// What is to be said in return. Of several pings the last is answered alone.
#[derive(Debug, Default)]
struct Signs {
    pong: Option<Sign>,
    farewell: Option<Farewell>,
}

impl SessionReader {
    /// Reads until the client has gone or is sent away. Both ways of a WebSocket end together.
    pub(super) async fn read_web(&self, rest: &mut Rest) {
        let source = Source::Socket(Arc::clone(&self.socket));
        let mut unfinished = Share::of(&self.room);
        let session = self.session;
        let desk = Desk {
            inbox: &self.inbox,
            room: &self.room,
            floods: &self.floods,
            of: Some(self),
        };
        let input = |lines| Input::Lines { session, lines };
        let mut signs = Signs::default();
        let mut silence = Silence::begin();
        take_early(rest, &mut signs);
        let mut found = Found::Bytes;
        loop {
            make_do(rest, &mut unfinished);
            failpoint::heard(rest.pieces.iter().flat_map(Lines::iter));
            if !desk.hand_in(rest, found, input).await || !self.say(&mut signs).await {
                return;
            }
            if !self.is_let_through().await || !self.hears(&source, &mut silence).await {
                return;
            }
            found = match source.scan(|read| unpack(rest, read, &mut signs)) {
                Ok(Found::End) | Err(_) => return,
                Ok(found @ (Found::Bytes | Found::Full | Found::Nothing)) => found,
            };
        }
    }

    /// Has the hub say what is to be said in return; whether there is more to be read.
    async fn say(&self, signs: &mut Signs) -> bool {
        let close = signs.farewell.take().map(Sign::Close);
        let has_ended = close.is_some();
        for sign in signs.pong.take().into_iter().chain(close) {
            if !self.sign(sign).await {
                return false;
            }
        }
        !has_ended
    }

    /// Whether there is a hub that says it.
    async fn sign(&self, sign: Sign) -> bool {
        let session = self.session;
        let input = Input::Signed { session, sign };
        self.inbox.send(input).await.is_ok()
    }

    /// Waits for the client to say something; whether it may have.
    async fn hears(&self, source: &Source, silence: &mut Silence) -> bool {
        let mut is_asked = false;
        loop {
            tokio::select! {
                biased;
                readable = source.readable() => {
                    silence.is_broken = true;
                    return readable.is_ok();
                }
                () = silence.lasts() => {}
            }
            if is_asked {
                tracing::debug!(session = %self.session, "nobody answers at the other end of a WebSocket");
                return false;
            }
            if !self.sign(Sign::Ping).await {
                return false;
            }
            is_asked = true;
        }
    }
}

/// For how long a client has said nothing.
///
/// One timer that seldom moves: to move it for each message would cost as much as the message does.
struct Silence {
    /// When it is looked at next.
    due: Pin<Box<Sleep>>,
    /// Whether something was said since it was looked at.
    is_broken: bool,
}

impl Silence {
    fn begin() -> Self {
        Silence {
            due: Box::pin(time::sleep(SILENCE)),
            is_broken: false,
        }
    }

    /// Returns when nothing was said for as long as a silence is, and before it is twice that.
    async fn lasts(&mut self) {
        loop {
            self.due.as_mut().await;
            self.due.as_mut().reset(Instant::now() + SILENCE);
            if !mem::take(&mut self.is_broken) {
                return;
            }
        }
    }
}

/// Takes what came before anybody read.
fn take_early(rest: &mut Rest, signs: &mut Signs) {
    let early = rest.unpacker.as_deref_mut().map(Unpacker::take_early);
    unpack(rest, &mut early.unwrap_or_default(), signs);
}

/// Has what was read stand ready, and what is to be said in return.
fn unpack(rest: &mut Rest, read: &mut [u8], signs: &mut Signs) {
    let Rest {
        pieces,
        splitter,
        unpacker: Some(unpacker),
    } = rest
    else {
        return;
    };
    let mut new = Pieces::default();
    let ended = unpacker.feed(read, |it| match it {
        Unpacked::Part(part) => splitter.feed(part, |line| new.push(line)),
        Unpacked::End => splitter.feed(b"\n", |line| new.push(line)),
        Unpacked::Ping(with) => signs.pong = Some(Sign::Pong(with.to_vec())),
    });
    pieces.extend(new);
    signs.farewell = ended.err();
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use mux::SessionId;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
        sync::mpsc::{self, Receiver},
    };
    use wire::Line;

    use super::*;
    use crate::link::{Halt, Reading, Room, Socket, Turnstile, Valve};

    /// A client, and what the hub hears of it.
    fn reads(early: &[u8], halt: &Halt) -> (UnixStream, Reading<Rest>, Receiver<Input>) {
        reads_behind(&Arc::default(), early, halt)
    }

    fn reads_behind(
        valve: &Arc<Valve>,
        early: &[u8],
        halt: &Halt,
    ) -> (UnixStream, Reading<Rest>, Receiver<Input>) {
        let (client, ours) = UnixStream::pair().unwrap();
        let socket = Socket::web(OwnedFd::from(ours.into_std().unwrap())).unwrap();
        let (inbox, heard) = mpsc::channel(100);
        let reader = SessionReader {
            session: SessionId(7),
            socket: Arc::new(socket),
            valve: Arc::clone(valve),
            floods: Arc::new(Turnstile::new().unwrap()),
            inbox,
            room: Room::new(1 << 20),
        };
        let mut reading = Reading::resumed_unpacking(b"", 100, Unpacker::of(early));
        reading.go_on("test", halt, |rest, halt| reader.run(rest, halt));
        (client, reading, heard)
    }

    async fn next(heard: &mut Receiver<Input>) -> Input {
        heard.recv().await.unwrap()
    }

    async fn line(heard: &mut Receiver<Input>) -> String {
        let Input::Lines { lines, .. } = next(heard).await else {
            panic!("no lines");
        };
        let [Line::Whole(line)] = &lines.into_iter().collect::<Vec<_>>()[..] else {
            panic!("not one line");
        };
        String::from_utf8(line.to_vec()).unwrap()
    }

    async fn sign(heard: &mut Receiver<Input>) -> Sign {
        let next = next(heard).await;
        let Input::Signed { sign, .. } = next else {
            panic!("{next:?}");
        };
        sign
    }

    /// A frame of a client's, masked with nothing.
    fn frame(first: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        [&[first, 0x80 | length, 0, 0, 0, 0], body].concat()
    }

    #[tokio::test]
    async fn what_came_with_the_handshake_is_heard_first_and_a_close_is_the_end() {
        let halt = Halt::default();
        let (mut client, mut reading, mut heard) = reads(&frame(0x81, b"early"), &halt);
        assert_eq!(line(&mut heard).await, "early");
        let pings = [frame(0x89, b"one"), frame(0x89, b"two")].concat();
        let later = [frame(0x81, b"later"), pings, frame(0x88, &[0x03, 0xE8])].concat();
        client.write_all(&later).await.unwrap();
        assert_eq!(line(&mut heard).await, "later");
        assert_eq!(sign(&mut heard).await, Sign::Pong(b"two".to_vec()));
        let farewell = Farewell::Returned(Some(1000));
        assert_eq!(sign(&mut heard).await, Sign::Close(farewell));
        assert!(matches!(next(&mut heard).await, Input::Closed(_)));
        reading.ended().await;
        assert!(!reading.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_asked_and_has_gone_if_it_does_not_answer() {
        let halt = Halt::default();
        let (mut client, _reading, mut heard) = reads(b"", &halt);
        let began = Instant::now();
        assert_eq!(sign(&mut heard).await, Sign::Ping);
        assert!(began.elapsed() >= SILENCE);
        client.write_all(&frame(0x8A, b"")).await.unwrap();
        assert_eq!(sign(&mut heard).await, Sign::Ping, "it lives");
        let asked = Instant::now();
        assert!(matches!(next(&mut heard).await, Input::Closed(_)));
        assert!(asked.elapsed() >= SILENCE);
    }

    #[tokio::test]
    async fn who_says_nothing_more_has_gone_whether_it_is_read_or_not() {
        for is_read in [true, false] {
            let (halt, valve) = (Halt::default(), Arc::<Valve>::default());
            let (mut client, mut reading, mut heard) = reads_behind(&valve, b"", &halt);
            client.write_all(&frame(0x81, b"{}")).await.unwrap();
            assert_eq!(line(&mut heard).await, "{}");
            if !is_read {
                valve.close();
                client.write_all(&frame(0x81, b"not heard")).await.unwrap();
            }
            client.shutdown().await.unwrap();
            let mut end = next(&mut heard).await;
            if let Input::Lines { .. } = end {
                // It was said before the valve was looked at again.
                end = next(&mut heard).await;
            }
            assert!(matches!(end, Input::Closed(_)), "{end:?}");
            reading.ended().await;
            drop(reading);
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_halts_amid_a_message_leaves_it() {
        let halt = Halt::default();
        let (mut client, mut reading, mut heard) = reads(b"", &halt);
        let all = [frame(0x01, b"one, "), frame(0x80, b"two")].concat();
        let (first, second) = all.split_at(8);
        let said = [&frame(0x81, b"whole"), first].concat();
        client.write_all(&said).await.unwrap();
        assert_eq!(line(&mut heard).await, "whole");
        halt.all();
        reading.ended().await;
        assert_eq!(reading.unread().unwrap(), b"on");
        let frozen = serde_json::to_string(reading.unpacker().unwrap()).unwrap();
        let mut unpacker: Unpacker = serde_json::from_str(&frozen).unwrap();
        let mut message = b"on".to_vec();
        let fed = unpacker.feed(&mut second.to_vec(), |it| {
            if let Unpacked::Part(part) = it {
                message.extend_from_slice(part);
            }
        });
        assert_eq!((fed, message), (Ok(()), b"one, two".to_vec()));
    }
}
