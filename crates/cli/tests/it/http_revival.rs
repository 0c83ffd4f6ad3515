//! Sessions over HTTP that outlive their daemon.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    FAKE_SERVER, Home, eventually, free_address,
    processes::Process,
    until,
    web::{Web, call},
};

/// The rows of all sessions, but for what takes the place of one in a moment.
fn rows(home: &Home) -> Vec<PathBuf> {
    let folder = fs::read_dir(home.pool().join("state/sessions"));
    let files = folder.into_iter().flatten();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_none_or(|it| it != "new"))
        .collect()
}

/// Kills the daemon and has the next one run; the same client there.
fn after_death(home: &Home, web: &Web) -> Web {
    home.kill_daemon();
    at_the_next(home, web)
}

fn at_the_next(home: &Home, web: &Web) -> Web {
    home.come_and_go("fake");
    web.moved_to(&home.http_address())
}

#[test]
fn a_session_goes_on_at_each_daemon_that_comes() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let mut others = Vec::new();
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut other = web.clone();
        other.begin(version, json!({}));
        others.push(other);
        let count = rows(&home).len();
        assert_eq!(count, others.len(), "it is written before it is known");
    }
    let mut session = web.session();
    let first = session.result("count", json!({}));
    for round in 2..5 {
        session = after_death(&home, &session);
        let again = session.result("count", json!({}));
        assert_eq!(again["content"][0]["text"], round.to_string());
        assert_eq!(
            again["structuredContent"]["pid"], first["structuredContent"]["pid"],
            "its server lives on"
        );
        let status = home.status();
        assert_eq!(status["sessions"][0]["client"], "web 1", "{status}");
        let mut listens = session.get();
        session.result("change", json!({}));
        assert_eq!(
            listens.event().unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
    for other in others {
        let mut other = other.moved_to(&home.http_address());
        let again = other.result("echo", json!({"text": "after three deaths"}));
        assert_eq!(again["content"][0]["text"], "after three deaths");
    }
    assert_eq!(home.count("record", "received initialize"), 1);
    assert_eq!(session.delete().status, 200);
    assert_eq!(
        rows(&home).len(),
        3,
        "who hears of the end finds nothing any more"
    );
}

#[test]
fn what_a_session_is_subscribed_to_and_wants_to_hear_holds_at_the_next_daemon() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    let request = |id: u64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    for (id, uri) in [(11, "test://a"), (12, "test://b")] {
        let wish = request(id, "resources/subscribe", json!({"uri": uri}));
        assert!(session.post(&wish).answer()["result"].is_object());
    }
    let wish = request(13, "resources/unsubscribe", json!({"uri": "test://b"}));
    assert!(session.post(&wish).answer()["result"].is_object());
    let level = request(14, "logging/setLevel", json!({"level": "info"}));
    assert!(session.post(&level).answer()["result"].is_object());
    session = after_death(&home, &session);
    let mut listens = session.get();
    for uri in ["test://b", "test://a"] {
        session.result("touch", json!({"uri": uri}));
    }
    let told = listens.event().unwrap();
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], "test://a", "the other was given up");
    let mut stream = session.call("log", json!({"level": "info", "text": "heard"}));
    assert_eq!(stream.event().unwrap()["method"], "notifications/message");
}

