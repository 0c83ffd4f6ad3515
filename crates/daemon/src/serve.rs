//! The daemon's own life: how it begins and how it ends.
//!
//! **Invariant:** whoever holds the lock is the only one who touches the socket, and neither the
//! socket nor the lock file is left behind by an end in good order.

mod activation;
mod beginning;
mod daemon;
mod endings;
mod epoch;
mod run_file;

use std::{
    env,
    io::{self, IsTerminal, Write},
    net::TcpListener,
    os::{fd::RawFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use guardian::orphans;
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, chdir, getrlimit, setrlimit, setsid, umask},
};
use shim::places::Places;
use tokio::runtime::{Builder, Runtime};
use tracing::Level;

pub use self::activation::{HTTP as PASSED_FOR_HTTP, SESSIONS as PASSED_FOR_SESSIONS};
pub(crate) use self::daemon::home_folder;
use self::{
    activation::Passed,
    beginning::Beginning,
    daemon::{Daemon, HttpWish, Plan},
};
use crate::{
    admin,
    configuration::Configuration,
    front::{Stand, at_port},
    hub::Rests,
    kept_sessions::Rows,
    kept_words::Keeper,
    launch,
    logs::Logs,
    observe,
    upgrade::Successor,
    watchdog,
};

/// How long somebody who asked for the end may take to read that it has come.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// How a daemon is to run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where everything of it lies.
    pub places: Places,
    /// Who has started it.
    pub started_by: StartedBy,
    /// The program `mcpool`, which is executed as the guardian.
    pub guardian_program: PathBuf,
    /// The number of the descriptor with the state of the daemon whose place this program takes, in the
    /// same process.
    pub thaw: Option<RawFd>,
    /// The port where it listens over HTTP, whatever the configuration says; it does not serve if it cannot.
    pub port: Option<u16>,
}

/// Who has started a daemon, and so what they want of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    /// A person: it logs to its standard error, and does not end by itself.
    Person,
    /// A shim: it says `ready` on its standard output, logs to its file, and ends after a while in which nobody
    /// needs it.
    Shim,
    /// A service manager, which may listen for it, and hears when it is ready: it logs to its file, and ends by
    /// itself only if the configuration says when.
    ServiceManager,
}

impl StartedBy {
    /// Whether its log is a file.
    fn logs_to_file(self) -> bool {
        match self {
            StartedBy::Person => false,
            StartedBy::Shim | StartedBy::ServiceManager => true,
        }
    }

    /// A service manager also hears it of a program that is not new, and has taken the place of another.
    fn hears_that_we_serve(self, is_new: bool) -> anyhow::Result<()> {
        match self {
            StartedBy::Shim if is_new => say_ready().context("telling that the daemon is ready")?,
            StartedBy::ServiceManager => activation::tell_ready(),
            StartedBy::Person | StartedBy::Shim => {}
        }
        Ok(())
    }

    fn hears_that_we_end(self) {
        match self {
            StartedBy::ServiceManager => activation::tell_stopping(),
            StartedBy::Person | StartedBy::Shim => {}
        }
    }
}

/// How this program came to be the daemon.
enum Origin {
    /// It was started, and has taken the lock; with sockets for HTTP, if a service manager listens there.
    Started(Stand, Vec<TcpListener>),
    /// It takes the place of another, whose state is at this descriptor.
    Upgraded(RawFd),
}

impl Origin {
    /// Takes the lock, unless another program has left it to us with its state.
    fn find(thaw: Option<RawFd>, started_by: StartedBy, places: &Places) -> anyhow::Result<Self> {
        if let Some(state) = thaw {
            return Ok(Origin::Upgraded(state));
        }
        let passed = match started_by {
            StartedBy::ServiceManager => activation::take()?,
            StartedBy::Person | StartedBy::Shim => Passed::default(),
        };
        let stand = Stand::take(places, passed.sessions)?;
        Ok(Origin::Started(stand, passed.http))
    }
}

