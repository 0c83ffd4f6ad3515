//! A client that reads only when a test tells it to, and may vanish without a word.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};

use super::{canary, eventually, hello, processes::Process};

/// A spawned `mcpool connect`. Nothing of what it says is read but by the functions here.
pub(crate) struct Reluctant {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    /// The beginning of a line that was read in part.
    begun: Vec<u8>,
    lines: Vec<String>,
    /// Keeps the input of a flood open.
    flooding: Option<mpsc::Sender<()>>,
    /// What its canary is called.
    number: u64,
}

impl Reluctant {
    /// Greets with no capabilities.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = Reluctant {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            begun: Vec::new(),
            lines: Vec::new(),
            flooding: None,
            number: canary::new_client(),
        };
        client.send(&json!({
            "jsonrpc": "2.0",
            "id": "hello",
            "method": "initialize",
            "params": hello("2025-11-25", &json!({})),
        }));
        let greeting = client.message();
        assert_eq!(greeting["id"], "hello", "{greeting}");
        client
    }

    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id()).unwrap()
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it has not vanished");
        stdin.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn send(&mut self, message: &Value) {
        let message = canary::marked(message.clone(), self.number);
        self.write(format!("{message}\n").as_bytes());
    }

    #[track_caller]
    pub(crate) fn begin(&mut self, id: u64, tool: &str, arguments: Value) {
        self.send(&call(id, tool, arguments));
    }

    /// Writes all that from now on, in a thread of its own that waits whenever nobody reads it, and
    /// closes its output only with that.
    pub(crate) fn flood(&mut self, lines: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("it has not vanished");
        let (done, is_over) = mpsc::channel();
        self.flooding = Some(done);
        thread::spawn(move || {
            // The shim may end before all is written.
            let _broken = stdin.write_all(&lines);
            // It stays open for as long as the client is there.
            let _gone: Result<(), _> = is_over.recv();
        });
    }

    /// Takes at most so many bytes, and no more from the pipe than the buffer of one read.
    pub(crate) fn sip(&mut self, bytes: usize) {
        let stdout = self.stdout.as_mut().expect("it has not vanished");
        let mut sip = vec![0; bytes];
        let len = stdout.read(&mut sip).unwrap();
        self.begun.extend_from_slice(&sip[..len]);
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Value {
        if self.lines.is_empty() {
            let stdout = self.stdout.as_mut().expect("it has not vanished");
            let len = stdout.read_until(b'\n', &mut self.begun).unwrap();
            assert!(len > 0, "the session ended");
            let text = String::from_utf8(std::mem::take(&mut self.begun)).unwrap();
            canary::must_be_own(&text, self.number);
            self.lines = text.lines().rev().map(str::to_owned).collect();
        }
        let line = self.lines.pop().expect("a line was read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// The client dies: its ends of all pipes are closed at once. Waits for the shim to end.
    #[track_caller]
    pub(crate) fn vanish(mut self) {
        self.stdin = None;
        self.stdout = None;
        eventually("the end of a shim without a client", || {
            self.child.try_wait().unwrap()
        });
    }
}

impl Drop for Reluctant {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(stdout) = self.stdout.as_mut().filter(|_| !thread::panicking()) {
            // What was there for it to read is none of others either. The last line may be cut off.
            let _ = stdout.read_to_end(&mut self.begun);
            let text = String::from_utf8_lossy(&self.begun);
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            canary::must_be_own(whole, self.number);
        }
    }
}

pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}
