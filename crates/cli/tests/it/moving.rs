//! `import` and `undo`: a plan, the files after it, and the way back.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{FAKE_SERVER, Home, finish};

const CODEX: &str = "\
# mine
model = \"gpt-5\"

[mcp_servers.memory]
command = \"npx\" # why
args = [\"-y\", \"@modelcontextprotocol/server-memory\"]
env = { TOKEN = \"ghp_secret\" }

[mcp_servers.browser]
command = \"npx\"
args = [\"@playwright/mcp\"]
";

fn codex(home: &Home) -> PathBuf {
    home.keep(".codex/config.toml", CODEX)
}

/// Without what differs from test to test.
fn anonymous(home: &Home, text: &str) -> String {
    text.replace(env!("CARGO_BIN_EXE_mcpool"), "MCPOOL")
        .replace(home.pool().to_str().unwrap(), "POOL")
        .replace(home.root().to_str().unwrap(), "ROOT")
}

#[test]
fn a_plan_is_a_diff_and_changes_nothing() {
    let home = Home::new();
    let path = codex(&home);
    let ran = home.run(&["import"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    expect![[r#"
        --- ~/.codex/config.toml
        +++ ~/.codex/config.toml (through mcpool)
        @@ -2,8 +2,8 @@
         model = "gpt-5"
         
         [mcp_servers.memory]
        -command = "npx" # ***
        -args = ["-y", "@modelcontextprotocol/server-memory"]
        +command = "MCPOOL" # ***
        +args = ["connect", "--home", "POOL", "--name", "memory", "--env", "TOKEN", "--", "npx", "-y", "@modelcontextprotocol/server-memory"]
         env = { TOKEN = "***" }
         
         [mcp_servers.browser]

        CLIENT  SERVER   LEFT ALONE, BECAUSE
        codex   browser  one of its kind for each session (browser): sharing brings nothing; --server browser imports it all the same
    "#]]
    .assert_eq(&anonymous(&home, &ran.stdout));
    assert!(ran.stderr.contains("--apply"), "{ran:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), CODEX);
    assert!(!home.pool().join("state/import").exists());
}

#[test]
fn what_is_applied_is_there_once_and_undone_to_the_byte() {
    let home = Home::new();
    let path = codex(&home);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let said = home.done(&["import", "--apply"]);
    expect![[r"
        Changed ~/.codex/config.toml: memory.
          codex reads it in a new session.

        CLIENT  SERVER   LEFT ALONE, BECAUSE
        codex   browser  one of its kind for each session (browser): sharing brings nothing; --server browser imports it all the same
    "]]
    .assert_eq(&anonymous(&home, &said));
    let imported = fs::read_to_string(&path).unwrap();
    assert!(imported.contains("\"--\", \"npx\", \"-y\""), "{imported}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);

    let again = home.run(&["import", "--apply"]);
    assert_eq!(again.code, Some(0));
    assert!(
        again.stdout.starts_with("There is nothing to import."),
        "{again:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), imported);
    let backups = fs::read_dir(home.pool().join("state/import/backups")).unwrap();
    for backup in backups {
        let metadata = backup.unwrap().metadata().unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }

    let said = home.done(&["undo"]);
    assert_eq!(said, "~/.codex/config.toml is as it was.\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), CODEX);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
    let left = fs::read_dir(home.pool().join("state/import/backups")).unwrap();
    assert_eq!(left.count(), 0, "a copy that nothing needs is gone");
}

#[test]
fn a_server_that_no_client_has_is_told() {
    let home = Home::new();
    codex(&home);
    let ran = home.run(&["import", "--server", "memry", "--server", "memory"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("no client has a server named memry"),
        "{ran:?}"
    );
}

#[test]
fn two_imports_are_undone_one_after_the_other() {
    let home = Home::new();
    let path = codex(&home);
    home.done(&["import", "--apply", "--server", "memory"]);
    home.done(&["import", "--apply", "--server", "browser"]);
    let imported = fs::read_to_string(&path).unwrap();
    assert_eq!(imported.matches("\"connect\"").count(), 2, "{imported}");
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), CODEX);
}

#[test]
fn what_has_changed_since_keeps_its_changes_and_loses_ours() {
    let home = Home::new();
    let path = codex(&home);
    home.done(&["import", "--apply"]);
    let imported = fs::read_to_string(&path).unwrap();
    fs::write(&path, imported.replace("gpt-5", "gpt-6")).unwrap();
    let said = home.done(&["undo"]);
    assert_eq!(
        said,
        "~/.codex/config.toml has changed since; what import had written is taken back: memory.\n"
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        CODEX.replace("gpt-5", "gpt-6")
    );
}

/// Imports the server of a client's file, has the user change the file, and undoes.
#[track_caller]
fn undone_after(path: &str, before: &str, change: (&str, &str), expected: &str) {
    let home = Home::new();
    let path = home.keep(path, before);
    home.done(&["import", "--apply"]);
    let imported = fs::read_to_string(&path).unwrap();
    let changed = imported.replacen(change.0, change.1, 1);
    assert_ne!(imported, changed, "the user changes it");
    fs::write(&path, changed).unwrap();
    let said = home.done(&["undo"]);
    assert!(said.contains("is taken back: "), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn an_entry_that_is_switched_off_since_loses_our_words_too() {
    for client in [".cline/mcp.json", ".kiro/settings/mcp.json"] {
        let before = r#"{"mcpServers": {"git": {"command": "uvx", "args": ["s"]}}}"#;
        let off = (r#""git": {"#, r#""git": {"disabled": true, "#);
        undone_after(client, before, off, &before.replacen(off.0, off.1, 1));
    }
    let codex = CODEX.replace("@playwright/mcp", "other");
    let off = (
        "[mcp_servers.memory]\n",
        "[mcp_servers.memory]\nenabled = false\n",
    );
    let expected = codex.replacen(off.0, off.1, 1);
    undone_after(".codex/config.toml", &codex, off, &expected);
}

#[test]
fn an_entry_with_a_file_of_variables_or_another_name_loses_our_words_too() {
    let before = r#"{"servers": {"git": {"command": "uvx", "args": ["s"]}}}"#;
    let vscode = ".config/Code/User/mcp.json";
    for change in [
        (r#""git": {"#, r#""git": {"envFile": ".env", "#),
        (r#""git": {"#, r#""git": {"env": {"T": "${input:t}"}, "#),
        (r#""git": {"#, r#""hub": {"#),
    ] {
        undone_after(
            vscode,
            before,
            change,
            &before.replacen(change.0, change.1, 1),
        );
    }
}

#[test]
fn an_undo_that_cannot_take_our_words_back_says_so_and_keeps_what_was_there() {
    let entry = r#"{"command": "uvx", "args": ["s"]}"#;
    for (is_twice, expected) in [(false, "behind its `--`"), (true, "has this name twice")] {
        let home = Home::new();
        let before = format!(r#"{{"mcpServers": {{"git": {entry}}}}}"#);
        let path = home.keep(".cline/mcp.json", &before);
        home.done(&["import", "--apply"]);
        let imported = fs::read_to_string(&path).unwrap();
        let changed = if is_twice {
            imported.replace(r#"{"git""#, &format!(r#"{{"git": {entry}, "git""#))
        } else {
            imported.replace(r#", "uvx", "s""#, "")
        };
        assert_ne!(imported, changed, "the user changes it");
        fs::write(&path, &changed).unwrap();
        let ran = home.run(&["undo"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{ran:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), changed);
        // What was there is kept: with the imported file back, it comes to the byte.
        fs::write(&path, imported).unwrap();
        home.done(&["undo"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }
}

#[test]
fn an_entry_through_mcpool_by_the_user_s_own_hand_stays() {
    let home = Home::new();
    let path = home.keep(
        ".cline/mcp.json",
        r#"{"mcpServers": {
            "git": {"command": "uvx", "args": ["s"]},
            "own": {"command": "mcpool", "args": ["connect", "--", "uvx", "s"]}}, "a": 1}"#,
    );
    let before = fs::read_to_string(&path).unwrap();
    home.done(&["import", "--apply"]);
    let imported = fs::read_to_string(&path).unwrap();
    fs::write(&path, imported.replace("\"a\": 1", "\"a\": 2")).unwrap();
    home.done(&["undo"]);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        before.replace("\"a\": 1", "\"a\": 2")
    );
}

#[test]
fn what_goes_through_mcpool_without_a_record_is_named() {
    let home = Home::new();
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
    assert!(!home.pool().exists(), "nothing is made for that");
    codex(&home);
    home.done(&["import", "--apply"]);
    fs::remove_dir_all(home.pool().join("state/import")).unwrap();
    let told = home.done(&["undo"]);
    assert!(
        told.contains("config.toml has servers that go through mcpool, of which no import is on record: memory."),
        "{told}"
    );
    assert!(
        !home
            .done(&["undo", "--client", "cursor"])
            .contains("memory")
    );
}

#[test]
fn what_is_away_with_its_folder_is_kept_for_when_it_is_back_and_a_file_that_is_gone_says_where_it_was()
 {
    let home = Home::new();
    let project = home.project("gone");
    let entry = r#"{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}"#;
    fs::create_dir(project.join(".cursor")).unwrap();
    fs::write(project.join(".cursor/mcp.json"), entry).unwrap();
    let path = home.keep(".cline/mcp.json", entry);
    let import = &mut home.mcpool(&["import", "--apply"]);
    let programs = Path::new(env!("CARGO_BIN_EXE_mcpool")).parent().unwrap();
    import.env("PATH", programs);
    let ran = finish(import.current_dir(&project));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let away = home.root().join("away");
    fs::rename(&project, &away).unwrap();
    fs::remove_file(&path).unwrap();
    let ran = home.run(&["undo"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("is away with its folder"), "{ran:?}");
    let (_, copy) = ran.stdout.split_once("what it was is in ").unwrap();
    fs::copy(copy.trim(), &path).unwrap();
    let told = home.done(&["undo"]);
    assert!(told.contains("is away with its folder"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), entry);
    fs::rename(&away, &project).unwrap();
    home.done(&["undo"]);
    let back = fs::read_to_string(project.join(".cursor/mcp.json")).unwrap();
    assert_eq!(back, entry);
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
}

#[test]
fn an_undo_of_one_client_leaves_the_others() {
    let home = Home::new();
    let path = codex(&home);
    let cursor = home.keep(
        ".cursor/mcp.json",
        r#"{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}"#,
    );
    let before = fs::read(&cursor).unwrap();
    home.done(&["import", "--apply"]);
    let imported = fs::read(&path).unwrap();
    home.done(&["undo", "--client", "cursor"]);
    assert_eq!(fs::read(&cursor).unwrap(), before);
    assert_eq!(fs::read(&path).unwrap(), imported);
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), CODEX);
}

#[test]
fn what_cannot_be_parsed_is_named_and_not_touched() {
    let home = Home::new();
    let path = home.keep(".claude.json", "{\"mcpServers\": {} // no\n}");
    codex(&home);
    let before = fs::metadata(&path).unwrap();
    let ran = home.run(&["import", "--apply"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout
            .contains(".claude.json is not touched: it cannot be parsed: line 1, column 19"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("Changed ~/.codex/config.toml"),
        "{ran:?}"
    );
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
}

#[test]
fn a_link_of_dotfiles_stays_and_its_target_is_changed() {
    let home = Home::new();
    let real = home.keep("dotfiles/codex.toml", CODEX);
    fs::create_dir_all(home.user().join(".codex")).unwrap();
    let link = home.user().join(".codex/config.toml");
    symlink("../dotfiles/codex.toml", &link).unwrap();
    home.done(&["import", "--apply"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("connect"));
    home.done(&["undo"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), CODEX);
}

#[test]
fn a_program_is_told_what_would_change() {
    let home = Home::new();
    codex(&home);
    home.keep(
        ".claude.json",
        r#"{"mcpServers": {"remote": {"type": "http", "url": "https://mcp.example.com"}},
            "projects": {"/p": {"mcpServers": {"x": {"command": "uvx"}}}}}"#,
    );
    let ran = home.run(&["import", "--json"]);
    assert_eq!(ran.code, Some(5));
    assert!(!ran.stdout.contains("ghp_secret"), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["is_applied"], false);
    let claude = &said["files"][0];
    assert_eq!(claude["client"], "claude-code");
    assert_eq!(claude["changed"][0]["server"], "x");
    assert_eq!(claude["changed"][0]["project"], "/p");
    assert_eq!(claude["changed"][0]["before"][0], "uvx");
    assert_eq!(claude["left_alone"][0]["server"], "remote");
    assert_eq!(said["files"][1]["client"], "codex");
}

#[test]
fn no_credential_of_a_command_line_is_told() {
    let home = Home::new();
    home.keep(".cursor/mcp.json",
        r#"{"mcpServers": {"x": {"command": "npx", "args":
            ["-y", "x", "--api-key", "sk-123", "-e", "TOKEN=sk-123", "${TOKEN:-sk-123}", "shown",
             "--config", "{\"apiKey\":\"sk-123\"}", "--config={\"apiKey\": \"sk-123\"}", "\"{\\\"apiKey\\\":\\\"sk-123\\\"}\""]}}}"#,
    );
    for arguments in [&["import"][..], &["import", "--json"]] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(5), "{ran:?}");
        assert!(!ran.stdout.contains("sk-123"), "{ran:?}");
        assert!(
            ran.stdout.contains("--api-key") && ran.stdout.contains("shown"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_project_s_file_names_mcpool_by_its_name_and_only_where_it_is_found() {
    let home = Home::new();
    let project = home.project("project");
    let path = project.join(".cursor/mcp.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let before = r#"{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}"#;
    fs::write(&path, before).unwrap();
    fs::write(project.join(".mcp.json"), before).unwrap();
    let ran = home.run(&["import"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("`mcpool` is not on PATH"), "{ran:?}");
    assert!(
        ran.stdout.contains("Claude Code has no file of yours yet"),
        "{ran:?}"
    );

    let programs = PathBuf::from(env!("CARGO_BIN_EXE_mcpool"));
    let mut command = home.mcpool(&["import", "--apply"]);
    let ran = finish(command.env("PATH", programs.parent().unwrap()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    expect![[r#"{"mcpServers": {"time": {"command": "mcpool", "args": ["connect", "--name", "time", "--", "uvx", "mcp-server-time"]}}}"#]]
        .assert_eq(&fs::read_to_string(&path).unwrap());
    assert_eq!(
        fs::read_to_string(project.join(".mcp.json")).unwrap(),
        before
    );
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn an_imported_entry_starts_the_server_that_it_was() {
    let home = Home::new();
    let entry = json!({"mcpServers": {"fake": {
        "command": FAKE_SERVER, "args": [], "env": {"DECLARED": "1"}
    }}});
    let path = home.keep(".cursor/mcp.json", &entry.to_string());
    home.done(&["import", "--apply"]);
    let entry: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let entry = &entry["mcpServers"]["fake"];
    let words: Vec<&str> = entry["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let mut command = home.command(entry["command"].as_str().unwrap(), &words);
    let mut client = crate::support::Client::spawn(command.env("DECLARED", "1"));
    client.initialize();
    assert_eq!(home.upstream()["server"], "fake");
}

#[test]
fn every_verb_is_in_the_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.done(&["completions", shell]);
        for word in ["import", "undo", "claude-code"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
}

#[test]
fn servers_of_another_system_come_into_the_configuration_and_go_again() {
    let home = Home::new();
    home.configure("# mine\n");
    let file = home.keep(".mcpproxy/mcp_config.json",
        r#"{"listen": ":8080", "mcpServers": [
            {"name": "memory", "command": "npx", "args": ["-y", "server"], "env": {"TOKEN": "ghp_x"}},
            {"name": "off", "command": "x", "enabled": false}]}"#,
    );
    let config = home.pool().join("config.toml");
    let ran = home.run(&["import", "--from", "mcpproxy"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    expect![[r#"
        --- POOL/config.toml
        +++ POOL/config.toml (through mcpool)
        @@ -1 +1,6 @@
         # ***
        +
        +[servers.memory]
        +command = "npx"
        +args = ["-y", "server"]
        +env = { TOKEN = "***" }

        What may be a secret comes into POOL/config.toml, which others may read: it is made yours alone (mode 0600).

        SERVER  LEFT OUT, BECAUSE
        off     disabled
    "#]]
    .assert_eq(&anonymous(&home, &ran.stdout));
    let file = file.to_str().unwrap();
    home.done(&["import", "--from", file, "--apply"]);
    assert!(home.done(&["list"]).contains("memory"));
    let again = home.run(&["import", "--from", file]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("and the same: memory."), "{again:?}");

    home.done(&["add", "mine", "--", "/bin/cat"]);
    home.done(&["undo"]);
    let text = fs::read_to_string(config).unwrap();
    assert!(
        text.starts_with("# mine\n") && text.contains("[servers.mine]"),
        "{text}"
    );
    assert!(!text.contains("memory"), "{text}");
}

#[test]
fn a_configuration_with_secrets_that_come_in_is_read_by_nobody_else() {
    for (member, value, mode) in [
        ("env", json!({"TOKEN": "ghp_x"}), 0o600),
        ("env", json!({"TOKEN": "${TOKEN}"}), 0o644),
        ("args", json!(["--env=TOKEN=ghp_x"]), 0o600),
    ] {
        let home = Home::new();
        home.configure("# mine\n");
        let config = home.pool().join("config.toml");
        fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
        let entry = json!({"mcpServers": {"memory": {"command": "npx", member: value}}});
        let file = home.keep("servers.json", &entry.to_string());
        let said = home.done(&["import", "--from", file.to_str().unwrap(), "--apply"]);
        assert_eq!(fs::metadata(&config).unwrap().mode() & 0o777, mode);
        assert_eq!(said.contains("mode 0600"), mode == 0o600, "{said}");
    }
}

#[test]
fn a_configuration_that_an_import_has_made_goes_with_it() {
    for is_there in [false, true] {
        let home = Home::new();
        let config = home.pool().join("config.toml");
        if is_there {
            home.configure("");
        } else if config.exists() {
            fs::remove_file(&config).unwrap();
        }
        let file = home.keep("a.json", r#"{"servers": {"a": {"command": "npx"}}}"#);
        home.done(&["import", "--from", file.to_str().unwrap(), "--apply"]);
        assert!(fs::read_to_string(&config).unwrap().contains("[servers.a]"));
        home.done(&["undo"]);
        assert_eq!(config.exists(), is_there);
        assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
    }
}

#[test]
fn a_link_to_a_file_of_another_ending_is_read_by_its_own_name_on_the_way_back_too() {
    let yaml = "mcpServers:\n  - name: git\n    command: uvx\n    args: [s]\n";
    let json = "{\"command\": \"uvx\", \"args\": [\"s\"]}\n";
    for (link, target, text, note) in [
        ("config.yaml", "continue.json", yaml, "# mine\n"),
        ("mcpServers/git.json", "git.yaml", json, "\n"),
    ] {
        let home = Home::new();
        let target = home.keep(&format!("dotfiles/{target}"), text);
        let link = home.user().join(".continue").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&target, &link).unwrap();
        home.done(&["import", "--apply"]);
        let imported = fs::read_to_string(&target).unwrap();
        assert!(imported.contains("connect"), "{imported}");
        // Its owner has changed it since.
        fs::write(&target, imported + note).unwrap();
        let said = home.done(&["undo"]);
        assert!(said.contains("is taken back: git."), "{said}");
        let now = fs::read_to_string(&target).unwrap();
        assert_eq!(now, format!("{text}{note}"));
    }
}
