//! Real clients against real servers, with mcpool between them and without.
//!
//! A cell passes when each of eight sessions, open at the same time through one
//! mcpool, got what a session gets that has the server for itself, and when no
//! more server processes ran than the share keys allow.

mod cell;
mod clients;
mod normalise;
pub(crate) mod pool;
mod running;
mod servers;

use std::{
    num::NonZero,
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

pub(crate) use self::servers::Server;
use self::{
    cell::{Bench, Cell},
    clients::Client,
};
use crate::{provision::Provisioned, shell, test::Counts, ui};

/// Runs every cell whose name contains `filter`.
///
/// Without `mcpool` only the direct halves run, which shows whether the
/// provisioned packages work at all.
pub(crate) fn run(
    provisioned: &Provisioned,
    mcpool: Option<&Path>,
    filter: &str,
) -> anyhow::Result<Counts> {
    if let Some(mcpool) = mcpool {
        ensure!(
            pool::has_sibling(mcpool, "mcpoold"),
            "`mcpoold` does not lie beside {}",
            mcpool.display()
        );
    }
    let folder = tempfile::Builder::new()
        .prefix("mcpool-matrix-")
        .tempdir()
        .context("creating a folder")?;
    let bench = Bench {
        provisioned,
        mcpool,
    };
    let cells = Server::ALL
        .into_iter()
        .flat_map(|server| Client::ALL.map(|client| Cell { client, server }));
    let cells: Vec<Cell> = cells.filter(|cell| cell.name().contains(filter)).collect();
    let queue = Mutex::new(cells.into_iter());
    let counts = Mutex::new(Counts::default());
    adopt_orphans()?;
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(4)
        {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map_or(None, |mut queue| queue.next());
                    let Some(cell) = next else { return };
                    let passed = show(cell, &bench, folder.path());
                    if let Ok(mut counts) = counts.lock() {
                        counts.add(passed);
                    }
                }
            });
        }
    });
    let mut counts = counts.into_inner().unwrap_or_default();
    let left = end_orphans();
    if !left.is_empty() {
        ui::line(format!(
            "FAILED processes were left behind:\n  {}",
            left.join("\n  ")
        ));
    }
    counts.add(left.is_empty());
    Ok(counts)
}

fn show(cell: Cell, bench: &Bench<'_>, folder: &Path) -> bool {
    let begun = Instant::now();
    let folder = folder.join(format!("{}-{}", cell.client.name(), cell.server.name()));
    let result = cell.run(bench, &folder);
    let seconds = begun.elapsed().as_secs_f64();
    match &result {
        Ok(()) => ui::line(format!("ok      {} ({seconds:.1} s)", cell.name())),
        Err(error) => ui::line(format!(
            "FAILED  {} ({seconds:.1} s): {error:#}",
            cell.name()
        )),
    }
    result.is_ok()
}

/// Makes us the parent of every process whose own parent has ended, so that none can be lost.
fn adopt_orphans() -> anyhow::Result<()> {
    let ourselves = Some(rustix::process::getpid());
    rustix::process::set_child_subreaper(ourselves).context("becoming a sub-reaper")
}

/// Ends all children that still run once they had time to end by themselves, and names them.
fn end_orphans() -> Vec<String> {
    let mut left = Vec::new();
    while let Some((pid, command)) = shell::children().into_iter().next() {
        if !shell::wait_for_end(pid, Duration::from_secs(5)) {
            left.push(format!("{pid} {command}"));
            shell::kill(pid);
        }
        shell::reap(pid);
    }
    left
}
