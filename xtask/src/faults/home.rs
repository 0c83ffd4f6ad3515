//! One user with one installation, and the look at what is left of it at the end.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Stage,
    processes::{self, Process, until},
    session::Session,
    shown::Shown,
};
use crate::{canary, scratch, shell};

/// How long mcpool may take to answer a person.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How long everything may take to be gone: more than the longest end of a server's tree.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// How old a zombie may be.
pub(crate) const ZOMBIE_AGE: Duration = Duration::from_secs(1);

/// What a line of a daemon's log says that tells of a fault of ours.
const FOUND: [&str; 3] = ["audit: ", "the core contradicts itself", "a task panicked"];

/// The complaint about a daemon that ended without a verdict of its books.
const NO_LAST_WORD: &str = "a daemon ended without a word of its books";

/// How a file that is left is told of.
const STILL_THERE: &str = "still there: ";

/// A temporary folder with everything in it.
pub(crate) struct Home<'a> {
    pub(crate) stage: &'a Stage,
    folder: TempDir,
}

/// What homes have left behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    processes: u64,
    zombies: u64,
    files: u64,
    /// What the daemons' logs and books complain of, and files in which something stands that must not.
    complaints: u64,
    words: Vec<String>,
}

impl Left {
    /// Takes in what another home has left.
    pub(crate) fn add(&mut self, other: Left) {
        self.processes += other.processes;
        self.zombies += other.zombies;
        self.files += other.files;
        self.complaints += other.complaints;
        self.words.extend(other.words);
    }

    /// Of a daemon that was killed, and that nobody came after, socket and lock stay: the next one takes
    /// them away.
    pub(crate) fn without_files(mut self) -> Left {
        self.files = 0;
        self.words.retain(|words| !words.starts_with(STILL_THERE));
        self
    }

    /// Complaints with these words are what the row is about.
    pub(crate) fn without_words(mut self, words: &str) -> Left {
        let before = self.words.len();
        self.words.retain(|told| !told.contains(words));
        self.complaints -= (before - self.words.len()) as u64;
        self
    }

    pub(crate) fn show(self, shown: &mut Shown) {
        shown.at_most("processes left", self.processes, 0);
        shown.at_most("zombies left", self.zombies, 0);
        shown.at_most("sockets and locks left", self.files, 0);
        if self.complaints > 0 {
            shown.at_most("complaints, secrets in files", self.complaints, 0);
        }
        for words in self.words {
            shown.tell(words);
        }
    }
}

impl<'a> Home<'a> {
    pub(super) fn new(stage: &'a Stage) -> anyhow::Result<Home<'a>> {
        let folder = scratch::folder("mcpool-faults-", stage.keeps_homes)?;
        let home = Home { stage, folder };
        for name in ["user", "project/.git", "ledgers"] {
            fs::create_dir_all(home.root().join(name))?;
        }
        Ok(home)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// `MCPOOL_HOME`.
    pub(crate) fn pool(&self) -> PathBuf {
        self.root().join("pool")
    }

    /// Where soak servers write what they do.
    pub(crate) fn ledgers(&self) -> PathBuf {
        self.root().join("ledgers")
    }

    /// A file in here, as a word of a command line.
    pub(crate) fn file(&self, name: &str) -> String {
        self.root().join(name).to_string_lossy().into_owned()
    }

    /// The lines of such a file, so far.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.root().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How many lines of such a file begin so.
    pub(crate) fn count(&self, name: &str, beginning: &str) -> u64 {
        let lines = self.lines(name);
        let such = lines.iter().filter(|line| line.starts_with(beginning));
        such.count() as u64
    }

    pub(crate) fn configure(&self, text: &str) -> anyhow::Result<()> {
        fs::create_dir_all(self.pool())?;
        fs::write(self.pool().join("config.toml"), text).context("writing the configuration")
    }

    /// A verb of mcpool, with no more of an environment than it must have.
    pub(crate) fn verb(&self, arguments: &[&str]) -> Command {
        self.verb_of(&self.stage.mcpool, arguments)
    }

    fn verb_of(&self, mcpool: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(mcpool);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root().join("user"))
            .env("MCPOOL_HOME", self.pool())
            .current_dir(self.root().join("project"));
        canary::put_into(&mut command);
        self.keep_errors(&mut command);
        command
    }

    /// What shims say of their end is kept for whoever looks into it, as is what a daemon says that
    /// nobody has put into the background.
    fn keep_errors(&self, command: &mut Command) {
        let mut options = fs::OpenOptions::new();
        if let Ok(errors) = options.create(true).append(true).open(self.errors()) {
            command.stderr(errors);
        }
    }

    fn errors(&self) -> PathBuf {
        self.root().join("errors")
    }

    /// Runs a verb that must do what it is told; what it prints.
    pub(crate) fn done(&self, arguments: &[&str]) -> anyhow::Result<String> {
        shell::output_within(&mut self.verb(arguments), ANSWERS_WITHIN)
    }

    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let text = self.done(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("reading the status {text:?}"))
    }

