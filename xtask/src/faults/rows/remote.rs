//! A server by URL that does what a network, a proxy or a bad day makes of it.

mod toxic;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::toxic::{Poison, Toxic};
use super::Row;
use crate::faults::{Stage, home::Left, session::Session, shown::Shown};

pub(super) const ROW: Row = Row {
    numbers: &[38],
    fault: "a server by URL forgets, refuses, breaks off, is silent, slow or without an end",
    short: 2,
    play,
};

/// The longest life of a request here.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest until any call has its answer, or its error.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What becomes of a call: its text, or the reason of an error.
const OUTCOMES: [(Poison, &str); 9] = [
    (Poison::None, "ok"),
    (Poison::Forgets, "ok"),
    (Poison::Drips, "ok"),
    (Poison::Refuses, "upstream-refused"),
    (Poison::Fails, "upstream-refused"),
    (Poison::Resets, "upstream-refused"),
    (Poison::IsSilent, "took-too-long"),
    (Poison::IsEndless, "took-too-long"),
    (Poison::Dies, "upstream-exited"),
];

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let (mut as_expected, mut all) = (0, 0);
    let (mut twice, mut goodbyes, mut sessions) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    let mut left = Left::default();
    for _ in 0..rounds {
        for (poison, expected) in OUTCOMES {
            // Each has an installation of its own: one rests for what another has done.
            let home = stage.home()?;
            let mut toxic = Toxic::start()?;
            home.configure(&format!(
                "[servers.toxic]\nurl = \"{}\"\nrequest_timeout = \"{}s\"\n",
                toxic.url(),
                REQUEST_TIMEOUT.as_secs()
            ))?;
            let mut session = home.session("toxic")?;
            toxic.takes(poison);
            let began = Instant::now();
            let seen = outcome(&mut session, 1)?;
            longest = longest.max(began.elapsed());
            all += 1;
            if seen == expected {
                as_expected += 1;
            } else {
                shown.tell(format!("{poison:?}: {seen} instead of {expected}"));
            }
            // Whatever it was, it passes.
            toxic.recover()?;
            all += 1;
            match outcome(&mut session, 2)?.as_str() {
                "ok" => as_expected += 1,
                seen => shown.tell(format!("{poison:?}, when it was over: {seen}")),
            }
            session.close()?;
            left.add(home.end()?);
            let count = toxic.end();
            twice += count.executed_twice;
            goodbyes += count.goodbyes;
            sessions += count.sessions_left;
        }
    }
    shown.all(
        "calls with the outcome that they should have",
        as_expected,
        all,
    );
    shown.within("longest call", Some(longest), ANSWERED_WITHIN);
    shown.at_most("calls that were executed twice", twice, 0);
    shown.at_most("sessions there that nobody ended", sessions, 0);
    shown.fact("sessions there that were ended", goodbyes);
    left.show(shown);
    Ok(())
}

/// What comes of a call: `ok`, or the reason of the error.
fn outcome(session: &mut Session, mark: u64) -> anyhow::Result<String> {
    let (answer, _time) = session.call("do", json!({"mark": mark}))?;
    let reason = answer["error"]["data"]["reason"].as_str();
    Ok(match (answer.get("result"), reason) {
        (Some(_), _) => "ok".to_owned(),
        (None, Some(reason)) => reason.to_owned(),
        (None, None) => Value::to_string(&answer),
    })
}