/// Runs a daemon until it is told to stop.
///
/// Fails if its places are not safe, if a person starts it with a configuration that cannot be used, if another
/// daemon holds the lock, or if the system denies it the socket or the port that was said. Everything it has
/// started has ended when it returns. When it is upgraded it does not return: another program goes on with
/// everything.
pub fn serve(options: ServeOptions) -> anyhow::Result<()> {
    umask(Mode::from_raw_mode(0o077));
    let ServeOptions {
        places,
        started_by,
        guardian_program,
        thaw,
        port,
    } = options;
    places.prepare()?;
    if started_by == StartedBy::Person && thaw.is_none() {
        refuse_unusable(&places)?;
    }
    // Before anything can be put in its place.
    let successor = Successor::of_this_program(&places, started_by)?;
    let origin = Origin::find(thaw, started_by, &places)?;
    chdir("/").context("changing to the folder /")?;
    orphans::adopt().context("becoming the parent of what a guardian leaves behind")?;
    if started_by == StartedBy::Shim {
        // Whoever started us may have done it already.
        let _leader = setsid();
    }
    let files = raise_file_limit();
    let (logs, log_thread) = Logs::start(places.logs.clone()).context("starting the log")?;
    let words = places.state.join("kept-words");
    let (keeper, keeper_thread) =
        Keeper::start(words).context("starting the thread for what is kept")?;
    let (rows, rows_thread) = Rows::start(places.state.join("sessions"))
        .context("starting the thread for sessions over HTTP")?;
    start_tracing(started_by.logs_to_file().then_some(&logs));
    let beginning = match origin {
        Origin::Started(stand, http) => Beginning::afresh((stand, http), files, &places)?,
        Origin::Upgraded(state) => match Beginning::resumed(state, &places) {
            Ok(beginning) => beginning,
            Err(error) => {
                observe::not_resumed(&error);
                logs.finish(log_thread);
                return Err(error);
            }
        },
    };
    // One session's flood must not make the others wait for a whole turn of whoever else runs. Without
    // it they do, that is all.
    let _unknown_here = sys::schedule::prefer_short_turns();
    let rests = Rests::new();
    let runtime = start_runtime(&rests).context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let written = Configuration::read(places.config.clone());
        let kept = launch::daemon_idle_timeout(started_by, written.current().daemon.idle_timeout);
        let limits = launch::limits(&written.current().limits, kept);
        let plan = Plan {
            guardian_program,
            places: places.clone(),
            http: http_at(port, &written),
            successor,
            limits,
            logs: logs.clone(),
            keeper: keeper.clone(),
            rows: rows.clone(),
            rests,
        };
        let is_new = thaw.is_none();
        let daemon = Daemon::assemble(plan, written, beginning)?;
        watchdog::start().context("starting the watchdog")?;
        observe::listening(&places.socket);
        started_by.hears_that_we_serve(is_new)?;
        daemon.run().await
    });
    started_by.hears_that_we_end();
    // Readers and writers that are still there end here.
    drop(runtime);
    keeper.finish(keeper_thread);
    rows.finish(rows_thread);
    let ended = ended.and_then(|(stops, stand)| leave(stops, stand));
    logs.finish(log_thread);
    ended
}

/// Whoever starts a daemon by hand is there to mend its file, such as an address that is open to other machines
/// without TLS. Sessions that start one in passing need it for what they bring themselves, and so it serves
/// them without what the file says, and `status` tells why.
fn refuse_unusable(places: &Places) -> anyhow::Result<()> {
    match Configuration::read(places.config.clone()).error() {
        Some(error) => Err(anyhow::anyhow!("{error}")),
        None => Ok(()),
    }
}

/// What is configured of HTTP, at this port if there is one.
fn http_at(port: Option<u16>, written: &Configuration) -> HttpWish {
    let mut configured = written.current().http.clone();
    if let Some(port) = port {
        configured.listen = Some(at_port(port));
    }
    HttpWish {
        configured,
        is_needed: port.is_some(),
    }
}

/// One for this thread, which says when it rests.
fn start_runtime(rests: &Rests) -> io::Result<Runtime> {
    let (before, after) = (rests.clone(), rests.clone());
    Builder::new_current_thread()
        // Many who call at once are noticed so few at a time that what was read of each is still near at hand when
        // it is decided on, and the next are looked for when that is done: a thousand sessions cost a tenth less.
        .max_io_events_per_tick(64)
        // A flood is no reason for less, as its reader goes on only when others have been noticed.
        .event_interval(128)
        .enable_io()
        .enable_time()
        .on_thread_park(move || before.begin())
        .on_thread_unpark(move || after.end())
        .build()
}

/// Takes away what tells others where we stand, and answers those who asked for the end.
fn leave(stops: Vec<StdStream>, stand: Option<Stand>) -> anyhow::Result<()> {
    let left = match stand {
        Some(mut stand) => stand.leave(),
        None => Err(anyhow::anyhow!("the door panicked")),
    };
    tell_end(stops, &left);
    left
}

/// Lets us have as many sessions as the system allows; says what it was before.
fn raise_file_limit() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // With the limit as it was there is room for fewer.
    let _refused = setrlimit(Resource::Nofile, raised);
    before
}

/// `MCPOOL_LOG=debug` shows more, to those who run the daemon in a terminal.
fn start_tracing(file: Option<&Logs>) {
    let level = if env::var_os("MCPOOL_LOG").is_some_and(|level| level == "debug") {
        Level::DEBUG
    } else {
        Level::INFO
    };
    let subscriber = tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(false)
        .with_max_level(level);
    // A second daemon in one process, as in tests, logs where the first does.
    let _second = match file {
        Some(logs) => {
            let logs = logs.clone();
            subscriber.with_writer(move || logs.own()).try_init()
        }
        None => subscriber.with_writer(io::stderr).try_init(),
    };
}

/// Tells whoever started us, and lets go of the pipe to them.
fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    if !stdout.is_terminal() {
        // If it has gone meanwhile, others wait for us still.
        let _gone = stdout.write_all(b"ready\n").and_then(|()| stdout.flush());
    }
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(())
}

/// Answers those who asked for the end, now that it has come.
fn tell_end(stops: Vec<StdStream>, ended: &anyhow::Result<()>) {
    let answer = match ended {
        Ok(()) => admin::Answer::Ok(admin::Outcome::Stopped { stopped: true }),
        Err(error) => admin::Answer::Error(format!("{error:#}")),
    };
    let line = answer.to_line();
    for stop in stops {
        // Whoever does not read it has lost nothing.
        let _gone = tell(&stop, &line);
    }
}

fn tell(mut stop: &StdStream, line: &str) -> io::Result<()> {
    stop.set_nonblocking(false)?;
    stop.set_write_timeout(Some(FAREWELL_PATIENCE))?;
    stop.write_all(line.as_bytes())
}
