//! How the process ends, for scripts.

use std::{error, fmt, io, process::ExitCode};

use shim::{rendezvous::RendezvousError, workspace::BadFolder};

use crate::{
    client::{ErrorAnswer, NotStarted, TimedOut},
    daemon_link::NoAnswer,
};

/// The exit codes; they are documented and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// There is no daemon to be had, or no server where none was to be started.
    Unreachable,
    /// The tool answered with an error.
    ToolFailed,
    /// A plan was shown that would change something.
    WouldChange,
    /// No answer came in time.
    TimedOut,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::ToolFailed => 4,
            Exit::WouldChange => 5,
            Exit::TimedOut => 124,
        })
    }
}

/// A command line that the grammar lets pass and that makes no sense all the same.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for WrongUsage {}

/// The code that tells a script what kind of error this is.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    // Also as what is said of another error.
    if error.is::<TimedOut>() {
        return Exit::TimedOut;
    }
    for cause in error.chain() {
        if cause.is::<WrongUsage>() || cause.is::<BadFolder>() {
            return Exit::Usage;
        }
        if let Some(answer) = cause.downcast_ref::<ErrorAnswer>() {
            // With an answer of our own, no tool has had a say.
            return if answer.is_ours {
                Exit::Failed
            } else {
                Exit::ToolFailed
            };
        }
        if cause.is::<RendezvousError>() || cause.is::<NoAnswer>() || cause.is::<NotStarted>() {
            return Exit::Unreachable;
        }
    }
    Exit::Failed
}

pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn context_does_not_hide_what_kind_of_error_it_is() {
        let error = Err::<(), _>(RendezvousError::NotRunning)
            .context("asking the daemon")
            .unwrap_err();
        assert_eq!(of(&error), Exit::Unreachable);
        let error = anyhow::Error::new(WrongUsage("no".into())).context("reading");
        assert_eq!(of(&error), Exit::Usage);
        assert_eq!(of(&anyhow::anyhow!("else")), Exit::Failed);
    }
}