#[test]
fn a_call_in_flight_is_an_error_to_who_comes_back_and_is_not_carried_out_again() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let mut session = web.session();
    let file = home.file("never");
    let mut stream = session.call("slow", json!({"until": file, "mark": "once"}));
    assert_eq!(stream.event().unwrap()["params"]["progress"], 0);
    let last = stream.last.clone().unwrap();
    // One of which nothing was heard, but that it lasts.
    let mut quiet = call(77, "slow", json!({"until": file, "mark": "quiet"}));
    quiet["params"].as_object_mut().unwrap().remove("_meta");
    let mut silent = session.post(&quiet);
    assert_eq!(silent.data().as_deref(), Some(""));
    let primed = silent.last.clone().unwrap();
    let rows_text = || fs::read_to_string(&rows(&home)[0]).unwrap();
    until("a row that says so", || {
        rows_text().matches("\"open\"").count() == 2
    });
    for word in ["once", "quiet"] {
        assert!(
            !rows_text().contains(word),
            "arguments are not written down"
        );
    }
    let mut session = after_death(&home, &session);
    let mut back = session.resume(&last);
    let answer = back.event().unwrap();
    assert_eq!(answer["id"], 1);
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["reason"], &data["maybeExecuted"]),
        (&json!("daemon-restarted"), &json!(true)),
        "{answer}"
    );
    assert_eq!(back.event(), None);
    let answer = session.resume(&primed).event().unwrap();
    assert_eq!(answer["id"], 77);
    assert_eq!(answer["error"]["data"]["maybeExecuted"], true);
    session.result("echo", json!({}));
    for mark in ["once", "quiet"] {
        assert_eq!(home.count("record", &format!("executed {mark} ")), 1);
    }
    // What is new is known by other ids than what was.
    let mut stream = session.call("progress", json!({"steps": 1}));
    stream.event();
    assert_ne!(stream.last.as_deref(), Some(last.as_str()));
}

#[test]
fn what_has_ended_or_never_was_stays_so() {
    let home = Home::new();
    let web = home.web(&[]);
    let (ended, mut goes_on) = (web.session(), web.session());
    assert_eq!(ended.delete().status, 200);
    goes_on = after_death(&home, &goes_on);
    let web = web.moved_to(&home.http_address());
    let gone = (404, -32001, "no-such-session".to_owned());
    for key in [ended.session.clone().unwrap(), "0".repeat(32)] {
        let mut stranger = web.clone();
        stranger.session = Some(key);
        assert_eq!(stranger.post(&call(1, "echo", json!({}))).error(), gone);
        assert_eq!(stranger.get().error(), gone);
        assert_eq!(stranger.delete().error(), gone);
    }
    for path in ["/mcp", "/mcp/other"] {
        let elsewhere = goes_on.to(path);
        assert_eq!(
            elsewhere.post(&call(1, "echo", json!({}))).error(),
            gone,
            "{path}"
        );
    }
    // Who comes to where it is not does it no harm; what it is called is of no account.
    goes_on.result("echo", json!({}));
    let mut renamed = goes_on.to("/mcp/fake?session_key=x");
    renamed.result("echo", json!({}));
    assert_eq!(goes_on.delete().status, 200);
    assert_eq!(goes_on.delete().error(), gone);
}

