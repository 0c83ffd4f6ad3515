//! Who shares with whom, by where they work.

use std::{
    fs,
    io::BufReader,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home, PATIENCE, hello, processes, until,
    web::{Response, Web},
};

fn session_in(home: &Home, folder: &Path, options: &[&str]) -> Client {
    let mut arguments = vec!["connect"];
    arguments.extend(options);
    arguments.extend(["--", FAKE_SERVER]);
    let mut client = Client::spawn(home.mcpool(&arguments).current_dir(folder));
    client.initialize();
    client
}

#[test]
fn two_projects_have_two_processes_each_in_its_own_folder() {
    let home = Home::new();
    let (one, two) = (home.project("one"), home.project("two"));
    let deep = one.join("src/deep");
    fs::create_dir_all(&deep).unwrap();
    let mut in_one = session_in(&home, &one, &[]);
    let mut in_deep = session_in(&home, &deep, &[]);
    let mut in_two = session_in(&home, &two, &[]);
    assert_eq!(in_one.server_pid(), in_deep.server_pid());
    assert_ne!(in_one.server_pid(), in_two.server_pid());
    assert_eq!(processes::folder(in_deep.server_pid()), one);
    assert_eq!(processes::folder(in_two.server_pid()), two);
}

#[test]
fn a_worktree_is_a_workspace_of_its_own() {
    let home = Home::new();
    let project = home.project("one");
    let worktree = project.join("tree");
    fs::create_dir(&worktree).unwrap();
    fs::write(worktree.join(".git"), "gitdir: ../.git/worktrees/tree").unwrap();
    let mut in_project = session_in(&home, &project, &[]);
    let mut in_worktree = session_in(&home, &worktree, &[]);
    assert_ne!(in_project.server_pid(), in_worktree.server_pid());
    assert_eq!(processes::folder(in_worktree.server_pid()), worktree);
}

#[test]
fn root_home_and_the_temporary_folder_bind_nobody_and_share_one_process() {
    let home = Home::new();
    let folders = ["/".into(), home.user(), "/tmp".into()];
    let mut clients: Vec<Client> = folders
        .iter()
        .map(|folder| session_in(&home, folder, &[]))
        .collect();
    let pids: Vec<u32> = clients.iter_mut().map(Client::server_pid).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let status: Value = home.status();
    assert_eq!(status["upstreams"][0]["workspace"], Value::Null);
    assert!(
        status["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["workspace"].is_null())
    );
}

#[test]
fn an_explicit_workspace_scope_refuses_the_unbound_and_names_the_ways_to_bind() {
    let home = Home::new();
    let arguments = ["connect", "--scope", "workspace", "--", FAKE_SERVER];
    let mut client = Client::spawn(home.mcpool(&arguments).current_dir("/"));
    let answer = client.greet(&json!({}));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("--workspace"), "{message}");
}

#[test]
fn a_flag_binds_and_a_bad_flag_is_wrong_usage() {
    let home = Home::new();
    let project = home.project("one");
    let flag = project.to_str().unwrap();
    let mut client = session_in(&home, Path::new("/"), &["--workspace", flag]);
    assert_eq!(processes::folder(client.server_pid()), project);
    let ran = home.run(&[
        "connect",
        "--workspace",
        "/does/not/exist",
        "--",
        FAKE_SERVER,
    ]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("/does/not/exist"), "{}", ran.stderr);
}

