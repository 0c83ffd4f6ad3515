//! What import has put before a project's file, and what a person has decided of it since.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    moving_policies::{before_file, committed, doctor, git, project_of, put_before, two, write},
    support::Home,
};

/// What Claude Code has noted of the project, with one thing more.
pub(crate) fn note_more(home: &Home, user: &Path, key: &str, value: Value) {
    let mut said: Value = serde_json::from_str(&fs::read_to_string(user).unwrap()).unwrap();
    said["projects"][project_of(home)][key] = value;
    fs::write(user, said.to_string()).unwrap();
}

#[test]
fn what_a_person_has_switched_off_since_is_told_and_taken_away() {
    let off = json!(["git"]);
    let in_settings = |home: &Home| {
        let settings = json!({"disabledMcpjsonServers": ["git"]}).to_string();
        let project = home.root().join("project");
        write(&project, ".claude/settings.local.json", &settings);
    };
    let user = |home: &Home| home.user().join(".claude.json");
    let noted = |home: &Home| note_more(home, &user(home), "disabledMcpServers", off.clone());
    let forgotten = |home: &Home| {
        note_more(home, &user(home), "enabledMcpjsonServers", json!(["other"]));
    };
    let decisions: [&dyn Fn(&Home); 3] = [&in_settings, &noted, &forgotten];
    let said = [
        "it is switched off in Claude Code",
        "it is switched off in Claude Code",
        "nobody has approved it",
    ];
    for (decide, expected) in decisions.into_iter().zip(said) {
        let home = Home::new();
        let file = committed(&home, "{}");
        let user = put_before(&home, &file);
        assert_eq!(doctor(&home), Vec::<Value>::new());
        decide(&home);
        let [finding] = doctor(&home).try_into().unwrap();
        let what = finding["what"].as_str().unwrap();
        assert!(what.ends_with("runs: git"), "{what}");
        let ran = home.done(&["import", "--client", "claude-code", "--apply"]);
        assert!(ran.contains(expected), "{ran}");
        let left = before_file(&home, &user);
        assert!(left.get("git").is_none(), "{expected}: {left}");
        assert!(left.get("other").is_some(), "{expected}: {left}");
        assert_eq!(doctor(&home), Vec::<Value>::new());
        let again = home.done(&["import", "--client", "claude-code", "--apply"]);
        assert!(again.starts_with("There is nothing to import."), "{again}");
        home.done(&["undo"]);
        assert_eq!(before_file(&home, &user), Value::Null);
    }
}

#[test]
fn a_server_of_a_project_that_is_switched_off_there_is_left() {
    let home = Home::new();
    let text = json!({"projects": {"/srv/shop": {
        "mcpServers": {"git": {"command": "uvx"}, "time": {"command": "uvx"}},
        "disabledMcpServers": ["git"]
    }}});
    write(&home.user(), ".claude.json", &text.to_string());
    let ran = home.run(&["import", "--json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let file = &said["files"][0];
    assert_eq!(file["changed"][0]["server"], "time", "{file}");
    assert_eq!(file["left_alone"][0]["server"], "git", "{file}");
    assert_eq!(file["left_alone"][0]["reason"], "disabled", "{file}");
}

/// A project before whose file something stands, and both files as they are.
fn changed_project(home: &Home, text: &str) -> [(PathBuf, String); 2] {
    let file = committed(home, "{}");
    let user = put_before(home, &file);
    fs::write(&file, text).unwrap();
    [user, file].map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

#[test]
fn where_git_cannot_be_asked_nothing_is_changed_and_that_is_said() {
    let gone = json!({"mcpServers": {"other": {"command": "uvx", "args": ["s"]}}}).to_string();
    for text in [two("s", "t"), gone] {
        let home = Home::new();
        let files = changed_project(&home, &text);
        fs::remove_file(home.root().join("project/.git/HEAD")).unwrap();
        let ran = home.done(&["import", "--client", "claude-code", "--apply"]);
        assert!(ran.starts_with("There is nothing to import."), "{ran}");
        let why = "whether version control has the project's file cannot be told (git does not say";
        assert!(ran.contains(why), "{ran}");
        assert!(ran.contains("claude-code  git "), "the server: {ran}");
        for (path, before) in files {
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                before,
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn what_stands_before_a_file_that_import_could_not_write_follows_it_all_the_same() {
    let home = Home::new();
    let [(user, _), (file, _)] = changed_project(&home, &two("s", "t"));
    // With a second name, import would not change it itself.
    fs::hard_link(&file, home.root().join("second-name")).unwrap();
    let ran = home.run(&["import", "--client", "claude-code", "--apply"]);
    assert!(ran.stdout.contains("it has several names"), "{ran:?}");
    let other = &before_file(&home, &user)["other"];
    assert_eq!(
        other["args"].as_array().unwrap().last(),
        Some(&json!("t")),
        "{ran:?}"
    );
}

#[test]
fn nothing_stays_before_a_file_that_git_has_no_more() {
    let home = Home::new();
    let [(user, _), _] = changed_project(&home, &two("s", "s"));
    git(
        &home,
        &["rm", "--quiet", "--force", "--cached", ".mcp.json"],
    );
    assert_eq!(doctor(&home).len(), 1);
    let ran = home.done(&["import", "--client", "claude-code", "--apply"]);
    assert!(
        ran.contains("version control has the project's file no more"),
        "{ran}"
    );
    assert_eq!(before_file(&home, &user), json!({}));
    assert_eq!(doctor(&home), Vec::<Value>::new());
}