    /// The process of the daemon, as its lock file says it.
    pub(crate) fn daemon(&self) -> Option<Process> {
        let lock = fs::read_to_string(self.pool().join("state/daemon.lock")).ok()?;
        let process = Process::of(lock.lines().next()?.parse().ok()?)?;
        // The number in a lock that a dead daemon left behind may be another's by now.
        let is_ours = processes::of_folder(self.root()).contains(&process);
        is_ours.then_some(process)
    }

    /// The shims of its sessions.
    pub(crate) fn shims(&self) -> Vec<Process> {
        let mut all = processes::of_folder(self.root());
        all.retain(|process| processes::command_line(process).contains(" connect "));
        all
    }

    pub(crate) fn guardian(&self) -> anyhow::Result<Process> {
        let status = self.status()?;
        let pid = status["daemon"]["guardian_pid"].as_u64();
        pid.and_then(|pid| Process::of(u32::try_from(pid).ok()?))
            .with_context(|| format!("no guardian in {status}"))
    }

    /// A client's command for a session on a configured server.
    pub(crate) fn connect(&self, name: &str) -> Command {
        self.connect_by(&self.stage.mcpool, name)
    }

    /// The same by way of another program than the usual one.
    pub(crate) fn connect_by(&self, mcpool: &Path, name: &str) -> Command {
        self.verb_of(mcpool, &["connect", name])
    }

    /// A client's command for a session on the scripted server; its options tell servers apart.
    pub(crate) fn fake(&self, options: &[&str]) -> Command {
        self.fake_by(&self.stage.mcpool, options)
    }

    /// The same by way of another program than the usual one.
    pub(crate) fn fake_by(&self, mcpool: &Path, options: &[&str]) -> Command {
        let arguments = ["connect", "--name", "fake", "--scope", "global", "--"];
        let mut command = self.verb_of(mcpool, &arguments);
        command.arg(&self.stage.fake_server).args(options);
        command
    }

    /// An installation of its own that lacks the daemon's program, or has this script in its place;
    /// the path of its `mcpool`.
    pub(crate) fn another_installation(&self, daemon: Option<&str>) -> anyhow::Result<PathBuf> {
        let folder = self.root().join("bin");
        fs::create_dir(&folder)?;
        let mcpool = folder.join("mcpool");
        fs::copy(&self.stage.mcpool, &mcpool)?;
        if let Some(script) = daemon {
            let path = folder.join("mcpoold");
            fs::write(&path, script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(mcpool)
    }

    /// The part of a configuration that is a scripted server with these options.
    pub(crate) fn fake_server(&self, name: &str, options: &[&str], rest: &str) -> String {
        server(name, &self.stage.fake_server, options, rest)
    }

    /// The same for a server that keeps a ledger, and ends with its last session.
    pub(crate) fn soak_server(&self, name: &str) -> String {
        let ledgers = self.ledgers();
        let options = [&*ledgers.to_string_lossy(), name];
        let rest = "idle_timeout = \"0s\"";
        server(name, &self.stage.soak_server, &options, rest)
    }

    /// A greeted session on a configured server.
    pub(crate) fn session(&self, name: &str) -> anyhow::Result<Session> {
        Session::greeted(self.connect(name))
    }

    /// Starts a daemon in a way of its own, and waits until somebody answers.
    pub(crate) fn serve(&self, mut serve: Command) -> anyhow::Result<Child> {
        self.keep_errors(&mut serve);
        let mut child = start(serve)?;
        let mut ended = None;
        let is_settled = || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || UnixStream::connect(self.pool().join("mcpool.sock")).is_ok()
        };
        until(ANSWERS_WITHIN, is_settled).context("no daemon answers")?;
        ensure!(ended.is_none(), "a daemon ended with {ended:?}");
        Ok(child)
    }

    /// Ends it all, and tells what is left then.
    pub(crate) fn end(self) -> anyhow::Result<Left> {
        let mut left = Left::default();
        if let Some(daemon) = self.daemon() {
            left.zombies = old_zombies(daemon);
            self.done(&["stop"])?;
        }
        let is_gone = || processes::of_folder(self.root()).is_empty();
        if until(GONE_WITHIN, is_gone).is_none() {
            for process in processes::of_folder(self.root()) {
                left.processes += 1;
                left.words
                    .push(format!("still runs: {}", processes::command_line(&process)));
                process.kill();
            }
        }
        for name in ["mcpool.sock", "state/daemon.lock", "state/daemon.start"] {
            if self.pool().join(name).exists() {
                left.files += 1;
                left.words.push(format!("{STILL_THERE}{name}"));
            }
        }
        self.read_logs(&mut left);
        let leaks = canary::found_in(&self.pool());
        left.complaints += leaks.len() as u64;
        left.words.extend(leaks);
        Ok(left)
    }

    fn read_logs(&self, left: &mut Left) {
        let mut files = Vec::new();
        let entries = fs::read_dir(self.pool().join("logs")).into_iter().flatten();
        for entry in entries.flatten() {
            let is_daemons = |name: &str| name.starts_with("daemon.log");
            if entry.file_name().to_str().is_some_and(is_daemons) {
                files.push(entry.path());
            }
        }
        // `daemon.log.2` is older than `daemon.log.1`, and that older than `daemon.log`.
        files.sort();
        files.reverse();
        // A daemon that is not in the background says it all where shims complain.
        for files in [files, vec![self.errors()]] {
            let texts = files.iter().filter_map(|file| fs::read(file).ok());
            let bytes: Vec<u8> = texts.flatten().collect();
            let complaints = complaints(&String::from_utf8_lossy(&bytes), self.stage.keeps_books);
            left.complaints += complaints.len() as u64;
            left.words.extend(complaints);
        }
    }
}

/// What one log complains of, including each daemon that ended in order without a verdict of its books. One that was killed says nothing at its end; one
/// that ends in good order says what its books say, if it keeps any.
fn complaints(log: &str, keeps_books: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut is_owed = false;
    for line in log.lines() {
        let is_verdict = line.contains("audit: ");
        let is_clean = is_verdict && line.ends_with(", clean");
        if !is_clean && FOUND.iter().any(|words| line.contains(words)) {
            complaints.push(line.to_owned());
        }
        if is_verdict {
            is_owed = false;
        } else if line.contains(" ending why=") {
            is_owed = keeps_books;
        } else if line.contains(" listening ") && std::mem::take(&mut is_owed) {
            complaints.push(NO_LAST_WORD.to_owned());
        }
    }
    if is_owed {
        complaints.push(NO_LAST_WORD.to_owned());
    }
    complaints
}

impl Drop for Home<'_> {
    /// Nothing of a row that could not be played to its end is left either.
    fn drop(&mut self) {
        for process in processes::of_folder(self.root()) {
            process.kill();
        }
    }
}

