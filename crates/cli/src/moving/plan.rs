//! What an import would change, and what it leaves alone, and why.

mod local_scope;

use std::path::{Path, PathBuf};

use anyhow::Context;
use config::{
    ServerEntry, ServerName,
    clients::{
        self, Caller, Change, Client, Entry, Kind, Local, Node, Policy, Reach, Reason, Step, Way,
    },
};

use super::{
    http::{Addresses, Http},
    machine::{self, Found},
    policies::Policies,
    safe_file::Original,
    shadow::{self, Shadows, Standing},
    stale,
};

/// What a user wants imported.
pub(crate) struct Wish<'a> {
    pub(crate) clients: &'a [&'static Client],
    /// Servers by name; empty for all.
    pub(crate) servers: &'a [String],
}

impl Wish<'_> {
    fn wants(&self, server: &str) -> bool {
        self.servers.is_empty() || self.names(server)
    }

    /// Whether it is wanted by its name.
    fn names(&self, server: &str) -> bool {
        self.servers.iter().any(|name| name == server)
    }
}

/// What an import goes by.
pub(crate) struct Means {
    pub(crate) callers: Callers,
    pub(crate) policies: Policies,
    /// Where clients find us over HTTP, if they are to.
    pub(crate) http: Option<Http>,
    /// Where they may find us already.
    pub(crate) addresses: Addresses,
    /// What there is to know of the project's file for what is put before it.
    pub(crate) shadows: Option<Shadows>,
    /// The folder of the state, which says what imports have put before projects' files.
    pub(crate) state: PathBuf,
}

/// How clients are told to start us.
pub(crate) struct Callers {
    /// From files of this user.
    of_user: Caller,
    /// From files of a project, which other people have, too; `None` where they would not find us.
    of_project: Option<Caller>,
}

/// What becomes of one file.
pub(crate) struct FilePlan {
    pub(crate) client: &'static Client,
    pub(crate) reach: Reach,
    pub(crate) original: Original,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) adopted: Vec<Adopted>,
    /// What is taken away that import has put before a project's file, and why.
    pub(crate) withdrawn: Vec<Left>,
    pub(crate) left: Vec<Left>,
    /// The names of all servers that the file has.
    pub(crate) names: Vec<String>,
}

/// A server that goes through mcpool then.
#[derive(Clone)]
pub(crate) struct Adopted {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    /// Where it stands in its file.
    pub(crate) at: Vec<Step>,
    pub(crate) was: Vec<String>,
    pub(crate) becomes: Vec<String>,
    pub(crate) how: How,
    /// Why it is no address, though it was to be one.
    pub(crate) why_no_address: Option<String>,
}

/// In what way a server goes through mcpool then.
#[derive(Clone)]
pub(crate) enum How {
    /// The client starts us.
    Started,
    /// It stands before itself: here it was not before, nor was what holds it from here on.
    Shadow { made: Option<Vec<Step>> },
    /// The client finds us at this address, where this server has to be configured.
    Http {
        url: String,
        server: Box<(ServerName, ServerEntry)>,
    },
}

/// A server that stays as it is.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Left {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    pub(crate) reason: String,
}

