//! From what a shim says and what the configuration says to what the core must know, and to what a
//! process is started with.
//!
//! **Invariant:** of a session's environment the daemon keeps what its server gets, and forgets the
//! rest.

mod environment;
mod holes;
mod plan;
mod recipe;
mod remote;
mod route;
mod workspace;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use config::{Config, Http, LimitsOverrides, Secret, ServerName};
use mux::{
    Asks, Front, IdleTimeout, Joins, Limits, Link, OnRestart, Opening, Refusal, Route, Scope,
    SessionId, Start,
};
use serde::{Deserialize, Serialize};
use shim::{
    direct::LockName,
    preface::{Join, SessionAsk},
};

pub(crate) use self::remote::{Means, RemoteSpec};
use self::workspace::TooWide;
pub use self::{holes::check_env_file, recipe::recipe};
use crate::{
    configuration::Configuration,
    front::{Freedom, Over},
    kept_words::Subject,
    serve::StartedBy,
    upgrade::FrozenSpec,
};

/// How long a session over HTTP may be silent before it is over, unless the user says otherwise.
const SILENCE_MAX: Duration = Duration::from_mins(30);

/// All that a process is started with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "FrozenSpec", from = "FrozenSpec")]
pub(crate) struct LaunchSpec {
    /// Absolute.
    pub(crate) program: PathBuf,
    /// The whole argument vector, the program's name for itself first.
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment.
    pub(crate) environment: BTreeMap<OsString, OsString>,
    /// Absolute.
    pub(crate) directory: PathBuf,
    /// At most `0o777`.
    pub(crate) umask: u32,
    /// What of all that was taken out of files that the user alone can read.
    pub(crate) secrets: BTreeSet<Secret>,
}

/// A session that wants a server.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) session: SessionId,
    pub(crate) ask: &'a SessionAsk,
    /// The shim's folder.
    pub(crate) cwd: &'a Path,
    /// The shim's file mode creation mask.
    pub(crate) umask: u32,
    pub(crate) freedom: Freedom,
    pub(crate) over: Over,
    /// What its client calls the session, if it has said so.
    pub(crate) session_key: Option<&'a str>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// What the core hears.
    pub(crate) opening: Opening,
    /// How there comes to be an upstream on its behalf, or why there can be none.
    pub(crate) means: Result<Means, String>,
    /// By what that is known which its server said of itself, if it is kept.
    pub(crate) subject: Option<Arc<Subject>>,
    /// The lock of whoever runs the server without a daemon, if that is a server to be shared.
    pub(crate) lock: Option<LockName>,
    /// Whether it is of no use to any other session.
    pub(crate) is_for_one: bool,
    /// Of which state of the configuration it is.
    pub(crate) edition: u64,
    /// When a response over HTTP ends that goes on.
    pub(crate) poll_after: Option<Duration>,
}

/// Knows the configuration, and what the daemon itself was started with.
#[derive(Debug)]
pub(crate) struct Launcher {
    configuration: Configuration,
    ground: Arc<Ground>,
    /// Equal specifications are kept once, however many sessions have them.
    specs: BTreeSet<Arc<LaunchSpec>>,
}

/// What does not change as long as the daemon lives.
#[derive(Debug)]
struct Ground {
    home: PathBuf,
    too_wide: TooWide,
    /// The ambient variables of the daemon, for peers whose own could lead out of a sandbox.
    own_environment: Vec<(OsString, OsString)>,
}

/// Finds out what a session gets, by the configuration as it was when the session came.
///
/// It looks at folders and into files that the session names, and whoever asks it waits for their disks.
#[derive(Clone, Debug)]
pub(crate) struct Planner {
    config: Arc<Config>,
    config_path: Arc<Path>,
    config_error: Option<Arc<str>>,
    edition: u64,
    ground: Arc<Ground>,
}

impl Launcher {
    pub(crate) fn new(
        configuration: Configuration,
        home: PathBuf,
        own_environment: Vec<(OsString, OsString)>,
    ) -> Self {
        Launcher {
            configuration,
            ground: Arc::new(Ground {
                too_wide: TooWide::new(&home),
                home,
                own_environment,
            }),
            specs: BTreeSet::new(),
        }
    }

    /// What is wrong with the configuration file as it is now.
    pub(crate) fn config_error(&mut self) -> Option<String> {
        self.configuration.refresh();
        self.configuration.error().map(str::to_owned)
    }

    /// What the configuration says of HTTP now.
    pub(crate) fn http(&mut self) -> &Http {
        self.configuration.refresh();
        &self.configuration.current().http
    }

    /// A number that another state of the configuration has not.
    pub(crate) fn edition(&mut self) -> u64 {
        self.configuration.refresh();
        self.configuration.edition()
    }

    /// Whoever finds out what a session gets that comes now.
    pub(crate) fn planner(&mut self) -> Planner {
        self.configuration.refresh();
        Planner {
            config: Arc::clone(self.configuration.current()),
            config_path: Arc::clone(self.configuration.path()),
            config_error: self.configuration.error().map(Arc::from),
            edition: self.configuration.edition(),
            ground: Arc::clone(&self.ground),
        }
    }

