//! `doctor` and what clients' files say of mcpool: that it is where they look for it, and has what they want.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    doctor::{examined, problem},
    support::{FAKE_SERVER, Home, finish, programs},
};

/// What was found of clients, where that is nothing.
#[track_caller]
fn is_well(home: &Home) {
    let found = examined(home, "clients", &[]);
    assert_eq!(found, (Some(0), Vec::<Value>::new()));
}

fn cursor(home: &Home, entry: &Value) {
    let text = json!({"mcpServers": {"notes": entry}}).to_string();
    home.keep(".cursor/mcp.json", &text);
}

#[test]
fn an_entry_whose_mcpool_is_gone_is_told_and_what_is_said_mends_it() {
    let home = Home::new();
    cursor(&home, &json!({"command": FAKE_SERVER}));
    let opt = home.root().join("opt");
    fs::create_dir(&opt).unwrap();
    for program in [env!("CARGO_BIN_EXE_mcpool"), env!("CARGO_BIN_EXE_mcpoold")] {
        programs::copy(program, opt.join(Path::new(program).file_name().unwrap()));
    }
    let gone = opt.join("mcpool");
    let imported = finish(&mut home.command(&gone, &["import", "--apply"]));
    assert_eq!(imported.code, Some(0), "{imported:?}");
    is_well(&home);

    fs::remove_dir_all(&opt).unwrap();
    let (what, next) = problem(&home, "clients");
    for part in [
        "Cursor",
        "notes",
        "~/.cursor/mcp.json",
        gone.to_str().unwrap(),
    ] {
        assert!(what.contains(part), "{part}: {what}");
    }
    assert!(
        next.contains("mcpool undo; then: mcpool import --apply"),
        "{next}"
    );
    home.done(&["undo"]);
    home.done(&["import", "--apply"]);
    is_well(&home);
}

#[test]
fn an_entry_that_names_mcpool_without_a_folder_wants_it_on_path() {
    let home = Home::new();
    cursor(
        &home,
        &json!({"command": "mcpool", "args": ["connect", "--", FAKE_SERVER]}),
    );
    let (what, next) = problem(&home, "clients");
    assert!(
        what.contains("`mcpool` for notes") && what.contains("not on PATH"),
        "{what}"
    );
    assert!(next.contains(env!("CARGO_BIN_EXE_mcpool")), "{next}");
}

#[test]
fn an_entry_that_names_a_server_which_is_not_configured_is_told() {
    let home = Home::new();
    let mut entry = json!({"command": env!("CARGO_BIN_EXE_mcpool"), "args": ["connect", "diary"]});
    cursor(&home, &entry);
    let (what, next) = problem(&home, "clients");
    assert!(
        what.contains("connect diary") && what.contains("no server"),
        "{what}"
    );
    assert!(next.contains("mcpool add diary"), "{next}");
    entry["disabled"] = json!(true);
    cursor(&home, &entry);
    is_well(&home);
    entry["disabled"] = json!(false);
    cursor(&home, &entry);
    assert_eq!(examined(&home, "clients", &[]).0, Some(1));
    home.done(&["add", "diary", "--", FAKE_SERVER]);
    is_well(&home);
}

#[test]
fn an_entry_that_means_another_installation_is_not_judged_by_this_one() {
    let home = Home::new();
    let mut entry = json!({"command": env!("CARGO_BIN_EXE_mcpool"), "args": ["connect", "diary"]});
    cursor(&home, &entry);
    assert_eq!(examined(&home, "clients", &[]).0, Some(1));
    let pool = home.pool();
    let named = examined(&home, "clients", &["--home", pool.to_str().unwrap()]);
    assert_eq!(named, (Some(0), Vec::new()));
    entry["env"] = json!({"OTHER": "1"});
    cursor(&home, &entry);
    assert_eq!(examined(&home, "clients", &[]).0, Some(1));
    entry["env"]["MCPOOL_HOME"] = json!("/elsewhere");
    cursor(&home, &entry);
    is_well(&home);
}
