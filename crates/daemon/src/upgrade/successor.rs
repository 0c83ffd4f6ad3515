//! The program that is executed in our place.

use std::{
    convert::Infallible,
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::PathBuf,
    process::Command,
};

use anyhow::Context;
use rustix::process::Signal;
use shim::places::Places;
use sys::handed;
use tokio::{net::UnixStream, sync::OwnedSemaphorePermit, time};

use super::{FrozenDaemon, Handed};
use crate::{
    admin::Answer,
    front::{ANSWER_PATIENCE, say},
    observe,
    serve::StartedBy,
    tasks,
};

/// What is told to whoever wants an upgrade beside another.
pub(crate) const UNDER_WAY: &str = "an upgrade is under way already";

/// Our own program, as it is installed when it is executed, and how this daemon was started.
///
/// Nobody who talks to us can name another.
#[derive(Clone, Debug)]
pub(crate) struct Successor {
    pub(crate) program: PathBuf,
    /// Behind the program's name for itself.
    pub(crate) arguments: Vec<OsString>,
}

/// The wish for an upgrade, from somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct UpgradeWish {
    pub(crate) requester: UnixStream,
    /// All places for callers, so that nobody else is let in meanwhile; unless somebody takes too long.
    pub(crate) quiet: Option<OwnedSemaphorePermit>,
    /// So that nobody else tries a program meanwhile.
    pub(crate) only_one: OwnedSemaphorePermit,
}

/// Why there is no upgrade now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// It is so until somebody ends it.
    Lasts(&'static str),
    /// It passes by itself: a request that has come in part is given up in half a minute, for one.
    Passes(&'static str),
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (NotNow::Lasts(what) | NotNow::Passes(what)) = self;
        f.write_str(what)
    }
}

impl Error for NotNow {}

impl UpgradeWish {
    /// Says why it cannot be, and lets others in again.
    pub(crate) fn refuse(self, why: &str) {
        self.answer(why, Answer::Error);
    }

    /// The same of what passes by itself: whoever wants it may come again soon.
    pub(crate) fn put_off(self, why: &str) {
        self.answer(why, Answer::Busy);
    }

    /// For good, or so that it is tried again.
    pub(crate) fn decline(self, why: NotNow) {
        match why {
            NotNow::Passes(_) => self.put_off(&why.to_string()),
            NotNow::Lasts(_) => self.refuse(&why.to_string()),
        }
    }

    fn answer(self, why: &str, answer: impl FnOnce(String) -> Answer) {
        observe::not_upgraded(why);
        let line = answer(format!("not upgraded: {why}")).to_line();
        let UpgradeWish {
            requester,
            quiet,
            only_one,
        } = self;
        drop((quiet, only_one));
        tasks::spawn("answer", async move {
            let _gone = time::timeout(ANSWER_PATIENCE, say(&requester, &line)).await;
        });
    }
}

impl Successor {
    /// The program that runs here, started with the same words.
    pub(crate) fn of_this_program(places: &Places, started_by: StartedBy) -> anyhow::Result<Self> {
        let program = env::current_exe().context("finding the own program")?;
        // It may have been replaced in the moment since we were started.
        let name = program.as_os_str().as_bytes();
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        let program = PathBuf::from(OsStr::from_bytes(name));
        let mut arguments = vec![OsString::from("serve")];
        if let Some(home) = &places.home {
            arguments.extend(["--home".into(), home.clone().into_os_string()]);
        }
        match started_by {
            StartedBy::Person => {}
            StartedBy::Shim => arguments.push("--background".into()),
            StartedBy::ServiceManager => arguments.push("--from-service".into()),
        }
        Ok(Successor { program, arguments })
    }

    /// Executes the program in our place. Returns only if that is not possible, and then all is as it was.
    pub(crate) fn take_over(
        &self,
        frozen: &FrozenDaemon,
        handed: &Handed<'_>,
    ) -> anyhow::Result<Infallible> {
        let bytes = frozen.to_bytes().context("writing down what there is")?;
        let state = in_memory(&bytes).context("making room for what there is")?;
        drop(bytes);
        handed.stay().context("keeping descriptors open")?;
        handed::keep(&state).context("keeping the state open")?;
        let error = Command::new(&self.program)
            .arg0("mcpool")
            .args(&self.arguments)
            .arg("--thaw")
            .arg(state.as_fd().as_raw_fd().to_string())
            .exec();
        // It was made to end whoever writes to nobody, for the other program.
        sys::signals::ignore(Signal::PIPE);
        handed
            .stay_no_longer()
            .context("closing descriptors to others again")?;
        Err(error).with_context(|| format!("executing {}", self.program.display()))
    }
}

/// A file in memory with these bytes, to be read from its beginning.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = sys::scratch::file()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
