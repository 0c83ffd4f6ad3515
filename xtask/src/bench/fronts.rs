//! The rows that are about time over HTTP and over WebSockets.
//!
//! The floor is the bare endpoint: the same library, and the same answers, made where a call was read. What
//! lies above it is the way to a server in a process of its own and back, and all that mcpool does.

use super::{
    caller::{Caller, Front},
    crowd::Crowd,
    report::{Goal, Row, median},
    setup::{Pinned, Setup},
    speed::{microseconds, p50, per_second},
    stand::Stand,
};

/// Sessions of a crowd, and of what it is held against.
const MANY: usize = 1000;
const FEW: usize = 10;

/// Calls of all of them together, each time.
const CALLS: u32 = 60_000;

/// One call after the other, everything on one core, over the floor.
pub(crate) fn sequential(setup: &Setup, rounds: u32, front: Front) -> anyhow::Result<Row> {
    let _pinned = Pinned::to_one_core()?;
    let (bare, mcpool) = (Stand::bare(setup, front)?, Stand::mcpool(setup)?);
    let mut callers = [bare.address, mcpool.address]
        .map(|address| Caller::open(front, address))
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        for (caller, figures) in callers.iter_mut().zip(turns.both()) {
            figures.push(p50(4000, || caller.call())?);
        }
    }
    let limit = match front {
        Front::Http => 2.2,
        Front::WebSocket => 2.0,
    };
    let row = Row::new(
        format!(
            "{} call p50, one core, over the bare endpoint",
            front.name()
        ),
        turns.ratio(),
        "×",
        Goal::AtMost(limit),
    );
    Ok(row
        .with("bare", microseconds(median(turns.base)))
        .with("mcpool", microseconds(median(turns.ours))))
}

/// A thousand sessions at once over HTTP, over the floor.
pub(crate) fn sessions(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let front = Front::Http;
    let (bare, mcpool) = (Stand::bare(setup, front)?, Stand::mcpool(setup)?);
    let turns = Turns::of_crowds(
        rounds,
        [
            Crowd::open(front, bare.address, MANY)?,
            Crowd::open(front, mcpool.address, MANY)?,
        ],
    )?;
    let row = Row::new(
        format!("{MANY} sessions over HTTP, calls/s, over the bare endpoint"),
        turns.ratio(),
        "×",
        Goal::AtLeast(0.45),
    );
    Ok(row
        .with("bare", per_second(median(turns.base)))
        .with("mcpool", per_second(median(turns.ours))))
}

/// A thousand sessions at once, over ten.
pub(crate) fn growth(setup: &Setup, rounds: u32, front: Front) -> anyhow::Result<Row> {
    // Where the ten are, there are no others.
    let (few, many) = (Stand::mcpool(setup)?, Stand::mcpool(setup)?);
    let ours = Turns::of_crowds(
        rounds,
        [
            Crowd::open(front, few.address, FEW)?,
            Crowd::open(front, many.address, MANY)?,
        ],
    )?;
    let bare = Stand::bare(setup, front)?;
    let theirs = Turns::of_crowds(
        rounds,
        [
            Crowd::open(front, bare.address, FEW)?,
            Crowd::open(front, bare.address, MANY)?,
        ],
    )?;
    let row = Row::new(
        format!("{MANY} sessions over {}, calls/s, over {FEW}", front.name()),
        ours.ratio(),
        "×",
        Goal::AtLeast(0.95),
    );
    let of_bare = format!("{:.3} ×", theirs.ratio());
    Ok(row
        .with("ten", per_second(median(ours.base)))
        .with("thousand", per_second(median(ours.ours)))
        .with("the same of the bare endpoint", of_bare))
}

/// What is measured, and what that is held against, one figure of each per round.
#[derive(Debug, Default)]
struct Turns {
    base: Vec<f64>,
    ours: Vec<f64>,
}

impl Turns {
    fn of_crowds(rounds: u32, mut crowds: [Crowd; 2]) -> anyhow::Result<Turns> {
        let mut turns = Turns::default();
        for _ in 0..rounds {
            for (crowd, figures) in crowds.iter_mut().zip(turns.both()) {
                figures.push(crowd.load(CALLS)?);
            }
        }
        Ok(turns)
    }

    /// First that of which the other is a multiple.
    fn both(&mut self) -> [&mut Vec<f64>; 2] {
        [&mut self.base, &mut self.ours]
    }

    /// The median of the rounds' ratios.
    fn ratio(&self) -> f64 {
        let rounds = self.ours.iter().zip(&self.base);
        median(rounds.map(|(ours, base)| ours / base).collect())
    }
}