#[test]
fn a_command_starts_where_its_client_wants_it_whatever_the_workspace_is() {
    let home = Home::new();
    let project = home.project("one");
    let deep = project.join("src");
    fs::create_dir(&deep).unwrap();
    let mut as_ever = session_in(&home, &deep, &[]);
    let mut deeper = session_in(&home, &deep, &["--cwd", "."]);
    let mut again = session_in(&home, &project, &["--cwd", "src"]);
    assert_eq!(processes::folder(as_ever.server_pid()), project);
    assert_eq!(processes::folder(deeper.server_pid()), deep);
    assert_eq!(deeper.server_pid(), again.server_pid());
    let workspace = &home.status()["sessions"][1]["workspace"];
    assert_eq!(*workspace, project.to_str().unwrap());
    let ran = home.run(&["connect", "--cwd", "/does/not/exist", "--", FAKE_SERVER]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr
            .contains("`/does/not/exist` cannot be where the command starts"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_client_s_project_variable_binds_where_its_folder_does_not() {
    let home = Home::new();
    let project = home.project("one");
    let mut command = home.mcpool(&["connect", "--", FAKE_SERVER]);
    command.current_dir("/").env("CLAUDE_PROJECT_DIR", &project);
    let mut client = Client::spawn(&mut command);
    client.initialize();
    assert_eq!(processes::folder(client.server_pid()), project);
}

#[test]
fn a_global_scope_is_one_process_for_all_and_a_session_scope_one_for_each() {
    let home = Home::new();
    let (one, two) = (home.project("one"), home.project("two"));
    let [mut a, mut b] =
        [&one, &two].map(|folder| session_in(&home, folder, &["--scope", "global"]));
    assert_eq!(a.server_pid(), b.server_pid());
    let [mut c, mut d] =
        [&one, &one].map(|folder| session_in(&home, folder, &["--scope", "session"]));
    assert_ne!(c.server_pid(), d.server_pid());
}

#[test]
fn roots_are_the_workspace_and_the_client_is_not_asked() {
    let home = Home::new();
    let project = home.project("one");
    let mut command = home.mcpool(&["connect", "--", FAKE_SERVER]);
    let mut client = Client::spawn(command.current_dir(&project));
    client.initialize_with(&json!({"roots": {}}));
    let roots: Value = serde_json::from_str(&client.text("roots", json!({}))).unwrap();
    let uri = roots["roots"][0]["uri"]
        .as_str()
        .unwrap_or_else(|| panic!("{roots}"));
    assert_eq!(uri, format!("file://{}", project.display()));
}

#[test]
fn a_folder_that_does_not_answer_keeps_nobody_waiting_but_those_who_work_in_it() {
    let home = Home::new();
    let (dead, project) = (home.project("dead"), home.project("one"));
    let pipe = dies(&dead);
    let mut before = session_in(&home, &project, &[]);
    let arguments = ["connect", "--", FAKE_SERVER];
    let mut waiting: Vec<(Client, u64)> = (0..10)
        .map(|_| {
            let mut client = Client::spawn(home.mcpool(&arguments).current_dir(&dead));
            // A look is given up after twenty seconds.
            client.be_patient(PATIENCE * 2);
            let id = client.ask("initialize", hello("2025-11-25", &json!({})));
            (client, id)
        })
        .collect();
    // Who was there goes on, who comes is let in, and what is asked of the daemon is answered, while they wait.
    assert_eq!(before.text("echo", json!({"text": "on"})), "on");
    let mut after = session_in(&home, &project, &[]);
    assert_eq!(after.server_pid(), before.server_pid());
    assert_eq!(home.status()["upstreams"].as_array().unwrap().len(), 1);
    // They are told in time which folder it is.
    for (client, id) in &mut waiting {
        let answer = client.response(*id);
        let error = &answer["error"];
        assert_eq!(error["data"]["reason"], "start-failed", "{answer}");
        let words = error["message"].as_str().unwrap();
        assert!(words.contains(dead.to_str().unwrap()), "{words}");
    }
    assert_eq!(before.text("echo", json!({"text": "still"})), "still");
    // It answers again.
    drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    fs::remove_file(&pipe).unwrap();
    let mut back = session_in(&home, &dead, &[]);
    assert_eq!(processes::folder(back.server_pid()), dead);
}

/// Has whoever looks into a folder, or reads a file in it, wait until somebody writes into what comes back.
fn dies(folder: &Path) -> PathBuf {
    let pipe = folder.join("failpoint-dead");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    pipe
}

/// How many threads of the daemon look at something.
fn looking(home: &Home) -> usize {
    let tasks = format!("/proc/{}/task", home.daemon_pid().unwrap());
    let names = fs::read_dir(tasks)
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    names
        .filter(|name| {
            name.as_deref()
                .is_ok_and(|name| name.trim() == "mcpool-aside")
        })
        .count()
}

/// A server whose file does not answer beside one that is well.
fn with_a_dead_file(home: &Home) -> Web {
    let folder = home.project("dead");
    dies(&folder);
    home.configure(&format!(
        "[limits]\nmessage_bytes = \"4 MiB\"\nbuffered_bytes = \"16 MiB\"\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n\
         [servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n\
         [servers.dead]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\nenv_file = \"{}\"\n",
        folder.join("variables").display(),
    ));
    home.come_and_go("fake");
    Web::at(&home.http_address(), "/mcp/dead")
}

/// An `initialize` with so many bytes beside what it says.
fn greeting(bytes: usize) -> Vec<u8> {
    let mut params = hello("2025-11-25", &json!({}));
    params["_meta"] = json!({"x": "x".repeat(bytes)});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    message.to_string().into_bytes()
}

#[test]
fn a_file_of_one_server_that_does_not_answer_keeps_nobody_of_another_waiting() {
    let home = Home::new();
    let dead = with_a_dead_file(&home);
    let waiting: Vec<TcpStream> = (0..12).map(|_| dead.send("POST", &greeting(0))).collect();
    until("as many looks as there may be", || looking(&home) == 8);
    let mut other = dead.to("/mcp/fake").session();
    other.result("echo", json!({"text": "on"}));
    // They are no sessions that have ended, and come back when the next daemon is there.
    home.done(&["stop"]);
    for stream in waiting {
        let answer = Response::read(BufReader::new(stream)).error();
        assert_eq!(answer, (503, -32603, "ending".to_owned()));
    }
}

#[test]
fn what_was_posted_counts_while_it_is_looked_up_for_whom_it_is() {
    let home = Home::new();
    let dead = with_a_dead_file(&home);
    let large = greeting(3 << 20);
    let mut waiting = Vec::new();
    // There is room for five of them, and for more looks.
    let refused = loop {
        let stream = dead.send("POST", &large);
        stream.set_nonblocking(true).unwrap();
        let is_answered = || stream.peek(&mut [0]).is_ok();
        let before = waiting.len();
        until("what becomes of it", || {
            is_answered() || looking(&home) > before
        });
        let is_over = is_answered();
        stream.set_nonblocking(false).unwrap();
        if is_over {
            break stream;
        }
        waiting.push(stream);
    };
    let answer = Response::read(BufReader::new(refused)).error();
    assert_eq!(answer, (503, -32603, "full".to_owned()));
    assert!((1..=5).contains(&waiting.len()), "{}", waiting.len());
}

#[test]
fn an_upgrade_does_not_wait_for_a_folder_and_who_works_there_comes_to_the_next_program() {
    let home = Home::new();
    let (dead, project) = (home.project("dead"), home.project("one"));
    let pipe = dies(&dead);
    let mut before = session_in(&home, &project, &[]);
    let arguments = ["connect", "--", FAKE_SERVER];
    let mut client = Client::spawn(home.mcpool(&arguments).current_dir(&dead));
    let id = client.ask("initialize", hello("2025-11-25", &json!({})));
    until("the look", || looking(&home) == 1);
    home.done(&["upgrade"]);
    assert_eq!(before.text("echo", json!({"text": "on"})), "on");
    // Whoever opens it for writing waits for whoever looks again.
    drop(fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    fs::remove_file(&pipe).unwrap();
    let answer = client.response(id);
    assert_eq!(
        answer["result"]["serverInfo"]["name"], "fake-server",
        "{answer}"
    );
}
