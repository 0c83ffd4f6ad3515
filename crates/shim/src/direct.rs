//! A server that a session runs itself, as no daemon can be had.
//!
//! It is the last resort, and unshared: one session per server that would have been
//! shared holds a lock, and its server holds it after it; the others are told why they
//! get none. A daemon that comes later can see which servers run so.
//!
//! Whatever the server starts inherits the lock as well, and may outlive it. So the lock also says who
//! the processes are that count; when all of them have ended, it is as if nobody held it.
//!
//! **Invariant:** the name of a lock follows from the session's ask alone (of a configured server also from
//! what the configuration says of it), not from what is found where somebody looks, and in the same way in
//! every version: shims and daemons of several versions may look, inside of a sandbox and outside. So
//! does the meaning of its first four lines; those behind them each name a process that counts, and one
//! without them, of an older version, is held for as long as it is locked.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process::{self, Command},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{fs::OFlags, io::FdFlags};
use sys::birth::Birth;

use crate::{
    connect::report,
    fields, lock,
    meet::{NotMet, is_silence},
    places::Places,
    preface::SessionAsk,
    rendezvous::RendezvousError,
    scope::Scope,
    sibling,
};

/// More than anybody writes into a lock.
const CONTENT_MAX: u64 = 8 * 1024;

/// Longest name of a lock, in bytes.
const NAME_MAX: usize = 64;

/// What a session does if no daemon can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDaemonFailure {
    /// It runs the server itself, if nobody else does who would share it.
    #[default]
    Direct,
    /// It fails.
    Error,
}

/// The text is none of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAChoice;

impl FromStr for OnDaemonFailure {
    type Err = NotAChoice;

    fn from_str(text: &str) -> Result<Self, NotAChoice> {
        match text {
            "direct" => Ok(OnDaemonFailure::Direct),
            "error" => Ok(OnDaemonFailure::Error),
            _ => Err(NotAChoice),
        }
    }
}

/// A server that runs without a daemon. Empty and 0 is what its session has not said yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// Its process id. For people; never a thing to send a signal to.
    pub pid: u32,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// What the session calls it.
    pub server: String,
    /// Why there was no daemon.
    pub cause: String,
}

/// Why a session cannot run its server itself.
#[derive(Debug)]
pub(crate) enum NotDirect {
    /// Another session does so.
    Taken,
    /// The lock cannot be used.
    Lock { path: PathBuf, source: io::Error },
    /// The program that reads the configuration is not there.
    NoReader,
    /// That program does not say what the server is; this is why.
    Unknown(String),
}

impl fmt::Display for NotDirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not run unshared either: ")?;
        match self {
            NotDirect::Taken => f.write_str("another session runs it already"),
            NotDirect::Lock { path, source } => {
                write!(f, "cannot use the lock {}: {source}", path.display())
            }
            NotDirect::NoReader => {
                write!(f, "only {} reads the configuration", sibling::DAEMON)
            }
            NotDirect::Unknown(why) => f.write_str(why),
        }
    }
}

/// What the lock of a server is called: equal for two sessions that would share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockName(String);

impl LockName {
    /// That of the server of this ask, by its command; `None` if it has none, or is shared with nobody.
    ///
    /// The environment of the ask counts where it passes variables by their names.
    pub fn of_command(ask: &SessionAsk) -> Option<Self> {
        key(ask, &ask.env).map(LockName::of_key)
    }

    /// That of a configured server, by all of its share key that is said and not found.
    ///
    /// No command has a lock of such a name.
    pub fn of_configured(said: &[u8]) -> Self {
        let mut hash = Hash::new();
        for byte in said {
            hash.byte(*byte);
        }
        LockName(format!("configured-{:016x}", hash.0))
    }

    fn of_key(key: u64) -> Self {
        LockName(format!("{key:016x}"))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What somebody says to be one; `None` if it would lead out of the folder of the locks.
    pub(crate) fn said(name: &[u8]) -> Option<Self> {
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let is_name = !name.is_empty() && name.len() <= NAME_MAX && name.iter().all(is_harmless);
        let name = str::from_utf8(name).ok().filter(|_| is_name)?;
        Some(LockName(name.to_owned()))
    }
}

/// Where the locks of one installation lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locks {
    folder: PathBuf,
}

impl Locks {
    /// Those of these places.
    pub fn of(places: &Places) -> Self {
        Locks {
            folder: places.state.join("direct"),
        }
    }

    /// The lock of this name, which a session holds that runs the server itself.
    pub fn path(&self, name: &LockName) -> PathBuf {
        self.folder.join(format!("{}.lock", name.0))
    }

