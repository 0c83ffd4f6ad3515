//! Starts a daemon, and returns when it is ready or has said why not.
//!
//! The daemon gets nothing of the shim that happens to start it: not its folder, not
//! its environment but for a few names, not its session, not its descriptors. Its
//! stdout is a pipe to us on which it writes `ready` and a newline once it listens.
//!
//! **Invariant:** whoever starts a daemon holds the start lock while it does.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, PipeReader, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};

use crate::{places::Places, rendezvous::RendezvousError};

/// What a daemon says when it listens.
pub(crate) const READY: &[u8] = b"ready\n";

/// All that a daemon gets to know of the environment.
const ENVIRONMENT: [&str; 5] = ["HOME", "PATH", "USER", "LOGNAME", "LANG"];

/// Most bytes of a dying daemon's last words.
const WORDS_MAX: u64 = 2 * 1024;

/// Starts `program` as the daemon of `places`.
pub(crate) fn start(
    places: &Places,
    program: &Path,
    deadline: Instant,
) -> Result<(), RendezvousError> {
    let path = places.daemon_log();
    let failed = |source| RendezvousError::CannotStart {
        program: program.to_path_buf(),
        source,
    };
    let (log, log_len) = match open_log(&path) {
        Ok((log, len)) => (Stdio::from(log), len),
        // A full disk, or something else that the daemon can do without.
        Err(_) => (Stdio::null(), 0),
    };
    let reader = spawn(places, program, log).map_err(failed)?;
    match hear(reader, deadline).map_err(failed)? {
        Heard::Ready => Ok(()),
        Heard::Nothing => Err(RendezvousError::NotReady { log: path }),
        Heard::Words(words) => Err(RendezvousError::Died {
            words: if words.is_empty() {
                tail(&path, log_len)
            } else {
                words
            },
            log: path,
        }),
    }
}

fn spawn(places: &Places, program: &Path, log: Stdio) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.arg("serve");
    if let Some(home) = &places.home {
        command.arg("--home").arg(home);
    }
    command
        .arg("--background")
        .env_clear()
        .envs(ENVIRONMENT.iter().filter_map(|name| {
            let value = env::var_os(name)?;
            Some((name, value))
        }))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(log);
    sys::detach::apply_to(&mut command);
    let mut between = command.spawn()?;
    // The command holds our copy of the pipe's other end.
    drop(command);
    between.wait()?;
    Ok(reader)
}

enum Heard {
    Ready,
    /// The pipe was closed, after these words.
    Words(String),
    Nothing,
}

fn hear(mut reader: PipeReader, deadline: Instant) -> io::Result<Heard> {
    let mut words = Vec::new();
    let mut chunk = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut pipe = [PollFd::new(&reader, PollFlags::IN)];
        match poll(&mut pipe, left.as_ref()) {
            Ok(0) => return Ok(Heard::Nothing),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok(Heard::Words(one_line(&words)));
        }
        words.extend_from_slice(&chunk[..read]);
        if words.starts_with(READY) {
            return Ok(Heard::Ready);
        }
        if words.len() as u64 > WORDS_MAX {
            return Ok(Heard::Words(one_line(&words)));
        }
    }
}

/// The log, and how long it is.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    // A pipe in its place would have us wait for a reader.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = log.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((log, metadata.len()))
}

/// What has been added to the log since it had this length.
fn tail(path: &Path, since: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let begin = since.max(log.metadata()?.len().saturating_sub(WORDS_MAX));
        log.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        log.take(WORDS_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    one_line(&read().unwrap_or_default())
}

/// What somebody said on several lines.
pub(crate) fn one_line(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}
