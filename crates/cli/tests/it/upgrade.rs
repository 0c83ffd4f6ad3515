//! The daemon goes on as another program, under live sessions and running servers.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};
use shim::{
    connect::preface,
    preface::{AdminAsk, Ask},
};

use crate::support::{
    Client, FAKE_SERVER, Home, finish,
    processes::{self, Process},
    programs,
    reluctant::Reluctant,
    until,
};

/// Upgrades to the program that runs already; what is told of it.
#[track_caller]
pub(crate) fn upgrade(home: &Home) -> Value {
    let told: Value = serde_json::from_str(&home.done(&["upgrade", "--json"])).unwrap();
    assert_eq!(told["upgraded"], true, "{told}");
    told
}

pub(crate) fn pids(home: &Home) -> [u64; 3] {
    let status = home.status();
    let daemon = &status["daemon"];
    [
        daemon["pid"].as_u64().unwrap(),
        daemon["guardian_pid"].as_u64().unwrap(),
        status["upstreams"][0]["pid"].as_u64().unwrap(),
    ]
}

#[test]
fn serve_upgrades_a_daemon_that_runs_if_it_is_to() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    assert_eq!(alice.text("count", json!({})), "1");
    let before = pids(&home);
    let refused = home.run(&["serve"]);
    assert!(refused.stderr.contains("`mcpool upgrade`"), "{refused:?}");
    let told = home.done(&["serve", "--upgrade"]);
    assert!(told.contains("1 session, 1 server process"), "{told}");
    assert_eq!(pids(&home), before);
    assert_eq!(alice.text("count", json!({})), "2");
}

#[test]
fn processes_stay_with_their_memory_and_sessions_do_not_notice() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let mut bob = home.session(&["--record", &record]);
    let before = pids(&home);
    for count in (0..6).step_by(2) {
        assert_eq!(alice.text("count", json!({})), (count + 1).to_string());
        let told = upgrade(&home);
        assert_eq!(told["sessions"], 2, "{told}");
        assert_eq!(told["processes"], 1, "{told}");
        assert_eq!(bob.text("count", json!({})), (count + 2).to_string());
    }
    assert_eq!(pids(&home), before);
    assert_eq!(home.count("record", "received initialize"), 1);
    let mut carol = home.session(&["--record", &record]);
    assert_eq!(u64::from(carol.server_pid()), before[2]);
    assert!(alice.close().success() && bob.close().success());
}

#[test]
fn a_call_in_flight_is_answered_after_it_and_carried_out_once() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let go_on = home.file("go-on");
    let call = alice.begin("slow", json!({"until": go_on, "mark": "once"}));
    home.noted("record", "executed once");
    for _ in 0..3 {
        upgrade(&home);
    }
    fs::write(&go_on, "").unwrap();
    let answer = alice.response(call);
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(home.count("record", "executed once"), 1);
}

#[test]
fn what_waits_for_its_turn_goes_on_waiting_and_gets_it() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    let go_on = home.file("go-on");
    // More than may be at the server at once.
    let calls: Vec<u64> = (0..100)
        .map(|_| alice.begin("slow", json!({"until": go_on})))
        .collect();
    until("calls at the server and behind", || {
        home.status()["sessions"][0]["in_flight"] == 100
    });
    upgrade(&home);
    fs::write(&go_on, "").unwrap();
    for call in calls {
        let answer = alice.response(call);
        assert!(answer["result"].is_object(), "{answer}");
    }
}

#[test]
fn a_question_that_lies_with_a_client_is_answered_after_it() {
    let home = Home::new();
    let mut alice = home.open(&[]);
    alice.greet(&json!({"elicitation": {}}));
    let call = alice.begin("elicit", json!({}));
    let question = alice.wait_for(|message| message["method"] == "elicitation/create");
    upgrade(&home);
    alice.send(&json!({
        "jsonrpc": "2.0",
        "id": question["id"],
        "result": {"action": "accept", "content": {"after": "upgrade"}},
    }));
    let answer = alice.response(call).to_string();
    assert!(answer.contains("upgrade"), "{answer}");
}

