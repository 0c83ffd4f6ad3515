//! What the daemon and the guardian say to each other.
//!
//! A message is a length (four bytes, little-endian) and so many bytes of fields, each
//! `key=value` ended by NUL. Values are raw bytes: environments and paths need not be
//! UTF-8. Keys that are not known are skipped, they come from a newer peer.
//!
//! **Invariant:** encoding and decoding are pure, and decoding never panics.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

pub use fields::{BODY_LEN_MAX, Malformed};
pub use transfer::{Receiver, send, send_with_fds};

use fields::{Fields, Writer};

mod fields;
mod transfer;

/// Names the upstream, and the guardian that started it, in the environment of its
/// processes: `GUARDIAN_PID.UPSTREAM`.
pub const MARKER: &str = "MCPOOL_UPSTREAM";

/// The longest record of one server, in bytes.
pub const RECORD_LEN_MAX: usize = 2 << 20;

/// What the daemon asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a server. Its standard input, output and error, in this order, travel
    /// with the first byte of the message, and behind them the daemon's ends of the same
    /// three pipes, which are for the next daemon.
    Spawn(Spawn),
    /// Keep this for the next daemon, in place of what was kept before.
    Record {
        /// Which one it is about; one that is gone already is no error.
        upstream: u64,
        /// What a daemon has to know to go on with it: at most [`RECORD_LEN_MAX`] bytes without
        /// a NUL, of no meaning here.
        record: Vec<u8>,
    },
    /// End a server's whole tree. The daemon has closed its standard input before.
    ///
    /// A second one for the same upstream can only shorten what is left of the first.
    Stop {
        /// Which one; one that is gone already is no error.
        upstream: u64,
        /// How long it may take over it.
        patience: Patience,
    },
    /// End all trees at the same time, then exit.
    Shutdown {
        /// How long each may take over it.
        patience: Patience,
    },
}

/// A server to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Chosen by the daemon; not used again while this one lives.
    pub upstream: u64,
    /// Absolute path of what to execute.
    pub program: PathBuf,
    /// The whole argument vector, the program's name for itself first.
    pub arguments: Vec<OsString>,
    /// The whole environment; the guardian adds [`MARKER`] and nothing else.
    pub environment: Vec<(OsString, OsString)>,
    /// Absolute path of the directory to start in.
    pub directory: PathBuf,
    /// File mode creation mask, at most `0o777`.
    pub umask: u32,
}

/// How long a tree may take to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the end of its standard input until TERM.
    pub eof: Duration,
    /// From TERM until KILL.
    pub term: Duration,
}

/// What the guardian tells.
///
/// For each [`Spawn`] either `SpawnFailed`, or `Spawned`, `Exited` and `Gone` in this order.
/// A daemon that comes later hears an [`Introduction`] first, then of each server that is there
/// `Held`, and `Exited` if that had happened, and from then on what every daemon hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The first words to a daemon that has connected.
    Introduction(Introduction),
    /// A server that an earlier daemon had started. Our ends of its standard input, output and
    /// error travel with the first byte, unless it is being stopped.
    Held(Held),
    /// The program runs.
    Spawned {
        /// Which one.
        upstream: u64,
        /// Its process, which is also its process group.
        pid: u32,
        /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
        start_time: u64,
    },
    /// The program was not started.
    SpawnFailed {
        /// Which one.
        upstream: u64,
        /// Why, as the system says it.
        errno: i32,
        /// Why, for a person: names the program or the directory.
        text: String,
    },
    /// The server's own process has ended; others of its tree may still run.
    Exited {
        /// Which one.
        upstream: u64,
        /// What it returned, if it returned.
        code: Option<i32>,
        /// The number of the signal that ended it, if one did.
        signal: Option<i32>,
    },
    /// The guardian is done with the upstream.
    Gone {
        /// Which one.
        upstream: u64,
        /// How many processes of its tree even KILL did not end within seconds (stuck
        /// in the kernel): nearly always 0, nothing is left.
        survivors: u32,
    },
}

