//! `import` and `undo` in every file that a client reads, and none of what is switched off there.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    doctor::examined,
    moving_local_scope::note_more,
    moving_policies::{git, note, write},
    support::{Home, Ran, finish},
};

const SERVERS: &str = r#"{"mcpServers": {"git": {"command": "uvx", "args": ["s"]}}}"#;
const OPENCODE: &str = "{\n  // mine\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"mcp\": {\n    \
                        \"git\": { \"type\": \"local\", \"command\": [\"uvx\", \"s\"] }\n  }\n}\n";

/// `mcpool` where a project's file may name it, with these variables.
fn mcpool(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_mcpool"));
    let programs = programs.parent().unwrap().display().to_string();
    let mut command = home.mcpool(arguments);
    command.env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
    command.envs(variables.iter().copied());
    command
}

fn import(home: &Home, variables: &[(&str, &str)]) -> Ran {
    finish(&mut mcpool(home, &["import", "--apply"], variables))
}

/// The servers that an import would change, and those that it leaves alone, with the reason.
fn plan(home: &Home) -> (Vec<String>, Vec<(String, String)>) {
    let ran = finish(&mut mcpool(home, &["import", "--json"], &[]));
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let files = said["files"].as_array().unwrap();
    let all = |list: &str| -> Vec<Value> {
        let lists = files.iter().map(|file| file[list].as_array().unwrap());
        lists.flatten().cloned().collect()
    };
    let text = |server: &Value, key: &str| server[key].as_str().unwrap().to_owned();
    let changed = all("changed");
    let left = all("left_alone");
    (
        changed.iter().map(|it| text(it, "server")).collect(),
        left.iter()
            .map(|it| (text(it, "server"), text(it, "reason")))
            .collect(),
    )
}

#[test]
fn every_file_that_opencode_reads_is_imported_and_undone_to_the_byte() {
    for (path, variables) in [
        ("user/.config/opencode/config.json", &[][..]),
        ("user/.config/opencode/opencode.json", &[]),
        ("user/.opencode/opencode.json", &[]),
        ("user/.opencode/opencode.jsonc", &[]),
        ("user/own/opencode.json", &[("OPENCODE_CONFIG_DIR", "own")]),
        ("user/own/opencode.jsonc", &[("OPENCODE_CONFIG_DIR", "own")]),
        ("user/own.json", &[("OPENCODE_CONFIG", "own.json")]),
        ("project/opencode.json", &[]),
        ("project/.opencode/opencode.json", &[]),
        ("project/.opencode/opencode.jsonc", &[]),
    ] {
        let home = Home::new();
        let file = write(&home.root(), path, OPENCODE);
        // Where the command is run: variables have paths from there, and the home folder is the project as well.
        let folder = if path.starts_with("user/") {
            home.user()
        } else {
            home.project("project")
        };
        let mut command = mcpool(&home, &["import", "--apply"], variables);
        let ran = finish(command.current_dir(folder));
        assert_eq!(ran.code, Some(0), "{path}: {ran:?}");
        let imported = fs::read_to_string(&file).unwrap();
        assert!(imported.contains("\"connect\""), "{path}: {ran:?}");
        let by_name = imported.contains("\"mcpool\"");
        assert_eq!(by_name, path.starts_with("project/"), "{path}: {imported}");
        // From elsewhere, and by somebody who has no such variable.
        home.done(&["undo"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), OPENCODE, "{path}");
    }
}

#[test]
fn without_its_variable_a_folder_is_none_of_opencode_s() {
    let home = Home::new();
    write(&home.user(), "own/opencode.json", OPENCODE);
    write(&home.user(), "opencode.json", OPENCODE);
    let ran = finish(mcpool(&home, &["import"], &[]).current_dir(home.root()));
    assert!(ran.stdout.starts_with("There is nothing"), "{ran:?}");
}

#[test]
fn gemini_cli_has_its_files_in_the_home_folder_that_it_is_told() {
    let home = Home::new();
    let usual = home.keep(".gemini/settings.json", SERVERS);
    let moved = home.keep("moved/.gemini/settings.json", SERVERS);
    let folder = home.user().join("moved");
    let ran = import(&home, &[("GEMINI_CLI_HOME", folder.to_str().unwrap())]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read_to_string(&usual).unwrap(), SERVERS);
    let imported = fs::read_to_string(&moved).unwrap();
    assert!(imported.contains("\"connect\""), "{imported}");
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&moved).unwrap(), SERVERS);
}

