//! One client of the demonstration.

use std::{
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::child::Child;

/// Calls that are measured, after some that are not.
const CALLS: usize = 200;
const WARM_UP: usize = 20;

/// How long all sessions together may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a session has to say.
pub(super) enum News {
    /// It has greeted its server and knows its tools.
    Ready,
    /// How long each call took.
    Called(Vec<Duration>),
    /// It is over.
    Failed(anyhow::Error),
    /// The user has had enough.
    Interrupted,
}

/// A server command, or a shim, and the thread that plays its client.
pub(super) struct Session {
    // Before the child: without orders its client hangs up.
    orders: mpsc::Sender<()>,
    pub(super) child: Child,
    ready_after: Arc<OnceLock<Duration>>,
}

impl Session {
    /// Starts the process and a client for it, whose waits count from `begun`.
    pub(super) fn start(
        mut command: Command,
        begun: Instant,
        news: mpsc::Sender<News>,
    ) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Child::start(command)?;
        let (stdin, stdout) = child.take_pipes().context("a child without pipes")?;
        let (orders, received) = mpsc::channel();
        let ready_after = Arc::new(OnceLock::new());
        let after = Arc::clone(&ready_after);
        thread::spawn(move || {
            let mut client = Client {
                stdin,
                stdout: BufReader::new(stdout),
                line: String::new(),
                id: 0,
            };
            let done = client.greet().and_then(|()| {
                // Only this thread sets it, and only once.
                let _ = after.set(begun.elapsed());
                client.obey(&news, &received)
            });
            if let Err(error) = done {
                // Without a receiver the trial is over.
                let _ = news.send(News::Failed(error));
            }
        });
        Ok(Session {
            orders,
            child,
            ready_after,
        })
    }

    pub(super) fn ready_after(&self) -> Duration {
        self.ready_after.get().copied().unwrap_or_default()
    }

    /// Orders some calls; the client tells how long they took.
    pub(super) fn call(&self) -> anyhow::Result<()> {
        self.orders.send(()).context("a session has ended")
    }
}

/// Ends all sessions, first by hanging up, as clients do.
pub(super) fn end(sessions: Vec<Session>) {
    let deadline = Instant::now() + PATIENCE;
    let children: Vec<Child> = sessions.into_iter().map(|session| session.child).collect();
    for mut child in children {
        // One that does not end by itself is ended when it is dropped.
        let _ = child.ends_by(deadline);
    }
}

struct Client {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
    id: u64,
}

impl Client {
    fn greet(&mut self) -> anyhow::Result<()> {
        self.request(
            "initialize",
            &json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "mcpool-try", "version": env!("CARGO_PKG_VERSION")},
            }),
        )?;
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        self.request("tools/list", &json!({}))
    }

    fn obey(
        &mut self,
        news: &mpsc::Sender<News>,
        orders: &mpsc::Receiver<()>,
    ) -> anyhow::Result<()> {
        // Nobody listens any more: the trial is over.
        let mut is_heard = news.send(News::Ready).is_ok();
        while is_heard && orders.recv().is_ok() {
            let mut latencies = Vec::with_capacity(CALLS);
            for number in 0..WARM_UP + CALLS {
                let params = json!({"name": "echo", "arguments": {"text": "hello"}});
                let begun = Instant::now();
                self.request("tools/call", &params)?;
                if number >= WARM_UP {
                    latencies.push(begun.elapsed());
                }
            }
            is_heard = news.send(News::Called(latencies)).is_ok();
        }
        Ok(())
    }

    /// Sends a request and waits for its result.
    fn request(&mut self, method: &str, params: &Value) -> anyhow::Result<()> {
        self.id += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}))?;
        loop {
            self.line.clear();
            if self.stdout.read_line(&mut self.line)? == 0 {
                bail!("a session ended before `{method}` was answered");
            }
            let answer: Value = serde_json::from_str(&self.line)?;
            if answer["id"] == self.id {
                return match answer.get("error") {
                    Some(error) => bail!("`{method}` failed: {}", error["message"]),
                    None => Ok(()),
                };
            }
        }
    }

    fn write(&mut self, message: &Value) -> anyhow::Result<()> {
        self.stdin.write_all(format!("{message}\n").as_bytes())?;
        Ok(())
    }
}
