//! The server of a session that has to run it itself: its command, and the right to run it.
//!
//! The command of `mcpool connect -- COMMAND` is known. What a configured name stands for is asked of
//! `mcpoold`, each time anew, as the configuration may be mended meanwhile.
//!
//! **Invariant:** nobody waits for that program for long, and there is one of it at most.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use sys::quit;

use crate::{
    direct::{self, NotDirect},
    places::Places,
    preface::{BODY_MAX, SessionAsk},
    recipe::{Recipe, VERB},
    rendezvous::left_until,
    sibling, stand_in,
    start::one_line,
};

/// How long that program may take. A first daemon may have been waited for before that, and clients wait
/// for both together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most bytes of its complaint that are told.
const COMPLAINT_MAX: usize = 2 * 1024;

/// How long it may take to end, once it has said everything or is killed.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// How long a refusal counts: a little less than what lies between two starts of a daemon while there is
/// little hope, as each of them is followed by a try.
const AGAIN_AFTER: Duration = Duration::from_secs(4);

/// What a session would run, should it have to.
pub(crate) struct OwnServer {
    /// What followed `connect` on our command line; of use only if no command is in it.
    words: Vec<OsString>,
    /// The program that was asked and that does not even end when it is killed.
    hanging: Option<Child>,
    /// When a configured server was last not to be run, and why.
    refused: Option<(Instant, String)>,
}

/// A server that may be run now.
pub(crate) struct Claimed {
    pub(crate) command: Command,
    /// The lock, unless the server is shared with nobody.
    pub(crate) lock: Option<File>,
}

impl Claimed {
    /// Starts it; hands out the pump's end of the link to it. If that cannot be, says why, for a person.
    ///
    /// To be called on the main thread: see [`stand_in::start`].
    pub(crate) fn start(self) -> Result<OwnedFd, String> {
        self.start_by(stand_in::start)
    }

    /// The same for a session that has said nothing yet.
    pub(crate) fn start_afresh(self) -> Result<OwnedFd, String> {
        self.start_by(stand_in::start_afresh)
    }

    fn start_by(
        self,
        start: impl FnOnce(Command, Option<File>) -> io::Result<OwnedFd>,
    ) -> Result<OwnedFd, String> {
        let program = self.command.get_program().to_owned();
        start(self.command, self.lock).map_err(|error| {
            let program = program.display();
            format!("nor can `{program}` be run without it: {error}")
        })
    }
}

impl OwnServer {
    pub(crate) fn new(words: Vec<OsString>) -> Self {
        OwnServer {
            words,
            hanging: None,
            refused: None,
        }
    }

    /// Claims the right to run the server of this ask. If it must not be run, says why, for a person.
    ///
    /// To be called on the main thread.
    pub(crate) fn claim(
        &mut self,
        places: &Places,
        ask: &SessionAsk,
        cause: &str,
    ) -> Result<Claimed, String> {
        if let Some(program) = ask.command.first() {
            let lock = direct::claim(places, ask, cause).map_err(|why| why.to_string())?;
            let command = direct::command(program, ask);
            return Ok(Claimed { command, lock });
        }
        if ask.address.is_some() {
            return Err("what runs already only a daemon can reach".to_owned());
        }
        if let Some((last, why)) = &self.refused
            && last.elapsed() < AGAIN_AFTER
        {
            return Err(why.clone());
        }
        let begun = Instant::now();
        let claimed = self.claim_configured(places, &ask.server, cause);
        claimed.map_err(|why| {
            let why = why.to_string();
            self.refused = Some((begun, why.clone()));
            why
        })
    }

    fn claim_configured(
        &mut self,
        places: &Places,
        server: &str,
        cause: &str,
    ) -> Result<Claimed, NotDirect> {
        let recipe = self.recipe()?;
        let lock = match &recipe.lock {
            Some(name) => Some(direct::claim_name(places, name, server, cause)?),
            None => None,
        };
        Ok(Claimed {
            command: command(&recipe),
            lock,
        })
    }

    /// What the configuration says now.
    fn recipe(&mut self) -> Result<Recipe, NotDirect> {
        let unknown = |source: io::Error| {
            NotDirect::Unknown(format!(
                "{} cannot be asked for it: {source}",
                sibling::DAEMON
            ))
        };
        if let Some(child) = &mut self.hanging {
            if child.try_wait().map_err(unknown)?.is_none() {
                return Err(hangs());
            }
            self.hanging = None;
        }
        let program = sibling::path(sibling::DAEMON).map_err(|_| NotDirect::NoReader)?;
        let mut asking = Command::new(program);
        asking.arg(VERB).args(&self.words);
        asking.stdin(Stdio::null());
        asking.stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::child::tie_to_us(&mut asking);
        let mut child = asking.spawn().map_err(unknown)?;
        let Some((said, complaint, status)) = hear(&mut child) else {
            self.end(child);
            return Err(hangs());
        };
        if !status.success() {
            return Err(NotDirect::Unknown(if complaint.is_empty() {
                format!(
                    "{} ended with {status} when it was asked for it",
                    sibling::DAEMON
                )
            } else {
                complaint
            }));
        }
        Recipe::decode(&said).map_err(|error| NotDirect::Unknown(error.to_string()))
    }

    /// Ends a program that has been waited for in vain.
    fn end(&mut self, mut child: Child) {
        // It starts nothing itself, so there is nothing below it.
        let _gone = child.kill();
        if ended_by(&mut child, Instant::now() + END_PATIENCE).is_none() {
            // Deep in a file system that does not answer, say.
            self.hanging = Some(child);
        }
    }
}

fn hangs() -> NotDirect {
    let (program, seconds) = (sibling::DAEMON, PATIENCE.as_secs());
    NotDirect::Unknown(format!(
        "{program}, which reads the configuration, was asked for it and did not answer within {seconds} s"
    ))
}

fn command(recipe: &Recipe) -> Command {
    let mut command = Command::new(&recipe.program);
    if let [name, arguments @ ..] = recipe.arguments.as_slice() {
        command.arg0(name).args(arguments);
    }
    let environment = recipe.environment.iter();
    command
        .env_clear()
        .envs(environment.map(|(name, value)| (name, value)))
        .current_dir(&recipe.directory);
    command
}

/// All that it says, what it complains of on one line, and how it ended; `None` if that does not come in
/// time, or if we are asked to end.
fn hear(child: &mut Child) -> Option<(Vec<u8>, String, ExitStatus)> {
    let deadline = Instant::now() + PATIENCE;
    let said = read_until(child.stdout.take()?, deadline)?;
    let mut complaint = read_until(child.stderr.take()?, deadline)?;
    complaint.truncate(COMPLAINT_MAX);
    let status = ended_by(child, Instant::now() + END_PATIENCE)?;
    let complaint = one_line(&complaint);
    let complaint = complaint.strip_prefix("mcpool: ").unwrap_or(&complaint);
    Some((said, complaint.to_owned(), status))
}

/// All that comes until nothing more can come.
fn read_until(mut pipe: impl Read + AsFd, deadline: Instant) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while all.len() <= BODY_MAX && Instant::now() < deadline && !quit::asked() {
        let left = Timespec::try_from(left_until(deadline)).ok();
        let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
        match poll(&mut ready, left.as_ref()) {
            Ok(1..) => {}
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => return None,
        }
        match pipe.read(&mut chunk) {
            Ok(0) => return Some(all),
            Ok(read) => all.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    None
}

fn ended_by(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
}
