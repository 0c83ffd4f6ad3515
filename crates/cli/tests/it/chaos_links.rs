//! Faults of `faults.md`, rows 5 to 8: clients and servers that do not read, and clients that vanish.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home,
    processes::{self, Process},
    reluctant::{Reluctant, call},
    until,
};

/// What `status` counts of this.
fn count(home: &Home, what: &str) -> u64 {
    home.status()["counts"][what].as_u64().unwrap_or(0)
}

fn reluctant(home: &Home, options: &[&str]) -> Reluctant {
    let mut arguments = vec!["connect", "--", FAKE_SERVER];
    arguments.extend(options);
    Reluctant::spawn(&mut home.mcpool(&arguments))
}

#[test]
fn a_client_that_hardly_reads_is_cut_while_others_go_on_and_all_of_its_calls_have_an_outcome() {
    const CALLS: u64 = 400;
    const BYTES: usize = 256 << 10;
    let home = Home::new();
    let mut quick = home.session(&[]);
    let mut slow = reluctant(&home, &[]);
    let daemon = home.daemon_pid().unwrap();
    let before = processes::memory_kb(daemon, "VmRSS");
    for id in 0..CALLS {
        slow.begin(id, "big", json!({"bytes": BYTES}));
    }
    let mut rounds = 0;
    until("the cut", || {
        rounds += 1;
        let text = rounds.to_string();
        assert_eq!(quick.text("echo", json!({"text": text})), text);
        slow.sip(1024);
        count(&home, "session-cut") == 1
    });
    let most = processes::memory_kb(daemon, "VmHWM");
    assert!(
        most < before + (16 << 10),
        "{most} KiB, and {before} KiB before: more waited for a client than may"
    );
    let mut outcomes = BTreeMap::new();
    while outcomes.len() < usize::try_from(CALLS).unwrap() {
        let answer = slow.message();
        let outcome = if answer.get("result").is_some() {
            "result"
        } else {
            assert_eq!(answer["error"]["data"]["reason"], "too-slow", "{answer}");
            "too slow"
        };
        let id = answer["id"].as_u64().unwrap();
        assert_eq!(outcomes.insert(id, outcome), None, "{id} is answered twice");
    }
    assert!(outcomes.values().any(|outcome| *outcome == "too slow"));
    // It was cut and not closed: now that it reads it is served as before.
    slow.begin(CALLS, "echo", json!({"text": "again"}));
    let answer = slow.message();
    assert_eq!(answer["result"]["content"][0]["text"], "again", "{answer}");
    assert_eq!(count(&home, "session-cut"), 1);
}

#[test]
fn callers_of_a_server_that_does_not_read_wait_up_to_a_bound_and_are_then_told() {
    const EACH: usize = 9_000;
    let home = Home::new();
    let go = home.file("go");
    let mut deaf = home.session(&[]);
    let mut others = [home.session(&[]), home.session(&[])];
    let mut elsewhere = home.session(&["--another"]);
    let call = deaf.begin("deaf", json!({"until": go}));
    until("the deaf call being at the server", || {
        let status = home.status();
        let upstreams = status["upstreams"].as_array().unwrap();
        upstreams.iter().any(|upstream| upstream["in_flight"] == 1)
    });
    let asked: Vec<Vec<u64>> = others
        .iter_mut()
        .map(|client| {
            let text = |number: usize| json!({"text": number.to_string()});
            (0..EACH)
                .map(|number| client.begin("echo", text(number)))
                .collect()
        })
        .collect();
    until("all of it being in the daemon", || {
        let status = home.status();
        let sessions = status["sessions"].as_array().unwrap();
        let open: u64 = sessions
            .iter()
            .filter_map(|session| session["in_flight"].as_u64())
            .sum();
        let refused = status["counts"]["refused"].as_u64().unwrap_or(0);
        open + refused == 2 * EACH as u64 + 1
    });
    // 64 of each are at the server and 16,384 wait.
    let refused = count(&home, "refused");
    assert_eq!(refused, 2 * EACH as u64 - 2 * 64 - 16_384);
    assert_eq!(elsewhere.text("echo", json!({"text": "free"})), "free");
    fs::write(go, "").unwrap();
    assert!(deaf.response(call)["result"].is_object());
    let mut overloaded = 0;
    for (client, asked) in others.iter_mut().zip(asked) {
        overloaded += told_overloaded(client, &asked);
    }
    assert_eq!(overloaded, refused);
}

