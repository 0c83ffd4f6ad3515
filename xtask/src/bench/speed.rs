//! The rows that are about time.

use std::time::Duration;

use super::{
    report::{Goal, Row, median},
    session::{Session, load},
    setup::{Back, Fleet, Pinned, Pool, Setup, Way},
};

/// Calls in flight on a session that pipelines.
pub(crate) const WINDOW: usize = 64;
/// Sessions of a fleet.
const FLEET: usize = 10;
const BLOB: usize = 10_000_000;

/// One call after the other, everything on one core, over the floor.
pub(crate) fn sequential(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let _pinned = Pinned::to_one_core()?;
    let mut fleets = fleets(setup, 1)?;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        for (fleet, figures) in fleets.iter_mut().zip(&mut turns.0) {
            figures.push(p50(2000, || fleet.sessions[0].call())?);
        }
    }
    let row = Row::new(
        "sequential call p50, one core, over the floor",
        turns.over(Way::Floor),
        "×",
        Goal::AtMost(1.35),
    );
    Ok(turns.figures(row, microseconds))
}

/// 64 calls in flight on one session, over direct.
pub(crate) fn pipelined(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let turns = throughput(setup, rounds, 1, WINDOW, 100_000)?;
    let row = Row::new(
        "pipelined calls/s (window 64), over direct",
        turns.over(Way::Direct),
        "×",
        Goal::AtLeast(0.35),
    );
    Ok(turns.figures(row, per_second))
}

/// Ten sessions at once, over ten servers.
pub(crate) fn sessions(setup: &Setup, rounds: u32, window: usize) -> anyhow::Result<Row> {
    let calls = if window == 1 { 3000 } else { 20_000 };
    let turns = throughput(setup, rounds, FLEET, window, calls)?;
    let measure = format!("10 sessions at once (window {window}), calls/s, over 10 direct servers");
    let row = Row::new(measure, turns.over(Way::Direct), "×", Goal::AtLeast(0.40));
    Ok(turns.figures(row, per_second))
}

/// From the spawn of the client's process to the answer of `initialize`, over direct.
pub(crate) fn warm_start(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let back = setup.back()?;
    let pool = setup.pool();
    // Daemon and server run already, and go on running between the starts.
    let (_keeper, _) = Session::open(pool.command(0))?;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        let mut samples = [const { Vec::new() }; Way::ALL.len()];
        for _ in 0..40 {
            for (way, samples) in Way::ALL.into_iter().zip(&mut samples) {
                samples.push(start(setup, &back, &pool, way)?.as_secs_f64());
            }
        }
        for (samples, figures) in samples.into_iter().zip(&mut turns.0) {
            figures.push(median(samples));
        }
    }
    let floor = format!("{:.2} ×", turns.over(Way::Floor));
    let row = Row::new(
        "warm start, over direct",
        turns.over(Way::Direct),
        "×",
        Goal::AtMost(1.35),
    );
    Ok(turns
        .figures(row, microseconds)
        .with("over the floor", floor))
}

fn start(setup: &Setup, back: &Back<'_>, pool: &Pool<'_>, way: Way) -> anyhow::Result<Duration> {
    let command = match way {
        Way::Direct => setup.direct(),
        Way::Floor => back.command(),
        Way::Mcpool => pool.command(0),
    };
    let (_session, taken) = Session::open(command)?;
    Ok(taken)
}

/// A reply of 10 MB, over the floor.
pub(crate) fn large_reply(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let mut fleets = fleets(setup, 1)?;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        for (fleet, figures) in fleets.iter_mut().zip(&mut turns.0) {
            figures.push(p50(15, || fleet.sessions[0].call_for_blob(BLOB))?);
        }
    }
    let row = Row::new(
        "reply of 10 MB, over the floor",
        turns.over(Way::Floor),
        "×",
        Goal::AtMost(1.6),
    );
    Ok(turns.figures(row, microseconds))
}

fn throughput(
    setup: &Setup,
    rounds: u32,
    count: usize,
    window: usize,
    calls: usize,
) -> anyhow::Result<Turns> {
    let mut fleets = fleets(setup, count)?;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        for (fleet, figures) in fleets.iter_mut().zip(&mut turns.0) {
            let taken = load(&mut fleet.sessions, window, calls)?;
            let calls = u32::try_from(calls * count).map_or(f64::NAN, f64::from);
            figures.push(calls / taken.as_secs_f64());
        }
    }
    Ok(turns)
}

fn fleets(setup: &Setup, count: usize) -> anyhow::Result<Vec<Fleet<'_>>> {
    Way::ALL
        .into_iter()
        .map(|way| Fleet::open(setup, way, count))
        .collect()
}

/// The median of so many measurements, in seconds.
pub(crate) fn p50(
    count: usize,
    mut measure: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<f64> {
    let samples: anyhow::Result<Vec<f64>> =
        (0..count).map(|_| Ok(measure()?.as_secs_f64())).collect();
    Ok(median(samples?))
}

/// The figures of each way, one per round, in the order of [`Way::ALL`].
#[derive(Debug, Default)]
struct Turns([Vec<f64>; Way::ALL.len()]);

impl Turns {
    fn of(&self, way: Way) -> &[f64] {
        match way {
            Way::Direct => &self.0[0],
            Way::Floor => &self.0[1],
            Way::Mcpool => &self.0[2],
        }
    }

    /// The median of the rounds' ratios.
    fn over(&self, way: Way) -> f64 {
        let pairs = self.of(Way::Mcpool).iter().zip(self.of(way));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }

    fn figures(&self, row: Row, show: fn(f64) -> String) -> Row {
        let shown = |way| show(median(self.of(way).to_vec()));
        row.with("direct", shown(Way::Direct))
            .with("floor", shown(Way::Floor))
            .with("mcpool", shown(Way::Mcpool))
    }
}

pub(crate) fn microseconds(seconds: f64) -> String {
    format!("{:.1} µs", seconds * 1e6)
}

pub(crate) fn per_second(rate: f64) -> String {
    format!("{rate:.0}/s")
}
