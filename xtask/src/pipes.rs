//! A client's process, and lines through its pipes without waiting for either.

use std::{
    io::{self, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
};

use crate::shell;

const CHUNK: usize = 64 * 1024;

/// What a shim may take to end once its input has ended and all is answered.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The two ends of one session.
#[derive(Debug)]
pub(crate) struct Pipes {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    /// Bytes to be written, and how many of them have been.
    outgoing: Vec<u8>,
    written: usize,
    /// Bytes that were read and not handed out, and how many of them have been.
    incoming: Vec<u8>,
    handed_out: usize,
    /// How far the rest was searched for the end of a line.
    searched: usize,
    chunk: Vec<u8>,
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Something,
    Nothing,
    /// The other side will say no more.
    End,
}

impl Pipes {
    pub(crate) fn open(mut command: Command) -> anyhow::Result<Pipes> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let input = child.stdin.take().context("a piped input is there")?;
        let output = child.stdout.take().context("a piped output is there")?;
        fcntl_setfl(&input, fcntl_getfl(&input)? | OFlags::NONBLOCK)?;
        fcntl_setfl(&output, fcntl_getfl(&output)? | OFlags::NONBLOCK)?;
        Ok(Pipes {
            child,
            input: Some(input),
            output: Some(output),
            outgoing: Vec::new(),
            written: 0,
            incoming: Vec::new(),
            handed_out: 0,
            searched: 0,
            chunk: vec![0; CHUNK],
        })
    }

    /// Puts in a line, which is written when there is room.
    pub(crate) fn say(&mut self, line: &str) {
        self.outgoing.extend_from_slice(line.as_bytes());
        self.outgoing.push(b'\n');
    }

    /// Puts in what is no whole line.
    pub(crate) fn mutter(&mut self, text: &str) {
        self.outgoing.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn unsaid(&self) -> usize {
        self.outgoing.len() - self.written
    }

    /// Reads and writes what goes; waits so long for the first of it. What could be written at once is
    /// something, too.
    pub(crate) fn exchange(&mut self, patience: Duration) -> anyhow::Result<Moved> {
        let unsaid = self.unsaid();
        self.write()?;
        let has_written = self.unsaid() < unsaid;
        let patience = if has_written {
            Duration::ZERO
        } else {
            patience
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs())?,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let Some(output) = &self.output else {
            return Ok(Moved::End);
        };
        let mut ends = vec![PollFd::new(output, PollFlags::IN)];
        if let Some(input) = self.input.as_ref().filter(|_| self.unsaid() > 0) {
            ends.push(PollFd::new(input, PollFlags::OUT));
        }
        if poll(&mut ends, Some(&timeout))? == 0 {
            return Ok(if has_written {
                Moved::Something
            } else {
                Moved::Nothing
            });
        }
        let is_readable = !ends[0].revents().is_empty();
        drop(ends);
        self.write()?;
        if is_readable {
            self.read()
        } else {
            Ok(Moved::Something)
        }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        while self.unsaid() > 0
            && let Some(input) = &mut self.input
        {
            match input.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("writing to a session"),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<Moved> {
        let Some(output) = &mut self.output else {
            return Ok(Moved::End);
        };
        match output.read(&mut self.chunk) {
            Ok(0) => Ok(Moved::End),
            Ok(count) => {
                self.incoming.extend_from_slice(&self.chunk[..count]);
                Ok(Moved::Something)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Moved::Nothing),
            Err(error) => Err(error).context("reading from a session"),
        }
    }

    /// The next whole line that was read, without its end.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let rest = &self.incoming[self.searched..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
            self.incoming.drain(..self.handed_out);
            self.handed_out = 0;
            self.searched = self.incoming.len();
            return None;
        };
        let end = self.searched + len;
        let line = self.incoming[self.handed_out..end].to_vec();
        self.handed_out = end + 1;
        self.searched = end + 1;
        Some(line)
    }

    /// How many whole lines were read, which are dropped.
    pub(crate) fn drop_lines(&mut self) -> u64 {
        let mut count = 0;
        while self.line().is_some() {
            count += 1;
        }
        count
    }

    /// Reads so many bytes and no more, if there are any, and says how many lines ended in them.
    pub(crate) fn sip(&mut self, bytes: usize) -> anyhow::Result<u64> {
        self.write()?;
        self.chunk.truncate(bytes);
        let read = self.read();
        self.chunk.resize(CHUNK, 0);
        read?;
        Ok(self.drop_lines())
    }

    /// Says no more. What was put in must have been written.
    pub(crate) fn close(&mut self) {
        drop(self.input.take());
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a user does who has lost patience.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets go of both ends, as a client does that is killed; the process is to notice.
    pub(crate) fn vanish(&mut self) {
        self.close();
        drop(self.output.take());
    }

    /// Waits for the end of a process whose input and output have ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        if !shell::wait_for_end(self.child.id(), ENDS_WITHIN) {
            bail!("a shim still runs {:?} after its end", begun.elapsed());
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended already.
        let _ = self.child.wait();
    }
}
