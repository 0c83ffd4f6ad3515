//! What a session gets whose server runs already: where that is, and what it is told beside the protocol.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use config::{Builtins, Remote, Server, Template};
use hyper::header::HeaderValue;
use mux::{Refusal, Scope, SessionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shim::{preface::Address, query};

use super::{
    Asker, LaunchSpec, Planner,
    holes::Holes,
    plan::{Plan, Sharing, names_a_session, names_the_session, opening, scope, wanted_scope},
    route::RemoteKey,
};
use crate::{kept_words::hex, upstream::Target};

/// Of a session's word.
const KEY_BYTES: usize = 16;

/// How a server comes to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Means {
    /// As a process that is started.
    Process(Arc<LaunchSpec>),
    /// It is there, and is reached.
    Remote(Arc<RemoteSpec>),
}

/// All that a server is reached with which runs already.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteSpec {
    pub(crate) url: String,
    /// Their values are secrets.
    pub(crate) headers: Vec<(String, String)>,
    /// Absolute.
    pub(crate) ca_cert: Option<PathBuf>,
    /// Whether it came along, so that nobody has said that it is there already: then it is waited for.
    #[serde(default)]
    pub(crate) may_come_later: bool,
    /// What the server is told that its session is called, if it has only one.
    pub(crate) session_key: Option<SessionKey>,
    /// Whether the address itself says so.
    #[serde(default)]
    pub(crate) is_of_a_session: bool,
}

/// What a session is called, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionKey {
    /// In the address of a WebSocket.
    pub(crate) param: String,
    /// Over HTTP.
    pub(crate) header: String,
    /// Whether it is not the only one where the server is spoken to as in the modern era.
    #[serde(default)]
    pub(crate) in_legacy_alone: bool,
    pub(crate) key: String,
}

impl RemoteSpec {
    /// The address, if others come to it as well: what was found there is of use to them.
    pub(crate) fn common_url(&self) -> Option<&str> {
        (!self.is_of_a_session).then_some(&*self.url)
    }

    /// The address, without what may be a secret.
    pub(crate) fn shown(&self) -> String {
        Target::parse(&self.url).map_or_else(|_| "?".to_owned(), |target| target.to_string())
    }
}

impl fmt::Debug for RemoteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSpec({})", self.shown())
    }
}

/// The server at an address that came along, whose words are taken as they are.
pub(super) fn at(address: &Address) -> Server {
    let literal = |text: &str| Template::literal(text.into());
    let headers = address.headers.iter();
    let mut remote = Remote::at(literal(&address.url));
    remote.headers = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), literal(value)))
        .collect();
    remote.ca_cert = address
        .ca_cert
        .as_ref()
        .map(|file| Template::literal(file.clone().into_os_string()));
    Server::elsewhere(remote)
}

impl Planner {
    /// The plan for a session whose server runs already.
    pub(super) fn plan_remote(
        &self,
        asker: &Asker<'_>,
        server: &Server,
        remote: &Remote,
        workspace: Option<&Path>,
    ) -> Result<Plan, Refusal> {
        let (scope, scope_reason) = scope(asker, server, &[], workspace)?;
        let word = format!("{}-{}", std::process::id(), asker.session);
        let builtins = Builtins {
            workspace,
            session: &word,
            server: &asker.ask.server,
        };
        let holes = Holes::of(asker.ask, server, &self.ground.home)?;
        let fill = |template: &Template| fill(&holes, template, &builtins);
        let url = fill(&remote.url)?;
        let target = Target::parse(&url).map_err(|what| bad(&remote.url, &what))?;
        let mut headers = Vec::new();
        for (name, template) in &remote.headers {
            // The configuration has none such; what came along may.
            if let Some(why) = config::unfit_header(name) {
                return Err(bad(template, &format!("{name:?} {why}")));
            }
            let value = fill(template)?;
            if HeaderValue::from_str(&value).is_err() {
                return Err(bad(template, "its value cannot be sent as a header"));
            }
            headers.push((name.clone(), value));
        }
        let ca_cert = remote.ca_cert.as_ref().map(&fill).transpose()?;
        let ca_cert = ca_cert.map(|file| self.ground.home.join(file));
        let key = RemoteKey {
            url: &url,
            headers: &headers,
            ca_cert: ca_cert.as_deref(),
            configured_name: &asker.ask.server,
            workspace: match scope {
                Scope::Workspace => workspace,
                Scope::Global | Scope::Session => None,
            },
        };
        // Over HTTP nothing is of a session in an era that has none; a WebSocket is itself one of a kind.
        let is_ours_to_choose = wanted_scope(asker, server) == config::Scope::Auto;
        let is_of_none = is_ours_to_choose && target.is_http() && !names_the_session(server);
        let modern_scope = is_of_none.then_some(Scope::Global);
        let sharing = Sharing {
            route: key.encode(),
            scope,
            scope_reason,
            modern_scope,
            workspace,
        };
        let opening = opening(asker, server, sharing, None, Vec::new());
        // A server for several knows none of them by name.
        let session_key = (scope == Scope::Session).then(|| SessionKey {
            param: remote.session_key_param.clone(),
            header: remote.session_key_header.clone(),
            in_legacy_alone: modern_scope.is_some(),
            key: match asker.session_key {
                Some(key) => key.to_owned(),
                None => self.key_of(asker.session),
            },
        });
        Ok(Plan {
            opening,
            means: Means::Remote(Arc::new(RemoteSpec {
                is_of_a_session: is_of_a_session(remote, &url),
                url,
                headers,
                ca_cert,
                may_come_later: asker.ask.address.is_some(),
                session_key,
            })),
            life: None,
            lock: None,
            is_for_one: scope == Scope::Session && modern_scope.is_none()
                || names_the_session(server),
            poll_after: server.sse_poll_after,
        })
    }
}

impl Planner {
    /// A word that no other session has, of whatever installation, and that this one keeps from one daemon to
    /// the next.
    fn key_of(&self, session: SessionId) -> String {
        let system = rustix::system::uname();
        let path = self.config_path.as_os_str().as_bytes();
        let parts = [system.nodename().to_bytes(), path, &session.0.to_le_bytes()];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize()[..KEY_BYTES])
    }
}

fn fill(
    holes: &Holes<'_>,
    template: &Template,
    builtins: &Builtins<'_>,
) -> Result<String, Refusal> {
    let filled = holes.resolve(template, builtins);
    let filled = filled.map_err(|error| Refusal::BadConfiguration {
        what: error.to_string().into(),
    })?;
    OsString::into_string(filled).map_err(|_| bad(template, "what it is filled with is no text"))
}

/// Whether an address says of itself which session it is for.
fn is_of_a_session(remote: &Remote, url: &str) -> bool {
    names_a_session(&remote.url) || query::has(url, &remote.session_key_param)
}

/// What is wrong with a value, and where it stands.
fn bad(template: &Template, what: &str) -> Refusal {
    let place = template
        .origin()
        .map_or_else(String::new, |origin| format!("{origin}: "));
    Refusal::BadConfiguration {
        what: format!("{place}{what}").into(),
    }
}
