//! One fault after the other, for as long as wanted, under a load that never ends; and what daemon and
//! guardian take meanwhile.
//!
//! A round is ten seconds. In the first tenth of them the daemon is killed as well; after that one lives
//! to the end, so that it can be seen what it gathers.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    load::{Book, Crowd},
    processes::{Process, until},
    session::{PATIENCE, Session},
    shown::Shown,
};

pub(super) const ROW: Row = Row {
    numbers: &[44],
    fault: "mixed faults for ten seconds each",
    short: 2,
    play,
};

const ROUND: Duration = Duration::from_secs(10);

const SERVERS: usize = 8;
const SESSIONS: usize = 8;

/// Faults of a round, beside the death of a server: so many servers die in turn that none does so often
/// enough to be given up.
const FAULTS: u32 = 8;

/// How long nothing of the daemon runs.
const STOPPED: Duration = Duration::from_millis(200);

/// Looks that the least of makes a sample: what is there for an instant does not count.
const LOOKS: u32 = 20;

/// From when on a slope means something.
const HALF_AN_HOUR: Duration = Duration::from_mins(30);

/// What comes and goes with a moment's work.
const MORE_KB: u64 = 4 << 10;
const MORE_DESCRIPTORS: u64 = 4;
const MORE_THREADS: u64 = 2;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let names: Vec<String> = (0..SERVERS)
        .map(|number| format!("server-{number}"))
        .collect();
    let servers = names.iter().map(|name| home.soak_server(name));
    home.configure(&servers.collect::<String>())?;
    let book = Book::default();
    let crowds: Vec<Crowd<'_>> = names.iter().map(|_| Crowd::new(&book)).collect();
    let lived = thread::scope(|scope| {
        for session in 0..SESSIONS {
            let at = session % SERVERS;
            let (crowd, command) = (&crowds[at], home.connect(&names[at]));
            scope.spawn(move || crowd.attend(command));
        }
        let lived = live(&home, &crowds, rounds);
        for crowd in &crowds {
            crowd.end();
        }
        lived
    })?;
    shown.fact("faults", lived.faults);
    shown.fact("daemons killed", lived.daemons_killed);
    show_slopes(&lived.samples, shown);
    home.done(&["stop"])?;
    book.close(&home.ledgers(), lived.daemons_killed, shown)?;
    home.end()?.show(shown);
    Ok(())
}

#[derive(Default)]
struct Lived {
    faults: u64,
    daemons_killed: u64,
    samples: Vec<Sample>,
}

/// What daemon and guardian have, together.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: Duration,
    memory_kb: u64,
    descriptors: u64,
    threads: u64,
}

fn live(home: &Home<'_>, crowds: &[Crowd<'_>], rounds: u32) -> anyhow::Result<Lived> {
    let mut chance = Rng::with_seed(home.stage.seed);
    let mut lived = Lived::default();
    let at_work = || crowds.iter().map(Crowd::at_work).sum::<usize>() == SESSIONS;
    until(PATIENCE, at_work).context("not all sessions were served")?;
    let begun = Instant::now();
    for round in 0..rounds {
        let ends = Instant::now() + ROUND;
        if round < rounds / 10 {
            let daemon = home.daemon().context("a daemon runs")?;
            daemon.kill();
            until(PATIENCE, || {
                home.daemon().is_some_and(|next| next != daemon)
            })
            .context("no daemon came after one that was killed")?;
            lived.daemons_killed += 1;
            // What was sent again may be lost with the next that dies, which is not what this is about.
            all_are_answered(crowds)?;
        }
        // It has served well by then, or is not tried again for long.
        let crowd = &crowds[round as usize % SERVERS];
        if let Some(server) = Process::of(crowd.pid.load(Ordering::Acquire)) {
            server.kill();
            lived.faults += 1;
        }
        for _ in 0..FAULTS {
            fault(home, &mut chance)?;
            lived.faults += 1;
            thread::sleep(ROUND / (2 * FAULTS));
        }
        all_are_answered(crowds)?;
        thread::sleep(ends.saturating_duration_since(Instant::now()));
        if round >= rounds / 10 {
            lived.samples.push(sample(home, begun)?);
        }
    }
    Ok(lived)
}

