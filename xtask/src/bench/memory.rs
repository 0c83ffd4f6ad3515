//! The rows that are about memory: proportional set sizes, so that shared pages count once.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{
    report::{Goal, Row},
    session::Session,
    setup::{Pool, Processes, Setup, read},
};

/// How many sessions come after the first.
const FURTHER: u32 = 10;
const BALLAST_MB: u32 = 200;

/// What each of sessions 2 to 11 costs, shim and daemon together.
pub(crate) fn per_session(setup: &Setup) -> anyhow::Result<Row> {
    let pool = setup.pool();
    let mut sessions = vec![open(&pool, 0)?];
    let processes = pool.processes()?;
    let daemon_before = pss(processes.daemon)?;
    let shims_before = shims(&sessions)?;
    for _ in 0..FURTHER {
        sessions.push(open(&pool, 0)?);
    }
    let daemon = (pss(processes.daemon)? - daemon_before) / f64::from(FURTHER);
    let shims = (shims(&sessions)? - shims_before) / f64::from(FURTHER);
    let row = Row::new(
        "memory per further session (PSS, shim and daemon)",
        daemon + shims,
        "kB",
        Goal::AtMost(200.0),
    );
    Ok(row
        .with("shim", format!("{shims:.1} kB"))
        .with("daemon", format!("{daemon:.1} kB")))
}

/// What is there for the first session besides its shim and its server.
pub(crate) fn of_daemon(setup: &Setup) -> anyhow::Result<Row> {
    let pool = setup.pool();
    let _session = open(&pool, 0)?;
    let processes = pool.processes()?;
    let daemon = pss(processes.daemon)? / 1024.0;
    let guardian = pss(processes.guardian)? / 1024.0;
    let measure = "daemon with one session (PSS, without the server)";
    let row = Row::new(measure, daemon, "MB", Goal::AtMost(4.0));
    Ok(row
        .with("daemon", format!("{daemon:.2} MB"))
        .with("guardian", format!("{guardian:.2} MB")))
}

/// Ten sessions on a server that holds 200 MB, everything together.
pub(crate) fn of_fleet(setup: &Setup) -> anyhow::Result<Row> {
    let pool = setup.pool();
    let sessions = (0..FURTHER)
        .map(|_| open(&pool, BALLAST_MB))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let Processes {
        daemon,
        guardian,
        server,
    } = pool.processes()?;
    let server = pss(server)? / 1024.0;
    let ours = (pss(daemon)? + pss(guardian)? + shims(&sessions)?) / 1024.0;
    let row = Row::new(
        "10 sessions on a server of 200 MB (PSS, everything)",
        server + ours,
        "MB",
        Goal::AtMost(207.0),
    );
    Ok(row
        .with("server", format!("{server:.1} MB"))
        .with("mcpool", format!("{ours:.2} MB")))
}

/// A session that has called once, as every session that is of any use has.
fn open(pool: &Pool<'_>, ballast: u32) -> anyhow::Result<Session> {
    let (mut session, _) = Session::open(pool.command(ballast))?;
    session.call()?;
    Ok(session)
}

fn shims(sessions: &[Session]) -> anyhow::Result<f64> {
    sessions.iter().map(|session| pss(session.pid())).sum()
}

/// The proportional set size of a process, in kB.
pub(crate) fn pss(pid: u32) -> anyhow::Result<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
    let text = read(&path)?;
    let size = text.lines().find_map(|line| {
        line.strip_prefix("Pss:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    size.with_context(|| format!("{}: no PSS", path.display()))
}
