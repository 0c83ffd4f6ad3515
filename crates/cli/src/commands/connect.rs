//! `mcpool connect`: what clients run. The small program does it.

use std::{env, ffi::OsString, os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::Context;
use shim::sibling;

use crate::exit::Exit;

/// Open a session on a server, over stdin and stdout: what a client runs
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, override_help = shim::arguments::HELP)]
pub(crate) struct Args {
    /// NAME, or OPTIONS and -- COMMAND; see `mcpool connect --help`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARG"
    )]
    rest: Vec<OsString>,
}

/// The program that clients run; it holds the shim and the guardian.
pub(crate) const SMALL_PROGRAM: &str = "mcpool";

/// Becomes the shim; returns only if that fails.
pub(crate) fn run(home: Option<&Path>) -> anyhow::Result<Exit> {
    become_small("connect", home)
}

/// Has the small program do what it knows under this verb; returns only if that fails.
pub(super) fn become_small(verb: &str, home: Option<&Path>) -> anyhow::Result<Exit> {
    let program = sibling::path(SMALL_PROGRAM)?;
    let mut command = Command::new(&program);
    command.arg(verb);
    if let Some(home) = home {
        command.arg("--home").arg(home);
    }
    // The grammar swallows a `--`, which the shim must see.
    command.args(after_the_verb(verb, env::args_os().skip(1)));
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// The words behind the verb, of a command line that has been found to be right.
fn after_the_verb(
    verb: &str,
    mut arguments: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    while let Some(argument) = arguments.next() {
        if argument == verb {
            break;
        }
        if argument == "--home" {
            // Its value may be any word.
            arguments.next();
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_behind_the_verb_is_kept() {
        for (line, expected) in [
            ("connect x", "x"),
            ("--home h connect -- a -- b", "-- a -- b"),
            ("--home=h connect connect", "connect"),
            ("--home connect connect --help", "--help"),
        ] {
            let words = line.split(' ').map(OsString::from);
            let rest: Vec<OsString> = after_the_verb("connect", words).collect();
            assert_eq!(rest.join(" ".as_ref()), expected);
        }
    }
}
