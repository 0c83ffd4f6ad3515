//! `import` where an administrator has a say, and where a project's file is everybody's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    doctor::{examined, problem},
    support::{Home, Ran, finish, programs},
};

const ENTRY: &str = r#"{"command": "uvx", "args": ["s"]}"#;

/// Clients' files with one server, `git`, which is `uvx s`.
const CLAUDE_CODE: (&str, &str) = (".claude.json", SERVERS);
const SERVERS: &str = r#"{"mcpServers": {"git": {"command": "uvx", "args": ["s"]}}}"#;
const CODEX: (&str, &str) = (
    ".codex/config.toml",
    "[mcp_servers.git]\ncommand = \"uvx\"\nargs = [\"s\"]\n",
);
const GEMINI: (&str, &str) = (".gemini/settings.json", SERVERS);
const COPILOT: (&str, &str) = (".copilot/mcp-config.json", SERVERS);
const VS_CODE: (&str, &str) = (
    ".config/Code/User/mcp.json",
    r#"{"servers": {"git": {"command": "uvx", "args": ["s"]}}}"#,
);
const OPENCODE: (&str, &str) = (
    ".config/opencode/opencode.json",
    r#"{"mcp": {"git": {"type": "local", "command": ["uvx", "s"]}}}"#,
);
const AMP: (&str, &str) = (
    ".config/amp/settings.json",
    r#"{"amp.mcpServers": {"git": {"command": "uvx", "args": ["s"]}}}"#,
);

const DENIED: &str = r#"{"deniedMcpServers": [{"serverCommand": ["uvx", "s"]}]}"#;
const ALLOWED: &str = r#"{"allowedMcpServers": [{"serverCommand": ["uvx", "s"]}]}"#;

/// A client's file, an administrator's, and what is said of the server.
const MANAGED: [((&str, &str), &str, &str, &str); 11] = [
    (
        CLAUDE_CODE,
        "etc/claude-code/managed-settings.json",
        DENIED,
        "denied",
    ),
    (
        CLAUDE_CODE,
        "etc/claude-code/managed-settings.d/10.json",
        DENIED,
        "denied",
    ),
    (
        CLAUDE_CODE,
        "etc/claude-code/managed-mcp.json",
        "{}",
        "reads no others",
    ),
    (
        CLAUDE_CODE,
        "etc/claude-code/managed-settings.json",
        ALLOWED,
        AS_IT_IS,
    ),
    (
        CODEX,
        "etc/codex/requirements.toml",
        "[mcp_servers.git.identity]\ncommand = \"uvx\"\n",
        AS_IT_IS,
    ),
    (
        GEMINI,
        "etc/gemini-cli/settings.json",
        r#"{"mcp": {"allowed": ["other"]}}"#,
        "denied",
    ),
    (
        COPILOT,
        "etc/github-copilot/managed-settings.json",
        DENIED,
        "denied",
    ),
    (
        VS_CODE,
        "etc/github-copilot/managed-settings.json",
        DENIED,
        "denied",
    ),
    (
        VS_CODE,
        "etc/vscode/policy.json",
        r#"{"ChatMCP": "none"}"#,
        "denied",
    ),
    (
        OPENCODE,
        "etc/opencode/opencode.json",
        r#"{"mcp": {"git": {"enabled": false}}}"#,
        "the client takes that",
    ),
    (
        AMP,
        "etc/ampcode/managed-settings.json",
        r#"{"amp.mcpPermissions": [{"matches": {"command": "uvx"}, "action": "reject"}]}"#,
        "denied",
    ),
];

const AS_IT_IS: &str = "allows this exact command line";

