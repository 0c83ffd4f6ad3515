//! The event, from standard input.
//!
//! Some agents never close that pipe, or only when we have ended. So it is over when a whole JSON text is
//! there, and when nothing more comes for a moment.

use std::{
    fmt,
    io::{self, Read},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use wire::Json;

use super::{BYTES_MAX, Deadline, Failure};

/// How long the first byte may take.
const FIRST_WITHIN: Duration = Duration::from_millis(100);

/// How long each of the next may take, behind what came before.
const NEXT_WITHIN: Duration = Duration::from_millis(50);

/// As much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// What is no event.
#[derive(Debug)]
pub(super) enum InputError {
    Io(io::Error),
    NotUtf8,
    NotJson {
        /// How much of it came.
        bytes: usize,
    },
    NotAnObject,
    TooLong,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::Io(error) => write!(f, "cannot read standard input: {error}"),
            InputError::NotUtf8 => f.write_str("the event on standard input is not UTF-8"),
            InputError::NotJson { bytes } => write!(
                f,
                "the event on standard input is not JSON, or is cut off ({bytes} bytes came)"
            ),
            InputError::NotAnObject => {
                f.write_str("the event on standard input is not a JSON object")
            }
            InputError::TooLong => write!(
                f,
                "the event on standard input is longer than {BYTES_MAX} bytes"
            ),
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Failure::Input(error)
    }
}

/// The event as a JSON object; an empty one if nothing comes.
pub(super) fn read(deadline: Deadline) -> Result<String, Failure> {
    let bytes = read_from(io::stdin().lock(), deadline.at)?;
    let text = String::from_utf8(bytes).map_err(|_| InputError::NotUtf8)?;
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    let bytes = text.len();
    match Json::parse(&text) {
        Some(event) if event.is_object() => Ok(event.text().to_owned()),
        Some(_other) => Err(InputError::NotAnObject.into()),
        None => Err(InputError::NotJson { bytes }.into()),
    }
}

fn read_from(mut input: impl Read + AsFd, deadline: Instant) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut patience = FIRST_WITHIN;
    loop {
        let until = deadline.min(Instant::now() + patience);
        if !is_ready(&input, until).map_err(InputError::Io)? {
            return Ok(bytes);
        }
        match input.read(&mut chunk).map_err(InputError::Io)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
        if bytes.len() as u64 > BYTES_MAX {
            return Err(InputError::TooLong);
        }
        if is_whole(&bytes) {
            return Ok(bytes);
        }
        patience = NEXT_WITHIN;
    }
}

/// Whether a whole object is there, so that nothing more can belong to it.
fn is_whole(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_end();
    // Reading all of it again for each chunk would take long for long events.
    text.ends_with(b"}") && str::from_utf8(text).is_ok_and(|text| Json::parse(text).is_some())
}

/// Whether something comes until then, its end included.
fn is_ready(input: &impl AsFd, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut one = [PollFd::new(input, PollFlags::IN)];
        match poll(&mut one, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[test]
    fn a_whole_object_is_enough_though_the_pipe_stays_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"{\"a\":{}}\n").unwrap();
        assert_eq!(read_from(reader, far()).unwrap(), b"{\"a\":{}}\n");
        drop(writer);
    }

    #[test]
    fn what_comes_in_pieces_is_put_together() {
        let (reader, mut writer) = io::pipe().unwrap();
        // Larger than the pipe, with ends of objects in between.
        let event = format!("{{\"a\":[{}{{}}]}}", "{},".repeat(100_000));
        let written = event.clone();
        let from = thread::spawn(move || writer.write_all(written.as_bytes()));
        assert_eq!(read_from(reader, far()).unwrap(), event.as_bytes());
        from.join().unwrap().unwrap();
    }

    #[test]
    fn nothing_more_is_awaited_for_long_nor_is_anything_at_all() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(read_from(&reader, far()).unwrap(), b"");
        writer.write_all(b"{\"a\":").unwrap();
        assert_eq!(read_from(&reader, far()).unwrap(), b"{\"a\":");
        drop(writer);
        assert_eq!(read_from(&reader, far()).unwrap(), b"");
    }
}
