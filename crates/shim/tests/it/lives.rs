//! One session, a hundred daemons.

use std::{
    collections::BTreeMap,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use crate::stage::{Client, DEADLINE, Stage};

/// What the fake daemons have done, over all their lives.
#[derive(Default)]
struct Deeds {
    /// How often each call was executed.
    executed: BTreeMap<String, usize>,
}

impl Deeds {
    /// Serves one life: so many lines, and then its end, at a place in its words that `chance`
    /// says.
    fn serve(&mut self, stage: &Stage, chance: usize, is_first: bool) -> bool {
        let mut daemon = stage.accept();
        daemon.say("\x1eaccepted 1\n");
        let mut number = 1;
        let mut left = chance % 23;
        if !is_first {
            let told = daemon.hear_resumed();
            let mut words = told.lines();
            while let Some(note) = words.next() {
                if let Some(next) = note.strip_prefix("\x1enext ") {
                    number = next.parse().unwrap();
                    break;
                }
                let id = words.next().unwrap();
                let of = note.split(' ').nth(1).unwrap();
                let answer = if note.ends_with(" fresh") {
                    *self.executed.entry(id.to_owned()).or_default() += 1;
                    "done"
                } else {
                    "unsure"
                };
                daemon.say_if_heard(&format!("{answer} {id}\n\x1edone {of}\n"));
            }
        }
        loop {
            let line = daemon.hear_line();
            if line.is_empty() {
                return false;
            }
            let id = line.trim_end();
            *self.executed.entry(id.to_owned()).or_default() += 1;
            let words = format!("done {id}\n\x1edone {number}\n");
            number += 1;
            if left == 0 {
                // A reply without its note would be one that the client gets twice.
                let reply = words.find('\n').unwrap();
                daemon.say_if_heard(&words[..chance % reply]);
                return true;
            }
            left -= 1;
            daemon.say_if_heard(&words);
        }
    }
}

#[test]
fn at_a_hundred_daemons_no_call_is_lost_and_none_is_executed_twice() {
    const CALLS: usize = 3000;
    let stage = Stage::new();
    let mut client = Client::of(&stage);
    let mut stdin = client.stdin.take().unwrap();
    let deeds = thread::scope(|scope| {
        let daemons = scope.spawn(|| {
            let mut deeds = Deeds::default();
            let mut life = 0;
            while deeds.serve(&stage, life * 7919, life == 0) {
                life += 1;
            }
            assert!(life >= 100, "{life} lives");
            deeds
        });
        let mut answered: BTreeMap<String, usize> = BTreeMap::new();
        let mut asked = 0;
        // Some calls are always open.
        for round in 0..CALLS {
            while asked < CALLS && asked < round + 5 {
                stdin
                    .write_all(format!("call-{asked}\n").as_bytes())
                    .unwrap();
                asked += 1;
            }
            let answer = client.hear_line();
            let (_, id) = answer.trim_end().split_once(' ').unwrap();
            *answered.entry(id.to_owned()).or_default() += 1;
        }
        assert_eq!(answered.len(), CALLS, "each is answered");
        assert!(answered.values().all(|times| *times == 1), "once");
        drop(stdin);
        daemons.join().unwrap()
    });
    assert!(deeds.executed.values().all(|times| *times == 1));
    client.end_well();
}

fn call(number: u32) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\"}}\n")
}

#[test]
fn a_daemon_that_serves_whoever_waits_is_hope_however_short_its_life() {
    let stage = Stage::new();
    let patience = Duration::from_secs(6);
    let (mut client, mut daemon) = stage.lonely(patience);
    let begun = Instant::now();
    let mut number = 0;
    // None lives for as long as one that counts as stable.
    while begun.elapsed() < patience + Duration::from_secs(1) {
        number += 1;
        client.say(&call(number));
        assert_eq!(daemon.hear_line(), call(number));
        drop(daemon);
        let (next, told) = stage.resumed(1);
        daemon = next;
        assert!(told.contains(&format!("line {number} sent\n")), "{told}");
        let answer = format!("answer {number}\n");
        daemon.say(&format!("{answer}\x1edone {number}\n"));
        assert_eq!(client.hear_line(), answer);
    }
}

#[test]
fn daemons_that_come_and_answer_nothing_are_no_reason_to_wait_without_end() {
    // Also for one that might run its server itself.
    for arguments in [&["echo"][..], &["--", "cat"]] {
        let stage = Stage::new();
        let patience = Duration::from_secs(5);
        let (mut client, mut daemon) = stage.lonely_with(patience, arguments);
        let refused = |client: &mut Client, id: u32| {
            let answer = client.hear_line();
            let beginning = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\"");
            assert!(answer.starts_with(&beginning), "{answer}");
            assert!(answer.contains("the last one ended before"), "{answer}");
        };
        client.say(&call(1));
        assert_eq!(daemon.hear_line(), call(1));
        drop(daemon);
        let begun = Instant::now();
        let mut lives = 0;
        while stage.resumed(1).1.contains("line 1 ") {
            lives += 1;
            assert!(begun.elapsed() < DEADLINE, "it waits still");
        }
        // They are not met without pauses, which grow.
        assert!(lives <= 64, "{lives}");
        refused(&mut client, 1);
        // There is no new hope in another one that has gone already.
        client.say(&call(2));
        let answered = Instant::now();
        let answer = client.hear_line();
        assert!(answer.contains("\"id\":2,\"error\""), "{answer}");
        assert!(answered.elapsed() < patience, "{:?}", answered.elapsed());
        let (mut daemon, told) = stage.resumed(1);
        assert!(!told.contains("line"), "{told}");
        client.say(&call(3));
        assert_eq!(daemon.hear_line(), call(3));
        daemon.say("answer\n\x1edone 3\n");
        assert_eq!(client.hear_line(), "answer\n");
    }
}
