//! One session's plan: which server, started how, shared with whom.
//!
//! **Invariant:** whatever is missing or wrong is a [`Refusal`] that says how to mend it; nothing is
//! started on a guess.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use config::{Builtin, Builtins, EnvArgument, Secret, Server, ServerName, Template};
use mux::{
    Asks, CallRules, Capability, Class, Device, Era, OnRestart, OnceRule, Opening, Refusal, Route,
    Scope, Start,
};
use shim::direct::LockName;

use super::{
    Asker, LaunchSpec, Means, Planner, environment, front,
    holes::{Holes, PATH, SearchPath},
    idle_timeout, joins, link, remote,
    route::ShareKey,
    workspace::Claim,
};
use crate::{failpoint, front::Freedom, kept_words::Life};

/// Names of servers that are close enough to be meant.
const SIMILAR_MIN: f64 = 0.7;

/// What a session gets, if all goes well.
pub(super) struct Plan {
    pub(super) opening: Opening,
    pub(super) means: Means,
    /// How long it is good what its server says of itself; `None` if nothing of that is kept.
    pub(super) life: Option<Life>,
    /// The lock of whoever runs the server without a daemon, if that is a server to be shared.
    pub(super) lock: Option<LockName>,
    /// Whether it holds what only this session has.
    pub(super) is_for_one: bool,
    /// When a response over HTTP ends that goes on.
    pub(super) poll_after: Option<Duration>,
}

/// With whom a server is shared.
pub(super) struct Sharing<'a> {
    pub(super) route: Route,
    pub(super) scope: Scope,
    pub(super) scope_reason: Arc<str>,
    /// The same where the server is spoken to as in the modern era, if that is different.
    pub(super) modern_scope: Option<Scope>,
    pub(super) workspace: Option<&'a Path>,
}

/// Where the words of a server come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Configured,
    AdHoc,
}

/// The words of a server, holes filled.
struct Words {
    command: OsString,
    arguments: Vec<OsString>,
    declared: BTreeMap<OsString, OsString>,
    cwd: Option<OsString>,
    /// What of all that was taken out of files.
    secrets: BTreeSet<Secret>,
}

impl Words {
    /// The program and its arguments.
    fn line(&self) -> Vec<&OsStr> {
        let mut line = vec![self.command.as_os_str()];
        line.extend(self.arguments.iter().map(OsString::as_os_str));
        line
    }
}

impl Planner {
    pub(super) fn plan(&self, asker: &Asker<'_>) -> Result<Plan, Refusal> {
        let (server, origin) = self.server(asker)?;
        let workspace = self.workspace(asker)?;
        self.check_choice(asker, &server)?;
        if let Some(remote) = &server.remote {
            return self.plan_remote(asker, &server, remote, workspace.as_deref());
        }
        let words = fill(asker, &server, workspace.as_deref(), &self.ground.home)?;
        let (scope, scope_reason) = scope(asker, &server, &words.line(), workspace.as_deref())?;
        let environment = self.environment(asker, &server, &words);
        let withheld = withheld(asker, &server, &words);
        let base = match (scope, &workspace) {
            (Scope::Workspace | Scope::Session, Some(workspace)) => workspace,
            (Scope::Global, _) | (_, None) => &self.ground.home,
        };
        let cwd = words.cwd.as_ref();
        let directory = cwd.map_or_else(|| base.clone(), |cwd| base.join(cwd));
        let search = self.search_path(asker, &server, &environment);
        let program = self.program(asker, &words.command, &search, &withheld)?;
        let key = ShareKey {
            program: &program,
            arguments: &words.arguments,
            declared: &words.declared,
            directory: &directory,
            configured_name: match origin {
                Origin::Configured => Some(&asker.ask.server),
                Origin::AdHoc => None,
            },
            workspace: match scope {
                Scope::Workspace => workspace.as_deref(),
                Scope::Global | Scope::Session => None,
            },
        };
        let lock = lock(asker, scope, &key);
        let life = life(&server, &words);
        let sharing = Sharing {
            route: key.encode(),
            scope,
            scope_reason,
            modern_scope: None,
            workspace: workspace.as_deref(),
        };
        let opening = opening(asker, &server, sharing, life, withheld);
        let spec = LaunchSpec {
            program,
            arguments: [words.command].into_iter().chain(words.arguments).collect(),
            environment,
            directory,
            umask: asker.umask & 0o777,
            secrets: words.secrets,
        };
        Ok(Plan {
            opening,
            means: Means::Process(Arc::new(spec)),
            life,
            lock,
            is_for_one: names_the_session(&server),
            poll_after: server.sse_poll_after,
        })
    }

