//! An agent, as far as the system sees one: a process with servers below it, each with pipes to it.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
};

use anyhow::Context;

/// What an agent is started with, and behind it a file with a command on each line.
pub(crate) const ROLE: &str = "agent";

const GREETING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"agent","version":"1"}}}"#;

struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

/// Starts and greets the servers of the file, says so, and keeps them until its own input ends.
pub(crate) fn play(commands: &OsStr) -> anyhow::Result<ExitCode> {
    let commands = fs::read_to_string(commands)?;
    let servers: Vec<Server> = commands.lines().map(start).collect::<Result<_, _>>()?;
    writeln!(io::stdout(), "all are greeted")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    for mut server in servers {
        drop(server.child.stdin.take());
        server.child.wait()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn start(line: &str) -> anyhow::Result<Server> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().context("a line without a command")?);
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().context("starting a server")?;
    let (stdin, stdout) = child
        .stdin
        .as_mut()
        .zip(child.stdout.take())
        .context("pipes")?;
    writeln!(stdin, "{GREETING}")?;
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut String::new())?;
    Ok(Server {
        child,
        _stdout: stdout,
    })
}
