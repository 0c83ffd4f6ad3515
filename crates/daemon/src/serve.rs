//! The daemon's own life: how it begins and how it ends.
//!
//! **Invariant:** whoever holds the lock is the only one who touches the socket, and neither the
//! socket nor the lock file is left behind by an end in good order.

use std::{
    env,
    io::{self, IsTerminal, Write},
    os::unix::net::{UnixListener as StdListener, UnixStream as StdStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use guardian::orphans;
use mux::{Epoch, Limits, Mux};
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, chdir, getrlimit, setrlimit, setsid, umask},
};
use shim::places::Places;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tracing::Level;

use crate::{
    admin,
    configuration::Configuration,
    front::{Descriptors, Door, Stand},
    hub::{Hub, Input, Surroundings, World},
    kept_words::Keeper,
    launch::{self, Launcher},
    link::Room,
    logs::Logs,
    observe,
    process::{Guardian, Inheritance},
    tasks, watchdog,
};

/// Inputs that may wait for the hub; then readers wait.
const INBOX: usize = 1024;

/// How long somebody who asked for the end may take to read that it has come.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// How a daemon is to run.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where everything of it lies.
    pub places: Places,
    /// Whether a shim has started it: it says `ready` on its standard output, then logs to its file.
    /// Else it logs to its standard error, and does not end by itself when nobody needs it.
    pub background: bool,
    /// The program `mcpool`, which is executed as the guardian.
    pub guardian_program: PathBuf,
}

/// Runs a daemon until it is told to stop.
///
/// Fails if its places are not safe, if another daemon holds the lock, or if the system denies it the
/// socket. Everything it has started has ended when it returns.
pub fn serve(options: ServeOptions) -> anyhow::Result<()> {
    umask(Mode::from_raw_mode(0o077));
    let ServeOptions {
        places,
        background,
        guardian_program,
    } = options;
    places.prepare()?;
    let mut stand = Stand::take(&places)?;
    chdir("/").context("changing to the folder /")?;
    orphans::adopt().context("becoming the parent of what a guardian leaves behind")?;
    if background {
        // Whoever started us may have done it already.
        let _leader = setsid();
    }
    let files = raise_file_limit();
    let (logs, log_thread) = Logs::start(places.logs.clone()).context("starting the log")?;
    let words = places.state.join("kept-words");
    let (keeper, keeper_thread) =
        Keeper::start(words).context("starting the thread for what is kept")?;
    start_tracing(background.then_some(&logs));
    let meeting_place = places.guardian_socket();
    let inheritance = Inheritance::find(&meeting_place)
        .context("taking over the servers of an earlier daemon")?;
    let listener = stand.listen()?;
    // One session's flood must not make the others wait for a whole turn of whoever else runs. Without
    // it they do, that is all.
    let _unknown_here = sys::schedule::prefer_short_turns();
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let guardian = |inbox| Guardian::new(guardian_program, meeting_place, files, inbox);
        let written = Configuration::read(places.config.clone());
        let kept = launch::daemon_idle_timeout(background, written.current().daemon.idle_timeout);
        let limits = launch::limits(&written.current().limits, kept);
        let entrance = (listener, stand);
        let (hub, arrivals, door) = assemble(
            &places.socket,
            (written, limits),
            entrance,
            (logs.clone(), keeper.clone()),
            inheritance,
            guardian,
        )?;
        watchdog::start().context("starting the watchdog")?;
        observe::listening(&places.socket);
        if background {
            say_ready().context("telling that the daemon is ready")?;
        }
        let stops = run(hub, arrivals).await;
        Ok((stops, door.await?))
    });
    // Readers and writers that are still there end here.
    drop(runtime);
    keeper.finish(keeper_thread);
    let ended = ended.and_then(|(stops, stand)| leave(stops, stand));
    logs.finish(log_thread);
    ended
}

/// Takes away what tells others where we stand, and answers those who asked for the end.
fn leave(stops: anyhow::Result<Vec<StdStream>>, stand: Option<Stand>) -> anyhow::Result<()> {
    let left = match stand {
        Some(mut stand) => stand.leave(),
        None => Err(anyhow::anyhow!("the door panicked")),
    };
    tell_end(stops?, &left);
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
fn start_tracing(background: Option<&Logs>) {
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
    let _second = match background {
        Some(logs) => {
            let logs = logs.clone();
            subscriber.with_writer(move || logs.own()).try_init()
        }
        None => subscriber.with_writer(io::stderr).try_init(),
    };
}

/// Puts the hub together with all that is around it.
fn assemble(
    socket: &Path,
    (configuration, limits): (Configuration, Limits),
    entrance: (StdListener, Stand),
    (logs, keeper): (Logs, Keeper),
    inheritance: Inheritance,
    guardian: impl FnOnce(mpsc::Sender<Input>) -> Guardian,
) -> anyhow::Result<(Hub, mpsc::Receiver<Input>, JoinHandle<Option<Stand>>)> {
    let launcher = Launcher::new(configuration, home_folder(), env::vars_os().collect());
    let (inbox, arrivals) = mpsc::channel(INBOX);
    let (open, closing) = oneshot::channel();
    let door = Door::new(
        entrance,
        closing,
        inbox.clone(),
        limits.sessions,
        Descriptors::of_limit(getrlimit(Resource::Nofile).current),
    )?;
    let door = tasks::spawn("door", door.run());
    watch_signals(&inbox)?;
    let room = Room::new(limits.buffered_bytes);
    let epoch = Epoch(inheritance.epoch);
    let world = World::new(Surroundings {
        guardian: guardian(inbox.clone()),
        inbox,
        unread: room.half(),
        room,
        limits: limits.clone(),
        launcher,
        keeper,
        logs,
        socket: socket.to_owned(),
        epoch,
        door: Some(open),
    });
    let mut hub = Hub::new(Mux::new(limits, epoch), world)?;
    hub.inherit(inheritance)?;
    Ok((hub, arrivals, door))
}

/// Runs the hub to its end; hands out those who wait to hear of that.
async fn run(hub: Hub, arrivals: mpsc::Receiver<Input>) -> anyhow::Result<Vec<StdStream>> {
    // A task of its own: waking the future that the runtime blocks on costs a system call.
    match tasks::spawn("hub", hub.run(arrivals)).await {
        // Nobody drives them any more from now on.
        Ok(Some(stops)) => Ok(stops
            .into_iter()
            .filter_map(|stop| stop.into_std().ok())
            .collect()),
        Ok(None) | Err(_) => bail!("the hub panicked"),
    }
}

/// The home folder of the user, where servers start that belong to no workspace.
fn home_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    shim::home::of_user(user).unwrap_or_else(|| PathBuf::from("/"))
}

/// Has the hub stop at TERM, INT and HUP, and hurry at another one.
fn watch_signals(inbox: &mpsc::Sender<Input>) -> anyhow::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).context("watching for signals")?;
        let inbox = inbox.clone();
        tasks::spawn("signals", async move {
            while signals.recv().await.is_some() {
                let _hub_gone = inbox.send(Input::Quit).await;
            }
        });
    }
    Ok(())
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