    /// The server that is meant: the configured one of this name, or what came along, a command or an address.
    fn server(&self, asker: &Asker<'_>) -> Result<(Cow<'_, Server>, Origin), Refusal> {
        // Names of log files and lines of logs are made of it.
        if let Err(error) = asker.ask.server.parse::<ServerName>() {
            return Err(Refusal::BadConfiguration {
                what: error.to_string().into(),
            });
        }
        if let [command, arguments @ ..] = asker.ask.command.as_slice() {
            let mut server = Server::ad_hoc(command.clone(), arguments.to_vec());
            let directory = asker.ask.directory.as_ref();
            server.cwd = directory.map(|it| Template::literal(it.clone().into()));
            return Ok((Cow::Owned(server), Origin::AdHoc));
        }
        if let Some(address) = &asker.ask.address {
            return Ok((Cow::Owned(remote::at(address)), Origin::AdHoc));
        }
        let name = asker.ask.server.as_str();
        let servers = &self.config.servers;
        if let Some(server) = servers.get(name) {
            return Ok((Cow::Borrowed(server), Origin::Configured));
        }
        // It may stand in the part that cannot be read.
        if let Some(error) = self.config_error.as_deref() {
            return Err(Refusal::BadConfiguration { what: error.into() });
        }
        let mut similar: Vec<(f64, &str)> = servers
            .keys()
            .map(|known| (strsim::jaro_winkler(known.as_str(), name), known.as_str()))
            .filter(|(likeness, _)| *likeness >= SIMILAR_MIN)
            .collect();
        similar.sort_by(|one, other| other.0.total_cmp(&one.0));
        Err(Refusal::NoSuchServer {
            server: name.into(),
            similar: similar.into_iter().map(|(_, known)| known.into()).collect(),
        })
    }

    /// The workspace that the shim claims, checked.
    fn workspace(&self, asker: &Asker<'_>) -> Result<Option<PathBuf>, Refusal> {
        let Some(workspace) = &asker.ask.workspace else {
            return Ok(None);
        };
        failpoint::looked_into(&workspace.path);
        let own = ["HOME", "TMPDIR"].map(|name| asker.ask.variable(name).map(Path::new));
        match self
            .ground
            .too_wide
            .judge(&workspace.path, own.into_iter().flatten())
        {
            Claim::Bound => Ok(Some(workspace.path.clone())),
            Claim::TooWide if asker.freedom == Freedom::Elsewhere => {
                let path = workspace.path.display();
                let what = format!("`{path}` holds everything, and is no workspace");
                Err(Refusal::BadConfiguration { what: what.into() })
            }
            Claim::TooWide => Ok(None),
            Claim::Bad(what) => Err(Refusal::BadConfiguration { what: what.into() }),
        }
    }

    /// All variables that the server gets.
    fn environment(
        &self,
        asker: &Asker<'_>,
        server: &Server,
        words: &Words,
    ) -> BTreeMap<OsString, OsString> {
        let mut environment = match asker.freedom {
            Freedom::AsFree => environment::ambient(&asker.ask.env),
            Freedom::Confined | Freedom::Elsewhere => {
                environment::ambient(&self.ground.own_environment)
            }
        };
        if let Some(path) = self.configured_path(asker, server) {
            environment.insert(PATH.into(), path.into());
        }
        environment.extend(words.declared.clone());
        environment
    }

