//! The conversation: messages in, messages out, one thread per call.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
    path::Path,
    process,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    features, mark,
    modern::{self, Era},
    options::{HangAt, Options},
    output::Output,
    record::Record,
    tools,
};

/// What `--fatal-second-initialize` exits with.
const SECOND_INITIALIZE: i32 = 3;

/// The result of a request, or a JSON-RPC error code with its message.
pub(crate) type Outcome = Result<Value, (i64, String)>;

/// One server and its only client.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) options: Options,
    pub(crate) record: Record,
    pub(crate) output: Output,
    /// Calls of tool `count`.
    pub(crate) counter: AtomicU64,
    /// Set by tool `rugpull`, or from the start: from then on the list of tools says something else.
    pub(crate) is_rug_pulled: AtomicBool,
    /// Set by tool `shadow`: from then on two tools have one name.
    pub(crate) is_shadowed: AtomicBool,
    /// Requests of ours that the client has not answered.
    asks: Mutex<BTreeMap<u64, mpsc::Sender<Value>>>,
    asked: AtomicU64,
    cancelled: Mutex<BTreeSet<String>>,
    subscriptions: Mutex<BTreeSet<String>>,
    greetings: AtomicU64,
    /// Who listens, in the modern era, by the text of the id: the id, and to what.
    listeners: Mutex<BTreeMap<String, (Value, Value)>>,
    /// Whether the client speaks as in the modern era; set by the first that it says.
    speaks_modern: OnceLock<bool>,
}

impl Server {
    pub(crate) fn new(options: Options, record: Record) -> io::Result<Self> {
        let folder = options.new_tools_if.as_ref();
        let has_new_tools = folder.is_some_and(|folder| folder.is_dir());
        let server = Server {
            record,
            output: Output::new(),
            counter: AtomicU64::new(0),
            is_rug_pulled: AtomicBool::new(has_new_tools),
            is_shadowed: AtomicBool::new(false),
            asks: Mutex::default(),
            asked: AtomicU64::new(0),
            cancelled: Mutex::default(),
            subscriptions: Mutex::default(),
            greetings: AtomicU64::new(0),
            listeners: Mutex::default(),
            speaks_modern: OnceLock::new(),
            options,
        };
        if let Some(banner) = &server.options.banner {
            server.output.line(banner)?;
        }
        let line = "*".repeat(63);
        for _ in 0..server.options.banner_bytes.div_ceil(64) {
            server.output.line(&line)?;
        }
        Ok(server)
    }

    pub(crate) fn send(&self, message: &Value) -> io::Result<()> {
        self.output.line(&message.to_string())
    }

    /// Says something that is for whoever caused it.
    pub(crate) fn notify(&self, method: &str, params: &Value) -> io::Result<()> {
        if self.is_modern() && !modern::is_wanted(method) {
            return Ok(());
        }
        self.tell(method, &mark::added(params))
    }

    /// Says something that is for all who want to hear it, whoever caused it.
    pub(crate) fn announce(&self, method: &str, params: &Value) -> io::Result<()> {
        if !self.is_modern() {
            return self.tell(method, params);
        }
        let listeners = lock(&self.listeners).clone();
        let told = |(id, filter): &(Value, Value)| modern::told(id, filter, method, params);
        let mut all = listeners.values().filter_map(told);
        all.try_for_each(|message| self.send(&message))
    }

    fn tell(&self, method: &str, params: &Value) -> io::Result<()> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Asks the client and waits for its whole response message.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> io::Result<Value> {
        if self.is_modern() {
            return modern::ask(method, params);
        }
        let id = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = mpsc::channel();
        lock(&self.asks).insert(id, sender);
        let params = mark::added(params);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        receiver.recv().map_err(io::Error::other)
    }

    pub(crate) fn is_cancelled(&self, id: &Value) -> bool {
        !self.options.ignore_cancel && lock(&self.cancelled).contains(&id.to_string())
    }

    pub(crate) fn subscribe(&self, uri: &str) {
        lock(&self.subscriptions).insert(uri.to_owned());
    }

    pub(crate) fn unsubscribe(&self, uri: &str) {
        lock(&self.subscriptions).remove(uri);
    }

    pub(crate) fn is_subscribed(&self, uri: &str) -> bool {
        lock(&self.subscriptions).contains(uri)
    }

