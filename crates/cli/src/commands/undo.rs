//! `mcpool undo`: clients' files as they were before an import.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use config::clients::Kind;
use serde::Serialize;
use shim::places::Places;

use super::import;
use crate::{
    args::Output,
    exit::Exit,
    moving::{
        from,
        journal::{self, Journal, Row},
        machine::Machine,
        undo::{self, Released, Undone},
    },
    survey::behind_mcpool,
    ui::{Page, Render, Ui},
};

/// Take back what `mcpool import` has changed
///
/// A file that has not changed since is byte for byte what it was. In one that has, only
/// what import has written goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this client; may be repeated
    #[arg(long = "client", value_name = "CLIENT", value_parser = import::client_ids())]
    clients: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    files: Vec<File>,
    /// Entries that go through mcpool all the same, by nobody's import that is known of.
    others: Vec<Other>,
}

/// Servers of one file of a client.
#[derive(Debug, Serialize)]
struct Other {
    client: &'static str,
    path: PathBuf,
    #[serde(skip)]
    shown: String,
    servers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct File {
    client: String,
    path: PathBuf,
    #[serde(skip)]
    shown: String,
    outcome: Outcome,
    /// The servers that their client starts itself again, in a file that has changed since.
    servers: Vec<String>,
    /// The servers of our own configuration that somebody has rewritten since, which stay.
    kept: Vec<String>,
    /// Whether it has not changed since, and is not what it was to the byte, because the copy of that is gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_without_copy: bool,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It is byte for byte what it was.
    Restored,
    /// It has changed since, and only what we had written went.
    Released,
    /// There was nothing of ours in it.
    Nothing,
    /// Its folder is not there now, and what it was is kept.
    Away,
    /// Its folder is away for so long that what was there is no matter any more.
    Forgotten,
    /// It is as it is.
    Failed,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let machine = Machine::this()?;
    let mut report = Report {
        schema: 1,
        files: Vec::new(),
        others: Vec::new(),
    };
    // Whoever has nothing to undo gets no folder for it.
    if journal::rows(&places.state)?.is_empty() && !journal::has_undone(&places.state) {
        report.others = others(&machine, &args.clients);
        ui.show(&report, args.output.format())?;
        return Ok(Exit::Done);
    }
    let mut journal = Journal::open(&places.state)?;
    let is_meant = |row: &Row| args.clients.is_empty() || args.clients.contains(&row.client);
    let rows: Vec<Row> = journal
        .rows()
        .iter()
        .filter(|row| is_meant(row))
        .cloned()
        .collect();
    let mut paths: Vec<&PathBuf> = Vec::new();
    for row in &rows {
        if !paths.contains(&&row.path) {
            paths.push(&row.path);
        }
    }
    // Our own configuration comes last: no client names an address whose server is gone.
    let is_ours = |path: &PathBuf| {
        rows.iter()
            .any(|row| row.path == *path && row.client == from::OURS)
    };
    paths.sort_by_key(|path| is_ours(path));
    let mut named: Vec<String> = Vec::new();
    for path in paths {
        let of_path: Vec<Row> = rows
            .iter()
            .filter(|row| row.path == *path)
            .cloned()
            .collect();
        let undone = undo::undo(path, &of_path, &named, &journal);
        named.extend(named_still(path, &of_path, &undone));
        let is_done = match &undone {
            Ok(Undone::Released(released)) => released.stuck.is_empty(),
            Ok(Undone::Restored | Undone::Nothing) => true,
            // It may come back as it was left.
            Ok(Undone::Away) | Err(_) => false,
        };
        if is_done {
            journal.keep(|row| row.path != *path || !is_meant(row))?;
        }
        let client = of_path.first().map_or("", |row| row.client.as_str());
        let is_away = matches!(undone, Ok(Undone::Away));
        let mut file = File::new(client, path, machine.shown(path), undone);
        if !is_away {
            journal.is_back(path)?;
        } else if journal.is_away_for_long(|row| row.path == *path && is_meant(row))? {
            file.outcome = Outcome::Forgotten;
        }
        report.files.push(file);
    }
    brought_back(&journal, is_meant, &machine, &mut report);
    report.others = others(&machine, &args.clients);
    let is_on_record = |path: &PathBuf| journal.rows().iter().any(|row| row.path == *path);
    report.others.retain(|other| !is_on_record(&other.path));
    ui.show(&report, args.output.format())?;
    let has_failed = report
        .files
        .iter()
        .any(|file| file.outcome == Outcome::Failed);
    Ok(if has_failed { Exit::Failed } else { Exit::Done })
}

/// The addresses of ours that a client's file names after its undo.
fn named_still(path: &Path, rows: &[Row], undone: &anyhow::Result<Undone>) -> Vec<String> {
    match undone {
        Ok(Undone::Released(released)) => released.named.clone(),
        Ok(Undone::Restored | Undone::Nothing | Undone::Away) => Vec::new(),
        // A file that is gone names nothing.
        Err(_) if !path.try_exists().unwrap_or(true) => Vec::new(),
        Err(_) => {
            let urls = rows.iter().flat_map(|row| &row.urls);
            urls.map(|saved| saved.url.clone()).collect()
        }
    }
}

/// Takes back once more what clients have brought back that was undone lately.
fn brought_back(
    journal: &Journal,
    is_meant: impl Fn(&Row) -> bool,
    machine: &Machine,
    report: &mut Report,
) {
    let rows: Vec<Row> = journal
        .undone()
        .filter(|row| is_meant(row))
        .cloned()
        .collect();
    let paths: BTreeSet<&PathBuf> = rows.iter().map(|row| &row.path).collect();
    for path in paths {
        // What this undo has looked at already is as it is to be.
        let is_told = report.files.iter().any(|file| file.path == *path);
        let of_path = rows.iter().filter(|row| row.path == *path).cloned();
        let of_path: Vec<Row> = of_path.collect();
        let Some(first) = of_path.first().filter(|_| !is_told && path.exists()) else {
            continue;
        };
        match undo::undo(path, &of_path, &[], journal) {
            // What cannot be read has nothing of ours that is known of.
            Ok(Undone::Nothing | Undone::Away) | Err(_) => {}
            undone @ Ok(Undone::Restored | Undone::Released(_)) => {
                let shown = machine.shown(path);
                report
                    .files
                    .push(File::new(&first.client, path, shown, undone));
            }
        }
    }
}

/// The servers that clients reach through mcpool now. No import that is on record has written that: a person has,
/// or a client has brought back what it had read.
fn others(machine: &Machine, ids: &[String]) -> Vec<Other> {
    let files = machine.files(&import::clients(ids)).into_iter();
    let others = files.map(|found| {
        let ours = found
            .entries()
            .into_iter()
            .filter_map(|entry| match entry.kind {
                Kind::Ours(command) if !behind_mcpool(&command.words).is_empty() => {
                    Some(entry.name)
                }
                Kind::Ours(_) | Kind::Local(_) | Kind::LeftAlone(_) => None,
            });
        Other {
            client: found.client.id,
            shown: machine.shown(&found.path),
            servers: ours.collect(),
            path: found.path,
        }
    });
    others.filter(|other| !other.servers.is_empty()).collect()
}

impl File {
    fn new(client: &str, path: &Path, shown: String, undone: anyhow::Result<Undone>) -> Self {
        let (outcome, released, error) = match undone {
            Ok(Undone::Restored) => (Outcome::Restored, Released::default(), None),
            Ok(Undone::Released(released)) if released.stuck.is_empty() => {
                (Outcome::Released, released, None)
            }
            Ok(Undone::Released(released)) => {
                let error = released.stuck.join("; ");
                (Outcome::Failed, released, Some(error))
            }
            Ok(Undone::Nothing) => (Outcome::Nothing, Released::default(), None),
            Ok(Undone::Away) => (Outcome::Away, Released::default(), None),
            Err(error) => (
                Outcome::Failed,
                Released::default(),
                Some(format!("{error:#}")),
            ),
        };
        File {
            client: client.to_owned(),
            path: path.to_path_buf(),
            shown,
            outcome,
            servers: released.servers,
            kept: released.kept,
            is_without_copy: released.is_without_copy,
            error,
        }
    }
}

impl File {
    fn render_released(&self, page: &mut Page) {
        let shown = &self.shown;
        let how = if self.is_without_copy {
            "is not what it was to the byte, because the copy of that cannot be read"
        } else {
            "has changed since"
        };
        if !self.servers.is_empty() || self.kept.is_empty() {
            page.line(format_args!(
                "{shown} {how}; what import had written is taken back: {}.",
                self.servers.join(", ")
            ));
        }
        if !self.kept.is_empty() {
            page.line(format_args!(
                "{shown} keeps what you have rewritten since: {}.",
                self.kept.join(", ")
            ));
        }
    }
}

impl Render for Report {
    fn render(&self, page: &mut Page) {
        if self.files.is_empty() {
            page.line("There is nothing to undo.");
        }
        for file in &self.files {
            let shown = &file.shown;
            match file.outcome {
                Outcome::Restored => page.line(format_args!("{shown} is as it was.")),
                Outcome::Released => file.render_released(page),
                Outcome::Nothing => {
                    page.line(format_args!("{shown} has nothing of mcpool's any more."));
                }
                Outcome::Away => page.line(format_args!(
                    "{shown} is away with its folder. What it was is kept for 30 days from the first time that this \
                     is said: if it comes back, run this again."
                )),
                Outcome::Forgotten => page.line(format_args!(
                    "{shown} is away with its folder for 30 days, and is not told of any more."
                )),
                Outcome::Failed => {
                    let error = file.error.as_deref().unwrap_or_default();
                    if file.servers.is_empty() && file.kept.is_empty() {
                        page.line(format_args!("{shown} is left as it is: {error}"));
                    } else {
                        file.render_released(page);
                        page.line(format_args!("{shown} is left as it is else: {error}"));
                    }
                }
            }
        }
        for other in &self.others {
            page.line(format_args!(
                "{} has servers that go through mcpool, of which no import is on record: {}. To have their client \
                 start them itself, make what stands behind `--` the whole command line.",
                other.shown,
                other.servers.join(", ")
            ));
        }
    }
}
