//! The state of a daemon as it is handed over.
//!
//! **Invariant:** what this version and the one before have written can be read. Members are only added,
//! each with a default; what changes its meaning gets another number of the format.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::{fd::RawFd, unix::ffi::OsStringExt},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail, ensure};
use config::Secret;
use mux::{LineNumber, Program, Record, SessionId, UpstreamId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;
use wire::Outgoing;

use crate::{
    front::{FrozenHttp, Generation},
    hub::{FrozenModern, FrozenVisited},
    kept_words::Subject,
    launch::{LaunchSpec, Means, RemoteSpec},
    link::{FrozenOutlet, Unpacker},
    logs::Veil,
    process::Rest as ProcessRest,
    upstream::Resumable,
};

/// No descriptor.
pub(crate) const NOWHERE: RawFd = -1;

/// The first format, which is written as long as there is nothing in it that it cannot say; and the last that can
/// be read, which has what belongs to HTTP.
const FORMAT: u32 = 1;
const FORMAT_OF_HTTP: u32 = 2;

/// All that there is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenDaemon {
    format: u32,
    /// Of the program that wrote it.
    pub(crate) version: String,
    /// How many files a server may open: soft and hard.
    pub(crate) files: (Option<u64>, Option<u64>),
    pub(crate) stand: FrozenStand,
    /// Where sessions come in.
    pub(crate) listener: RawFd,
    pub(crate) hub: FrozenHub,
    /// Whoever has asked for it, and waits for an answer.
    pub(crate) requester: Option<RawFd>,
    /// When the sessions were heard last: a reading of the system's monotonic clock.
    pub(crate) halted_at: Duration,
    /// Where sessions come in over HTTP, and who is there.
    #[serde(default)]
    pub(crate) http: Option<FrozenHttp>,
}

impl FrozenDaemon {
    pub(crate) fn new(
        hub: FrozenHub,
        files: (Option<u64>, Option<u64>),
        (stand, listener): (FrozenStand, RawFd),
        requester: Option<RawFd>,
        halted_at: Duration,
    ) -> Self {
        FrozenDaemon {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files,
            stand,
            listener,
            hub,
            requester,
            halted_at,
            http: None,
        }
    }

    /// The same with what belongs to HTTP.
    pub(crate) fn with_http(self, http: Option<FrozenHttp>) -> Self {
        let mut sessions = self.hub.sessions.iter();
        let has_sessions = sessions.any(|it| it.visited.is_some() || it.modern.is_some());
        let format = if http.is_some() || has_sessions {
            FORMAT_OF_HTTP
        } else {
            FORMAT
        };
        FrozenDaemon {
            format,
            http,
            ..self
        }
    }

    /// One without descriptors, to be read and thawed and not gone on with.
    pub(crate) fn for_rehearsal(hub: FrozenHub) -> Self {
        let stand = FrozenStand {
            lock: NOWHERE,
            is_announced: false,
            socket: None,
            is_lost: false,
            is_passed: false,
            path: None,
        };
        let nobody = None;
        let files = (None, None);
        FrozenDaemon::new(hub, files, (stand, NOWHERE), nobody, Duration::ZERO).with_http(None)
    }

    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads what another program has frozen. The error quotes nothing of it.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Claim {
            format: u32,
            version: String,
        }
        let claim: Claim = serde_json::from_slice(bytes)
            .ok()
            .context("this is no state of a daemon")?;
        if !(FORMAT..=FORMAT_OF_HTTP).contains(&claim.format) {
            bail!(
                "the state is of mcpool {} and its format is {}; this is mcpool {}, which reads formats {FORMAT} to {FORMAT_OF_HTTP}",
                claim.version,
                claim.format,
                env!("CARGO_PKG_VERSION")
            );
        }
        let frozen: Self = serde_json::from_slice(bytes).ok().with_context(|| {
            format!(
                "the state of mcpool {} lacks something that mcpool {} needs",
                claim.version,
                env!("CARGO_PKG_VERSION")
            )
        })?;
        let hub = &frozen.hub;
        let sessions = hub.sessions.iter().map(|session| &session.outlet);
        let processes = hub.processes.iter().filter_map(|it| it.outlet.as_ref());
        let mut outlets = sessions.chain(processes.map(|(_, outlet)| outlet));
        ensure!(
            outlets.all(FrozenOutlet::is_sound),
            "the state of mcpool {} contradicts itself",
            claim.version
        );
        Ok(frozen)
    }
}

/// Where the daemon stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenStand {
    pub(crate) lock: RawFd,
    pub(crate) is_announced: bool,
    /// Device and number of the socket.
    pub(crate) socket: Option<(u64, u64)>,
    pub(crate) is_lost: bool,
    /// Whether a service manager goes on listening at the socket when the daemon has gone.
    #[serde(default)]
    pub(crate) is_passed: bool,
    /// Where the socket is, if not where it usually is.
    #[serde(default)]
    pub(crate) path: Option<Os>,
}

