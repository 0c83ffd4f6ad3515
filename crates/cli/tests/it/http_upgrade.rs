//! The daemon goes on as another program, under connections over HTTP as they are.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::{
    support::{
        Client, Home, until,
        web::{Web, call, quiet_call},
    },
    upgrade::{Installed, upgrade},
};

fn echo(id: u64, text: &str) -> Value {
    call(id, "echo", json!({"text": text}))
}

#[test]
fn connections_go_on_at_rest_and_in_the_middle_of_a_response() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    for version in ["2025-06-18", "2025-11-25"] {
        let file = home.file(&format!("go on {version}"));
        let mut session = web.clone();
        session.begin(version, json!({}));
        let mut rests = session.kept_open();
        assert_eq!(rests.post(&echo(1, "before"))["id"], 1);
        let mut listens = session.get();
        let arguments = json!({"steps": 3, "until": file, "mark": version});
        let mut stream = session.post(&call(2, "progress", arguments));
        assert_eq!(stream.event().unwrap()["params"]["progress"], 1);
        let quiet = format!("quiet {version}");
        let waits = thread::spawn({
            let (session, file, quiet) = (session.clone(), file.clone(), quiet.clone());
            move || session.post(&quiet_call(3, &file, &quiet)).answer()
        });
        home.noted("record", &format!("executed {quiet} "));
        let pid = home.daemon_pid();
        for id in 4..7 {
            let told = upgrade(&home);
            assert_eq!(
                told["sessions"],
                if version == "2025-06-18" { 1 } else { 2 },
                "{told}"
            );
            assert_eq!(home.daemon_pid(), pid);
            let answer = rests.post(&echo(id, "after"));
            assert_eq!(answer["id"], id);
            session.clone().result("change", json!({}));
            let told = listens.event().unwrap();
            assert_eq!(told["method"], "notifications/tools/list_changed");
        }
        fs::write(&file, "").unwrap();
        assert_eq!(stream.event().unwrap()["params"]["progress"], 2);
        assert_eq!(stream.event().unwrap()["params"]["progress"], 3);
        assert_eq!(stream.event().unwrap()["id"], 2);
        assert_eq!(stream.event(), None);
        let answer = waits.join().unwrap();
        assert_eq!(answer["id"], 3, "{answer}");
        assert!(answer["result"]["content"].is_array());
        for mark in [version, &quiet] {
            assert_eq!(home.count("record", &format!("executed {mark} ")), 1);
        }
    }
    assert_eq!(home.count("record", "received initialize"), 1);
}

#[test]
fn half_of_a_request_is_kept_until_the_rest_comes() {
    let home = Home::new();
    let web = home.web(&[]);
    let session = web.session();
    let mut connection = session.kept_open();
    for id in 1..4 {
        let request = connection.request(&echo(id, "in two parts"));
        let (first, second) = request.split_at(request.find("Content-Type").unwrap() + 5);
        connection.write(first);
        upgrade(&home);
        connection.write(second);
        assert_eq!(connection.answer()["id"], id);
    }
    // One that is new is as one that is old.
    let mut fresh = session.kept_open();
    upgrade(&home);
    assert_eq!(fresh.post(&echo(9, "first"))["id"], 9);
}

#[test]
fn half_of_a_body_puts_an_upgrade_off_until_it_has_come() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut connection = web.session().kept_open();
    let request = connection.request(&echo(1, "in two parts"));
    let (first, second) = request.split_at(request.len() - 5);
    connection.write(first);
    let mut upgrading = home
        .mcpool(&["upgrade"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let stderr = upgrading.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut told).unwrap();
    assert!(told.contains("in the middle of a message"), "{told}");
    connection.write(second);
    assert_eq!(connection.answer()["id"], 1);
    assert!(upgrading.wait().unwrap().success());
}

