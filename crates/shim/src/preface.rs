//! The first thing that somebody who comes in says: who asks for what.
//!
//! A preface is the line `\x1emcpool 1 LEN\n` and LEN bytes of fields, each
//! `key=value` ended by a NUL. Values are raw bytes: paths, arguments and the
//! environment need not be UTF-8. Keys that this version does not know are passed
//! over, so a newer shim can talk to an older daemon; what must not be passed over has
//! a word of its own in `ask`, which an older daemon refuses.
//!
//! Everything here is pure. A daemon reads bytes until [`head`] is complete, then
//! the body, and gives that to [`Preface::decode`], which never panics.

use std::{
    error,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{scope::Scope, workspace::Workspace};

mod fields;

/// The number of the link's protocol.
pub const PROTOCOL: u32 = 1;

/// Longest body, in bytes: more than any environment that Linux lets a program have
/// by default.
pub const BODY_MAX: usize = 4 * 1024 * 1024;

/// Longest first line, in bytes.
const HEAD_MAX: usize = 64;

const OPENING: &[u8] = b"\x1emcpool ";

/// Who asks for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The software version of the sender.
    pub version: String,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its process id, as it sees it.
    pub pid: u32,
    /// What it wants.
    pub ask: Ask,
}

/// What somebody wants of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A session on a server.
    Session(SessionAsk),
    /// One answer about the daemon, or one order to it.
    Admin(AdminAsk),
}

/// A session that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAsk {
    /// The configured name of the server, or the label of an ad-hoc one.
    pub server: String,
    /// Program and arguments of an ad-hoc server; empty for any other.
    pub command: Vec<OsString>,
    /// Where an ad-hoc server runs already.
    pub address: Option<Box<Address>>,
    /// The folder in which an ad-hoc server starts, absolute; `None` for its workspace.
    pub directory: Option<PathBuf>,
    /// The scope that the command line asks for.
    pub scope: Option<Scope>,
    /// The workspace of the session; `None` leaves it unbound.
    pub workspace: Option<Workspace>,
    /// What to pass of the environment, each as the user wrote it: `NAME`,
    /// `NAME=VALUE`, or a pattern such as `AWS_*`.
    pub pass: Vec<OsString>,
    /// Which upstream will do.
    pub join: Join,
    /// What an earlier daemon called this session, if it is to go on where that one left it;
    /// 0 if that daemon did not call it anything.
    pub resume: Option<u64>,
    /// The whole environment of the sender, in its order.
    pub env: Vec<(OsString, OsString)>,
}

/// Where a server runs already that no configuration names.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// As in the configuration; nothing in it is filled in.
    pub url: String,
    /// What each request says besides, as names and values.
    pub headers: Vec<(String, String)>,
    /// A file of certificates that alone vouch for it, absolute.
    pub ca_cert: Option<PathBuf>,
}

impl fmt::Debug for Address {
    /// All of it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

/// Which upstream of a server a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The one of its share key.
    ShareKey,
    /// Whichever runs already.
    Any,
}

/// An order or a question that is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAsk {
    /// What runs.
    Status,
    /// Stop all servers and the daemon.
    Stop,
    /// Go on as the program that is installed now, without an end to anything.
    Upgrade,
    /// Stop a server and start it again.
    Restart {
        /// Its configured name or label.
        server: String,
        /// How long it may go on with what it works on; older senders do not say, and do not wait.
        wait: Duration,
    },
}

/// The first line of a preface, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing is wrong yet; more bytes are needed.
    Incomplete,
    /// The line is there.
    Complete {
        /// Where the body begins.
        body_at: usize,
        /// How many bytes it has.
        body_len: usize,
    },
}

/// Why something is no preface that we can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefaceError {
    /// It does not begin like one: some other program is calling.
    NotAPreface,
    /// Another protocol number: one of the two programs is too old.
    OtherProtocol {
        /// The number that the sender speaks.
        theirs: u32,
    },
    /// The body is longer than [`BODY_MAX`].
    TooLong {
        /// How long it is, in bytes.
        len: usize,
    },
    /// A field without `=`, or without its ending NUL.
    BrokenField,
    /// A field that must be there is not.
    Missing {
        /// Its key.
        key: &'static str,
    },
    /// A field whose value cannot be.
    BadValue {
        /// Its key.
        key: &'static str,
    },
}

impl fmt::Display for PrefaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefaceError::NotAPreface => f.write_str("this is not how `mcpool connect` begins"),
            PrefaceError::OtherProtocol { theirs } => write!(
                f,
                "this daemon speaks protocol {PROTOCOL} and the caller {theirs}; \
                 run `mcpool stop`, and the next session starts the installed version"
            ),
            PrefaceError::TooLong { len } => write!(
                f,
                "the environment and arguments take {len} bytes, more than {BODY_MAX}"
            ),
            PrefaceError::BrokenField => f.write_str("the preface holds a broken field"),
            PrefaceError::Missing { key } => write!(f, "the preface lacks the field `{key}`"),
            PrefaceError::BadValue { key } => {
                write!(f, "the preface has a bad value in the field `{key}`")
            }
        }
    }
}

impl error::Error for PrefaceError {}

/// Looks at the first bytes that came in.
pub fn head(bytes: &[u8]) -> Result<Head, PrefaceError> {
    let opening = bytes.len().min(OPENING.len());
    if bytes[..opening] != OPENING[..opening] {
        return Err(PrefaceError::NotAPreface);
    }
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(HEAD_MAX)]) else {
        return if bytes.len() < HEAD_MAX {
            Ok(Head::Incomplete)
        } else {
            Err(PrefaceError::NotAPreface)
        };
    };
    let mut words = bytes[opening..end].split(|byte| *byte == b' ');
    let theirs = words
        .next()
        .and_then(number)
        .ok_or(PrefaceError::NotAPreface)?;
    if theirs != PROTOCOL {
        return Err(PrefaceError::OtherProtocol { theirs });
    }
    let len = words
        .next()
        .and_then(number)
        .ok_or(PrefaceError::NotAPreface)?;
    if len > BODY_MAX {
        return Err(PrefaceError::TooLong { len });
    }
    Ok(Head::Complete {
        body_at: end + 1,
        body_len: len,
    })
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

impl Preface {
    /// The whole preface as it goes over the link.
    ///
    /// Errors if it is too long, or if a value contains a NUL, which none that the
    /// system gave us does.
    pub fn encode(&self) -> Result<Vec<u8>, PrefaceError> {
        let mut body = Vec::new();
        fields::write(self, &mut body)?;
        if body.len() > BODY_MAX {
            return Err(PrefaceError::TooLong { len: body.len() });
        }
        let mut bytes = format!("\x1emcpool {PROTOCOL} {}\n", body.len()).into_bytes();
        bytes.append(&mut body);
        Ok(bytes)
    }

    /// Reads a whole body, without the first line.
    pub fn decode(body: &[u8]) -> Result<Self, PrefaceError> {
        if body.len() > BODY_MAX {
            return Err(PrefaceError::TooLong { len: body.len() });
        }
        fields::read(body)
    }
}

impl SessionAsk {
    /// The value of a variable in the sender's environment.
    pub fn variable(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.env
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_os_str())
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests;
