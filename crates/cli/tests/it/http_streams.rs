//! Streams over HTTP that are cut, and gone on with.

use std::{collections::BTreeSet, fs, thread};

use serde_json::{Value, json};

use crate::support::{
    FAKE_SERVER, Home, until,
    web::{Response, Web, call, quiet_call},
};

/// A call that reports progress once before the file is there, and then as often as it says.
fn begin_call(session: &mut Web, steps: u64, file: &str, mark: &str) -> Response {
    let arguments = json!({"steps": steps, "until": file, "mark": mark});
    let mut stream = session.call("progress", arguments);
    let first = stream.event().unwrap();
    assert_eq!(first["params"]["progress"], 1, "{first}");
    stream
}

/// All messages up to the end of the stream.
fn rest(mut stream: Response) -> Vec<Value> {
    std::iter::from_fn(|| stream.event()).collect()
}

#[test]
fn a_call_whose_connection_is_cut_is_gone_on_with_where_it_was() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let file = home.file(&format!("go on {version}"));
        let mut session = web.clone();
        session.begin(version, json!({}));
        let stream = begin_call(&mut session, 3, &file, version);
        let last = stream.last.clone().unwrap();
        stream.hang_up();
        fs::write(&file, "").unwrap();
        let messages = rest(session.resume(&last));
        let progress = messages.iter().map(|it| &it["params"]["progress"]);
        let progress: Vec<_> = progress.filter(|it| it.is_number()).collect();
        assert_eq!(progress, [2, 3], "{version}: {messages:?}");
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[2]["id"], 1);
        // The end can be had again, as it may not have come.
        assert_eq!(rest(session.resume(&last)), messages);
        assert_eq!(home.count("record", &format!("executed {version} ")), 1);
    }
}

#[test]
fn a_call_that_lasts_becomes_a_stream_that_can_be_gone_on_with() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let file = home.file("go on");
    let session = web.session();
    // Its head comes when it has lasted for a while.
    let mut stream = session.post(&quiet_call(1, &file, "slow"));
    assert_eq!(stream.data().as_deref(), Some(""));
    let first = stream.last.clone().unwrap();
    stream.hang_up();
    fs::write(&file, "").unwrap();
    let messages = rest(session.resume(&first));
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], 1);
    assert_eq!(home.count("record", "executed slow "), 1);
}

#[test]
fn who_listens_again_misses_nothing_and_hears_nothing_twice() {
    let home = Home::new();
    let web = home.web(&[]);
    for version in ["2025-06-18", "2025-11-25"] {
        let mut session = web.clone();
        session.begin(version, json!({}));
        let mut listens = session.get();
        if version == "2025-11-25" {
            assert_eq!(
                listens.data().as_deref(),
                Some(""),
                "it is told where to go on"
            );
        }
        let mut heard = BTreeSet::new();
        let mut other = web.session();
        for round in 0..4 {
            other.result("change", json!({}));
            assert!(listens.event().is_some());
            let last = listens.last.clone().unwrap();
            assert!(heard.insert(last.clone()), "{last} was heard twice");
            other.result("rugpull", json!({}));
            if round % 2 == 0 {
                // Nobody has seen yet that the first is no longer there.
                listens = session.resume(&last);
            } else {
                listens.hang_up();
                listens = session.resume(&last);
            }
            assert!(listens.event().is_some());
            let last = listens.last.clone().unwrap();
            assert!(heard.insert(last.clone()), "{last} was heard twice");
            let busy = session.get();
            assert_eq!(busy.error(), (409, -32000, "already-listening".to_owned()));
        }
    }
}

#[test]
fn a_stream_is_gone_on_with_by_its_own_events_alone() {
    let home = Home::new();
    let web = home.web(&[]);
    let file = home.file("go on");
    let (mut one, other) = (web.session(), web.session());
    let stream = begin_call(&mut one, 2, &file, "one");
    let last = stream.last.clone().unwrap();
    let nothing = (400, -32000, "nothing-left".to_owned());
    assert_eq!(
        other.resume(&last).error(),
        nothing,
        "it is another session's"
    );
    for wrong in ["", "x", "999-1", "-", "1-0x"] {
        assert_eq!(one.resume(wrong).error(), nothing, "{wrong:?}");
    }
    let mut stranger = one.clone();
    stranger.session = Some("0".repeat(32));
    assert_eq!(stranger.resume(&last).status, 404);
    // What belongs to nobody's call does not come with it.
    one.clone().result("change", json!({}));
    stream.hang_up();
    fs::write(&file, "").unwrap();
    let messages = rest(one.resume(&last));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(
        one.get().event().unwrap()["method"],
        "notifications/tools/list_changed"
    );
}