    /// The program, absolute, as the session's own shell would find it.
    fn program(
        &self,
        asker: &Asker<'_>,
        command: &OsStr,
        search: &SearchPath<'_>,
        withheld: &[Arc<str>],
    ) -> Result<PathBuf, Refusal> {
        // A folder of the peer's choice is a program of the peer's choice.
        let cwd = match asker.freedom {
            Freedom::AsFree => asker.cwd,
            Freedom::Confined | Freedom::Elsewhere => &self.ground.home,
        };
        which::which_in(command, search.folders, cwd)
            .map(|found| cwd.join(found))
            .map_err(|_| Refusal::StartFailed {
                server: asker.ask.server.as_str().into(),
                why: format!(
                    "there is no program `{}` in {}",
                    command.display(),
                    search.whose
                ),
                last_words: Vec::new(),
                withheld: withheld.to_vec(),
            })
    }

    /// Where the configuration says that programs are, for a session that does not say it itself.
    fn configured_path<'s>(&'s self, asker: &Asker<'_>, server: &'s Server) -> Option<&'s str> {
        match asker.freedom {
            Freedom::AsFree | Freedom::Confined => None,
            Freedom::Elsewhere => {
                let of_all = self.config.daemon.path.as_deref();
                server.path.as_deref().or(of_all)
            }
        }
    }

    fn search_path<'s>(
        &'s self,
        asker: &Asker<'_>,
        server: &'s Server,
        environment: &'s BTreeMap<OsString, OsString>,
    ) -> SearchPath<'s> {
        if let Some(path) = self.configured_path(asker, server) {
            return SearchPath {
                folders: Some(OsStr::new(path)),
                whose: "the `path` of the configuration",
            };
        }
        match asker.freedom {
            Freedom::AsFree => SearchPath {
                folders: environment.get(OsStr::new(PATH)).map(OsString::as_os_str),
                whose: "the PATH of this session",
            },
            Freedom::Confined | Freedom::Elsewhere => SearchPath {
                folders: self.own_variable(PATH).map(OsString::as_os_str),
                whose: "the PATH of the daemon",
            },
        }
    }

    fn own_variable(&self, name: &str) -> Option<&OsString> {
        let mut own = self.ground.own_environment.iter();
        own.find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// A sandboxed session may use what the user has configured, not choose what runs outside of its
    /// sandbox: neither the program, nor the script or the folder that it is told to take.
    fn check_choice(&self, asker: &Asker<'_>, server: &Server) -> Result<(), Refusal> {
        match asker.freedom {
            // It has nothing to choose with.
            Freedom::AsFree | Freedom::Elsewhere => return Ok(()),
            Freedom::Confined => {}
        }
        let name = &asker.ask.server;
        let is_own = |variable: &str| {
            let theirs = asker.ask.variable(variable);
            self.own_variable(variable).map(OsString::as_os_str) == theirs
        };
        let command_line = [&server.command].into_iter().chain(&server.args);
        let remote = server.remote.iter();
        let place = remote.flat_map(|remote| [&remote.url].into_iter().chain(&remote.ca_cert));
        let mut variables = command_line
            .chain(&server.cwd)
            .chain(place)
            .flat_map(Template::variables);
        let what = if !asker.ask.pass.is_empty() {
            format!(
                "`{name}` is started outside of this session's sandbox, so `--env` is not for it"
            )
        } else if let Some(variable) = variables.find(|variable| !is_own(variable)) {
            format!(
                "`{name}` is started outside of this session's sandbox, which may not choose by the \
                 variable `{variable}` what runs there; what is no program, script or folder can \
                 stand in `env` instead"
            )
        } else {
            return Ok(());
        };
        Err(Refusal::BadConfiguration { what: what.into() })
    }
}

/// What the core hears of a session that can be served.
pub(super) fn opening(
    asker: &Asker<'_>,
    server: &Server,
    sharing: Sharing<'_>,
    life: Option<Life>,
    withheld: Vec<Arc<str>>,
) -> Opening {
    let workspace = sharing.workspace;
    Opening {
        server: Arc::from(asker.ask.server.as_str()),
        front: front(asker),
        link: link(asker),
        refused: None,
        route: sharing.route,
        scope: sharing.scope,
        scope_reason: sharing.scope_reason,
        modern_scope: sharing.modern_scope,
        workspace: workspace.map(|path| Arc::from(path.to_string_lossy())),
        asks: asks(server),
        fixed_class: server.client_capabilities.as_ref().map(fixed_class),
        idle_timeout: idle_timeout(server.idle_timeout),
        request_timeout: server.request_timeout,
        request_idle_timeout: server.request_idle_timeout.map(idle_timeout),
        on_restart: on_restart(server),
        kept: life.map(|_| Vec::new()),
        found: None,
        start: start(server),
        joins: joins(asker.ask.join),
        withheld,
        resumes: false,
        waited: Duration::ZERO,
        silence_max: None,
        era: era(server),
        handle: None,
        rules: Arc::new(rules(server)),
    }
}

