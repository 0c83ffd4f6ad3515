//! `doctor`: what is wrong is found, and what to do about it is said.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Client, FAKE_SERVER, Home, finish, free_address, hello,
    processes::{Holder, Process},
    programs, until,
};

/// The exit code, and what was found of that kind.
#[track_caller]
pub(crate) fn examined(home: &Home, check: &str, options: &[&str]) -> (Option<i32>, Vec<Value>) {
    let ran = home.run(&[&["doctor", "--json"], options].concat());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["is_well"], ran.code == Some(0), "{report}");
    let findings = report["findings"].as_array().unwrap().iter();
    let found = findings.filter(|finding| finding["check"] == check);
    (ran.code, found.cloned().collect())
}

/// The only finding of that kind, which is a problem; what is so, and what to do next.
#[track_caller]
pub(crate) fn problem(home: &Home, check: &str) -> (String, String) {
    let (code, found) = examined(home, check, &[]);
    assert_eq!(code, Some(1), "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["weight"], "problem", "{found:?}");
    let text = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
    (text("what"), text("next"))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_a_client_s_file_holds_nobody_up() {
    let home = Home::new();
    let folder = home.user().join(".cursor");
    fs::create_dir(&folder).unwrap();
    let made = Command::new("mkfifo").arg(folder.join("mcp.json")).status();
    assert!(made.unwrap().success());
    for (verb, expected) in [("doctor", "it is not a file"), ("advise", "")] {
        let mut child = home
            .mcpool(&[verb, "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("it comes to an end", || child.try_wait().unwrap().is_some());
        }));
        if let Err(panic) = ended {
            child.kill().unwrap();
            std::panic::resume_unwind(panic);
        }
        let mut said = String::new();
        stdout.read_to_string(&mut said).unwrap();
        assert!(said.contains(expected), "{verb}: {said}");
    }
}

#[test]
fn a_healthy_installation_is_well_with_a_daemon_and_without() {
    let home = Home::new();
    let plain = home.done(&["doctor"]);
    assert!(plain.contains("the next session starts it"), "{plain}");
    assert!(plain.ends_with("All is well.\n"), "{plain}");
    assert!(
        !home.pool().join("mcpool.sock").exists(),
        "it starts nothing"
    );
    let _session = home.session(&[]);
    let (code, found) = examined(&home, "daemon", &[]);
    assert_eq!((code, found), (Some(0), Vec::new()));
    let (_, found) = examined(&home, "versions", &[]);
    assert_eq!(found, Vec::<Value>::new());
}

#[test]
fn a_broken_configuration_is_told_with_its_place() {
    let home = Home::new();
    home.configure("[servers.x]\ncomand = \"y\"\n");
    let (what, next) = problem(&home, "config");
    assert!(what.contains("config.toml:2:1"), "{what}");
    assert!(next.contains("mend it in"), "{next}");
}

#[test]
fn permissions_that_are_too_wide_are_mended_and_can_be_put_back() {
    let home = Home::new();
    home.configure("");
    home.make_private("state");
    let (state, config) = (home.pool().join("state"), home.pool().join("config.toml"));
    set_mode(&state, 0o777);
    set_mode(&config, 0o666);
    let (code, found) = examined(&home, "folders", &[]);
    assert_eq!((code, found.len()), (Some(1), 2), "{found:?}");
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains("chmod go-w"), "{text}");

    let (code, found) = examined(&home, "folders", &["--fix"]);
    assert_eq!((code, found.len()), (Some(0), 2), "{found:?}");
    for finding in &found {
        assert_eq!(finding["weight"], "mended");
        let undo = finding["undo"].as_str().unwrap();
        let undone = finish(&mut home.command("sh", &["-c", undo]));
        assert_eq!(undone.code, Some(0), "{undo}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&state), mode(&config)), (0o777, 0o666));
    assert_eq!(home.run(&["doctor"]).code, Some(1), "as it was");
    assert_eq!(home.run(&["doctor", "--fix"]).code, Some(0));
    assert_eq!((mode(&state), mode(&config)), (0o755, 0o644));
}

#[test]
fn a_server_that_does_not_start_is_named_with_its_last_words() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.broken]\ncommand = \"{FAKE_SERVER}\"\nargs = [\"--say\", \"no licence\", \"--exit-at-start\", \"3\"]\n"
    ));
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "broken"]));
    client.ask("initialize", hello("2025-11-25", &serde_json::json!({})));
    // It is tried again now and then.
    until("the finding", || {
        let (code, found) = examined(&home, "servers", &[]);
        code == Some(1)
            && found.len() == 1
            && found[0]["what"].as_str().unwrap().contains("no licence")
            && found[0]["next"] == "run: mcpool logs broken; then: mcpool restart broken"
    });
}

