//! One client session of the load generator: a child process, and calls through its pipes.

use std::{
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What one session may take in one go; also the size of a pipe.
const CHUNK: usize = 64 * 1024;
/// How long anything may take before the measurement is given up.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A greeted session.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    issued: u64,
    in_flight: usize,
    chunk: Vec<u8>,
}

impl Session {
    /// Starts the process and greets it; returns how long that took, too.
    pub(crate) fn open(mut command: Command) -> anyhow::Result<(Session, Duration)> {
        let chunk = vec![0; CHUNK];
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .context("a piped standard output is there")?;
        let mut session = Session {
            child,
            input,
            output,
            issued: 0,
            in_flight: 0,
            chunk,
        };
        session.send(&format!("{INITIALIZE}\n"))?;
        let answer = session
            .line()
            .with_context(|| format!("greeting {command:?}"))?;
        let taken = begun.elapsed();
        ensure!(
            answer.contains("protocolVersion"),
            "{command:?} answered {answer}"
        );
        session.send(&format!("{INITIALIZED}\n"))?;
        Ok((session, taken))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One call of `echo`, from before it is written until its answer has been read.
    pub(crate) fn call(&mut self) -> anyhow::Result<Duration> {
        self.issued += 1;
        let id = self.issued;
        let request = request(id);
        let begun = Instant::now();
        self.send(&request)?;
        let answer = self.line()?;
        let taken = begun.elapsed();
        let is_ours = answer.contains(&format!("\"id\":{id},")) && answer.contains("hello, server");
        ensure!(is_ours, "the answer to call {id} was {answer}");
        Ok(taken)
    }

    /// One call whose answer has that many bytes of text.
    pub(crate) fn call_for_blob(&mut self, bytes: usize) -> anyhow::Result<Duration> {
        self.issued += 1;
        let id = self.issued;
        let request = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"blob\",\"arguments\":{{\"bytes\":{bytes}}}}}}}\n"
        );
        let begun = Instant::now();
        self.send(&request)?;
        let mut read = 0;
        loop {
            let count = self.read()?;
            read += count;
            if self.chunk[count - 1] == b'\n' {
                break;
            }
        }
        let taken = begun.elapsed();
        ensure!(
            (bytes..bytes + 200).contains(&read),
            "a blob of {bytes} bytes came as {read}"
        );
        Ok(taken)
    }

    fn send(&mut self, text: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the session is still open")?;
        input
            .write_all(text.as_bytes())
            .context("writing to a session")
    }

    /// What there is, at least one byte.
    fn read(&mut self) -> anyhow::Result<usize> {
        let mut ends = [PollFd::new(&self.output, PollFlags::IN)];
        ensure!(
            poll(&mut ends, Some(&PATIENCE))? > 0,
            "no answer within {} s",
            PATIENCE.tv_sec
        );
        let count = self.output.read(&mut self.chunk)?;
        ensure!(count > 0, "the session ended");
        Ok(count)
    }

    /// One short line, when nothing else is in flight.
    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let count = self.read()?;
            line.extend_from_slice(&self.chunk[..count]);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn send_calls(&mut self, count: usize) -> anyhow::Result<()> {
        let mut text = String::with_capacity(count * 128);
        for _ in 0..count {
            self.issued += 1;
            text.push_str(&request(self.issued));
        }
        self.in_flight += count;
        self.send(&text)
    }

    /// Takes what answers there are and returns their number.
    #[expect(
        clippy::naive_bytecount,
        reason = "a few kB at a time are not worth a dependency"
    )]
    fn take_answers(&mut self) -> anyhow::Result<usize> {
        let count = self.output.read(&mut self.chunk)?;
        ensure!(count > 0, "the session ended");
        let answers = self.chunk[..count]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        ensure!(answers <= self.in_flight, "more answers than calls");
        self.in_flight -= answers;
        Ok(answers)
    }
}

impl Drop for Session {
    /// End of input, as a client ends it; then whatever it takes.
    fn drop(&mut self) {
        drop(self.input.take());
        if !crate::shell::wait_for_end(self.child.id(), Duration::from_secs(5)) {
            let _ = self.child.kill(); // It may end at this very moment.
        }
        let _ = self.child.wait();
    }
}

/// Keeps `window` calls in flight on each session until each has made `calls` of them, in one thread.
pub(crate) fn load(
    sessions: &mut [Session],
    window: usize,
    calls: usize,
) -> anyhow::Result<Duration> {
    let mut unsent = vec![calls; sessions.len()];
    let mut unanswered = calls * sessions.len();
    let begun = Instant::now();
    for (session, unsent) in sessions.iter_mut().zip(&mut unsent) {
        let count = window.min(*unsent);
        session.send_calls(count)?;
        *unsent -= count;
    }
    while unanswered > 0 {
        let ready: Vec<usize> = {
            let borrowed = sessions.iter().map(|session| session.output.as_fd());
            let mut ends: Vec<PollFd<'_>> = borrowed
                .map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN))
                .collect();
            ensure!(
                poll(&mut ends, Some(&PATIENCE))? > 0,
                "{unanswered} calls without an answer"
            );
            let is_ready =
                |(index, end): (usize, &PollFd<'_>)| (!end.revents().is_empty()).then_some(index);
            ends.iter().enumerate().filter_map(is_ready).collect()
        };
        for index in ready {
            let answers = sessions[index].take_answers()?;
            unanswered -= answers;
            let count = answers.min(unsent[index]);
            if count > 0 {
                sessions[index].send_calls(count)?;
                unsent[index] -= count;
            }
        }
    }
    Ok(begun.elapsed())
}

fn request(id: u64) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"text\":\"hello, server\"}}}}}}\n"
    )
}