#[test]
fn subscriptions_and_log_levels_and_cancellations_go_on() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let mut bob = home.session(&["--record", &record]);
    let uri = "fake://a";
    alice.request("resources/subscribe", json!({"uri": uri}));
    alice.request("logging/setLevel", json!({"level": "info"}));
    let hanging = bob.begin("hang", json!({}));
    home.noted("record", "call hang");
    upgrade(&home);
    bob.notify("notifications/cancelled", &json!({"requestId": hanging}));
    home.noted("record", "cancelled");
    bob.call("touch", json!({"uri": uri}));
    let updated = alice.wait_for(|message| message["method"] == "notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], uri);
    assert_eq!(home.count("record", "received resources/subscribe"), 1);
}

#[test]
fn what_a_client_has_not_read_yet_reaches_it_whole() {
    let home = Home::new();
    let mut reluctant = Reluctant::spawn(&mut home.mcpool(&["connect", "--", FAKE_SERVER]));
    for id in 1..=4 {
        reluctant.begin(id, "big", json!({"bytes": 1 << 20}));
    }
    until("the answers behind a client that does not read", || {
        home.status()["sessions"][0]["in_flight"] == 0
    });
    upgrade(&home);
    let mut answered: Vec<u64> = (1..=4)
        .map(|_| {
            let answer = reluctant.message();
            assert!(answer.to_string().len() > 1 << 20);
            answer["id"].as_u64().unwrap()
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 2, 3, 4]);
    reluctant.vanish();
}

#[test]
fn lines_that_were_read_in_part_are_read_to_their_end() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    // The server writes its answer byte by byte.
    let call = alice.begin("slow-drip", json!({"ms": 5, "text": "drip"}));
    home.noted("record", "call slow-drip");
    for _ in 0..3 {
        upgrade(&home);
    }
    let answer = alice.response(call);
    assert!(answer["result"].is_object(), "{answer}");
}

/// Ends the work of others with that of its holder, however that ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Calls as fast as answers come until it is told to stop; how many were answered.
fn call_on(client: &mut Client, is_over: &AtomicBool, answered: &AtomicUsize) -> usize {
    let text = "x".repeat(50_000);
    let mut calls = 0;
    while !is_over.load(Ordering::Relaxed) {
        let bytes = if calls % 8 == 0 { text.len() } else { 10 };
        let said = &text[..bytes];
        assert_eq!(client.text("echo", json!({"text": said})), said);
        calls += 1;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    calls
}

#[test]
fn under_load_no_call_is_lost_or_carried_out_twice() {
    let home = Home::new();
    let record = home.file("record");
    let mut clients: Vec<Client> = (0..4)
        .map(|_| home.session(&["--record", &record]))
        .collect();
    let before = pids(&home);
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let calls: usize = thread::scope(|scope| {
        let callers: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| call_on(client, &is_over, &answered)))
            .collect();
        let over = Over(&is_over);
        for _ in 0..5 {
            let so_far = answered.load(Ordering::Relaxed);
            until("more calls", || {
                answered.load(Ordering::Relaxed) > so_far + 20
            });
            upgrade(&home);
        }
        drop(over);
        callers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(home.count("record", "call echo"), calls);
    assert_eq!(pids(&home), before);
}

#[test]
fn sessions_that_come_meanwhile_are_served() {
    let home = Home::new();
    let mut first = home.session(&[]);
    let pid = first.server_pid();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let comers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let mut client = home.session(&[]);
                        assert_eq!(client.server_pid(), pid);
                        assert!(client.close().success());
                    }
                })
            })
            .collect();
        let over = Over(&is_over);
        for _ in 0..5 {
            upgrade(&home);
        }
        drop(over);
        for comer in comers {
            comer.join().unwrap();
        }
    });
}

