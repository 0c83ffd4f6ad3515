//! `mcpool serve`: the daemon itself.

use std::{ffi::OsString, path::PathBuf};

use daemon::ServeOptions;
use shim::{places::Places, sibling};

use super::connect::SMALL_PROGRAM;
use crate::exit::Exit;

/// Run the daemon here; sessions start it in the background by themselves
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the terminal, log to a file, and say `ready` on stdout
    #[arg(long)]
    background: bool,
}

/// The words with which a shim starts the daemon, if these are they.
///
/// They are understood without the grammar, whose many pages the daemon would otherwise keep in
/// memory for life.
pub(crate) fn said_by_a_shim(
    mut words: impl Iterator<Item = OsString>,
) -> Option<(Args, Option<PathBuf>)> {
    if words.next()? != "serve" {
        return None;
    }
    let mut word = words.next()?;
    let mut home = None;
    if word == "--home" {
        home = Some(PathBuf::from(words.next()?));
        word = words.next()?;
    }
    let is_all = word == "--background" && words.next().is_none();
    is_all.then_some((Args { background: true }, home))
}

pub(crate) fn run(args: &Args, places: Places) -> anyhow::Result<Exit> {
    daemon::serve(ServeOptions {
        places,
        background: args.background,
        guardian_program: sibling::path(SMALL_PROGRAM)?,
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_a_shim_pass_by_the_grammar() {
        let said = |words: &str| said_by_a_shim(words.split_whitespace().map(OsString::from));
        let home = said("serve --home /h --background").map(|(_, home)| home);
        assert_eq!(home, Some(Some(PathBuf::from("/h"))));
        assert!(said("serve --background").is_some());
        for words in [
            "",
            "serve",
            "serve --home",
            "serve --background --home /h",
            "serve --background --help",
            "status",
        ] {
            assert!(said(words).is_none(), "{words}");
        }
    }
}
