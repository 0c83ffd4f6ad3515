//! Where the user's own shell looks for programs.
//!
//! Service managers start with a `PATH` of their own, in which `npx` and `uvx` are not found. What is captured here
//! is for servers that a client names without saying where they are: each session brings its own `PATH` along.

use std::{
    env,
    io::{self, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};
use shim::home;

/// How long a shell may take to read all of its files.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pause between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Around what is asked for: those files may say something as well.
const BEGIN: &str = "<mcpool-path>";
const END: &str = "</mcpool-path>";

/// More than any `PATH`.
const LENGTH_MAX: usize = 64 << 10;

/// A `PATH`, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginPath {
    /// That of the login shell.
    OfShell(String),
    /// Our own, as the shell did not say, for this reason.
    Own { path: String, why: String },
}

impl LoginPath {
    /// Asks the login shell.
    pub(crate) fn find() -> LoginPath {
        let user = rustix::process::geteuid().as_raw();
        let shell = login_shell(env::var("SHELL").ok(), || home::shell_of_user(user));
        match of_shell(&shell, PATIENCE) {
            Ok(path) => LoginPath::OfShell(path),
            Err(why) => LoginPath::Own {
                path: env::var("PATH").unwrap_or_default(),
                why: format!("{shell} did not say its PATH: {why}"),
            },
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            LoginPath::OfShell(path) | LoginPath::Own { path, .. } => path,
        }
    }
}

/// What the variable says, or else the password database, which a login by `su` or `ssh` goes by.
fn login_shell(variable: Option<String>, of_database: impl Fn() -> Option<PathBuf>) -> String {
    let known = variable.filter(|shell| !shell.is_empty()).or_else(|| {
        let shell = of_database()?;
        shell.to_str().map(str::to_owned)
    });
    known.unwrap_or_else(|| "/bin/sh".to_owned())
}

fn of_shell(shell: &str, patience: Duration) -> Result<String, String> {
    let script = format!("printf '%s%s%s' '{BEGIN}' \"$PATH\" '{END}'");
    let mut command = Command::new(shell);
    // Some set it for people alone, and some for logins.
    command.args(["-l", "-i", "-c", &script]);
    // One that waits for a terminal must not get ours.
    sys::detach::lead(&mut command);
    let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    let started = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn();
    // It holds our copy of the pipe's other end.
    drop(command);
    let shell = started.map_err(|error| error.to_string())?;
    let until = Instant::now() + patience;
    let said = hear(reader, until);
    end(shell, until);
    let said = said.map_err(|error| error.to_string())?;
    let path = said.split_once(BEGIN).map(|(_, behind)| behind);
    let path = path
        .and_then(|behind| behind.split_once(END))
        .map(|(path, _)| path);
    match path {
        Some(path) if !path.is_empty() && !path.contains(char::is_control) => Ok(path.to_owned()),
        Some(_) => Err("it is none".to_owned()),
        None => Err(format!(
            "it took longer than {} s, or ended",
            patience.as_secs_f64()
        )),
    }
}

/// Waits for its end until then, and ends it with its group if it hangs.
fn end(mut shell: Child, until: Instant) {
    while matches!(shell.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            // Not reaped yet, so the number is still that of its group.
            let _gone = kill_process_group(Pid::from_child(&shell), Signal::KILL);
            let _reaped = shell.wait();
            return;
        }
        thread::sleep(LOOK);
    }
}

/// What is said until all of it is there, or nothing more comes.
fn hear(mut reader: io::PipeReader, until: Instant) -> io::Result<String> {
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut pipe = [PollFd::new(&reader, PollFlags::IN)];
        let is_over = match poll(&mut pipe, Some(&left)) {
            Ok(0) => true,
            Ok(_) => match reader.read(&mut chunk)? {
                0 => true,
                read => {
                    said.extend_from_slice(&chunk[..read]);
                    false
                }
            },
            Err(rustix::io::Errno::INTR) => false,
            Err(errno) => return Err(errno.into()),
        };
        let text = String::from_utf8_lossy(&said);
        if is_over || text.contains(END) || said.len() > LENGTH_MAX {
            return Ok(text.into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::Path,
    };

    use super::*;

    /// A shell that does this first.
    fn shell(folder: &Path, first: &str) -> String {
        let path = folder.join("shell");
        let text = format!("#!/bin/sh\n{first}\nshift 2\nPATH=/my/bin:/bin exec /bin/sh \"$@\"\n");
        // Nobody can execute what somebody has open for writing, and a child that another test starts just then has what
        // we have open. So another process writes it.
        let mut writer = Command::new("sh");
        writer.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""]);
        let written = writer.arg(&path).arg(text).status();
        assert!(written.unwrap().success());
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_shell_is_that_of_the_session_or_of_the_password_database() {
        let zsh = || Some("/usr/bin/zsh".into());
        for (variable, of_database, expected) in [
            (Some("/bin/fish"), zsh(), "/bin/fish"),
            (Some(""), zsh(), "/usr/bin/zsh"),
            (None, zsh(), "/usr/bin/zsh"),
            (None, None, "/bin/sh"),
        ] {
            let shell = login_shell(variable.map(str::to_owned), || of_database.clone());
            assert_eq!(shell, expected, "{variable:?}");
        }
    }

    #[test]
    fn a_shell_says_its_path_among_other_things() {
        let folder = tempfile::tempdir().unwrap();
        let talks = shell(folder.path(), "echo 'welcome <mcpool>'; echo no >&2");
        assert_eq!(of_shell(&talks, PATIENCE).unwrap(), "/my/bin:/bin");
    }

    #[test]
    fn a_shell_that_says_nothing_or_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let silent = shell(folder.path(), "exit 0");
        assert!(of_shell(&silent, PATIENCE).unwrap_err().contains("ended"));
        let missing = folder.path().join("missing");
        assert!(of_shell(missing.to_str().unwrap(), PATIENCE).is_err());
    }

    #[test]
    fn a_shell_that_hangs_is_ended_with_what_it_waits_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("alive");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        // As long as we have it nobody waits for anybody.
        let both_ends = File::options().read(true).write(true).open(&fifo);
        let profile = format!("exec 3>'{}'; echo here >&3; sleep 1000", fifo.display());
        fs::write(folder.path().join(".bash_profile"), profile).unwrap();
        // One that would have a process group of its own, as shells for people do.
        let first = format!("HOME='{}' exec bash \"$@\"", folder.path().display());
        let why = of_shell(&shell(folder.path(), &first), Duration::from_secs(5)).unwrap_err();
        assert!(why.contains("longer than 5 s"), "{why}");
        let mut said = File::open(&fifo).unwrap();
        drop(both_ends.unwrap());
        // The shell and what it waits for have the other end until they end.
        let mut end = [PollFd::new(&said, PollFlags::empty())];
        let half_a_minute = Timespec::try_from(Duration::from_secs(30)).unwrap();
        assert_eq!(
            poll(&mut end, Some(&half_a_minute)),
            Ok(1),
            "they run still"
        );
        assert_eq!(io::read_to_string(&mut said).unwrap(), "here\n");
    }
}