/// Fills the holes with what this session has.
fn fill(
    asker: &Asker<'_>,
    server: &Server,
    workspace: Option<&Path>,
    home: &Path,
) -> Result<Words, Refusal> {
    let session = format!("{}-{}", std::process::id(), asker.session);
    let builtins = Builtins {
        workspace,
        session: &session,
        server: &asker.ask.server,
    };
    let holes = Holes::of(asker.ask, server, home)?;
    let resolve = |template: &Template| {
        holes
            .resolve(template, &builtins)
            .map_err(|error| Refusal::BadConfiguration {
                what: error.to_string().into(),
            })
    };
    let arguments = arguments_of_env(asker)?;
    let mut declared = holes.passed(&server.env_pass);
    for (name, value) in &server.env {
        declared.insert(name.into(), resolve(value)?);
    }
    // The command line is the last word.
    declared.extend(environment::passed(&asker.ask.env, &[], &arguments));
    Ok(Words {
        command: resolve(&server.command)?,
        arguments: server.args.iter().map(resolve).collect::<Result<_, _>>()?,
        declared,
        cwd: server.cwd.as_ref().map(resolve).transpose()?,
        secrets: holes.into_secrets(),
    })
}

/// What the lock is called of whoever runs this server without a daemon; `None` if it is shared with
/// nobody. Where there is a command, a shim must know it without us.
fn lock(asker: &Asker<'_>, scope: Scope, key: &ShareKey<'_>) -> Option<LockName> {
    if !asker.ask.command.is_empty() {
        return LockName::of_command(asker.ask);
    }
    match scope {
        Scope::Global | Scope::Workspace => {
            Some(LockName::of_configured(&key.without_found().encode().0))
        }
        Scope::Session => None,
    }
}

/// What `--env` said.
fn arguments_of_env(asker: &Asker<'_>) -> Result<Vec<EnvArgument>, Refusal> {
    let parse = |argument: &OsString| {
        EnvArgument::parse(argument).map_err(|error| Refusal::BadConfiguration {
            what: format!("--env: {error}").into(),
        })
    };
    asker.ask.pass.iter().map(parse).collect()
}

/// How widely the server is to be shared for this session, as a user says it.
pub(super) fn wanted_scope(asker: &Asker<'_>, server: &Server) -> config::Scope {
    asker.ask.scope.map_or(server.scope, from_shim)
}

/// How widely the server is shared for this session, and why.
pub(super) fn scope(
    asker: &Asker<'_>,
    server: &Server,
    line: &[&OsStr],
    workspace: Option<&Path>,
) -> Result<(Scope, Arc<str>), Refusal> {
    let who = match asker.ask.scope {
        Some(_) => "--scope says so",
        None => "the configuration says so",
    };
    match wanted_scope(asker, server) {
        config::Scope::Global => Ok((Scope::Global, who.into())),
        config::Scope::Session => Ok((Scope::Session, who.into())),
        config::Scope::Workspace if workspace.is_none() => Err(Refusal::BadConfiguration {
            what: unbound(asker).into(),
        }),
        config::Scope::Workspace => Ok((Scope::Workspace, who.into())),
        config::Scope::Auto if server.remote.is_some() => {
            let why = "auto: a server by URL may keep something of each session";
            Ok((Scope::Session, why.into()))
        }
        config::Scope::Auto => Ok(match config::session_reason(line) {
            Some(kind) => (
                Scope::Session,
                format!("auto: its command names a {kind}").into(),
            ),
            None if workspace.is_none() => (
                Scope::Workspace,
                "auto: the session is bound to no workspace".into(),
            ),
            None => (Scope::Workspace, "auto".into()),
        }),
    }
}