/// Zombies among what descends from a process that stay so for a second: nobody waits for them.
fn old_zombies(root: Process) -> u64 {
    let zombies = |now: Vec<Process>| now.into_iter().filter(Process::is_zombie).collect();
    let first: Vec<Process> = zombies(processes::with_descendants(root));
    let is_any_left = || first.iter().any(Process::is_zombie);
    let _late = until(ZOMBIE_AGE, || !is_any_left());
    first.iter().filter(|process| process.is_zombie()).count() as u64
}

fn server(name: &str, program: &Path, options: &[&str], rest: &str) -> String {
    let program = program.display();
    // What a list of texts looks like is the same here and there.
    format!(
        "[servers.{name}]\ncommand = \"{program}\"\nargs = {options:?}\nscope = \"global\"\n{rest}\n"
    )
}

/// The member of a status that is a number.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// The requests that nobody has answered, and the sessions, as a status says them.
pub(crate) fn open_in(status: &Value) -> (u64, usize) {
    let each = |list: &'static str| status[list].as_array().into_iter().flatten();
    let owed = each("upstreams").chain(each("sessions"));
    (
        owed.map(|peer| number(&peer["in_flight"])).sum(),
        each("sessions").count(),
    )
}

/// The same command, as the last words of the command line of another.
pub(crate) fn wrapped(wrapper: &mut Command, command: &Command) {
    wrapper
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapper.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
}

/// Starts a command that is to run beside us, with nothing to read.
fn start(mut command: Command) -> anyhow::Result<Child> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let child = child.with_context(|| format!("starting {command:?}"))?;
    ensure!(child.id() > 0, "a process has a number");
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: &str = "INFO listening on=/pool\n";
    const ENDED: &str = "INFO ending why=asked\n";
    const CLEAN: &str = "INFO audit: 7 events, 9 messages, clean\n";

    #[test]
    fn a_daemon_that_ends_in_good_order_owes_a_word_of_the_books_it_keeps() {
        let nothing: [&str; 0] = [];
        let said = |log: &[&str]| complaints(&log.concat(), true);
        assert_eq!(said(&[BEGUN, ENDED, CLEAN]), nothing);
        assert_eq!(said(&[BEGUN, ENDED]), [NO_LAST_WORD]);
        assert_eq!(said(&[BEGUN, ENDED, BEGUN, ENDED, CLEAN]), [NO_LAST_WORD]);
        assert_eq!(complaints(&[BEGUN, ENDED].concat(), false), nothing);
        // It was killed, and the next one was stopped.
        assert_eq!(said(&[BEGUN, BEGUN, ENDED, CLEAN]), nothing);
        let found = "ERROR audit: I2: s1 is told what is not for it\n";
        assert_eq!(said(&[BEGUN, ENDED, found]), [found.trim_end()]);
    }
}
