//! The daemon dies and the next one takes the servers over, while sessions go on.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home, eventually,
    processes::{self, Process},
    until,
};

/// The guardian of a home, found by its argument: it is the child of no daemon that lives.
fn guardian(home: &Home) -> u32 {
    // There is none for a moment when the last one has ended.
    let pid = eventually("a guardian", || {
        home.status()["daemon"]["guardian_pid"].as_u64()
    });
    u32::try_from(pid).unwrap()
}

fn counted(client: &mut Client) -> String {
    client.text("count", json!({}))
}

/// The process that serves a session once it is not this one any more.
fn another_server(client: &mut Client, first: u32) -> u32 {
    eventually("another server", || {
        let answer = client.call("echo", json!({}));
        let pid = answer["result"]["structuredContent"]["pid"].as_u64()?;
        let pid = u32::try_from(pid).unwrap();
        (pid != first).then_some(pid)
    })
}

fn is_from_earlier(answer: &Value) -> bool {
    let data = &answer["error"]["data"];
    data["reason"] == "daemon-restarted" && data["maybeExecuted"] == true
}

#[test]
fn servers_live_on_under_the_next_daemon_with_their_memory() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let mut bob = home.session(&["--record", &record]);
    let pid = alice.server_pid();
    for (count, client) in [&mut alice, &mut bob].into_iter().enumerate() {
        assert_eq!(counted(client), (count + 1).to_string());
    }
    for death in 0..3 {
        let before = home.kill_daemon();
        for (count, client) in [&mut alice, &mut bob].into_iter().enumerate() {
            let count = 2 * (death + 1) + count + 1;
            assert_eq!(counted(client), count.to_string());
        }
        assert_eq!(alice.server_pid(), pid);
        assert_eq!(home.upstream_pids(), [pid]);
        assert_ne!(home.daemon_pid(), Some(before));
    }
    assert_eq!(home.count("record", "received initialize"), 1);
    let mut carol = home.session(&["--record", &record]);
    assert_eq!(carol.server_pid(), pid);
    assert!(alice.close().success() && bob.close().success());
}

#[test]
fn a_call_in_flight_is_an_error_and_is_not_carried_out_again() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let mut bob = home.session(&["--record", &record]);
    let go_on = home.file("go-on");
    let call = alice.begin("slow", json!({"until": go_on, "mark": "once"}));
    home.noted("record", "executed once");
    home.kill_daemon();
    let answer = alice.response(call);
    assert!(is_from_earlier(&answer), "{answer}");
    // Its late answer reaches nobody.
    std::fs::write(&go_on, "").unwrap();
    alice.come_to_rest();
    bob.come_to_rest();
    assert_eq!(home.count("record", "executed once"), 1);
}

#[test]
fn what_only_reads_is_asked_once_more() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let mut bob = home.session(&["--record", &record]);
    let go_on = home.file("go-on");
    // The server works on a call of bob's alone, so what alice reads waits at the server.
    let _call = bob.begin("deaf", json!({"until": go_on}));
    home.noted("record", "call deaf");
    let read = alice.ask("resources/read", json!({"uri": "fake://a"}));
    until("the request's arrival", || {
        home.status()["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|session| session["in_flight"] == 1)
    });
    home.kill_daemon();
    std::fs::write(&go_on, "").unwrap();
    let answer = alice.response(read);
    let text = &answer["result"]["contents"][0]["text"];
    assert_eq!(*text, "contents of a", "{answer}");
}

#[test]
fn many_shims_find_one_daemon_and_one_server() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..16).map(|_| home.session(&[])).collect();
    let pid = clients[0].server_pid();
    for _ in 0..3 {
        home.kill_daemon();
        for client in &mut clients {
            assert_eq!(client.server_pid(), pid);
        }
        let status = home.status();
        assert_eq!(status["upstreams"].as_array().unwrap().len(), 1);
        assert_eq!(status["sessions"].as_array().unwrap().len(), clients.len());
    }
}

#[test]
fn subscriptions_and_log_levels_go_on() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    let mut bob = home.session(&[]);
    let uri = "fake://a";
    alice.request("resources/subscribe", json!({"uri": uri}));
    alice.request("logging/setLevel", json!({"level": "info"}));
    let is_update = |message: &Value| message["method"] == "notifications/resources/updated";
    // What changes before her shim is back she hears when it is.
    let shim = alice.process();
    shim.signal(Signal::STOP);
    home.kill_daemon();
    bob.call("touch", json!({"uri": uri}));
    bob.hears_nothing();
    shim.signal(Signal::CONT);
    let updated = alice.wait_for(is_update);
    assert_eq!(updated["params"], json!({"uri": uri}));
    bob.call("touch", json!({"uri": uri}));
    let updated = alice.wait_for(is_update);
    assert_eq!(updated["params"]["uri"], uri);
    alice.call("log", json!({"level": "info", "text": "after"}));
    let logged = alice.wait_for(|message| message["method"] == "notifications/message");
    assert_eq!(logged["params"]["level"], "info");
}

