//! The configuration as values.
//!
//! **Invariant:** a [`Config`] holds only what the user wrote and the defaults
//! of this version; two files that say the same are equal, wherever their lines
//! stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::PathBuf,
    time::Duration,
};

use crate::{EnvPattern, Http, LimitsOverrides, ServerName, Template, word::words};

/// Everything that one configuration file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The servers, by name.
    pub servers: BTreeMap<ServerName, Server>,
    /// The bounds that the user set; all others keep their defaults.
    pub limits: LimitsOverrides,
    /// The daemon's own life.
    pub daemon: Daemon,
    /// How clients come in over HTTP.
    pub http: Http,
}

/// The table `[daemon]`; `None` is "keep the default".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// How long a daemon is kept that has neither sessions nor servers.
    pub idle_timeout: Option<IdleTimeout>,
    /// Where programs are looked for on behalf of sessions that bring no environment.
    pub path: Option<String>,
}

/// One server as configured: how to start or to reach it and how to share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The program: a name to look up in the session's own PATH, or a path. An empty text if the server runs
    /// elsewhere.
    pub command: Template,
    /// Where it runs already, if nothing is started for it.
    pub remote: Option<Remote>,
    /// Its arguments, without the program.
    pub args: Vec<Template>,
    /// Variables of the server's own, on top of the ambient allow-list.
    pub env: BTreeMap<String, Template>,
    /// Variables to take from the session's environment, where it has them.
    pub env_pass: Vec<EnvPattern>,
    /// A file of further variables that `${VAR}` and `env_pass` may take, where a session has none of the name:
    /// absolute, or beginning with `~/`.
    pub env_file: Option<PathBuf>,
    /// Where its program is looked for on behalf of sessions that bring no environment; without it, where those
    /// of all servers are.
    pub path: Option<String>,
    /// Where the server starts; without it, the workspace or the home folder.
    pub cwd: Option<Template>,
    /// How widely one process is shared.
    pub scope: Scope,
    /// How long a process without sessions is kept.
    pub idle_timeout: IdleTimeout,
    /// Longest life of a request; without it, that of all servers.
    pub request_timeout: Option<Duration>,
    /// Longest life of a request without progress; without it, that of all servers.
    pub request_idle_timeout: Option<IdleTimeout>,
    /// What sessions hear when a process is replaced that they had called.
    pub on_restart: OnRestart,
    /// What becomes of its sessions if no daemon can be had.
    pub on_daemon_failure: OnDaemonFailure,
    /// Whether sessions are served without a process, as far as what the server said at its last start
    /// goes, until one is needed.
    pub lazy: bool,
    /// Whether its process starts with its first session and is kept when there is none; then the idle
    /// timeout is [`IdleTimeout::Never`].
    pub keep_warm: bool,
    /// The capabilities that the server is greeted with, for all clients alike;
    /// `None` means those of the client.
    pub client_capabilities: Option<BTreeSet<Capability>>,
    /// Whether sessions may share a process although it asks its clients.
    pub asks: Asks,
    /// How it is spoken to.
    pub era: Era,
    /// When a response over HTTP that is still open ends, so that its client comes back for the rest; without
    /// it, not before its stream does.
    pub sse_poll_after: Option<Duration>,
    /// What calls of its tools use one at a time.
    pub serialize: Option<Serialize>,
    /// Which calls are carried out once for all sessions that make them.
    pub once: Option<Once>,
}

/// Calls that run one after the other, whichever session makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serialize {
    /// What they wait for. All servers that name the same one wait for each other.
    pub name: String,
    /// The tools that are meant; `None` for all of the server.
    pub tools: Option<BTreeSet<String>>,
}

/// Calls that are answered, when another session repeats them, with the first one's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The tools that are meant.
    pub tools: BTreeSet<String>,
    /// The arguments that must be equal; `None` for all of them.
    pub key: Option<Vec<String>>,
    /// For how long after the first result.
    pub ttl: Duration,
}

impl Server {
    /// A server that no configuration names, with the defaults for all else.
    ///
    /// The words are taken as they are: `${...}` in them means nothing.
    pub fn ad_hoc(command: OsString, args: Vec<OsString>) -> Self {
        Server::new(
            Template::literal(command),
            args.into_iter().map(Template::literal).collect(),
        )
    }

    /// A server that runs already and that no configuration names, with the defaults for all else.
    pub fn elsewhere(remote: Remote) -> Self {
        Server {
            remote: Some(remote),
            ..Server::ad_hoc(OsString::new(), Vec::new())
        }
    }

    pub(crate) fn new(command: Template, args: Vec<Template>) -> Self {
        Server {
            command,
            remote: None,
            args,
            env: BTreeMap::new(),
            env_pass: Vec::new(),
            env_file: None,
            path: None,
            cwd: None,
            scope: Scope::default(),
            idle_timeout: IdleTimeout::default(),
            request_timeout: None,
            request_idle_timeout: None,
            on_restart: OnRestart::default(),
            on_daemon_failure: OnDaemonFailure::default(),
            lazy: true,
            keep_warm: false,
            client_capabilities: None,
            asks: Asks::default(),
            era: Era::default(),
            sse_poll_after: None,
            serialize: None,
            once: None,
        }
    }