/// Waits until each session has an answer to what it asks from now on.
fn all_are_answered(crowds: &[Crowd<'_>]) -> anyhow::Result<()> {
    let asked = Instant::now();
    let answered = || {
        crowds
            .iter()
            .map(|crowd| crowd.answered_since(asked))
            .sum::<usize>()
    };
    until(PATIENCE, || answered() == SESSIONS).context("not all sessions are of use")?;
    Ok(())
}

fn fault(home: &Home<'_>, chance: &mut Rng) -> anyhow::Result<()> {
    match chance.u8(0..6) {
        // A client vanishes in the middle of a call, its shim with it or not.
        0 => {
            let mut session = Session::greeted(home.fake(&[]))?;
            session.begin_call("hang", json!({}))?;
            session.kill()
        }
        1 => {
            let mut session = Session::greeted(home.fake(&[]))?;
            session.begin_call("slow", json!({"ms": 500}))?;
            session.vanish()
        }
        // A server of its own, with a tree that wants to stay.
        2 => {
            let options = ["--grandchild", "--double-fork"];
            Session::greeted(home.fake(&options))?.close()
        }
        3 => {
            let mut session = Session::greeted(home.fake(&[]))?;
            session.must_call("stderr-flood", json!({"bytes": 1_000_000}))?;
            session.close()
        }
        4 => {
            let mut session = Session::greeted(home.fake(&[]))?;
            session.must_call("garbage", json!({"hex": "ff00fe7b7b0a"}))?;
            session.must_call("giant-line", json!({"bytes": 2_000_000, "answers": true}))?;
            session.close()
        }
        _ => {
            let daemon = home.daemon().context("a daemon runs")?;
            daemon.signal(Signal::STOP);
            thread::sleep(STOPPED);
            daemon.signal(Signal::CONT);
            Ok(())
        }
    }
}

fn sample(home: &Home<'_>, begun: Instant) -> anyhow::Result<Sample> {
    let daemon = home.daemon().context("a daemon runs")?;
    let guardian = home.guardian()?;
    let least = |count: &dyn Fn(&Process) -> u64| {
        let looks = (0..LOOKS).map(|_| {
            thread::sleep(Duration::from_millis(10));
            count(&daemon) + count(&guardian)
        });
        looks.min().unwrap_or(0)
    };
    Ok(Sample {
        at: begun.elapsed(),
        memory_kb: least(&Process::memory_kb),
        descriptors: least(&Process::descriptors),
        threads: least(&Process::threads),
    })
}

fn show_slopes(samples: &[Sample], shown: &mut Shown) {
    // At first there is much that was never there before.
    let settled = samples.get(samples.len() / 3..).unwrap_or_default();
    let (Some(first), Some(last)) = (settled.first(), settled.last()) else {
        return shown.fact("samples", 0);
    };
    let seen_for = last.at.saturating_sub(first.at);
    shown.fact("seen for, s", seen_for.as_secs());
    shown.fact("memory at the end, KiB", last.memory_kb);
    let slope = slope_an_hour(settled, |sample| sample.memory_kb);
    let words = "memory gained in an hour, KiB";
    if seen_for >= HALF_AN_HOUR {
        shown.at_most(words, rounded(slope), 1024);
    } else {
        shown.fact(words, rounded(slope));
    }
    let more = |count: fn(&Sample) -> u64| {
        let third = settled.len().div_ceil(3);
        let fewest = |part: &[Sample]| part.iter().map(count).min().unwrap_or(0);
        fewest(&settled[settled.len() - third..]).saturating_sub(fewest(&settled[..third]))
    };
    shown.at_most("more memory, KiB", more(|sample| sample.memory_kb), MORE_KB);
    shown.at_most(
        "more descriptors",
        more(|sample| sample.descriptors),
        MORE_DESCRIPTORS,
    );
    shown.at_most("more threads", more(|sample| sample.threads), MORE_THREADS);
}

/// How much more there is each hour, by least squares; less is nothing.
#[expect(clippy::cast_precision_loss, reason = "numbers of kibibytes are small")]
fn slope_an_hour(samples: &[Sample], count: impl Fn(&Sample) -> u64) -> f64 {
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    let len = samples.len() as f64;
    let mean_at = samples.iter().map(hours).sum::<f64>() / len;
    let mean = samples
        .iter()
        .map(|sample| count(sample) as f64)
        .sum::<f64>()
        / len;
    let (mut above, mut below) = (0.0, 0.0);
    for sample in samples {
        let from_mean = hours(sample) - mean_at;
        above += from_mean * (count(sample) as f64 - mean);
        below += from_mean * from_mean;
    }
    if below > 0.0 { above / below } else { 0.0 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a slope down is none, and one beyond all numbers is too much in any case"
)]
fn rounded(slope: f64) -> u64 {
    slope.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_what_is_gained_in_an_hour() {
        let samples: Vec<Sample> = (0..10)
            .map(|number| Sample {
                at: Duration::from_mins(number),
                memory_kb: 1000 + number,
                ..Sample::default()
            })
            .collect();
        let slope = slope_an_hour(&samples, |sample| sample.memory_kb);
        assert_eq!(rounded(slope), 60);
        assert_eq!(rounded(slope_an_hour(&samples, |_| 7)), 0);
        assert_eq!(
            rounded(slope_an_hour(&samples[..1], |sample| sample.memory_kb)),
            0
        );
    }
}
