//! The rows that are about neighbours: what sessions feel of others that make noise.
//!
//! A noisy neighbour costs in two ways. It takes the machine: its client, its shim and its server run
//! somewhere, and on two cores everything else runs slower for that, with mcpool or without. And it takes
//! what it shares with us: the daemon. Only the second is ours to answer for, so it is measured apart from
//! the first: all that makes noise runs on a core of its own, and on another one runs the daemon, with
//! those who are measured and their server. Each round is measured three times: quiet; with the same noise
//! made at *another* mcpool on the noisy core, which is the floor; and with the noise made at ours. The row
//! shows ours over quiet; beside it stands ours over the floor, and the same two without any order, where
//! the noise also runs on the cores that those who are measured need.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::Context as _;

use super::{
    hostile::{Hostile, Noise},
    report::{Goal, Row, median, p99},
    session::Session,
    setup::{Core, Pinned, Pool, Setup, read},
};

/// Calls of which the 99th percentile is taken, each time.
const CALLS: usize = 4000;

/// The sessions that are measured, each in its turn.
const VICTIMS: usize = 2;

/// What the daemon may take at most, in MB: 4 for itself; for each of the three hostile sessions what may
/// wait of what it says (8 MiB), and of what it is told (8 MiB, or 64 while it reads); and what may wait
/// for the disk (16 MiB).
const MEMORY_MB: f64 = 4.0 + (8.0 + 64.0) * 2.0 + (8.0 + 8.0) + 16.0;

/// Where the noise is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// At another mcpool.
    Elsewhere,
    /// At the mcpool of the sessions that are measured.
    Here,
}

/// Who runs where.
#[derive(Clone, Copy, Debug)]
enum Cores {
    /// Everybody runs where there is room.
    Shared,
    /// The daemon, those who are measured and their server run on one, and the noise on the other.
    Apart { ours: Core, noisy: Core },
}

impl Cores {
    /// Nothing if there are not enough.
    fn apart() -> anyhow::Result<Option<Cores>> {
        Ok(match Core::all()?[..] {
            [ours, noisy, ..] => Some(Cores::Apart { ours, noisy }),
            [_] | [] => None,
        })
    }

    fn ours(self) -> anyhow::Result<Option<Pinned>> {
        match self {
            Cores::Shared => Ok(None),
            Cores::Apart { ours, .. } => Pinned::to(ours).map(Some),
        }
    }

    fn noisy(self) -> anyhow::Result<Option<Pinned>> {
        match self {
            Cores::Shared => Ok(None),
            Cores::Apart { noisy, .. } => Pinned::to(noisy).map(Some),
        }
    }
}

/// Two pools with the same noisy sessions, and the sessions that are measured.
struct Street<'a> {
    cores: Cores,
    victims: Vec<Session>,
    here: Vec<Hostile>,
    elsewhere: Vec<Hostile>,
    pool: Pool<'a>,
    _other: Pool<'a>,
}

/// The 99th percentiles of all rounds, and the most memory that the daemon ever had.
struct Measured {
    quiet: Vec<f64>,
    floor: Vec<f64>,
    ours: Vec<f64>,
    peak_mb: f64,
}

impl Measured {
    fn take(
        setup: &Setup,
        rounds: u32,
        noises: &[Noise],
        cores: Cores,
    ) -> anyhow::Result<Measured> {
        let mut street = Street::open(setup, noises, cores)?;
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let places = [Place::Nowhere, Place::Elsewhere, Place::Here];
            for (place, figures) in places.into_iter().zip(&mut figures) {
                figures.push(street.p99(place)?);
            }
        }
        let [quiet, floor, ours] = figures;
        Ok(Measured {
            quiet,
            floor,
            ours,
            peak_mb: street.peak_mb()?,
        })
    }

    fn over(&self, base: &[f64]) -> f64 {
        let ratios = self.ours.iter().zip(base);
        median(ratios.map(|(ours, base)| ours / base).collect())
    }

    fn over_quiet(&self) -> f64 {
        self.over(&self.quiet)
    }

    fn over_floor(&self) -> f64 {
        self.over(&self.floor)
    }
}

