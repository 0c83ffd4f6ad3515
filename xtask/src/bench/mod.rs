//! `cargo xtask bench`: what mcpool costs, beside what no mcpool costs and what any proxy must cost.
//!
//! Every row is a ratio of figures that were measured in turns, round by round,
//! so that a busy machine slows all of them alike; the row shows the median of
//! the rounds. The same tiny server stands behind everything.

mod caller;
mod crowd;
mod fronts;
mod hook;
mod hostile;
mod many;
pub(crate) mod memory;
mod neighbours;
mod report;
mod session;
mod setup;
mod speed;
mod stand;

use std::path::{self, PathBuf};

use anyhow::ensure;
use clap::ValueEnum as _;

pub(crate) use self::caller::{Caller, Front, is_hung_up};
use self::{hostile::Noise, report::Row, setup::Setup};
use crate::{
    build::{self, Profile},
    ui,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure only these rows
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Measure>,
    /// How often each variant has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Measure this mcpool, not the one of this checkout
    #[arg(long, value_name = "FILE")]
    mcpool: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Measure {
    /// One call after the other, everything on one core
    Sequential,
    /// 64 calls in flight on one session
    Pipelined,
    /// Ten sessions, one call in flight on each
    Sessions,
    /// Ten sessions, 64 calls in flight on each
    SessionsPipelined,
    /// From the spawn to the answer of `initialize`, daemon and server running
    WarmStart,
    /// A reply of 10 MB
    LargeReply,
    /// What one more session costs
    MemoryPerSession,
    /// The daemon with one session, and its guardian beside it
    MemoryOfDaemon,
    /// Ten sessions on a server of 200 MB
    MemoryOfFleet,
    /// Beside a session that floods its server with calls
    NeighbourCalls,
    /// Beside a session that writes garbage without end
    NeighbourGarbage,
    /// Beside a session that reads 1 KiB/s while 50 MB flow to it
    NeighbourSlowReader,
    /// On a server that floods its standard error
    NeighbourErrors,
    /// Beside all of these at once
    NeighbourAll,
    /// The most memory that the daemon takes in all that
    NeighbourMemory,
    /// One hook after the other, from its spawn to its end
    Hook,
    /// Fifty hooks at once
    HookCrowd,
    /// What the process of a hook takes of a core
    HookCpu,
    /// One call after the other over HTTP, everything on one core
    HttpSequential,
    /// One call after the other over a WebSocket, everything on one core
    WebSocketSequential,
    /// A thousand sessions over HTTP, one call in flight on each
    HttpSessions,
    /// The same beside ten sessions
    HttpGrowth,
    /// A thousand sessions over WebSockets, beside ten
    WebSocketGrowth,
    /// What one more idle session over HTTP costs
    HttpMemory,
    /// What one more idle session over a WebSocket costs
    WebSocketMemory,
    /// Ten thousand idle sessions over all fronts
    IdleMemory,
    /// A call beside these
    IdleLatency,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mcpool = match &args.mcpool {
        Some(mcpool) => path::absolute(mcpool)?,
        None => build::programs(&["mcpool"], Profile::Release)?.get("mcpool")?,
    };
    let programs = build::programs(&["xtask"], Profile::Release)?;
    let setup = Setup::new(mcpool, &programs)?;
    let wanted = |measure: &&Measure| args.rows.is_empty() || args.rows.contains(measure);
    let mut rows = Vec::new();
    for measure in Measure::value_variants().iter().filter(wanted) {
        let row = measure.take(&setup, args.rounds)?;
        if !args.json {
            ui::line(row.as_line());
        }
        rows.push(row);
    }
    if args.json {
        ui::line(serde_json::to_string_pretty(&rows)?);
    } else {
        ui::line(report::table(&rows));
    }
    let missed = rows.iter().filter(|row| !row.is_met).count();
    ensure!(missed == 0, "{missed} of {} goals were missed", rows.len());
    Ok(())
}

impl Measure {
    fn take(self, setup: &Setup, rounds: u32) -> anyhow::Result<Row> {
        match self {
            Measure::Sequential => speed::sequential(setup, rounds),
            Measure::Pipelined => speed::pipelined(setup, rounds),
            Measure::Sessions => speed::sessions(setup, rounds, 1),
            Measure::SessionsPipelined => speed::sessions(setup, rounds, speed::WINDOW),
            Measure::WarmStart => speed::warm_start(setup, rounds),
            Measure::LargeReply => speed::large_reply(setup, rounds),
            Measure::MemoryPerSession => memory::per_session(setup),
            Measure::MemoryOfDaemon => memory::of_daemon(setup),
            Measure::MemoryOfFleet => memory::of_fleet(setup),
            Measure::NeighbourCalls => neighbours::beside(setup, rounds, &[Noise::Calls]),
            Measure::NeighbourGarbage => neighbours::beside(setup, rounds, &[Noise::Garbage]),
            Measure::NeighbourSlowReader => neighbours::beside(setup, rounds, &[Noise::SlowReader]),
            Measure::NeighbourErrors => neighbours::beside(setup, rounds, &[Noise::Errors]),
            Measure::NeighbourAll => neighbours::beside(setup, rounds, &Noise::ALL),
            Measure::NeighbourMemory => neighbours::memory(setup),
            Measure::Hook => hook::alone(setup, rounds),
            Measure::HookCrowd => hook::crowd(setup, rounds),
            Measure::HookCpu => hook::cpu(setup, rounds),
            Measure::HttpSequential => fronts::sequential(setup, rounds, Front::Http),
            Measure::WebSocketSequential => fronts::sequential(setup, rounds, Front::WebSocket),
            Measure::HttpSessions => fronts::sessions(setup, rounds),
            Measure::HttpGrowth => fronts::growth(setup, rounds, Front::Http),
            Measure::WebSocketGrowth => fronts::growth(setup, rounds, Front::WebSocket),
            Measure::HttpMemory => many::per_session(setup, Front::Http),
            Measure::WebSocketMemory => many::per_session(setup, Front::WebSocket),
            Measure::IdleMemory => many::memory(setup),
            Measure::IdleLatency => many::latency(setup, rounds),
        }
    }
}
