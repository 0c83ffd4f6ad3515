//! Many shims start at the same moment where no daemon runs.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, Left, wrapped},
    processes::until,
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[24],
    fault: "64 shims start at once",
    short: 5,
    play,
};

const SHIMS: usize = 64;

/// How long a slow daemon takes before it so much as begins, and when all must be served all the same:
/// clients give up after 30 s.
const SLOWNESS: Duration = Duration::from_secs(12);
const SERVED_WITHIN: Duration = Duration::from_secs(25);

/// What a barrier keeps from starting: it reads one line of a pipe that all share.
const WAIT: &str = "read -r go < \"$0\"; exec \"$@\"";

/// What is there when they come.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    StaleFiles,
    /// All that a killed daemon leaves, its guardian and its server with it.
    KilledDaemon,
    /// Nothing, and the daemon takes long until it listens.
    SlowDaemon,
}

impl Before {
    /// The slow ones are few, as each of them takes long.
    fn of(round: u32) -> Before {
        match (round % 20, round % 4) {
            (4, _) => Before::SlowDaemon,
            (_, 1) => Before::StaleFiles,
            (_, 3) => Before::KilledDaemon,
            (_, _) => Before::Nothing,
        }
    }
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let (mut ready, mut ready_late) = (Vec::new(), Vec::new());
    let mut left = Left::default();
    let (mut served, mut right) = (0, 0);
    for round in 0..rounds {
        let before = Before::of(round);
        let home = stage.home()?;
        let race = race(&home, before).with_context(|| format!("round {round}: {before:?}"))?;
        served += race.ready.len() as u64;
        match before {
            Before::SlowDaemon => ready_late.extend(race.ready),
            Before::Nothing | Before::StaleFiles | Before::KilledDaemon => ready.extend(race.ready),
        }
        if race.daemons == 1 && race.servers == 1 {
            right += 1;
        } else {
            shown.tell(format!(
                "round {round}: {before:?}: {} daemons and {} servers",
                race.daemons, race.servers
            ));
        }
        for words in race.words {
            shown.tell(format!("round {round}: {before:?}: {words}"));
        }
        left.add(home.end()?);
    }
    shown.all("served", served, u64::from(rounds) * SHIMS as u64);
    shown.all("one daemon and one server", right, u64::from(rounds));
    shown.within(
        "ready p99",
        percentile(&ready, 99),
        Duration::from_millis(1500),
    );
    shown.within(
        "ready, longest",
        percentile(&ready, 100),
        Duration::from_millis(1500),
    );
    if !ready_late.is_empty() {
        let name = format!(
            "ready with a daemon that is slow by {} s",
            SLOWNESS.as_secs()
        );
        shown.within(&name, percentile(&ready_late, 100), SERVED_WITHIN);
    }
    left.show(shown);
    Ok(())
}

/// What came of one start.
struct Race {
    ready: Vec<Duration>,
    daemons: u64,
    servers: u64,
    words: Vec<String>,
}

fn race(home: &Home<'_>, before: Before) -> anyhow::Result<Race> {
    let mcpool = prepare(home, before)?;
    let daemons_before = daemons(home);
    let record = home.file("record");
    let barrier = home.root().join("barrier");
    mknodat(CWD, &barrier, FileType::Fifo, Mode::RWXU, 0).context("making a pipe")?;
    let mut sessions = Vec::new();
    for _ in 0..SHIMS {
        let mut session = Session::open(waiting(
            &home.fake_by(&mcpool, &["--record", &record]),
            &barrier,
        ))?;
        // Both are there to be read at once, as clients do it.
        let greeting = session.greet()?;
        session.say_greeted()?;
        let call = session.begin_call("echo", json!({}))?;
        sessions.push((session, greeting, call));
    }
    // Open for both, so that it never ends while somebody still waits for a line.
    let mut gate = OpenOptions::new().read(true).write(true).open(&barrier)?;
    let begun = Instant::now();
    gate.write_all("\n".repeat(SHIMS).as_bytes())?;
    let ended: Vec<anyhow::Result<(Session, Duration)>> = thread::scope(|scope| {
        let waits = sessions.into_iter().map(|(mut session, greeting, call)| {
            scope.spawn(move || -> anyhow::Result<(Session, Duration)> {
                for id in [greeting, call] {
                    let answer = session.answer(id)?;
                    anyhow::ensure!(answer.get("result").is_some(), "told {answer}");
                }
                Ok((session, begun.elapsed()))
            })
        });
        let waits: Vec<_> = waits.collect();
        let joined = waits.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|ended| ended.unwrap_or_else(|_| anyhow::bail!("a session panicked")))
            .collect()
    });
    let mut race = Race {
        ready: Vec::new(),
        daemons: daemons(home) - daemons_before,
        servers: home.count("record", "started "),
        words: Vec::new(),
    };
    for ended in ended {
        match ended {
            Ok((session, took)) => {
                race.ready.push(took);
                session.close()?;
            }
            Err(error) => race.words.push(format!("{error:#}")),
        }
    }
    Ok(race)
}

/// The same command, once the barrier opens.
fn waiting(command: &Command, barrier: &std::path::Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", WAIT]).arg(barrier);
    wrapped(&mut shell, command);
    shell
}

/// Returns the program that the shims are.
fn prepare(home: &Home<'_>, before: Before) -> anyhow::Result<PathBuf> {
    match before {
        Before::Nothing => {}
        Before::SlowDaemon => {
            let real = home.stage.mcpool.with_file_name("mcpoold");
            let (seconds, real) = (SLOWNESS.as_secs(), real.display());
            let script = format!("#!/bin/sh\nsleep {seconds}\nexec '{real}' \"$@\"\n");
            return home.another_installation(Some(&script));
        }
        Before::StaleFiles => {
            for folder in [home.pool(), home.pool().join("state")] {
                fs::create_dir_all(&folder)?;
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            }
            drop(UnixListener::bind(home.pool().join("mcpool.sock"))?);
            fs::write(home.pool().join("state/daemon.lock"), "1\n/nowhere\n")?;
            fs::write(home.pool().join("state/daemon.start"), "")?;
        }
        Before::KilledDaemon => {
            let mut session = Session::greeted(home.fake(&["--before"]))?;
            session.must_call("echo", json!({}))?;
            let daemon = home.daemon().context("a daemon runs")?;
            // First, or it would have a next daemon by itself.
            session.kill()?;
            daemon.kill();
            until(PATIENCE, || !daemon.is_alive()).context("it does not die")?;
        }
    }
    Ok(home.stage.mcpool.clone())
}

/// How many daemons have ever listened here, as their log says.
fn daemons(home: &Home<'_>) -> u64 {
    let lines = home.lines("pool/logs/daemon.log");
    lines
        .iter()
        .filter(|line| line.contains(" listening "))
        .count() as u64
}
