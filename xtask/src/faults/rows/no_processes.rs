//! The kernel gives no more processes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Resource, Rlimit, geteuid, prlimit};
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
    waits_for: None,
    play,
};

/// A user of whom nothing runs, for a machine where we are one that no such limit binds.
const NOBODY: &str = "65534";

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let is_root = geteuid().is_root();
    if is_root && !shell::exists("setpriv") {
        shown.not_tried("the limit does not bind root, and there is no `setpriv`");
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
        let before = limit(guardian, Some(1))?;
        let mut session = Session::open(play.fake(&format!("--round-{round}")))?;
        let greeting = session.greet()?;
        let answer = session.answer(greeting)?;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        let is_told = !reason(&answer).is_empty() && !message.is_empty();
        told += u64::from(is_told);
        shown.tell(format!("told {}: {message}", reason(&answer)));
        on += u64::from(first.must_call("echo", json!({})).is_ok());
        limit(guardian, before)?;
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
        let program = self.programs.join("mcpool");
        let mut command = if self.is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--clear-groups", "--inh-caps=-all"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.root().join("user"))
            .env("MCPOOL_HOME", self.home.pool())
            .current_dir(self.home.root().join("project"));
        command
    }

    fn fake(&self, option: &str) -> Command {
        let mut command = self.verb(&["connect", "--name", "fake", "--scope", "global", "--"]);
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

    fn stop(&self) -> anyhow::Result<()> {
        shell::output_within(&mut self.verb(&["stop"]), Duration::from_secs(30)).map(drop)
    }
}

/// Sets how many processes its user may have; what it was before.
fn limit(process: Process, processes: Option<u64>) -> anyhow::Result<Option<u64>> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let read = Rlimit {
        current: processes,
        maximum: None,
    };
    let before = prlimit(pid, Resource::Nproc, read).context("setting the limit")?;
    Ok(before.current)
}
