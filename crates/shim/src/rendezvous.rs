//! Finds the daemon, and starts one if there is none.
//!
//! The way in is to connect to the socket that the lock file names; whether a daemon
//! answers there is the only thing that counts, so no file that a crash left behind
//! is in the way. If none answers, one of those who want in takes the start lock and
//! starts it; the others go on trying to connect.
//!
//! **Invariant:** the peer of a connection that is returned has our own user id: a
//! preface carries the environment, with everybody's tokens.

use std::{
    error, fmt,
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{SocketAddrUnix, connect as connect_to, sockopt},
};

use crate::{
    lock,
    places::{Places, PlacesError},
    sibling, start,
};

/// How long a daemon may take until it listens: what is asked for then is still answered before clients
/// give a session up, which is after 30 s.
pub(crate) const STARTS_WITHIN: Duration = Duration::from_secs(25);

/// How long a busy daemon that runs may take until it lets us in.
const LETS_IN_WITHIN: Duration = Duration::from_secs(10);

/// The first and the longest pause between two attempts while somebody else starts
/// the daemon.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// What to do if no daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Start one.
    IfNeeded,
    /// Tell so.
    Never,
}

/// Why there is no way in.
#[derive(Debug)]
pub enum RendezvousError {
    /// There is no place for a daemon.
    Places(PlacesError),
    /// None runs, and none was to be started.
    NotRunning,
    /// One holds the lock and does not answer.
    NotAnswering {
        /// Its process id, if it announced one.
        pid: Option<u32>,
        /// Where its log is.
        log: PathBuf,
    },
    /// The socket cannot be used.
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another user listens there.
    Stranger {
        /// The socket.
        socket: PathBuf,
        /// Who listens.
        user: u32,
    },
    /// A lock file cannot be used.
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon's program is not where it has to be.
    NoProgram(io::Error),
    /// The daemon's program cannot be executed.
    CannotStart {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon ended before it was ready.
    Died {
        /// What it said.
        words: String,
        /// Where its log is.
        log: PathBuf,
    },
    /// The daemon neither got ready nor ended.
    NotReady {
        /// Where its log is.
        log: PathBuf,
    },
}

impl fmt::Display for RendezvousError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RendezvousError::Places(error) => error.fmt(f),
            RendezvousError::NotRunning => {
                f.write_str("the daemon is not running; `mcpool serve` starts it")
            }
            RendezvousError::NotAnswering { pid, log } => {
                f.write_str("the daemon ")?;
                if let Some(pid) = pid {
                    write!(f, "(process {pid}) ")?;
                }
                write!(f, "runs but does not answer; see {}", log.display())
            }
            RendezvousError::Connect { socket, source } => {
                write!(f, "cannot connect to {}: {source}", socket.display())
            }
            RendezvousError::Stranger { socket, user } => write!(
                f,
                "user {user} listens at {}; mcpool will not tell them anything",
                socket.display()
            ),
            RendezvousError::Lock { path, source } => {
                write!(f, "cannot use the lock file {}: {source}", path.display())
            }
            RendezvousError::NoProgram(source) => write!(f, "cannot start the daemon: {source}"),
            RendezvousError::CannotStart { program, source } => write!(
                f,
                "cannot start the daemon {}: {source}; try `mcpool serve`",
                program.display()
            ),
            RendezvousError::Died { words, log } => {
                f.write_str("the daemon could not start")?;
                if !words.is_empty() {
                    write!(f, ": {words}")?;
                }
                write!(f, " (try `mcpool serve`; log: {})", log.display())
            }
            RendezvousError::NotReady { log } => write!(
                f,
                "the daemon was not ready in time; try `mcpool serve`; log: {}",
                log.display()
            ),
        }
    }
}

// Its words have those of what caused it in them.
impl error::Error for RendezvousError {}

impl From<PlacesError> for RendezvousError {
    fn from(error: PlacesError) -> Self {
        RendezvousError::Places(error)
    }
}

/// Connects to the daemon of these places.
///
/// A daemon that is started is the program [`sibling::DAEMON`] beside this one.
/// Returns within about 10 s if one runs, and within 25 s if one has to be started.
pub fn connect(places: &Places, start: Start) -> Result<UnixStream, RendezvousError> {
    let patience = match start {
        Start::Never => LETS_IN_WITHIN,
        Start::IfNeeded => STARTS_WITHIN,
    };
    connect_by(places, start, Instant::now() + patience)
}

/// As [`connect`], but returns about when this moment has come.
pub(crate) fn connect_by(
    places: &Places,
    start: Start,
    deadline: Instant,
) -> Result<UnixStream, RendezvousError> {
    match start {
        Start::Never => connect_to_running(places, deadline),
        Start::IfNeeded => start_if_needed(places, deadline, || {
            sibling::path(sibling::DAEMON).map_err(RendezvousError::NoProgram)
        }),
    }
}