/// What a daemon that takes over has to know first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The daemon's: one more than that of the daemon before it.
    pub epoch: u32,
    /// How many [`Report::Held`] follow.
    pub held: u32,
    /// Whether it has given up waiting and ends: it starts nothing any more.
    pub ending: bool,
}

/// A server that an earlier daemon had started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The number that the earlier daemon chose.
    pub upstream: u64,
    /// Its process, which is also its process group.
    pub pid: u32,
    /// Whether it is on its way out; then it comes without descriptors.
    pub ending: bool,
    /// What the earlier daemon had kept for the next one last; empty if nothing.
    pub record: Vec<u8>,
}

impl Command {
    /// The whole message, its length included.
    ///
    /// Fails if a value has a NUL in it, or if it all is longer than [`BODY_LEN_MAX`]:
    /// neither could be executed.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::new();
        match self {
            Command::Spawn(spawn) => {
                writer.put("ask", b"spawn")?;
                spawn.write(&mut writer)?;
            }
            Command::Record { upstream, record } => {
                writer.put("ask", b"record")?;
                if record.len() > RECORD_LEN_MAX {
                    return Err(Malformed::TooLong);
                }
                writer.put_number("upstream", upstream)?;
                writer.put("record", record)?;
            }
            Command::Stop { upstream, patience } => {
                writer.put("ask", b"stop")?;
                writer.put_number("upstream", upstream)?;
                patience.write(&mut writer)?;
            }
            Command::Shutdown { patience } => {
                writer.put("ask", b"shutdown")?;
                patience.write(&mut writer)?;
            }
        }
        writer.finish()
    }

    /// The first message in `bytes` and its length with its head; `None` if it is not all there yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Command, usize)>, Malformed> {
        let Some((fields, len)) = Fields::first_in(bytes)? else {
            return Ok(None);
        };
        let command = match fields.one("ask")? {
            b"spawn" => Command::Spawn(Spawn::read(&fields)?),
            b"record" => {
                let record = fields.one("record")?;
                if record.len() > RECORD_LEN_MAX {
                    return Err(Malformed::TooLong);
                }
                Command::Record {
                    upstream: fields.number("upstream")?,
                    record: record.to_vec(),
                }
            }
            b"stop" => Command::Stop {
                upstream: fields.number("upstream")?,
                patience: Patience::read(&fields)?,
            },
            b"shutdown" => Command::Shutdown {
                patience: Patience::read(&fields)?,
            },
            _ => return Err(Malformed::Invalid("ask")),
        };
        Ok(Some((command, len)))
    }
}

impl Spawn {
    fn write(&self, writer: &mut Writer) -> Result<(), Malformed> {
        writer.put_number("upstream", &self.upstream)?;
        writer.put("program", self.program.as_os_str().as_bytes())?;
        for argument in &self.arguments {
            writer.put("arg", argument.as_bytes())?;
        }
        for (name, value) in &self.environment {
            writer.put_pair("env", name.as_bytes(), value.as_bytes())?;
        }
        writer.put("cwd", self.directory.as_os_str().as_bytes())?;
        writer.put("umask", format!("{:03o}", self.umask).as_bytes())
    }

    fn read(fields: &Fields<'_>) -> Result<Spawn, Malformed> {
        let umask = fields.text("umask")?;
        let umask = u32::from_str_radix(umask, 8).map_err(|_| Malformed::Invalid("umask"))?;
        if umask > 0o777 {
            return Err(Malformed::Invalid("umask"));
        }
        let arguments: Vec<OsString> = fields.all("arg").map(owned).collect();
        if arguments.is_empty() {
            return Err(Malformed::Missing("arg"));
        }
        let environment = fields.all("env").map(variable).collect::<Result<_, _>>()?;
        Ok(Spawn {
            upstream: fields.number("upstream")?,
            program: owned(fields.one("program")?).into(),
            arguments,
            environment,
            directory: owned(fields.one("cwd")?).into(),
            umask,
        })
    }
}

impl Patience {
    fn write(self, writer: &mut Writer) -> Result<(), Malformed> {
        writer.put_number("eof-ms", &milliseconds(self.eof))?;
        writer.put_number("term-ms", &milliseconds(self.term))
    }

