//! `mcpool serve`: the daemon itself.

use std::{ffi::OsString, os::fd::RawFd, path::PathBuf};

use daemon::{ServeOptions, StartedBy};
use shim::{places::Places, recipe, sibling};

use super::{connect::SMALL_PROGRAM, upgrade::upgrade_if_running};
use crate::{exit::Exit, ui::Ui};

/// Run the daemon here; sessions start it in the background by themselves
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the terminal, log to a file, and say `ready` on stdout
    #[arg(long)]
    background: bool,
    /// As a service: take the sockets that the service manager passes, tell it when ready, log to a file
    #[arg(long, conflicts_with = "background")]
    from_service: bool,
    /// If a daemon runs already, have it go on as the program that is installed now, and end
    #[arg(long, conflicts_with_all = ["background", "from_service"])]
    upgrade: bool,
}

/// What a program of ours wants that starts this one, and which no person says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A shim: be the daemon.
    Serve {
        /// The folder of everything.
        home: Option<PathBuf>,
        started_by: StartedBy,
        /// A daemon whose place this program takes: the descriptor with its state.
        thaw: Option<RawFd>,
    },
    /// A daemon that is to be upgraded: say whether you could go on in its place.
    CheckState,
    /// A shim that can have no daemon: say how it runs the server itself that these words name.
    Recipe { words: Vec<OsString> },
}

/// The words with which a shim or a daemon starts this program, if these are they.
///
/// They are understood without the grammar, whose many pages the daemon would otherwise keep in
/// memory for life.
pub(crate) fn said_by_a_program(mut words: impl Iterator<Item = OsString>) -> Option<Said> {
    match words.next()?.to_str()? {
        "serve" => {}
        recipe::VERB => {
            return Some(Said::Recipe {
                words: words.collect(),
            });
        }
        _ => return None,
    }
    let (mut home, mut started_by, mut thaw) = (None, None, None);
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--check-state" => return words.next().is_none().then_some(Said::CheckState),
            "--home" if home.is_none() && started_by.is_none() => {
                home = Some(PathBuf::from(words.next()?));
            }
            "--background" if started_by.is_none() => started_by = Some(StartedBy::Shim),
            "--from-service" if started_by.is_none() => {
                started_by = Some(StartedBy::ServiceManager);
            }
            // It is the last word.
            "--thaw" => {
                thaw = Some(words.next()?.to_str()?.parse().ok()?);
                if words.next().is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    // A daemon in the foreground is started by a person.
    (started_by.is_some() || thaw.is_some()).then_some(Said::Serve {
        home,
        started_by: started_by.unwrap_or(StartedBy::Person),
        thaw,
    })
}

/// Does what another program of ours wants.
pub(crate) fn obey(said: Said, ui: &mut Ui) -> anyhow::Result<Exit> {
    match said {
        Said::Serve {
            home,
            started_by,
            thaw,
        } => serve(Places::find(home.as_deref())?, started_by, thaw),
        Said::CheckState => {
            daemon::check_state()?;
            Ok(Exit::Done)
        }
        Said::Recipe { words } => super::recipe::run(words, ui),
    }
}

pub(crate) fn run(args: &Args, places: Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    if args.upgrade && upgrade_if_running(&places, ui)? {
        return Ok(Exit::Done);
    }
    let started_by = match (args.background, args.from_service) {
        (true, _) => StartedBy::Shim,
        (_, true) => StartedBy::ServiceManager,
        (false, false) => StartedBy::Person,
    };
    serve(places, started_by, None)
}

fn serve(places: Places, started_by: StartedBy, thaw: Option<RawFd>) -> anyhow::Result<Exit> {
    daemon::serve(ServeOptions {
        places,
        started_by,
        guardian_program: sibling::path(SMALL_PROGRAM)?,
        thaw,
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &str) -> Option<Said> {
        said_by_a_program(words.split_whitespace().map(OsString::from))
    }

    fn serve(home: Option<&str>, started_by: StartedBy, thaw: Option<RawFd>) -> Said {
        Said::Serve {
            home: home.map(PathBuf::from),
            started_by,
            thaw,
        }
    }

    #[test]
    fn only_the_words_of_our_programs_pass_by_the_grammar() {
        assert_eq!(
            said("serve --home /h --background"),
            Some(serve(Some("/h"), StartedBy::Shim, None))
        );
        assert_eq!(
            said("serve --background"),
            Some(serve(None, StartedBy::Shim, None))
        );
        assert_eq!(
            said("serve --thaw 7"),
            Some(serve(None, StartedBy::Person, Some(7)))
        );
        assert_eq!(
            said("serve --home /h --background --thaw 7"),
            Some(serve(Some("/h"), StartedBy::Shim, Some(7)))
        );
        assert_eq!(
            said("serve --from-service --thaw 7"),
            Some(serve(None, StartedBy::ServiceManager, Some(7)))
        );
        assert_eq!(said("serve --check-state"), Some(Said::CheckState));
        let words = ["--home", "/h", "echo"].map(OsString::from).to_vec();
        let expected = Some(Said::Recipe { words });
        assert_eq!(said("recipe-of --home /h echo"), expected);
        for words in [
            "",
            "serve",
            "serve --home",
            "serve --home /h",
            "serve --background --home /h",
            "serve --background --help",
            "serve --background --from-service",
            "serve --thaw",
            "serve --thaw x",
            "serve --thaw 7 --background",
            "serve --check-state --background",
            "status",
        ] {
            assert_eq!(said(words), None, "{words}");
        }
    }
}
