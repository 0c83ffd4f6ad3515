//! The conversation: messages in, messages out, one thread per call.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Write},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use serde_json::{Value, json};

use crate::{options::Options, record::Record, tools};

/// What `--fatal-second-initialize` exits with.
const SECOND_INITIALIZE: i32 = 3;

/// The result of a request, or a JSON-RPC error code with its message.
pub(crate) type Outcome = Result<Value, (i64, String)>;

/// One server and its only client.
pub(crate) struct Server {
    pub(crate) options: Options,
    pub(crate) record: Record,
    pub(crate) counter: AtomicU64,
    out: Mutex<io::Stdout>,
    /// Requests of ours that the client has not answered.
    asks: Mutex<BTreeMap<u64, mpsc::Sender<Value>>>,
    asked: AtomicU64,
    cancelled: Mutex<BTreeSet<String>>,
    greetings: AtomicU64,
}

impl Server {
    pub(crate) fn new(options: Options, record: Record) -> io::Result<Self> {
        let server = Server {
            record,
            counter: AtomicU64::new(0),
            out: Mutex::new(io::stdout()),
            asks: Mutex::default(),
            asked: AtomicU64::new(0),
            cancelled: Mutex::default(),
            greetings: AtomicU64::new(0),
            options,
        };
        if let Some(banner) = &server.options.banner {
            server.write_line(banner)?;
        }
        Ok(server)
    }

    pub(crate) fn write_line(&self, line: &str) -> io::Result<()> {
        let mut out = lock(&self.out);
        out.write_all(format!("{line}\n").as_bytes())?;
        out.flush()
    }

    pub(crate) fn send(&self, message: &Value) -> io::Result<()> {
        self.write_line(&message.to_string())
    }

    pub(crate) fn notify(&self, method: &str, params: &Value) -> io::Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Asks the client and waits for its whole response message.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> io::Result<Value> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = mpsc::channel();
        lock(&self.asks).insert(id, sender);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        receiver.recv().map_err(io::Error::other)
    }

    pub(crate) fn is_cancelled(&self, id: &Value) -> bool {
        !self.options.ignores_cancel && lock(&self.cancelled).contains(&id.to_string())
    }

    pub(crate) fn answer(&self, id: &Value, outcome: &Outcome) -> io::Result<()> {
        if let Some(noise) = &self.options.noise {
            self.write_line(noise)?;
        }
        self.send(&match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        })
    }

    fn greet(&self, params: &Value) -> Option<Outcome> {
        let earlier = self.greetings.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 && self.options.dies_of_second_initialize {
            process::exit(SECOND_INITIALIZE);
        }
        if self.options.hangs_at_start {
            return None;
        }
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        // Versions are dates, so the older one is the lesser text.
        let version = asked.min(&self.options.protocol);
        let mut capabilities = json!({
            "tools": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "logging": {},
        });
        if self.options.has_tasks {
            capabilities["tasks"] = json!({"requests": {"tools": {"call": {}}}});
        }
        Some(Ok(json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "serverInfo": {"name": "fake-server", "version": "1.0"},
        })))
    }
}

/// Reads messages until standard input ends.
pub(crate) fn serve(server: &Arc<Server>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => take(server, message)?,
            Err(error) => server.record.note(format_args!("not JSON: {error}")),
        }
    }
    Ok(())
}

fn take(server: &Arc<Server>, message: Value) -> io::Result<()> {
    let Some(method) = message["method"].as_str().map(str::to_owned) else {
        let waiting = message["id"]
            .as_u64()
            .and_then(|id| lock(&server.asks).remove(&id));
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            let _ = waiting.send(message);
        }
        return Ok(());
    };
    server
        .record
        .note(format_args!("received {method} {}", message["id"]));
    if method == "notifications/cancelled" {
        let target = message["params"]["requestId"].to_string();
        server.record.note(format_args!("cancelled {target}"));
        lock(&server.cancelled).insert(target);
    }
    let Some(id) = message.get("id").cloned() else {
        return Ok(());
    };
    if method == "tools/call" {
        if !server.options.hangs_at_call {
            let server = Arc::clone(server);
            thread::spawn(move || tools::call(&server, &id, &message["params"]));
        }
        return Ok(());
    }
    match respond(server, &method, &message["params"]) {
        Some(outcome) => server.answer(&id, &outcome),
        None => Ok(()),
    }
}

fn respond(server: &Server, method: &str, params: &Value) -> Option<Outcome> {
    Some(match method {
        "initialize" => return server.greet(params),
        "ping" | "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => {
            Ok(json!({}))
        }
        "tools/list" => Ok(json!({"tools": tools::list()})),
        "resources/list" => {
            Ok(json!({"resources": [{"uri": "fake://counter", "name": "counter"}]}))
        }
        "resources/read" => Ok(json!({"contents": [{
            "uri": params["uri"],
            "text": server.counter.load(Ordering::Relaxed).to_string(),
        }]})),
        other => Err((-32601, format!("method not found: {other}"))),
    })
}

/// A panic of another thread has not left our plain collections half-changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
