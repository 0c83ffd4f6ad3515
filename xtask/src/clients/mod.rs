//! `cargo xtask clients`: the agents and SDKs that people use, against an mcpool of our own.
//!
//! Each comes over stdio and over HTTP, with a server of each era behind. No agent needs a login: they are
//! asked which of their servers they reach. SDKs and the Inspector also list and call.

pub(crate) mod agents;
mod codex;
mod report;
mod scripted;
mod shown;

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use self::{
    report::{Outcome, Report, Row},
    scripted::{Driver, Era},
};
use crate::{
    build::{self, Profile},
    conformance::{daemon::Daemon, version::Fixture},
    provision::{self, Agent, Provisioned},
    scratch, shell, ui,
};

/// How long any client may take; one that waits for a server on a busy machine takes long.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only what has this text in its name, as in "codex × http × modern"
    #[arg(default_value = "")]
    filter: String,
    /// That a client cannot be installed here is no failure
    #[arg(long)]
    allow_missing: bool,
    /// Leave the folder with the homes of the clients and of the daemon
    #[arg(long)]
    keep: bool,
}

/// Who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Agent(Agent),
    Inspector(Era),
    Driver(Driver),
}

/// How it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Stdio,
    Http,
}

/// One client, on one way, to one server.
#[derive(Clone, Copy, Debug)]
struct Cell {
    client: Client,
    transport: Transport,
    fixture: Fixture,
}

/// What a client is told to talk to.
#[derive(Clone, Debug)]
enum Target {
    Command(Vec<String>),
    Url(String),
}

/// The mcpool that all of them come to.
struct Pool<'a> {
    daemon: &'a Daemon,
    mcpool: &'a Path,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    // First of all, because it is all that needs a network.
    let mut installed = Vec::new();
    for client in Client::ALL {
        let cells: Vec<Cell> = client.cells(&args.filter);
        if cells.is_empty() {
            continue;
        }
        match client.provision() {
            Ok(provisioned) => installed.push((cells, provisioned)),
            Err(error) => {
                for cell in cells {
                    report.add(cell.row(Outcome::Missing(format!("{error:#}")), Duration::ZERO));
                }
            }
        }
    }
    ensure!(
        !installed.is_empty() || !report.is_empty(),
        "there is nothing of that name"
    );
    let folder = scratch::folder("mcpool-clients-", args.keep)?;
    let programs = build::programs(&["mcpool", "xtask"], Profile::Debug)?;
    let (mcpool, server) = (programs.get("mcpool")?, programs.get("conformance-server")?);
    let daemon = Daemon::start(&mcpool, &server, "", folder.path())?;
    let pool = Pool {
        daemon: &daemon,
        mcpool: &mcpool,
    };
    for (cells, provisioned) in installed {
        for cell in cells {
            ui::progress(format!("    {}", cell.name()));
            let begun = Instant::now();
            let shown = cell.run(&pool, &provisioned, folder.path());
            let outcome = match shown {
                Ok(shown) => Outcome::Fine(shown),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            report.add(cell.row(outcome, begun.elapsed()));
        }
    }
    report.complain(daemon.end());
    ui::line(report.text());
    ensure!(
        report.is_fine(args.allow_missing),
        "not all is as it should be"
    );
    Ok(())
}

impl Client {
    const ALL: [Client; 13] = [
        Client::Agent(Agent::ClaudeCode),
        Client::Agent(Agent::Codex),
        Client::Agent(Agent::Gemini),
        Client::Agent(Agent::OpenCode),
        Client::Inspector(Era::Legacy),
        Client::Inspector(Era::Auto),
        Client::Inspector(Era::Modern),
        Client::Driver(Driver::Python1),
        Client::Driver(Driver::Python2),
        Client::Driver(Driver::FastMcp),
        Client::Driver(Driver::TypeScript1),
        Client::Driver(Driver::TypeScript2),
        Client::Driver(Driver::TypeScript2Auto),
    ];

    fn name(self) -> String {
        match self {
            Client::Agent(agent) => agent.name().to_owned(),
            Client::Inspector(era) => format!("inspector {}", era.name()),
            Client::Driver(driver) => driver.name().to_owned(),
        }
    }