fn asks(server: &Server) -> Asks {
    match server.asks {
        config::Asks::Shared => Asks::Shared,
        config::Asks::Session => Asks::Session,
    }
}

/// What the configuration says of calls.
fn rules(server: &Server) -> CallRules {
    let words = |words: &BTreeSet<String>| words.iter().map(|word| word.as_str().into()).collect();
    CallRules {
        device: server.serialize.as_ref().map(|serialize| Device {
            name: serialize.name.as_str().into(),
            tools: serialize.tools.as_ref().map(words),
        }),
        once: server.once.as_ref().map(|once| OnceRule {
            tools: words(&once.tools),
            key: once
                .key
                .as_ref()
                .map(|names| names.iter().map(|name| name.as_str().into()).collect()),
            ttl: once.ttl,
        }),
    }
}

fn era(server: &Server) -> Option<Era> {
    match server.era {
        config::Era::Auto => None,
        config::Era::Legacy => Some(Era::Legacy),
        config::Era::Modern => Some(Era::Modern),
    }
}

fn on_restart(server: &Server) -> OnRestart {
    match server.on_restart {
        config::OnRestart::Continue => OnRestart::Continue,
        config::OnRestart::Error => OnRestart::Error,
    }
}

fn start(server: &Server) -> Start {
    if server.keep_warm {
        Start::WithSession
    } else {
        Start::OnDemand
    }
}

/// How long it is good what the server says of itself, if that is kept at all: what is filled with a
/// session's own word comes never again.
fn life(server: &Server, words: &Words) -> Option<Life> {
    if !server.lazy || names_the_session(server) {
        return None;
    }
    Some(if config::is_launcher(&words.line()) {
        Life::OfADay
    } else {
        Life::OfItsFiles
    })
}

/// Whether it is filled with a session's own word.
pub(super) fn names_the_session(server: &Server) -> bool {
    server.templates().any(names_a_session)
}

/// The same of one of its words.
pub(super) fn names_a_session(template: &Template) -> bool {
    let mut builtins = template.builtins();
    builtins.any(|builtin| builtin == Builtin::Session)
}

fn unbound(asker: &Asker<'_>) -> String {
    let server = &asker.ask.server;
    let how = match asker.freedom {
        Freedom::AsFree | Freedom::Confined => {
            "start the client in the project's folder, set CLAUDE_PROJECT_DIR, or say \
             `mcpool connect --workspace DIR`"
        }
        Freedom::Elsewhere => {
            "add `?workspace=/absolute/path` to the URL, or send the header `Mcpool-Workspace`"
        }
    };
    format!("`{server}` has scope `workspace` and this session is bound to none: {how}")
}

fn from_shim(scope: shim::scope::Scope) -> config::Scope {
    match scope {
        shim::scope::Scope::Auto => config::Scope::Auto,
        shim::scope::Scope::Global => config::Scope::Global,
        shim::scope::Scope::Workspace => config::Scope::Workspace,
        shim::scope::Scope::Session => config::Scope::Session,
    }
}

/// The credentials that the session has and its server does not get.
fn withheld(asker: &Asker<'_>, server: &Server, words: &Words) -> Vec<Arc<str>> {
    let named = server
        .templates()
        .flat_map(Template::variables)
        .map(OsStr::new);
    let known: BTreeSet<&OsStr> = words
        .declared
        .keys()
        .map(OsString::as_os_str)
        .chain(named)
        .collect();
    environment::withheld(&asker.ask.env, &known)
}

fn fixed_class(capabilities: &BTreeSet<config::Capability>) -> Class {
    let lower = |capability: &config::Capability| match capability {
        config::Capability::Roots => vec![Capability::Roots],
        config::Capability::Sampling => vec![Capability::Sampling],
        config::Capability::SamplingTools => vec![Capability::Sampling, Capability::SamplingTools],
        config::Capability::ElicitationForm => vec![Capability::ElicitationForm],
        config::Capability::ElicitationUrl => vec![Capability::ElicitationUrl],
    };
    Class::of(capabilities.iter().flat_map(lower))
}
