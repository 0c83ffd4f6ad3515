//! Who may depend on whom.

use serde_json::Value;

use super::assert_none;
use crate::shell;

/// Each package of ours, and those of ours that it may depend on. Arrows point one way only.
const LAYERS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("config", &[]),
    ("sys", &[]),
    ("mux", &["wire"]),
    ("guardian", &["sys"]),
    ("shim", &["wire", "sys"]),
    (
        "daemon",
        &["mux", "wire", "config", "guardian", "shim", "sys"],
    ),
    ("mcpool", &["daemon", "config", "shim", "guardian", "sys"]),
    ("fuzz", &["mux", "wire", "config", "shim", "sim"]),
    ("sim", &["mux", "wire"]),
    // What the parsers of others are held against.
    ("xtask", &["shim", "wire"]),
];

fn packages() -> Vec<Value> {
    let text = shell::output(shell::cargo().args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version=1",
    ]));
    let metadata: Value = serde_json::from_str(&text.unwrap()).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Names of what a package needs to be built; what its tests need is another matter.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| dependency["name"].as_str().unwrap())
}

#[test]
fn crates_depend_only_on_what_lies_below_them() {
    let mut complaints = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            complaints.push(format!("{name} has no place in the layers"));
            continue;
        };
        for dependency in dependencies(&package) {
            let is_ours = LAYERS.iter().any(|(layer, _)| *layer == dependency);
            if is_ours && !allowed.contains(&dependency) {
                complaints.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn of_what_users_run_only_the_daemon_knows_tokio() {
    let knows = |package: &Value| {
        dependencies(package).any(|name| name == "tokio" || name.starts_with("tokio-"))
    };
    // What `bench` measures the daemon against is made as the daemon is.
    let may = |package: &Value| package["name"] == "daemon" || package["name"] == "xtask";
    let others = packages()
        .into_iter()
        .filter(|package| !may(package) && knows(package));
    assert_none(
        &others
            .map(|package| format!("{} depends on tokio", package["name"]))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_small_program_carries_no_parser_and_no_runtime() {
    let heavy = ["clap", "serde", "serde_json", "tokio", "toml_edit"];
    let small = packages().into_iter().filter(|package| {
        ["shim", "guardian", "sys"]
            .iter()
            .any(|name| package["name"] == *name)
    });
    let complaints = small.flat_map(|package| {
        let found = dependencies(&package)
            .filter(|name| heavy.contains(name))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        found
            .into_iter()
            .map(move |name| format!("{} depends on {name}", package["name"]))
    });
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    let without = super::files().into_iter().filter(|file| {
        let is_manifest = file.path.ends_with("/Cargo.toml");
        // `sys` writes them out, because it alone may say `unsafe`.
        is_manifest
            && file.path != "crates/sys/Cargo.toml"
            && !file.text.contains("[lints]\nworkspace = true")
    });
    assert_none(
        &without
            .map(|file| format!("{} does not take the lints of the workspace", file.path))
            .collect::<Vec<_>>(),
    );
}
