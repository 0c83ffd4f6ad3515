//! The event, from standard input.
//!
//! Some agents never close that pipe, or only when we have ended. So it is over when a whole JSON text is
//! there, and when nothing more comes for a moment. Nothing at all is an event with nothing in it, unless what fails
//! is to block: a guard that has not been told what it guards must not say yes.

use std::{
    fmt,
    io::{self, IsTerminal},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use wire::Json;

use super::{BYTES_MAX, Deadline, Failure, arguments::OnFailure};

/// How long the first byte may take where silence is an event as well.
const FIRST_WITHIN: Duration = Duration::from_millis(100);

/// How long each of the next may take, behind what came before.
const NEXT_WITHIN: Duration = Duration::from_millis(50);

/// As much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// What is no event.
#[derive(Debug)]
pub(crate) enum InputError {
    Io(io::Error),
    NotUtf8,
    NotJson {
        /// How much of it came.
        bytes: usize,
    },
    NotAnObject,
    TooLong,
    /// Nothing came, and it was not closed.
    Silent,
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
            InputError::Silent => f.write_str(
                "no event came on standard input, which is open still; close it where there is none",
            ),
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

/// The event as a JSON object; an empty one if there is none.
pub(super) fn read(deadline: Deadline, on_failure: OnFailure) -> Result<String, Failure> {
    let input = io::stdin().lock();
    // Nobody types an event.
    let may_be_silent = on_failure == OnFailure::Continue || input.is_terminal();
    event(read_from(input, deadline.at, may_be_silent)?, may_be_silent)
}

fn event(input: Input, may_be_silent: bool) -> Result<String, Failure> {
    let text = String::from_utf8(input.bytes).map_err(|_| InputError::NotUtf8)?;
    if text.trim().is_empty() {
        return if input.is_over || may_be_silent {
            Ok("{}".to_owned())
        } else {
            Err(InputError::Silent.into())
        };
    }
    let bytes = text.len();
    match Json::parse(&text) {
        Some(event) if event.is_object() => Ok(event.text().to_owned()),
        Some(_other) => Err(InputError::NotAnObject.into()),
        None => Err(InputError::NotJson { bytes }.into()),
    }
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
struct Input {
    bytes: Vec<u8>,
    /// Whether it ended there.
    is_over: bool,
}

fn read_from(
    input: impl AsFd,
    deadline: Instant,
    may_be_silent: bool,
) -> Result<Input, InputError> {
    let mut bytes = Vec::new();
    let mut until = if may_be_silent {
        deadline.min(Instant::now() + FIRST_WITHIN)
    } else {
        deadline
    };
    let so_far = |bytes, is_over| Ok(Input { bytes, is_over });
    loop {
        if !is_ready(&input, until).map_err(InputError::Io)? {
            return so_far(bytes, false);
        }
        // It is not cleared before: most events are short, and would leave most of it alone.
        bytes.reserve(CHUNK_BYTES);
        match rustix::io::read(&input, spare_capacity(&mut bytes)) {
            Ok(0) => return so_far(bytes, true),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(InputError::Io(errno.into())),
        }
        if bytes.len() as u64 > BYTES_MAX {
            return Err(InputError::TooLong);
        }
        if is_whole(&bytes) {
            return so_far(bytes, false);
        }
        until = deadline.min(Instant::now() + NEXT_WITHIN);
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
    use std::io::Write;

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn bytes_of(input: impl AsFd) -> Vec<u8> {
        read_from(input, far(), true).unwrap().bytes
    }

    #[test]
    fn a_whole_object_is_enough_though_the_pipe_stays_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"{\"a\":{}}\n").unwrap();
        assert_eq!(bytes_of(reader), b"{\"a\":{}}\n");
        drop(writer);
    }

    #[test]
    fn what_comes_in_pieces_is_put_together() {
        let (reader, mut writer) = io::pipe().unwrap();
        // Larger than what is read at once, with ends of objects in between. All of it is there before it is read: a
        // writer that is kept from running for moments would have broken off.
        let event = format!("{{\"a\":[{}{{}}]}}", "{},".repeat(100_000));
        rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
        writer.write_all(event.as_bytes()).unwrap();
        assert_eq!(bytes_of(reader), event.as_bytes());
    }

    #[test]
    fn nothing_more_is_awaited_for_long_nor_is_anything_at_all() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(bytes_of(&reader), b"");
        writer.write_all(b"{\"a\":").unwrap();
        assert_eq!(bytes_of(&reader), b"{\"a\":");
        drop(writer);
        assert_eq!(bytes_of(&reader), b"");
    }

    #[test]
    fn silence_is_no_event_where_it_must_not_be_and_an_end_is_one() {
        let (reader, mut writer) = io::pipe().unwrap();
        let strictly = |until| read_from(&reader, until, false).unwrap();
        assert!(event(strictly(Instant::now()), false).is_err());
        writer.write_all(b"\n").unwrap();
        assert!(event(strictly(far()), false).is_err(), "white space");
        // Whoever is slow has all of the time.
        let (reader, slow) = io::pipe().unwrap();
        let until = Instant::now() + 2 * FIRST_WITHIN;
        let silence = read_from(&reader, until, false).unwrap();
        assert!(Instant::now() >= until && !silence.is_over);
        drop(slow);
        let end = read_from(&reader, far(), false).unwrap();
        assert_eq!(event(end, false).unwrap(), "{}");
    }
}