    fn read(fields: &Fields<'_>) -> Result<Patience, Malformed> {
        // 32 bits are seven weeks: a longer one means nothing, and cannot overflow a clock.
        let eof: u32 = fields.number("eof-ms")?;
        let term: u32 = fields.number("term-ms")?;
        Ok(Patience {
            eof: Duration::from_millis(eof.into()),
            term: Duration::from_millis(term.into()),
        })
    }
}

impl Report {
    /// The whole message, its length included.
    ///
    /// Fails as [`Command::encode`] does.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::new();
        match self {
            Report::Introduction(introduction) => {
                writer.put("report", b"introduction")?;
                writer.put_number("epoch", &introduction.epoch)?;
                writer.put_number("held", &introduction.held)?;
                writer.put_number("ending", &u8::from(introduction.ending))?;
            }
            Report::Held(held) => {
                writer.put("report", b"held")?;
                writer.put_number("upstream", &held.upstream)?;
                writer.put_number("pid", &held.pid)?;
                writer.put_number("ending", &u8::from(held.ending))?;
                writer.put("record", &held.record)?;
            }
            Report::Spawned {
                upstream,
                pid,
                start_time,
            } => {
                writer.put("report", b"spawned")?;
                writer.put_number("upstream", upstream)?;
                writer.put_number("pid", pid)?;
                writer.put_number("start-time", start_time)?;
            }
            Report::SpawnFailed {
                upstream,
                errno,
                text,
            } => {
                writer.put("report", b"spawn-failed")?;
                writer.put_number("upstream", upstream)?;
                writer.put_number("errno", errno)?;
                writer.put("text", text.as_bytes())?;
            }
            Report::Exited {
                upstream,
                code,
                signal,
            } => {
                writer.put("report", b"exited")?;
                writer.put_number("upstream", upstream)?;
                if let Some(code) = code {
                    writer.put_number("code", code)?;
                }
                if let Some(signal) = signal {
                    writer.put_number("signal", signal)?;
                }
            }
            Report::Gone {
                upstream,
                survivors,
            } => {
                writer.put("report", b"gone")?;
                writer.put_number("upstream", upstream)?;
                writer.put_number("survivors", survivors)?;
            }
        }
        writer.finish()
    }

    /// The first message in `bytes` and its length with its head; `None` if it is not all there yet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Report, usize)>, Malformed> {
        let Some((fields, len)) = Fields::first_in(bytes)? else {
            return Ok(None);
        };
        let kind = fields.one("report")?;
        if kind == b"introduction" {
            let introduction = Introduction {
                epoch: fields.number("epoch")?,
                held: fields.number("held")?,
                ending: fields.number::<u8>("ending")? != 0,
            };
            return Ok(Some((Report::Introduction(introduction), len)));
        }
        let upstream = fields.number("upstream")?;
        let report = match kind {
            b"held" => Report::Held(Held {
                upstream,
                pid: fields.number("pid")?,
                ending: fields.number::<u8>("ending")? != 0,
                record: fields.one("record")?.to_vec(),
            }),
            b"spawned" => Report::Spawned {
                upstream,
                pid: fields.number("pid")?,
                start_time: fields.number("start-time")?,
            },
            b"spawn-failed" => Report::SpawnFailed {
                upstream,
                errno: fields.number("errno")?,
                text: String::from_utf8_lossy(fields.one("text")?).into_owned(),
            },
            b"exited" => Report::Exited {
                upstream,
                code: fields.optional("code")?,
                signal: fields.optional("signal")?,
            },
            b"gone" => Report::Gone {
                upstream,
                survivors: fields.number("survivors")?,
            },
            _ => return Err(Malformed::Invalid("report")),
        };
        Ok(Some((report, len)))
    }
}

fn owned(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn variable(bytes: &[u8]) -> Result<(OsString, OsString), Malformed> {
    let split = bytes
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or(Malformed::Invalid("env"))?;
    let (name, value) = (&bytes[..split], &bytes[split + 1..]);
    if name.is_empty() {
        return Err(Malformed::Invalid("env"));
    }
    Ok((
        OsStr::from_bytes(name).to_owned(),
        OsStr::from_bytes(value).to_owned(),
    ))
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
