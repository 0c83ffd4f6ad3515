//! `mcpool man`: the manual pages, one for each verb.

use std::{fs, io, path::PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use serde::Serialize;

use crate::{
    args::{Cli, OF_THE_SMALL_PROGRAM, Output},
    exit::Exit,
    ui::{Page, Render, Ui},
};

/// Write the manual pages into a folder, such as ~/.local/share/man/man1
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, made if needed
    folder: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Written {
    folder: PathBuf,
    files: Vec<String>,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Exit> {
    let pages = pages().context("making the pages")?;
    let cannot = || format!("cannot write into {}", args.folder.display());
    fs::create_dir_all(&args.folder).with_context(cannot)?;
    for (name, text) in &pages {
        fs::write(args.folder.join(name), text).with_context(cannot)?;
    }
    let written = Written {
        folder: args.folder.clone(),
        files: pages.into_iter().map(|(name, _)| name).collect(),
    };
    ui.show(&written, args.output.format())?;
    Ok(Exit::Done)
}

/// Each page with the name of its file.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let man = Man::new(command.clone()).title(name.to_owned());
    let mut text = Vec::new();
    let own = OF_THE_SMALL_PROGRAM
        .iter()
        .find(|(verb, _)| *verb == command.get_name());
    match own {
        Some((_, help)) => {
            man.render_title(&mut text)?;
            man.render_name_section(&mut text)?;
            as_it_stands(help).to_writer(&mut text)?;
        }
        None => man.render(&mut text)?,
    }
    pages.push((format!("{name}.1"), text));
    let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
    for command in visible {
        collect(command, pages)?;
    }
    Ok(())
}

/// A help text, line by line.
fn as_it_stands(help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    roff.control("nf", []);
    for line in help.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

impl Render for Written {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "{} pages are in {}.",
            self.files.len(),
            self.folder.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_that_people_see_has_a_page_which_says_what_its_help_says() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            let (_, text) = found.unwrap_or_else(|| panic!("no {name}"));
            // As the pages write hyphens that may be copied, and apostrophes.
            let text = String::from_utf8(text.clone()).unwrap();
            text.replace("\\-", "-").replace("\\*(Aq", "'")
        };
        for verb in Cli::command().get_subcommands() {
            let name = format!("mcpool-{}.1", verb.get_name());
            if verb.is_hide_set() {
                assert!(!pages.iter().any(|(file, _)| *file == name), "{name}");
            } else {
                let about = verb.get_about().map(ToString::to_string).unwrap();
                assert!(page(&name).contains(&about), "{name}");
            }
        }
        assert!(page("mcpool.1").contains("Exit codes"));
        assert!(page("mcpool-connect.1").contains("--on-daemon-failure CHOICE"));
        assert!(page("mcpool-hook.1").contains("--bearer-env NAME"));
        assert!(page("mcpool-service-install.1").starts_with(".ie"));
    }
}