#[test]
fn a_daemon_that_was_upgraded_may_die_like_any_other() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    assert_eq!(alice.text("count", json!({})), "1");
    upgrade(&home);
    let pid = home.kill_daemon();
    assert_eq!(alice.text("count", json!({})), "2");
    assert_ne!(home.daemon_pid(), Some(pid));
    upgrade(&home);
    assert_eq!(alice.text("count", json!({})), "3");
}

#[test]
fn the_guardian_of_a_daemon_that_was_upgraded_is_its_child_still() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    upgrade(&home);
    let [daemon, guardian, server] = pids(&home);
    let guardian = Process::of(u32::try_from(guardian).unwrap()).unwrap();
    guardian.kill();
    until("another server", || {
        let pids = home.upstream_pids();
        pids.first().is_some_and(|pid| u64::from(*pid) != server)
    });
    assert_ne!(u64::from(alice.server_pid()), server);
    // Nothing is left of it, not even its name. The server of before is killed by the kernel as its guardian ends, and
    // may be a moment later to be gone.
    until("only a daemon, a guardian and a server", || {
        processes::with_descendants(u32::try_from(daemon).unwrap()).len() == 3
    });
    assert!(!guardian.is_alive());
}

/// A copy of the installed programs that a test may put others in the place of.
pub(crate) struct Installed {
    folder: PathBuf,
}

impl Installed {
    pub(crate) fn in_home(home: &Home) -> Self {
        let folder = home.root().join("bin");
        fs::create_dir(&folder).unwrap();
        for program in [env!("CARGO_BIN_EXE_mcpool"), env!("CARGO_BIN_EXE_mcpoold")] {
            let name = PathBuf::from(program);
            programs::copy(program, folder.join(name.file_name().unwrap()));
        }
        Installed { folder }
    }

    pub(crate) fn mcpool(&self, home: &Home, arguments: &[&str]) -> Command {
        home.command(self.folder.join("mcpool"), arguments)
    }

    /// A session on the scripted server, greeted.
    pub(crate) fn session(&self, home: &Home) -> Client {
        let connect = ["connect", "--", FAKE_SERVER];
        let mut client = Client::spawn(&mut self.mcpool(home, &connect));
        client.initialize();
        client
    }

    /// Puts another program in the place of the daemon's.
    pub(crate) fn replace(&self, with: impl AsRef<[u8]>) {
        let new = self.folder.join("new");
        programs::write(&new, with);
        fs::rename(&new, self.folder.join("mcpoold")).unwrap();
    }
}