/// The hub and all that it knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenHub {
    pub(crate) mux: Box<RawValue>,
    pub(crate) clock: FrozenClock,
    pub(crate) epoch: u32,
    pub(crate) last_id: u64,
    pub(crate) guardian: Option<FrozenGuardian>,
    pub(crate) sessions: Vec<FrozenSession>,
    pub(crate) processes: Vec<FrozenProcess>,
    pub(crate) by_upstream: BTreeMap<UpstreamId, u64>,
    pub(crate) subjects: BTreeMap<UpstreamId, (Subject, SystemTime)>,
    pub(crate) records: BTreeMap<u64, Record>,
    pub(crate) strangers: Vec<u64>,
    pub(crate) postponed: Vec<(UpstreamId, SessionId)>,
    pub(crate) counts: BTreeMap<String, u64>,
    /// The books beside the core, in builds for tests alone.
    #[cfg(feature = "audit")]
    #[serde(default)]
    pub(crate) books: Option<Box<RawValue>>,
}

/// The core's clock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenClock {
    /// What it showed, in nanoseconds.
    pub(crate) told: u64,
    /// When that was: a reading of the system's monotonic clock.
    pub(crate) at: Duration,
}

/// The parent of the servers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenGuardian {
    pub(crate) pid: u32,
    /// The descriptor of the hold on its process.
    pub(crate) hold: RawFd,
    pub(crate) socket: RawFd,
    /// Whether it is our child.
    pub(crate) is_ours: bool,
    pub(crate) is_ending: bool,
    /// What it has said that is no whole report yet.
    pub(crate) unread: Hex,
}

/// The link to one client.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct FrozenSession {
    pub(crate) id: SessionId,
    pub(crate) socket: RawFd,
    pub(crate) outlet: FrozenOutlet,
    pub(crate) is_paused: bool,
    pub(crate) has_reader: bool,
    pub(crate) unread: Hex,
    /// Who takes lines out of frames for it, if it comes over a WebSocket and is read.
    #[serde(default)]
    pub(crate) unpacker: Option<Unpacker>,
    /// What its client calls it.
    #[serde(default)]
    pub(crate) label: Option<Arc<str>>,
    /// Whether it was let in by a token, once for all that it says.
    #[serde(default)]
    pub(crate) has_token: bool,
    /// By which one; without it, by that which counts.
    #[serde(default)]
    pub(crate) token: Option<Generation>,
    pub(crate) server: Arc<str>,
    pub(crate) spec: Result<Means, Box<str>>,
    pub(crate) subject: Option<Arc<Subject>>,
    /// The lock of whoever runs its server without a daemon.
    #[serde(default)]
    pub(crate) direct: Option<Os>,
    pub(crate) lines: LineNumber,
    pub(crate) is_blocked: bool,
    pub(crate) is_closing: bool,
    /// What it has if it is over HTTP; then it has no socket.
    #[serde(default)]
    pub(crate) visited: Option<Box<FrozenVisited>>,
    /// What it has if it is one of the modern era over HTTP; likewise.
    #[serde(default)]
    pub(crate) modern: Option<Box<FrozenModern>>,
}

/// One process of an upstream.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct FrozenProcess {
    pub(crate) id: u64,
    pub(crate) upstream: UpstreamId,
    pub(crate) server: Arc<str>,
    /// What it was started from.
    #[serde(default)]
    pub(crate) program: Option<Program>,
    pub(crate) pid: Option<u32>,
    pub(crate) outlet: Option<(RawFd, FrozenOutlet)>,
    /// Its standard output and error.
    pub(crate) outputs: Option<[RawFd; 2]>,
    pub(crate) has_reader: bool,
    pub(crate) unread: Hex,
    pub(crate) has_drain: bool,
    /// The beginning of a line on its standard error.
    pub(crate) unfinished: Hex,
    pub(crate) unwritten: Option<Vec<Outgoing>>,
    pub(crate) rest: ProcessRest,
    pub(crate) is_blocked: bool,
    pub(crate) is_closing: bool,
    pub(crate) is_cut_off: bool,
    /// What is hidden of what it says; `None` from a program that hid nothing.
    #[serde(default)]
    pub(crate) veil: Option<Veil>,
    /// Set if it runs elsewhere.
    #[serde(default)]
    pub(crate) remote: Option<FrozenRemote>,
}

/// A conversation with a server that runs elsewhere, between two messages.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenRemote {
    pub(crate) spec: Arc<RemoteSpec>,
    /// The far ends of its standard input, output and error.
    pub(crate) ends: [RawFd; 3],
    pub(crate) resumable: Resumable,
}

/// What a process is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenSpec {
    program: Os,
    arguments: Vec<Os>,
    environment: Vec<(Os, Os)>,
    directory: Os,
    umask: u32,
    #[serde(default)]
    secrets: Vec<Os>,
}