    pub(crate) fn answer(&self, id: &Value, outcome: &Outcome) -> io::Result<()> {
        if let Some(noise) = &self.options.noise {
            self.output.line(noise)?;
        }
        if self.is_modern() {
            return self.send(&response(id, &modern::completed(outcome)));
        }
        self.send(&response(id, outcome))
    }

    /// Somebody listens from now on.
    pub(crate) fn listen(&self, id: &Value, filter: &Value) -> io::Result<()> {
        let mut filter = filter.clone();
        if let Some(uris) = filter["resourceSubscriptions"].as_array_mut() {
            uris.retain(|uri| uri.as_str().is_some_and(features::is_told_of));
        }
        let acknowledgement = modern::acknowledgement(id, &filter);
        let listener = (id.clone(), filter);
        lock(&self.listeners).insert(id.to_string(), listener);
        self.send(&acknowledgement)
    }

    fn is_modern(&self) -> bool {
        self.speaks_modern.get().is_some_and(|is_modern| *is_modern)
    }

    /// Takes the era from the first that the client says.
    fn meet(&self, params: &Value) {
        self.speaks_modern.get_or_init(|| match self.options.era {
            Era::Legacy => false,
            Era::Modern => true,
            Era::Both => modern::is_claimed(params),
        });
    }

    fn greet(&self, params: &Value) -> Option<Outcome> {
        let earlier = self.greetings.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 && self.options.fatal_second_initialize {
            exit(SECOND_INITIALIZE);
        }
        if self.options.hangs_at(HangAt::Start) {
            return None;
        }
        if let Some(file) = &self.options.start_until {
            wait_for(file);
        }
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        // Versions are dates, so the older one is the lesser text.
        let version = asked.min(&self.options.protocol);
        let mut capabilities = json!({
            "tools": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "prompts": {"listChanged": true},
            "completions": {},
            "logging": {},
        });
        if self.options.tasks {
            capabilities["tasks"] = json!({"requests": {"tools": {"call": {}}}});
        }
        Some(Ok(json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "serverInfo": {"name": "fake-server", "version": "1.0"},
        })))
    }
}

/// The message that answers a request.
pub(crate) fn response(id: &Value, outcome: &Outcome) -> Value {
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": mark::added(result)}),
        Err((code, message)) => {
            let mut error = json!({"code": code, "message": message});
            if let Some(data) = mark::data() {
                error["data"] = data;
            }
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    }
}

/// Waits until a file exists.
pub(crate) fn wait_for(file: &Path) {
    while !file.exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

#[expect(clippy::exit, reason = "a server that dies in the middle of anything")]
pub(crate) fn exit(code: i32) -> ! {
    process::exit(code)
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
    server.meet(&message["params"]);
    if method == "notifications/cancelled" {
        let target = message["params"]["requestId"].to_string();
        lock(&server.listeners).remove(&target);
        server.record.note(format_args!("cancelled {target}"));
        lock(&server.cancelled).insert(target);
    }
    let Some(id) = message.get("id").cloned() else {
        return Ok(());
    };
    let params = &message["params"];
    if server.is_modern() && modern::respond(server, &method, &id, params)? {
        return Ok(());
    }
    if method == "tools/call" {
        return take_call(server, id, message);
    }
    mark::begin(&method, params);
    let outcome = match method.as_str() {
        "initialize" => server.greet(params),
        "ping" if server.options.ignore_ping => None,
        other => Some(features::respond(server, other, &id, params)),
    };
    match outcome {
        Some(outcome) => server.answer(&id, &outcome),
        None => Ok(()),
    }
}

fn take_call(server: &Arc<Server>, id: Value, message: Value) -> io::Result<()> {
    if let Some(code) = server.options.exit_at_first_call {
        exit(code.into());
    }
    if server.options.hangs_at(HangAt::Call) {
        return Ok(());
    }
    if message["params"]["name"] == tools::DEAF {
        // Not on a thread of its own: nothing else is to be read meanwhile.
        tools::call(server, &id, &message["params"]);
        return Ok(());
    }
    let server = Arc::clone(server);
    thread::Builder::new()
        .spawn(move || tools::call(&server, &id, &message["params"]))
        .map(drop)
}

/// A panic of another thread has not left our plain collections half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
