//! What an import says of itself.

use std::path::{Path, PathBuf};

use config::clients::{Client, Reach};
use serde::Serialize;

use crate::{
    exit::Exit,
    moving::{
        diff,
        from::Added,
        machine::Machine,
        plan::{Adopted, FilePlan, Left, Untouched},
        stale::Stale,
        veil,
        verify::{Said, Verdict},
    },
    ui::{Align, Page, Render, Table},
};

/// What would change, or has.
#[derive(Debug, Serialize)]
pub(super) struct Imported {
    schema: u32,
    is_applied: bool,
    files: Vec<File>,
    untouched: Vec<UntouchedFile>,
    /// What clients list that they did not before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    appeared: Vec<Appeared>,
    /// What comes into the configuration of mcpool.
    pub(super) configured: Option<Added>,
    /// What is out of date before projects' files; what would be changed is so still.
    pub(super) stale: Vec<Stale>,
}

/// Servers that a client lists since its files are changed, and that are none of those changed.
#[derive(Debug, Serialize)]
struct Appeared {
    client: &'static str,
    servers: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct File {
    client: &'static str,
    path: PathBuf,
    #[serde(skip)]
    shown: String,
    changed: Vec<Changed>,
    /// What import had put before a project's file, and takes away.
    withdrawn: Vec<LeftAlone>,
    left_alone: Vec<LeftAlone>,
    /// Without values of variables.
    diff: String,
    /// What the client's own list says of the servers that have been changed.
    verified: Verdict,
    #[serde(skip)]
    reload: &'static str,
    #[serde(skip)]
    reach: Reach,
}

#[derive(Debug, Serialize)]
struct Changed {
    server: String,
    project: Option<String>,
    /// The command lines, without what may be a secret.
    before: Vec<String>,
    /// A command line, or an address.
    after: Vec<String>,
    /// Why it is no address, though it was to be one.
    why_no_address: Option<String>,
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

/// What would be added to the configuration, or has been.
#[derive(Debug, Serialize)]
pub(super) struct ImportedFrom {
    pub(super) schema: u32,
    pub(super) is_applied: bool,
    #[serde(flatten)]
    pub(super) added: Added,
}

impl Render for ImportedFrom {
    fn render(&self, page: &mut Page) {
        let added = &self.added;
        if added.servers.is_empty() {
            page.line("There is nothing to import.");
        } else if self.is_applied {
            render_added(added, page);
            page.line("A client's entry for one of them is `mcpool connect NAME`.");
        } else {
            page.line(added.diff.trim_end_matches('\n'));
        }
        if added.becomes_private && !self.is_applied {
            page.blank();
        }
        render_privacy(added, page);
        if !added.same.is_empty() {
            page.line(format_args!(
                "Already in {}, and the same: {}.",
                added.config.display(),
                added.same.join(", ")
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

fn render_added(added: &Added, page: &mut Page) {
    page.line(format_args!(
        "Added to {}: {}.",
        added.config.display(),
        added.servers.join(", ")
    ));
}

fn render_privacy(added: &Added, page: &mut Page) {
    if added.becomes_private {
        page.line(format_args!(
            "What may be a secret comes into {}, which others may read: it is made yours alone \
             (mode 0600).",
            added.config.display()
        ));
    }
}

impl Imported {
    pub(super) fn new(is_applied: bool) -> Self {
        Imported {
            schema: 1,
            is_applied,
            files: Vec::new(),
            untouched: Vec::new(),
            appeared: Vec::new(),
            configured: None,
            stale: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, plan: Result<Option<FilePlan>, Untouched>, machine: &Machine) {
        match plan {
            Ok(Some(plan)) => self.files.push(File::new(plan, machine)),
            Ok(None) => {}
            Err(untouched) => self.untouched.push(untouched.into()),
        }
    }

    /// Compares what a client says of its servers with what was changed in its files. It was
    /// asked in this project, or in none.
    pub(super) fn verify(&mut self, client: &Client, said: &Said, project: Option<&Path>) {
        let files = self.files.iter_mut();
        for file in files.filter(|file| file.client == client.id) {
            file.verify(said, project);
        }
    }

    /// Notes what is new in the list of a client, but for what was changed in its files.
    pub(super) fn compare(&mut self, client: &Client, appeared: &[String]) {
        let files = self.files.iter().filter(|file| file.client == client.id);
        let changed: Vec<&String> = files
            .flat_map(|file| &file.changed)
            .map(|changed| &changed.server)
            .collect();
        let appeared = appeared.iter().filter(|name| !changed.contains(name));
        let servers: Vec<String> = appeared.cloned().collect();
        if !servers.is_empty() {
            self.appeared.push(Appeared {
                client: client.id,
                servers,
            });
        }
    }

    pub(super) fn would_change(&self) -> bool {
        self.files.iter().any(File::is_change)
    }

    pub(super) fn exit(&self) -> Exit {
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
            withdrawn: plan.withdrawn.into_iter().map(Into::into).collect(),
            left_alone: plan.left.into_iter().map(Into::into).collect(),
            diff,
            verified: Verdict::NotAsked,
            reload: plan.client.reload,
            reach: plan.reach,
        }
    }

    fn is_change(&self) -> bool {
        !self.changed.is_empty() || !self.withdrawn.is_empty()
    }

    /// Servers of other projects than this a client does not list.
    fn verify(&mut self, said: &Said, project: Option<&Path>) {
        let is_listed = |changed: &&Changed| match (self.reach, &changed.project) {
            (Reach::Project, _) => project.is_some(),
            (Reach::User, None) => true,
            (Reach::User, Some(of)) => project.is_some_and(|project| project == Path::new(of)),
        };
        let listed = self.changed.iter().filter(is_listed);
        let servers: Vec<&str> = listed.map(|changed| changed.server.as_str()).collect();
        self.verified = said.verdict(&servers);
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
            why_no_address: adopted.why_no_address,
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

/// A server, and the project whose it is.
fn named(server: &str, project: Option<&str>) -> String {
    match project {
        Some(project) => format!("{server} ({project})"),
        None => server.to_owned(),
    }
}

impl Render for Imported {
    fn render(&self, page: &mut Page) {
        let changed: Vec<&File> = self.files.iter().filter(|file| file.is_change()).collect();
        if let Some(added) = &self.configured {
            if self.is_applied {
                render_added(added, page);
            } else {
                page.line(added.diff.trim_end_matches('\n'));
            }
        }
        for file in &changed {
            if self.is_applied {
                let changed = file.changed.iter();
                let changed =
                    changed.map(|changed| named(&changed.server, changed.project.as_deref()));
                let withdrawn = file.withdrawn.iter();
                let withdrawn = withdrawn.map(|gone| named(&gone.server, gone.project.as_deref()));
                let names: Vec<String> = changed.chain(withdrawn).collect();
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
        self.render_appeared(page);
        self.render_left(page);
        self.render_local_scope(page);
        self.render_addresses(page);
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
    fn render_appeared(&self, page: &mut Page) {
        for Appeared { client, servers } in &self.appeared {
            page.blank();
            page.line(format_args!(
                "{client} lists since then, and did not before: {}. It may be what a plugin brings along, and was \
                 hidden while another started the same: switch it off in {client}, or `mcpool undo --client \
                 {client}` takes the import back.",
                servers.join(", ")
            ));
        }
    }

    fn render_left(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("CLIENT", Align::Left),
            ("SERVER", Align::Left),
            ("LEFT ALONE, BECAUSE", Align::Left),
        ]);
        let mut is_empty = true;
        for file in &self.files {
            for left in &file.left_alone {
                let server = named(&left.server, left.project.as_deref());
                table.row([file.client.to_owned(), server, left.reason.clone()]);
                is_empty = false;
            }
        }
        if !is_empty {
            page.blank();
            page.table(&table);
        }
    }

    /// What is to be known of what stands before projects' files.
    fn render_local_scope(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("SERVER", Align::Left),
            ("NOT BEFORE ITS FILE ANY MORE, BECAUSE", Align::Left),
        ]);
        let withdrawn = self.files.iter().flat_map(|file| &file.withdrawn);
        for gone in withdrawn.clone() {
            table.row([gone.server.clone(), gone.reason.clone()]);
        }
        if withdrawn.count() > 0 {
            page.blank();
            page.table(&table);
        }
        for stale in &self.stale {
            page.blank();
            page.line(format_args!("{}.", stale.what()));
            page.line(format_args!("  To have it follow: {}", stale.mend()));
        }
    }

    /// What is to be known of addresses.
    fn render_addresses(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("CLIENT", Align::Left),
            ("SERVER", Align::Left),
            ("NO ADDRESS, BECAUSE", Align::Left),
        ]);
        let mut is_empty = true;
        for file in &self.files {
            for changed in &file.changed {
                if let Some(why) = &changed.why_no_address {
                    let server = named(&changed.server, changed.project.as_deref());
                    table.row([file.client.to_owned(), server, why.clone()]);
                    is_empty = false;
                }
            }
        }
        if !is_empty {
            page.blank();
            page.table(&table);
        }
        let Some(added) = &self.configured else {
            return;
        };
        page.blank();
        render_privacy(added, page);
        page.line(
            "No client starts mcpool for an address: `mcpool service install` has it run, or a \
             session over stdio.",
        );
        page.line(
            "A server that is reached at an address without `?workspace=` starts in your home \
             folder, and is one for all projects.",
        );
    }
}