    /// Over both transports to both servers, as far as the name has this text in it.
    fn cells(self, filter: &str) -> Vec<Cell> {
        let ways = [Transport::Stdio, Transport::Http].into_iter();
        let cells = ways.flat_map(|transport| {
            [Fixture::Legacy, Fixture::Modern].map(|fixture| Cell {
                client: self,
                transport,
                fixture,
            })
        });
        cells.filter(|cell| cell.name().contains(filter)).collect()
    }

    /// Installs it, if it is not installed yet.
    fn provision(self) -> anyhow::Result<Provisioned> {
        match self {
            // What it needs besides its packages is a Node that is new enough.
            Client::Agent(Agent::Gemini) => provision::provision_npm()
                .and_then(|_node| provision::provision_agent(Agent::Gemini)),
            Client::Agent(agent) => provision::provision_agent(agent),
            Client::Inspector(_) => provision::provision_node(),
            Client::Driver(driver) => match driver.python() {
                Some(python) => provision::provision_python(python),
                None => provision::provision_node(),
            },
        }
    }
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Stdio => "stdio",
            Transport::Http => "http",
        }
    }
}

impl Cell {
    fn name(self) -> String {
        format!(
            "{} × {} × {}",
            self.client.name(),
            self.transport.name(),
            self.fixture.name()
        )
    }

    fn row(self, outcome: Outcome, took: Duration) -> Row {
        Row {
            client: self.client.name(),
            transport: self.transport.name(),
            era: self.fixture.name(),
            outcome,
            took,
        }
    }

    /// Has the client do what it can; what it showed.
    fn run(
        self,
        pool: &Pool<'_>,
        provisioned: &Provisioned,
        folder: &Path,
    ) -> anyhow::Result<String> {
        let place = Place::new(&folder.join(self.name().replace(" × ", "-").replace(' ', "-")))?;
        let target = pool.target(self.transport, self.fixture.name());
        match self.client {
            Client::Agent(agent) => {
                let nobody = pool.target(self.transport, shown::NOBODY);
                let targets = [(shown::POOLED, &target), (shown::NOBODY, &nobody)];
                agents::run(agent, provisioned, &place, &targets, self.fixture)
            }
            Client::Inspector(era) => scripted::inspect(provisioned, &place, era, &target),
            Client::Driver(driver) => {
                scripted::drive(provisioned, &place, driver, &target, self.fixture)
            }
        }
    }
}

impl Pool<'_> {
    fn target(&self, transport: Transport, name: &str) -> Target {
        match transport {
            Transport::Http => Target::Url(self.daemon.url_of(name)),
            // Not by a variable: some clients pass few of theirs on.
            Transport::Stdio => {
                let home = self.daemon.home().display().to_string();
                let mcpool = self.mcpool.display().to_string();
                let words = ["connect", "--home", &home, name].map(str::to_owned);
                Target::Command([vec![mcpool], words.to_vec()].concat())
            }
        }
    }
}

/// Where one client lives: it knows of no other home.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) home: PathBuf,
    pub(crate) work: PathBuf,
    temporary: PathBuf,
}

impl Place {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Place> {
        let place = Place {
            home: folder.join("home"),
            work: folder.join("work"),
            temporary: folder.join("tmp"),
        };
        for folder in [&place.home, &place.work, &place.temporary] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(place)
    }

    /// Has the program run here, with nothing of our environment but the path, on which our Node comes first.
    pub(crate) fn settled(
        &self,
        mut command: Command,
        provisioned: &Provisioned,
    ) -> anyhow::Result<Command> {
        let node = provisioned.node().parent().map(Path::to_owned);
        let ours = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(node.into_iter().chain(env::split_paths(&ours)))
            .context("making a PATH")?;
        command.env_clear();
        command.env("PATH", path).env("LANG", "C.UTF-8");
        command
            .env("HOME", &self.home)
            .env("TMPDIR", &self.temporary);
        // Killed with all that it started, if it takes too long.
        command.current_dir(&self.work).process_group(0);
        Ok(command)
    }
}

/// Has the program run to its end.
pub(crate) fn ended(command: &mut Command) -> anyhow::Result<Output> {
    match shell::ended_within(command, PATIENCE)? {
        Some(output) => Ok(output),
        None => bail!("it did not end within {} s", PATIENCE.as_secs()),
    }
}