    /// All servers that run without a daemon, the oldest first.
    pub fn running(&self) -> io::Result<Vec<Direct>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            all.extend(holder(&entry?.path())?);
        }
        all.sort_by_key(|direct| direct.since);
        Ok(all)
    }
}

/// Who holds this lock, if anybody does: then no second of its server may be started.
pub fn holder(lock: &Path) -> io::Result<Option<Direct>> {
    let content = is_locked(lock)?.filter(|content| !is_abandoned(content));
    Ok(content.map(|content| parse(&content).unwrap_or_default()))
}

/// Whether all that are said to count have ended: what has it still open is some helper of theirs.
fn is_abandoned(content: &str) -> bool {
    let mut named = content.split_inclusive('\n').skip(4).peekable();
    // One that is just being written has no end yet.
    let is_over = |line: &str| {
        let birth = line.strip_suffix('\n').and_then(Birth::parse);
        birth.is_some_and(|birth| birth.is_over())
    };
    named.peek().is_some() && named.all(is_over)
}

/// Whether it may be run so: no daemon lives that could still have servers, as far as that is known.
pub(crate) fn is_for_want_of_a_daemon(cause: &NotMet) -> bool {
    match cause {
        NotMet::Rendezvous(error) => match error {
            RendezvousError::Places(_)
            | RendezvousError::Lock { .. }
            | RendezvousError::NoProgram(_)
            | RendezvousError::CannotStart { .. }
            | RendezvousError::Died { .. }
            | RendezvousError::NotReady { .. } => true,
            RendezvousError::NotRunning
            | RendezvousError::NotAnswering { .. }
            | RendezvousError::Connect { .. }
            | RendezvousError::Stranger { .. } => false,
        },
        NotMet::Preface(_) => false,
        // One that hangs up has ended; one that is silent has not.
        NotMet::NoAnswer(None) => true,
        NotMet::NoAnswer(Some(source)) => !is_silence(source),
    }
}

/// Claims the right to run the command of this ask, until every process that has the
/// descriptor has ended: it stays open when another program takes this process over.
pub(crate) fn claim(
    places: &Places,
    ask: &SessionAsk,
    cause: &str,
) -> Result<Option<File>, NotDirect> {
    let env: Vec<_> = env::vars_os().collect();
    match key(ask, &env).map(LockName::of_key) {
        Some(name) => claim_name(places, &name, &ask.server, cause).map(Some),
        None => Ok(None),
    }
}

/// The same by the name of the lock.
pub(crate) fn claim_name(
    places: &Places,
    name: &LockName,
    server: &str,
    cause: &str,
) -> Result<File, NotDirect> {
    let path = Locks::of(places).path(name);
    take(places, &path, server, cause)
        .map_err(|source| NotDirect::Lock { path, source })?
        .ok_or(NotDirect::Taken)
}

fn take(places: &Places, path: &Path, server: &str, cause: &str) -> io::Result<Option<File>> {
    places.prepare().map_err(io::Error::other)?;
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(Locks::of(places).folder)?;
    let mut taken = lock_at(path)?;
    if taken.is_none() && remove_abandoned(&Locks::of(places).folder, path)? {
        taken = lock_at(path)?;
    }
    let Some(mut file) = taken else {
        return Ok(None);
    };
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().as_secs();
    let (pid, cause) = (process::id(), cause.replace('\n', " "));
    let content = format!("{pid}\n{since}\n{server}\n{cause}\n");
    file.set_len(0)?;
    // In one go, as somebody may be reading.
    file.write_all((content + &line_of(pid)).as_bytes())?;
    Ok(Some(file))
}

/// Adds a process to those that count for a lock that is ours.
pub(crate) fn add(mut lock: &File, pid: u32) -> io::Result<()> {
    lock.write_all(line_of(pid).as_bytes())
}

/// Nothing if it cannot be said who it is; without any line the lock counts for as long as it is locked.
fn line_of(pid: u32) -> String {
    match Birth::of(pid) {
        Ok(Some(birth)) => format!("{birth}\n"),
        Ok(None) | Err(_) => String::new(),
    }
}

