//! Sessions that are served before their server runs, from what it said at its last start.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, eventually, until};

const LISTS: [&str; 4] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
];

/// The scripted server with a file that it is named, and with these lines of configuration besides.
fn configure(home: &Home, rest: &str) {
    let go = home.root().join("go");
    fs::write(home.file("notes"), "").unwrap();
    // A folder: a file that comes and goes would make it another server.
    fs::create_dir(&go).unwrap();
    home.configure(&format!(
        "[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n\
         args = [\"--start-until\", \"{}\", \"--new-tools-if\", \"{}\", \"{}\"]\n{rest}\n",
        go.display(),
        home.root().join("new-tools").display(),
        home.file("notes"),
    ));
}

/// Everything of a list, as clients walk through it, with nothing in a request but what must be.
fn walk(client: &mut Client, method: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let id = client.next_id();
        let params = cursor.map_or(json!({}), |cursor: Value| json!({"cursor": cursor}));
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        client.write(&request.to_string());
        let result = client.response(id)["result"].clone();
        assert!(result.is_object(), "{method}: {result}");
        cursor = result.get("nextCursor").cloned();
        pages.push(result);
        if cursor.is_none() {
            return pages;
        }
    }
}

fn walk_all(client: &mut Client) -> Vec<Vec<Value>> {
    LISTS.map(|method| walk(client, method)).to_vec()
}

fn kept_files(home: &Home) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(home.pool().join("state/kept-words")) else {
        return Vec::new();
    };
    let paths = folder.map(|file| file.unwrap().path());
    // What takes the place of one in a moment is none yet.
    let is_kept =
        |path: &PathBuf| !path.ends_with("key") && path.extension().is_none_or(|it| it != "new");
    paths.filter(is_kept).collect()
}

fn tools_changed(message: &Value) -> bool {
    message["method"] == "notifications/tools/list_changed"
}

/// A daemon has lived in which a session has heard everything of the server; says what.
fn live_once(home: &Home) -> (Value, Vec<Vec<Value>>) {
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    let greeting = client.initialize();
    let lists = walk_all(&mut client);
    assert_eq!(home.upstream()["state"], "ready");
    client.close();
    home.done(&["stop"]);
    assert_eq!(kept_files(home).len(), 1);
    (greeting, lists)
}

#[test]
fn the_next_daemon_greets_and_lists_without_a_process_and_the_first_call_starts_one() {
    let home = Home::new();
    configure(&home, "");
    let (greeting, lists) = live_once(&home);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..3 {
        let mut client = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
        assert_eq!(client.initialize(), greeting);
        assert_eq!(walk_all(&mut client), lists);
        clients.push(client);
    }
    let upstream = home.upstream();
    assert_eq!(upstream["state"], "stopped", "{upstream}");
    assert_eq!(upstream["sessions"], 3);
    assert_eq!(home.upstream_pids(), [] as [u32; 0]);
    let pid = clients[0].server_pid();
    assert_eq!(home.upstream_pids(), [pid]);
    for client in &mut clients {
        assert_eq!(client.server_pid(), pid);
        assert_eq!(walk_all(client), lists);
        client.hears_nothing();
    }
    assert_eq!(home.upstream()["restarts"], 0);
}

#[test]
fn sessions_come_and_are_served_while_the_server_takes_its_time_to_start() {
    let home = Home::new();
    configure(&home, "");
    let (greeting, lists) = live_once(&home);
    fs::remove_dir(home.root().join("go")).unwrap();
    let mut alice = home.configured("fake");
    let call = alice.begin("echo", json!({"text": "late"}));
    until("it starts", || home.upstream()["state"] == "initializing");
    let mut bob = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    assert_eq!(bob.initialize(), greeting);
    assert_eq!(walk_all(&mut bob), lists);
    assert_eq!(home.upstream()["state"], "initializing");
    fs::create_dir(home.root().join("go")).unwrap();
    let answer = alice.response(call);
    assert_eq!(answer["result"]["content"][0]["text"], "late", "{answer}");
    assert_eq!(walk_all(&mut bob), lists);
}

#[test]
fn a_list_that_the_new_process_has_changed_is_told_and_the_next_daemon_knows_it() {
    let home = Home::new();
    configure(&home, "");
    let (_, lists) = live_once(&home);
    fs::create_dir(home.root().join("new-tools")).unwrap();
    let mut client = home.configured("fake");
    assert_eq!(walk_all(&mut client), lists);
    client.server_pid();
    client.wait_for(tools_changed);
    let changed = walk_all(&mut client);
    assert_ne!(changed[0], lists[0]);
    assert_eq!(changed[1..], lists[1..]);
    client.close();
    home.done(&["stop"]);
    let mut client = home.configured("fake");
    assert_eq!(walk_all(&mut client), changed);
    assert_eq!(home.upstream_pids(), [] as [u32; 0]);
}

