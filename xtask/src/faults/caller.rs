//! A session without a shim: a caller at the socket who writes and reads what a row wants.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use shim::{
    answer::Answer,
    preface::{Ask, Join, Preface, SessionAsk},
    scope::Scope,
    workspace::{Evidence, Workspace},
};

use super::session::PATIENCE;

/// What lines begin with that are between daemon and shim.
const CONTROL: char = '\x1e';

/// One end of a connection, behind its preface.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: BufReader<UnixStream>,
}

impl Caller {
    /// Connects, and says this as a preface; what the daemon answers to it.
    pub(crate) fn open(pool: &Path, preface: &[u8]) -> anyhow::Result<(Caller, Answer)> {
        let stream = UnixStream::connect(pool.join("mcpool.sock")).context("calling the daemon")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut caller = Caller {
            stream: BufReader::with_capacity(512, stream),
        };
        caller.say(preface)?;
        let line = caller.line()?;
        let answer = Answer::parse(line.as_bytes());
        let answer = answer.with_context(|| format!("a preface was answered with {line:?}"))?;
        Ok((caller, answer))
    }

    /// A session that was let in.
    pub(crate) fn accepted(pool: &Path, ask: SessionAsk) -> anyhow::Result<Caller> {
        match Caller::open(pool, &preface(Ask::Session(ask))?)? {
            (caller, Answer::Accepted { .. }) => Ok(caller),
            (_, answer) => bail!("a session was not let in: {answer}"),
        }
    }

    /// Says `initialize`, and hears the answer.
    pub(crate) fn greet(&mut self) -> anyhow::Result<()> {
        self.say(
            br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"caller","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
"#,
        )?;
        let greeting = self.message()?;
        ensure!(
            greeting.get("result").is_some(),
            "a caller was greeted with {greeting}"
        );
        Ok(())
    }

    /// Calls a tool, and does not wait for the answer.
    pub(crate) fn call(&mut self, id: usize, tool: &str, arguments: &Value) -> anyhow::Result<()> {
        self.say(call(id, tool, arguments).as_bytes())
    }

    fn say(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).context("writing to the daemon")
    }

    /// Gives up after a while to write what nobody reads; says whether all was written.
    pub(crate) fn say_within(&mut self, bytes: &[u8], patience: Duration) -> anyhow::Result<bool> {
        self.stream.get_ref().set_write_timeout(Some(patience))?;
        Ok(self.stream.get_mut().write_all(bytes).is_ok())
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> anyhow::Result<Value> {
        let mut line = self.line()?;
        while line.starts_with(CONTROL) {
            line = self.line()?;
        }
        serde_json::from_str(&line).with_context(|| format!("a caller was told {line:?}"))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self
            .stream
            .read_line(&mut line)
            .context("hearing the daemon")?;
        ensure!(read > 0, "the daemon hung up");
        Ok(line)
    }
}

/// The line that is a call of a tool.
pub(crate) fn call(id: usize, tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    format!("{call}\n")
}

/// A session on a configured server, as the verbs of the command line ask for it.
pub(crate) fn session_on(server: &str, folder: &Path) -> SessionAsk {
    SessionAsk {
        server: server.to_owned(),
        command: Vec::new(),
        address: None,
        directory: None,
        scope: Some(Scope::Global),
        workspace: Some(Workspace {
            path: folder.to_owned(),
            evidence: Evidence::Flag,
        }),
        pass: Vec::new(),
        join: Join::Any,
        resume: None,
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
    }
}

/// The whole preface of somebody who wants this.
pub(crate) fn preface(ask: Ask) -> anyhow::Result<Vec<u8>> {
    let preface = Preface {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cwd: "/".into(),
        umask: 0o077,
        pid: std::process::id(),
        ask,
    };
    preface.encode().context("writing a preface")
}
