//! `cargo xtask bless`: accept what the code says now, for a person to review in the diff.

use std::fs;

use anyhow::Context as _;

use crate::{errors_page, shell, ui};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the generated documents only
    #[arg(long)]
    documents: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let page = shell::root().join(errors_page::PATH);
    fs::write(&page, errors_page::generate()?)
        .with_context(|| format!("writing {}", page.display()))?;
    ui::line(format!("wrote {}", errors_page::PATH));
    if args.documents {
        return Ok(());
    }
    ui::part("snapshots and transcripts");
    let mut test = shell::cargo();
    test.args([
        "test",
        "--workspace",
        "--features",
        "mcpool/test-programs",
        "--no-fail-fast",
    ]);
    shell::run(test.env("UPDATE_EXPECT", "1"))
}
