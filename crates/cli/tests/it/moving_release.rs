//! `undo` of files that are not as an import has left them: what can be taken back is, and the
//! rest is said.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::Home;

const LISTENS: &str = "# mine\n[http]\nlisten = [\"127.0.0.1:17665\"]\n";

const TWO: &str = r#"{
  "mcpServers": {
    "t": {"command": "npx", "args": ["-y", "server-t"]},
    "u": {"command": "uvx", "args": ["server-u"]}
  }
}
"#;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn config(home: &Home) -> PathBuf {
    home.pool().join("config.toml")
}

/// Has nobody have the copies of what was there before the imports.
fn lose_copies(home: &Home) {
    let copies = fs::read_dir(home.pool().join("state/import/backups")).unwrap();
    for copy in copies {
        fs::remove_file(copy.unwrap().path()).unwrap();
    }
}

/// The same file with something else in the place of what it says once.
fn change(path: &Path, from: &str, to: &str) {
    let text = read(path);
    assert_eq!(text.matches(from).count(), 1, "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn an_address_that_has_another_name_since_is_found_by_itself() {
    let home = Home::new();
    home.configure(LISTENS);
    let path = home.keep(".gemini/settings.json", TWO);
    home.done(&["import", "--http", "--apply"]);
    assert!(read(&config(&home)).contains("[servers.t]"));
    change(&path, "\"t\"", "\"t2\"");
    let said = home.done(&["undo"]);
    assert!(said.contains("is taken back: t2, u."), "{said}");
    assert_eq!(read(&path), TWO.replace("\"t\"", "\"t2\""));
    assert_eq!(read(&config(&home)), LISTENS);
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
}

#[test]
fn an_address_by_the_user_s_own_hand_stays_with_its_server() {
    let home = Home::new();
    home.configure(LISTENS);
    let own = r#"{"mcpServers": {"own": {"httpUrl": "http://127.0.0.1:17665/mcp/t"},
        "t": {"command": "npx"}, "u": {"command": "uvx"}}, "a": 1}"#;
    let path = home.keep(".gemini/settings.json", own);
    home.done(&["import", "--http", "--apply"]);
    change(&path, "\"a\": 1", "\"a\": 2");
    let ran = home.run(&["undo"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("own still names the address"),
        "{ran:?}"
    );
    assert_eq!(read(&path), own.replace("\"a\": 1", "\"a\": 2"));
    // What the address names is there as long as it is named; the others are not.
    assert!(
        ran.stdout.contains("clients still name the address of t;"),
        "{ran:?}"
    );
    let now = read(&config(&home));
    assert!(
        now.contains("[servers.t]") && !now.contains("[servers.u]"),
        "{now}"
    );
    fs::write(&path, "{}").unwrap();
    home.done(&["undo"]);
    assert_eq!(read(&config(&home)), LISTENS);
}

#[test]
fn without_the_copies_the_words_behind_the_dashes_say_what_was_there() {
    let home = Home::new();
    let own = TWO.replace(
        "\"u\"",
        "\"own\": {\"command\": \"mcpool\", \"args\": [\"connect\", \"--\", \"x\"]},\n    \"u\"",
    );
    let path = home.keep(".gemini/settings.json", &own);
    let list = "mcpServers:\n  - name: git\n    command: uvx\n    args: [s]\n";
    let list_path = home.keep(".continue/config.yaml", list);
    home.done(&["import", "--apply"]);
    change(&path, "\"t\": {", "\"t2\": {");
    lose_copies(&home);
    let said = home.done(&["undo"]);
    assert!(
        said.contains(
            "settings.json has changed since; what import had written is taken back: t2, u."
        ),
        "{said}"
    );
    assert!(
        said.contains(
            "config.yaml is not what it was to the byte, because the copy of that cannot be read"
        ),
        "{said}"
    );
    assert_eq!(read(&path), own.replace("\"t\"", "\"t2\""));
    assert_eq!(read(&list_path), list);
    assert_eq!(
        home.done(&["undo"]).lines().next(),
        Some("There is nothing to undo.")
    );
}

