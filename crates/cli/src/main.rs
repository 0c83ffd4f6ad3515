//! `mcpoold`: the daemon, and every verb of `mcpool` but `connect`.
//!
//! People and clients say `mcpool`; that small program executes this one for all
//! that does not have to be small.
//!
//! **Invariants:** only [`ui`] prints; a command is one file with its grammar, one
//! function and a value to show.

mod advice;
mod args;
mod client;
mod commands;
mod config_file;
mod daemon_link;
mod doctor;
mod exit;
mod follow;
mod moving;
mod sample;
mod service;
mod survey;
mod trial;
mod ui;

use std::{env, path::Path, process::ExitCode};

use clap::Parser;
use rustix::process::Signal;
use shim::mcp_proxy::{self, Channel};

use crate::{args::Cli, commands::serve, ui::Ui};

/// TLS over a connection with this host.
fn secured(
    stream: Box<dyn Channel>,
    host: &str,
    ca_cert: Option<&Path>,
) -> Result<Box<dyn Channel>, String> {
    let secured = daemon::secured(stream, host, ca_cert)?;
    Ok(Box::new(secured))
}

fn main() -> ExitCode {
    // A file that may not grow any further is an error of the one write, and nobody's end.
    sys::signals::ignore(Signal::XFSZ);
    let mut words = env::args_os().skip(1);
    if words.next().is_some_and(|verb| verb == mcp_proxy::NAME) {
        // The small program wants TLS, which it has not.
        return mcp_proxy::run(words, Some(&secured));
    }
    let mut ui = Ui::new();
    let done = match serve::said_by_a_program(env::args_os().skip(1)) {
        Some(said) => serve::obey(said, &mut ui),
        None => commands::run(Cli::parse(), &mut ui),
    };
    match done {
        Ok(exit) => exit.into(),
        // Whoever closed our stdout, `head` for example, has what it wanted.
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            ui.fail(&error);
            exit::of(&error).into()
        }
    }
}
