//! What a daemon begins with: its places and what an earlier daemon has left, or all that the program
//! before it knew.

use std::{
    fs::File,
    io::Read,
    net::TcpListener,
    os::{
        fd::RawFd,
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use anyhow::Context;
use mux::Epoch;
use rustix::process::Rlimit;
use shim::places::Places;
use sys::handed;

use super::epoch;
use crate::{
    front::{FrozenHttp, Stand},
    process::Inheritance,
    upgrade::{FrozenDaemon, FrozenHub},
};

pub(super) struct Beginning {
    pub(super) stand: Stand,
    pub(super) listener: UnixListener,
    /// How many files a server may open.
    pub(super) files: Rlimit,
    pub(super) start: Start,
    pub(super) http: HttpBefore,
}

/// What there is of HTTP already.
pub(super) enum HttpBefore {
    /// Sockets at which a service manager listens for us, or none.
    Passed(Vec<TcpListener>),
    /// All that the program before us had.
    HandedOver(FrozenHttp),
}

/// How it begins.
pub(super) enum Start {
    /// With what an earlier daemon has left at the guardian.
    Afresh(Inheritance),
    /// In the place of another program, which was upgraded.
    Resumed(Box<FrozenHub>, Before),
}

impl Start {
    /// Which daemon of its places this is.
    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Start::Afresh(inheritance) => Epoch(inheritance.epoch),
            Start::Resumed(frozen, _) => Epoch(frozen.epoch),
        }
    }
}

/// What is to be told of the program before.
pub(super) struct Before {
    pub(super) version: String,
    /// Whoever waits for an answer.
    pub(super) requester: Option<UnixStream>,
    /// When it stopped, by the system's monotonic clock.
    pub(super) halted_at: Duration,
}

impl Beginning {
    pub(super) fn afresh(
        (mut stand, passed): (Stand, Vec<TcpListener>),
        files: Rlimit,
        places: &Places,
    ) -> anyhow::Result<Self> {
        let mut inheritance = Inheritance::find(&places.guardian_socket())
            .context("taking over the servers of an earlier daemon")?;
        inheritance.epoch = epoch::next(&places.state.join("epoch"), inheritance.epoch);
        Ok(Beginning {
            listener: stand.listen()?,
            stand,
            files,
            start: Start::Afresh(inheritance),
            http: HttpBefore::Passed(passed),
        })
    }

    /// Takes up what the program before us has handed over, the state at this descriptor.
    pub(super) fn resumed(state: RawFd, places: &Places) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        File::from(handed::take(state)?)
            .read_to_end(&mut bytes)
            .context("reading the state of the program before")?;
        let frozen = FrozenDaemon::read(&bytes)?;
        drop(bytes);
        let requester = frozen.requester.map(handed::take).transpose()?;
        let (current, maximum) = frozen.files;
        Ok(Beginning {
            stand: Stand::thaw(frozen.stand, places)?,
            listener: handed::take(frozen.listener)?.into(),
            files: Rlimit { current, maximum },
            http: match frozen.http {
                Some(frozen) => HttpBefore::HandedOver(frozen),
                None => HttpBefore::Passed(Vec::new()),
            },
            start: Start::Resumed(
                Box::new(frozen.hub),
                Before {
                    version: frozen.version,
                    requester: requester.map(UnixStream::from),
                    halted_at: frozen.halted_at,
                },
            ),
        })
    }
}
