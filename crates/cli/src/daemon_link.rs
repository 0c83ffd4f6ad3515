//! The way to the daemon: a connection on which it has accepted what we ask.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use daemon::{
    admin::{self, Outcome},
    port_holder,
};
use shim::{
    answer::{ANSWER_MAX, Answer},
    connect, lock,
    places::Places,
    preface::{AdminAsk, Ask},
    rendezvous::{self, Start},
};

use crate::service;

/// How long a daemon that lives may take to say whether it hears us: as long as its watchdog lets it
/// stand still, and a little more.
pub(crate) const HEARS_WITHIN: Duration = Duration::from_secs(15);

/// The daemon has said no, and why.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Declined {
    why: String,
    /// What is in the way passes by itself.
    pub(crate) is_for_now: bool,
}

impl Declined {
    fn for_good(why: String) -> Self {
        Declined {
            why,
            is_for_now: false,
        }
    }
}

/// Whoever listens where the daemon does has not said whether it hears us.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {next}")]
pub(crate) struct NoAnswer {
    /// Who it is, and what was heard.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) next: String,
    /// Nothing was heard, for as long as we wait.
    pub(crate) is_late: bool,
}

/// Connects and asks; what the daemon says next is for the caller to read.
///
/// It may take until `hears_within` to say whether it hears us, else that is [`NoAnswer`], as it is if another
/// program answers.
pub(crate) fn open(
    places: &Places,
    start: Start,
    ask: Ask,
    hears_within: Duration,
) -> anyhow::Result<BufReader<UnixStream>> {
    let preface = connect::preface(ask).encode()?;
    let mut stream = BufReader::new(rendezvous::connect(places, start)?);
    // A daemon that hangs up early may have said why before.
    let sent = stream.get_mut().write_all(&preface);
    let line = match answer_line(&mut stream, hears_within) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(silence(places, stream.get_ref(), hears_within).into());
        }
        heard => heard.context("waiting for the daemon")?,
    };
    match (Answer::parse(&line), sent) {
        (Some(Answer::Refused(text)), _) => Err(Declined::for_good(text).into()),
        (Some(Answer::Accepted { session: _ }), Ok(())) => Ok(stream),
        (None, _) if line.is_empty() && listens_yet(places) && is_free(places) => {
            Err(stranger(places, stream.get_ref(), Heard::TheEnd).into())
        }
        (None, _) if !line.is_empty() && is_free(places) => {
            Err(stranger(places, stream.get_ref(), Heard::OtherWords).into())
        }
        (_, Err(error)) => Err(error).context("talking to the daemon"),
        (Some(Answer::RunItYourself) | None, Ok(())) => {
            bail!("the daemon gave no answer that makes sense")
        }
    }
}

/// What is said first: a line, or what there is of it if they hang up or if it is longer than an answer.
///
/// It is [`ErrorKind::WouldBlock`] if it has not come by then.
fn answer_line(stream: &mut BufReader<UnixStream>, within: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + within;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < ANSWER_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::WouldBlock.into());
        }
        stream.get_ref().set_read_timeout(Some(left))?;
        let heard = match stream.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // They have hung up on what we have said.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            heard => heard?,
        };
        if heard.is_empty() {
            break;
        }
        let end = heard.iter().position(|byte| *byte == b'\n');
        let end = end.map_or(heard.len(), |newline| newline + 1);
        let taken = end.min(ANSWER_MAX - line.len());
        line.extend_from_slice(&heard[..taken]);
        stream.consume(taken);
    }
    stream.get_ref().set_read_timeout(None)?;
    Ok(line)
}

/// What to say of one who says nothing.
fn silence(places: &Places, stream: &UnixStream, after: Duration) -> NoAnswer {
    if is_free(places) {
        return stranger(places, stream, Heard::Nothing(after));
    }
    let seconds = after.as_secs_f32();
    match lock::announced(&places.lock) {
        Some(holder) => NoAnswer {
            what: format!(
                "the daemon, process {}, has not answered for {seconds} s",
                holder.pid
            ),
            next: format!(
                "if somebody has stopped it, `kill -CONT {pid}` has it go on; else `kill -KILL {pid}` ends it, \
                 and its servers go on under the next one",
                pid = holder.pid
            ),
            is_late: true,
        },
        None => NoAnswer {
            what: format!("the daemon has not answered for {seconds} s"),
            next: "`mcpool logs daemon` may say why".to_owned(),
            is_late: true,
        },
    }
}

