//! `mcpool connect`: a session for the client that runs us.

use std::{
    env,
    ffi::OsString,
    fmt,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Command, ExitCode},
};

use rustix::{
    buffer::spare_capacity,
    fs::Mode,
    io::Errno,
    net::{RecvFlags, recv},
    stdio,
};
use sys::{memory, quit};

use crate::{
    answer::{ANSWER_MAX, Answer},
    arguments::{self, Connect, Parsed},
    places::{Places, PlacesError},
    preface::{Ask, Join, Preface, PrefaceError, SessionAsk},
    pump::{self, End},
    rendezvous::{self, RendezvousError, Start},
    workspace::{self, BadWorkspace},
};

/// The session did not come about, or broke.
const FAILED: u8 = 1;
/// The command line is wrong.
const WRONG_USAGE: u8 = 2;
/// There is no daemon to be had.
const NO_DAEMON: u8 = 3;

/// How many daemons may hang up on us without a word.
const ATTEMPTS: usize = 3;

/// Why a session did not come about, or broke.
#[derive(Debug)]
enum Failure {
    Workspace(BadWorkspace),
    Places(PlacesError),
    Rendezvous(RendezvousError),
    Preface(PrefaceError),
    /// The daemon's refusal, in its words.
    Refused(String),
    /// What came instead of an answer, or an answer that makes no sense.
    NoAnswer(Option<io::Error>),
    DaemonGone(Option<io::Error>),
    /// The command that we were to run ourselves.
    CannotRun {
        program: OsString,
        source: io::Error,
    },
    System(io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Workspace(_) => WRONG_USAGE,
            Failure::Rendezvous(_) => NO_DAEMON,
            Failure::Places(_)
            | Failure::Preface(_)
            | Failure::Refused(_)
            | Failure::NoAnswer(_)
            | Failure::DaemonGone(_)
            | Failure::CannotRun { .. }
            | Failure::System(_) => FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Workspace(error) => error.fmt(f),
            Failure::Places(error) => error.fmt(f),
            Failure::Rendezvous(error) => error.fmt(f),
            Failure::Preface(error) => error.fmt(f),
            Failure::Refused(text) => f.write_str(text),
            Failure::NoAnswer(source) => {
                f.write_str("the daemon did not answer")?;
                because(source.as_ref(), f)
            }
            Failure::DaemonGone(source) => {
                f.write_str("the daemon ended the session")?;
                because(source.as_ref(), f)
            }
            Failure::CannotRun { program, source } => {
                write!(f, "cannot run `{}`: {source}", program.display())
            }
            Failure::System(error) => error.fmt(f),
        }
    }
}

fn because(source: Option<&io::Error>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match source {
        Some(source) => write!(f, ": {source}"),
        None => Ok(()),
    }
}

/// Runs the verb with the arguments that follow it, on the main thread, as the only
/// thing that this process does.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let connect = match arguments::parse(arguments) {
        Ok(Parsed::Connect(connect)) => connect,
        Ok(Parsed::Help) => {
            // Who closed stdout does not want to read it.
            let _ = io::stdout().write_all(arguments::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            report(&format_args!("{error}\nTry `mcpool connect --help`."));
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match session(connect) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn report(what: &dyn fmt::Display) {
    // There is nobody to tell that stderr is closed.
    let _ = writeln!(io::stderr(), "mcpool: {what}");
}

fn session(connect: Connect) -> Result<(), Failure> {
    memory::economise();
    quit::install(0).map_err(Failure::System)?;
    let places = Places::find(connect.home.as_deref()).map_err(Failure::Places)?;
    let workspace = workspace::find(connect.workspace.as_deref()).map_err(Failure::Workspace)?;
    let ask = SessionAsk {
        server: connect.server,
        command: connect.command,
        scope: connect.scope,
        workspace,
        pass: connect.pass,
        join: Join::ShareKey,
        resume: None,
        env: env::vars_os().collect(),
    };
    let preface = preface(Ask::Session(ask));
    let (socket, answer) = meet(&places, &preface)?;
    match answer {
        Answer::Accepted { session: _ } => {}
        Answer::RunItYourself => return Err(run_it_here(preface.ask)),
        Answer::Refused(text) => return Err(Failure::Refused(text)),
    }
    // All of this was for the meeting; the session may last for days.
    drop((preface, places));
    memory::give_back();
    match pump::run(socket.into(), stdio::stdin(), stdio::stdout()).map_err(Failure::System)? {
        End::Finished | End::ClientGone | End::Asked => Ok(()),
        End::DaemonGone(source) => Err(Failure::DaemonGone(source)),
    }
}

/// A preface of this process.
///
/// For a program with one thread: to read the file mode creation mask, it is changed
/// for an instant.
pub fn preface(ask: Ask) -> Preface {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(umask);
    Preface {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // A folder that was removed under us has no name any more.
        cwd: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        umask: umask.as_raw_mode(),
        pid: std::process::id(),
        ask,
    }
}

/// Finds a daemon that says yes or no.
///
/// One that is about to end may let us in and hang up without a word; then it is the
/// next one's turn.
fn meet(places: &Places, preface: &Preface) -> Result<(UnixStream, Answer), Failure> {
    let bytes = preface.encode().map_err(Failure::Preface)?;
    let mut hung_up = None;
    for _ in 0..ATTEMPTS {
        let socket = rendezvous::connect(places, Start::IfNeeded).map_err(Failure::Rendezvous)?;
        match exchange(&socket, &bytes) {
            Ok(line) if !line.is_empty() => {
                let answer = Answer::parse(&line).ok_or(Failure::NoAnswer(None))?;
                return Ok((socket, answer));
            }
            Ok(_) => {}
            Err(source) => hung_up = Some(source),
        }
    }
    Err(Failure::NoAnswer(hung_up))
}

/// Says who we are and what we want, and hears one line: empty if the daemon hung up.
fn exchange(mut socket: &UnixStream, preface: &[u8]) -> io::Result<Vec<u8>> {
    // One that hangs up before it has read everything may have said why.
    let sent = socket.write_all(preface);
    let line = read_line(socket)?;
    if line.is_empty() {
        sent?;
    }
    Ok(line)
}

/// Takes exactly one line from the socket; what follows it is for the pump.
fn read_line(socket: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut ahead = Vec::with_capacity(ANSWER_MAX);
    while !line.ends_with(b"\n") && line.len() < ANSWER_MAX {
        ahead.clear();
        match recv(socket, spare_capacity(&mut ahead), RecvFlags::PEEK) {
            Ok((0, _)) => break,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let newline = memchr::memchr(b'\n', &ahead);
        ahead.truncate(newline.map_or(ahead.len(), |newline| newline + 1));
        // They are there, so this takes all of them.
        recv(socket, &mut ahead[..], RecvFlags::empty())?;
        line.extend_from_slice(&ahead);
    }
    Ok(line)
}

/// Becomes the command; returns only if that fails.
fn run_it_here(ask: Ask) -> Failure {
    let Ask::Session(session) = ask else {
        return Failure::NoAnswer(None);
    };
    let Some((program, arguments)) = session.command.split_first() else {
        return Failure::NoAnswer(None);
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for pass in &session.pass {
        let bytes = pass.as_bytes();
        // A bare name is in our environment already, or nowhere.
        if let Some(equals) = memchr::memchr(b'=', bytes) {
            let (name, value) = bytes.split_at(equals);
            command.env(
                std::ffi::OsStr::from_bytes(name),
                std::ffi::OsStr::from_bytes(&value[1..]),
            );
        }
    }
    Failure::CannotRun {
        source: command.exec(),
        program: program.clone(),
    }
}