    /// How long a session over HTTP may be silent before it is over, as far as that is bounded.
    pub(crate) fn silence_max(&self) -> Option<Duration> {
        silence_max(self.configuration.current())
    }

    /// The name of the only configured server; else all names that there are.
    pub(crate) fn only_server(&mut self) -> Result<String, Vec<String>> {
        self.configuration.refresh();
        let servers = &self.configuration.current().servers;
        let mut names: Vec<String> = servers.keys().map(ToString::to_string).collect();
        match names.len() {
            1 => names.pop().ok_or_else(Vec::new),
            _none_or_several => Err(names),
        }
    }

    /// Takes note of what a session gets: what others have, too, is in memory once.
    pub(crate) fn take_in(&mut self, launch: &mut Launch) {
        let Ok(Means::Process(spec)) = &mut launch.means else {
            return;
        };
        *spec = self.keep_once(Arc::clone(spec));
        if let Some(subject) = &mut launch.subject {
            Arc::make_mut(subject).spec = Arc::clone(spec);
        }
    }

    /// Forgets what no session needs any more.
    pub(crate) fn forget_unused(&mut self) {
        self.specs.retain(|spec| Arc::strong_count(spec) > 1);
    }

    /// The one that is kept of those that are equal.
    pub(crate) fn keep_once(&mut self, spec: Arc<LaunchSpec>) -> Arc<LaunchSpec> {
        if let Some(known) = self.specs.get(&spec) {
            return Arc::clone(known);
        }
        self.specs.insert(Arc::clone(&spec));
        spec
    }
}

fn silence_max(config: &Config) -> Option<Duration> {
    match config.http.session_idle_timeout {
        Some(config::IdleTimeout::After(time)) => Some(time),
        Some(config::IdleTimeout::Never) => None,
        None => Some(SILENCE_MAX),
    }
}

impl Planner {
    /// Finds out what a session gets.
    pub(crate) fn open(&self, asker: &Asker<'_>) -> Launch {
        let mut launch = self.launch(asker);
        if asker.over == Over::Http {
            launch.opening.silence_max = silence_max(&self.config);
        }
        launch
    }

    fn launch(&self, asker: &Asker<'_>) -> Launch {
        match self.plan(asker) {
            Ok(plan) => {
                let subject = match (plan.life, &plan.means) {
                    (Some(life), Means::Process(spec)) => Some(Subject {
                        route: plan.opening.route.clone(),
                        class: plan.opening.fixed_class,
                        life,
                        spec: Arc::clone(spec),
                    }),
                    (None, _) | (_, Means::Remote(_)) => None,
                };
                Launch {
                    lock: plan.lock,
                    is_for_one: plan.is_for_one,
                    edition: self.edition,
                    poll_after: plan.poll_after,
                    opening: plan.opening,
                    means: Ok(plan.means),
                    subject: subject.map(Arc::new),
                }
            }
            Err(refusal) => self.refused(asker, refusal),
        }
    }

    /// What a session gets of which it is not known in time what it gets.
    pub(crate) fn late(&self, asker: &Asker<'_>) -> Launch {
        let why = format!(
            "nothing was heard in time of the folders and files that it needs, for instance of {}",
            match &asker.ask.workspace {
                Some(workspace) => workspace.path.display(),
                None => asker.cwd.display(),
            }
        );
        self.not_found_out(asker, why)
    }

    /// What a session gets when finding that out has panicked.
    pub(crate) fn panicked(&self, asker: &Asker<'_>) -> Launch {
        let why = "finding out what it needs has failed, by a mistake of mcpool";
        self.not_found_out(asker, why.to_owned())
    }

    fn not_found_out(&self, asker: &Asker<'_>, why: String) -> Launch {
        let refusal = Refusal::StartFailed {
            server: name_of(asker),
            why,
            last_words: Vec::new(),
            withheld: Vec::new(),
        };
        self.refused(asker, refusal)
    }

    fn refused(&self, asker: &Asker<'_>, refusal: Refusal) -> Launch {
        let why = refusal.to_string();
        Launch {
            opening: opening_without_plan(asker, refusal),
            means: Err(why),
            subject: None,
            lock: None,
            is_for_one: true,
            edition: self.edition,
            poll_after: None,
        }
    }
}

