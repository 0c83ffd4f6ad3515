//! `mcpool connect`: a session for the client that runs us.

use std::{
    env,
    ffi::OsString,
    fmt,
    io::{self, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use rustix::{fs::Mode, stdio};
use sys::{memory, quit};

use crate::{
    answer::Answer,
    arguments::{self, Connect, Parsed, UsageError},
    direct::{self, OnDaemonFailure},
    meet::{Caller, NotMet},
    own_server::{Claimed, OwnServer},
    places::{Places, PlacesError},
    preface::{Ask, Join, Preface, SessionAsk},
    pump::{self, Beginning, End, Seeker},
    rendezvous::STARTS_WITHIN,
    workspace::{self, BadFolder},
};

/// The session did not come about, or broke.
const FAILED: u8 = 1;
/// The command line is wrong.
const WRONG_USAGE: u8 = 2;
/// There is no daemon to be had.
const NO_DAEMON: u8 = 3;

/// How long a client's requests wait for a daemon before they are answered with an error.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first one, from the start of this process: no longer than clients wait for the answer to
    /// their greeting. Who has had an error then does not come again.
    pub first: Duration,
    /// For the next one.
    pub next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            first: STARTS_WITHIN,
            next: Duration::from_secs(30),
        }
    }
}

/// Why a session did not come about, or broke.
#[derive(Debug)]
enum Failure {
    Usage(UsageError),
    Folder(BadFolder),
    Places(PlacesError),
    NotMet(NotMet),
    /// The client has ended before there was a daemon. What there was to say has been said.
    Unserved,
    /// The daemon's refusal, in its words.
    Refused(String),
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
            Failure::Usage(_) | Failure::Folder(_) => WRONG_USAGE,
            Failure::NotMet(NotMet::Rendezvous(_)) | Failure::Unserved => NO_DAEMON,
            Failure::Places(_)
            | Failure::NotMet(NotMet::Preface(_) | NotMet::NoAnswer(_))
            | Failure::Refused(_)
            | Failure::CannotRun { .. }
            | Failure::System(_) => FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => error.fmt(f),
            Failure::Folder(error) => error.fmt(f),
            Failure::Places(error) => error.fmt(f),
            Failure::NotMet(error) => error.fmt(f),
            Failure::Unserved => f.write_str("there was no daemon until the end"),
            Failure::Refused(text) => f.write_str(text),
            Failure::CannotRun { program, source } => {
                write!(f, "cannot run `{}`: {source}", program.display())
            }
            Failure::System(error) => error.fmt(f),
        }
    }
}

/// Runs the verb with the arguments that follow it, on the main thread, as the only
/// thing that this process does.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run_with_patience(arguments, Patience::default())
}

/// As [`run`], but requests wait this long for a daemon.
pub fn run_with_patience(
    arguments: impl Iterator<Item = OsString>,
    patience: Patience,
) -> ExitCode {
    let words: Vec<OsString> = arguments.collect();
    let connect = match arguments::parse(words.iter().cloned()) {
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
    ExitCode::from(served(session(connect, words, patience)))
}

/// Serves a session, as the only thing that this process does; the code to end with.
pub(crate) fn serve(connect: Connect, words: Vec<OsString>) -> u8 {
    served(session(connect, words, Patience::default()))
}

fn served(done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(failure) => {
            if !matches!(failure, Failure::Unserved) {
                report(&failure);
            }
            failure.exit_code()
        }
    }
}

pub(crate) fn report(what: &dyn fmt::Display) {
    // There is nobody to tell that stderr is closed.
    let _ = writeln!(io::stderr(), "mcpool: {what}");
}

fn session(connect: Connect, words: Vec<OsString>, patience: Patience) -> Result<(), Failure> {
    let first_deadline = Instant::now() + patience.first;
    memory::economise();
    quit::install(0).map_err(Failure::System)?;
    let said = connect.on_daemon_failure;
    // Of what is configured `mcpoold` knows what to do, if nobody says it here.
    let choice = said_choice(said)
        .map_err(Failure::Usage)?
        .unwrap_or_default();
    let places = Places::find(connect.home.as_deref()).map_err(Failure::Places)?;
    let ask = ask_of(connect).map_err(Failure::Folder)?;
    let mut own_server = OwnServer::new(if ask.command.is_empty() {
        words
    } else {
        // They are in the ask.
        Vec::new()
    });
    // The caller adds the environment.
    let caller = Caller::new(places, preface(Ask::Session(ask)));
    let (socket, answer) = match caller.come(first_deadline) {
        Ok(met) => met,
        Err(cause) => {
            let nobody_there =
                direct::is_for_want_of_a_daemon(&cause) && matches!(cause, NotMet::Rendezvous(_));
            let unshared = run_it_unshared(&caller, &mut own_server, cause, choice)?;
            let mut seeker = Seeker::new(caller, own_server, None, patience.next, choice);
            let cause = match unshared {
                Unshared::Runs(link) => {
                    seeker.note_own_server();
                    return carry(Beginning::Met(link), seeker);
                }
                Unshared::Not(cause) => cause,
            };
            report(&format_args!("{cause}; mcpool goes on trying"));
            quit::exit_with(NO_DAEMON);
            let beginning = Beginning::Unmet {
                hopeless_at: first_deadline,
                cause,
                nobody_there,
            };
            return carry(beginning, seeker);
        }
    };
    let number = match answer {
        Answer::Accepted { session } => session,
        Answer::RunItYourself => return Err(run_it_here(caller.preface())),
        Answer::Refused(text) => return Err(Failure::Refused(text)),
    };
    let seeker = Seeker::new(caller, own_server, number, patience.next, choice);
    carry(Beginning::Met(socket.into()), seeker)
}

