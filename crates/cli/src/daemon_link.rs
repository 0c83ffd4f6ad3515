//! The way to the daemon: a connection on which it has accepted what we ask.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use anyhow::{Context, anyhow, bail};
use daemon::admin::{self, Outcome};
use shim::{
    answer::Answer,
    connect,
    places::Places,
    preface::{AdminAsk, Ask},
    rendezvous::{self, Start},
};

/// Connects and asks; what the daemon says next is for the caller to read.
pub(crate) fn open(
    places: &Places,
    start: Start,
    ask: Ask,
) -> anyhow::Result<BufReader<UnixStream>> {
    let preface = connect::preface(ask).encode()?;
    let mut stream = BufReader::new(rendezvous::connect(places, start)?);
    // A daemon that hangs up early may have said why before.
    let sent = stream.get_mut().write_all(&preface);
    let mut line = Vec::new();
    stream
        .read_until(b'\n', &mut line)
        .context("waiting for the daemon")?;
    match (Answer::parse(&line), sent) {
        (Some(Answer::Refused(text)), _) => Err(anyhow!(text)),
        (Some(Answer::Accepted { session: _ }), Ok(())) => Ok(stream),
        (_, Err(error)) => Err(error).context("talking to the daemon"),
        (Some(Answer::RunItYourself) | None, Ok(())) => {
            bail!("the daemon gave no answer that makes sense")
        }
    }
}

/// Asks the running daemon for one answer; it is never started for that.
pub(crate) fn ask(places: &Places, ask: AdminAsk) -> anyhow::Result<Outcome> {
    let mut stream = open(places, Start::Never, Ask::Admin(ask))?;
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the daemon ended before it answered");
    }
    match serde_json::from_str(&line).context("reading the daemon's answer")? {
        admin::Answer::Ok(outcome) => Ok(outcome),
        admin::Answer::Error(words) => Err(anyhow!(words)),
    }
}