#[test]
fn a_program_that_cannot_go_on_is_found_out_before_anything_is_given_up() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    let mut alice = installed.session(&home);
    assert_eq!(alice.text("count", json!({})), "1");
    let before = pids(&home);
    let go_on = home.file("go-on");
    let call = alice.begin("slow", json!({"until": go_on}));
    let table: [(&[u8], &str); 4] = [
        (b"#!/bin/sh\necho broken >&2; exit 3\n", "broken"),
        (b"#!/bin/sh\nexit 0\n", "is not mcpool"),
        (b"#!/bin/sh\nkill -9 $$\n", "signal: 9"),
        (b"\x7fELF", "cannot go on"),
    ];
    for (program, words) in table {
        installed.replace(program);
        // The command line itself is the program that was installed first.
        let ran = home.run(&["upgrade"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
        assert!(ran.stderr.contains("goes on as it was"), "{ran:?}");
    }
    fs::remove_file(installed.folder.join("mcpoold")).unwrap();
    let ran = home.run(&["upgrade"]);
    assert!(ran.stderr.contains("No such file"), "{ran:?}");
    assert_eq!(pids(&home), before);
    fs::write(&go_on, "").unwrap();
    assert!(alice.response(call)["result"].is_object());
    installed.replace(fs::read(env!("CARGO_BIN_EXE_mcpoold")).unwrap());
    upgrade(&home);
    assert_eq!(alice.text("count", json!({})), "2");
    assert_eq!(pids(&home), before);
}

#[test]
fn a_program_that_fails_only_when_it_is_in_place_costs_no_server() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    let mut alice = installed.session(&home);
    assert_eq!(alice.text("count", json!({})), "1");
    let before = home.daemon_pid();
    let real = env!("CARGO_BIN_EXE_mcpoold");
    // It rehearses well, and then does not know what to do with the state.
    installed.replace(format!(
        "#!/bin/sh\ncase \"$*\" in *--thaw*) exit 1;; *) exec {real} \"$@\";; esac\n"
    ));
    let ran = home.run(&["upgrade"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!ran.stderr.contains("goes on as it was"), "{ran:?}");
    assert!(ran.stderr.contains("may have ended"), "{ran:?}");
    installed.replace(fs::read(real).unwrap());
    // What is said to a program that is just ending may be an error; what only reads is asked again.
    alice.come_to_rest();
    // The guardian has held the server for the daemon that its shim starts.
    assert_eq!(alice.text("count", json!({})), "2");
    assert_ne!(home.daemon_pid(), before);
}

#[test]
fn a_program_that_is_gone_when_it_is_to_be_executed_costs_nothing() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    let mut alice = installed.session(&home);
    let mut bob = installed.session(&home);
    let before = pids(&home);
    let real = env!("CARGO_BIN_EXE_mcpoold");
    for _ in 0..3 {
        // It rehearses well, and removes itself before.
        installed.replace(format!("#!/bin/sh\nrm \"$0\"; exec {real} \"$@\"\n"));
        let ran = home.run(&["upgrade"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("goes on as it was"), "{ran:?}");
        assert!(ran.stderr.contains("No such file"), "{ran:?}");
    }
    assert_eq!(alice.text("count", json!({})), "1");
    // Who writes to somebody who has gone must not end by that.
    bob.begin("slow", json!({"ms": 100}));
    bob.process().kill();
    assert_eq!(alice.text("count", json!({})), "2");
    until("the end of bob's session", || {
        home.status()["sessions"].as_array().unwrap().len() == 1
    });
    assert_eq!(pids(&home), before);
    installed.replace(fs::read(real).unwrap());
    upgrade(&home);
    assert_eq!(alice.text("count", json!({})), "3");
    assert_eq!(pids(&home), before);
}

#[test]
fn many_sessions_and_a_server_that_is_just_starting_do_not_hinder_it() {
    let home = Home::new();
    home.configure("[limits]\nstart_patience = \"5m\"\n");
    let mut clients: Vec<Client> = (0..80).map(|_| home.session(&[])).collect();
    let go_on = home.file("go-on");
    let mut late = home.open(&["--start-until", &go_on]);
    let hello = late.ask(
        "initialize",
        crate::support::hello("2025-11-25", &json!({})),
    );
    until("the last session being known", || {
        home.status()["sessions"].as_array().unwrap().len() == 81
    });
    let told = upgrade(&home);
    assert_eq!(told["sessions"], 81, "{told}");
    fs::write(&go_on, "").unwrap();
    assert!(late.response(hello)["result"].is_object());
    let pid = clients[0].server_pid();
    for client in &mut clients {
        assert_eq!(client.server_pid(), pid);
    }
    let daemon = home.daemon_pid().unwrap();
    let before = processes::descriptors(daemon);
    for _ in 0..3 {
        upgrade(&home);
    }
    until("no more descriptors than before", || {
        processes::descriptors(daemon) <= before
    });
}

#[test]
fn upgrades_at_the_same_time_do_not_harm_each_other() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    assert_eq!(alice.text("count", json!({})), "1");
    let before = pids(&home);
    let codes: Vec<Option<i32>> = thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| home.run(&["upgrade"]).code))
            .collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(codes.contains(&Some(0)), "{codes:?}");
    assert_eq!(alice.text("count", json!({})), "2");
    assert_eq!(pids(&home), before);
}

