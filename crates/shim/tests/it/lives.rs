//! One session, a hundred daemons.

use std::{collections::BTreeMap, io::Write, thread};

use crate::stage::{Client, Stage};

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
