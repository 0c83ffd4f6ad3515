//! `mcpool`: the small one of the two programs.
//!
//! It is what clients run, once per session or per event, so it holds only what must be small: the
//! shim (`mcpool connect`), hooks, both as mcp-proxy has them if it is called by that name, and the
//! guardian. Everything else is in `mcpoold` beside it, which takes this process over.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
};

use serde_json::json;
use shim::{mcp_proxy, sibling};

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    if mcp_proxy::is_meant(arguments.next().as_deref()) {
        return mcp_proxy::run(arguments, None);
    }
    match arguments.next() {
        Some(verb) if verb == "connect" => shim::connect::run(arguments),
        Some(verb) if verb == "hook" => shim::hook::run(arguments),
        Some(verb) if verb == "guardian" => guard(arguments),
        verb => become_mcpoold(verb.into_iter().chain(arguments)),
    }
}

/// The daemon starts us like this; it is no verb for people.
fn guard(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let meeting_place = arguments.next().map(PathBuf::from);
    let epoch = match arguments.next() {
        Some(text) => text.to_str().and_then(|text| text.parse().ok()),
        // A daemon of an earlier version does not say it.
        None => Some(0),
    };
    let Some(epoch) = epoch else {
        return fail("the epoch of the daemon that starts a guardian is a number");
    };
    match sys::stdin::take_socket() {
        Ok(socket) => guardian::run(socket, meeting_place, epoch),
        Err(error) => fail(&format!(
            "the daemon starts the guardian, nobody else ({error})"
        )),
    }
}

fn become_mcpoold(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let program = match sibling::path(sibling::DAEMON) {
        Ok(program) => program,
        Err(error) => {
            let has = |word: &str| arguments.iter().any(|argument| argument == word);
            return if has("doctor") && has("--json") {
                report(&error.to_string())
            } else {
                fail(&error.to_string())
            };
        }
    };
    let error = Command::new(&program).args(arguments).exec();
    fail(&format!("cannot run {}: {error}", program.display()))
}

/// What `mcpool doctor --json` finds where it cannot be run itself: `doctor::finding` has the form.
fn report(what: &str) -> ExitCode {
    let finding = json!({"check": "versions", "weight": "problem", "what": what, "next": null});
    let report = json!({"schema": 1, "is_well": false, "findings": [finding]});
    // There is nobody to tell that stdout is closed.
    let _ = writeln!(io::stdout(), "{report:#}");
    ExitCode::FAILURE
}

fn fail(what: &str) -> ExitCode {
    // There is nobody to tell that stderr is closed.
    let _ = writeln!(io::stderr(), "mcpool: {what}");
    ExitCode::FAILURE
}
