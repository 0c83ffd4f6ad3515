//! Coming to the daemon with a preface, the first time and every time after.
//!
//! The environment goes with each preface, and is read anew for it: it may be large,
//! it does not change, and a session may last for days.

use std::{
    env, error, fmt,
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};
use sys::memory;

use crate::{
    answer::{ANSWER_MAX, Answer},
    places::Places,
    preface::{Ask, Preface, PrefaceError},
    rendezvous::{self, RendezvousError, Start, left_until},
};

/// How many daemons may hang up on us without a word.
const ATTEMPTS: usize = 3;

/// What a daemon says that does not know the word of our ask, and what is so then.
const UNKNOWN_ASK: PrefaceError = PrefaceError::BadValue { key: "ask" };
const TOO_OLD: &str = "the daemon that runs is older than this mcpool, and does not know what this session \
                       asks for; run: mcpool upgrade";

/// Somebody who comes to the daemons of one installation, always with the same ask.
#[derive(Debug)]
pub(crate) struct Caller {
    places: Places,
    /// Without the environment of its session.
    preface: Preface,
}

/// Why nobody answered.
#[derive(Debug)]
pub(crate) enum NotMet {
    /// There is no daemon to be had.
    Rendezvous(RendezvousError),
    /// Our preface cannot be sent.
    Preface(PrefaceError),
    /// What came instead of an answer, or an answer that makes no sense.
    NoAnswer(Option<io::Error>),
}

impl fmt::Display for NotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotMet::Rendezvous(error) => error.fmt(f),
            NotMet::Preface(error) => error.fmt(f),
            NotMet::NoAnswer(source) => {
                f.write_str("the daemon did not answer")?;
                match source {
                    Some(source) if is_silence(source) => f.write_str(" in time"),
                    Some(source) => write!(f, ": {source}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl error::Error for NotMet {}

/// Whether nothing came for as long as we were ready to wait: then somebody may still be there.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

impl Caller {
    /// One who has not met anybody yet.
    pub(crate) fn new(places: Places, preface: Preface) -> Self {
        Caller { places, preface }
    }

    /// Where it looks for a daemon.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What it asks for.
    pub(crate) fn preface(&self) -> &Preface {
        &self.preface
    }

    /// Finds a daemon that says yes or no, until about this moment.
    ///
    /// One that is about to end may let us in and hang up without a word; then it is the
    /// next one's turn.
    pub(crate) fn come(&self, deadline: Instant) -> Result<(UnixStream, Answer), NotMet> {
        let mut hung_up = NotMet::NoAnswer(None);
        for _ in 0..ATTEMPTS {
            match self.ask(None, Start::IfNeeded, deadline) {
                Err(NotMet::NoAnswer(Some(source))) if is_silence(&source) => {
                    return Err(NotMet::NoAnswer(Some(source)));
                }
                Err(NotMet::NoAnswer(source)) => hung_up = NotMet::NoAnswer(source),
                other => return other,
            }
        }
        Err(hung_up)
    }

    /// Comes again, to go on with what an earlier daemon called `session`; returns about when this
    /// moment has come.
    pub(crate) fn come_again(
        &self,
        session: u64,
        start: Start,
        deadline: Instant,
    ) -> Result<(UnixStream, Answer), NotMet> {
        let answered = self.ask(Some(session), start, deadline);
        // The preface may have been large, and will not be needed for long.
        memory::give_back();
        answered
    }

    fn ask(
        &self,
        resume: Option<u64>,
        start: Start,
        deadline: Instant,
    ) -> Result<(UnixStream, Answer), NotMet> {
        let bytes = self.encoded(resume)?;
        let socket =
            rendezvous::connect_by(&self.places, start, deadline).map_err(NotMet::Rendezvous)?;
        let patience = |limit| {
            socket.set_read_timeout(limit)?;
            socket.set_write_timeout(limit)
        };
        let line = patience(Some(left_until(deadline)))
            .and_then(|()| exchange(&socket, &bytes))
            .and_then(|line| patience(None).map(|()| line))
            .map_err(|source| NotMet::NoAnswer(Some(source)))?;
        let answer = Answer::parse(&line).ok_or(NotMet::NoAnswer(None))?;
        Ok((socket, self.in_our_words(answer)))
    }

    /// A daemon that does not know what we ask for cannot say that it is too old.
    fn in_our_words(&self, answer: Answer) -> Answer {
        let is_newer = match &self.preface.ask {
            Ask::Session(session) => session.address.is_some() || session.directory.is_some(),
            Ask::Admin(_) => false,
        };
        if is_newer && answer == Answer::Refused(UNKNOWN_ASK.to_string()) {
            return Answer::Refused(TOO_OLD.to_owned());
        }
        answer
    }

    fn encoded(&self, resume: Option<u64>) -> Result<Vec<u8>, NotMet> {
        let mut preface = self.preface.clone();
        match &mut preface.ask {
            Ask::Session(session) => {
                session.resume = resume;
                session.env = env::vars_os().collect();
            }
            Ask::Admin(_) => {}
        }
        preface.encode().map_err(NotMet::Preface)
    }
}

/// Says who we are and what we want, and hears one line: empty if the daemon hung up.
fn exchange(mut socket: &UnixStream, preface: &[u8]) -> io::Result<Vec<u8>> {
    // One that hangs up before it has read everything may have said why.
    let sent = match socket.write_all(preface) {
        Err(error) if is_silence(&error) => return Err(error),
        sent => sent,
    };
    let line = read_line(socket)?;
    if line.is_empty() {
        sent?;
    }
    Ok(line)
}

/// Takes exactly one line from the socket; what follows it is for the pump.
fn read_line(socket: impl AsFd) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut ahead = Vec::with_capacity(ANSWER_MAX);
    while !line.ends_with(b"\n") && line.len() < ANSWER_MAX {
        ahead.clear();
        match recv(&socket, spare_capacity(&mut ahead), RecvFlags::PEEK) {
            Ok((0, _)) => break,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let newline = memchr::memchr(b'\n', &ahead);
        ahead.truncate(newline.map_or(ahead.len(), |newline| newline + 1));
        // They are there, so this takes all of them.
        recv(&socket, &mut ahead[..], RecvFlags::empty())?;
        line.extend_from_slice(&ahead);
    }
    Ok(line)
}