/// Takes one answer to each of these calls, in whatever order; says how many were refused.
fn told_overloaded(client: &mut Client, asked: &[u64]) -> u64 {
    let mut left: BTreeMap<u64, String> = asked
        .iter()
        .enumerate()
        .map(|(number, id)| (*id, number.to_string()))
        .collect();
    let mut overloaded = 0;
    while !left.is_empty() {
        let line = client.line().expect("the session goes on");
        let answer: Value = serde_json::from_str(&line).unwrap();
        let text = left.remove(&answer["id"].as_u64().unwrap());
        if answer.get("error").is_some() {
            assert_eq!(answer["error"]["data"]["reason"], "overloaded", "{answer}");
            assert_eq!(answer["error"]["data"]["retryable"], true, "{answer}");
            overloaded += 1;
        } else {
            let said = answer["result"]["content"][0]["text"].as_str();
            assert_eq!(said, text.as_deref(), "{answer}");
        }
    }
    overloaded
}

/// How clients of the test below come to their end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client dies and its pipes with it; the shim finds out.
    Client,
    /// The shim is killed.
    Shim,
}

#[test]
fn clients_that_vanish_in_the_middle_of_calls_leave_nothing_behind() {
    const ROUNDS: u64 = 60;
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", record.as_str()];
    let mut stays = home.session(&options);
    let server = stays.server_pid();
    reluctant(&home, &options).vanish();
    let daemon = home.daemon_pid().unwrap();
    at_rest(&home);
    let before = (processes::descriptors(daemon), processes::threads(daemon));
    let mut hanging = 0;
    for round in 0..ROUNDS {
        let mut client = reluctant(&home, &options);
        // A different moment each time: so many calls on their way, so many read, so much of the next.
        let calls = 1 + round % 7;
        for id in 0..calls {
            let tool = if id == 0 { "hang" } else { "echo" };
            client.begin(
                id,
                tool,
                json!({"text": "lost", "mark": format!("{round}-{id}")}),
            );
        }
        if round % 3 == 0 {
            let mark = format!("executed {round}-0 ");
            until("the call being at the server", || {
                home.count("record", &mark) == 1
            });
            hanging += 1;
        }
        for _ in 1..calls.min(1 + round % 4) {
            client.message();
        }
        let next = format!("{}\n", call(calls, "echo", json!({"text": "half of it"})));
        let part = usize::try_from(round * 37).unwrap() % next.len();
        client.write(&next.as_bytes()[..part]);
        match if round % 2 == 0 {
            End::Client
        } else {
            End::Shim
        } {
            End::Client => client.vanish(),
            End::Shim => client.process().kill(),
        }
        assert_eq!(stays.text("echo", json!({"text": "here"})), "here");
    }
    at_rest(&home);
    // `status` has a thread of its own, for a second.
    until("as few descriptors and threads as before", || {
        processes::descriptors(daemon) <= before.0 && processes::threads(daemon) <= before.1
    });
    assert_eq!(stays.server_pid(), server, "the server was not restarted");
    // The server knows that nobody waits for what it never answers.
    let cancelled = || home.count("record", "cancelled ");
    until("the cancellations", || cancelled() >= hanging);
}

/// Waits until no session but one is there, and no request is in flight.
fn at_rest(home: &Home) {
    until("no session and no request being left", || {
        let status = home.status();
        let sessions = status["sessions"].as_array().unwrap().len();
        sessions == 1 && status["upstreams"][0]["in_flight"] == 0
    });
}

#[test]
fn a_server_of_one_session_ends_when_its_shim_is_killed() {
    let home = Home::new();
    let arguments = ["connect", "--scope", "session", "--", FAKE_SERVER];
    let mut client = Client::spawn(&mut home.mcpool(&arguments));
    client.initialize();
    let server = Process::of(client.server_pid()).unwrap();
    client.begin("hang", json!({}));
    until("the call", || home.upstream()["in_flight"] == 1);
    client.process().kill();
    // One that is kept for others who may come lives for minutes.
    until("the end of the server", || !server.is_alive());
    until("no server being left", || {
        home.status()["upstreams"] == json!([])
    });
}