pub(crate) fn write(folder: &Path, path: &str, text: &str) -> PathBuf {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// An import on a machine whose administrator has these files.
fn import(home: &Home, arguments: &[&str]) -> Ran {
    let mut command = home.mcpool(&[&["import"], arguments].concat());
    finish(command.env("MCPOOL_TEST_ROOT", home.root().join("root")))
}

#[test]
fn what_an_administrator_denies_or_settles_is_left_as_it_is_whatever_the_client() {
    for ((file, text), managed, rules, expected) in MANAGED {
        let home = Home::new();
        home.configure("[http]\nlisten = [\"127.0.0.1:17665\"]\n");
        let path = write(&home.user(), file, text);
        write(&home.root(), &format!("root/{managed}"), rules);
        for http in [&[][..], &["--http"]] {
            let ran = import(&home, &[&["--apply"], http].concat());
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert!(ran.stdout.contains(expected), "{managed}: {ran:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{managed}");
            let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
            assert!(!config.contains("servers"), "{config}");
        }
        // Without the administrator, it is imported.
        home.done(&["import", "--apply"]);
        assert_ne!(fs::read_to_string(&path).unwrap(), text, "{file}");
    }
}

/// What a service or the management of devices has told a client, as far as files here have it.
#[test]
fn what_a_service_has_told_a_client_is_heeded_from_its_copy() {
    for ((file, text), copy, rules, expected) in [
        (
            CLAUDE_CODE,
            ".claude/remote-settings.json",
            DENIED,
            "denied",
        ),
        (
            CODEX,
            ".codex/cloud-config-bundle-cache.json",
            r#"{"requirements": "[mcp_servers.git.identity]\ncommand = \"uvx\"\n"}"#,
            "in a form that mcpool does not read",
        ),
    ] {
        let home = Home::new();
        let path = write(&home.user(), file, text);
        let copy = write(&home.user(), copy, rules);
        let ran = import(&home, &["--apply"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{ran:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::write(&copy, "{}").unwrap();
        home.done(&["import", "--apply"]);
        assert_ne!(fs::read_to_string(&path).unwrap(), text);
        // A rule that comes later is told, as mcpool would lead past it.
        fs::write(&copy, rules).unwrap();
        let ran = import(&home, &[]);
        assert_eq!(
            ran.stdout.contains("deny it by now"),
            rules == DENIED,
            "{ran:?}"
        );
        let (code, found) = examined(&home, "clients", &[]);
        let told = found
            .iter()
            .filter_map(|finding| finding["what"].as_str())
            .find(|what| what.contains("deny what mcpool starts"));
        assert_eq!(told.is_some(), rules == DENIED, "{found:?}");
        assert_eq!(code, Some(i32::from(rules == DENIED)), "{found:?}");
    }
}

#[test]
fn rules_that_nobody_can_read_any_more_are_told_of_what_goes_through_mcpool() {
    let home = Home::new();
    let text = format!(r#"{{"mcpServers": {{"git": {ENTRY}}}}}"#);
    write(&home.user(), ".claude.json", &text);
    home.done(&["import", "--apply"]);
    write(&home.user(), ".claude/settings.json", "{");
    let (what, next) = problem(&home, "clients");
    assert!(
        what.contains("what Claude Code may run is not known"),
        "{what}"
    );
    assert!(next.contains("mend it"), "{next}");
}

#[test]
fn rules_that_cannot_be_read_are_told_and_their_client_s_files_left() {
    let home = Home::new();
    let text = format!(r#"{{"mcpServers": {{"git": {ENTRY}}}}}"#);
    let claude = write(&home.user(), ".claude.json", &text);
    let cursor = write(&home.user(), ".cursor/mcp.json", &text);
    let check = |what: &str, expected: &str| {
        let ran = import(&home, &["--apply"]);
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.stdout.contains(expected), "{what}: {ran:?}");
        assert_eq!(fs::read_to_string(&claude).unwrap(), text, "{what}");
        // The others are imported all the same.
        assert!(fs::read_to_string(&cursor).unwrap().contains("connect"));
        home.done(&["undo"]);
    };
    let managed = write(
        &home.root(),
        "root/etc/claude-code/managed-settings.json",
        "{",
    );
    check(
        "broken",
        "managed-settings.json, which says what it may run, cannot be read",
    );
    fs::remove_file(&managed).unwrap();
    fs::create_dir(&managed).unwrap();
    check("a folder", "it is not a file");
    fs::remove_dir(&managed).unwrap();
    write(
        &home.user(),
        ".claude/settings.json",
        "{ // fine\n \"a\": }",
    );
    check(
        "the user's own",
        "settings.json, which says what it may run, cannot be read",
    );
}

/// A project with a file that git has.
pub(crate) fn committed(home: &Home, text: &str) -> PathBuf {
    let project = home.root().join("project");
    fs::remove_dir_all(&project).unwrap();
    let file = write(&project, ".mcp.json", text);
    for arguments in [&["init", "--quiet"][..], &["add", ".mcp.json"]] {
        let status = Command::new("git")
            .args(arguments)
            .current_dir(&project)
            .status();
        assert!(status.unwrap().success());
    }
    file
}

pub(crate) fn project_of(home: &Home) -> String {
    home.root().join("project").to_str().unwrap().to_owned()
}

#[test]
fn a_project_s_file_that_git_has_stays_and_what_is_approved_is_put_before_it() {
    let home = Home::new();
    let text = format!(
        r#"{{"mcpServers": {{"git": {{"type": "stdio", "command": "uvx", "args": ["s", 3], "timeout": 5}},
            "new": {ENTRY}, "gone": {ENTRY}, "remote": {{"type": "http", "url": "https://x"}}}}}}"#
    );
    let file = committed(&home, &text);
    let project = project_of(&home);
    let user = json!({"numStartups": 1, "projects": {&project: {
        "enabledMcpjsonServers": ["git", "gone"], "disabledMcpjsonServers": ["gone"]
    }}});
    let user = serde_json::to_string_pretty(&user).unwrap();
    let path = write(&home.user(), ".claude.json", &user);

    let ran = home.run(&["import"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    for reason in ["nobody has approved it", "it is switched off"] {
        assert_eq!(ran.stdout.matches(reason).count(), 1, "{ran:?}");
    }
    home.done(&["import", "--apply"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let imported = fs::read_to_string(&path).unwrap();
    let said: Value = serde_json::from_str(&imported).unwrap();
    let servers = &said["projects"][&project]["mcpServers"];
    assert_eq!(servers.as_object().unwrap().len(), 1, "{imported}");
    let git = &servers["git"];
    assert_eq!(git["type"], "stdio");
    assert_eq!(git["timeout"], 5);
    let args = git["args"].as_array().unwrap();
    assert_eq!(
        args[args.len() - 3..],
        [json!("uvx"), json!("s"), json!(3)],
        "{imported}"
    );
    assert!(git["command"].as_str().unwrap().ends_with("/mcpool"));
    // What was there before is there as it was written.
    let lines = imported.lines();
    let kept = lines.filter(|line| {
        user.lines()
            .any(|it| it.trim_end_matches(',') == line.trim_end_matches(','))
    });
    assert!(kept.count() >= user.lines().count() - 1, "{imported}");

    let again = home.run(&["import", "--apply"]);
    assert!(
        again.stdout.starts_with("There is nothing to import."),
        "{again:?}"
    );
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), user);

    // Its client has noted something since.
    home.done(&["import", "--apply"]);
    let noted = fs::read_to_string(&path)
        .unwrap()
        .replace("\"numStartups\": 1", "\"numStartups\": 2");
    fs::write(&path, noted).unwrap();
    home.done(&["undo"]);
    let now: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(&user).unwrap();
    expected["numStartups"] = json!(2);
    assert_eq!(now, expected);
}

#[test]
fn a_project_s_file_that_git_has_not_is_changed_itself() {
    let home = Home::new();
    let text = format!(r#"{{"mcpServers": {{"git": {ENTRY}}}}}"#);
    let file = committed(&home, "{}");
    git(&home, &["rm", "--quiet", "--cached", ".mcp.json"]);
    fs::write(&file, &text).unwrap();
    note(&home, &json!({"hasTrustDialogAccepted": true}));
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_mcpool"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        programs.parent().unwrap().display()
    );
    let mut command = home.mcpool(&["import", "--apply"]);
    let ran = finish(command.env("PATH", path));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        r#"{"mcpServers": {"git": {"command": "mcpool", "args": ["connect", "--name", "git", "--", "uvx", "s"]}}}"#
    );
    home.done(&["undo"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

/// Runs git in the project.
pub(crate) fn git(home: &Home, arguments: &[&str]) {
    let mut git = Command::new("git");
    let git = git.args(arguments).current_dir(home.root().join("project"));
    assert!(git.status().unwrap().success());
}

/// What Claude Code has noted of the project.
pub(crate) fn note(home: &Home, noted: &Value) {
    let user =
        json!({"projects": {project_of(home): noted}, "mcpServers": {"mine": {"command": "uvx"}}});
    write(&home.user(), ".claude.json", &user.to_string());
}

#[test]
fn what_a_project_s_own_settings_approve_is_not_approved_by_a_person() {
    let home = Home::new();
    committed(&home, &format!(r#"{{"mcpServers": {{"git": {ENTRY}}}}}"#));
    let project = home.root().join("project");
    let all = r#"{"enableAllProjectMcpServers": true}"#;
    let check = |what: &str, is_approved: bool| {
        let ran = home.run(&["import", "--server", "git"]);
        assert_eq!(
            ran.code,
            Some(if is_approved { 5 } else { 0 }),
            "{what}: {ran:?}"
        );
        let is_left = ran.stdout.contains("nobody has approved it");
        assert_eq!(is_left, !is_approved, "{what}: {ran:?}");
    };
    note(&home, &json!({"hasTrustDialogAccepted": true}));
    write(&project, ".claude/settings.json", all);
    check("of everybody", false);
    write(&project, ".claude/settings.local.json", all);
    check("the user's", true);
    note(&home, &json!({"hasTrustDialogAccepted": false}));
    check("of a folder that nobody trusts", false);
    note(&home, &json!({"hasTrustDialogAccepted": true}));
    git(&home, &["add", ".claude/settings.local.json"]);
    check("that git has", false);
}

#[test]
fn a_client_is_asked_in_a_project_only_if_that_is_trusted_and_has_changed() {
    let home = Home::new();
    committed(&home, &format!(r#"{{"mcpServers": {{"git": {ENTRY}}}}}"#));
    let project = project_of(&home);
    let mark = home.file("asked-in");
    let script = format!("#!/bin/sh\npwd > {mark}\necho mine\n[ $PWD = / ] || echo git\n");
    let folder = home.root().join("programs");
    fs::create_dir(&folder).unwrap();
    programs::write(folder.join("claude"), script);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    for (is_trusted, servers, folder) in [
        (true, &[][..], project.as_str()),
        (false, &[], "/"),
        (true, &["--server", "mine"], "/"),
    ] {
        note(
            &home,
            &json!({"hasTrustDialogAccepted": is_trusted, "enabledMcpjsonServers": ["git"]}),
        );
        let mut command = home.mcpool(&[&["import", "--apply"], servers].concat());
        let ran = finish(command.env("PATH", &path));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("lists all of them"), "{ran:?}");
        assert_eq!(fs::read_to_string(&mark).unwrap().trim_end(), folder);
        home.done(&["undo"]);
    }
}

#[test]
fn a_server_of_another_project_is_what_that_project_s_own_lists_let_it_be() {
    let home = Home::new();
    let here = home.root().join("project");
    let there = home.project("there");
    let server = json!({"mcpServers": {"git": {"command": "uvx", "args": ["s"]}}});
    let user = json!({"projects": {
        here.to_str().unwrap(): server, there.to_str().unwrap(): server
    }});
    write(&home.user(), ".claude.json", &user.to_string());
    for (denying, other) in [(&here, &there), (&there, &here)] {
        let lists = write(denying, ".claude/settings.local.json", DENIED);
        let ran = home.run(&["import", "--json"]);
        assert_eq!(ran.code, Some(5), "{ran:?}");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        let file = &said["files"][0];
        for (list, project) in [("changed", other), ("left_alone", denying)] {
            assert_eq!(
                file[list][0]["project"],
                project.to_str().unwrap(),
                "{list}"
            );
            assert_eq!(file[list].as_array().unwrap().len(), 1, "{list}");
        }
        fs::remove_file(lists).unwrap();
    }
}

/// An import has put `git` and `other` before the file of the project.
pub(crate) fn put_before(home: &Home, file: &Path) -> PathBuf {
    fs::write(file, two("s", "s")).unwrap();
    let approved =
        json!({"hasTrustDialogAccepted": true, "enabledMcpjsonServers": ["git", "other"]});
    note(home, &approved);
    home.done(&["import", "--apply"]);
    home.user().join(".claude.json")
}

/// What a project has of two servers.
pub(crate) fn two(git: &str, other: &str) -> String {
    json!({"mcpServers": {
        "git": {"command": "uvx", "args": [git], "timeout": 5.0},
        "other": {"command": "uvx", "args": [other]}
    }})
    .to_string()
}

/// What stands before the file of the project, server by server.
pub(crate) fn before_file(home: &Home, user: &Path) -> Value {
    let said: Value = serde_json::from_str(&fs::read_to_string(user).unwrap()).unwrap();
    said["projects"][project_of(home)]["mcpServers"].clone()
}

/// What doctor says of clients' files, from elsewhere.
pub(crate) fn doctor(home: &Home) -> Vec<Value> {
    let elsewhere = home.project("elsewhere");
    let ran = finish(home.mcpool(&["doctor", "--json"]).current_dir(elsewhere));
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = said["findings"].as_array().unwrap().iter();
    findings
        .filter(|it| it["check"] == "clients" && it["weight"] == "problem")
        .cloned()
        .collect()
}

#[test]
fn what_is_put_before_a_project_s_file_follows_that_and_says_when_it_does_not() {
    let home = Home::new();
    let file = committed(&home, "{}");
    let user = put_before(&home, &file);
    let first = fs::read_to_string(&user).unwrap();
    // Its client writes the whole file anew.
    let written: Value = serde_json::from_str(&first).unwrap();
    let written = serde_json::to_string_pretty(&written).unwrap();
    fs::write(&user, written.replace("5.0", "5")).unwrap();
    assert_eq!(doctor(&home), Vec::<Value>::new());
    let ran = home.run(&["import"]);
    assert!(
        ran.stdout.starts_with("There is nothing to import."),
        "{ran:?}"
    );

    // Somebody else changes one.
    fs::write(&file, two("s", "t")).unwrap();
    let [finding] = doctor(&home).try_into().unwrap();
    assert!(
        finding["what"].as_str().unwrap().ends_with("runs: other"),
        "{finding}"
    );
    let next = finding["next"].as_str().unwrap();
    let command = format!(
        "cd '{}' && mcpool import --client claude-code --apply",
        project_of(&home)
    );
    assert_eq!(next, format!("run: {command}"));
    let ran = home.run(&["import"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stdout.contains(&command), "{ran:?}");
    let ran = home.done(&["import", "--client", "claude-code", "--apply"]);
    assert!(!ran.contains(&command), "{ran}");
    let args = before_file(&home, &user)["other"]["args"].clone();
    assert_eq!(args.as_array().unwrap().last(), Some(&json!("t")), "{args}");
    assert_eq!(doctor(&home), Vec::<Value>::new());
    let ran = home.run(&["import"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // All of it is taken back.
    home.done(&["undo"]);
    assert_eq!(before_file(&home, &user), Value::Null);
}

#[test]
fn what_a_project_has_no_more_is_taken_away_from_before_its_file() {
    let home = Home::new();
    let file = committed(&home, "{}");
    let user = put_before(&home, &file);
    let first = fs::read_to_string(&user).unwrap();
    let check = |text: &str, expected: &str| {
        fs::write(&file, text).unwrap();
        assert_eq!(doctor(&home).len(), 1, "{text}");
        let ran = home.done(&["import", "--apply"]);
        assert!(ran.contains(expected), "{text}: {ran}");
        let left = before_file(&home, &user);
        assert!(
            left.get("other").is_none() && left.get("git").is_some(),
            "{left}"
        );
        assert_eq!(doctor(&home), Vec::<Value>::new());
        // The way back leads past it.
        home.done(&["undo"]);
        assert_eq!(before_file(&home, &user), Value::Null);
        put_before(&home, &file);
        assert_eq!(fs::read_to_string(&user).unwrap(), first);
    };
    let with = |other: &str| two("s", "s").replace(r#"{"args":["s"],"command":"uvx"}"#, other);
    check(
        r#"{"mcpServers": {"git": {"command": "uvx", "args": ["s"], "timeout": 5.0}}}"#,
        "the project's file has it no more",
    );
    let remote = with(r#"{"type": "http", "url": "https://x"}"#);
    check(&remote, "the project's file has it in another way");
    // What a person has put there is theirs.
    let mine = first
        .replace("\"s\"", "\"mine\"")
        .replace("/mcpool\"", "/mine\"");
    fs::write(&user, &mine).unwrap();
    fs::write(&file, "{}").unwrap();
    assert_eq!(doctor(&home), Vec::<Value>::new());
    home.done(&["import", "--apply"]);
    assert_eq!(before_file(&home, &user).as_object().unwrap().len(), 2);
}
