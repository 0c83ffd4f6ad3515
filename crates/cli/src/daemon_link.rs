//! The way to the daemon: a connection on which it has accepted what we ask.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, bail};
use daemon::{
    admin::{self, Outcome},
    port_holder,
};
use shim::{
    answer::Answer,
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
    let mut line = Vec::new();
    stream.get_ref().set_read_timeout(Some(hears_within))?;
    match stream.read_until(b'\n', &mut line) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Err(silence(places, stream.get_ref(), hears_within).into());
        }
        heard => heard.context("waiting for the daemon")?,
    };
    stream.get_ref().set_read_timeout(None)?;
    match (Answer::parse(&line), sent) {
        (Some(Answer::Refused(text)), _) => Err(Declined::for_good(text).into()),
        (Some(Answer::Accepted { session: _ }), Ok(())) => Ok(stream),
        (None, _) if !line.is_empty() && is_free(places) => {
            Err(stranger(places, stream.get_ref(), None).into())
        }
        (_, Err(error)) => Err(error).context("talking to the daemon"),
        (Some(Answer::RunItYourself) | None, Ok(())) => {
            bail!("the daemon gave no answer that makes sense")
        }
    }
}

/// What to say of one who says nothing.
fn silence(places: &Places, stream: &UnixStream, after: Duration) -> NoAnswer {
    if is_free(places) {
        return stranger(places, stream, Some(after));
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

/// Another program listens, and has said nothing for so long, or something else than a daemon.
fn stranger(places: &Places, stream: &UnixStream, silent_for: Option<Duration>) -> NoAnswer {
    let heard = match silent_for {
        Some(after) => format!("has not answered for {} s", after.as_secs_f32()),
        None => "says something else".to_owned(),
    };
    NoAnswer {
        what: format!(
            "{}, where the daemon would listen, is taken by {}, which {heard}",
            places.socket.display(),
            listener(stream)
        ),
        next: "end that program, and the next session starts the daemon".to_owned(),
        is_late: silent_for.is_some(),
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