/// The bounds in force: the defaults, where the user has not moved them.
pub(crate) fn limits(moved: &LimitsOverrides, daemon_idle_timeout: IdleTimeout) -> Limits {
    let defaults = Limits::default();
    let message_bytes = moved.message_bytes.unwrap_or(defaults.message_bytes);
    let buffered_bytes = moved.buffered_bytes.unwrap_or(defaults.buffered_bytes);
    Limits {
        message_bytes,
        // One message always fits, wherever it waits, and leaves as much to others.
        buffered_bytes: buffered_bytes.max(message_bytes.saturating_mul(4)),
        sessions: moved.sessions.unwrap_or(defaults.sessions),
        session_in_flight: moved
            .session_in_flight
            .unwrap_or(defaults.session_in_flight),
        session_queue: moved.session_queue.unwrap_or(defaults.session_queue),
        session_queue_bytes: moved
            .session_queue_bytes
            .unwrap_or(defaults.session_queue_bytes),
        slow_reader_bytes: moved
            .slow_reader_bytes
            .unwrap_or(defaults.slow_reader_bytes),
        start_patience: moved.start_patience.unwrap_or(defaults.start_patience),
        greeting_timeout: moved.greeting_timeout.unwrap_or(defaults.greeting_timeout),
        request_timeout: moved.request_timeout.unwrap_or(defaults.request_timeout),
        request_idle_timeout: moved
            .request_idle_timeout
            .map_or(defaults.request_idle_timeout, idle_timeout),
        daemon_idle_timeout,
        drain_patience: moved.drain_patience.unwrap_or(defaults.drain_patience),
        ping_interval: moved.ping_interval.unwrap_or(defaults.ping_interval),
        ..defaults
    }
}

/// How long a daemon is kept that nobody needs, unless the user says otherwise.
const DAEMON_IDLE_TIMEOUT: Duration = Duration::from_mins(30);

/// How long this daemon is kept that nobody needs: one that a shim has started, and that no person would
/// miss, for a while.
pub(crate) fn daemon_idle_timeout(
    started_by: StartedBy,
    set: Option<config::IdleTimeout>,
) -> IdleTimeout {
    match started_by {
        StartedBy::Person => IdleTimeout::Never,
        StartedBy::Shim => set.map_or(IdleTimeout::After(DAEMON_IDLE_TIMEOUT), idle_timeout),
        StartedBy::ServiceManager => set.map_or(IdleTimeout::Never, idle_timeout),
    }
}

fn idle_timeout(set: config::IdleTimeout) -> IdleTimeout {
    match set {
        config::IdleTimeout::After(time) => IdleTimeout::After(time),
        config::IdleTimeout::Never => IdleTimeout::Never,
    }
}

/// What the server of a session is called. What cannot be a name is not repeated where names are shown.
fn name_of(asker: &Asker<'_>) -> Arc<str> {
    match asker.ask.server.parse::<ServerName>() {
        Ok(name) => Arc::from(name.as_str()),
        Err(_) => Arc::from("?"),
    }
}

/// For a session that no process can be started for.
fn opening_without_plan(asker: &Asker<'_>, refusal: Refusal) -> Opening {
    Opening {
        server: name_of(asker),
        front: front(asker),
        link: link(asker),
        refused: Some(refusal),
        // No key that a plan makes is empty, and this one is nobody else's.
        route: Route(asker.session.0.to_le_bytes().as_slice().into()),
        scope: Scope::Session,
        scope_reason: Arc::from("it cannot be started"),
        modern_scope: None,
        workspace: None,
        asks: Asks::Shared,
        fixed_class: None,
        idle_timeout: IdleTimeout::After(Duration::ZERO),
        request_timeout: None,
        request_idle_timeout: None,
        on_restart: OnRestart::Continue,
        kept: None,
        found: None,
        start: Start::OnDemand,
        joins: joins(asker.ask.join),
        withheld: Vec::new(),
        resumes: false,
        waited: Duration::ZERO,
        silence_max: None,
        era: None,
        handle: None,
        rules: Arc::default(),
    }
}

fn front(asker: &Asker<'_>) -> Front {
    match (asker.over, asker.ask.join) {
        (Over::Http, _) => Front::Http,
        (Over::WebSocket, _) => Front::Ws,
        (Over::Preface, Join::ShareKey) => Front::Stdio,
        (Over::Preface, Join::Any) => Front::Cli,
    }
}

fn link(asker: &Asker<'_>) -> Link {
    match (asker.over, asker.ask.join) {
        (Over::Http, _) => Link::Posts,
        (Over::Preface, Join::ShareKey) => Link::Keeping,
        (Over::WebSocket, _) | (Over::Preface, Join::Any) => Link::Plain,
    }
}

fn joins(join: Join) -> Joins {
    match join {
        Join::ShareKey => Joins::OwnRoute,
        Join::Any => Joins::AnyRunning,
    }
}

#[cfg(test)]
impl Launch {
    /// One of this route, of a server that is never started.
    pub(crate) fn of_route(route: &str) -> Self {
        let ask = SessionAsk {
            server: "s".to_owned(),
            command: Vec::new(),
            address: None,
            directory: None,
            scope: None,
            workspace: None,
            pass: Vec::new(),
            join: Join::ShareKey,
            resume: None,
            env: Vec::new(),
        };
        let asker = Asker {
            session: SessionId(1),
            ask: &ask,
            cwd: Path::new("/"),
            umask: 0,
            freedom: Freedom::Elsewhere,
            over: Over::Http,
            session_key: None,
        };
        let opening = Opening {
            refused: None,
            route: Route(route.as_bytes().into()),
            ..opening_without_plan(&asker, Refusal::ShuttingDown)
        };
        Launch {
            opening,
            means: Err("it is never started".to_owned()),
            subject: None,
            lock: None,
            is_for_one: false,
            edition: 1,
            poll_after: None,
        }
    }
}

#[cfg(test)]
mod tests;
