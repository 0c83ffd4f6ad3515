//! `mcpool serve`: the daemon itself.

use std::{ffi::OsString, os::fd::RawFd, path::PathBuf};

use daemon::{ServeOptions, StartedBy};
use shim::{mcp_proxy, places::Places, recipe, sibling, told_once};

use super::{connect::SMALL_PROGRAM, upgrade::upgrade_if_running};
use crate::{exit::Exit, ui::Ui};

/// Run the daemon here; sessions start it in the background by themselves
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
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
    /// Listen at this port of `127.0.0.1` and `[::1]`, whatever `http.listen` says, or end
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with_all = ["background", "from_service", "upgrade"])]
    port: Option<u16>,
    /// What this was called in code-intelligence; it means nothing, as there is no other way to serve
    #[arg(long, hide = true)]
    standalone: bool,
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
    /// One of ours in the place of mcp-proxy: say what is in this profile.
    Profile { name: OsString },
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
        mcp_proxy::PROFILE_VERB => {
            return Some(Said::Profile {
                name: words.next()?,
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
        } => serve(Places::find(home.as_deref())?, started_by, thaw, None),
        Said::CheckState => {
            daemon::check_state()?;
            Ok(Exit::Done)
        }
        Said::Recipe { words } => super::recipe::run(words, ui),
        Said::Profile { name } => super::profile::run(&name, ui),
    }
}

pub(crate) fn run(args: &Args, places: Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    if args.standalone {
        told_once::tell(
            &places,
            "serve-standalone",
            &"`--standalone` means nothing any more, as `mcpool serve` is always one daemon for all; leave it out",
        );
    }
    if args.upgrade && upgrade_if_running(&places, ui)? {
        return Ok(Exit::Done);
    }
    let started_by = match (args.background, args.from_service) {
        (true, _) => StartedBy::Shim,
        (_, true) => StartedBy::ServiceManager,
        (false, false) => StartedBy::Person,
    };
    serve(places, started_by, None, args.port)
}

fn serve(
    places: Places,
    started_by: StartedBy,
    thaw: Option<RawFd>,
    port: Option<u16>,
) -> anyhow::Result<Exit> {
    daemon::serve(ServeOptions {
        places,
        started_by,
        guardian_program: sibling::path(SMALL_PROGRAM)?,
        thaw,
        port,
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
        let name = "quarry".into();
        assert_eq!(
            said("mcp-proxy-profile quarry"),
            Some(Said::Profile { name })
        );
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
            "mcp-proxy-profile",
            "serve --thaw 7 --background",
            "serve --check-state --background",
            "status",
        ] {
            assert_eq!(said(words), None, "{words}");
        }
    }
}
