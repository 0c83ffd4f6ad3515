//! Starting one server.
//!
//! **Invariant:** the server gets exactly the environment, directory, umask and three
//! descriptors that the daemon sent, its upstream's marker, and a process group of its
//! own; no shell reads the command.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::Pid;
use sys::child::ChildSetup;

use crate::protocol::{MARKER, Spawn};
use sys::process_table::Identity;

/// Longest first line of a script that Linux reads.
const SHEBANG_LEN_MAX: u64 = 256;

/// Why a server was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    /// Names what is at fault.
    pub(crate) text: String,
}

/// Starts it, as a child of the calling thread and the leader of a new process group.
///
/// Gives back the daemon's ends of its pipes.
pub(crate) fn spawn(order: &Spawn, fds: Vec<OwnedFd>) -> Result<(Identity, [OwnedFd; 3]), Failure> {
    let Ok([stdin, stdout, stderr, input, output, errors]) = <[OwnedFd; 6]>::try_from(fds) else {
        let text = "its pipes were lost on the way: too many open files".to_owned();
        return Err(Failure {
            errno: Errno::MFILE,
            text,
        });
    };
    if !order.program.is_absolute() {
        let text = format!("`{}` is not an absolute path", order.program.display());
        return Err(Failure {
            errno: Errno::INVAL,
            text,
        });
    }
    let mut command = Command::new(&order.program);
    if let Some((name, arguments)) = order.arguments.split_first() {
        command.arg0(name).args(arguments);
    }
    command
        .env_clear()
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .env(MARKER, marker_value(order.upstream))
        .current_dir(&order.directory)
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    ChildSetup { umask: order.umask }.apply_to(&mut command);
    match command.spawn() {
        Ok(child) => Ok((identity(&child), [input, output, errors])),
        Err(error) => Err(explain(order, &error)),
    }
}

/// `NAME=VALUE` of the variable by which processes of this upstream are recognised.
pub(crate) fn marker(upstream: u64) -> Vec<u8> {
    format!("{MARKER}={}", marker_value(upstream)).into_bytes()
}

fn marker_value(upstream: u64) -> String {
    format!("{}.{upstream}", rustix::process::getpid())
}

/// It is not reaped before we say so, so its number is its own.
fn identity(child: &Child) -> Identity {
    let pid = Pid::from_child(child);
    // Without its start its number must do, which is its own until it is reaped.
    let known = Identity::of(pid).ok().flatten();
    known.unwrap_or(Identity { pid, start_time: 0 })
}

/// The kernel tells the reason, but not what of: look again.
fn explain(order: &Spawn, error: &io::Error) -> Failure {
    let (program, directory) = (order.program.display(), order.directory.display());
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let text = if let Err(reason) = enterable(&order.directory) {
        format!("cannot start in `{directory}`: {reason}")
    } else if let Err(reason) = executable(&order.program) {
        format!("cannot run `{program}`: {reason}")
    } else if let Some(interpreter) = missing_interpreter(&order.program) {
        format!(
            "cannot run `{program}`: its interpreter `{}` is missing",
            interpreter.display()
        )
    } else {
        format!("cannot run `{program}`: {}", words(error))
    };
    Failure { errno, text }
}

fn enterable(directory: &Path) -> Result<(), String> {
    let metadata = fs::metadata(directory).map_err(|error| words(&error))?;
    if !metadata.is_dir() {
        return Err("not a directory".to_owned());
    }
    rustix::fs::access(directory, Access::EXEC_OK).map_err(|error| words(&error.into()))
}

fn executable(program: &Path) -> Result<(), String> {
    let metadata = fs::metadata(program).map_err(|error| words(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory".to_owned());
    }
    rustix::fs::access(program, Access::EXEC_OK).map_err(|error| words(&error.into()))
}

/// The interpreter that a script asks for on its first line, if it is not there.
fn missing_interpreter(program: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    BufReader::new(File::open(program).ok()?.take(SHEBANG_LEN_MAX))
        .read_until(b'\n', &mut line)
        .ok()?;
    let asked = line
        .strip_prefix(b"#!")?
        .trim_ascii()
        .split(u8::is_ascii_whitespace)
        .next()?;
    let interpreter = Path::new(OsStr::from_bytes(asked));
    fs::metadata(interpreter)
        .is_err()
        .then(|| interpreter.to_owned())
}

/// The system's words without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
