//! Sessions that say as much as they can, read or not: they are served or not read, others are served
//! beside them, and the daemon takes no more for them than the 16 MiB that one hostile session may cost.
//!
//! Each flood is played twice: before books, which take memory themselves, and before the figure.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::{
    Client, FAKE_SERVER, Watched,
    reluctant::{self, Reluctant},
    until,
};

/// What one hostile session at full speed may cost the daemon, in KiB.
const HOSTILE_KB: u64 = 16 << 10;

/// A session that says much, and reads only what a test has it read.
struct Flood {
    // Sessions end before their daemon does.
    neighbour: Client,
    hostile: Reluctant,
    /// What the daemon took before, in KiB.
    before: Option<u64>,
    daemon: Watched,
}

/// Floods both daemons with these lines, and looks at what becomes of it.
fn play(lines: &[u8], look: impl Fn(&mut Flood)) {
    for daemon in Watched::both() {
        let mut flood = Flood::of(lines.to_vec(), daemon);
        look(&mut flood);
        flood.has_cost_little();
    }
}

impl Flood {
    fn of(lines: Vec<u8>, daemon: Watched) -> Self {
        let home = daemon.home();
        let mut neighbour = home.session(&[]);
        neighbour.text("echo", json!({"text": "warm"}));
        let connect = ["connect", "--", FAKE_SERVER];
        let mut hostile = Reluctant::spawn(&mut home.mcpool(&connect));
        let before = daemon.peak_kb();
        hostile.flood(lines);
        Flood {
            neighbour,
            hostile,
            before,
            daemon,
        }
    }

    /// Until it is not read any more, while somebody else is answered.
    fn is_not_read(&mut self) {
        let (home, neighbour) = (self.daemon.home(), &mut self.neighbour);
        until("a session that is not read any more", || {
            assert_eq!(neighbour.text("echo", json!({"text": "here"})), "here");
            let sessions = home.status()["sessions"].clone();
            let mut sessions = sessions.as_array().unwrap().iter();
            sessions.any(|session| session["paused"] == true)
        });
    }

    /// Reads the answers to so many calls; each came once and says what it was called with.
    fn is_answered(&mut self, calls: usize, text: impl Fn(usize) -> String) {
        let mut seen = vec![false; calls];
        for round in 0..calls {
            let answer = self.hostile.message();
            let id = usize::try_from(answer["id"].as_u64().unwrap()).unwrap();
            let said = &answer["result"]["content"][0]["text"];
            assert_eq!(*said, text(id), "{answer}");
            assert!(!std::mem::replace(&mut seen[id], true), "{id} came twice");
            if round % 1000 == 0 {
                let answer = self.neighbour.text("echo", json!({"text": "beside"}));
                assert_eq!(answer, "beside");
            }
        }
    }

    /// The most that the daemon ever took was no more than it may, and nobody was cut.
    #[track_caller]
    fn has_cost_little(&self) {
        if let Some((peak, before)) = self.daemon.peak_kb().zip(self.before) {
            let grown = peak - before;
            assert!(grown <= HOSTILE_KB, "the daemon grew by {grown} KiB");
        }
        let counts = self.daemon.home().status()["counts"].clone();
        assert_eq!(counts["session-cut"], json!(null));
    }
}

fn calls(count: usize, text: impl Fn(usize) -> String) -> Vec<u8> {
    let mut lines = String::new();
    for id in 0..count {
        let call = reluctant::call(id as u64, "echo", json!({"text": text(id)}));
        writeln!(lines, "{call}").unwrap();
    }
    lines.into_bytes()
}

#[test]
fn a_session_that_calls_at_full_speed_and_reads_takes_no_more_than_its_share() {
    const CALLS: usize = 20_000;
    // As many as may wait at once, and more.
    let text = |id: usize| id.to_string();
    play(&calls(CALLS, text), |flood| flood.is_answered(CALLS, text));
}

#[test]
fn a_session_that_calls_with_much_to_say_and_reads_takes_no_more_than_its_share() {
    const CALLS: usize = 4000;
    // As many bytes as may wait at once, and more.
    let text = |id: usize| format!("{id} {}", "x".repeat(8000));
    play(&calls(CALLS, text), |flood| flood.is_answered(CALLS, text));
}

#[test]
fn a_session_that_calls_and_calls_and_reads_nothing_is_not_read_until_it_reads() {
    const CALLS: usize = 14_000;
    let text = |id: usize| format!("{id} {}", "x".repeat(600));
    play(&calls(CALLS, text), |flood| {
        flood.is_not_read();
        flood.is_answered(CALLS, text);
    });
}

#[test]
fn a_session_that_says_what_is_answered_at_once_and_reads_nothing_is_not_read_until_it_reads() {
    const PINGS: usize = 60_000;
    let ping = |id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
    let lines: String = (0..PINGS).map(ping).collect();
    play(lines.as_bytes(), |flood| {
        flood.is_not_read();
        for id in 0..PINGS {
            let answer = flood.hostile.message();
            assert_eq!(answer["id"], id, "{answer}");
            assert!(answer["result"].is_object(), "{answer}");
        }
    });
}

#[test]
fn a_session_that_says_nothing_but_garbage_and_reads_nothing_is_not_read_until_it_reads() {
    const LINES: usize = 60_000;
    play(&b"x\n".repeat(LINES), |flood| {
        flood.is_not_read();
        for _ in 0..LINES {
            let answer = flood.hostile.message();
            assert_eq!(answer["error"]["code"], -32700, "{answer}");
        }
    });
}

#[test]
fn a_session_that_writes_blank_lines_for_ever_takes_little_memory() {
    let mut lines = vec![b'\n'; 2 << 20];
    lines.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    play(&lines, |flood| {
        let answer = flood.hostile.message();
        assert!(answer["result"].is_object(), "{answer}");
    });
}