/// A file that cannot be changed.
pub(crate) struct Untouched {
    pub(crate) client: &'static Client,
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

impl Callers {
    pub(crate) fn find(home: Option<&Path>) -> anyhow::Result<Self> {
        let program = machine::small_program()?
            .into_os_string()
            .into_string()
            .ok()
            .context("the path of mcpool is no text, and clients' files are")?;
        let home = home
            .map(|home| home.to_str().map(str::to_owned))
            .map(|home| home.context("the path of MCPOOL_HOME is no text"))
            .transpose()?;
        Ok(Callers {
            of_user: Caller { program, home },
            of_project: machine::on_path().map(|_| Caller {
                program: "mcpool".to_owned(),
                home: None,
            }),
        })
    }
}

/// Reads one file and decides; `None` if it is gone.
pub(crate) fn of_file(
    found: &Found,
    wish: &Wish<'_>,
    means: &Means,
) -> Result<Option<FilePlan>, Untouched> {
    let untouched = |reason: String| Untouched {
        client: found.client,
        path: found.path.clone(),
        reason,
    };
    let original = match Original::read(&found.path) {
        Ok(Some(original)) => original,
        Ok(None) => return Ok(None),
        Err(refused) => return Err(untouched(refused.to_string())),
    };
    let before = String::from_utf8(original.bytes.clone())
        .map_err(|_| untouched("it is not text in UTF-8".to_owned()))?;
    let unparsed = |error| untouched(format!("it cannot be parsed: {error}"));
    let entries: Vec<Entry> = clients::survey(&before, found.client)
        .map_err(unparsed)?
        .into_iter()
        .map(|entry| entry.in_file(&found.path))
        .collect();
    let tree = found.client.grammar.read(&before).map_err(unparsed)?;
    let policy = means.policies.of(found.client).map_err(untouched)?;

    let mut plan = FilePlan {
        client: found.client,
        reach: found.place.reach,
        original,
        after: before.clone(),
        before,
        adopted: Vec::new(),
        withdrawn: Vec::new(),
        left: Vec::new(),
        names: entries.iter().map(|entry| entry.name.clone()).collect(),
    };
    let file = File {
        found,
        wish,
        means,
        policy,
        before: plan.before.clone(),
        tree,
    };
    let mut changes = Vec::new();
    for entry in &entries {
        match file.decide(entry) {
            Decision::Adopt(adopted, change) => changes.push((Made::Adopted(adopted), change)),
            Decision::Leave(reason) => plan.left.push(Left {
                name: entry.name.clone(),
                project: entry.project.clone(),
                reason,
            }),
            Decision::Nothing => {}
        }
    }
    if let Some(shadows) = &means.shadows
        && found.client.id == shadow::CLIENT
        && found.place.reach == Reach::User
    {
        let put = stale::all_put(&means.state).map_err(|error| untouched(format!("{error:#}")))?;
        let put = put.iter().filter(|put| put.file == plan.original.path);
        file.follow(shadows, put, &entries, &mut plan.left, &mut changes);
        if shadows.standing == Standing::Shared {
            file.put_before(shadows, &entries, &mut plan.left, &mut changes);
        }
    }
    plan.make(changes);
    Ok(Some(plan))
}

/// What comes of changes.
enum Made {
    Adopted(Adopted),
    Withdrawn(Left),
}

enum Decision {
    Adopt(Adopted, Vec<Change>),
    Leave(String),
    /// It goes through mcpool already, or nobody has asked for it.
    Nothing,
}

/// A file, and what is decided by.
struct File<'a> {
    found: &'a Found,
    wish: &'a Wish<'a>,
    means: &'a Means,
    policy: &'a Policy,
    before: String,
    tree: Node,
}

