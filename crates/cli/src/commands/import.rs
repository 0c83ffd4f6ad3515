//! `mcpool import`: put mcpool before the servers that clients have.

use std::path::PathBuf;

use anyhow::bail;
use config::clients::{ALL, Client};
use serde::Serialize;
use shim::places::Places;

use crate::{
    args::Output,
    exit::Exit,
    moving::{
        apply, diff,
        from::{self, Added},
        journal::Journal,
        machine::Machine,
        plan::{self, Adopted, Callers, FilePlan, Left, Untouched, Wish},
        veil,
        verify::{self, Verdict},
    },
    ui::{Align, Format, Page, Render, Table, Ui},
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
    /// mcpproxy, aitkit, or any file with `mcpServers`
    #[arg(long, value_name = "SYSTEM|FILE", conflicts_with = "clients")]
    from: Option<String>,
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

/// What would change, or has.
#[derive(Debug, Serialize)]
struct Imported {
    schema: u32,
    is_applied: bool,
    files: Vec<File>,
    untouched: Vec<UntouchedFile>,
}

#[derive(Debug, Serialize)]
struct File {
    client: &'static str,
    path: PathBuf,
    #[serde(skip)]
    shown: String,
    changed: Vec<Changed>,
    left_alone: Vec<LeftAlone>,
    /// Without values of variables.
    diff: String,
    /// What the client's own list says of the servers that have been changed.
    verified: Verdict,
    #[serde(skip)]
    reload: &'static str,
}

#[derive(Debug, Serialize)]
struct Changed {
    server: String,
    project: Option<String>,
    /// The command lines, without what may be a secret.
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LeftAlone {
    server: String,
    project: Option<String>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct UntouchedFile {
    client: &'static str,
    path: PathBuf,
    reason: String,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let machine = Machine::this()?;
    if let Some(source) = &args.from {
        return import_from(source, args, &machine, places, ui);
    }
    let clients = clients(&args.clients);
    let wish = Wish {
        clients: &clients,
        servers: &args.servers,
    };
    let callers = Callers::find(places.home.as_deref())?;
    let policy = plan::policy(&machine)?;
    let mut imported = Imported {
        schema: 1,
        is_applied: args.apply,
        files: Vec::new(),
        untouched: Vec::new(),
    };
    let mut journal = None;
    let mut unknown = args.servers.clone();
    for found in machine.files(wish.clients) {
        let planned = plan::of_file(&found, &wish, &callers, &policy);
        if let Ok(Some(plan)) = &planned {
            unknown.retain(|server| !plan.names.contains(server));
        }
        let planned = match planned {
            Ok(Some(plan)) if args.apply && plan.is_change() => {
                let journal = match &mut journal {
                    Some(journal) => journal,
                    None => journal.insert(Journal::open(&places.state)?),
                };
                apply::apply(&found, &wish, &callers, &policy, journal)?
            }
            planned => planned,
        };
        match planned {
            Ok(Some(plan)) => {
                let is_changed = args.apply && plan.is_change();
                let mut file = File::new(plan, &machine);
                if is_changed {
                    file.verify(found.client);
                }
                imported.files.push(file);
            }
            Ok(None) => {}
            Err(untouched) => imported.untouched.push(untouched.into()),
        }
    }
    let format = args.output.format();
    ui.show(&imported, format)?;
    if !unknown.is_empty() {
        bail!("no client has a server named {}", unknown.join(", "));
    }
    if !args.apply && imported.would_change() && format == Format::Plain {
        ui.remark(NOT_YET);
    }
    Ok(imported.exit())
}

fn import_from(
    source: &str,
    args: &Args,
    machine: &Machine,
    places: &Places,
    ui: &mut Ui,
) -> anyhow::Result<Exit> {
    let planned = from::plan(&source.to_owned().into(), &args.servers, machine, places)?;
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

/// What would be added to the configuration, or has been.
#[derive(Debug, Serialize)]
struct ImportedFrom {
    schema: u32,
    is_applied: bool,
    #[serde(flatten)]
    added: Added,
}

impl Render for ImportedFrom {
    fn render(&self, page: &mut Page) {
        let added = &self.added;
        if added.servers.is_empty() {
            page.line("There is nothing to import.");
        } else if self.is_applied {
            page.line(format_args!(
                "Added to {}: {}.",
                added.config.display(),
                added.servers.join(", ")
            ));
            page.line("A client's entry for one of them is `mcpool connect NAME`.");
        } else {
            page.line(added.diff.trim_end_matches('\n'));
        }
        if added.becomes_private {
            if !self.is_applied {
                page.blank();
            }
            page.line(format_args!(
                "What may be a secret comes into {}, which others may read: it is made yours alone \
                 (mode 0600).",
                added.config.display()
            ));
        }
        let mut table = Table::new(&[("SERVER", Align::Left), ("LEFT OUT, BECAUSE", Align::Left)]);
        for left in &added.left {
            table.row([left.name.clone(), left.reason.clone()]);
        }
        if !added.left.is_empty() {
            page.blank();
            page.table(&table);
        }
    }
}

impl Imported {
    fn would_change(&self) -> bool {
        self.files.iter().any(|file| !file.changed.is_empty())
    }

    fn exit(&self) -> Exit {
        if !self.untouched.is_empty() {
            Exit::Failed
        } else if !self.is_applied && self.would_change() {
            Exit::WouldChange
        } else {
            Exit::Done
        }
    }
}

impl File {
    fn new(plan: FilePlan, machine: &Machine) -> Self {
        let shown = machine.shown(&plan.original.path);
        let diff = if plan.is_change() {
            diff::unified(&shown, &plan.before, &plan.after, plan.client.grammar)
        } else {
            String::new()
        };
        File {
            client: plan.client.id,
            path: plan.original.path,
            shown,
            changed: plan.adopted.into_iter().map(Into::into).collect(),
            left_alone: plan.left.into_iter().map(Into::into).collect(),
            diff,
            verified: Verdict::NotAsked,
            reload: plan.client.reload,
        }
    }

    /// Has the client say whether it knows what was changed. Servers of other projects it does not list.
    fn verify(&mut self, client: &Client) {
        let everywhere = self
            .changed
            .iter()
            .filter(|changed| changed.project.is_none());
        let servers: Vec<&str> = everywhere.map(|changed| changed.server.as_str()).collect();
        self.verified = verify::verify(client, &servers);
    }

    fn render_verdict(&self, page: &mut Page) {
        match &self.verified {
            Verdict::NotAsked => {}
            Verdict::AllThere => page.line(format_args!("  {} lists all of them.", self.client)),
            Verdict::Missing(servers) => page.line(format_args!(
                "  {} does not list {} here; if a session has it not either, \
                 `mcpool undo --client {}` takes it back.",
                self.client,
                servers.join(", "),
                self.client
            )),
            Verdict::Failing(servers) => page.line(format_args!(
                "  {} lists {}, and says that it does not work; if it did before, \
                 `mcpool undo --client {}` takes it back.",
                self.client,
                servers.join(", "),
                self.client
            )),
            Verdict::NoAnswer => page.line(format_args!(
                "  {} did not say which servers it has.",
                self.client
            )),
        }
    }
}

impl From<Adopted> for Changed {
    fn from(adopted: Adopted) -> Self {
        Changed {
            server: adopted.name,
            project: adopted.project,
            before: veil::words(&adopted.was),
            after: veil::words(&adopted.becomes),
        }
    }
}

impl From<Left> for LeftAlone {
    fn from(left: Left) -> Self {
        LeftAlone {
            server: left.name,
            project: left.project,
            reason: left.reason,
        }
    }
}

impl From<Untouched> for UntouchedFile {
    fn from(untouched: Untouched) -> Self {
        UntouchedFile {
            client: untouched.client.id,
            path: untouched.path,
            reason: untouched.reason,
        }
    }
}

impl Render for Imported {
    fn render(&self, page: &mut Page) {
        let changed: Vec<&File> = self
            .files
            .iter()
            .filter(|file| !file.changed.is_empty())
            .collect();
        for file in &changed {
            if self.is_applied {
                let names: Vec<&str> = file
                    .changed
                    .iter()
                    .map(|changed| changed.server.as_str())
                    .collect();
                page.line(format_args!(
                    "Changed {}: {}.",
                    file.shown,
                    names.join(", ")
                ));
                page.line(format_args!("  {} reads it {}.", file.client, file.reload));
                file.render_verdict(page);
            } else {
                page.line(file.diff.trim_end_matches('\n'));
            }
        }
        if changed.is_empty() {
            page.line("There is nothing to import.");
        }
        self.render_left(page);
        for file in &self.untouched {
            page.blank();
            page.line(format_args!(
                "{} is not touched: {}",
                file.path.display(),
                file.reason
            ));
        }
    }
}

impl Imported {
    fn render_left(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("CLIENT", Align::Left),
            ("SERVER", Align::Left),
            ("LEFT ALONE, BECAUSE", Align::Left),
        ]);
        let mut is_empty = true;
        for file in &self.files {
            for left in &file.left_alone {
                let server = match &left.project {
                    Some(project) => format!("{} ({project})", left.server),
                    None => left.server.clone(),
                };
                table.row([file.client.to_owned(), server, left.reason.clone()]);
                is_empty = false;
            }
        }
        if !is_empty {
            page.blank();
            page.table(&table);
        }
    }
}