#[test]
fn what_is_damaged_is_set_aside_and_the_server_starts_as_if_nothing_had_been_kept() {
    let home = Home::new();
    configure(&home, "");
    live_once(&home);
    let file = kept_files(&home).remove(0);
    let whole = fs::read(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let client = home.configured("fake");
    assert_eq!(home.upstream()["state"], "ready");
    assert!(file.with_extension("bad").exists());
    client.close();
    home.done(&["stop"]);
    let _client = home.configured("fake");
    assert_eq!(home.upstream_pids(), [] as [u32; 0], "it was learnt anew");
}

#[test]
fn a_server_whose_files_were_written_to_is_asked_anew() {
    let home = Home::new();
    configure(&home, "");
    live_once(&home);
    fs::write(home.file("notes"), "changed").unwrap();
    let client = home.configured("fake");
    assert_eq!(home.upstream()["state"], "ready");
    client.close();
    home.done(&["stop"]);
    let _client = home.configured("fake");
    assert_eq!(home.upstream_pids(), [] as [u32; 0]);
}

#[test]
fn sessions_with_different_tokens_or_capabilities_do_not_share_what_was_kept() {
    let home = Home::new();
    configure(&home, "env = { TOKEN = \"${TOKEN}\" }");
    let open = |token: &str| {
        let mut command = home.mcpool(&["connect", "fake"]);
        Client::spawn(command.env("TOKEN", token))
    };
    let mut alice = open("token-of-alice");
    alice.initialize();
    walk_all(&mut alice);
    alice.close();
    home.done(&["stop"]);
    let mut alice = open("token-of-alice");
    alice.initialize();
    assert_eq!(home.upstream_pids(), [] as [u32; 0]);
    let mut bob = open("token-of-bob");
    bob.initialize();
    assert_eq!(home.upstream_pids().len(), 1);
    let mut other = open("token-of-alice");
    other.initialize_with(&json!({"sampling": {}}));
    assert_eq!(home.upstream_pids().len(), 2);
    walk_all(&mut bob);
    until("both are kept", || kept_files(&home).len() == 3);
    for file in kept_files(&home) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("token-of"), "{text}");
        assert!(!file.to_str().unwrap().contains("token-of"));
    }
}

#[test]
fn a_server_that_is_not_lazy_starts_with_its_session_and_nothing_of_it_is_kept() {
    let home = Home::new();
    configure(&home, "lazy = false");
    for _ in 0..2 {
        let mut client = home.configured("fake");
        assert_eq!(home.upstream()["state"], "ready");
        walk_all(&mut client);
        client.close();
        home.done(&["stop"]);
        assert_eq!(kept_files(&home), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_server_that_is_kept_warm_starts_behind_its_first_session_and_stays() {
    let home = Home::new();
    configure(&home, "keep_warm = true");
    live_once(&home);
    let client = home.configured("fake");
    let pid = eventually("it runs", || home.upstream_pids().first().copied());
    until("it is ready", || home.upstream()["state"] == "ready");
    client.close();
    until("nobody is there", || home.upstream()["sessions"] == 0);
    assert_eq!(home.configured("fake").server_pid(), pid);
}

#[test]
fn what_a_session_stops_at_once_is_greeted_from_what_was_kept_within_one_daemon() {
    let home = Home::new();
    configure(&home, "idle_timeout = \"0s\"");
    let client = home.configured("fake");
    let first = home.upstream_pids();
    assert_eq!(first.len(), 1);
    client.close();
    until("it has stopped", || {
        home.status()["upstreams"].as_array().unwrap().is_empty()
    });
    let mut client = home.configured("fake");
    assert_eq!(home.upstream_pids(), [] as [u32; 0]);
    assert_ne!(client.server_pid(), first[0]);
    client.close();
    until("it has stopped again", || {
        home.status()["upstreams"].as_array().unwrap().is_empty()
    });
}

#[test]
fn what_a_server_refutes_by_its_end_is_kept_no_longer() {
    let home = Home::new();
    let gone = home.root().join("gone");
    home.configure(&format!(
        "[servers.fake]\ncommand = \"/bin/sh\"\nera = \"modern\"\n\
         args = [\"-c\", \"test -e '{}' && exit 3; exec '{FAKE_SERVER}' --era modern\"]\n",
        gone.display(),
    ));
    let (greeting, _) = live_once(&home);
    fs::create_dir(gone).unwrap();
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    assert_eq!(client.initialize(), greeting);
    let answer = client.call("echo", json!({}));
    assert_eq!(
        answer["error"]["data"]["reason"], "start-failed",
        "{answer}"
    );
    until("it is kept no longer", || kept_files(&home).is_empty());
}