#[test]
fn a_connection_is_kept_behind_a_response_that_another_program_has_finished() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let session = web.session();
    let file = home.file("go on");
    let mut connection = session.kept_open();
    let request = connection.request(&quiet_call(1, &file, "quiet"));
    connection.write(&request);
    home.noted("record", "executed quiet ");
    upgrade(&home);
    fs::write(&file, "").unwrap();
    let (mut response, _web) = connection.response();
    assert_eq!(response.status, 200);
    if response.is_stream() {
        while let Some(event) = response.event() {
            assert_eq!(event["id"], 1);
        }
    } else {
        assert_eq!(response.json()["id"], 1);
    }
}

#[test]
fn a_client_that_knows_no_chunks_gets_its_answer_and_the_end() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let session = web.session();
    let file = home.file("go on");
    let old = |message: &Value| {
        let mut connection = session.kept_open();
        let request = connection.request(message);
        let request = request.replacen("HTTP/1.1", "HTTP/1.0", 1);
        connection.write(&request.replacen("keep-alive", "close", 1));
        connection
    };
    let quiet = old(&quiet_call(1, &file, "quiet"));
    let arguments = json!({"steps": 2, "until": file, "mark": "stream"});
    let stream = old(&call(2, "progress", arguments));
    for mark in ["quiet", "stream"] {
        home.noted("record", &format!("executed {mark} "));
    }
    upgrade(&home);
    fs::write(&file, "").unwrap();
    for (connection, id) in [(quiet, 1), (stream, 2)] {
        let text = connection.rest();
        assert!(!text.to_ascii_lowercase().contains("chunked"), "{text}");
        let last = text.trim_end().lines().last().unwrap();
        let last = last.strip_prefix("data: ").unwrap_or(last);
        let answer: Value = serde_json::from_str(last).unwrap();
        assert_eq!(answer["id"], id, "{text}");
    }
}

#[test]
fn what_was_cut_before_an_upgrade_is_gone_on_with_after_it() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    let file = home.file("go on");
    let arguments = json!({"steps": 4, "until": file});
    let mut stream = session.call("progress", arguments);
    stream.event().unwrap();
    let last = stream.last.clone().unwrap();
    stream.hang_up();
    let mut listens = session.get();
    session.result("change", json!({}));
    listens.event().unwrap();
    let heard = listens.last.clone().unwrap();
    session.result("rugpull", json!({}));
    listens.event().unwrap();
    listens.hang_up();
    upgrade(&home);
    fs::write(&file, "").unwrap();
    let mut back = session.resume(&last);
    let messages: Vec<Value> = std::iter::from_fn(|| back.event()).collect();
    let progress = messages.iter().map(|it| it["params"]["progress"].as_u64());
    assert_eq!(progress.flatten().collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(messages[3]["id"], 1);
    let told = session.resume(&heard).event().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    upgrade(&home);
    let mut again = session.resume(&last);
    let second: Vec<Value> = std::iter::from_fn(|| again.event()).collect();
    assert_eq!(second, messages, "what is over is handed over as well");
}

#[test]
fn that_the_file_says_elsewhere_is_told_until_the_next_daemon_listens_there() {
    let home = Home::new();
    let listens = |address: &str| {
        home.configure(&format!(
            "[http]\nlisten = [\"{address}\"]\nsocket = false\n"
        ));
    };
    listens("127.0.0.1:0");
    home.session(&[]).close();
    let told = || home.status()["daemon"]["http"]["next"].clone();
    assert_eq!(told(), Value::Null);
    // It is only told of, so that nobody need have it.
    listens("127.0.0.1:1");
    assert_eq!(told(), json!(["http://127.0.0.1:1/mcp/NAME"]));
    upgrade(&home);
    assert_eq!(told(), json!(["http://127.0.0.1:1/mcp/NAME"]));
    let shown = home.done(&["status"]);
    assert!(shown.contains("`mcpool stop` ends this one"), "{shown}");
    let doctor = home.done(&["doctor"]);
    assert!(doctor.contains("the next daemon listens at"), "{doctor}");
    home.done(&["stop"]);
    listens("127.0.0.1:0");
    home.session(&[]).close();
    assert_eq!(told(), Value::Null);
}