impl File<'_> {
    fn decide(&self, entry: &Entry) -> Decision {
        if !self.wish.wants(&entry.name) {
            return Decision::Nothing;
        }
        let local = match &entry.kind {
            Kind::Local(local) => local,
            Kind::Ours(_) => return self.denied_by_now(entry),
            Kind::LeftAlone(Reason::Remote) if self.is_at_our_address(entry) => {
                return Decision::Nothing;
            }
            Kind::LeftAlone(reason) => return Decision::Leave(reason.to_string()),
        };
        let caller = match self.caller() {
            Ok(caller) => caller,
            Err(Some(reason)) => return Decision::Leave(reason),
            Err(None) => return Decision::Nothing,
        };
        if self.is_refused(&entry.name) {
            return Decision::Leave(local_scope::SWITCHED_OFF.to_owned());
        }
        let client = self.found.client;
        let policies = &self.means.policies;
        let policy = match policies.of_project(client, entry.project.as_deref()) {
            Ok(policy) => policy,
            Err(reason) => return Decision::Leave(reason),
        };
        let becomes = caller.command_line(&entry.name, local);
        if let Some(reason) = self.kept_reason(&policy, entry, local, Way::Command(&becomes)) {
            // An address may be allowed where a command line is not.
            let over_http = self.over_http(&policy, entry, local).ok();
            return over_http.map_or(Decision::Leave(reason), |(adopted, change)| {
                Decision::Adopt(adopted, change)
            });
        }
        let why_no_address = match self.over_http(&policy, entry, local) {
            Ok((adopted, change)) => return Decision::Adopt(adopted, change),
            Err(why) => why,
        };
        let (mut adopted, change) = started(entry, local, caller);
        adopted.why_no_address = why_no_address;
        Decision::Adopt(adopted, change)
    }

    /// Of one that goes through mcpool already: whether a rule has come since that denies what it starts.
    fn denied_by_now(&self, entry: &Entry) -> Decision {
        let denied = self.means.policies.deny(self.found.client, entry);
        if !denied.is_ok_and(|is_denied| is_denied) {
            return Decision::Nothing;
        }
        Decision::Leave(format!(
            "it goes through mcpool, and managed policy, or settings of yours that say the same, deny it \
             by now; remove it, or run: mcpool undo --client {}",
            self.found.client.id
        ))
    }

    /// How this file's client is told to start us; else why this file is left, if that is to be said.
    fn caller(&self) -> Result<&Caller, Option<String>> {
        let callers = &self.means.callers;
        match (self.found.place.reach, &callers.of_project) {
            (Reach::User, _) => Ok(&callers.of_user),
            (Reach::Project, _) if self.is_shadowed() => Err(self.why_no_shadow()),
            (Reach::Project, Some(caller)) => Ok(caller),
            (Reach::Project, None) => Err(Some(
                "the project's file cannot name a folder of yours, and `mcpool` is not on PATH"
                    .to_owned(),
            )),
        }
    }

    /// What there is to know of this file, if another may have what is put before its servers.
    fn shadows(&self) -> Option<&Shadows> {
        let shadows = self.means.shadows.as_ref();
        shadows.filter(|shadows| {
            self.found.client.id == shadow::CLIENT && shadows.file == self.found.path
        })
    }

    /// Whether another file has what is put before the servers of this one.
    fn is_shadowed(&self) -> bool {
        let shadows = self.shadows();
        shadows.is_some_and(|shadows| shadows.standing != Standing::Own)
    }

    /// Whether somebody has switched off this server of a project's file in the client.
    fn is_refused(&self, name: &str) -> bool {
        let shadows = self.shadows();
        shadows.is_some_and(|shadows| shadows.is_refused(name))
    }

    /// Why nothing is put before the servers of this file, if nothing can be.
    fn why_no_shadow(&self) -> Option<String> {
        match &self.shadows()?.standing {
            Standing::Obstacle(why) => Some((*why).to_owned()),
            Standing::Unknown(why) => Some(why.clone()),
            Standing::Shared | Standing::Own => None,
        }
    }

    /// Why a server stays as it is whatever its file, if it must.
    fn kept_reason(
        &self,
        policy: &Policy,
        entry: &Entry,
        local: &Local,
        after: Way<'_>,
    ) -> Option<String> {
        let (name, words) = (&entry.name, &local.command.words);
        if let Some(refusal) = policy.refusal(name, words, after) {
            return Some(refusal.to_string());
        }
        if self.wish.names(name) {
            return None;
        }
        config::session_reason(words).map(|what| {
            format!(
                "one of its kind for each session ({what}): sharing brings nothing; \
                 --server {name} imports it all the same"
            )
        })
    }

    /// With an address in the place of the command line; else why not, if that is to be said.
    fn over_http(
        &self,
        policy: &Policy,
        entry: &Entry,
        local: &Local,
    ) -> Result<(Adopted, Vec<Change>), Option<String>> {
        let Some(http) = &self.means.http else {
            return Err(None);
        };
        let client = self.found.client;
        if self.found.place.reach == Reach::Project {
            let reason = "the project's file is for others too, who have no mcpool at this address";
            return Err(Some(reason.to_owned()));
        }
        if let Some(what) = config::session_reason(&local.command.words) {
            return Err(Some(format!(
                "one of its kind for each session ({what}) needs sessions over stdio"
            )));
        }
        let server = clients::over_http(&self.tree, entry, local, client)
            .map_err(|why| Some(why.to_string()))?;
        let url = http.url(&server.0, entry.project.as_deref());
        if let Some(reason) = self.kept_reason(policy, entry, local, Way::Url(&url)) {
            return Err(Some(reason));
        }
        let changes = clients::adopt_over_http(&self.tree, entry, local, client, &url);
        // What only a person can write is started all the same.
        client
            .grammar
            .edit(&self.before, &changes)
            .map_err(|error| Some(error.to_string()))?;
        http.refusal(&server.0, &server.1).map_err(Some)?;
        let adopted = Adopted {
            becomes: vec![url.clone()],
            how: How::Http {
                url,
                server: Box::new(server),
            },
            ..adopted(entry, local)
        };
        Ok((adopted, changes))
    }

    fn is_at_our_address(&self, entry: &Entry) -> bool {
        let address = clients::address(&self.tree, entry, self.found.client);
        address.is_some_and(|address| self.means.addresses.have(address))
    }
}

