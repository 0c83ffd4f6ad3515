//! What every test needs: a home, a shim in it, and the daemon's side of the link.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};
use shim::{
    control::{Resumed, resumed},
    preface::{Ask, Head, Preface, SessionAsk, head},
};
use tempfile::TempDir;

/// Longer than anything takes, on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A program that is a shim, or a fake daemon, as its first argument says.
pub(crate) const ACTOR: &str = env!("CARGO_BIN_EXE_shim-actor");

/// A home with a socket in it on which the test listens.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    listener: UnixListener,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join("mcpool.sock")).unwrap();
        Stage { home, listener }
    }

    /// A shim that was given these arguments, and the daemon's end of its link.
    pub(crate) fn open(&self, arguments: &[&str]) -> (Client, Daemon) {
        let client = Client::start(Path::new(ACTOR), self.home.path(), arguments);
        (client, self.accept())
    }

    /// A session, accepted, of a shim beside which no daemon's program lies, and which gives up hope
    /// after this time.
    pub(crate) fn lonely(&self, patience: Duration) -> (Client, Daemon) {
        self.lonely_with(patience, &["echo"])
    }

    /// The same, of a shim that was given these arguments.
    pub(crate) fn lonely_with(&self, patience: Duration, arguments: &[&str]) -> (Client, Daemon) {
        let program = self.lonely_program();
        // Passed by way of the one who starts it, as it is no option of the shim.
        let patience = ("ACTOR_PATIENCE_MS", patience);
        let client = Client::start_with(&program, self.home.path(), arguments, Some(patience));
        let mut daemon = self.accept();
        daemon.say("\x1eaccepted 1\n");
        (client, daemon)
    }

    /// A shim beside which no daemon's program lies.
    pub(crate) fn lonely_client(&self, arguments: &[&str]) -> Client {
        Client::start(&self.lonely_program(), self.home.path(), arguments)
    }

    /// The same, but its client is left waiting for a first daemon for this time only.
    pub(crate) fn lonely_client_with(&self, patience: Duration, arguments: &[&str]) -> Client {
        let patience = ("ACTOR_FIRST_PATIENCE_MS", patience);
        let program = self.lonely_program();
        Client::start_with(&program, self.home.path(), arguments, Some(patience))
    }

    fn lonely_program(&self) -> PathBuf {
        let program = self.home.path().join("mcpool");
        if !program.exists() && fs::hard_link(ACTOR, &program).is_err() {
            // Nobody can execute what a child of another test has open for writing; this one has no such children.
            let copied = Command::new("cp").arg(ACTOR).arg(&program).status();
            assert!(copied.unwrap().success());
        }
        program
    }

    /// Nobody listens any more, and there is nothing where somebody did.
    pub(crate) fn close(&mut self) {
        let socket = self.home.path().join("mcpool.sock");
        fs::remove_file(&socket).unwrap();
        // The old one goes as the new one comes, at a place where nobody looks for it.
        let elsewhere = self.home.path().join("closed.sock");
        self.listener = UnixListener::bind(elsewhere).unwrap();
    }

    /// Somebody listens again.
    pub(crate) fn open_again(&mut self) {
        let socket = self.home.path().join("mcpool.sock");
        self.listener = UnixListener::bind(socket).unwrap();
    }

    /// The daemon's end of the next link, on which a session goes on, with what was told of it.
    pub(crate) fn resumed(&self, session: u64) -> (Daemon, String) {
        let mut daemon = self.accept();
        daemon.say(&format!("\x1eaccepted {session}\n"));
        let told = daemon.hear_resumed();
        (daemon, told)
    }

    /// Whether somebody waits to be let in.
    pub(crate) fn is_anybody_there(&self) -> bool {
        let now = Timespec::default();
        let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
        poll(&mut ready, Some(&now)) == Ok(1)
    }

    /// The daemon's end of the next link.
    pub(crate) fn accept(&self) -> Daemon {
        Daemon::accept(&self.listener)
    }

    /// A session that the daemon has accepted.
    pub(crate) fn accepted(&self) -> (Client, Daemon) {
        let (client, mut daemon) = self.open(&["echo"]);
        daemon.say("\x1eaccepted 1\n");
        (client, daemon)
    }
}

/// The side that a client sees.
pub(crate) struct Client {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// A shim that comes to this stage, where nobody has let it in yet.
    pub(crate) fn of(stage: &Stage) -> Self {
        Client::start(Path::new(ACTOR), stage.home.path(), &["echo"])
    }

    fn start(program: &Path, home: &Path, arguments: &[&str]) -> Self {
        Client::start_with(program, home, arguments, None)
    }

    fn start_with(
        program: &Path,
        home: &Path,
        arguments: &[&str],
        patience: Option<(&str, Duration)>,
    ) -> Self {
        let patience = patience.map(|(name, patience)| (name, patience.as_millis().to_string()));
        let mut child = Command::new(program)
            .args(["connect", "--home"])
            .arg(home)
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("TOKEN", "a=b")
            .envs(patience)
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Client {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn hear_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn hear_rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        rest
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; returns it with all that stderr said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let mut words = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut words).unwrap();
        (status, words)
    }

    /// Waits for an end that is nothing to talk about.
    #[track_caller]
    pub(crate) fn end_well(self) {
        let (status, words) = self.end();
        assert_eq!((status.code(), words.as_str()), (Some(0), ""));
    }

    /// Memory that is this process's alone and no part of a file, in bytes.
    pub(crate) fn own_memory(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = fs::read_to_string(path).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Anonymous:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() * 1024
    }
}

/// Waits for a process without hanging for ever.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("the shim does not end");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a fact.
pub(crate) fn wait_until(fact: impl Fn() -> bool) {
    let begin = Instant::now();
    while !fact() {
        assert!(begin.elapsed() < DEADLINE, "it never came true");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The side that a daemon sees.
pub(crate) struct Daemon {
    pub(crate) link: BufReader<UnixStream>,
    pub(crate) preface: Preface,
}

impl Daemon {
    fn accept(listener: &UnixListener) -> Self {
        let timeout = Timespec::try_from(DEADLINE).unwrap();
        let mut ready = [PollFd::new(listener, PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(&timeout)), Ok(1), "nobody came");
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut link = BufReader::new(stream);
        let mut first = Vec::new();
        link.read_until(b'\n', &mut first).unwrap();
        let Head::Complete { body_len, .. } = head(&first).unwrap() else {
            panic!("cut off: {first:?}");
        };
        let mut body = vec![0; body_len];
        link.read_exact(&mut body).unwrap();
        let preface = Preface::decode(&body).unwrap();
        Daemon { link, preface }
    }

    pub(crate) fn session(&self) -> &SessionAsk {
        match &self.preface.ask {
            Ask::Session(session) => session,
            Ask::Admin(admin) => panic!("not a session: {admin:?}"),
        }
    }

    /// Says something to a peer that may have gone.
    pub(crate) fn say_if_heard(&mut self, text: &str) {
        let _ = self.link.get_mut().write_all(text.as_bytes());
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.link.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn hear_line(&mut self) -> String {
        let mut line = String::new();
        self.link.read_line(&mut line).unwrap();
        line
    }

    /// All that a shim tells until it goes on as ever.
    pub(crate) fn hear_resumed(&mut self) -> String {
        let mut told = String::new();
        loop {
            let line = self.hear_line();
            told += &line;
            match resumed(line.as_bytes()) {
                Some(Resumed::Next(_)) => return told,
                Some(Resumed::Line { .. }) => told += &self.hear_line(),
                None => panic!("{line:?} after {told:?}"),
            }
        }
    }
}
