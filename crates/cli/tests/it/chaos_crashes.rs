//! Crashes at any point of an answer and at any moment, with several sessions at work: what only reads
//! is answered, a call has one outcome and runs at most once.

use std::{collections::BTreeMap, fs, thread, time::Instant};

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, eventually, processes::Process, until};

/// Servers, each with its sessions; of all deaths of a server there may be five in a minute.
const SERVERS: u64 = 24;
const CRASHES: u64 = 4;
/// Calls, and reads, of each bystander while a server crashes.
const REQUESTS: u64 = 8;
/// Bytes, at least, of the answers in which servers crash.
const ANSWER: u64 = 320;

/// One server and the sessions that share it.
struct Crowd<'a> {
    home: &'a Home,
    number: u64,
    record: String,
    alice: Client,
    bob: Client,
    carol: Client,
    /// The same in each run.
    chance: Rng,
    results: u64,
    errors: u64,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Result,
    MaybeExecuted,
}

impl<'a> Crowd<'a> {
    fn gather(home: &'a Home, number: u64) -> Self {
        let record = format!("record-{number}");
        let file = home.file(&record);
        // An option of its own makes it a server of its own.
        let name = format!("--crowd-{number}");
        let session = || home.session(&["--record", &file, &name]);
        Crowd {
            home,
            number,
            alice: session(),
            bob: session(),
            carol: session(),
            record,
            chance: Rng::with_seed(number),
            results: 0,
            errors: 0,
        }
    }

    fn mark(&self, crash: u64, what: &str) -> String {
        format!("{}-{crash}-{what}", self.number)
    }

    /// The server dies once, behind so many bytes of an answer, while bob calls and carol reads.
    fn crash(&mut self, crash: u64) {
        let calls: Vec<(u64, String)> = (0..REQUESTS)
            .map(|number| {
                let mark = self.mark(crash, &number.to_string());
                let id = self.bob.begin("echo", json!({"text": mark, "mark": mark}));
                (id, mark)
            })
            .collect();
        let reads: Vec<(u64, String)> = (0..REQUESTS)
            .map(|number| {
                let uri = format!("fake://{}", self.mark(crash, &number.to_string()));
                let id = self.carol.ask("resources/read", json!({"uri": uri}));
                (id, uri)
            })
            .collect();
        if self.chance.bool() {
            self.crash_in_a_call(crash);
        } else {
            self.crash_in_a_read(crash);
        }
        for (id, mark) in calls {
            let answer = self.bob.response(id);
            self.settle(&answer, &mark);
        }
        for (id, uri) in reads {
            let answer = self.carol.response(id);
            let text = &answer["result"]["contents"][0]["text"];
            let wanted = uri.replace("fake://", "contents of ");
            assert_eq!(*text, wanted, "{answer}");
        }
        for client in [&mut self.alice, &mut self.bob, &mut self.carol] {
            // Who answers this is the next process: nothing of the last one is open any more.
            client.come_to_rest();
        }
    }

    fn crash_in_a_call(&mut self, crash: u64) {
        let mark = self.mark(crash, "crash");
        let at = self.chance.u64(..ANSWER);
        let given = json!({"at": at, "text": mark, "mark": mark, "code": 3});
        let answer = self.alice.call("crash", given);
        self.settle(&answer, &mark);
    }

    fn crash_in_a_read(&mut self, crash: u64) {
        let file = self.home.file(&self.mark(crash, "once"));
        let uri = format!("fake://crash/{}/{file}", self.chance.u64(..ANSWER));
        let answer = self.alice.request("resources/read", json!({"uri": uri}));
        assert_eq!(answer["result"]["contents"][0]["uri"], uri, "{answer}");
    }

    /// A call has its own result, or the error that says that it may have been carried out.
    fn settle(&mut self, answer: &Value, mark: &str) {
        let outcome = if answer.get("result").is_some() {
            assert_eq!(answer["result"]["content"][0]["text"], mark, "{answer}");
            self.results += 1;
            Outcome::Result
        } else {
            let data = &answer["error"]["data"];
            assert_eq!(data["reason"], "upstream-exited", "{answer}");
            assert_eq!(data["maybeExecuted"], true, "{answer}");
            self.errors += 1;
            Outcome::MaybeExecuted
        };
        let executed = self.home.count(&self.record, &format!("executed {mark} "));
        match outcome {
            Outcome::Result => assert_eq!(executed, 1, "{mark}: {outcome:?}"),
            Outcome::MaybeExecuted => assert!(executed <= 1, "{mark} ran {executed} times"),
        }
    }
}