#[test]
fn servers_of_sessions_of_their_own_stay_theirs() {
    let home = Home::new();
    let open = || {
        let arguments = ["connect", "--scope", "session", "--", FAKE_SERVER];
        let mut client = Client::spawn(&mut home.mcpool(&arguments));
        client.initialize();
        client
    };
    let (mut alice, mut bob) = (open(), open());
    let pids = [alice.server_pid(), bob.server_pid()];
    assert_ne!(pids[0], pids[1]);
    home.kill_daemon();
    assert_eq!([alice.server_pid(), bob.server_pid()], pids);
}

#[test]
fn without_a_next_daemon_the_servers_end() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    let server = Process::of(alice.server_pid()).unwrap();
    let guardian = Process::of(guardian(&home)).unwrap();
    alice.process().kill();
    home.kill_daemon();
    until("the end of the server", || !server.is_alive());
    until("the end of the guardian", || !guardian.is_alive());
}

#[test]
fn a_killed_guardian_takes_its_servers_along_and_sessions_see_a_restarted_one() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    let first = alice.server_pid();
    // Inherited, so that it is no child of the daemon that sees its end.
    home.kill_daemon();
    assert_eq!(alice.server_pid(), first);
    let server = Process::of(first).unwrap();
    Process::of(guardian(&home)).unwrap().kill();
    until("the end of the server", || !server.is_alive());
    another_server(&mut alice, first);
}

#[test]
fn no_process_hears_an_id_twice_whichever_of_daemon_and_guardian_dies() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let first = alice.server_pid();
    // The next guardian is not one of a first daemon.
    home.kill_daemon();
    assert_eq!(alice.server_pid(), first);
    Process::of(guardian(&home)).unwrap().kill();
    let second = another_server(&mut alice, first);
    home.kill_daemon();
    // More of them than the daemon before has needed until now.
    for _ in 0..64 {
        assert_eq!(alice.server_pid(), second);
    }
    let record = home.lines("record");
    let at = format!("started {second}");
    let at = record.iter().position(|line| *line == at).unwrap();
    let calls = record[at..]
        .iter()
        .filter_map(|line| line.strip_prefix("received tools/call "));
    let mut seen = BTreeSet::new();
    for id in calls {
        assert!(seen.insert(id), "{id} came twice");
    }
    assert!(seen.len() > 64, "{seen:?}");
}

#[test]
fn no_client_is_asked_twice_under_one_id_whoever_has_died_in_between() {
    let home = Home::new();
    let mut alice = home.open(&[]);
    alice.initialize_with(&json!({"sampling": {}}));
    let mut seen = BTreeSet::new();
    let deaths: [fn(&Home); 4] = [
        |home| {
            home.kill_daemon();
        },
        // The next guardian is one of a daemon that was not the first.
        |home| {
            let first = guardian(home);
            Process::of(first).unwrap().kill();
            until("the end of the guardian", || {
                home.status()["daemon"]["guardian_pid"] != json!(first)
            });
        },
        |home| {
            Process::of(guardian(home)).unwrap().kill();
            home.kill_daemon();
        },
        |home| {
            home.done(&["stop"]);
        },
    ];
    for death in deaths {
        for death in [None, Some(death)] {
            eventually("a question", || {
                alice.begin("sample", json!({"text": "well?"}));
                let said = alice.wait_for(|said| {
                    said["method"] == "sampling/createMessage" || said.get("error").is_some()
                });
                let id = said.get("method").map(|_| said["id"].to_string())?;
                assert!(seen.insert(id.clone()), "{id} came twice");
                Some(())
            });
            if let Some(death) = death {
                death(&home);
            }
        }
    }
}

#[test]
fn daemon_and_guardian_killed_together_leave_no_second_server() {
    let home = Home::new();
    let mut alice = home.session(&["--ignore-term"]);
    let first = alice.server_pid();
    let tree = processes::with_descendants(home.daemon_pid().unwrap());
    let server = Process::of(first).unwrap();
    Process::of(guardian(&home)).unwrap().kill();
    home.kill_daemon();
    let second = alice.server_pid();
    assert_ne!(first, second);
    assert!(!server.is_alive(), "two of one server");
    until("the end of them all", || {
        !tree.iter().any(Process::is_alive)
    });
}

#[test]
fn a_session_lives_through_a_configuration_that_is_broken_while_the_daemon_dies() {
    let good = format!("[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n");
    for (broken, words) in [
        (format!("{good}args = [\n"), "config.toml:"),
        (String::new(), "no server named `fake`"),
    ] {
        let home = Home::new();
        home.configure(&good);
        let mut alice = home.configured("fake");
        assert_eq!(counted(&mut alice), "1");
        home.configure(&broken);
        home.kill_daemon();
        let error = alice.call("count", json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "session-refused", "{error}");
        assert_eq!(error["data"]["retryable"], true, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        home.configure(&good);
        let answer = eventually("the session's server", || {
            let answer = alice.call("count", json!({}));
            answer.get("result").cloned()
        });
        assert_eq!(answer["content"][0]["text"], "2", "its memory");
    }
}