/// Locks the file that this path names.
fn lock_at(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = lock::open_to_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Another may have removed it meanwhile, and then nobody else sees this lock.
        if lock::is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Removes a lock that is held by nobody who counts; returns whether there was one.
///
/// Only one at a time does so, or the second would remove what the first has made in its place.
fn remove_abandoned(folder: &Path, path: &Path) -> io::Result<bool> {
    let folder = File::open(folder)?;
    folder.lock()?;
    let is_it = is_locked(path)?.is_some_and(|content| is_abandoned(&content));
    if is_it {
        fs::remove_file(path)?;
    }
    Ok(is_it)
}

/// Says to whoever reads our standard error, and in the daemon's log, that this server runs without it.
/// `beside` is what else the former should know.
pub(crate) fn tell(places: &Places, server: &str, cause: &str, beside: &str) {
    report(&format_args!(
        "{cause}; running `{server}` unshared, without mcpool{beside}"
    ));
    // If that cannot be written, it has been said.
    let _ = log(places, server, cause);
}

/// Says in the daemon's log that it is missed.
fn log(places: &Places, server: &str, cause: &str) -> io::Result<()> {
    let text = format!(
        "mcpool connect: no daemon can be had ({cause}); process {} runs `{server}` itself\n",
        process::id()
    );
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(places.daemon_log())?
        .write_all(text.as_bytes())
}

/// The command of this ask, with the variables that it names.
pub(crate) fn command(program: &OsStr, ask: &SessionAsk) -> Command {
    let mut command = Command::new(program);
    command.args(ask.command.iter().skip(1));
    if let Some(directory) = &ask.directory {
        command.current_dir(directory);
    }
    for pass in &ask.pass {
        // A bare name is in our environment already, or nowhere.
        if let Some((name, value)) = assignment(pass) {
            command.env(name, value);
        }
    }
    command
}

fn assignment(pass: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let (name, value) = fields::halves(pass.as_bytes())?;
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

/// What two sessions have in common that would share the server of a command; `None` for
/// one that shares with nobody, or that names no command.
///
/// It is the share key as far as it follows from the ask: FNV-1a, 64 bits, over the
/// command line, the passed variables with their values, the workspace unless the scope
/// is `global`, and the folder in which it starts; each ended by a NUL, and each kind by another. Of the program only
/// its own name counts: one session finds it by its `PATH`, and another is told where it is.
fn key(ask: &SessionAsk, env: &[(OsString, OsString)]) -> Option<u64> {
    let [program, arguments @ ..] = ask.command.as_slice() else {
        return None;
    };
    if ask.scope == Some(Scope::Session) {
        return None;
    }
    let mut hash = Hash::new();
    hash.part(Path::new(program).file_name().unwrap_or(program));
    for argument in arguments {
        hash.part(argument);
    }
    hash.end();
    for (name, value) in passed(&ask.pass, env) {
        hash.part(name);
        hash.part(value);
    }
    hash.end();
    if ask.scope != Some(Scope::Global)
        && let Some(workspace) = &ask.workspace
    {
        hash.part(workspace.path.as_os_str());
    }
    if let Some(directory) = &ask.directory {
        hash.end();
        hash.part(directory.as_os_str());
    }
    Some(hash.0)
}

/// The variables that the server gets. `NAME=VALUE` wins over the environment; of a name that stands there
/// twice, the first.
fn passed<'a>(
    words: &'a [OsString],
    env: &'a [(OsString, OsString)],
) -> BTreeMap<&'a OsStr, &'a OsStr> {
    let mut variables = BTreeMap::new();
    let by_name = words.iter().filter(|word| assignment(word).is_none());
    for (name, value) in by_name.flat_map(|word| named(word, env)) {
        variables.entry(name).or_insert(value);
    }
    variables.extend(words.iter().filter_map(|word| assignment(word)));
    variables
}

/// The variables of this name; of a pattern, those that begin like it.
fn named<'a>(
    pass: &'a OsStr,
    env: &'a [(OsString, OsString)],
) -> impl Iterator<Item = (&'a OsStr, &'a OsStr)> {
    let bytes = pass.as_bytes();
    let star = memchr::memchr(b'*', bytes);
    env.iter()
        .filter(move |(name, _)| match star {
            Some(star) => name.as_bytes().starts_with(&bytes[..star]),
            None => name == pass,
        })
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
}

struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Hash(0xCBF2_9CE4_8422_2325)
    }

    fn part(&mut self, part: &OsStr) {
        for byte in part.as_bytes() {
            self.byte(*byte);
        }
        self.end();
    }

    fn end(&mut self) {
        self.byte(0);
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
}

/// What stands in the lock, if somebody holds it.
fn is_locked(path: &Path) -> io::Result<Option<String>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut content = Vec::new();
    file.take(CONTENT_MAX).read_to_end(&mut content)?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

fn parse(content: &str) -> Option<Direct> {
    let mut lines = content.lines();
    Some(Direct {
        pid: lines.next()?.parse().ok()?,
        since: lines.next()?.parse().ok()?,
        server: lines.next()?.to_owned(),
        cause: lines.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests;