/// A server that the client starts through us.
fn started(entry: &Entry, local: &Local, caller: &Caller) -> (Adopted, Vec<Change>) {
    let adopted = Adopted {
        becomes: caller.command_line(&entry.name, local),
        ..adopted(entry, local)
    };
    (adopted, clients::adopt(entry, local, caller))
}

fn adopted(entry: &Entry, local: &Local) -> Adopted {
    Adopted {
        name: entry.name.clone(),
        project: entry.project.clone(),
        at: entry.at.clone(),
        was: local.command.words.clone(),
        becomes: Vec::new(),
        how: How::Started,
        why_no_address: None,
    }
}

impl FilePlan {
    /// Whether something of this project would change.
    pub(crate) fn is_of(&self, project: &Path) -> bool {
        let adopted = self.adopted.iter().map(|adopted| &adopted.project);
        let withdrawn = self.withdrawn.iter().map(|withdrawn| &withdrawn.project);
        let is_of = |of: &Option<String>| of.is_some() && of.as_deref() == project.to_str();
        match self.reach {
            Reach::Project => self.is_change(),
            Reach::User => adopted.chain(withdrawn).any(is_of),
        }
    }

    /// Whether anything would change.
    pub(crate) fn is_change(&self) -> bool {
        !self.adopted.is_empty() || !self.withdrawn.is_empty()
    }

    /// All changes at once; if that is not possible, each that is.
    fn make(&mut self, changes: Vec<(Made, Vec<Change>)>) {
        let all: Vec<Change> = changes
            .iter()
            .flat_map(|(_, change)| change.iter().cloned())
            .collect();
        if let Ok(after) = self.client.grammar.edit(&self.before, &all) {
            self.after = after;
            for (made, _) in changes {
                self.note(made);
            }
            return;
        }
        for (made, change) in changes {
            match self.client.grammar.edit(&self.after, &change) {
                Ok(after) => {
                    self.after = after;
                    self.note(made);
                }
                Err(error) => self.left.push(made.left(error.to_string())),
            }
        }
    }

    fn note(&mut self, made: Made) {
        match made {
            Made::Adopted(adopted) => self.adopted.push(adopted),
            Made::Withdrawn(withdrawn) => self.withdrawn.push(withdrawn),
        }
    }
}

impl Made {
    /// It stays as it is.
    fn left(self, reason: String) -> Left {
        let (name, project) = match self {
            Made::Adopted(adopted) => (adopted.name, adopted.project),
            Made::Withdrawn(withdrawn) => (withdrawn.name, withdrawn.project),
        };
        Left {
            name,
            project,
            reason,
        }
    }
}
