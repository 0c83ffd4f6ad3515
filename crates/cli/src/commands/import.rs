//! `mcpool import`: put mcpool before the servers that clients have.

mod report;

use std::{collections::BTreeMap, path::Path};

use anyhow::bail;
use config::clients::{ALL, Client};
use shim::{places::Places, told_once};

use self::report::{Imported, ImportedFrom};
use crate::{
    args::Output,
    exit::Exit,
    moving::{
        apply,
        from::{self, Source},
        http::{Addresses, Http},
        journal::Journal,
        machine::{Found, Machine},
        plan::{self, Callers, FilePlan, Means, Untouched, Wish},
        policies::Policies,
        shadow::{self, Shadows},
        stale, trust,
        verify::{self, Said},
    },
    ui::{Format, Ui},
};

/// Have the servers of your clients run through mcpool
///
/// Shows what would change, as a diff, and changes nothing unless --apply is given.
/// `mcpool undo` takes it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this client; may be repeated
    #[arg(long = "client", value_name = "CLIENT", value_parser = client_ids())]
    clients: Vec<String>,
    /// Only the servers of this name; may be repeated
    #[arg(long = "server", value_name = "SERVER")]
    servers: Vec<String>,
    /// Servers of another system, into the configuration of mcpool: mcp-proxy, smart-mcp-proxy,
    /// mcpproxy, aitkit, code-intelligence, or any file with `mcpServers`
    #[arg(long, value_name = "SYSTEM|FILE", conflicts_with = "clients")]
    from: Option<String>,
    /// Have clients find mcpool over HTTP where they can, and put the servers into its configuration
    #[arg(long, conflicts_with = "from")]
    http: bool,
    /// Write the files; a copy of each is kept
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn client_ids() -> clap::builder::PossibleValuesParser {
    ALL.iter().map(|client| client.id).into()
}

/// The clients of these words; of none, all.
pub(super) fn clients(ids: &[String]) -> Vec<&'static Client> {
    let all = ALL.iter().copied();
    all.filter(|client| ids.is_empty() || ids.iter().any(|id| id == client.id))
        .collect()
}

const NOT_YET: &str = "Nothing has been changed yet. To do it: the same with --apply";

/// What an import has come to so far.
struct Work<'a> {
    machine: &'a Machine,
    wish: Wish<'a>,
    means: Means,
    report: Imported,
}

/// A file that was found, and what becomes of it.
type Planned = (Found, Result<Option<FilePlan>, Untouched>);

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let machine = Machine::this()?;
    if let Some(source) = &args.from {
        return import_from(source, args, &machine, places, ui);
    }
    let clients = clients(&args.clients);
    let has_local_scope = clients.iter().any(|client| client.id == shadow::CLIENT);
    let mut work = Work {
        machine: &machine,
        means: Means {
            callers: Callers::find(places.home.as_deref())?,
            policies: Policies::read(&machine, &clients),
            http: args.http.then(|| Http::open(places)).transpose()?,
            addresses: Addresses::of(places),
            shadows: has_local_scope.then(|| Shadows::read(&machine)).flatten(),
            state: places.state.clone(),
        },
        wish: Wish {
            clients: &clients,
            servers: &args.servers,
        },
        report: Imported::new(args.apply),
    };
    let planned = work.plan();
    let known: Vec<String> = planned
        .iter()
        .filter_map(|(_, plan)| plan.as_ref().ok()?.as_ref())
        .flat_map(|plan| plan.names.clone())
        .collect();
    let configured = work.configured(&planned)?;
    if args.apply {
        work.apply(planned, configured.as_ref(), places)?;
    } else {
        for (_, plan) in planned {
            work.report.add(plan, &machine);
        }
    }
    let format = args.output.format();
    let mut report = work.report;
    report.configured = configured.map(|configured| configured.added);
    if has_local_scope {
        report.stale = stale::all_stale(&machine, &places.state);
    }
    ui.show(&report, format)?;
    let mut unknown = args.servers.iter().filter(|name| !known.contains(name));
    if let Some(first) = unknown.next() {
        let unknown: Vec<&str> = std::iter::once(first)
            .chain(unknown)
            .map(String::as_str)
            .collect();
        bail!("no client has a server named {}", unknown.join(", "));
    }
    if !args.apply && report.would_change() && format == Format::Plain {
        ui.remark(NOT_YET);
    }
    Ok(report.exit())
}

