//! A server's standard error, read to its end.
//!
//! **Invariant:** it is drained whatever becomes of the log, because a full pipe would stop the server;
//! and a flood of it takes little of the time that is everybody's.

use std::{mem, time::Duration};

use tokio::{
    sync::{futures::OwnedNotified, mpsc::Sender},
    time,
};
use wire::{Line, LineSplitter};

use super::{
    ServerLog,
    clean::{Extent, LINE_BYTES},
};
use crate::{
    hub::{Heard, Input, ProcessId},
    link::{Found, Source, Stopped, until_halted},
    tasks,
};

/// Lines after its start that the core hears of, to quote them should the start fail.
const FIRST_LINES: u32 = 200;

/// How long a server that floods us is left alone after each read. That lets through some 50 MB/s, and the
/// flood waits for us, not everybody else for the flood.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);

/// Reads a process's standard error to its end, of which the hub hears; or until all are to stop, and then
/// hands out what it has of an unfinished line. It begins with `begun`, the same of another.
pub(crate) async fn drain_errors(
    source: Source,
    process: ProcessId,
    log: ServerLog,
    (inbox, halt): (Sender<Input>, OwnedNotified),
    begun: Vec<u8>,
) -> Stopped<Vec<u8>> {
    let mut splitter = LineSplitter::new(LINE_BYTES);
    splitter.feed(&begun, |_| {});
    drop(begun);
    let mut heard = Listener::new(log);
    let to_the_end = async {
        let draining = drain(source, process, &inbox, &mut splitter, &mut heard);
        tasks::caught("server log", draining).await;
        let heard = Heard::ErrorsEnded;
        let _hub_gone = inbox.send(Input::Heard { process, heard }).await;
    };
    let has_ended = until_halted(halt, "server log", to_the_end).await;
    heard.log.conclude();
    let begun = splitter.unfinished().unwrap_or_default();
    Stopped::with(has_ended, begun.to_vec())
}

async fn drain(
    source: Source,
    process: ProcessId,
    inbox: &Sender<Input>,
    splitter: &mut LineSplitter,
    heard: &mut Listener,
) {
    loop {
        if source.readable().await.is_err() {
            break;
        }
        let is_flood = heard.has_enough();
        let found = if is_flood {
            source.glance(|bytes| heard.pass_over(splitter, bytes))
        } else {
            source.read(splitter, |line| heard.take(line))
        };
        heard.hand_over(process, inbox).await;
        if !matches!(found, Ok(Found::Bytes | Found::Full | Found::Nothing)) {
            break;
        }
        if is_flood {
            time::sleep(FLOOD_PAUSE).await;
        }
    }
    if splitter.leftover() > 0 {
        splitter.feed(b"\n", |line| heard.take(line));
        heard.hand_over(process, inbox).await;
    }
}

/// Who logs what is to be logged, and tells what is to be told.
#[derive(Debug)]
struct Listener {
    log: ServerLog,
    /// Lines for the log that were not sent there yet.
    text: String,
    /// Lines that the core has heard of, and those that it is to hear of next.
    told: u32,
    first: Vec<String>,
}

impl Listener {
    fn new(log: ServerLog) -> Self {
        Listener {
            log,
            text: String::new(),
            told: 0,
            first: Vec::new(),
        }
    }

    /// Whether nobody wants more lines for now.
    fn has_enough(&self) -> bool {
        self.told >= FIRST_LINES && self.log.is_spent()
    }

    /// Counts the lines that end in these bytes, and leaves the beginning of the next to the splitter.
    fn pass_over(&mut self, splitter: &mut LineSplitter, bytes: &[u8]) {
        let Some(end) = memchr::memrchr(b'\n', bytes) else {
            return splitter.feed(bytes, |_| {});
        };
        let (passed, next) = bytes.split_at(end + 1);
        self.log
            .suppress(memchr::memchr_iter(b'\n', passed).count() as u64);
        *splitter = LineSplitter::new(LINE_BYTES);
        splitter.feed(next, |_| {});
    }