impl From<LaunchSpec> for FrozenSpec {
    fn from(spec: LaunchSpec) -> Self {
        let environment = spec.environment.into_iter();
        FrozenSpec {
            program: spec.program.into_os_string().into(),
            arguments: spec.arguments.into_iter().map(Os::from).collect(),
            environment: environment
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: spec.directory.into_os_string().into(),
            umask: spec.umask,
            secrets: spec
                .secrets
                .iter()
                .map(|secret| secret.reveal().to_owned().into())
                .collect(),
        }
    }
}

impl From<FrozenSpec> for LaunchSpec {
    fn from(frozen: FrozenSpec) -> Self {
        let environment = frozen.environment.into_iter();
        LaunchSpec {
            program: OsString::from(frozen.program).into(),
            arguments: frozen.arguments.into_iter().map(OsString::from).collect(),
            environment: environment
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: OsString::from(frozen.directory).into(),
            umask: frozen.umask,
            secrets: frozen
                .secrets
                .into_iter()
                .map(|secret| Secret::new(secret.into()))
                .collect(),
        }
    }
}

/// A name or a text of the system's, which is text nearly always.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Os {
    Text(String),
    Bytes { hex: Hex },
}

impl From<OsString> for Os {
    fn from(text: OsString) -> Self {
        match text.into_string() {
            Ok(text) => Os::Text(text),
            Err(bytes) => Os::Bytes {
                hex: Hex(bytes.into_vec()),
            },
        }
    }
}

impl From<Os> for OsString {
    fn from(text: Os) -> Self {
        match text {
            Os::Text(text) => text.into(),
            Os::Bytes { hex } => OsString::from_vec(hex.0),
        }
    }
}

/// Bytes that need not be text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::kept_words::hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(from)?;
        let bytes = crate::kept_words::from_hex(&digits);
        bytes
            .map(Hex)
            .ok_or_else(|| D::Error::custom("these are no bytes"))
    }
}

#[cfg(test)]
mod tests {
    use mux::{Limits, Mux};

    use super::*;

    /// As the first version wrote it. This file is never changed.
    const FIRST: &str = include_str!("../../fixtures/state-1.json");

    #[test]
    fn the_first_format_can_be_read_for_ever() {
        let frozen = FrozenDaemon::read(FIRST.as_bytes()).unwrap();
        assert_eq!(frozen.version, "0.1.0");
        assert_eq!(frozen.files, (Some(1024), None));
        assert_eq!((frozen.stand.lock, frozen.listener), (7, 9));
        assert_eq!(frozen.requester, Some(30));
        let hub = frozen.hub;
        let mux = Mux::thaw(hub.mux.get().as_bytes(), Limits::default()).unwrap();
        assert_eq!(mux.snapshot().sessions.len(), hub.sessions.len());
        assert_eq!(mux.snapshot().upstreams.len(), hub.processes.len());
        assert!(hub.guardian.is_some_and(|guardian| guardian.is_ours));
        let [first, second, third] = &hub.sessions[..] else {
            panic!("{} sessions", hub.sessions.len());
        };
        assert_eq!(first.unread.0, b"{\"jsonrpc\":\"2.0\",\"id\":9,\xc3");
        assert!(first.is_paused && first.has_reader && !first.is_closing);
        let process = |means: &Means| match means {
            Means::Process(spec) => Arc::clone(spec),
            Means::Remote(spec) => panic!("{spec:?}"),
        };
        let spec = process(first.spec.as_ref().unwrap());
        assert_eq!(spec.arguments[1..], ["--record", "/home/u/rec"]);
        assert_eq!(spec.environment[&OsString::from("TOKEN")], "secret");
        assert_eq!(second.spec, Err("there is no such server".into()));
        let odd = &process(third.spec.as_ref().unwrap()).environment[&OsString::from("ODD")];
        assert_eq!(odd.as_encoded_bytes(), b"\xff\0");
        let [runs, ends] = &hub.processes[..] else {
            panic!("{} processes", hub.processes.len());
        };
        assert_eq!(runs.unfinished.0, b"half a line");
        assert!(runs.outlet.is_some() && runs.outputs.is_some());
        assert_eq!(ends.unwritten.as_ref().map(Vec::len), Some(1));
        assert_eq!((hub.strangers, hub.postponed.len()), (vec![77], 1));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_version_and_without_a_word_of_it() {
        let read = |text: &str| format!("{:#}", FrozenDaemon::read(text.as_bytes()).unwrap_err());
        assert_eq!(read("{}"), "this is no state of a daemon");
        assert_eq!(read(""), "this is no state of a daemon");
        let newer = FIRST.replacen("\"format\":1", "\"format\":9", 1);
        assert!(read(&newer).contains("its format is 9"), "{}", read(&newer));
        let less = FIRST.replacen("\"last_id\"", "\"first_id\"", 1);
        let words = read(&less);
        assert!(words.contains("lacks something"), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
}
