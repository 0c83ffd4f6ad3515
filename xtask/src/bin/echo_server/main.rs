//! The smallest MCP server that is worth measuring with: `bench` puts it behind everything.
//!
//! It reads as much as there is, answers all of it, and writes once: a faster
//! server would not make a proxy look worse, a slower one would make it look better.
//!
//! `echo-server [--ballast MB]`: tools `echo {text}` and `blob {bytes}`; `flood {bytes}` begins to write
//! that much to standard error, unless it still does, and goes on answering; `calm {}` ends that.

mod echo;

use std::{
    env,
    hint::black_box,
    io::{self, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::echo::{answer, field, number};

const CHUNK: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let ballast = vec![1_u8; ballast_len()];
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut unread = Vec::with_capacity(CHUNK);
    let mut answers = Vec::with_capacity(CHUNK);
    let mut chunk = vec![0_u8; CHUNK];
    let mut flood = Flood::default();
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            black_box(ballast);
            return Ok(());
        }
        unread.extend_from_slice(&chunk[..count]);
        let mut begin = 0;
        while let Some(len) = unread[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &unread[begin..begin + len];
            flood.obey(line);
            answer(line, &mut answers);
            begin += len + 1;
        }
        unread.drain(..begin);
        output.write_all(&answers)?;
        output.flush()?;
        answers.clear();
    }
}

/// What is written to standard error beside everything else.
#[derive(Default)]
struct Flood {
    writer: Option<JoinHandle<io::Result<()>>>,
    is_over: Arc<AtomicBool>,
}

impl Flood {
    /// Begins or ends, if it is that what a call wants.
    fn obey(&mut self, line: &[u8]) {
        let params = field(line, b"params").unwrap_or_default();
        let name = field(params, b"name");
        if name == Some(br#""flood""#) && self.writer.as_ref().is_none_or(JoinHandle::is_finished) {
            let bytes = number(field(params, b"arguments").unwrap_or_default(), b"bytes");
            self.is_over.store(false, Ordering::Relaxed);
            let is_over = Arc::clone(&self.is_over);
            self.writer = Some(thread::spawn(move || write_errors(bytes, &is_over)));
        } else if name == Some(br#""calm""#)
            && let Some(writer) = self.writer.take()
        {
            self.is_over.store(true, Ordering::Relaxed);
            // How it ended is of no interest, only that it did.
            let _ended = writer.join();
        }
    }
}

fn write_errors(bytes: usize, is_over: &AtomicBool) -> io::Result<()> {
    let line =
        b"a server has a lot to say, and says it as fast as it can: all is well, all is well\n";
    let lines = line.repeat(CHUNK / line.len());
    let mut errors = io::stderr().lock();
    for _ in 0..bytes.div_ceil(lines.len()) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        errors.write_all(&lines)?;
    }
    Ok(())
}

/// How many bytes of memory to hold and touch.
fn ballast_len() -> usize {
    let mut arguments = env::args().skip_while(|argument| argument != "--ballast");
    let megabytes: usize = arguments
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    megabytes * 1024 * 1024
}
