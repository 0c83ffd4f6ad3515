//! `mcpool token`: what lets a program in over HTTP of which nothing else is known.

use std::{fs, path::PathBuf};

use daemon::http_token;
use serde::Serialize;
use shim::places::Places;

use crate::{
    exit::Exit,
    ui::{Format, Page, Render, Ui},
};

/// Show where the token for HTTP is, or make another one
///
/// The token itself is not shown: read it from its file, which only you can do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
enum Verb {
    /// Make another token; the old one is refused from then on
    Rotate,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// The file.
    path: PathBuf,
    /// Whether there is one.
    exists: bool,
    /// Whether it was made just now, in place of another.
    rotated: bool,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let rotated = args.verb == Some(Verb::Rotate);
    let path = if rotated {
        http_token::rotate(places)?
    } else {
        http_token::path(places)
    };
    let exists = fs::exists(&path)?;
    let shown = Shown {
        path,
        exists,
        rotated,
    };
    let format = if args.json {
        Format::Json
    } else {
        Format::Plain
    };
    ui.show(&shown, format)?;
    Ok(Exit::Done)
}

impl Render for Shown {
    fn render(&self, page: &mut Page) {
        let path = self.path.display();
        if self.rotated {
            page.line(format_args!(
                "There is another token in {path}; the old one is refused."
            ));
        } else if self.exists {
            page.line(path);
        } else {
            page.line(format_args!(
                "There is no token yet; the daemon makes one in {path} when it listens over HTTP."
            ));
        }
    }
}
