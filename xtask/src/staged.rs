//! `mcpool advise` against a machine with agents on it that run real servers, each its own copies.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    bench::memory::pss,
    build::{self, Profile, Programs},
    matrix::Server,
    provision::Provisioned,
    scratch,
    test::Counts,
    ui,
};

/// The clients, two in each of two projects.
const CLIENTS: [&str; 4] = ["claude", "claude", "codex", "opencode"];

/// What each of them runs, and what is to be done with that.
const SERVERS: [(Server, &str); 3] = [
    (Server::Memory, "share-per-workspace"),
    (Server::Filesystem, "share-per-workspace"),
    (Server::Time, "share-per-workspace"),
];

/// What one of them runs beside these.
const BROWSER: &str = "playwright-mcp";
/// What has lost its client.
const ORPHAN: &str = "mcp-server-left";

/// Sets the stage, asks, and compares with what the system says.
pub(crate) fn run(provisioned: &Provisioned) -> anyhow::Result<Counts> {
    let stage = Stage::new(build::programs(&["mcpool"], Profile::Debug)?)?;
    let mut agents = Vec::new();
    for (number, client) in CLIENTS.into_iter().enumerate() {
        let project = stage.project(number % 2)?;
        let mut commands: Vec<Vec<String>> = SERVERS
            .iter()
            .map(|(server, _)| server.command(provisioned, &project))
            .collect();
        if number == 0 {
            commands.push(vec![stage.scripted(BROWSER)?.display().to_string()]);
        }
        agents.push(stage.agent(client, &project, &commands)?);
    }
    let left = vec![
        stage.scripted(ORPHAN)?.display().to_string(),
        "--ignore-eof".to_owned(),
    ];
    let mut gone = stage.agent("gemini", &stage.project(0)?, &[left])?;
    let orphan = gone.children()?;
    gone.0.kill()?;
    gone.0.wait()?;
    // It is judged with all that were there when it looked: what one takes depends on who has the same pages.
    let counts = stage
        .advise()
        .and_then(|report| judge_all(&report, &agents, &orphan));
    for pid in &orphan {
        kill(*pid)?;
    }
    counts
}

fn judge_all(report: &Value, agents: &[Agent], orphan: &[u32]) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for (server, verdict) in SERVERS {
        let judged = judge(report, server.name(), verdict, agents);
        counts.add(tell(server.name(), &judged));
    }
    let judged = judge(report, BROWSER, "keep-per-session", &agents[..1]);
    counts.add(tell(BROWSER, &judged));
    let listed = report["orphans"].as_array().context("no orphans")?;
    let is_listed = |pid: &u32| listed.iter().any(|orphan| orphan["pid"] == *pid);
    counts.add(!orphan.is_empty() && orphan.iter().all(is_listed));
    Ok(counts)
}

fn kill(pid: u32) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process has the number 0")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

fn tell(name: &str, judged: &anyhow::Result<()>) -> bool {
    match judged {
        Ok(()) => ui::line(format!("{name} is measured and judged")),
        Err(error) => ui::line(format!("{name}: {error:#}")),
    }
    judged.is_ok()
}

/// Compares what is said of a server with what the system says of the copies that these agents have.
fn judge(report: &Value, name: &str, verdict: &str, agents: &[Agent]) -> anyhow::Result<()> {
    let servers = report["servers"].as_array().context("no servers")?;
    let server = servers
        .iter()
        .find(|server| server["name"].as_str().is_some_and(|it| it.contains(name)))
        .context("not found")?;
    ensure!(
        server["verdict"] == verdict,
        "{}: {}",
        server["verdict"],
        server["reason"]
    );
    let copies = server["copies"].as_array().context("no copies")?;
    for agent in agents {
        let client = agent.0.id();
        // The same servers may run elsewhere on this machine.
        let copy = copies.iter().find(|copy| copy["client_pid"] == client);
        let copy = copy.with_context(|| format!("no copy of client {client}"))?;
        let pid = copy["pid"].as_u64().context("no pid")?;
        let expected = pss(u32::try_from(pid)?)?;
        let said = copy["pss_kb"].as_u64().context("no figure")?;
        let said = f64::from(u32::try_from(said)?);
        ensure!(
            (said - expected).abs() <= expected / 10.0,
            "process {pid} takes {expected} kB, not {said} kB"
        );
    }
    Ok(())
}

struct Stage {
    folder: TempDir,
    programs: Programs,
}

/// A process that is called like a client; dropped, it ends, and its servers with it.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // Not all servers end with their input; while it has not waited for them, their numbers are theirs.
        for pid in self.children().unwrap_or_default() {
            let _gone = kill(pid);
        }
        drop(self.0.stdin.take());
        // There is nothing to do about one that cannot be waited for.
        let _ended = self.0.wait();
    }
}

impl Agent {
    fn children(&self) -> anyhow::Result<Vec<u32>> {
        let pid = self.0.id();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let numbers = text.split_whitespace().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }
}

impl Stage {
    fn new(programs: Programs) -> anyhow::Result<Self> {
        let folder = scratch::folder("mcpool-staged-", false)?;
        fs::create_dir(folder.path().join("bin"))?;
        Ok(Stage { folder, programs })
    }

    fn project(&self, number: usize) -> anyhow::Result<PathBuf> {
        let project = self.folder.path().join(format!("project-{number}"));
        fs::create_dir_all(project.join(".git"))?;
        Ok(project)
    }

    /// The scripted server under another name.
    fn scripted(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join("bin").join(name);
        if !path.exists() {
            symlink(self.programs.get("fake-server")?, &path)?;
        }
        Ok(path)
    }

    /// A client that has started and greeted these servers.
    fn agent(
        &self,
        client: &str,
        project: &Path,
        commands: &[Vec<String>],
    ) -> anyhow::Result<Agent> {
        let list = tempfile::NamedTempFile::new_in(self.folder.path())?;
        let lines: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
        fs::write(list.path(), lines.join("\n"))?;
        let child = Command::new(self.scripted(client)?)
            .arg("agent")
            .arg(list.path())
            .current_dir(project)
            .env("MEMORY_FILE_PATH", project.join("memory.jsonl"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting an agent")?;
        let mut agent = Agent(child);
        let mut said = String::new();
        let stdout = agent.0.stdout.take().context("no pipe")?;
        BufReader::new(stdout).read_line(&mut said)?;
        ensure!(said == "all are greeted\n", "an agent said {said:?}");
        Ok(agent)
    }

    fn advise(&self) -> anyhow::Result<Value> {
        let output = Command::new(self.programs.get("mcpool")?)
            .args(["advise", "--json", "--home"])
            .arg(self.folder.path().join("home"))
            .stdin(Stdio::null())
            .output()?;
        let report = serde_json::from_slice(&output.stdout);
        report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
