//! A session that says what a row has it say, one thing after the other.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows read better with `json!(..)` than with `&json!(..)`"
)]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::processes::Process;
use crate::pipes::{Moved, Pipes};

/// How long any answer may take before a row is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The two ends of one session.
#[derive(Debug)]
pub(crate) struct Session {
    pipes: Pipes,
    issued: u64,
    /// Messages that came while another one was waited for.
    kept: Vec<Value>,
}

impl Session {
    /// Not greeted yet.
    pub(crate) fn open(command: Command) -> anyhow::Result<Session> {
        Ok(Session {
            pipes: Pipes::open(command)?,
            issued: 0,
            kept: Vec::new(),
        })
    }

    pub(crate) fn greeted(command: Command) -> anyhow::Result<Session> {
        let mut session = Session::open(command)?;
        let greeting = session.greet()?;
        let answer = session.answer(greeting)?;
        if answer.get("result").is_none() {
            bail!("a session was greeted with {answer}");
        }
        session.say_greeted()?;
        Ok(session)
    }

    pub(crate) fn greet(&mut self) -> anyhow::Result<u64> {
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "faults", "version": "1"},
        });
        self.begin("initialize", &hello)
    }

    pub(crate) fn say_greeted(&mut self) -> anyhow::Result<()> {
        self.pipes
            .say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        self.pipes.exchange(Duration::ZERO)?;
        Ok(())
    }

    /// Sends a request; its id.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> anyhow::Result<u64> {
        self.issued += 1;
        let id = self.issued;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.pipes.say(&request.to_string());
        while self.pipes.unsaid() > 0 {
            self.exchange(PATIENCE)?;
        }
        Ok(id)
    }

    pub(crate) fn begin_call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<u64> {
        self.begin("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// The whole response to a request.
    pub(crate) fn answer(&mut self, id: u64) -> anyhow::Result<Value> {
        let answer = self.answer_within(id, PATIENCE)?;
        answer.with_context(|| format!("request {id} had no answer within {PATIENCE:?}"))
    }

    /// The same, or nothing if it takes longer.
    pub(crate) fn answer_within(
        &mut self,
        id: u64,
        patience: Duration,
    ) -> anyhow::Result<Option<Value>> {
        let deadline = Instant::now() + patience;
        let is_it = |message: &Value| message["id"] == id && message.get("method").is_none();
        loop {
            if let Some(at) = self.kept.iter().position(is_it) {
                return Ok(Some(self.kept.swap_remove(at)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.exchange(left)? && left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// A call and its answer, and how long that took.
    pub(crate) fn call(
        &mut self,
        tool: &str,
        arguments: Value,
    ) -> anyhow::Result<(Value, Duration)> {
        let begun = Instant::now();
        let id = self.begin_call(tool, arguments)?;
        let answer = self.answer(id)?;
        Ok((answer, begun.elapsed()))
    }

    /// A call that must be answered by the server.
    pub(crate) fn must_call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Duration> {
        let (answer, duration) = self.call(tool, arguments)?;
        if answer.get("result").is_none() {
            bail!("the answer to a call of {tool} was {answer}");
        }
        Ok(duration)
    }

    /// The process that serves.
    pub(crate) fn server(&mut self) -> anyhow::Result<Process> {
        let (answer, _) = self.call("echo", json!({}))?;
        let pid = answer["result"]["structuredContent"]["pid"].as_u64();
        pid.and_then(|pid| Process::of(u32::try_from(pid).ok()?))
            .with_context(|| format!("no process in {answer}"))
    }

    /// The number of the shim's process, which may have become its server's.
    pub(crate) fn shim(&self) -> u32 {
        self.pipes.pid()
    }

    /// Reads what there is; whether there was something.
    fn exchange(&mut self, patience: Duration) -> anyhow::Result<bool> {
        match self.pipes.exchange(patience)? {
            Moved::Something => {}
            Moved::Nothing => return Ok(false),
            Moved::End => bail!("the session ended by itself"),
        }
        while let Some(line) = self.pipes.line() {
            let message = serde_json::from_slice(&line);
            self.kept.push(message.with_context(|| {
                format!("a session was told {:?}", String::from_utf8_lossy(&line))
            })?);
        }
        Ok(true)
    }

    /// Ends its input; it must end in good order then.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        self.pipes.close();
        let deadline = Instant::now() + PATIENCE;
        while self.pipes.exchange(PATIENCE)? != Moved::End {
            if Instant::now() > deadline {
                bail!("a session did not end");
            }
        }
        let status = self.pipes.ended()?;
        if !status.success() {
            bail!("a shim ended with {status}");
        }
        Ok(())
    }

    /// Ends the shim at once.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.pipes.kill()
    }

    /// Lets go of both ends, as a client does that is killed; the shim is to notice, and end.
    pub(crate) fn vanish(mut self) -> anyhow::Result<()> {
        self.pipes.vanish();
        self.pipes.ended().map(drop)
    }
}

/// The reason that mcpool gives in an error.
pub(crate) fn reason(answer: &Value) -> &str {
    answer["error"]["data"]["reason"]
        .as_str()
        .unwrap_or_default()
}