impl Work<'_> {
    fn plan(&self) -> Vec<Planned> {
        let files = self.machine.files(self.wish.clients).into_iter();
        files
            .map(|found| {
                let plan = plan::of_file(&found, &self.wish, &self.means);
                (found, plan)
            })
            .collect()
    }

    /// What has to come into the configuration of mcpool for these plans.
    fn configured(&self, planned: &[Planned]) -> anyhow::Result<Option<from::Planned>> {
        let Some(http) = &self.means.http else {
            return Ok(None);
        };
        let plans = planned
            .iter()
            .filter_map(|(_, plan)| plan.as_ref().ok()?.as_ref());
        http.additions(plans, self.machine)
    }

    /// Writes the configuration first: an address that is written names what is there.
    fn apply(
        &mut self,
        planned: Vec<Planned>,
        configured: Option<&from::Planned>,
        places: &Places,
    ) -> anyhow::Result<()> {
        let mut plans = planned
            .iter()
            .filter_map(|(_, plan)| plan.as_ref().ok()?.as_ref());
        let is_change = configured.is_some() || plans.any(FilePlan::is_change);
        let trusted = trust::trusted_project(self.machine);
        let before = lists_before(&planned, trusted.as_deref());
        // One for all: nobody takes the servers back before the addresses of them are written.
        let mut journal = is_change
            .then(|| Journal::open(&places.state))
            .transpose()?;
        if let (Some(configured), Some(journal)) = (configured, &mut journal) {
            from::apply(configured, places, journal)?;
        }
        if let Some(http) = &mut self.means.http {
            http.settle()?;
        }
        let mut changed = ChangedClients::new();
        for (found, plan) in planned {
            let plan = match (plan, &mut journal) {
                (Ok(Some(plan)), Some(journal)) if plan.is_change() => {
                    apply::apply(&found, &self.wish, &self.means, journal)?
                }
                (plan, _) => plan,
            };
            if let Ok(Some(plan)) = &plan
                && plan.is_change()
            {
                note_changed(&mut changed, found.client, plan, trusted.as_deref());
            }
            self.report.add(plan, self.machine);
        }
        // Others may import or undo while clients are asked, which takes some of them long.
        drop(journal);
        for (client, project) in changed.into_values() {
            let said = verify::ask(client, folder_of(project), verify::PATIENCE);
            self.report.verify(client, &said, project);
            if let Some((of, before)) = before.get(client.id)
                && *of == project
            {
                self.report.compare(client, &said.appeared_since(before));
            }
        }
        Ok(())
    }
}

/// By the client's word: the client, and the project to ask it in, if something of that changes.
type ChangedClients<'p> = BTreeMap<&'static str, (&'static Client, Option<&'p Path>)>;

fn note_changed<'p>(
    changed: &mut ChangedClients<'p>,
    client: &'static Client,
    plan: &FilePlan,
    trusted: Option<&'p Path>,
) {
    let (_, project) = changed.entry(client.id).or_insert((client, None));
    *project = project.or(trusted.filter(|trusted| plan.is_of(trusted)));
}

/// Where a client is asked. What a folder of no project has of servers, nobody but the
/// administrator has put there.
fn folder_of(project: Option<&Path>) -> &Path {
    project.unwrap_or(Path::new("/"))
}

/// What the clients that are to be changed list before that, and in which project they were asked.
fn lists_before<'p>(
    planned: &[Planned],
    trusted: Option<&'p Path>,
) -> BTreeMap<&'static str, (Option<&'p Path>, Said)> {
    let mut changed = ChangedClients::new();
    for (found, plan) in planned {
        if let Ok(Some(plan)) = plan
            && plan.is_change()
        {
            note_changed(&mut changed, found.client, plan, trusted);
        }
    }
    let ask = |(client, project): (&'static Client, Option<&'p Path>)| {
        let said = verify::ask(client, folder_of(project), verify::PATIENCE_BEFORE);
        (client.id, (project, said))
    };
    changed.into_values().map(ask).collect()
}

fn import_from(
    source: &str,
    args: &Args,
    machine: &Machine,
    places: &Places,
    ui: &mut Ui,
) -> anyhow::Result<Exit> {
    let source = Source::from(source.to_owned());
    for variable in from::meaningless(&source) {
        let what = format_args!(
            "{variable} means nothing to mcpool: clients come in where `listen` in [http] says, and \
             each has all tools of its server"
        );
        told_once::tell(places, &variable, &what);
    }
    let planned = from::plan(&source, &args.servers, machine, places)?;
    let would_change = !planned.added.servers.is_empty();
    if args.apply && would_change {
        from::apply(&planned, places, &mut Journal::open(&places.state)?)?;
    }
    let format = args.output.format();
    let shown = ImportedFrom {
        schema: 1,
        is_applied: args.apply,
        added: planned.added,
    };
    ui.show(&shown, format)?;
    if would_change && !args.apply {
        if format == Format::Plain {
            ui.remark(NOT_YET);
        }
        return Ok(Exit::WouldChange);
    }
    Ok(Exit::Done)
}