/// What is to be done without a daemon, if somebody says it: the command line, else the environment.
pub fn said_choice(said: Option<OnDaemonFailure>) -> Result<Option<OnDaemonFailure>, UsageError> {
    match (said, env::var("MCPOOL_ON_DAEMON_FAILURE")) {
        (Some(choice), _) => Ok(Some(choice)),
        (None, Ok(word)) if !word.is_empty() => arguments::on_daemon_failure(word).map(Some),
        (None, _) => Ok(None),
    }
}

/// What a session wants, by its command line and its folder; without its environment.
pub fn ask_of(connect: Connect) -> Result<SessionAsk, BadFolder> {
    let directory = connect.directory.as_deref();
    let directory = directory.map(|flag| workspace::folder_of(flag, "where the command starts"));
    Ok(SessionAsk {
        server: connect.server,
        command: connect.command,
        address: connect.address,
        directory: directory.transpose()?,
        scope: connect.scope,
        workspace: workspace::find(connect.workspace.as_deref())?,
        pass: connect.pass,
        join: Join::ShareKey,
        resume: None,
        env: Vec::new(),
    })
}

fn carry(beginning: Beginning, seeker: Seeker) -> Result<(), Failure> {
    match pump::run(beginning, seeker, stdio::stdin(), stdio::stdout()) {
        Ok(End::Finished | End::ClientGone | End::Asked) => Ok(()),
        Ok(End::Unserved) => Err(Failure::Unserved),
        Err(source) => Err(Failure::System(source)),
    }
}

/// A preface of this process.
///
/// For a program with one thread: to read the file mode creation mask, it is changed
/// for an instant.
pub fn preface(ask: Ask) -> Preface {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(umask);
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::useless_conversion, reason = "elsewhere it is narrower")
    )]
    let umask = u32::from(umask.bits());
    Preface {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // A folder that was removed under us has no name any more.
        cwd: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        umask,
        pid: std::process::id(),
        ask,
    }
}

/// Becomes the command; returns only if that fails.
fn run_it_here(preface: &Preface) -> Failure {
    let ask = match &preface.ask {
        Ask::Session(ask) => ask,
        Ask::Admin(_) => return Failure::NotMet(NotMet::NoAnswer(None)),
    };
    match ask.command.first() {
        Some(program) => become_it(direct::command(program, ask)),
        None => Failure::NotMet(NotMet::NoAnswer(None)),
    }
}

fn become_it(mut command: Command) -> Failure {
    Failure::CannotRun {
        source: command.exec(),
        program: command.get_program().to_owned(),
    }
}

/// What becomes of a session that has no daemon when it begins, and is no command by then.
enum Unshared {
    /// Its server runs at the other end of this link.
    Runs(OwnedFd),
    /// There is nobody who serves it, for this reason; that is no end of it, since whoever starts us does
    /// so once.
    Not(String),
}

/// Runs the server as no daemon can be had: becomes it, if it is a command.
///
/// What is configured runs beside us, as whoever wrote its name may not have thought of its end: when it
/// ends, a daemon is looked for again.
fn run_it_unshared(
    caller: &Caller,
    own_server: &mut OwnServer,
    cause: NotMet,
    choice: OnDaemonFailure,
) -> Result<Unshared, Failure> {
    if let NotMet::Preface(_) = cause {
        // It would be no other the next time.
        return Err(Failure::NotMet(cause));
    }
    let ask = match (&caller.preface().ask, choice) {
        (Ask::Session(ask), OnDaemonFailure::Direct) if direct::is_for_want_of_a_daemon(&cause) => {
            ask
        }
        (Ask::Session(_) | Ask::Admin(_), _) => return Ok(Unshared::Not(cause.to_string())),
    };
    let cause = cause.to_string();
    let tell = || direct::tell(caller.places(), &ask.server, &cause, "");
    let claimed = own_server.claim(caller.places(), ask, &cause);
    if !ask.command.is_empty()
        && let Ok(Claimed { command, lock }) = claimed
    {
        tell();
        let failure = become_it(command);
        drop(lock);
        return Err(failure);
    }
    Ok(match claimed.and_then(Claimed::start_afresh) {
        Ok(link) => {
            tell();
            Unshared::Runs(link)
        }
        Err(why) => Unshared::Not(format!("{cause}; {why}")),
    })
}