/// The 99th percentile of sequential calls beside such noise, over its quiet value.
pub(crate) fn beside(setup: &Setup, rounds: u32, noises: &[Noise]) -> anyhow::Result<Row> {
    let names: Vec<&str> = noises.iter().map(|noise| noise.name()).collect();
    let names = names.join(" + ");
    let shared = Measured::take(setup, rounds, noises, Cores::Shared)?;
    let apart = Cores::apart()?.map(|cores| Measured::take(setup, rounds, noises, cores));
    let apart = apart.transpose()?;
    let measured = apart.as_ref().unwrap_or(&shared);
    let row = Row::new(
        format!("p99 of a call beside {names}, over quiet"),
        measured.over_quiet(),
        "×",
        Goal::AtMost(2.0),
    );
    let shown = |figures: &[f64]| format!("{:.0} µs", median(figures.to_vec()) * 1e6);
    let row = row
        .with("quiet", shown(&measured.quiet))
        .with("floor", shown(&measured.floor))
        .with("mcpool", shown(&measured.ours))
        .with("over the floor", format!("{:.2} ×", measured.over_floor()))
        .with("peak memory", format!("{:.1} MB", measured.peak_mb));
    if apart.is_none() {
        return Ok(row.with("cores", "one for everybody"));
    }
    Ok(row
        .with(
            "on shared cores over quiet",
            format!("{:.2} ×", shared.over_quiet()),
        )
        .with(
            "on shared cores over the floor",
            format!("{:.2} ×", shared.over_floor()),
        ))
}

/// The most that the daemon ever took, with all of the noise at once.
pub(crate) fn memory(setup: &Setup) -> anyhow::Result<Row> {
    let mut street = Street::open(setup, &Noise::ALL, Cores::Shared)?;
    let before = street.peak_mb()?;
    for _ in 0..3 {
        street.p99(Place::Here)?;
    }
    let row = Row::new(
        "daemon's peak memory beside all of the noise",
        street.peak_mb()?,
        "MB",
        Goal::AtMost(MEMORY_MB),
    );
    Ok(row.with("before", format!("{before:.1} MB")))
}

impl<'a> Street<'a> {
    fn open(setup: &'a Setup, noises: &[Noise], cores: Cores) -> anyhow::Result<Street<'a>> {
        let (pool, other) = (setup.pool(), setup.pool());
        let ours = match (cores, noises) {
            // A server that floods its standard error is one that others use at the same time.
            (Cores::Shared, [Noise::Errors]) => "theirs",
            // What that does to its own work is not of the pooler's making.
            (Cores::Shared | Cores::Apart { .. }, _) => "ours",
        };
        let mut victims = Vec::new();
        {
            let _pinned = cores.ours()?;
            for _ in 0..VICTIMS {
                let (mut session, _) = Session::open(pool.command_for(ours))?;
                session.call()?;
                victims.push(session);
            }
        }
        let hostile = |pool: &Pool<'_>| -> anyhow::Result<Vec<Hostile>> {
            let _pinned = cores.noisy()?;
            let open = |noise: &Noise| Hostile::open(pool.command_for("theirs"), *noise);
            noises.iter().map(open).collect()
        };
        let street = Street {
            cores,
            victims,
            here: hostile(&pool)?,
            elsewhere: hostile(&other)?,
            pool,
            _other: other,
        };
        if let Cores::Apart { noisy, .. } = cores {
            // It was started on the core of the daemon, who asked for it.
            for server in street.pool.servers("theirs")? {
                noisy.take(server)?;
            }
        }
        Ok(street)
    }

    /// The 99th percentile of a call while noise is made there, in seconds.
    fn p99(&mut self, place: Place) -> anyhow::Result<f64> {
        let (stop, cores) = (AtomicBool::new(false), self.cores);
        let hostile: &mut [Hostile] = match place {
            Place::Nowhere => &mut [],
            Place::Elsewhere => &mut self.elsewhere,
            Place::Here => &mut self.here,
        };
        thread::scope(|scope| {
            let noises: Vec<_> = hostile
                .iter_mut()
                .map(|hostile| {
                    scope.spawn(|| {
                        let _pinned = cores.noisy()?;
                        hostile.run(&stop)
                    })
                })
                .collect();
            let samples = cores.ours().and_then(|_pinned| calls(&mut self.victims));
            stop.store(true, Ordering::Relaxed);
            for noise in noises {
                noise.join().ok().context("a noisy session panicked")??;
            }
            Ok(p99(samples?))
        })
    }

    /// The most resident memory that the daemon ever had, in MB.
    fn peak_mb(&self) -> anyhow::Result<f64> {
        let path = PathBuf::from(format!("/proc/{}/status", self.pool.daemon()?));
        let status = read(&path)?;
        let peak = status.lines().find_map(|line| {
            let figure = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            figure.parse::<f64>().ok()
        });
        peak.map(|kilobytes| kilobytes / 1024.0)
            .with_context(|| format!("{}: no peak", path.display()))
    }
}

fn calls(victims: &mut [Session]) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(CALLS);
    while samples.len() < CALLS {
        for victim in &mut *victims {
            samples.push(victim.call()?.as_secs_f64());
        }
    }
    Ok(samples)
}
