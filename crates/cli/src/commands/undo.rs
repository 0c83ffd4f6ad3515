//! `mcpool undo`: clients' files as they were before an import.

use std::path::PathBuf;

use serde::Serialize;
use shim::places::Places;

use super::import;
use crate::{
    args::Output,
    exit::Exit,
    moving::{
        from,
        journal::{Journal, Row},
        machine::Machine,
        undo::{self, Released, Undone},
    },
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
    /// It is as it is.
    Failed,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let machine = Machine::this()?;
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
    let mut report = Report {
        schema: 1,
        files: Vec::new(),
    };
    let mut is_named_still = false;
    for path in paths {
        let of_path: Vec<Row> = rows
            .iter()
            .filter(|row| row.path == *path)
            .cloned()
            .collect();
        let undone = if is_ours(path) && is_named_still {
            Err(anyhow::anyhow!(
                "clients still name addresses of servers in it; undo their files first"
            ))
        } else {
            undo::undo(path, &of_path, &journal)
        };
        let has_addresses = of_path.iter().any(|row| !row.urls.is_empty());
        // A file that is gone names nothing.
        is_named_still |= undone.is_err() && has_addresses && path.try_exists().unwrap_or(true);
        if undone.is_ok() {
            journal.keep(|row| row.path != *path || !is_meant(row))?;
        }
        let client = of_path.first().map_or("", |row| row.client.as_str());
        report
            .files
            .push(File::new(client, path, machine.shown(path), undone));
    }
    ui.show(&report, args.output.format())?;
    let has_failed = report
        .files
        .iter()
        .any(|file| file.outcome == Outcome::Failed);
    Ok(if has_failed { Exit::Failed } else { Exit::Done })
}

impl File {
    fn new(
        client: &str,
        path: &std::path::Path,
        shown: String,
        undone: anyhow::Result<Undone>,
    ) -> Self {
        let (outcome, released, error) = match undone {
            Ok(Undone::Restored) => (Outcome::Restored, Released::default(), None),
            Ok(Undone::Released(released)) => (Outcome::Released, released, None),
            Ok(Undone::Nothing) => (Outcome::Nothing, Released::default(), None),
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
            error,
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
                Outcome::Released => {
                    if !file.servers.is_empty() || file.kept.is_empty() {
                        page.line(format_args!(
                            "{shown} has changed since; what import had written is taken back: {}.",
                            file.servers.join(", ")
                        ));
                    }
                    if !file.kept.is_empty() {
                        page.line(format_args!(
                            "{shown} keeps what you have rewritten since: {}.",
                            file.kept.join(", ")
                        ));
                    }
                }
                Outcome::Nothing => {
                    page.line(format_args!("{shown} has nothing of mcpool's any more."));
                }
                Outcome::Failed => page.line(format_args!(
                    "{shown} is left as it is: {}",
                    file.error.as_deref().unwrap_or_default()
                )),
            }
        }
    }
}
