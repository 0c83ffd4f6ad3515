//! A small MCP client for `tools` and `call`: one session, one request at a time.
//!
//! It declares no capabilities and refuses what a server asks of it, so it can join
//! whatever upstream of a server runs already.

mod message;

use std::{
    error, fmt,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use daemon::admin::{Outcome, Upstream};
use serde_json::{Value, json, value::RawValue};
use shim::{
    places::Places,
    preface::{AdminAsk, Ask, Join, SessionAsk},
    rendezvous::Start,
    workspace::{self, Workspace},
};

use self::message::Incoming;
use crate::{
    daemon_link::{self, HEARS_WITHIN, NoAnswer},
    ui::Ui,
};

/// The version of the protocol that we ask for.
const PROTOCOL: &str = "2025-11-25";

/// More pages of tools than any server has.
const PAGES_MAX: usize = 1000;

/// No answer came in time.
#[derive(Debug)]
pub(crate) struct TimedOut {
    after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = humantime::format_duration(self.after);
        write!(f, "no answer within {after}; the request was cancelled")
    }
}

impl error::Error for TimedOut {}

/// The answer was an error.
#[derive(Debug)]
pub(crate) struct ErrorAnswer {
    message: String,
    /// Whether it was mcpool that answered, and not the server.
    pub(crate) is_ours: bool,
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for ErrorAnswer {}

/// A session on a server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    requests: u64,
    patience: Option<Patience>,
}

/// How long all requests together may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    whole: Duration,
    deadline: Instant,
}

/// A session that the daemon has accepted.
fn connect(
    places: &Places,
    (ask, start): (Ask, Start),
    patience: Option<Duration>,
) -> anyhow::Result<BufReader<UnixStream>> {
    // No time at all would mean no limit.
    let least = Duration::from_millis(1);
    let within = patience.map_or(HEARS_WITHIN, |whole| whole.clamp(least, HEARS_WITHIN));
    let opened = daemon_link::open(places, start, ask, within);
    opened.map_err(|error| {
        let no_answer = error.downcast_ref::<NoAnswer>();
        let is_late = no_answer.is_some_and(|it| it.is_late);
        match patience {
            Some(after) if is_late && after < HEARS_WITHIN => error.context(TimedOut { after }),
            Some(_) | None => error,
        }
    })
}

/// Which server a client is for, and what may be done for that.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Name of the server
    name: String,
    /// Workspace of the session; without it, the folder that you are in decides
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Fail if the server does not run, in place of starting it
    #[arg(long)]
    no_start: bool,
}

/// Nobody runs whom this is for, and nobody was to be started.
#[derive(Debug, thiserror::Error)]
#[error("`{server}` does not run here; without `--no-start` it is started")]
pub(crate) struct NotStarted {
    server: String,
}

impl Target {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Fails unless a session that asks for this now joins a process that runs.
    fn check_that_it_runs(
        &self,
        places: &Places,
        workspace: Option<&Workspace>,
    ) -> anyhow::Result<()> {
        let Outcome::Status(status) = daemon_link::ask(places, AdminAsk::Status)? else {
            bail!("the daemon answered another question");
        };
        let here = workspace.map(|workspace| workspace.path.to_string_lossy());
        let is_joined = |upstream: &Upstream| {
            let is_of_workspace = upstream.workspace.is_some();
            upstream.server == self.name
                && upstream.state == "ready"
                && upstream.scope != "session"
                && upstream.private.is_none()
                && (!is_of_workspace || upstream.workspace.as_deref() == here.as_deref())
        };
        if status.upstreams.iter().any(is_joined) {
            return Ok(());
        }
        let server = self.name.clone();
        Err(NotStarted { server }.into())
    }
}

impl Client {
    /// Opens a session, which starts the daemon and the server if they do not run and may be started.
    pub(crate) fn open(
        places: &Places,
        target: &Target,
        patience: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let workspace = workspace::find(target.workspace.as_deref())?;
        let start = if target.no_start {
            target.check_that_it_runs(places, workspace.as_ref())?;
            Start::Never
        } else {
            Start::IfNeeded
        };
        let ask = Ask::Session(SessionAsk {
            server: target.name.clone(),
            command: Vec::new(),
            address: None,
            directory: None,
            scope: None,
            workspace,
            pass: Vec::new(),
            join: Join::Any,
            resume: None,
            env: std::env::vars_os().collect(),
        });
        let mut client = Client {
            stream: connect(places, (ask, start), patience)?,
            requests: 0,
            patience: patience.map(|whole| Patience {
                whole,
                deadline: begun + whole,
            }),
        };
        client.greet()?;
        Ok(client)
    }

