//! A scripted MCP server of either era, for the end-to-end tests.
//!
//! It does what real servers do on bad days: its options say how it starts and
//! ends, its tools how a call goes; `--help` lists both. With `--record FILE` it
//! appends what happened to it, one line each, so that a test can wait for a fact
//! instead of a time.
//!
//! **Invariant:** it does nothing that a test did not ask for, and all of its
//! answers are built from the request alone. A mark in the request comes back in all of them.

mod agent;
mod descendants;
mod features;
mod mark;
mod modern;
mod options;
mod output;
mod record;
mod rewriter;
mod server;
mod tools;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use sys::signals::Signals;

use crate::{options::Options, record::Record, server::Server};

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if let Some(role) = arguments.next()
        && let Some(ended) = descendants::play(&role, &arguments.next().unwrap_or_default())
    {
        return ended;
    }
    let options = Options::parse_or_exit();
    let record = Record::open(options.record.as_deref())?;
    record.note(format_args!("started {}", std::process::id()));
    // A blocked signal is an ignored one; threads inherit it from this one.
    let _blocked = if options.ignore_term {
        Some(Signals::watch(&[Signal::TERM])?)
    } else {
        None
    };
    if options.grandchild {
        descendants::start_child(options.record.as_deref())?;
    }
    if options.double_fork {
        descendants::start_runaway(options.record.as_deref())?;
    }
    complain(&options)?;
    if let Some(code) = options.exit_at_start {
        return Ok(ExitCode::from(code));
    }
    if let Some(ms) = options.exit_after_ms {
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(ms));
            server::exit(1)
        });
    }
    let ignores_eof = options.ignore_eof;
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

fn complain(options: &Options) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for line in &options.says {
        writeln!(stderr, "{line}")?;
    }
    for name in &options.says_variables {
        say_variable(&mut stderr, name)?;
    }
    flood(&mut stderr, options.flood_bytes)
}

/// Quotes what a variable holds, as servers do that are refused with it, in two writes.
fn say_variable(to: &mut impl Write, name: &str) -> io::Result<()> {
    let value = env::var(name).unwrap_or_default();
    let (begin, rest) = value.split_at(value.len() / 2);
    write!(to, "refused with {begin}")?;
    to.flush()?;
    writeln!(to, "{rest}, and so on")
}

/// Writes about this many bytes, in lines.
pub(crate) fn flood(out: &mut impl Write, bytes: usize) -> io::Result<()> {
    let line = "so much to say, and nobody reads it to the end ............\n";
    // Fewer and larger writes: it is the reader that is to be busy.
    let lines = line.repeat(64);
    for _ in 0..bytes / lines.len() {
        out.write_all(lines.as_bytes())?;
    }
    for _ in 0..(bytes % lines.len()).div_ceil(line.len()) {
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}
