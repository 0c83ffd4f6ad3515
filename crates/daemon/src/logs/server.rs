//! The log of one server's process: what it says beside the protocol, and our remarks.
//!
//! **Invariant:** however much it says, so many lines a second are logged and no more, and those that are
//! missing are counted in the log.

use std::{
    fmt::Write as _,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Logs, Veil,
    clean::{Extent, cleaned, cut_to},
    file_of, timestamp,
};

/// Lines that one process may log in a second.
const LINES_PER_SECOND: u32 = 1000;

/// Bytes of a line of noise that are logged.
pub(crate) const NOISE_BYTES: usize = 200;

/// The log of one process, which shares its file with others of the same server.
#[derive(Debug)]
pub(crate) struct ServerLog {
    logs: Logs,
    file: Arc<str>,
    /// Tells the processes of one server apart.
    tag: String,
    veil: Veil,
    rate: Rate,
}

impl ServerLog {
    pub(crate) fn new(logs: Logs, server: &str, tag: String) -> Self {
        ServerLog {
            logs,
            file: file_of(server),
            tag,
            veil: Veil::default(),
            rate: Rate::new(Instant::now()),
        }
    }

    /// Another log of the same process, with a rate of its own.
    pub(crate) fn another(&self) -> Self {
        ServerLog {
            logs: self.logs.clone(),
            file: Arc::clone(&self.file),
            tag: self.tag.clone(),
            veil: self.veil.clone(),
            rate: Rate::new(Instant::now()),
        }
    }

    /// From now on nothing that the process says is shown with its secrets.
    pub(crate) fn draw(&mut self, veil: Veil) {
        self.veil = veil;
    }

    pub(crate) fn veil(&self) -> &Veil {
        &self.veil
    }

    /// A line of the process, or its beginning, made fit to be shown to anybody.
    pub(super) fn shown(&self, line: &[u8], extent: Extent) -> String {
        let line = cleaned(line, extent);
        let is_cut = line.extent == Extent::Beginning;
        let mut text = self.veil.over(line);
        if is_cut {
            text.push_str(" [cut]");
        }
        text
    }

    /// A line of ours about the process.
    pub(crate) fn remark(&self, words: &str) {
        self.logs
            .append(&self.file, self.line("-- ", words).into_bytes());
    }

    /// A line on standard output that is no message, or its beginning: more of it than is logged, if there
    /// is more.
    pub(crate) fn noise(&mut self, line: &[u8]) {
        let (kept, extent) = cut_to(NOISE_BYTES, line, Extent::Whole);
        let shown = self.shown(kept, extent);
        let mut text = String::new();
        self.put(&mut text, "stdout: ", &shown);
        self.send(text);
    }

    /// The process is gone.
    pub(crate) fn close(&self) {
        self.logs.close(&self.file);
    }

    /// Whether no more lines are logged for now.
    pub(super) fn is_spent(&self) -> bool {
        self.rate.is_spent(Instant::now())
    }

    /// So many lines were not even looked at.
    pub(super) fn suppress(&mut self, lines: u64) {
        self.rate.suppressed += lines;
    }

    /// Nothing more will come: says what was suppressed since that was last said.
    pub(super) fn conclude(&self) {
        if let Some(suppressed) = self.rate.rest() {
            self.remark(&format!("{suppressed} lines were suppressed"));
        }
    }

    fn put(&mut self, text: &mut String, mark: &str, line: &str) {
        if self.admits(text) {
            text.push_str(&self.line(mark, line));
        }
    }

    /// Whether there is room in this second for one more line; says first what there was none for.
    pub(super) fn admits(&mut self, text: &mut String) -> bool {
        let verdict = self.rate.count(Instant::now());
        if verdict.suppressed > 0 {
            let words = format!("{} lines were suppressed", verdict.suppressed);
            text.push_str(&self.line("-- ", &words));
        }
        verdict.allowed
    }

    pub(super) fn line(&self, mark: &str, line: &str) -> String {
        let mut text = String::new();
        // Writing to memory cannot fail.
        let _infallible = writeln!(text, "{} {} {mark}{line}", timestamp(), self.tag);
        text
    }

    pub(super) fn send(&self, text: String) {
        if !text.is_empty() {
            self.logs.append(&self.file, text.into_bytes());
        }
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

    /// Whether no line is admitted any more in this second.
    fn is_spent(&self, now: Instant) -> bool {
        self.lines >= LINES_PER_SECOND && now.duration_since(self.began) < Duration::from_secs(1)
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
}
