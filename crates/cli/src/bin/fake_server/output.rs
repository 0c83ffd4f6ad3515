//! Standard output: whole lines, and all that is none.
//!
//! **Invariant:** what one call of a method writes is not mixed with what other threads write.

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::server::exit;

/// The way to the client.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Mutex<io::Stdout>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Output {
            stdout: Mutex::new(io::stdout()),
        }
    }

    /// Writes a line and its end.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        self.raw(format!("{line}\n").as_bytes())
    }

    /// Writes exactly these bytes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes these bytes one by one, with a pause behind each.
    pub(crate) fn drip(&self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        let mut out = self.lock();
        for byte in bytes {
            out.write_all(&[*byte])?;
            out.flush()?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Writes one line of `head`, so many `x`, and `tail`, without having it in memory.
    pub(crate) fn giant(&self, head: &str, bytes: usize, tail: &str) -> io::Result<()> {
        let filling = [b'x'; 16 * 1024];
        let mut out = self.lock();
        out.write_all(head.as_bytes())?;
        let mut left = bytes;
        while left > 0 {
            let part = filling.get(..left).unwrap_or(&filling);
            out.write_all(part)?;
            left -= part.len();
        }
        out.write_all(tail.as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Writes the beginning of a message, up to so many bytes, and ends the process: nobody writes behind it.
    pub(crate) fn die_behind(&self, message: &[u8], at: usize, code: i32) -> ! {
        let mut out = self.lock();
        // A reader that has gone changes nothing now.
        let _gone = out.write_all(message.get(..at).unwrap_or(message));
        let _gone = out.flush();
        exit(code)
    }

    /// Lets the reader see the end, while the process goes on.
    pub(crate) fn close(&self) -> io::Result<()> {
        let out = self.lock();
        let nothing = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nothing)?;
        drop(out);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, io::Stdout> {
        // A panic of another thread leaves at most a torn line.
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