    /// Every template of this server: command, arguments, variables, folder, and those of a server elsewhere.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.command)
            .chain(&self.args)
            .chain(self.env.values())
            .chain(&self.cwd)
            .chain(self.remote.iter().flat_map(Remote::templates))
    }
}

/// A server that runs already: where, and what it is told beside the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// An address that begins with one of [`crate::SCHEMES`], or the path of a unix socket.
    pub url: Template,
    /// Headers of each request; their values are secrets.
    pub headers: BTreeMap<String, Template>,
    /// A file of certificates that alone vouch for the server, in place of those of the system.
    pub ca_cert: Option<Template>,
    /// The parameter of a WebSocket address that tells the session's key.
    pub session_key_param: String,
    /// The header of HTTP that does.
    pub session_key_header: String,
}

impl Remote {
    /// One at this address, with the defaults for all else.
    pub fn at(url: Template) -> Self {
        Remote {
            url,
            headers: BTreeMap::new(),
            ca_cert: None,
            session_key_param: "session_key".to_owned(),
            session_key_header: "Mcpool-Session".to_owned(),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.url)
            .chain(self.headers.values())
            .chain(&self.ca_cert)
    }
}

/// How widely one process of a server is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Picked from the command line, see [`crate::session_reason`].
    #[default]
    Auto,
    /// One for all sessions of the user.
    Global,
    /// One for each workspace.
    Workspace,
    /// One for each session: not shared.
    Session,
}

/// How long something goes on with which nothing happens: a process without a session, a request
/// without progress, a daemon without either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleTimeout {
    /// This long; zero ends it at once.
    After(Duration),
    /// For ever.
    Never,
}

impl Default for IdleTimeout {
    /// That of a process is ten minutes: long enough for a person to restart a client.
    fn default() -> Self {
        IdleTimeout::After(Duration::from_mins(10))
    }
}

/// Something that a client may declare and a server may then ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `roots`: the folders it works on.
    Roots,
    /// `sampling`: completions by its model.
    Sampling,
    /// `sampling.tools`: the same with tools; implies [`Capability::Sampling`].
    SamplingTools,
    /// `elicitation.form`: questions to its user.
    ElicitationForm,
    /// `elicitation.url`: pages for its user to visit.
    ElicitationUrl,
}

/// Whether a server that asks its clients may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    /// Yes: it asks only during the call that is the cause.
    #[default]
    Shared,
    /// No: it asks at other times, so each session gets its own process.
    Session,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// As it wants it: that is found out.
    #[default]
    Auto,
    /// With a handshake, as until 2025-11-25.
    Legacy,
    /// Without, as from 2026-07-28 on.
    Modern,
}

/// What sessions hear when a process is replaced that may have remembered something of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRestart {
    /// A warning; everything goes on.
    #[default]
    Continue,
    /// An error to the next call of each.
    Error,
}

/// What becomes of a server's sessions if no daemon can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDaemonFailure {
    /// One of them runs it itself.
    #[default]
    Direct,
    /// Nobody does; it is an error.
    Error,
}

words!(Scope {
    Auto => "auto",
    Global => "global",
    Workspace => "workspace",
    Session => "session",
});

words!(Capability {
    Roots => "roots",
    Sampling => "sampling",
    SamplingTools => "sampling.tools",
    ElicitationForm => "elicitation.form",
    ElicitationUrl => "elicitation.url",
});

words!(Asks {
    Shared => "shared",
    Session => "session",
});

words!(Era {
    Auto => "auto",
    Legacy => "legacy",
    Modern => "modern",
});

words!(OnRestart {
    Continue => "continue",
    Error => "error",
});

words!(OnDaemonFailure {
    Direct => "direct",
    Error => "error",
});

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_a_setting_knows_reads_back_as_itself() {
        for word in Scope::WORDS {
            assert_eq!(word.parse::<Scope>().expect(word).as_str(), *word);
        }
        for word in Capability::WORDS {
            assert_eq!(word.parse::<Capability>().expect(word).as_str(), *word);
        }
        for word in OnRestart::WORDS {
            assert_eq!(word.parse::<OnRestart>().expect(word).as_str(), *word);
        }
        for word in OnDaemonFailure::WORDS {
            assert_eq!(word.parse::<OnDaemonFailure>().expect(word).as_str(), *word);
        }
        for word in Asks::WORDS {
            assert_eq!(word.parse::<Asks>().expect(word).as_str(), *word);
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        assert_eq!(
            "Global"
                .parse::<Scope>()
                .expect_err("case matters")
                .to_string(),
            "\"Global\" is not one of `auto`, `global`, `workspace`, `session`"
        );
    }

    #[test]
    fn the_words_of_an_ad_hoc_command_are_never_interpolated() {
        let server = Server::ad_hoc("echo".into(), vec!["${HOME}".into()]);
        assert_eq!(server.templates().flat_map(Template::variables).count(), 0);
        assert_eq!(server.args[0].as_written(), "${HOME}");
    }
}
