//! The way to the daemon: a connection on which it has accepted what we ask.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, bail};
use daemon::admin::{self, Outcome};
use shim::{
    answer::Answer,
    connect, lock,
    places::Places,
    preface::{AdminAsk, Ask},
    rendezvous::{self, Start},
};

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

/// The daemon has not said in time whether it hears us; the text says what may be the matter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Silent(String);

/// Connects and asks; what the daemon says next is for the caller to read.
///
/// It may take until `hears_within` to say whether it hears us, else that is [`Silent`].
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
            return Err(Silent(silence(places, hears_within)).into());
        }
        heard => heard.context("waiting for the daemon")?,
    };
    stream.get_ref().set_read_timeout(None)?;
    match (Answer::parse(&line), sent) {
        (Some(Answer::Refused(text)), _) => Err(Declined::for_good(text).into()),
        (Some(Answer::Accepted { session: _ }), Ok(())) => Ok(stream),
        (_, Err(error)) => Err(error).context("talking to the daemon"),
        (Some(Answer::RunItYourself) | None, Ok(())) => {
            bail!("the daemon gave no answer that makes sense")
        }
    }
}

/// What to say of a daemon that says nothing.
fn silence(places: &Places, after: Duration) -> String {
    let seconds = after.as_secs_f32();
    match lock::announced(&places.lock) {
        Some(holder) => format!(
            "the daemon, process {pid}, has not answered for {seconds} s: if somebody has stopped it, \
             `kill -CONT {pid}` has it go on; else `kill -KILL {pid}` ends it, and its servers go on \
             under the next one",
            pid = holder.pid
        ),
        None => format!("the daemon has not answered for {seconds} s"),
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
