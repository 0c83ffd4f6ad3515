//! `cargo xtask check`: what a change must pass before it is sent.

use crate::{licences, shell, ui};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> anyhow::Result<()> {
    step("formatting", &["fmt", "--all", "--check"])?;
    step(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "mcpool/test-programs,fuzz/targets",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    ui::part("documentation");
    let mut document = shell::cargo();
    document.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    shell::run(document.env("RUSTDOCFLAGS", "-D warnings"))?;
    step(
        "layers, sizes, links, words",
        &[
            "test",
            "--quiet",
            "--package",
            "xtask",
            "--bin",
            "xtask",
            "tidy",
        ],
    )?;
    dependencies()
}

fn step(title: &str, arguments: &[&str]) -> anyhow::Result<()> {
    ui::part(title);
    shell::run(shell::cargo().args(arguments))
}

/// `cargo deny`, or as much of it as needs nothing to be installed.
fn dependencies() -> anyhow::Result<()> {
    ui::part("dependencies");
    let is_installed = shell::output(shell::cargo().args(["deny", "--version"])).is_ok();
    if is_installed {
        return shell::run(shell::cargo().args(["deny", "check"]));
    }
    licences::check()?;
    ui::line("licences and sources are in order");
    ui::line(
        "NOT CHECKED: advisories and bans, because `cargo-deny` is not installed (`cargo install cargo-deny`)",
    );
    Ok(())
}
