//! The three ways from a client to a server, ready to be used.

use std::{
    cell::Cell,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::Value;
use tempfile::TempDir;

use super::session::Session;
use crate::{build::Programs, shell};

/// How long mcpool may take to answer a person.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How a session reaches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A server of its own, over its pipes.
    Direct,
    /// A server of its own, behind the bare relay.
    Floor,
    /// One server for all, behind mcpool.
    Mcpool,
}

impl Way {
    pub(crate) const ALL: [Way; 3] = [Way::Direct, Way::Floor, Way::Mcpool];
}

/// The programs, and a folder for sockets.
#[derive(Debug)]
pub(crate) struct Setup {
    mcpool: PathBuf,
    pub(crate) echo_server: PathBuf,
    bare_relay: PathBuf,
    pub(crate) bare_endpoint: PathBuf,
    folder: TempDir,
    used: Cell<u32>,
}

impl Setup {
    /// `mcpool`, and what the programs of development do beside it.
    pub(crate) fn new(mcpool: PathBuf, programs: &Programs) -> anyhow::Result<Setup> {
        let folder = tempfile::Builder::new()
            .prefix("mcpool-bench-")
            .tempdir()
            .context("creating a folder")?;
        Ok(Setup {
            mcpool,
            echo_server: programs.get("echo-server")?,
            bare_relay: programs.get("bare-relay")?,
            bare_endpoint: programs.get("bare-endpoint")?,
            folder,
            used: Cell::new(0),
        })
    }

    /// The program that is measured.
    pub(crate) fn mcpool(&self) -> &Path {
        &self.mcpool
    }

    /// A path in our folder that nobody has used.
    fn path(&self, name: &str) -> PathBuf {
        self.used.set(self.used.get() + 1);
        self.folder
            .path()
            .join(format!("{name}-{}", self.used.get()))
    }

    /// A daemon to come, with a home of its own; it stops when this is dropped.
    pub(crate) fn pool(&self) -> Pool<'_> {
        Pool {
            setup: self,
            home: self.path("home"),
        }
    }

    /// The far half of the floor, with its server running.
    pub(crate) fn back(&self) -> anyhow::Result<Back<'_>> {
        let socket = self.path("socket");
        let mut command = Command::new(&self.bare_relay);
        command
            .arg("back")
            .arg(&socket)
            .arg("--")
            .arg(&self.echo_server);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let back = Back {
            setup: self,
            child,
            socket,
        };
        // A connection that ends at once is one that it serves and forgets.
        while UnixStream::connect(&back.socket).is_err() {
            ensure!(
                !shell::wait_for_end(back.child.id(), Duration::from_millis(1)),
                "{command:?} ended"
            );
        }
        Ok(back)
    }

    pub(crate) fn direct(&self) -> Command {
        Command::new(&self.echo_server)
    }
}

/// The far half of the floor; ended when dropped.
#[derive(Debug)]
pub(crate) struct Back<'a> {
    setup: &'a Setup,
    child: Child,
    socket: PathBuf,
}

impl Back<'_> {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.setup.bare_relay);
        command.arg("front").arg(&self.socket);
        command
    }
}

impl Drop for Back<'_> {
    /// Its server ends with its standard input.
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended already.
        let _ = self.child.wait();
    }
}

/// An mcpool of its own: its daemon comes with the first session.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    setup: &'a Setup,
    home: PathBuf,
}