#[test]
fn who_comes_to_end_a_session_of_before_starts_nothing() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let session = web.session();
    home.done(&["stop"]);
    let starts = home.count("record", "received initialize");
    home.session(&[]).close();
    let session = session.moved_to(&home.http_address());
    let elsewhere = session.to("/mcp");
    assert_eq!(elsewhere.delete().status, 404);
    assert_eq!(session.delete().status, 200);
    assert!(rows(&home).is_empty());
    assert_eq!(session.delete().status, 404);
    assert_eq!(home.count("record", "received initialize"), starts);
    until("no session", || {
        home.status()["sessions"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_row_that_is_damaged_or_silent_for_long_opens_nothing() {
    let home = Home::new();
    let web = home.web_with(&[], "session_idle_timeout = \"1h\"");
    let gone = (404, -32001, "no-such-session".to_owned());
    let mut session = web.session();
    let [row] = &rows(&home)[..] else {
        panic!("{:?}", rows(&home));
    };
    home.kill_daemon();
    let text = fs::read_to_string(row).unwrap();
    fs::write(row, text.replace("\"fake\"", "\"evil\"")).unwrap();
    session = at_the_next(&home, &session);
    assert_eq!(session.post(&call(1, "echo", json!({}))).error(), gone);
    assert!(row.with_extension("bad").exists() && !row.exists());
    let mut silent = web.moved_to(&home.http_address()).session();
    home.kill_daemon();
    let row = rows(&home)
        .into_iter()
        .find(|row| row.extension().is_none())
        .unwrap();
    let set_heard = |hours: u64| {
        let heard = SystemTime::now() - Duration::from_hours(hours);
        File::open(&row).unwrap().set_modified(heard).unwrap();
    };
    set_heard(2);
    silent = at_the_next(&home, &silent);
    assert_eq!(silent.post(&call(1, "echo", json!({}))).error(), gone);
    until("the end of its row", || !row.exists());
}

#[test]
fn a_session_that_mcpool_stop_has_left_goes_on() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    session.result("count", json!({}));
    home.done(&["stop"]);
    assert_eq!(rows(&home).len(), 1);
    session = at_the_next(&home, &session);
    let again = session.result("count", json!({}));
    assert_eq!(
        again["content"][0]["text"], "1",
        "the server is another one"
    );
}

#[test]
fn who_comes_while_the_daemon_ends_is_told_to_come_back_and_does() {
    let home = Home::new();
    let web = home.web(&["--ignore-eof", "--ignore-term"]);
    let mut session = web.session();
    session.result("echo", json!({}));
    let daemon = Process::of(home.daemon_pid().unwrap()).unwrap();
    daemon.signal(Signal::TERM);
    let refused = eventually("the beginning of the end", || {
        let refused = session.post(&call(9, "echo", json!({})));
        (refused.status == 503).then_some(refused)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.error(), (503, -32603, "ending".to_owned()));
    assert_eq!(session.get().status, 503);
    assert_eq!(session.delete().status, 503, "it has not ended");
    // Its server ignores everything, and need not be waited for.
    daemon.signal(Signal::TERM);
    until("the end", || !daemon.is_alive());
    session = at_the_next(&home, &session);
    session.result("echo", json!({}));
}

#[test]
fn under_deaths_no_session_is_lost_and_nothing_is_carried_out_twice() {
    let home = Home::new();
    let record = home.file("record");
    // Clients find the next daemon where the last one was.
    let address = free_address().to_string();
    home.configure(&format!(
        "[http]\nlisten = [\"{address}\"]\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nargs = {}\nscope = \"global\"\n",
        json!(["--record", record]),
    ));
    home.configured("fake").close();
    let web = Web::at(&address, "/mcp/fake");
    let sessions: Vec<Web> = (0..4).map(|_| web.session()).collect();
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for (number, session) in sessions.iter().enumerate() {
            let (is_over, answered, home) = (&is_over, &answered, &home);
            scope.spawn(move || {
                let mut id = 0;
                while !is_over.load(Ordering::Relaxed) {
                    id += 1;
                    let mark = format!("s{number} c{id}");
                    let outcome = session.try_post(&call(id, "echo", json!({"mark": mark})));
                    let runs = home.count("record", &format!("executed {mark} "));
                    assert!(runs <= 1, "{mark}");
                    let Some((status, text)) = outcome else {
                        continue;
                    };
                    assert!(status == 200 || status == 503, "{text}");
                    if text.contains("\"result\"") {
                        assert_eq!(runs, 1, "{mark}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..5 {
            let before = answered.load(Ordering::Relaxed);
            until("answers", || answered.load(Ordering::Relaxed) > before + 8);
            home.kill_daemon();
            home.configured("fake").close();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    for session in sessions {
        session.clone().result("echo", json!({}));
    }
}

#[test]
fn all_who_come_at_once_find_one_session() {
    let home = Home::new();
    let web = home.web(&[]);
    let session = after_death(&home, &web.session());
    thread::scope(|scope| {
        for id in 1..=16 {
            let session = session.clone();
            scope.spawn(move || {
                let answer = session
                    .post(&call(id, "echo", json!({"text": "all"})))
                    .answer();
                assert_eq!(answer["id"], id);
                assert_eq!(answer["result"]["content"][0]["text"], "all");
            });
        }
    });
    let status = home.status();
    assert_eq!(status["sessions"].as_array().unwrap().len(), 1, "{status}");
}

#[test]
fn while_its_server_cannot_be_had_a_session_is_told_to_wait() {
    let home = Home::new();
    let web = home.web(&[]);
    let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
    let mut session = after_death(&home, &web.session());
    home.configure(&config.replace(FAKE_SERVER, "/nowhere/at/all"));
    let refused = eventually("the new configuration", || {
        let refused = session.post(&call(1, "echo", json!({})));
        (refused.status == 503).then_some(refused)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.error(), (503, -32603, "not-now".to_owned()));
    home.configure(&config);
    session.result("echo", json!({}));
}