#[test]
fn wherever_in_an_answer_a_server_crashes_reads_are_answered_and_no_call_runs_twice() {
    let home = Home::new();
    let (mut results, mut errors) = (0, 0);
    for numbers in (0..SERVERS).collect::<Vec<_>>().chunks(4) {
        let crowds: Vec<Crowd<'_>> = thread::scope(|scope| {
            let threads: Vec<_> = numbers
                .iter()
                .map(|number| {
                    let home = &home;
                    scope.spawn(move || {
                        let mut crowd = Crowd::gather(home, *number);
                        for crash in 0..CRASHES {
                            crowd.crash(crash);
                        }
                        crowd
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        results += crowds.iter().map(|crowd| crowd.results).sum::<u64>();
        errors += crowds.iter().map(|crowd| crowd.errors).sum::<u64>();
    }
    let status = home.status();
    for upstream in status["upstreams"].as_array().unwrap() {
        // An answer that was whole before the end leaves nothing to crash in but its process.
        assert_eq!(upstream["restarts"], CRASHES, "{upstream}");
    }
    assert!(results > 0 && errors > 0, "{results} and {errors}");
}

/// The process that serves now. The last one may have ended with all answered, and nobody know yet.
fn next_server(client: &mut Client) -> Process {
    eventually("a server", || {
        let pid = client.call("echo", json!({}))["result"]["structuredContent"]["pid"].as_u64()?;
        Process::of(u32::try_from(pid).unwrap()).filter(Process::is_alive)
    })
}

#[test]
fn a_server_that_is_killed_at_any_moment_loses_no_read_and_runs_no_call_twice() {
    let home = Home::new();
    let record = home.file("record");
    let mut executed = BTreeMap::new();
    for round in 0..10_u64 {
        let name = format!("--round-{round}");
        let session = || home.session(&["--record", &record, &name]);
        let (mut alice, mut bob) = (session(), session());
        for kill in 0..4_u64 {
            let server = next_server(&mut alice);
            let mark = |number: u64| format!("{round}-{kill}-{number}");
            let calls: Vec<u64> = (0..40)
                .map(|number| {
                    alice.begin("echo", json!({"text": mark(number), "mark": mark(number)}))
                })
                .collect();
            let reads: Vec<u64> = (0..40)
                .map(|number| {
                    bob.ask(
                        "resources/read",
                        json!({"uri": format!("fake://{}", mark(number))}),
                    )
                })
                .collect();
            // After the first, the second … of the answers; they come at moments of their own.
            let first = usize::try_from(round * 4 + kill).unwrap();
            alice.response(calls[first]);
            server.kill();
            for (number, id) in (0..).zip(&calls) {
                if *id == calls[first] {
                    continue;
                }
                let answer = alice.response(*id);
                let is_done = answer["result"]["content"][0]["text"] == mark(number);
                let is_open = answer["error"]["data"]["maybeExecuted"] == true;
                assert!(is_done || is_open, "{answer}");
                executed.insert(mark(number), is_done);
            }
            for (number, id) in (0..).zip(reads) {
                let text = bob.response(id)["result"]["contents"][0]["text"].clone();
                assert_eq!(text, format!("contents of {}", mark(number)));
            }
        }
    }
    for (mark, is_done) in executed {
        let times = home.count("record", &format!("executed {mark} "));
        assert!(times == 1 || (times == 0 && !is_done), "{mark}: {times}");
    }
}

#[test]
fn what_a_server_that_stopped_reading_was_never_written_runs_in_the_next_process_once() {
    let home = Home::new();
    let record = home.file("record");
    let mut client = home.session(&["--record", &record]);
    let server = next_server(&mut client);
    server.signal(Signal::STOP);
    // More than its pipe takes, and less than makes it count as blocked.
    let text = "x".repeat(45 << 10);
    let mark = |number: usize| format!("call-{number}-");
    let calls: Vec<u64> = (0..20)
        .map(|number| client.begin("echo", json!({"text": text, "mark": mark(number)})))
        .collect();
    until("all of them being on their way to the server", || {
        home.upstream()["in_flight"] == 20
    });
    server.kill();
    let answers: Vec<Value> = calls.iter().map(|id| client.response(*id)).collect();
    let mut lost = 0;
    for (number, answer) in answers.iter().enumerate() {
        let executed = home.count("record", &format!("executed {} ", mark(number)));
        if answer["result"].is_object() {
            assert_eq!(answer["result"]["content"][0]["text"], text);
            assert_eq!(executed, 1, "{number} ran {executed} times");
        } else {
            let data = &answer["error"]["data"];
            assert_eq!(data["reason"], "upstream-exited", "{answer}");
            assert_eq!(data["maybeExecuted"], true, "{answer}");
            assert_eq!(executed, 0, "{number} ran in a process that stood still");
            // What was written is what was said first.
            assert_eq!(number, lost, "one that was written later was not lost");
            lost += 1;
        }
    }
    assert!((1..20).contains(&lost), "{lost} of 20 were lost");
}

#[test]
fn a_crash_is_no_business_of_other_servers() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&["--other"]));
    let go = home.file("go");
    let pid = bob.server_pid();
    let call = bob.begin("slow", json!({"until": go, "text": "untouched"}));
    for _ in 0..4 {
        assert!(alice.call("crash", json!({}))["error"].is_object());
    }
    fs::write(go, "").unwrap();
    let answer = bob.response(call);
    assert_eq!(answer["result"]["content"][0]["text"], "untouched");
    assert_eq!(bob.server_pid(), pid);
}

#[test]
fn a_server_that_dies_at_its_first_call_is_given_up_and_its_log_is_named() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record, "--exit-at-first-call", "9"];
    let mut client = home.session(&options);
    let error = eventually("the server being given up", || {
        let error = client.call("echo", json!({}))["error"].clone();
        (error["data"]["reason"] != "upstream-exited").then_some(error)
    });
    assert_eq!(error["data"]["reason"], "still-failing", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("mcpool logs fake-server"), "{message}");
    // What the server says of calls is somebody's, and not quoted.
    let spawns = home.count("record", "started");
    assert!(spawns <= 6, "{spawns} spawns");
    // From now on there is an answer at once, and no more spawns.
    for _ in 0..50 {
        let error = client.call("echo", json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "still-failing", "{error}");
    }
    assert_eq!(home.count("record", "started"), spawns);
    assert_eq!(home.upstream()["state"], "failed");
}