    fn greet(&mut self) -> anyhow::Result<()> {
        self.request(
            "initialize",
            &json!({
                "protocolVersion": PROTOCOL,
                "capabilities": {},
                "clientInfo": {"name": "mcpool", "version": env!("CARGO_PKG_VERSION")},
            }),
            None,
        )?;
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    }

    /// All tools of the server, each as it described it.
    pub(crate) fn tools(&mut self) -> anyhow::Result<Vec<Box<RawValue>>> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let result = self.request("tools/list", &params, None)?;
            let page: message::ToolPage =
                serde_json::from_str(result.get()).context("reading the list of tools")?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        bail!("the list of tools does not end")
    }

    /// Calls a tool; progress is shown if somebody watches.
    pub(crate) fn call(
        &mut self,
        tool: &str,
        arguments: &Value,
        ui: &mut Ui,
    ) -> anyhow::Result<Box<RawValue>> {
        let mut params = json!({"name": tool, "arguments": arguments});
        if ui.is_watched() {
            params["_meta"] = json!({"progressToken": "call"});
        }
        let result = self.request("tools/call", &params, Some(ui));
        ui.overwrite("");
        result
    }

    fn request(
        &mut self,
        method: &str,
        params: &Value,
        mut ui: Option<&mut Ui>,
    ) -> anyhow::Result<Box<RawValue>> {
        self.requests += 1;
        let id = self.requests;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let line = self.line(method, id)?;
            let Ok(incoming) = serde_json::from_slice::<Incoming>(&line) else {
                // A control line, or what a later daemon may say.
                continue;
            };
            match incoming.method.as_deref() {
                Some("notifications/progress") => {
                    if let Some(ui) = ui.as_deref_mut() {
                        ui.overwrite(incoming.progress());
                    }
                }
                Some(asked) => self.refuse(asked, incoming.id.as_deref())?,
                None if incoming.is_answer_to(id) => return incoming.outcome(),
                None => {}
            }
        }
    }

    /// The next line; tells the server to stop if it does not come in time.
    fn line(&mut self, method: &str, id: u64) -> anyhow::Result<Vec<u8>> {
        let left = self
            .patience
            .map(|patience| patience.deadline.saturating_duration_since(Instant::now()));
        let mut line = Vec::new();
        let read = match left {
            Some(Duration::ZERO) => Err(io::ErrorKind::WouldBlock.into()),
            left => {
                self.stream.get_ref().set_read_timeout(left)?;
                self.stream.read_until(b'\n', &mut line)
            }
        };
        match read {
            Ok(0) => bail!("the daemon ended the session before `{method}` was answered"),
            Ok(_) => Ok(line),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The protocol forbids to cancel a greeting; hanging up does.
                if method != "initialize" {
                    self.write(&json!({
                        "jsonrpc": "2.0",
                        "method": "notifications/cancelled",
                        "params": {"requestId": id, "reason": "timed out"},
                    }))?;
                }
                let after = self
                    .patience
                    .map_or(Duration::ZERO, |patience| patience.whole);
                Err(TimedOut { after }.into())
            }
            Err(error) => Err(error).context("reading from the daemon"),
        }
    }

    /// Answers what the server asks; notifications need none.
    fn refuse(&mut self, method: &str, id: Option<&RawValue>) -> anyhow::Result<()> {
        let Some(id) = id else {
            return Ok(());
        };
        if method == "ping" {
            return self.write(&json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        }
        let error =
            json!({"code": -32601, "message": format!("`mcpool call` cannot answer {method}")});
        self.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
    }

    fn write(&mut self, message: &Value) -> anyhow::Result<()> {
        self.stream
            .get_mut()
            .write_all(format!("{message}\n").as_bytes())
            .context("writing to the daemon")
    }
}
