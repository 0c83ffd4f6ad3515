//! Sockets, locks and numbers of processes that were left behind, of every kind.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, Left},
    processes::{self, until},
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[22],
    fault: "stale sockets, locks and pids",
    short: 1,
    play,
};

/// What can be in the way, and who leaves it there.
type Leave = fn(&Path) -> anyhow::Result<()>;

const KINDS: [(&str, Leave); 11] = [
    ("a socket that nobody listens on", dead_socket),
    ("a file in the socket's place", |pool| {
        write(&pool.join("mcpool.sock"), "")
    }),
    ("a link to nowhere in the socket's place", |pool| {
        Ok(symlink("/nowhere/mcpool.sock", pool.join("mcpool.sock"))?)
    }),
    ("a lock of a process that is gone", |pool| {
        lock(pool, "4194303\n/nowhere/mcpool.sock\n")
    }),
    ("a lock of a process that is another", |pool| {
        lock(pool, "1\n/nowhere/mcpool.sock\n")
    }),
    ("a lock of our own number", |pool| {
        lock(pool, &format!("{}\n", std::process::id()))
    }),
    ("an empty lock", |pool| lock(pool, "")),
    ("a lock full of garbage", |pool| {
        lock(pool, "\u{0}\u{1}garbage \u{fffd}\n\n\n-7\n")
    }),
    ("a lock half written", |pool| lock(pool, "12")),
    ("a lock of a start", |pool| {
        write(&pool.join("state/daemon.start"), "")
    }),
    ("a socket, a lock and a lock of a start", |pool| {
        dead_socket(pool)?;
        lock(pool, "1\n/nowhere/mcpool.sock\n")?;
        write(&pool.join("state/daemon.start"), "1\n")
    }),
];

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let mut ready = Vec::new();
    let mut left = Left::default();
    let (mut kinds, mut served) = (0, 0);
    for _ in 0..rounds {
        for (what, leave) in KINDS {
            let home = stage.home()?;
            for folder in [home.pool(), home.pool().join("state")] {
                fs::create_dir_all(&folder)?;
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            }
            leave(&home.pool()).with_context(|| format!("leaving {what}"))?;
            kinds += 1;
            match serve(&home) {
                Ok(took) => {
                    served += 1;
                    ready.push(took);
                }
                Err(error) => shown.tell(format!("{what}: {error:#}")),
            }
            left.add(home.end()?);
        }
        let home = stage.home()?;
        kinds += 1;
        let took = serve_after_a_kill(&home).context("what a killed daemon leaves")?;
        served += 1;
        ready.push(took);
        left.add(home.end()?);
    }
    shown.all("served by one daemon, by itself", served, kinds);
    shown.within(
        "served after, longest",
        percentile(&ready, 100),
        Duration::from_millis(1500),
    );
    left.show(shown);
    Ok(())
}

/// Two sessions on one server of one daemon; how long the first took.
fn serve(home: &Home<'_>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut first = Session::greeted(home.fake(&[]))?;
    first.must_call("echo", json!({}))?;
    let took = begun.elapsed();
    let mut second = Session::greeted(home.fake(&[]))?;
    anyhow::ensure!(first.server()? == second.server()?, "there are two servers");
    let daemon = home.daemon().context("no daemon is named by the lock")?;
    let tree = processes::with_descendants(daemon);
    anyhow::ensure!(
        tree.len() == 3,
        "not a daemon, its guardian and a server, but {tree:?}"
    );
    first.close()?;
    second.close()?;
    Ok(took)
}

fn serve_after_a_kill(home: &Home<'_>) -> anyhow::Result<Duration> {
    serve(home)?;
    let daemon = home.daemon().context("a daemon runs")?;
    daemon.kill();
    // Its guardian and servers may live until they are taken over or given up.
    until(PATIENCE, || !daemon.is_alive()).context("it does not die")?;
    let begun = Instant::now();
    let mut session = Session::greeted(home.fake(&[]))?;
    session.must_call("echo", json!({}))?;
    let took = begun.elapsed();
    session.close()?;
    Ok(took)
}

fn dead_socket(pool: &Path) -> anyhow::Result<()> {
    drop(UnixListener::bind(pool.join("mcpool.sock"))?);
    Ok(())
}

fn lock(pool: &Path, text: &str) -> anyhow::Result<()> {
    write(&pool.join("state/daemon.lock"), text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
