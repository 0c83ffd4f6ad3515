//! The whole of the state as bytes, so that another program can go on with it.
//!
//! That is how a daemon is upgraded under live sessions: it freezes its core, executes the program that
//! takes its place, and that one thaws it. Messages are in there, so it is never written to a disk.
//!
//! Each part of the state says itself how it is written: by the names of its members.
//!
//! **Invariant:** what was frozen by this version and by the one before can be thawed. Members are only
//! added, each with a default; what is renamed keeps its old name as an alias.

pub(crate) mod forms;

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{limits::Limits, mux::Mux, scales::Scales};

/// The format that is written, and the last that can be read.
const FORMAT: u32 = 1;

/// Why a state cannot be thawed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThawError {
    /// It is of another format.
    Format {
        /// Which, if it says so.
        found: Option<u32>,
    },
    /// It contradicts the format that it claims to be of.
    Malformed {
        /// Where and how, for a person; nothing of what is in it.
        what: String,
    },
}

impl fmt::Display for ThawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThawError::Format { found: Some(found) } => {
                write!(
                    f,
                    "the state is of format {found}, and this program reads {FORMAT}"
                )
            }
            ThawError::Format { found: None } => f.write_str("this is no state of a daemon"),
            ThawError::Malformed { what } => write!(f, "the state is malformed: {what}"),
        }
    }
}

impl core::error::Error for ThawError {}

/// The first member, which is read alone before all else.
#[derive(Deserialize)]
struct Claim {
    format: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    mux: &'a Mux,
}

#[derive(Deserialize)]
struct Read {
    mux: Mux,
}

impl Mux {
    /// All that there is to know, but for the limits. Its own actions and facts must have been taken out
    /// and done before.
    pub fn freeze(&self) -> Vec<u8> {
        let written = Written {
            format: FORMAT,
            mux: self,
        };
        // Every key is a string, and memory can always be written to.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Goes on where [`Mux::freeze`] was called.
    pub fn thaw(frozen: &[u8], limits: Limits) -> Result<Self, ThawError> {
        let claim: Claim =
            serde_json::from_slice(frozen).map_err(|_| ThawError::Format { found: None })?;
        if claim.format != FORMAT {
            let found = Some(claim.format);
            return Err(ThawError::Format { found });
        }
        let read: Read = serde_json::from_slice(frozen).map_err(|error| ThawError::Malformed {
            what: where_of(&error),
        })?;
        let mut mux = read.mux;
        mux.limits = limits;
        mux.weigh_again();
        Ok(mux)
    }

    /// What was thawed hangs on no scales yet.
    fn weigh_again(&mut self) {
        let all = Scales::default();
        self.scales = all.clone();
        for session in self.sessions.values_mut() {
            session.scales = all.of_another();
            session.weigh_again();
        }
        for upstream in self.upstreams.values_mut() {
            upstream.scales = all.of_another();
            let own = upstream.scales.clone();
            for undecided in &mut upstream.undecided {
                undecided.frame.hang_on(&own);
            }
            upstream.exchanges.weigh_again(|session| {
                let session = session.and_then(|session| self.sessions.get(&session));
                session.map_or(&own, |session| &session.scales)
            });
        }
    }
}

/// Where a text is malformed. What serde says of it may quote it.
fn where_of(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => "a member is missing or of another kind",
        serde_json::error::Category::Eof => "it has no end",
    };
    alloc::format!("{kind}, at byte {}", error.column())
}
