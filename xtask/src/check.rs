//! `cargo xtask check`: what a change must pass before it is sent.

use std::{path::Path, process::Command};

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
    lints_for_macos()?;
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

/// What is installed, for macOS, where its standard library is at hand.
fn lints_for_macos() -> anyhow::Result<()> {
    const TARGET: &str = "aarch64-apple-darwin";
    ui::part("lints for macOS");
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let library = shell::output(&mut rustc)?;
    if !Path::new(library.trim()).exists() {
        ui::line(format!(
            "NOT CHECKED: its standard library is not installed (`rustup target add {TARGET}`)"
        ));
        return Ok(());
    }
    let mut clippy = shell::cargo();
    clippy.args(["clippy", "--target", TARGET, "--package", "mcpool"]);
    for package in ["sys", "guardian", "shim", "config", "daemon"] {
        clippy.args(["--package", package]);
    }
    if cfg!(not(target_os = "macos")) {
        // TLS has some C in it, which only a compiler for macOS could compile. The program `true` stands in for CC
        // and AR: it succeeds and writes nothing, and as lints link nothing, nobody misses that.
        for name in ["CC", "AR"] {
            clippy.env(format!("{name}_{}", TARGET.replace('-', "_")), "true");
        }
    }
    shell::run(clippy.args(["--", "-D", "warnings"]))
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