#[test]
fn a_limit_of_two_seconds_ends_a_call_that_hangs_and_nothing_else() {
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nrequest_timeout = \"2s\"\n[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n"
    ));
    let (mut alice, mut bob) = (home.configured("fake"), home.configured("fake"));
    let pids = home.upstream_pids();
    let began = Instant::now();
    let hanging = alice.begin("hang", json!({}));
    let mut meanwhile = 0;
    let error = loop {
        // The others go on while it hangs, unless nobody lets the server run for as long as that.
        let asked = Instant::now();
        let answer = bob.call("echo", json!({"text": "on"}));
        if answer["error"]["data"]["reason"] == "took-too-long" {
            assert!(asked.elapsed().as_millis() >= 2000, "{answer}");
        } else {
            assert_eq!(answer["result"]["content"][0]["text"], "on", "{answer}");
            meanwhile += 1;
        }
        if home.status()["sessions"][0]["in_flight"] == 0 && meanwhile > 1 {
            break alice.response(hanging)["error"].clone();
        }
    };
    assert!(began.elapsed().as_millis() >= 2000, "{:?}", began.elapsed());
    assert_eq!(error["data"]["reason"], "took-too-long", "{error}");
    assert_eq!(error["data"]["maybeExecuted"], true);
    assert_eq!(home.upstream_pids(), pids);
    assert_eq!(home.upstream()["restarts"], 0);
}

#[test]
fn sessions_that_wait_for_a_slow_start_cost_one_process_and_may_greet_again() {
    let home = Home::new();
    let (go, record) = (home.file("go"), home.file("record"));
    home.configure(&format!(
        "[limits]\nstart_patience = \"1s\"\n[servers.slow]\ncommand = \"{FAKE_SERVER}\"\n\
         args = [\"--start-until\", \"{go}\", \"--record\", \"{record}\"]\n"
    ));
    let open = || Client::spawn(&mut home.mcpool(&["connect", "slow"]));
    let mut clients = [(); 4].map(|()| open());
    for client in &mut clients {
        let error = client.greet(&json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "still-starting", "{error}");
    }
    fs::write(go, "").unwrap();
    until("the server being ready", || {
        home.upstream()["state"] == "ready"
    });
    for client in &mut clients {
        client.initialize();
        assert_eq!(client.text("echo", json!({"text": "at last"})), "at last");
    }
    assert_eq!(home.count("record", "started"), 1);
    assert_eq!(home.count("record", "received initialize "), 1);
}