#[test]
fn what_a_server_asks_in_a_cut_stream_is_answered_by_who_comes_back() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.clone();
    session.begin("2025-11-25", json!({"elicitation": {}}));
    let mut stream = session.call("elicit", json!({}));
    let ask = stream.event().unwrap();
    assert_eq!(ask["method"], "elicitation/create");
    let last = stream.last.clone().unwrap();
    stream.hang_up();
    let answer = json!({"jsonrpc": "2.0", "id": ask["id"], "result": {"action": "decline"}});
    assert_eq!(session.post(&answer).status, 202);
    let messages = rest(session.resume(&last));
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], 1);
}

#[test]
fn many_calls_that_are_cut_all_the_time_are_answered_once_each() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let session = web.session();
    thread::scope(|scope| {
        for id in 1..=8 {
            let (session, home) = (session.clone(), &home);
            scope.spawn(move || {
                let arguments = json!({"steps": 12, "mark": format!("m{id}")});
                let mut stream = session.post(&call(id, "progress", arguments));
                let mut heard = Vec::new();
                // One event of each response, and then the connection is cut.
                while let Some(event) = stream.event() {
                    let is_answer = event["id"] == id;
                    heard.push(event);
                    let last = stream.last.clone().unwrap();
                    stream.hang_up();
                    if is_answer {
                        break;
                    }
                    stream = session.resume(&last);
                }
                let progress = heard.iter().map(|it| it["params"]["progress"].as_u64());
                let progress: Vec<u64> = progress.flatten().collect();
                assert_eq!(progress, (1..=12).collect::<Vec<_>>(), "{heard:?}");
                assert!(heard.last().unwrap()["result"].is_object());
                assert_eq!(home.count("record", &format!("executed m{id} ")), 1);
            });
        }
    });
}

#[test]
fn a_server_may_have_its_clients_poll() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&[]);
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[servers.polled]\ncommand = '{FAKE_SERVER}'\nargs = {}\nsse_poll_after = \"500ms\"\n",
        json!(["--record", record]),
    ));
    let web = web.to("/mcp/polled");
    let mut session = web.session();
    // However quick the answer is: should it be cut, its client knows where to go on.
    let mut quick = session.call("echo", json!({"text": "quick"}));
    assert_eq!((quick.status, quick.is_stream()), (200, true));
    assert_eq!(quick.data().as_deref(), Some(""));
    let first = quick.last.clone().unwrap();
    let answer = quick.event().or_else(|| {
        quick = session.resume(&first);
        quick.event()
    });
    assert_eq!(answer.unwrap()["id"], 1);
    assert_eq!(quick.event(), None);
    let file = home.file("go on");
    let mut stream = session.post(&quiet_call(2, &file, "polled"));
    assert_eq!(
        stream.data().as_deref(),
        Some(""),
        "first it is told where to go on"
    );
    let first = stream.last.clone().unwrap();
    assert_eq!(stream.data(), None, "then the response ends");
    assert!(stream.retry.is_some());
    // Who comes back while there is nothing yet is not sent away again.
    let mut again = session.resume(&first);
    assert!(again.is_stream());
    // Some clients go on by what they hear of one response alone.
    assert_eq!(again.data().as_deref(), Some(""));
    assert_eq!(again.last.as_ref(), Some(&first));
    fs::write(&file, "").unwrap();
    let messages = rest(again);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["id"], 2);
    assert_eq!(home.count("record", "executed polled "), 1);
    let last = format!("{}-1", first.split_once('-').unwrap().0);
    let heard = session.resume(&last);
    assert_eq!(heard.header("allow"), Some("POST, DELETE"));
    assert_eq!(heard.error(), (405, -32000, "heard-all".to_owned()));
    // Versions that do not know it are not made to poll.
    let mut old = web.clone();
    old.begin("2025-06-18", json!({}));
    until("an answer within a second, which is no stream", || {
        !old.call("echo", json!({"text": "quick"})).is_stream()
    });
    let file = home.file("go on, too");
    let mut waits = old.call("slow", json!({"until": file, "mark": "old"}));
    assert_eq!(waits.event().unwrap()["params"]["progress"], 0);
    let mut polled = web.session().post(&quiet_call(1, &file, "new"));
    assert_eq!(polled.data().as_deref(), Some(""));
    assert_eq!(polled.data(), None);
    fs::write(&file, "").unwrap();
    assert!(waits.event().unwrap()["result"].is_object());
    assert_eq!((waits.event(), waits.retry), (None, None));
}
