//! The demonstration: the same sessions without mcpool and with it, measured.
//!
//! **Invariant:** every process that a trial starts is a child of this one, in a
//! group of its own and told to end with us, and none is left when [`run`] returns,
//! whether it was finished, failed or was interrupted.

mod child;
mod memory;
mod report;
mod session;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::Signal,
};
use shim::{
    places::Places,
    rendezvous::{self, RendezvousError, Start},
    sibling,
};
use sys::signals::Signals;

use self::session::{News, Session};
use crate::{
    commands::connect::SMALL_PROGRAM,
    ui::{Progress, Ui},
};

pub(crate) use child::Child;
pub(crate) use memory::Room;
pub(crate) use report::{Measured, Report};

/// How many steps [`run`] shows.
const STEPS: u64 = 6;

/// Longest wait for a session to say something.
const PATIENCE: Duration = Duration::from_mins(2);

/// Pause between two looks whether the daemon listens.
const PAUSE: Duration = Duration::from_millis(1);

/// What is to be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) sessions: usize,
    pub(crate) ballast_mb: usize,
}

/// Runs the whole demonstration. Call it before any thread is started.
pub(crate) fn run(plan: Plan, ui: &mut Ui) -> anyhow::Result<Report> {
    let trial = Trial::new(plan)?;
    let mut progress = Progress::new(ui, STEPS);
    let sessions = plan.sessions;

    progress.begin(
        ui,
        format!("starting {sessions} servers, one for each session"),
    );
    let direct = trial.directly()?;
    progress.begin(ui, "measuring them".into());
    let without = trial.measure(&direct, &[])?;
    progress.begin(ui, "ending them".into());
    session::end(direct);

    progress.begin(
        ui,
        format!("starting mcpool, and {sessions} sessions through it"),
    );
    let pool = Pool::start()?;
    let pooled = trial.pooled(&pool)?;
    progress.begin(ui, "measuring them".into());
    let with = trial.measure(&pooled, &[&pool.daemon])?;
    progress.begin(ui, "cleaning up".into());
    session::end(pooled);
    drop(pool);

    Ok(Report {
        schema: 1,
        sessions,
        ballast_mb: plan.ballast_mb,
        without,
        with,
    })
}

struct Trial {
    plan: Plan,
    server: PathBuf,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
}

impl Trial {
    fn new(plan: Plan) -> anyhow::Result<Self> {
        let signals = Signals::watch(&[Signal::INT, Signal::TERM, Signal::HUP])?;
        let (sender, news) = mpsc::channel();
        let of_signals = sender.clone();
        thread::spawn(move || {
            wait_for(&signals);
            // Without a receiver the trial is over.
            let _ = of_signals.send(News::Interrupted);
        });
        Ok(Trial {
            plan,
            server: env::current_exe()?,
            sender,
            news,
        })
    }

    fn server(&self) -> Command {
        let mut command = Command::new(&self.server);
        command
            .arg("sample-server")
            .arg("--ballast")
            .arg(self.plan.ballast_mb.to_string());
        command
    }

    /// As clients do it without mcpool: each session starts its own server.
    fn directly(&self) -> anyhow::Result<Vec<Session>> {
        self.open(|| (self.server(), Instant::now()))
    }

    /// The daemon's start is part of what every session waits for.
    fn pooled(&self, pool: &Pool) -> anyhow::Result<Vec<Session>> {
        let program = sibling::path(SMALL_PROGRAM)?;
        let server = self.server();
        self.open(|| {
            let mut command = Command::new(&program);
            command.arg("connect").arg("--home").arg(pool.home());
            command.arg("--").arg(server.get_program());
            command.args(server.get_args()).current_dir(&pool.project);
            (command, pool.begun)
        })
    }

    /// Starts all sessions at once and waits until each can call.
    fn open(&self, start: impl Fn() -> (Command, Instant)) -> anyhow::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for _ in 0..self.plan.sessions {
            let (command, begun) = start();
            sessions.push(Session::start(command, begun, self.sender.clone())?);
        }
        for _ in &sessions {
            match self.next()? {
                News::Ready => {}
                News::Called(_) | News::Failed(_) | News::Interrupted => {
                    bail!("a session answered what it was not asked")
                }
            }
        }
        Ok(sessions)
    }

    fn measure(&self, sessions: &[Session], others: &[&Child]) -> anyhow::Result<Measured> {
        let roots = sessions
            .iter()
            .map(|session| session.child.id())
            .chain(others.iter().map(|child| child.id()));
        let processes = memory::with_descendants(&roots.collect::<Vec<_>>());
        let pss_kb = memory::pss_kb(&processes)?;
        let mut waits: Vec<Duration> = sessions.iter().map(Session::ready_after).collect();
        let mut calls = Vec::new();
        // One after the other, so that they do not measure each other.
        for session in sessions {
            session.call()?;
            match self.next()? {
                News::Called(latencies) => calls.extend(latencies),
                News::Ready | News::Failed(_) | News::Interrupted => {
                    bail!("a session answered what it was not asked")
                }
            }
        }
        Ok(Measured {
            processes: processes.len(),
            pss_kb,
            ready_median: report::median(&mut waits),
            ready_last: waits.last().copied().unwrap_or_default(),
            call_median: report::median(&mut calls),
        })
    }

    /// The next thing that a session says; an error if it is bad news.
    fn next(&self) -> anyhow::Result<News> {
        match self.news.recv_timeout(PATIENCE) {
            Ok(News::Failed(error)) => Err(error),
            Ok(News::Interrupted) => bail!("interrupted; everything that was started is ended"),
            Ok(news @ (News::Ready | News::Called(_))) => Ok(news),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                bail!("no answer within {} s", PATIENCE.as_secs())
            }
        }
    }
}

/// Returns when one of the signals has arrived.
fn wait_for(signals: &Signals) {
    loop {
        match poll(&mut [PollFd::new(signals, PollFlags::IN)], None) {
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// A daemon with a home of its own; both are gone when this is dropped.
struct Pool {
    // Ended before the folder is removed: fields are dropped in this order.
    daemon: Child,
    folder: tempfile::TempDir,
    /// Where the sessions run: a folder that can be their workspace.
    project: PathBuf,
    /// When the daemon was started.
    begun: Instant,
}

impl Pool {
    fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("mcpool-try-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let project = folder.path().join("project");
        fs::create_dir(&project)?;
        let home = folder.path().join("home");
        let places = Places::find(Some(&home))?;
        let log = folder.path().join("serve.log");
        let begun = Instant::now();
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["serve", "--home"])
            .arg(&home)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?);
        let mut pool = Pool {
            daemon: Child::start(command)?,
            folder,
            project,
            begun,
        };
        pool.wait_until_it_listens(&places)
            .with_context(|| last_words(&log))?;
        Ok(pool)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn wait_until_it_listens(&mut self, places: &Places) -> anyhow::Result<()> {
        let deadline = self.begun + PATIENCE;
        loop {
            match rendezvous::connect(places, Start::Never) {
                Ok(_) => return Ok(()),
                Err(RendezvousError::NotRunning) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            if self.daemon.has_ended()? {
                bail!("the daemon ended");
            }
            thread::sleep(PAUSE);
        }
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or("it said nothing");
    format!("starting a daemon for the demonstration ({last})")
}
