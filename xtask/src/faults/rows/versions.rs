//! Programs of other versions call the daemon.

use anyhow::{Context as _, ensure};
use serde_json::json;
use shim::{
    answer::Answer,
    preface::{Ask, Join, PROTOCOL, SessionAsk},
};

use super::Row;
use crate::faults::{
    Stage,
    caller::{Caller, preface, session_on},
    home::Home,
    session::Session,
    shown::Shown,
};

pub(super) const ROW: Row = Row {
    numbers: &[42],
    fault: "callers of other versions",
    short: 2,
    play,
};

/// What a later version may say of itself.
const SAID_LATER: &[u8] = b"of-a-later-version=1\0";

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    home.configure(&home.fake_server("fake", &[], ""))?;
    let mut session = Session::greeted(home.connect("fake"))?;
    let before = session.server()?;
    let (mut served, mut told) = (0, 0);
    for _ in 0..rounds {
        for addition in [&b""[..], SAID_LATER] {
            served += u64::from(is_served(&home, addition)?);
        }
        for protocol in [0, PROTOCOL + 1, u32::MAX] {
            told += u64::from(is_told(&home, protocol)?);
        }
    }
    let rounds = u64::from(rounds);
    shown.all("of this protocol and served", served, 2 * rounds);
    shown.all("of another and told what to do", told, 3 * rounds);
    let is_unharmed = session.server()? == before;
    shown.all("session beside them unharmed", u64::from(is_unharmed), 1);
    session.close()?;
    home.end()?.show(shown);
    Ok(())
}

/// A session that says nothing which the first version did not say, and this besides.
fn oldest(home: &Home<'_>, said_later: &[u8]) -> anyhow::Result<Vec<u8>> {
    let ask = SessionAsk {
        join: Join::ShareKey,
        resume: None,
        ..session_on("fake", home.root())
    };
    let said = preface(Ask::Session(ask))?;
    let end = said.iter().position(|byte| *byte == b'\n');
    let body = &said[end.context("a preface has a first line")? + 1..];
    Ok([body, said_later].concat())
}

fn with_head(protocol: u32, body: &[u8]) -> Vec<u8> {
    let head = format!("\x1emcpool {protocol} {}\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Whether a caller who says this besides is let in and has an answer.
fn is_served(home: &Home<'_>, said_later: &[u8]) -> anyhow::Result<bool> {
    let said = with_head(PROTOCOL, &oldest(home, said_later)?);
    let (mut caller, answer) = Caller::open(&home.pool(), &said)?;
    ensure!(
        matches!(answer, Answer::Accepted { .. }),
        "a caller was told {answer}"
    );
    caller.greet()?;
    caller.call(1, "echo", &json!({}))?;
    Ok(caller.message()?.get("result").is_some())
}

/// Whether a caller of this protocol hears why it is not let in, and what to do.
fn is_told(home: &Home<'_>, protocol: u32) -> anyhow::Result<bool> {
    let said = with_head(protocol, &oldest(home, b"")?);
    let (_, answer) = Caller::open(&home.pool(), &said)?;
    let Answer::Refused(why) = answer else {
        return Ok(false);
    };
    Ok(
        why.contains(&format!("protocol {PROTOCOL} and the caller {protocol}"))
            && why.contains("`mcpool stop`"),
    )
}
