//! A scripted MCP server of the legacy era, for the end-to-end tests.
//!
//! It does what real servers do on bad days: its options say how it starts and
//! ends, its tools how a call goes. With `--record FILE` it appends what happened
//! to it, one line each, so that a test can wait for a fact instead of a time.
//!
//! **Invariant:** it does nothing that a test did not ask for, and all of its
//! answers are built from the request alone.

mod options;
mod record;
mod server;
mod tools;

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    thread,
};

use anyhow::Context;
use rustix::process::Signal;
use sys::signals::Signals;

use crate::{options::Options, record::Record, server::Server};

/// What a descendant of the server is started with instead of options.
const LINGER: &str = "linger";
/// The same, by way of a process that makes a session of its own and exits.
const ESCAPE: &str = "escape";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1).peekable();
    match arguments.peek().and_then(|first| first.to_str()) {
        Some(LINGER) => return linger(&arguments.nth(1).unwrap_or_default()),
        Some(ESCAPE) => return escape(&arguments.nth(1).unwrap_or_default()),
        _ => {}
    }
    let options = Options::parse(arguments)?;
    let record = Record::open(options.record.as_deref())?;
    record.note(format_args!("started {}", std::process::id()));
    // A blocked signal is an ignored one; threads inherit it from this one.
    let _blocked = if options.ignores_term {
        Some(Signals::watch(&[Signal::TERM])?)
    } else {
        None
    };
    start_descendants(&options)?;
    complain(&options)?;
    if let Some(code) = options.exit_at_start {
        return Ok(ExitCode::from(code));
    }
    let ignores_eof = options.ignores_eof;
    let server = Arc::new(Server::new(options, record)?);
    server::serve(&server)?;
    server.record.note(format_args!("end of input"));
    if ignores_eof {
        loop {
            thread::park();
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start_descendants(options: &Options) -> anyhow::Result<()> {
    if options.has_grandchild {
        descendant(LINGER, options)?;
    }
    if options.double_forks {
        let mut middle = descendant(ESCAPE, options)?;
        middle.wait()?;
    }
    Ok(())
}

/// Starts this program again; it keeps our standard output and error open.
fn descendant(role: &str, options: &Options) -> anyhow::Result<std::process::Child> {
    let record = options.record.clone().unwrap_or_default();
    Command::new(env::current_exe()?)
        .arg(role)
        .arg(record)
        .stdin(Stdio::null())
        .spawn()
        .context("starting a descendant")
}

fn linger(record: &OsString) -> anyhow::Result<ExitCode> {
    let path = (!record.is_empty()).then_some(record.as_ref());
    Record::open(path)?.note(format_args!("lingering {}", std::process::id()));
    loop {
        thread::park();
    }
}

fn escape(record: &OsString) -> anyhow::Result<ExitCode> {
    rustix::process::setsid()?;
    Command::new(env::current_exe()?)
        .arg(LINGER)
        .arg(record)
        .stdin(Stdio::null())
        .spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn complain(options: &Options) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for line in &options.says {
        writeln!(stderr, "{line}")?;
    }
    flood(&mut stderr, options.flood_bytes)
}

/// Writes about this many bytes, in lines.
pub(crate) fn flood(out: &mut impl Write, bytes: usize) -> io::Result<()> {
    let line = "so much to say, and nobody reads it to the end ............\n";
    for _ in 0..bytes.div_ceil(line.len()) {
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}
