//! `cargo xtask install`: build mcpool and put it into a folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    build::{self, Profile},
    ui,
};

/// The two programs; `mcpool` executes its sibling, so they stay together.
const PROGRAMS: [&str; 2] = ["mcpoold", "mcpool"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the programs [default: ~/.local/bin]
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = match &args.prefix {
        Some(folder) => folder.clone(),
        None => env::home_dir()
            .context("there is no home folder; say --prefix DIR")?
            .join(".local/bin"),
    };
    let programs = build::programs(&["mcpool"], Profile::Release)?;
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for name in PROGRAMS {
        put(&programs.get(name)?, &folder.join(name))?;
    }
    ui::line(format!(
        "installed mcpool and mcpoold in {}",
        folder.display()
    ));
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|entry| entry == folder) {
        ui::line(format!(
            "{0} is not on your PATH; add it, for example with: export PATH=\"{0}:$PATH\"",
            folder.display()
        ));
    }
    Ok(())
}

/// Replaces the file in one step, so that a program that runs keeps its own and a start never finds half of one.
fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    let beside = to.with_extension(format!("new-{}", std::process::id()));
    fs::copy(from, &beside).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, to).with_context(|| format!("replacing {}", to.display()))
}
