//! The server behind the conformance suite: it offers over stdio what the suite's scenarios describe.
//!
//! `conformance-server legacy|modern`: one process speaks one era. Many conversations may share its pipe,
//! so nothing that takes its time, or waits for an answer, holds up anything else.

mod deed;
mod inquiry;
mod legacy;
mod message;
mod modern;
mod prompts;
mod resources;
mod stage;
mod tools;

use std::{
    env,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use crate::{legacy::Legacy, modern::Modern, stage::Stage};

/// Lines that were read and not yet looked at.
const UNREAD_MAX: usize = 256;

/// How long to wait for a line while nothing is due.
const LONG: Duration = Duration::from_hours(1);

/// What speaks one era.
trait Server {
    /// Takes in one line.
    fn take(&mut self, now: Duration, line: &[u8]);

    /// What is to be said, now and later.
    fn stage(&mut self) -> &mut Stage;
}

fn main() -> io::Result<ExitCode> {
    let flavour = env::args().nth(1).unwrap_or_default();
    let mut server: Box<dyn Server> = match &*flavour {
        "legacy" => Box::new(Legacy::default()),
        "modern" => Box::new(Modern::default()),
        _ => return Ok(ExitCode::from(2)),
    };
    let (tell, lines) = mpsc::sync_channel(UNREAD_MAX);
    thread::spawn(move || read(&tell));
    serve(&mut *server, &lines)?;
    Ok(ExitCode::SUCCESS)
}

/// Hands over lines until there are no more.
fn read(tell: &SyncSender<Vec<u8>>) -> io::Result<()> {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 || tell.send(line).is_err() {
            return Ok(());
        }
    }
}

/// Goes on until the input has ended; what would have been said later is not said then.
fn serve(server: &mut dyn Server, lines: &Receiver<Vec<u8>>) -> io::Result<()> {
    let begun = Instant::now();
    let mut output = io::stdout().lock();
    loop {
        let due = server.stage().next_deadline();
        let patience = due.map_or(LONG, |due| due.saturating_sub(begun.elapsed()));
        match lines.recv_timeout(patience) {
            Ok(line) => server.take(begun.elapsed(), &line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let stage = server.stage();
        stage.advance(begun.elapsed());
        let says = stage.said();
        output.write_all(says.as_bytes())?;
        output.flush()?;
    }
}