impl Pool<'_> {
    pub(crate) fn command(&self, ballast: u32) -> Command {
        let mut command = Command::new(&self.setup.mcpool);
        command.arg("connect").arg("--home").arg(&self.home);
        // One upstream, wherever this is started.
        command
            .args(["--name", "echo", "--scope", "global", "--"])
            .arg(&self.setup.echo_server);
        if ballast > 0 {
            command.arg("--ballast").arg(ballast.to_string());
        }
        command
    }

    /// A session on one of several servers.
    pub(crate) fn command_for(&self, server: &str) -> Command {
        let mut command = self.command(0);
        // The command line tells servers apart.
        command.arg("--as").arg(server);
        command
    }

    /// A session on a server of the configuration.
    pub(crate) fn command_for_configured(&self, server: &str) -> Command {
        let mut command = Command::new(&self.setup.mcpool);
        command.arg("connect").arg("--home").arg(&self.home);
        command.arg(server);
        command
    }

    /// Its folder, which may not be there yet.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Where the daemon listens over HTTP.
    pub(crate) fn http_address(&self) -> anyhow::Result<SocketAddr> {
        let status = self.status()?;
        let address = status["daemon"]["http"]["addresses"][0].as_str();
        let address = address.and_then(|address| address.parse().ok());
        address.with_context(|| format!("nothing listens over HTTP: {status:#}"))
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> anyhow::Result<u32> {
        pid_of(&self.status()?["daemon"])
    }

    /// The processes of the servers whose command line has this word.
    pub(crate) fn servers(&self, word: &str) -> anyhow::Result<Vec<u32>> {
        let status = self.status()?;
        let upstreams = status["upstreams"].as_array().into_iter().flatten();
        let mut servers = Vec::new();
        for pid in upstreams.map(pid_of) {
            let pid = pid?;
            let line = read(&PathBuf::from(format!("/proc/{pid}/cmdline")))?;
            if line.split('\0').any(|part| part == word) {
                servers.push(pid);
            }
        }
        Ok(servers)
    }

    fn status(&self) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.setup.mcpool);
        let text = shell::output_within(
            command
                .args(["status", "--json"])
                .env("MCPOOL_HOME", &self.home),
            ANSWERS_WITHIN,
        )?;
        serde_json::from_str(&text).with_context(|| format!("reading the status {text:?}"))
    }

    /// The daemon, its guardian and the only server.
    pub(crate) fn processes(&self) -> anyhow::Result<Processes> {
        let status = self.status()?;
        let upstreams = status["upstreams"].as_array().map_or(0, Vec::len);
        ensure!(
            upstreams == 1,
            "there are {upstreams} servers, not one: {status:#}"
        );
        let server = pid_of(&status["upstreams"][0])?;
        Ok(Processes {
            daemon: pid_of(&status["daemon"])?,
            guardian: parent(server)?,
            server,
        })
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(&self.setup.mcpool);
        // If there is no daemon, there is nothing to stop.
        let _ = shell::output_within(
            command.arg("stop").env("MCPOOL_HOME", &self.home),
            ANSWERS_WITHIN,
        );
    }
}

/// The process ids of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    pub(crate) daemon: u32,
    pub(crate) guardian: u32,
    pub(crate) server: u32,
}

fn pid_of(value: &Value) -> anyhow::Result<u32> {
    let pid = value["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok());
    pid.context("no pid in the status")
}

/// Sessions of one way, and all that must live as long as they do.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    // Sessions end first.
    pub(crate) sessions: Vec<Session>,
    backs: Vec<Back<'a>>,
    pool: Option<Pool<'a>>,
}

impl<'a> Fleet<'a> {
    /// That many sessions, each greeted and each having called once.
    pub(crate) fn open(setup: &'a Setup, way: Way, count: usize) -> anyhow::Result<Fleet<'a>> {
        let mut fleet = Fleet {
            sessions: Vec::new(),
            backs: Vec::new(),
            pool: None,
        };
        for _ in 0..count {
            if way == Way::Floor {
                fleet.backs.push(setup.back()?);
            } else if way == Way::Mcpool && fleet.pool.is_none() {
                fleet.pool = Some(setup.pool());
            }
            let command = match (fleet.backs.last(), &fleet.pool) {
                (Some(back), _) => back.command(),
                (None, Some(pool)) => pool.command(0),
                (None, None) => setup.direct(),
            };
            let (mut session, _) = Session::open(command)?;
            session.call()?;
            fleet.sessions.push(session);
        }
        Ok(fleet)
    }
}

/// One of the cores that we may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core(usize);

impl Core {
    /// All of them.
    pub(crate) fn all() -> anyhow::Result<Vec<Core>> {
        let ours = sched_getaffinity(None).context("reading on which cores we may run")?;
        let cores = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core));
        Ok(cores.map(Core).collect())
    }

    /// Moves a process here that runs already, with all that it starts from now on.
    pub(crate) fn take(self, pid: u32) -> anyhow::Result<()> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process.with_context(|| format!("{pid} is no process"))?;
        sched_setaffinity(Some(process), &self.alone()).with_context(|| format!("moving {pid}"))
    }

    fn alone(self) -> CpuSet {
        let mut one = CpuSet::new();
        one.set(self.0);
        one
    }
}

/// Everything that is started by this thread while this lives runs on one core, and so does the thread.
#[derive(Debug)]
pub(crate) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    pub(crate) fn to(core: Core) -> anyhow::Result<Pinned> {
        let before = sched_getaffinity(None).context("reading on which cores we may run")?;
        sched_setaffinity(None, &core.alone()).context("choosing a core")?;
        Ok(Pinned { before })
    }

    pub(crate) fn to_one_core() -> anyhow::Result<Pinned> {
        let cores = Core::all()?;
        Pinned::to(*cores.first().context("we may run on no core")?)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before); // It was allowed before.
    }
}

fn parent(pid: u32) -> anyhow::Result<u32> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = read(&path)?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .and_then(|pid| pid.trim().parse().ok())
        .with_context(|| format!("{}: no parent", path.display()))
}

/// A file of `/proc`.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