#[test]
fn what_is_switched_off_in_gemini_cli_is_left_in_every_file_of_it() {
    let home = Home::new();
    let two =
        r#"{"mcpServers": {"Git": {"command": "uvx", "args": ["s"]}, "time": {"command": "uvx"}}}"#;
    home.keep(".gemini/settings.json", two);
    write(&home.project("project"), ".gemini/settings.json", SERVERS);
    let switches = home.keep(
        ".gemini/mcp-server-enablement.json",
        "{\n  \"git\": {\n    \"enabled\": false\n  }\n}",
    );
    let (changed, left) = plan(&home);
    assert_eq!(changed, ["time"]);
    let off = ["Git", "git"].map(|name| (name.to_owned(), "disabled".to_owned()));
    assert_eq!(left, off);

    // What is switched off after the import goes through mcpool all the same, and is taken back.
    fs::remove_file(&switches).unwrap();
    assert_eq!(import(&home, &[]).code, Some(0));
    fs::write(&switches, r#"{"git": {"enabled": false}}"#).unwrap();
    let again = import(&home, &[]);
    assert!(again.stdout.starts_with("There is nothing"), "{again:?}");
    home.done(&["undo"]);

    // Where that cannot be read, nobody knows.
    fs::write(&switches, "{\"git\": ").unwrap();
    let ran = import(&home, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("mcp-server-enablement.json"), "{ran:?}");
    let settings = fs::read_to_string(home.user().join(".gemini/settings.json"));
    assert_eq!(settings.unwrap(), two);
}

/// A project's file of its own with a server for each way to switch one off in Claude Code, and with one that is on.
fn own_project(home: &Home) -> PathBuf {
    let names = ["on", "noted", "refused", "mine", "settings"];
    let servers: Value = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({"command": "uvx", "args": ["s"]})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let project = home.root().join("project");
    let file = write(
        &project,
        ".mcp.json",
        &json!({"mcpServers": servers}).to_string(),
    );
    fs::create_dir_all(&project).unwrap();
    git(home, &["init", "--quiet"]);
    note(
        home,
        &json!({"hasTrustDialogAccepted": true, "disabledMcpServers": ["noted"],
            "disabledMcpjsonServers": ["refused"], "enabledMcpjsonServers": ["refused"]}),
    );
    home.keep(
        ".claude/settings.json",
        r#"{"disabledMcpjsonServers": ["mine"]}"#,
    );
    write(
        &project,
        ".claude/settings.local.json",
        r#"{"disabledMcpjsonServers": ["settings"]}"#,
    );
    file
}

#[test]
fn what_is_switched_off_of_a_project_s_own_file_in_claude_code_is_left() {
    let home = Home::new();
    let file = own_project(&home);
    let before = fs::read_to_string(&file).unwrap();
    let (_, left) = plan(&home);
    let off = ["mine", "noted", "refused", "settings"];
    let off = off.map(|name| {
        (
            name.to_owned(),
            "it is switched off in Claude Code".to_owned(),
        )
    });
    assert_eq!(left, off);
    let ran = import(&home, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut imported: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let on = imported["mcpServers"]["on"].take();
    assert_eq!(on["command"], "mcpool", "{on}");
    let mut rest: Value = serde_json::from_str(&before).unwrap();
    rest["mcpServers"]["on"].take();
    assert_eq!(imported, rest);
    // By its name as well.
    let ran = finish(&mut mcpool(&home, &["import", "--server", "noted"], &[]));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // What is switched on again there is imported, and what is switched off since is taken back.
    note_more(
        &home,
        &home.user().join(".claude.json"),
        "disabledMcpServers",
        json!(["on"]),
    );
    let ran = import(&home, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains(".mcp.json: noted"), "{ran:?}");
    finish(&mut mcpool(&home, &["undo"], &[]));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn where_what_is_switched_off_cannot_be_read_a_project_s_own_file_is_not_changed() {
    for is_in_git in [true, false] {
        let home = Home::new();
        let file = own_project(&home);
        if !is_in_git {
            fs::remove_dir_all(home.root().join("project/.git")).unwrap();
        }
        let before = fs::read_to_string(&file).unwrap();
        home.keep(".claude.json", "{\"projects\": ");
        let ran = import(&home, &[]);
        let why = "what you have approved of the project's file cannot be told";
        assert!(ran.stdout.contains(why), "{ran:?}");
        assert!(ran.stdout.contains("/.claude.json: line 1"), "{ran:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
    }
}

#[test]
fn half_a_character_elsewhere_in_a_file_is_in_nobody_s_way() {
    let home = Home::new();
    let text = "{\n  \"projects\": {\"/p\\ude00\": {\"history\": [{\"display\": \"cut \\ud83d\"}]}},\n  \
                \"mcpServers\": {\n    \"git\": {\"command\": \"uvx\", \"args\": [\"s\"]},\n    \
                \"cut\": {\"command\": \"uvx\", \"args\": [\"\\uD83D\"]}\n  }\n}\n";
    let path = home.keep(".claude.json", text);
    let files = ["import", "--client", "claude-code", "--apply"];
    let ran = finish(&mut mcpool(&home, &files, &[]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("half a character"), "{ran:?}");
    let imported = fs::read_to_string(&path).unwrap();
    for part in [
        r#""projects": {"/p\ude00": {"history": [{"display": "cut \ud83d"}]}},"#,
        r#""cut": {"command": "uvx", "args": ["\uD83D"]}"#,
        r#""connect""#,
    ] {
        assert!(imported.contains(part), "{part}: {imported}");
    }
    assert_eq!(examined(&home, "clients", &[]), (Some(0), Vec::new()));
    finish(&mut mcpool(&home, &["undo"], &[]));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
