//! A daemon of a test's own, and peers that speak the link's protocol.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
};

use daemon::{ServeOptions, StartedBy, admin};
use serde_json::{Value, json};
use shim::{
    places::Places,
    preface::{AdminAsk, Ask, Join, Preface, SessionAsk},
};

use crate::{runner::PATIENCE, server};

/// The role of a daemon; its home is the next argument.
pub(crate) const DAEMON: &str = "daemon";

/// Plays the daemon.
pub(crate) fn serve() -> ExitCode {
    let home = env::args_os().nth(2).unwrap();
    let places = Places::find(Some(Path::new(&home))).unwrap();
    let served = daemon::serve(ServeOptions {
        port: None,
        places,
        started_by: StartedBy::Shim,
        guardian_program: env::current_exe().unwrap(),
        thaw: None,
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A daemon in a home of its own; it is stopped when this is dropped.
pub(crate) struct Pool {
    _temporary: tempfile::TempDir,
    pub(crate) places: Places,
    daemon: Child,
}

impl Pool {
    /// A daemon with one configured server, `echo`.
    pub(crate) fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(temporary.path()).unwrap().join("pool");
        let places = Places::find(Some(&home)).unwrap();
        fs::create_dir(&home).unwrap();
        let this = env::current_exe().unwrap();
        let config = format!(
            "[servers.echo]\ncommand = '{}'\nargs = ['{}']\n",
            this.display(),
            server::ROLE
        );
        fs::write(&places.config, config).unwrap();
        let mut daemon = Command::new(this)
            .args([DAEMON.as_ref(), home.as_os_str()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        daemon
            .stdout
            .take()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(&ready, b"ready\n");
        Pool {
            _temporary: temporary,
            places,
            daemon,
        }
    }

    /// A session on the configured server, accepted and greeted.
    pub(crate) fn session(&self) -> Peer {
        let mut peer = self.connect(&Ask::Session(configured()));
        assert!(peer.line().starts_with("\x1eaccepted "));
        peer.say(&greeting());
        let greeted = peer.message();
        assert_eq!(greeted["result"]["serverInfo"]["name"], "echo", "{greeted}");
        peer.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        peer
    }

    pub(crate) fn connect(&self, ask: &Ask) -> Peer {
        Peer::connect(&self.places.socket, ask)
    }

    pub(crate) fn status(&self) -> admin::Status {
        let mut peer = self.connect(&Ask::Admin(AdminAsk::Status));
        assert_eq!(peer.line(), "\x1eaccepted");
        match serde_json::from_str(&peer.line()).unwrap() {
            admin::Answer::Ok(admin::Outcome::Status(status)) => *status,
            other @ (admin::Answer::Ok(_) | admin::Answer::Error(_) | admin::Answer::Busy(_)) => {
                panic!("no status: {other:?}")
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.id()
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.places.logs.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // It has ended already where a test has stopped it.
        if let Ok(mut stream) = UnixStream::connect(&self.places.socket) {
            let stop = preface(Ask::Admin(AdminAsk::Stop)).encode().unwrap();
            let mut answer = String::new();
            let _gone = stream.write_all(&stop);
            let _gone = stream.set_read_timeout(Some(PATIENCE));
            let _gone = stream.read_to_string(&mut answer);
        } else {
            let _ended = self.daemon.kill();
        }
        let _reaped = self.daemon.wait();
        // A test that has failed already says why itself.
        if !thread::panicking() {
            let log = self.log("daemon");
            assert_eq!(complaint(&log), None, "the daemon's log complains");
        }
    }
}

/// What is wrong in the log of a daemon that has ended: whatever its books have found, or that it says
/// nothing of them. Only the feature has it keep any.
fn complaint(log: &str) -> Option<&str> {
    let verdicts = || log.lines().filter(|line| line.contains("audit: "));
    let is_clean = |line: &&str| line.ends_with(", clean") && !line.contains("audit: 0 events");
    let owes_one = cfg!(feature = "audit") && verdicts().next().is_none();
    let bad = verdicts().find(|line| !is_clean(line));
    bad.or(owes_one.then_some("the daemon ended without a word of its books"))
}

/// Somebody at the other end of the link.
pub(crate) struct Peer {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    /// The control lines that came, without their mark.
    pub(crate) controls: Vec<String>,
}

impl Peer {
    pub(crate) fn connect(socket: &Path, ask: &Ask) -> Self {
        let mut peer = Peer::silent(socket);
        peer.stream
            .write_all(&preface(ask.clone()).encode().unwrap())
            .unwrap();
        peer
    }

    /// One that has said nothing yet.
    pub(crate) fn silent(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Peer {
            stream,
            lines,
            controls: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.say_bytes(format!("{line}\n").as_bytes());
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next line without its end; an empty text at the end of all.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.truncate(line.trim_end_matches('\n').len());
        line
    }

    /// The next message; control lines before it are kept apart.
    pub(crate) fn message(&mut self) -> Value {
        loop {
            let line = self.line();
            match line.strip_prefix('\x1e') {
                Some(control) => self.controls.push(control.to_owned()),
                None => {
                    return serde_json::from_str(&line)
                        .unwrap_or_else(|_| panic!("no message: {line:?}"));
                }
            }
        }
    }

    /// The answer to the request with this id; what comes before it is passed over.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.message();
            if message["id"] == id && message["method"].is_null() {
                return message;
            }
        }
    }

    pub(crate) fn call(&mut self, id: u64, tool: &str, arguments: &Value) {
        let call = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments, "_meta": { "progressToken": id } },
        });
        self.say(&call.to_string());
    }

    pub(crate) fn end_input(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything that still comes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        rest
    }
}

pub(crate) fn greeting() -> String {
    json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    })
    .to_string()
}

pub(crate) fn configured() -> SessionAsk {
    SessionAsk {
        server: "echo".to_owned(),
        command: Vec::new(),
        address: None,
        directory: None,
        scope: None,
        workspace: None,
        pass: Vec::new(),
        join: Join::ShareKey,
        resume: None,
        env: env::vars_os().collect(),
    }
}

pub(crate) fn preface(ask: Ask) -> Preface {
    Preface {
        version: "0.0.0".to_owned(),
        cwd: PathBuf::from("/"),
        umask: 0o022,
        pid: std::process::id(),
        ask,
    }
}

/// Whether this process runs. One that has ended and was not seen off yet does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
