//! One user with one installation, for one test.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Client, FAKE_SERVER, PATIENCE, canary, eventually,
    processes::{self, Process},
    until,
    verdict::{self, Books},
};

/// A temporary folder with everything in it; dropped, nothing of it is left.
pub(crate) struct Home {
    folder: TempDir,
    books: Books,
}

/// What a command that has ended said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Home::with(Books::Kept)
    }

    /// One whose daemons keep books, or do not. That is up to whoever starts them.
    pub(super) fn with(books: Books) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mcpool-it-")
            .tempdir()
            .unwrap();
        let home = Home { folder, books };
        fs::create_dir(home.user()).unwrap();
        home.project("project");
        home
    }

    /// Where everything of this test is, without symbolic links.
    pub(crate) fn root(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap()
    }

    /// The user's home folder.
    pub(crate) fn user(&self) -> PathBuf {
        self.root().join("user")
    }

    /// `MCPOOL_HOME`.
    pub(crate) fn pool(&self) -> PathBuf {
        self.root().join("pool")
    }

    /// A file of the user's with this text.
    pub(crate) fn keep(&self, path: &str, text: &str) -> PathBuf {
        let path = self.user().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A folder under version control, made if needed.
    pub(crate) fn project(&self, name: &str) -> PathBuf {
        let project = self.root().join(name);
        fs::create_dir_all(project.join(".git")).unwrap();
        project
    }

    /// A file that the scripted server may append to.
    pub(crate) fn file(&self, name: &str) -> String {
        self.root().join(name).to_str().unwrap().to_owned()
    }

    /// The lines of such a file, so far.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.root().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a line of such a file that begins so; the rest of it.
    #[track_caller]
    pub(crate) fn noted(&self, name: &str, beginning: &str) -> String {
        eventually(beginning, || {
            let lines = self.lines(name);
            lines
                .iter()
                .find_map(|line| line.strip_prefix(beginning))
                .map(str::to_owned)
        })
    }

    /// How many lines of such a file begin so.
    pub(crate) fn count(&self, name: &str, beginning: &str) -> usize {
        let lines = self.lines(name);
        lines
            .iter()
            .filter(|line| line.starts_with(beginning))
            .count()
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::create_dir_all(self.pool()).unwrap();
        fs::write(self.pool().join("config.toml"), text).unwrap();
    }

    /// `mcpool` in the project, with no more of an environment than it must have.
    pub(crate) fn mcpool(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_mcpool"), arguments)
    }

    /// Another program, in the same surroundings.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.user())
            .env("MCPOOL_HOME", self.pool())
            .env(canary::SECRET_NAME, canary::SECRET)
            .current_dir(self.root().join("project"));
        command
    }

    /// The same under limits that `ulimit` sets. A write beyond a limit is an error, not the end.
    pub(crate) fn limited(&self, limits: &str, arguments: &[&str]) -> Command {
        let script = format!("trap '' XFSZ; {limits}; exec \"$0\" \"$@\"");
        let mcpool = env!("CARGO_BIN_EXE_mcpool");
        self.command("sh", &[&["-c", &*script, mcpool], arguments].concat())
    }

    /// Makes a folder in `MCPOOL_HOME` as a daemon would.
    pub(crate) fn make_private(&self, name: &str) {
        let folder = self.pool().join(name);
        fs::create_dir_all(&folder).unwrap();
        for folder in [self.pool(), folder] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    /// Runs a verb to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(&mut self.mcpool(arguments))
    }

    /// Runs a verb that must do what it is told.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.stdout
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).unwrap()
    }

    /// The only upstream, or the first of several, as `status` shows it.
    #[track_caller]
    pub(crate) fn upstream(&self) -> Value {
        self.status()["upstreams"][0].clone()
    }

    /// Asserts that no file holds what it must not, while all goes on.
    #[track_caller]
    pub(crate) fn has_no_secret_in_files(&self) {
        let leaks = verdict::leaks(&self.pool());
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }

    /// The process ids of the upstreams that run.
    #[track_caller]
    pub(crate) fn upstream_pids(&self) -> Vec<u32> {
        let status = self.status();
        let upstreams = status["upstreams"].as_array().unwrap();
        upstreams
            .iter()
            .filter_map(|upstream| upstream["pid"].as_u64())
            .map(|pid| u32::try_from(pid).unwrap())
            .collect()
    }

    /// The daemon's process id, as the lock file says it.
    pub(crate) fn daemon_pid(&self) -> Option<u32> {
        let lock = fs::read_to_string(self.pool().join("state/daemon.lock")).ok()?;
        lock.lines().next()?.parse().ok()
    }

    /// Kills the daemon, and waits until its sockets are closed: what is written to them before that
    /// counts as sent. Its first thread may end before the others do, which hold them too.
    pub(crate) fn kill_daemon(&self) -> u32 {
        let pid = self.daemon_pid().unwrap();
        let daemon = Process::of(pid).unwrap();
        daemon.kill();
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        until("the end of the daemon", || {
            !daemon.is_alive() && threads() <= 1
        });
        pid
    }

    /// A session on the scripted server with these options, greeted.
    #[track_caller]
    pub(crate) fn session(&self, options: &[&str]) -> Client {
        let mut client = self.open(options);
        client.initialize();
        client
    }

    /// The same, not greeted yet.
    pub(crate) fn open(&self, options: &[&str]) -> Client {
        let mut arguments = vec!["connect", "--", FAKE_SERVER];
        arguments.extend(options);
        Client::spawn(&mut self.mcpool(&arguments))
    }

    /// Ends the daemon, if one runs, and whatever of it is left. Also in the middle of a panic, so
    /// nothing here may fail.
    fn end_daemon(&self) {
        let pool = self.pool();
        // The number in a lock that a dead daemon left behind may be another's by now.
        let Some(daemon) = self.daemon_pid().filter(|pid| serves(*pid, &pool)) else {
            return;
        };
        let tree = processes::with_descendants(daemon);
        let stopped = self
            .mcpool(&["stop"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let deadline = Instant::now() + PATIENCE;
        let is_stopped = stopped.is_ok_and(|status| status.success());
        // It has said that it ends, and writes its last words.
        while is_stopped && tree.first().is_some_and(Process::is_alive) && Instant::now() < deadline
        {
            thread::park_timeout(Duration::from_millis(1));
        }
        for process in tree.into_iter().rev() {
            process.kill();
        }
    }

    /// A session on a configured server, greeted.
    #[track_caller]
    pub(crate) fn configured(&self, name: &str) -> Client {
        let mut client = Client::spawn(&mut self.mcpool(&["connect", name]));
        client.initialize();
        client
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.end_daemon();
        let deadline = Instant::now() + PATIENCE;
        let look = || verdict::complaints(&self.pool(), self.books);
        let mut complaints = look();
        while verdict::is_awaited(&complaints) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(5));
            complaints = look();
        }
        if !thread::panicking() {
            assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        } else if !complaints.is_empty() {
            // The test has failed already; this may be why.
            let _ = writeln!(io::stderr(), "{}", complaints.join("\n"));
        }
    }
}

/// Whether this is the daemon of that folder, and not another process of its number.
fn serves(pid: u32, pool: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let in_arguments = words.contains(&pool.as_os_str().as_encoded_bytes());
    let variable = format!("MCPOOL_HOME={}", pool.display());
    words.contains(&b"serve".as_slice())
        && (in_arguments || processes::environment(pid).contains(&variable))
}

/// Runs a hook with an event on a standard input that its agent does not close before it ends.
///
/// The event is there before the hook is: whoever waits for one does so for moments, and a test may be kept from
/// running for longer.
pub(crate) fn hooked(command: &mut Command, event: &str) -> Ran {
    let (stdin, mut agent) = io::pipe().unwrap();
    agent.write_all(event.as_bytes()).unwrap();
    command.stdin(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    drop(agent);
    Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs a command to its end. Nothing that it says has a secret in it, or what sessions say.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let ran = Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    };
    for text in [&ran.stdout, &ran.stderr] {
        let found = canary::found(text, &[canary::SECRET, canary::PASSED, canary::PAYLOAD]);
        assert_eq!(found, None, "I8: {command:?} says {text}");
    }
    ran
}