#[test]
fn an_upgrade_that_fails_at_the_last_moment_costs_no_connection() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[servers.fake]\ncommand = '{}'\nscope = \"global\"\n",
        crate::support::FAKE_SERVER,
    ));
    let mut shim = Client::spawn(&mut installed.mcpool(&home, &["connect", "fake"]));
    shim.initialize();
    shim.server_pid();
    let web = Web::at(&home.http_address(), "/mcp/fake");
    let mut session = web.session();
    let file = home.file("go on");
    let mut rests = session.kept_open();
    rests.post(&echo(1, "before"));
    let mut listens = session.get();
    let mut stream = session.post(&call(100, "progress", json!({"steps": 2, "until": file})));
    stream.event().unwrap();
    let real = env!("CARGO_BIN_EXE_mcpoold");
    for id in 3..6 {
        // It rehearses well, and removes itself before.
        installed.replace(format!("#!/bin/sh\nrm \"$0\"; exec {real} \"$@\"\n"));
        let ran = home.run(&["upgrade"]);
        assert!(ran.stderr.contains("goes on as it was"), "{ran:?}");
        assert_eq!(rests.post(&echo(id, "after"))["id"], id);
        session.result("change", json!({}));
        assert!(listens.event().is_some());
    }
    installed.replace(fs::read(real).unwrap());
    upgrade(&home);
    assert_eq!(rests.post(&echo(9, "after"))["id"], 9);
    fs::write(&file, "").unwrap();
    assert_eq!(stream.event().unwrap()["params"]["progress"], 2);
    assert_eq!(stream.event().unwrap()["id"], 100);
    assert_eq!(stream.event(), None);
}

#[test]
fn who_does_not_read_a_stream_is_cut_off_and_comes_back_for_all_of_it() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    // It takes much more than a socket does, and nothing of it is read.
    let large = "x".repeat(5 << 19);
    let arguments = json!({"steps": 2, "text": large});
    let mut stream = session.call("progress", arguments);
    assert_eq!(stream.data().as_deref(), Some(""));
    let first = stream.last.clone().unwrap();
    upgrade(&home);
    let mut back = session.resume(&first);
    for step in 1..=2 {
        let progress = back.event().unwrap();
        assert_eq!(progress["params"]["progress"], step);
        assert!(progress["params"]["message"] == large.as_str());
    }
    let answer = back.event().unwrap();
    assert_eq!(answer["id"], 1);
    assert!(answer["result"]["content"][0]["text"] == large.as_str());
    assert_eq!(back.event(), None);
    assert!(stream.ends_early(), "the first is over in the middle");
}

#[test]
fn under_load_no_call_over_http_is_lost_or_carried_out_twice() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let (is_over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let sessions: Vec<Web> = (0..8).map(|_| web.session()).collect();
    thread::scope(|scope| {
        for (number, session) in sessions.iter().enumerate() {
            let (is_over, calls, home) = (&is_over, &calls, &home);
            scope.spawn(move || {
                let mut kept_open = session.kept_open();
                let mut id = 0;
                while !is_over.load(Ordering::Relaxed) {
                    id += 1;
                    let mark = format!("s{number} c{id}");
                    let answer = match id % 3 {
                        0 => kept_open.post(&call(id, "echo", json!({"mark": mark}))),
                        1 => {
                            let arguments = json!({"steps": 3, "mark": mark});
                            session.post(&call(id, "progress", arguments)).answer()
                        }
                        _ => session
                            .post(&call(id, "echo", json!({"mark": mark})))
                            .answer(),
                    };
                    assert_eq!(answer["id"], id);
                    assert!(answer["result"].is_object(), "{answer}");
                    assert_eq!(home.count("record", &format!("executed {mark} ")), 1);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..4 {
            let before = calls.load(Ordering::Relaxed);
            upgrade(&home);
            until("more calls", || calls.load(Ordering::Relaxed) > before + 8);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