    fn take(&mut self, line: Line) {
        let (line, extent) = match line {
            Line::Whole(line) => (line, Extent::Whole),
            Line::TooLong(left) | Line::GivenUp(left) => (left.head, Extent::Beginning),
            // Its beginning is written when its end has come.
            Line::Unended(_) => return,
        };
        let is_logged = self.log.admits(&mut self.text);
        let is_told = self.told < FIRST_LINES;
        // A flood must not cost the time of making it fit to be shown.
        if !is_logged && !is_told {
            return;
        }
        let line = self.log.shown(&line, extent);
        if is_logged {
            self.text.push_str(&self.log.line("", &line));
        }
        if is_told {
            self.told += 1;
            self.first.push(line);
        }
    }

    async fn hand_over(&mut self, process: ProcessId, inbox: &Sender<Input>) {
        self.log.send(mem::take(&mut self.text));
        for line in mem::take(&mut self.first) {
            let heard = Heard::Complaint(line);
            let _hub_gone = inbox.send(Input::Heard { process, heard }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, path::Path, sync::Arc};

    use super::{super::Logs, *};
    use crate::link::Halt;

    /// What is logged and told of what `write` writes to a standard error, which ends then.
    async fn drained(
        folder: &Path,
        write: impl FnOnce(std::fs::File) + Send + 'static,
    ) -> Vec<String> {
        let (logs, thread) = Logs::start(folder.to_path_buf()).unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader).unwrap();
        let (inbox, mut heard) = tokio::sync::mpsc::channel(1024);
        let log = ServerLog::new(logs.clone(), "echo", "u1".to_owned());
        let source = Source::Pipe(Arc::new(reader));
        let draining = tasks::spawn(
            "test",
            drain_errors(
                source,
                ProcessId(1),
                log,
                (inbox, Halt::default().wanted()),
                Vec::new(),
            ),
        );
        let writer = std::thread::spawn(move || write(std::fs::File::from(writer)));
        draining.await.unwrap();
        writer.join().unwrap();
        let mut told = Vec::new();
        while let Some(Input::Heard {
            heard: Heard::Complaint(line),
            ..
        }) = heard.recv().await
        {
            told.push(line);
        }
        logs.finish(thread);
        told
    }

    #[tokio::test]
    async fn standard_error_is_drained_logged_and_told_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let told = drained(folder.path(), |mut errors| {
            errors
                .write_all(b"first\n\x1b[1mlast, without an end")
                .unwrap();
        })
        .await;
        assert_eq!(told, ["first", "last, without an end"]);
        let text = std::fs::read_to_string(folder.path().join("echo.log")).unwrap();
        assert!(
            text.lines().next().unwrap().ends_with("Z u1 first"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[tokio::test]
    async fn of_a_flood_every_line_is_logged_or_counted() {
        const LINES: usize = 300_000;
        let folder = tempfile::tempdir().unwrap();
        let told = drained(folder.path(), |errors| {
            let mut errors = std::io::BufWriter::new(errors);
            for number in 0..LINES {
                writeln!(errors, "line {number} {}", "x".repeat(number % 90)).unwrap();
            }
        })
        .await;
        assert_eq!(told.len(), FIRST_LINES as usize);
        let text = std::fs::read_to_string(folder.path().join("echo.log")).unwrap();
        let (mut logged, mut suppressed) = (0, 0);
        for line in text.lines() {
            if let Some((_, words)) = line.split_once(" -- ") {
                let count: usize = words.split(' ').next().unwrap().parse().unwrap();
                suppressed += count;
            } else {
                assert!(line.contains(" u1 line "), "{line}");
                logged += 1;
            }
        }
        assert!(logged >= 1000 && suppressed > 0, "{logged} {suppressed}");
        assert_eq!(logged + suppressed, LINES);
    }
}
