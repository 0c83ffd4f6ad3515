//! A server that a session runs itself, as no daemon can be had.
//!
//! It is the last resort, and unshared: one session per server that would have been
//! shared holds a lock, and its server holds it after it; the others are told why they
//! get none. A daemon that comes later can see which servers run so.
//!
//! Whatever the server starts inherits the lock as well, and may outlive it. So the lock also says who
//! the processes are that count; when all of them have ended, it is as if nobody held it.
//!
//! **Invariant:** the name of a lock follows from the session's ask alone, and in the
//! same way in every version: shims and daemons of several versions may look. So does the meaning of its
//! first four lines; those behind them each name a process that counts, and one without them, of an older
//! version, is held for as long as it is locked.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{fs::OFlags, io::FdFlags};
use sys::birth::Birth;

use crate::{
    lock,
    meet::{NotMet, is_silence},
    places::Places,
    preface::SessionAsk,
    rendezvous::RendezvousError,
    scope::Scope,
};

/// More than anybody writes into a lock.
const CONTENT_MAX: u64 = 8 * 1024;

/// What a session does if no daemon can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDaemonFailure {
    /// It runs the server itself, if it knows its command.
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
}

impl fmt::Display for NotDirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not run unshared either: ")?;
        match self {
            NotDirect::Taken => f.write_str("another session runs it already"),
            NotDirect::Lock { path, source } => {
                write!(f, "cannot use the lock {}: {source}", path.display())
            }
        }
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

    /// The lock that a session holds which runs the server of this ask itself; `None` if
    /// that server is shared with nobody.
    ///
    /// The environment of the ask counts where it passes variables by their names.
    pub fn path(&self, ask: &SessionAsk) -> Option<PathBuf> {
        key(ask, &ask.env).map(|key| self.path_of(key))
    }

    fn path_of(&self, key: u64) -> PathBuf {
        self.folder.join(format!("{key:016x}.lock"))
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

/// Claims the right to run the server of this ask, until every process that has the
/// descriptor has ended: it stays open when another program takes this process over.
pub(crate) fn claim(
    places: &Places,
    ask: &SessionAsk,
    cause: &str,
) -> Result<Option<File>, NotDirect> {
    let env: Vec<_> = env::vars_os().collect();
    let Some(key) = key(ask, &env) else {
        return Ok(None);
    };
    let path = Locks::of(places).path_of(key);
    take(places, &path, &ask.server, cause)
        .map_err(|source| NotDirect::Lock { path, source })?
        .ok_or(NotDirect::Taken)
        .map(Some)
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

/// Says in the daemon's log that it is missed.
pub(crate) fn log(places: &Places, server: &str, cause: &str) -> io::Result<()> {
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

/// Becomes the command of this ask; returns only if that fails.
pub(crate) fn become_server(program: &OsStr, ask: &SessionAsk) -> io::Error {
    command(program, ask).exec()
}

/// The command of this ask, with the variables that it names.
pub(crate) fn command(program: &OsStr, ask: &SessionAsk) -> Command {
    let mut command = Command::new(program);
    command.args(ask.command.iter().skip(1));
    for pass in &ask.pass {
        // A bare name is in our environment already, or nowhere.
        if let Some((name, value)) = assignment(pass) {
            command.env(name, value);
        }
    }
    command
}

fn assignment(pass: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = pass.as_bytes();
    let equals = memchr::memchr(b'=', bytes)?;
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

/// What two sessions have in common that would share a server; `None` for one that
/// shares with nobody, or whose server only the configuration knows.
///
/// It is the share key as far as it follows from the ask: FNV-1a, 64 bits, over the
/// command line, the passed variables with their values, and the workspace unless the
/// scope is `global`; each ended by a NUL, and each kind by another.
fn key(ask: &SessionAsk, env: &[(OsString, OsString)]) -> Option<u64> {
    if ask.command.is_empty() || ask.scope == Some(Scope::Session) {
        return None;
    }
    let mut hash = Hash::new();
    for argument in &ask.command {
        hash.part(argument);
    }
    hash.end();
    let mut passed: Vec<(&OsStr, &OsStr)> = Vec::new();
    for pass in &ask.pass {
        match assignment(pass) {
            Some(variable) => passed.push(variable),
            None => passed.extend(named(pass, env)),
        }
    }
    passed.sort_unstable();
    for (name, value) in passed {
        hash.part(name);
        hash.part(value);
    }
    hash.end();
    if ask.scope != Some(Scope::Global)
        && let Some(workspace) = &ask.workspace
    {
        hash.part(workspace.path.as_os_str());
    }
    Some(hash.0)
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
mod tests {
    use super::*;
    use crate::{
        preface::Join,
        workspace::{Evidence, Workspace},
    };

    fn ask() -> SessionAsk {
        SessionAsk {
            server: "echo".into(),
            command: ["npx", "-y", "echo"].map(OsString::from).to_vec(),
            scope: None,
            workspace: Some(Workspace {
                path: "/w".into(),
                evidence: Evidence::Directory,
            }),
            pass: vec!["TOKEN".into(), "AWS_*".into(), "A=b".into()],
            join: Join::ShareKey,
            resume: None,
            env: ["TOKEN", "AWS_KEY", "OTHER"]
                .map(|name| (name.into(), "1".into()))
                .to_vec(),
        }
    }

    fn key_of(change: impl FnOnce(&mut SessionAsk)) -> Option<u64> {
        let mut ask = ask();
        change(&mut ask);
        key(&ask, &ask.env)
    }

    #[test]
    fn the_name_of_a_lock_is_for_ever() {
        assert_eq!(key_of(|_| ()), Some(5_109_476_412_373_498_499));
    }

    #[test]
    fn what_two_sessions_would_share_has_one_key_and_anything_else_another() {
        let own = key_of(|_| ());
        let same: [fn(&mut SessionAsk); 4] = [
            |ask| ask.server = "other".into(),
            |ask| ask.env[2].1 = "2".into(),
            |ask| ask.scope = Some(Scope::Workspace),
            |ask| ask.pass.reverse(),
        ];
        for change in same {
            assert_eq!(key_of(change), own);
        }
        let other: [fn(&mut SessionAsk); 6] = [
            |ask| ask.command.truncate(2),
            |ask| ask.command[1] = "-x".into(),
            |ask| ask.env[0].1 = "2".into(),
            |ask| ask.env[1].1 = "2".into(),
            |ask| ask.workspace = None,
            |ask| ask.scope = Some(Scope::Global),
        ];
        for change in other {
            assert_ne!(key_of(change), own);
        }
        assert_eq!(key_of(|ask| ask.scope = Some(Scope::Session)), None);
        assert_eq!(key_of(|ask| ask.command.clear()), None);
    }

    /// A lock that only a helper of a server has open, when all that these lines name has ended.
    fn left_behind(lines: &str) -> (tempfile::TempDir, SessionAsk, File) {
        let home = tempfile::tempdir().unwrap();
        let places = Places::find(Some(home.path())).unwrap();
        let mut ask = ask();
        ask.pass = vec!["A=b".into()];
        let mut file = claim(&places, &ask, "none").unwrap().unwrap();
        file.set_len(0).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file.write_all(format!("1\n2\necho\nnone\n{lines}").as_bytes())
            .unwrap();
        (home, ask, file)
    }

    fn of_one_that_has_ended() -> String {
        let mut child = Command::new("cat");
        let mut child = child.stdin(process::Stdio::piped()).spawn().unwrap();
        let birth = Birth::of(child.id()).unwrap().unwrap();
        child.stdin = None;
        child.wait().unwrap();
        format!("{birth}\n")
    }

    #[test]
    fn a_lock_that_only_helpers_of_an_ended_server_have_is_free() {
        let ended = of_one_that_has_ended();
        let (home, ask, helper) = left_behind(&[ended.as_str(), ended.as_str()].concat());
        let places = Places::find(Some(home.path())).unwrap();
        let lock = Locks::of(&places).path(&ask).unwrap();
        assert_eq!(holder(&lock).unwrap(), None);
        assert_eq!(Locks::of(&places).running().unwrap(), []);
        let held = claim(&places, &ask, "none").unwrap().unwrap();
        assert_eq!(holder(&lock).unwrap().unwrap().pid, process::id());
        assert!(matches!(
            claim(&places, &ask, "none"),
            Err(NotDirect::Taken)
        ));
        drop(helper);
        assert!(holder(&lock).unwrap().is_some());
        drop(held);
        assert_eq!(holder(&lock).unwrap(), None);
    }

    #[test]
    fn a_lock_is_held_if_one_lives_or_that_cannot_be_known() {
        let ended = of_one_that_has_ended();
        let own = line_of(process::id());
        let elsewhere = ended.replace('\n', "x\n");
        for lines in [
            // As versions wrote it that knew of no such lines.
            "",
            own.as_str(),
            &[ended.as_str(), own.as_str()].concat(),
            &elsewhere,
            &ended[..ended.len() - 1],
            "\n",
            "1\n",
        ] {
            let (home, ask, helper) = left_behind(lines);
            let places = Places::find(Some(home.path())).unwrap();
            let lock = Locks::of(&places).path(&ask).unwrap();
            assert!(holder(&lock).unwrap().is_some(), "{lines:?}");
            let claimed = claim(&places, &ask, "none");
            assert!(matches!(claimed, Err(NotDirect::Taken)), "{lines:?}");
            drop(helper);
        }
    }

    #[test]
    fn one_session_runs_its_server_and_everybody_sees_it() {
        let home = tempfile::tempdir().unwrap();
        let places = Places::find(Some(home.path())).unwrap();
        let mut ask = ask();
        // Of the environment of this test.
        ask.pass = vec!["A=b".into()];
        let locks = Locks::of(&places);
        let lock = locks.path(&ask).unwrap();
        assert_eq!(holder(&lock).unwrap(), None);
        assert_eq!(locks.running().unwrap(), []);
        let claim_it = || claim(&places, &ask, "no\nprogram");
        let held = claim_it().unwrap();
        assert!(matches!(claim_it(), Err(NotDirect::Taken)));
        let all = locks.running().unwrap();
        assert_eq!(holder(&lock).unwrap().as_ref(), all.first());
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].pid, all[0].server.as_str()),
            (process::id(), "echo")
        );
        assert_eq!(all[0].cause, "no program");
        drop(held);
        assert_eq!(holder(&lock).unwrap(), None);
        assert_eq!(locks.running().unwrap(), []);
        claim_it().unwrap();
    }
}