/// As [`connect`] with [`Start::IfNeeded`], but says itself what the daemon's program
/// is, if one is to be started, and when it gives up.
pub fn start_if_needed(
    places: &Places,
    deadline: Instant,
    program: impl Fn() -> Result<PathBuf, RendezvousError>,
) -> Result<UnixStream, RendezvousError> {
    if let Some(stream) = try_connect(places, deadline)? {
        return Ok(stream);
    }
    places.prepare()?;
    let path = places.start_lock();
    let failed = |source| RendezvousError::Lock {
        path: path.clone(),
        source,
    };
    let start_lock = lock::open_to_lock(&path).map_err(failed)?;
    let mut attempts = Attempts::until(deadline);
    loop {
        let is_mine = lock::try_for(&start_lock, Duration::ZERO).map_err(failed)?;
        // Also with the lock in hand: the one who had it before may have been quick.
        if let Some(stream) = try_connect(places, deadline)? {
            if is_mine {
                // Nothing is left behind. Whoever opened it before still gets its lock, and
                // finds the daemon; whoever makes a new one does so at once.
                let _gone_already = fs::remove_file(&path);
            }
            return Ok(stream);
        }
        if is_mine && Instant::now() < deadline && !is_held(places)? {
            match start::start(places, &program()?, deadline) {
                // Another one came first, by hand for instance.
                Err(RendezvousError::Died { .. }) if is_held(places)? => {}
                // It lives, and may have servers already.
                Err(RendezvousError::NotReady { .. }) if is_held(places)? => {
                    return Err(not_answering(places));
                }
                other => other?,
            }
        }
        attempts.pause(places)?;
    }
}

/// Keeps everybody from starting a daemon, for as long as it lives; they wait.
#[derive(Debug)]
pub struct NobodyStarts {
    path: PathBuf,
    /// Held locked.
    _lock: File,
}

impl NobodyStarts {
    /// Waits for whoever is just starting one, as long as that may take.
    pub fn hold(places: &Places) -> Result<Self, RendezvousError> {
        places.prepare()?;
        let path = places.start_lock();
        let failed = |source| RendezvousError::Lock {
            path: path.clone(),
            source,
        };
        let lock = lock::open_to_lock(&path).map_err(failed)?;
        if !lock::try_for(&lock, STARTS_WITHIN).map_err(failed)? {
            let log = places.daemon_log();
            return Err(RendezvousError::NotReady { log });
        }
        Ok(NobodyStarts { path, _lock: lock })
    }
}

impl Drop for NobodyStarts {
    fn drop(&mut self) {
        // Whoever waits for it has it open, and gets its lock.
        let _gone_already = fs::remove_file(&self.path);
    }
}

fn connect_to_running(places: &Places, deadline: Instant) -> Result<UnixStream, RendezvousError> {
    let mut attempts = Attempts::until(deadline);
    loop {
        if let Some(stream) = try_connect(places, deadline)? {
            return Ok(stream);
        }
        // One that holds the lock and does not listen is just starting or stopping.
        if !is_held(places)? {
            return Err(RendezvousError::NotRunning);
        }
        attempts.pause(places)?;
    }
}

/// Growing pauses, and an end to them.
struct Attempts {
    deadline: Instant,
    pause: Duration,
}

impl Attempts {
    fn until(deadline: Instant) -> Self {
        Attempts {
            deadline,
            pause: PAUSE.0,
        }
    }

    fn pause(&mut self, places: &Places) -> Result<(), RendezvousError> {
        if Instant::now() >= self.deadline {
            return Err(if is_held(places)? {
                not_answering(places)
            } else {
                // Somebody else is just starting it.
                let log = places.daemon_log();
                RendezvousError::NotReady { log }
            });
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

fn not_answering(places: &Places) -> RendezvousError {
    RendezvousError::NotAnswering {
        pid: lock::announced(&places.lock).map(|holder| holder.pid),
        log: places.daemon_log(),
    }
}

fn is_held(places: &Places) -> Result<bool, RendezvousError> {
    lock::holder(&places.lock)
        .map(|held| held.is_some())
        .map_err(|source| RendezvousError::Lock {
            path: places.lock.clone(),
            source,
        })
}

/// `None` if nobody listens.
fn try_connect(places: &Places, deadline: Instant) -> Result<Option<UnixStream>, RendezvousError> {
    if let Some(holder) = lock::announced(&places.lock)
        && holder.socket != places.socket
        && let Some(stream) = try_socket(places, &holder.socket, deadline)?
    {
        return Ok(Some(stream));
    }
    places.check_socket()?;
    try_socket(places, &places.socket, deadline)
}

fn try_socket(
    places: &Places,
    path: &Path,
    deadline: Instant,
) -> Result<Option<UnixStream>, RendezvousError> {
    let failed = |errno: Errno| RendezvousError::Connect {
        socket: path.to_path_buf(),
        source: errno.into(),
    };
    let socket = match open(path, left_until(deadline)) {
        Ok(socket) => socket,
        // No file, nobody behind it, no socket at all: leftovers of every kind.
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR | Errno::PROTOTYPE) => {
            return Ok(None);
        }
        // Its queue of callers was full all the time.
        Err(Errno::AGAIN) => return Err(not_answering(places)),
        Err(errno) => return Err(failed(errno)),
    };
    let user = sys::peer::user(&socket).map_err(|source| RendezvousError::Connect {
        socket: path.to_path_buf(),
        source,
    })?;
    if user != rustix::process::geteuid().as_raw() {
        return Err(RendezvousError::Stranger {
            socket: path.to_path_buf(),
            user,
        });
    }
    Ok(Some(UnixStream::from(socket)))
}

/// How long the system may keep us waiting until then; never nothing, which would be for ever.
pub(crate) fn left_until(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.max(Duration::from_millis(1))
}

fn open(path: &Path, patience: Duration) -> rustix::io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = sys::socket::stream()?;
    // A daemon whose queue of callers is full makes us wait, but not for ever.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    loop {
        match connect_to(&socket, &address) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, None)?;
    Ok(socket)
}