#[test]
fn who_wants_one_while_a_program_is_tried_may_come_again_soon() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    let _alice = installed.session(&home);
    let real = env!("CARGO_BIN_EXE_mcpoold");
    installed.replace(format!(
        "#!/bin/sh\n: > \"$0.tried\"\nuntil [ -e \"$0.go\" ]; do sleep 0.05; done\nexec {real} \"$@\"\n"
    ));
    let place = |name: &str| installed.folder.join(name);
    thread::scope(|scope| {
        let first = scope.spawn(|| upgrade(&home));
        until("a trial", || place("mcpoold.tried").exists());
        let mut other = UnixStream::connect(home.pool().join("mcpool.sock")).unwrap();
        let wish = preface(Ask::Admin(AdminAsk::Upgrade)).encode().unwrap();
        other.write_all(&wish).unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).unwrap();
        fs::write(place("mcpoold.go"), "").unwrap();
        first.join().unwrap();
        let line = answer.lines().last().unwrap_or_default();
        let told = json!({"busy": "not upgraded: an upgrade is under way already"});
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), told);
    });
}

#[test]
fn a_restart_that_waits_is_not_interrupted() {
    let home = Home::new();
    let record = home.file("record");
    let mut alice = home.session(&["--record", &record]);
    let server = home.upstream()["server"].as_str().unwrap().to_owned();
    let go_on = home.file("go-on");
    let call = alice.begin("slow", json!({"until": go_on}));
    home.noted("record", "call slow");
    thread::scope(|scope| {
        let restart = scope.spawn(|| home.run(&["restart", &server]));
        until("a server that drains", || {
            home.upstream()["state"] == "draining"
        });
        let ran = home.run(&["upgrade"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("restarted"), "{ran:?}");
        fs::write(&go_on, "").unwrap();
        assert_eq!(restart.join().unwrap().code, Some(0));
    });
    assert!(alice.response(call)["result"].is_object());
    upgrade(&home);
}

#[test]
fn without_a_daemon_there_is_nothing_to_upgrade() {
    let home = Home::new();
    let told: Value = serde_json::from_str(&home.done(&["upgrade", "--json"])).unwrap();
    assert_eq!(told, json!({"upgraded": false}));
    assert!(home.done(&["upgrade"]).contains("does not run"));
    assert_eq!(home.daemon_pid(), None);
}

#[test]
fn nobody_but_a_daemon_hands_over_a_state() {
    let home = Home::new();
    for state in ["0", "7", "-1"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpoold"));
        let pool = home.pool();
        command
            .args(["serve", "--home"])
            .arg(pool)
            .args(["--thaw", state]);
        let ran = finish(&mut command);
        assert_eq!(ran.code, Some(1), "{ran:?}");
    }
    let ran = finish(Command::new(env!("CARGO_BIN_EXE_mcpoold")).args(["serve", "--check-state"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("no state of a daemon"), "{ran:?}");
}

#[test]
fn a_configuration_with_an_error_is_in_the_way_and_nothing_of_the_last_good_one_is_lost() {
    let home = Home::new();
    let good = format!("[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n");
    home.configure(&good);
    let mut alice = home.configured("fake");
    assert_eq!(alice.text("count", json!({})), "1");
    home.configure(&format!("{good}comand = \"oops\"\n"));
    let ran = home.run(&["upgrade"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("config.toml:3:1"), "{ran:?}");
    assert!(ran.stderr.contains("goes on as it was"), "{ran:?}");
    let mut bob = home.configured("fake");
    assert_eq!(bob.text("count", json!({})), "2");
    home.configure(&good);
    upgrade(&home);
    assert_eq!(alice.text("count", json!({})), "3");
}
