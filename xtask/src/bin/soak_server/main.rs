//! The server of a soak: it does what a call tells it to, and keeps a ledger of all that reaches it.
//!
//! `soak-server FOLDER`: writes to `FOLDER/PID`. A deed stands in the ledger before anybody can hear of
//! it, so that it is there also when this process is killed at that very moment.

mod conversation;
#[path = "../../soak/words.rs"]
mod words;

use std::{
    env,
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use crate::conversation::{Conversation, Turn};

const CHUNK: usize = 64 * 1024;

/// What it exits with when a call tells it to crash.
const CRASHED: u8 = 3;

fn main() -> io::Result<ExitCode> {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_default());
    let mut ledger = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(std::process::id().to_string()))?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut conversation = Conversation::new(std::process::id());
    let mut unread = Vec::with_capacity(CHUNK);
    let mut chunk = vec![0_u8; CHUNK];
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let searched = unread.len();
        unread.extend_from_slice(&chunk[..count]);
        let (mut begin, mut search) = (0, searched);
        let mut turn = Turn::GoOn;
        while let (Turn::GoOn, Some(len)) = (&turn, newline(&unread, search)) {
            turn = conversation.take(&unread[begin..len]);
            begin = len + 1;
            search = begin;
        }
        unread.drain(..begin);
        ledger.write_all(conversation.deeds.as_bytes())?;
        conversation.deeds.clear();
        output.write_all(conversation.says.as_bytes())?;
        conversation.says.clear();
        if let Turn::Crash { words } = turn {
            output.write_all(&words)?;
            output.flush()?;
            return Ok(ExitCode::from(CRASHED));
        }
        output.flush()?;
    }
}

fn newline(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    Some(from + rest.iter().position(|byte| *byte == b'\n')?)
}
