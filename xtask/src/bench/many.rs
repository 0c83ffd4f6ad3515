//! The rows that are about sessions that say nothing: what they cost, and what they cost others.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{
    caller::{Caller, Front},
    crowd::{Crowd, Idle},
    memory::pss,
    report::{Goal, Row, median, p99},
    session::Session,
    setup::Setup,
    stand::Stand,
};

/// Sessions of which the memory of one is the mean, and how many are there before.
const FURTHER: u32 = 1000;
const BEFORE: usize = 10;

/// Idle sessions, if there are descriptors for as many; and of what a call beside them is a multiple.
const MANY: usize = 10_000;
const FEW: usize = 10;

/// Calls of which the 99th percentile is taken, each time.
const CALLS: usize = 4000;

/// What each of a thousand more sessions costs the daemon, its connection included.
pub(crate) fn per_session(setup: &Setup, front: Front) -> anyhow::Result<Row> {
    let figure = |kilobytes: f64| format!("{kilobytes:.2} kB");
    let each = mean(setup, front, Ok)?;
    let row = Row::new(
        format!("memory per idle session over {} (PSS)", front.name()),
        each,
        "kB",
        Goal::AtMost(20.0),
    );
    match front {
        Front::WebSocket => Ok(row),
        Front::Http => {
            let without = mean(setup, front, |_closed| Ok(()))?;
            let listening = mean(setup, front, |caller| Ok((caller.listen()?, caller)))?;
            Ok(row
                .with("without a connection", figure(without))
                .with("listening, on another connection", figure(listening)))
        }
    }
}

/// The mean of what the daemon has more for each session of which that much is kept.
fn mean<T>(
    setup: &Setup,
    front: Front,
    keep: impl Fn(Caller) -> anyhow::Result<T>,
) -> anyhow::Result<f64> {
    let stand = Stand::mcpool(setup)?;
    let daemon = stand.daemon()?;
    let mut kept = Vec::new();
    for _ in 0..BEFORE {
        kept.push(keep(Caller::open(front, stand.address)?)?);
    }
    let before = pss(daemon)?;
    for _ in 0..FURTHER {
        kept.push(keep(Caller::open(front, stand.address)?)?);
    }
    Ok((pss(daemon)? - before) / f64::from(FURTHER))
}

/// The daemon with ten thousand idle sessions.
pub(crate) fn memory(setup: &Setup) -> anyhow::Result<Row> {
    let stand = Stand::mcpool(setup)?;
    let count = possible();
    let before = pss(stand.daemon()?)? / 1024.0;
    let sessions = Sessions::open(&stand, count)?;
    let row = Row::new(
        format!("{count} idle sessions over all fronts, daemon (PSS)"),
        pss(stand.daemon()?)? / 1024.0,
        "MB",
        Goal::AtMost(250.0),
    );
    let row = row
        .with("without", format!("{before:.1} MB"))
        .with("sessions", sessions.counts());
    sessions.end()?;
    Ok(row)
}

/// The 99th percentile of a call on one of ten thousand sessions that are idle otherwise, over that of ten;
/// the worst of all fronts.
pub(crate) fn latency(setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
    let stands = [Stand::mcpool(setup)?, Stand::mcpool(setup)?];
    let count = possible();
    let mut many = Sessions::open(&stands[1], count)?;
    let mut few = Sessions::open(&stands[0], FEW)?;
    let mut figures = [const { [const { Vec::new() }; 2] }; 3];
    for _ in 0..rounds {
        for (way, [base, ours]) in figures.iter_mut().enumerate() {
            base.push(few.p99(way)?);
            ours.push(many.p99(way)?);
        }
    }
    let ratio = |[base, ours]: &[Vec<f64>; 2]| {
        let rounds = ours.iter().zip(base);
        median(rounds.map(|(ours, base)| ours / base).collect())
    };
    let mut row = Row::new(
        format!("p99 of a call with {count} sessions over that with {FEW}, worst front"),
        figures.iter().map(ratio).fold(0.0, f64::max),
        "×",
        Goal::AtMost(2.0),
    );
    for (name, pair) in ["stdio", "WebSocket", "HTTP"].into_iter().zip(&figures) {
        let [base, ours] = pair.clone().map(|samples| median(samples) * 1e6);
        let figure = format!("{:.2} × ({base:.0} → {ours:.0} µs)", ratio(pair));
        row = row.with(name, figure);
    }
    let row = row.with("sessions", many.counts());
    many.end()?;
    few.end()?;
    Ok(row)
}

/// How many sessions there can be here: a third is over HTTP, with a connection each, and mcpool gives
/// connections and sessions a part of its descriptors only.
fn possible() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    MANY.min(limit.map_or(MANY, |limit| limit / 2))
}

/// Sessions over all fronts, as many over each.
struct Sessions {
    idle: Idle,
    counts: [usize; 3],
    shims: Vec<Session>,
    /// One that is not idle.
    web: Caller,
    http: Vec<Caller>,
}

impl Sessions {
    fn open(stand: &Stand<'_>, count: usize) -> anyhow::Result<Sessions> {
        let each = count / 3;
        let idle = Crowd::open(Front::WebSocket, stand.address, each - 1)?.idle();
        let shim = |_| {
            let (mut session, _) = Session::open(stand.command()?)?;
            session.call()?;
            Ok(session)
        };
        let shims = (0..each).map(shim).collect::<anyhow::Result<_>>()?;
        // A connection over HTTP that rests for long is closed, so these come last.
        let http = (2 * each..count).map(|_| Caller::open(Front::Http, stand.address));
        Ok(Sessions {
            idle,
            counts: [each, each, count - 2 * each],
            shims,
            http: http.collect::<anyhow::Result<_>>()?,
            web: Caller::open(Front::WebSocket, stand.address)?,
        })
    }

    fn counts(&self) -> String {
        let [shims, web, http] = self.counts;
        format!("{shims} stdio, {web} WebSocket, {http} HTTP")
    }

    /// Of calls on one session, in seconds: over stdio, over a WebSocket, over HTTP.
    fn p99(&mut self, way: usize) -> anyhow::Result<f64> {
        let mut call: Box<dyn FnMut() -> anyhow::Result<Duration>> = match way {
            0 => Box::new(|| self.shims[0].call()),
            1 => Box::new(|| self.web.call()),
            _ => Box::new(|| self.http[0].call()),
        };
        let samples: anyhow::Result<Vec<f64>> =
            (0..CALLS).map(|_| Ok(call()?.as_secs_f64())).collect();
        Ok(p99(samples?))
    }

    /// Ends them; an error if one has ended before.
    fn end(self) -> anyhow::Result<()> {
        self.idle.end()
    }
}
