//! A client that says exactly what a test tells it to.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{PATIENCE, canary, eventually, processes::Process};

/// A spawned `mcpool connect` and the pipes to it.
pub(crate) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
    /// Messages that came while something else was waited for.
    kept: VecDeque<Value>,
    requests: u64,
    /// What its canary is called.
    number: u64,
    /// Longest wait for a line.
    patience: Duration,
}

impl Client {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Client {
            stdin: child.stdin.take(),
            lines: read(lines),
            errors: read(errors),
            child,
            kept: VecDeque::new(),
            requests: 0,
            number: canary::new_client(),
            patience: PATIENCE,
        }
    }

    /// Waits longer for each line, where it is known to take as long as that.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id()).unwrap()
    }

    /// Writes a line as it is.
    #[track_caller]
    pub(crate) fn write(&mut self, line: &str) {
        self.write_bytes(line.as_bytes());
    }

    /// Writes bytes that may be no text, and a line end.
    #[track_caller]
    pub(crate) fn write_bytes(&mut self, line: &[u8]) {
        self.write_part(&[line, b"\n"].concat());
    }

    /// Writes bytes that end no line.
    #[track_caller]
    pub(crate) fn write_part(&mut self, part: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin was closed");
        stdin.write_all(part).unwrap();
    }

    /// Waits until the server has read and answered all that came before, as far as it does so in order.
    #[track_caller]
    pub(crate) fn come_to_rest(&mut self) {
        self.request("resources/templates/list", json!({}));
    }

    /// Asserts that nothing has come, nor comes before the server's answer to what it is asked now.
    #[track_caller]
    pub(crate) fn hears_nothing(&mut self) {
        // mcpool itself would answer a ping.
        let id = self.ask("resources/templates/list", json!({}));
        assert!(self.kept.is_empty(), "{:?}", self.kept);
        let line = self.line().unwrap();
        assert!(line.contains(&format!(r#""id":{id},"#)), "{line}");
    }

    /// Writes a line to a shim that may have gone.
    pub(crate) fn try_write(&mut self, line: &str) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().expect("stdin was closed");
        stdin.write_all(format!("{line}\n").as_bytes())
    }

    /// Sends a message with the client's canary.
    #[track_caller]
    pub(crate) fn send(&mut self, message: &Value) {
        let message = canary::marked(message.clone(), self.number);
        self.write(&message.to_string());
    }

    /// The client's canary, for messages that are written as they are.
    pub(crate) fn canary(&self) -> String {
        canary::of_client(self.number)
    }

    /// The same as a member of `_meta`.
    pub(crate) fn canary_member(&self) -> String {
        canary::member_of(self.number)
    }

    /// The next line, whatever it is; `None` at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => {
                canary::must_be_own(&line, self.number);
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line came"),
        }
    }

    /// The first message, kept or yet to come, of which this is so.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&is_it) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let line = self.line().unwrap_or_else(|| self.explain_the_end());
            let message: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{error} in the line {line:?}"));
            if is_it(&message) {
                return message;
            }
            self.kept.push_back(message);
        }
    }

    /// Whether there was such a message among those that came while something else was waited for.
    pub(crate) fn has_heard(&self, is_it: impl Fn(&Value) -> bool) -> bool {
        self.kept.iter().any(is_it)
    }

    /// Sends a request and returns its id.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id();
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// An id that no request had yet.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// The whole response to a request.
    #[track_caller]
    pub(crate) fn response(&mut self, id: u64) -> Value {
        self.wait_for(|message| message["id"] == id && message.get("method").is_none())
    }

    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.response(id)
    }

    #[track_caller]
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Greets with no capabilities.
    #[track_caller]
    pub(crate) fn initialize(&mut self) -> Value {
        self.initialize_with(&json!({}))
    }

    #[track_caller]
    pub(crate) fn initialize_with(&mut self, capabilities: &Value) -> Value {
        let answer = self.greet(capabilities);
        assert!(answer.get("result").is_some(), "{answer}");
        self.notify("notifications/initialized", &json!({}));
        answer["result"].clone()
    }

    /// Sends `initialize` and returns whatever is answered.
    #[track_caller]
    pub(crate) fn greet(&mut self, capabilities: &Value) -> Value {
        self.request("initialize", hello("2025-11-25", capabilities))
    }

    /// Starts a call and returns its id.
    #[track_caller]
    pub(crate) fn begin(&mut self, tool: &str, arguments: Value) -> u64 {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool; the whole response.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.begin(tool, arguments);
        self.response(id)
    }

    /// Calls a tool that must answer; its text.
    #[track_caller]
    pub(crate) fn text(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments);
        let text = answer["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The process that answers a call.
    #[track_caller]
    pub(crate) fn server_pid(&mut self) -> u32 {
        let answer = self.call("echo", json!({}));
        let pid = answer["result"]["structuredContent"]["pid"].as_u64();
        u32::try_from(pid.unwrap_or_else(|| panic!("{answer}"))).unwrap()
    }

    /// What the server was given.
    #[track_caller]
    pub(crate) fn surroundings(&mut self) -> Value {
        serde_json::from_str(&self.text("surroundings", json!({}))).unwrap()
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Ends the input, and waits until the shim has ended.
    #[track_caller]
    pub(crate) fn close(mut self) -> ExitStatus {
        self.close_stdin();
        self.ended()
    }

    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the end of a shim", || self.child.try_wait().unwrap())
    }

    /// Everything on stderr; waits for its end.
    #[track_caller]
    pub(crate) fn errors(&mut self) -> String {
        let mut all = Vec::new();
        while let Ok(line) = self.errors.recv_timeout(PATIENCE) {
            all.push(line);
        }
        all.join("\n")
    }

    #[track_caller]
    fn explain_the_end(&mut self) -> ! {
        let errors = self.errors();
        panic!("the session ended; stderr: {errors}; kept: {:?}", self.kept);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            // Lines that nobody waited for, and those on stderr, are none of others either.
            for line in self.lines.try_iter().chain(self.errors.try_iter()) {
                canary::must_be_own(&line, self.number);
            }
        }
    }
}

/// The parameters of `initialize`.
pub(crate) fn hello(version: &str, capabilities: &Value) -> Value {
    json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "clientInfo": {"name": "it", "version": "1"},
    })
}

/// Lines of a pipe, read by a thread that ends with it.
fn read(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