#[test]
fn who_has_the_port_is_named_whether_or_not_the_daemon_runs() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    home.configure(&format!("[http]\nlisten = [\"{address}\"]\n"));
    let taken = Holder::of(taken);
    let holder = format!("process {}", taken.pid());
    for _ in 0..2 {
        let (what, next) = problem(&home, "ports");
        assert!(
            what.contains(&address.to_string()) && what.contains(&holder),
            "{what}"
        );
        assert!(next.contains("[http]"), "{next}");
        home.session(&[]);
    }
}

#[test]
fn an_address_of_a_client_at_which_nobody_listens_or_has_the_server_is_told() {
    let home = Home::new();
    let config = |address: &str| {
        home.configure(&format!(
            "[http]\nlisten = [\"{address}\"]\n[servers.own]\ncommand = '{FAKE_SERVER}'\n"
        ));
    };
    let address = free_address().to_string();
    config(&address);
    let file = home.user().join(".cursor/mcp.json");
    fs::create_dir(file.parent().unwrap()).unwrap();
    let one = format!(r#"{{"mcpServers": {{"time": {{"command": "{FAKE_SERVER}"}}}}}}"#);
    fs::write(&file, one).unwrap();
    home.done(&["import", "--http", "--apply"]);
    let (what, next) = problem(&home, "ports");
    assert!(
        what.contains("Cursor would find time at") && what.contains("does not run"),
        "{what}"
    );
    assert!(next.contains("mcpool service install"), "{next}");
    // Also by an import without addresses it is known for what it is.
    let ran = home.done(&["import"]);
    assert_eq!(ran, "There is nothing to import.\n");

    home.done(&["tools", "own"]);
    assert_eq!(examined(&home, "ports", &[]).1, Vec::<Value>::new());
    // Somebody renames a server.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("mcp/time", "mcp/clock")).unwrap();
    let (what, next) = problem(&home, "ports");
    assert!(
        what.contains("find `clock` at") && what.contains("no server of that name"),
        "{what}"
    );
    assert!(next.contains("mcpool add clock"), "{next}");
    fs::write(&file, text.replace("{\"url", "{\"disabled\": true, \"url")).unwrap();
    assert_eq!(
        examined(&home, "ports", &[]).1,
        Vec::<Value>::new(),
        "it is switched off"
    );
    // It is to listen elsewhere from its next start on.
    fs::write(&file, text).unwrap();
    let moved = fs::read_to_string(home.pool().join("config.toml")).unwrap();
    fs::write(
        home.pool().join("config.toml"),
        moved.replace(&address, &free_address().to_string()),
    )
    .unwrap();
    home.done(&["stop"]);
    home.done(&["tools", "own"]);
    let (what, next) = problem(&home, "ports");
    assert!(
        what.contains(&format!("http://{address}, and mcpool does not listen")),
        "{what}"
    );
    assert!(
        next.contains("mcpool stop") && next.contains("mcpool undo"),
        "{next}"
    );
}

#[test]
fn a_program_that_is_not_found_is_told_before_a_session_misses_it() {
    let home = Home::new();
    home.configure(
        "[servers.there]\ncommand = \"cat\"\n[servers.away]\ncommand = \"no-such-program-here\"\n",
    );
    let (what, next) = problem(&home, "path");
    assert!(
        what.contains("no-such-program-here") && what.contains("`away`"),
        "{what}"
    );
    assert!(next.contains("full path"), "{next}");
}

#[test]
fn a_program_that_was_replaced_is_another_build_until_the_upgrade() {
    let home = Home::new();
    let bin = home.root().join("bin");
    fs::create_dir(&bin).unwrap();
    let install = || {
        for program in [env!("CARGO_BIN_EXE_mcpool"), env!("CARGO_BIN_EXE_mcpoold")] {
            let name = Path::new(program).file_name().unwrap();
            let copy = bin.join("new");
            programs::copy(program, &copy);
            fs::rename(copy, bin.join(name)).unwrap();
        }
    };
    install();
    let mcpool = bin.join("mcpool");
    let mut session = Client::spawn(&mut home.command(&mcpool, &["connect", "--", FAKE_SERVER]));
    session.initialize();
    session.text("echo", serde_json::json!({"text": "hello"}));
    let looked = || {
        let ran = finish(&mut home.command(&mcpool, &["doctor"]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let says_nothing = looked();
    assert!(!says_nothing.contains("another build"), "{says_nothing}");
    install();
    let told = looked();
    for words in [
        "the daemon is another build",
        "run: mcpool upgrade",
        "the guardian is another build",
        "than the one that is installed: 1",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let upgraded = finish(&mut home.command(&mcpool, &["upgrade"]));
    assert_eq!(upgraded.code, Some(0), "{upgraded:?}");
    let told = looked();
    assert!(!told.contains("the daemon is another build"), "{told}");
    assert!(told.contains("the guardian is another build"), "{told}");
}

#[test]
fn a_client_s_file_that_cannot_be_read_is_told_and_so_is_a_session_that_is_older_than_its_file() {
    let home = Home::new();
    let file = home.user().join(".claude.json");
    fs::write(&file, "{\"mcpServers\": {").unwrap();
    let (what, next) = problem(&home, "clients");
    assert!(
        what.contains("Claude Code") && what.contains("~/.claude.json"),
        "{what}"
    );
    assert!(next.contains("mend it"), "{next}");

    // A server without a name that says so, which the file names.
    let name = format!("notes-{}", std::process::id());
    let bin = home.root().join("bin");
    fs::create_dir(&bin).unwrap();
    for link in [name.as_str(), "claude"] {
        symlink(FAKE_SERVER, bin.join(link)).unwrap();
    }
    let server = bin.join(&name).display().to_string();
    let commands = home.file("commands");
    fs::write(&commands, &server).unwrap();
    let mut agent = home.command(bin.join("claude"), &["agent", &commands]);
    agent.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(agent.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    let write = |entry: Value| {
        let text = serde_json::json!({"mcpServers": {"notes": entry}}).to_string();
        fs::write(&file, text).unwrap();
    };
    write(serde_json::json!({"command": server}));
    let advice: Value = serde_json::from_str(&home.done(&["advise", "--json", &name])).unwrap();
    assert_eq!(advice["servers"][0]["name"], name, "{advice}");
    let (code, found) = examined(&home, "clients", &[]);
    assert_eq!((code, found), (Some(0), Vec::new()));

    let mcpool = env!("CARGO_BIN_EXE_mcpool");
    write(serde_json::json!({"command": mcpool, "args": ["connect", "--", server]}));
    let (code, found) = examined(&home, "clients", &[]);
    assert_eq!((code, found.len()), (Some(0), 1), "{found:?}");
    let what = found[0]["what"].as_str().unwrap();
    assert!(what.contains(&format!("process {}", agent.id())), "{what}");
    drop(agent.stdin.take());
    agent.wait().unwrap();
}

#[test]
fn a_client_that_will_ask_before_it_uses_a_project_s_servers_is_told() {
    let home = Home::new();
    let project = home.project("project");
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let told = |client: &str| {
        let (code, found) = examined(&home, "clients", &[]);
        assert_eq!(code, Some(0), "it is no problem: {found:?}");
        let mut found = found.iter().filter_map(|finding| finding["what"].as_str());
        found.find(|what| what.contains(client)).map(str::to_owned)
    };
    let servers =
        "{\"mcpServers\": {\"notes\": {\"command\": \"cat\"}, \"maps\": {\"command\": \"cat\"}}}";
    let (known, codex) = (project.display(), home.user().join(".codex/config.toml"));

    write(&project.join(".mcp.json"), servers);
    write(
        &home.user().join(".claude.json"),
        &format!("{{\"projects\": {{\"{known}\": {{\"enabledMcpjsonServers\": [\"notes\"]}}}}}}"),
    );
    let what = told("Claude Code").unwrap();
    assert!(what.ends_with("names: maps"), "{what}");
    let settings = project.join(".claude/settings.local.json");
    write(&settings, "{\"disabledMcpjsonServers\": [\"maps\"]}");
    assert_eq!(told("Claude Code"), None, "a no is an answer");
    write(&settings, "{}");
    assert!(told("Claude Code").is_some());
    write(&settings, "{\"enableAllProjectMcpServers\": true}");
    assert_eq!(told("Claude Code"), None);

    write(
        &project.join(".codex/config.toml"),
        "[mcp_servers.notes]\ncommand = \"cat\"\n",
    );
    assert!(told("Codex").unwrap().contains("passes over"));
    write(
        &codex,
        &format!("[projects.\"{known}\"]\ntrust_level = \"trusted\"\n"),
    );
    assert_eq!(told("Codex"), None);

    assert_eq!(told("Gemini"), None, "it has no servers");
    let own = home.user().join(".gemini");
    write(&own.join("settings.json"), servers);
    assert!(told("Gemini").unwrap().contains("has no servers there"));
    let rules = own.join("trustedFolders.json");
    write(&rules, &format!("{{\"{known}\": \"TRUST_FOLDER\"}}"));
    assert_eq!(told("Gemini"), None);
    fs::remove_file(rules).unwrap();
    let off = servers.replacen(
        '{',
        "{\"security\": {\"folderTrust\": {\"enabled\": false}}, ",
        1,
    );
    write(&own.join("settings.json"), &off);
    assert_eq!(told("Gemini"), None);
    // In another home folder it has other settings.
    let moved = home.user().join("moved");
    write(&moved.join(".gemini/settings.json"), servers);
    let ran = finish(home.mcpool(&["doctor"]).env("GEMINI_CLI_HOME", moved));
    assert!(ran.stdout.contains("Gemini CLI does not trust"), "{ran:?}");
}

#[test]
fn a_daemon_that_holds_its_lock_and_listens_nowhere_is_told_with_its_process() {
    let home = Home::new();
    home.session(&[]).close();
    let pid = home.daemon_pid().unwrap();
    let daemon = Process::of(pid).unwrap();
    // It would put its socket back.
    daemon.signal(Signal::STOP);
    let socket = home.pool().join("mcpool.sock");
    let aside = home.pool().join("aside");
    fs::rename(&socket, &aside).unwrap();
    let (what, _) = problem(&home, "daemon");
    assert!(
        what.contains(&format!("process {pid}")) && what.contains("does not answer"),
        "{what}"
    );
    fs::rename(aside, socket).unwrap();
    daemon.signal(Signal::CONT);
    assert_eq!(home.run(&["doctor"]).code, Some(0));
}

#[test]
fn a_daemon_s_program_that_is_missing_is_told_to_programs_as_well() {
    let home = Home::new();
    let alone = home.root().join("mcpool");
    programs::copy(env!("CARGO_BIN_EXE_mcpool"), &alone);
    let looked = |words: &[&str]| finish(&mut home.command(&alone, words));
    let told = looked(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let well: Value = serde_json::from_str(&home.done(&["doctor", "--json"])).unwrap();
    assert_eq!(
        (told.code, &report["is_well"]),
        (Some(1), &Value::Bool(false))
    );
    assert_eq!(report["schema"], well["schema"]);
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names(&report), names(&well));
    assert_eq!(names(&report["findings"][0]), names(&well["findings"][0]));
    let what = report["findings"][0]["what"].as_str().unwrap();
    assert!(
        what.contains("mcpoold is missing") && what.contains("install it again"),
        "{what}"
    );
    assert_eq!(looked(&["doctor"]).stderr, format!("mcpool: {what}\n"));
}

#[test]
fn another_copy_that_clients_would_find_first_is_told() {
    let home = Home::new();
    let bin = home.root().join("bin");
    fs::create_dir(&bin).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let looked = || {
        let ran = finish(home.mcpool(&["doctor"]).env("PATH", &path));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let copy = bin.join("mcpool");
    symlink(env!("CARGO_BIN_EXE_mcpool"), &copy).unwrap();
    let told = looked();
    assert!(!told.contains("on PATH is"), "a link to this one: {told}");
    fs::remove_file(&copy).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_mcpool"), &copy).unwrap();
    let told = looked();
    assert!(
        told.contains(&format!("on PATH is {}", copy.display())),
        "{told}"
    );
}