/// Whether it is no daemon who listens, nor a service manager that starts one for us.
fn is_free(places: &Places) -> bool {
    matches!(lock::holder(&places.lock), Ok(None)) && service::listens(places).is_none()
}

/// Whether somebody still listens: a daemon that has just ended has hung up as well.
fn listens_yet(places: &Places) -> bool {
    rendezvous::connect(places, Start::Never).is_ok()
}

/// What was heard of one who is no daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing, for so long.
    Nothing(Duration),
    /// What no daemon says.
    OtherWords,
    /// That they have hung up.
    TheEnd,
}

/// What to say of another program that listens.
fn stranger(places: &Places, stream: &UnixStream, heard: Heard) -> NoAnswer {
    let does = match heard {
        Heard::Nothing(after) => format!("has not answered for {} s", after.as_secs_f32()),
        Heard::OtherWords => "says something else".to_owned(),
        Heard::TheEnd => "hangs up".to_owned(),
    };
    NoAnswer {
        what: format!(
            "{}, where the daemon would listen, is taken by {}, which {does}",
            places.socket.display(),
            listener(stream)
        ),
        next: "end that program, and the next session starts the daemon".to_owned(),
        is_late: matches!(heard, Heard::Nothing(_)),
    }
}

/// Who listens at the other end, for a person.
pub(crate) fn listener(stream: &UnixStream) -> String {
    match sys::peer::process(stream) {
        Ok(Some(pid)) => port_holder::process(pid.as_raw_nonzero().get().unsigned_abs()),
        Ok(None) | Err(_) => "another program".to_owned(),
    }
}

/// Asks the running daemon for one answer; it is never started for that.
pub(crate) fn ask(places: &Places, ask: AdminAsk) -> anyhow::Result<Outcome> {
    let stream = open(places, Start::Never, Ask::Admin(ask), HEARS_WITHIN)?;
    wait_for(stream, || {})
}

/// The same for what may take its time: looks around whenever nothing has come for so long.
pub(crate) fn ask_and_watch(
    places: &Places,
    ask: AdminAsk,
    pause: Duration,
    look: impl FnMut(),
) -> anyhow::Result<Outcome> {
    let stream = open(places, Start::Never, Ask::Admin(ask), HEARS_WITHIN)?;
    stream.get_ref().set_read_timeout(Some(pause))?;
    wait_for(stream, look)
}

fn wait_for(mut stream: BufReader<UnixStream>, mut look: impl FnMut()) -> anyhow::Result<Outcome> {
    let mut line = Vec::new();
    loop {
        match stream.read_until(b'\n', &mut line) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => look(),
            Err(error) => return Err(error.into()),
        }
    }
    if line.is_empty() {
        bail!("the daemon ended before it answered");
    }
    match serde_json::from_slice(&line).context("reading the daemon's answer")? {
        admin::Answer::Ok(outcome) => Ok(outcome),
        admin::Answer::Error(words) => Err(Declined::for_good(words).into()),
        admin::Answer::Busy(why) => Err(Declined {
            why,
            is_for_now: true,
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn an_answer_that_never_ends_is_not_waited_for() {
        let (own, mut other) = UnixStream::pair().unwrap();
        let dripping = thread::spawn(move || {
            while other.write_all(b"a").is_ok() {
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        let mut own = BufReader::new(own);
        let error = answer_line(&mut own, Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(own);
        dripping.join().unwrap();
    }

    #[test]
    fn an_answer_is_a_line_of_a_certain_length_or_what_there_is_of_it() {
        let heard = |said: &[u8]| {
            let (own, mut other) = UnixStream::pair().unwrap();
            other.write_all(said).unwrap();
            drop(other);
            let mut own = BufReader::new(own);
            let line = answer_line(&mut own, HEARS_WITHIN).unwrap();
            (line, own.buffer().to_vec())
        };
        assert_eq!(heard(b"one\ntwo"), (b"one\n".to_vec(), b"two".to_vec()));
        assert_eq!(heard(b"on"), (b"on".to_vec(), Vec::new()));
        assert_eq!(heard(b""), (Vec::new(), Vec::new()));
        let (line, _) = heard(&[b'a'; 3 * ANSWER_MAX]);
        assert_eq!(line.len(), ANSWER_MAX);
    }
}