#[test]
fn without_the_copies_an_address_is_left_and_the_rest_is_released() {
    let home = Home::new();
    home.configure(LISTENS);
    let both = TWO.replace("\"server-u\"", "\"$HOME/u\"");
    let path = home.keep(".gemini/settings.json", &both);
    let cursor = r#"{"mcpServers": {"v": {"command": "npx", "args": ["v"]}}}"#;
    let cursor_path = home.keep(".cursor/mcp.json", cursor);
    home.done(&["import", "--http", "--apply", "--client", "cursor"]);
    home.done(&["import", "--http", "--apply"]);
    lose_copies(&home);
    fs::write(&cursor_path, cursor).unwrap();
    let ran = home.run(&["undo"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("is taken back: u."), "{ran:?}");
    assert!(
        ran.stdout
            .contains("is left as it is else: t still names the address"),
        "{ran:?}"
    );
    let now = read(&path);
    assert!(
        now.contains("{\"command\": \"uvx\", \"args\": [\"$HOME/u\"]}"),
        "{now}"
    );
    let now = read(&config(&home));
    assert!(
        now.contains("[servers.t]") && !now.contains("[servers.v]"),
        "{now}"
    );
    // With its command line there, the rest goes as well.
    fs::write(&path, &both).unwrap();
    home.done(&["undo"]);
    assert_eq!(read(&config(&home)), LISTENS);
}

#[test]
fn what_a_client_brings_back_after_an_undo_is_undone_again() {
    let home = Home::new();
    home.configure(LISTENS);
    let path = home.keep(".gemini/settings.json", TWO);
    for options in [&["import", "--apply"][..], &["import", "--http", "--apply"]] {
        home.done(options);
        let imported = read(&path);
        home.done(&["undo"]);
        assert_eq!(read(&path), TWO);
        // A session of the client writes what it had read.
        for _ in 0..2 {
            fs::write(&path, &imported).unwrap();
            let said = home.done(&["undo"]);
            assert_eq!(said, "~/.gemini/settings.json is as it was.\n");
            assert_eq!(read(&path), TWO);
        }
        let with_more = imported.replacen("{\n", "{\n  \"more\": 1,\n", 1);
        fs::write(&path, with_more).unwrap();
        let said = home.done(&["undo"]);
        assert!(said.contains("is taken back: t, u."), "{said}");
        assert_eq!(read(&path), TWO.replacen("{\n", "{\n  \"more\": 1,\n", 1));
        fs::write(&path, TWO).unwrap();
        assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
    }
}

#[test]
fn what_is_away_with_its_folder_for_long_is_told_once_more() {
    let home = Home::new();
    let path = home.keep(".kiro/settings/mcp.json", TWO);
    home.done(&["import", "--apply"]);
    let imported = read(&path);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    for _ in 0..2 {
        let said = home.done(&["undo"]);
        assert!(said.contains("is kept for 30 days"), "{said}");
    }
    let journal = home.pool().join("state/import/journal.json");
    let mut saved: serde_json::Value = serde_json::from_str(&read(&journal)).unwrap();
    let since = saved["rows"][0]["away_since"].as_u64().unwrap();
    saved["rows"][0]["away_since"] = (since - 30 * 24 * 60 * 60).into();
    fs::write(&journal, saved.to_string()).unwrap();
    let said = home.done(&["undo"]);
    assert!(said.contains("is not told of any more"), "{said}");
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
    home.keep(".kiro/settings/mcp.json", &imported);
    home.done(&["undo"]);
    assert_eq!(read(&path), TWO, "it came back all the same");
}

#[test]
fn what_gave_way_to_an_address_comes_back_in_its_order_and_with_its_comments() {
    let home = Home::new();
    home.configure(LISTENS);
    for before in [
        "[mcp_servers.t]\ncommand = \"npx\"\nargs = [\"t\"]\nstartup_timeout_sec = 5\n\
             env = { K = \"plain\" } # c\n",
        "[mcp_servers.t]\ncommand = \"npx\"\nargs = [\"t\"]\nenv = { K = \"plain\" } # c\n\
             enabled = true # d\n",
        "[mcp_servers.t]\ncommand = \"npx\" # c\nargs = [\"t\"]\nenabled = true # d\n\
             env = { K = \"plain\" }\ncwd = \"/\"\n",
    ] {
        let path = home.keep(".codex/config.toml", before);
        home.done(&["import", "--http", "--apply"]);
        let imported = read(&path);
        assert!(imported.contains("url = "), "{imported}");
        fs::write(&path, format!("{imported}required = false\n")).unwrap();
        home.done(&["undo"]);
        assert_eq!(read(&path), format!("{before}required = false\n"));
    }
}
