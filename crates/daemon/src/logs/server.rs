//! What a server says beside the protocol: its standard error, and noise on its standard output.
//!
//! **Invariant:** standard error is always drained, however fast it comes and whatever becomes of
//! the log: a full pipe would stop the server.

use std::{
    fmt::Write as _,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::Sender;
use wire::{Line, LineSplitter};

use super::{
    Logs,
    clean::{LINE_BYTES, cleaned},
    file_of, timestamp,
};
use crate::{
    hub::{Heard, Input, ProcessId},
    link::{Found, Source},
};

/// Lines that one process may log in a second.
const LINES_PER_SECOND: u32 = 1000;

/// Lines after its start that the core hears of, to quote them should the start fail.
const FIRST_LINES: u32 = 200;

/// Bytes of a line of noise that are logged.
pub(crate) const NOISE_BYTES: usize = 200;

/// The log of one process, which shares its file with others of the same server.
#[derive(Debug)]
pub(crate) struct ServerLog {
    logs: Logs,
    file: Arc<str>,
    /// Tells the processes of one server apart.
    tag: String,
    rate: Rate,
}

impl ServerLog {
    pub(crate) fn new(logs: Logs, server: &str, tag: String) -> Self {
        ServerLog {
            logs,
            file: file_of(server),
            tag,
            rate: Rate::new(Instant::now()),
        }
    }

    /// Another log of the same process, with a rate of its own.
    pub(crate) fn another(&self) -> Self {
        ServerLog {
            logs: self.logs.clone(),
            file: Arc::clone(&self.file),
            tag: self.tag.clone(),
            rate: Rate::new(Instant::now()),
        }
    }

    /// A line of ours about the process.
    pub(crate) fn remark(&self, words: &str) {
        self.logs
            .append(&self.file, self.line("-- ", words).into_bytes());
    }

    /// A line on standard output that is no message.
    pub(crate) fn noise(&mut self, line: &[u8]) {
        let cut = line.get(..NOISE_BYTES).unwrap_or(line);
        let mut text = String::new();
        self.put(&mut text, "stdout: ", &cleaned(cut));
        self.send(text);
    }

    /// The process is gone.
    pub(crate) fn close(&self) {
        self.logs.close(&self.file);
    }

    fn put(&mut self, text: &mut String, mark: &str, line: &str) {
        if self.admits(text) {
            text.push_str(&self.line(mark, line));
        }
    }

    /// Whether there is room in this second for one more line; says first what there was none for.
    fn admits(&mut self, text: &mut String) -> bool {
        let verdict = self.rate.count(Instant::now());
        if verdict.suppressed > 0 {
            let words = format!("{} lines were suppressed", verdict.suppressed);
            text.push_str(&self.line("-- ", &words));
        }
        verdict.allowed
    }

    fn line(&self, mark: &str, line: &str) -> String {
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _infallible = writeln!(text, "{} {} {mark}{line}", timestamp(), self.tag);
        text
    }

    fn send(&self, text: String) {
        if !text.is_empty() {
            self.logs.append(&self.file, text.into_bytes());
        }
    }
}

/// Reads a process's standard error to its end.
pub(crate) async fn drain_errors(
    source: Source,
    process: ProcessId,
    mut log: ServerLog,
    inbox: Sender<Input>,
) {
    let mut splitter = LineSplitter::new(LINE_BYTES);
    let mut told = 0;
    loop {
        if source.readable().await.is_err() {
            break;
        }
        let mut text = String::new();
        let mut first = Vec::new();
        let mut on_line = |line| {
            let (Line::Whole(line) | Line::TooLong(line) | Line::GivenUp(line)) = line;
            let (is_logged, is_told) = (log.admits(&mut text), told < FIRST_LINES);
            // A flood must not cost the time of making it fit to be shown.
            if !is_logged && !is_told {
                return;
            }
            let line = cleaned(&line);
            if is_logged {
                text.push_str(&log.line("", &line));
            }
            if is_told {
                told += 1;
                first.push(line);
            }
        };
        let found = source.read(&mut splitter, &mut on_line);
        let ended = !matches!(found, Ok(Found::Bytes | Found::Nothing));
        if ended && splitter.leftover() > 0 {
            splitter.feed(b"\n", &mut on_line);
        }
        log.send(mem::take(&mut text));
        for line in first {
            let heard = Heard::Complaint(line);
            let _hub_gone = inbox.send(Input::Heard { process, heard }).await;
        }
        if ended {
            break;
        }
    }
    if let Some(suppressed) = log.rate.rest() {
        log.remark(&format!("{suppressed} lines were suppressed"));
    }
}

/// So many lines a second and no more.
#[derive(Debug)]
struct Rate {
    began: Instant,
    lines: u32,
    suppressed: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    allowed: bool,
    /// Lines that were suppressed in the second that has just ended.
    suppressed: u64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Rate {
            began: now,
            lines: 0,
            suppressed: 0,
        }
    }

    fn count(&mut self, now: Instant) -> Verdict {
        let mut suppressed = 0;
        if now.duration_since(self.began) >= Duration::from_secs(1) {
            suppressed = mem::take(&mut self.suppressed);
            self.began = now;
            self.lines = 0;
        }
        self.lines = self.lines.saturating_add(1);
        let allowed = self.lines <= LINES_PER_SECOND;
        if !allowed {
            self.suppressed += 1;
        }
        Verdict {
            allowed,
            suppressed,
        }
    }

    fn rest(&self) -> Option<u64> {
        (self.suppressed > 0).then_some(self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_its_rate_and_what_is_missing_is_counted() {
        let began = Instant::now();
        let mut rate = Rate::new(began);
        let allowed = (0..5000).filter(|_| rate.count(began).allowed).count();
        assert_eq!(allowed, 1000);
        assert_eq!(rate.rest(), Some(4000));
        let later = rate.count(began + Duration::from_secs(1));
        assert_eq!(
            later,
            Verdict {
                allowed: true,
                suppressed: 4000
            }
        );
        assert_eq!(rate.rest(), None);
    }

    #[test]
    fn a_server_called_daemon_does_not_write_to_the_daemon_s_log() {
        assert_ne!(&*file_of("daemon"), super::super::OWN);
        assert_eq!(&*file_of("github"), "github");
    }

    #[tokio::test]
    async fn standard_error_is_drained_logged_and_told_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, thread) = Logs::start(folder.path().to_path_buf()).unwrap();
        let (writer, reader) = tokio::net::unix::pipe::pipe().unwrap();
        let (inbox, mut heard) = tokio::sync::mpsc::channel(1024);
        let log = ServerLog::new(logs.clone(), "echo", "u1".to_owned());
        let source = Source::Pipe(Arc::new(reader));
        let draining = crate::tasks::spawn("test", drain_errors(source, ProcessId(1), log, inbox));
        writer.writable().await.unwrap();
        writer
            .try_write(b"first\n\x1b[1mlast, without an end")
            .unwrap();
        drop(writer);
        draining.await.unwrap();
        let mut told = Vec::new();
        while let Some(Input::Heard {
            heard: Heard::Complaint(line),
            ..
        }) = heard.recv().await
        {
            told.push(line);
        }
        assert_eq!(told, ["first", "last, without an end"]);
        logs.finish(thread);
        let text = std::fs::read_to_string(folder.path().join("echo.log")).unwrap();
        assert!(
            text.lines().next().unwrap().ends_with("Z u1 first"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }
}
