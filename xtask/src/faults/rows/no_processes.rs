//! The kernel gives no more processes.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::geteuid;
use serde_json::json;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::Home,
        processes::{Process, until},
        session::{PATIENCE, Session, reason},
        shown::{Shown, percentile},
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[40],
    fault: "no more processes may be started",
    short: 2,
    play,
};

/// A user of whom nothing runs, for a machine where we are one that no such limit binds.
const NOBODY: &str = "65534";

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let is_root = geteuid().is_root();
    if !shell::exists("prlimit") || is_root && !shell::exists("setpriv") {
        shown.not_tried("there is no `prlimit`, or, for root, whom no limit binds, no `setpriv`");
        return Ok(());
    }
    let home = stage.home()?;
    let play = Play::new(&home, is_root)?;
    let mut first = Session::greeted(play.fake("--first"))?;
    first.must_call("echo", json!({}))?;
    let guardian = play.guardian()?;
    let (mut told, mut on, mut served) = (0, 0, 0);
    let mut recovered = Vec::new();
    for round in 0..rounds {
        play.limit(guardian, Some(1))?;
        let mut session = Session::open(play.fake(&format!("--round-{round}")))?;
        let greeting = session.greet()?;
        let answer = session.answer(greeting)?;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        let is_told = !reason(&answer).is_empty() && !message.is_empty();
        told += u64::from(is_told);
        if !is_told {
            shown.tell(format!("told {answer}"));
        }
        on += u64::from(first.must_call("echo", json!({})).is_ok());
        play.limit(guardian, None)?;
        let begun = Instant::now();
        let mut is_served = false;
        until(PATIENCE, || {
            let greeted = session.greet().and_then(|id| session.answer(id));
            is_served = greeted.is_ok_and(|answer| answer.get("result").is_some());
            is_served
        });
        served += u64::from(is_served);
        recovered.push(begun.elapsed());
        session.close()?;
    }
    first.close()?;
    shown.all("told of it", told, u64::from(rounds));
    shown.all("others went on", on, u64::from(rounds));
    shown.all("served by itself afterwards", served, u64::from(rounds));
    // One attempt each 100 ms, 200 ms, and so on.
    shown.within(
        "served after, longest",
        percentile(&recovered, 100),
        Duration::from_secs(2),
    );
    shown.at_least("guardian still there", u64::from(guardian.is_alive()), 1);
    play.stop()?;
    home.end()?.show(shown);
    Ok(())
}

/// A home of another user, if need be.
struct Play<'a> {
    home: &'a Home<'a>,
    /// Where the programs are that the user may execute.
    programs: PathBuf,
    is_root: bool,
}

impl<'a> Play<'a> {
    fn new(home: &'a Home<'a>, is_root: bool) -> anyhow::Result<Play<'a>> {
        let programs = home.root().join("bin");
        fs::create_dir(&programs)?;
        let mcpool = &home.stage.mcpool;
        let beside = mcpool.with_file_name("mcpoold");
        for program in [mcpool, &beside, &home.stage.fake_server] {
            let name = program.file_name().context("a program has a name")?;
            fs::copy(program, programs.join(name))?;
        }
        if is_root {
            let mut command = Command::new("chown");
            shell::run(command.args(["-R", NOBODY]).arg(home.root()))?;
        }
        fs::set_permissions(home.root(), fs::Permissions::from_mode(0o755))?;
        Ok(Play {
            home,
            programs,
            is_root,
        })
    }

    /// A verb, as that user.
    fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = self.as_user(self.programs.join("mcpool"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.root().join("user"))
            .env("MCPOOL_HOME", self.home.pool())
            .current_dir(self.home.root().join("project"));
        command
    }

    fn as_user(&self, program: impl AsRef<OsStr>) -> Command {
        if !self.is_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--clear-groups", "--inh-caps=-all"]);
        command.arg(program.as_ref());
        command
    }

    fn fake(&self, option: &str) -> Command {
        let mut command = self.verb(&["connect", "--name", "fake", "--"]);
        command.arg(self.programs.join("fake-server")).arg(option);
        command
    }

    fn guardian(&self) -> anyhow::Result<Process> {
        let patience = Duration::from_secs(30);
        let text = shell::output_within(&mut self.verb(&["status", "--json"]), patience)?;
        let status: serde_json::Value = serde_json::from_str(&text)?;
        let pid = status["daemon"]["guardian_pid"].as_u64();
        pid.and_then(|pid| Process::of(u32::try_from(pid).ok()?))
            .with_context(|| format!("no guardian in {status}"))
    }

    /// Sets how many processes its user may have, or as many as there ever were.
    fn limit(&self, process: Process, most: Option<u64>) -> anyhow::Result<()> {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid))?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max processes"));
        let highest = line.and_then(|line| line.split_whitespace().nth(1));
        let highest = highest.context("no limit of processes")?;
        let soft = most.map_or(highest.to_owned(), |most| most.to_string());
        let mut command = self.as_user("prlimit");
        command.args(["--pid", &process.pid.to_string()]);
        shell::run(command.arg(format!("--nproc={soft}:")))
    }

    fn stop(&self) -> anyhow::Result<()> {
        shell::output_within(&mut self.verb(&["stop"]), Duration::from_secs(30)).map(drop)
    }
}
