//! The configuration as values.
//!
//! **Invariant:** a [`Config`] holds only what the user wrote and the defaults
//! of this version; two files that say the same are equal, wherever their lines
//! stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    str::FromStr,
    time::Duration,
};

use thiserror::Error;

use crate::{EnvPattern, Http, LimitsOverrides, ServerName, Template};

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
}

/// One server as configured: how to start it and how to share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The program: a name to look up in the session's own PATH, or a path.
    pub command: Template,
    /// Its arguments, without the program.
    pub args: Vec<Template>,
    /// Variables of the server's own, on top of the ambient allow-list.
    pub env: BTreeMap<String, Template>,
    /// Variables to take from the session's environment, where it has them.
    pub env_pass: Vec<EnvPattern>,
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

    pub(crate) fn new(command: Template, args: Vec<Template>) -> Self {
        Server {
            command,
            args,
            env: BTreeMap::new(),
            env_pass: Vec::new(),
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
        }
    }

    /// Every template of this server: command, arguments, variables, folder.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.command)
            .chain(&self.args)
            .chain(self.env.values())
            .chain(&self.cwd)
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

/// A word that is none of those that a setting knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is not one of {}", quoted(.known))]
pub struct UnknownWord {
    /// The word itself.
    pub word: String,
    /// The words that the setting knows.
    pub known: &'static [&'static str],
}

impl Scope {
    pub(crate) const WORDS: &'static [&'static str] = &["auto", "global", "workspace", "session"];

    /// The word for it in a configuration file, on a command line, in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Auto => "auto",
            Scope::Global => "global",
            Scope::Workspace => "workspace",
            Scope::Session => "session",
        }
    }
}

impl Capability {
    pub(crate) const WORDS: &'static [&'static str] = &[
        "roots",
        "sampling",
        "sampling.tools",
        "elicitation.form",
        "elicitation.url",
    ];

    /// The word for it in a configuration file and in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Roots => "roots",
            Capability::Sampling => "sampling",
            Capability::SamplingTools => "sampling.tools",
            Capability::ElicitationForm => "elicitation.form",
            Capability::ElicitationUrl => "elicitation.url",
        }
    }
}

impl Asks {
    pub(crate) const WORDS: &'static [&'static str] = &["shared", "session"];

    /// The word for it in a configuration file and in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Asks::Shared => "shared",
            Asks::Session => "session",
        }
    }
}

impl OnRestart {
    pub(crate) const WORDS: &'static [&'static str] = &["continue", "error"];

    /// The word for it in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            OnRestart::Continue => "continue",
            OnRestart::Error => "error",
        }
    }
}

impl OnDaemonFailure {
    pub(crate) const WORDS: &'static [&'static str] = &["direct", "error"];

    /// The word for it in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            OnDaemonFailure::Direct => "direct",
            OnDaemonFailure::Error => "error",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Scope::Auto, Scope::Global, Scope::Workspace, Scope::Session]
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, Scope::WORDS))
    }
}

impl FromStr for Capability {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [
            Capability::Roots,
            Capability::Sampling,
            Capability::SamplingTools,
            Capability::ElicitationForm,
            Capability::ElicitationUrl,
        ]
        .into_iter()
        .find(|capability| capability.as_str() == word)
        .ok_or_else(|| UnknownWord::new(word, Capability::WORDS))
    }
}

impl FromStr for Asks {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Asks::Shared, Asks::Session]
            .into_iter()
            .find(|asks| asks.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, Asks::WORDS))
    }
}

impl FromStr for OnRestart {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [OnRestart::Continue, OnRestart::Error]
            .into_iter()
            .find(|answer| answer.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, OnRestart::WORDS))
    }
}

impl FromStr for OnDaemonFailure {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [OnDaemonFailure::Direct, OnDaemonFailure::Error]
            .into_iter()
            .find(|choice| choice.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, OnDaemonFailure::WORDS))
    }
}

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

impl UnknownWord {
    pub(crate) fn new(word: &str, known: &'static [&'static str]) -> Self {
        UnknownWord {
            word: word.to_owned(),
            known,
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
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
