//! What comes at the moment of the answer: a cancellation ends its own request, or nothing, and a handle is good
//! once.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http_modern::{ask, call_of},
    support::{Client, Home},
};

/// Calls of each session; every second one is cancelled.
const CALLS: u64 = 10_000;

/// One of the two sessions, which use the same ids at the same time.
struct Racer {
    client: Client,
    name: &'static str,
    /// Whether it cancels its calls of odd ids, or those of even ones.
    cancels_odd: bool,
    answered: BTreeSet<u64>,
}

impl Racer {
    fn cancels(&self, id: u64) -> bool {
        (id % 2 == 1) == self.cancels_odd
    }

    fn run(mut self) -> Self {
        for id in 1..=CALLS {
            self.client.send(&json!({
                "jsonrpc": "2.0",
                "id": id,
                "method": "tools/call",
                "params": {"name": "echo", "arguments": self.arguments(id)},
            }));
            if self.cancels(id) {
                // From before the server has it until after its answer has come.
                let later = Instant::now() + Duration::from_micros(id * 37 % 500);
                while Instant::now() < later {
                    hint::spin_loop();
                }
                self.client
                    .notify("notifications/cancelled", &json!({"requestId": id}));
            } else {
                // Nothing piles up, so that the next cancellation meets its call on the way.
                self.hear_up_to(&json!(id));
            }
        }
        self.client
            .send(&json!({"jsonrpc": "2.0", "id": "end", "method": "resources/templates/list"}));
        self.hear_up_to(&json!("end"));
        self
    }

    /// Takes in all up to this answer; each must be to a call of its own, and none comes twice.
    fn hear_up_to(&mut self, last: &Value) {
        loop {
            let answer = self.client.wait_for(|_| true);
            if let Some(id) = answer["id"].as_u64() {
                let text = format!("{}-{id}", self.name);
                assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
                assert!(self.answered.insert(id), "{text} was answered twice");
            }
            if answer["id"] == *last {
                return;
            }
        }
    }

    fn arguments(&self, id: u64) -> Value {
        let mark = format!("{}-{id}", self.name);
        json!({"text": mark, "mark": mark})
    }
}

#[test]
fn ten_thousand_cancellations_at_the_moment_of_the_answer_end_no_request_but_their_own() {
    let home = Home::new();
    let record = home.file("record");
    let racer = |name, cancels_odd| Racer {
        client: home.session(&["--record", &record]),
        name,
        cancels_odd,
        answered: BTreeSet::new(),
    };
    let racers = [racer("alice", true), racer("bob", false)];
    let racers = thread::scope(|scope| {
        racers
            .map(|racer| scope.spawn(|| racer.run()))
            .map(|thread| thread.join().unwrap())
    });
    // That all others were answered each has seen on its way.
    let missed = racers.iter().map(|racer| {
        let cancelled = (1..=CALLS).filter(|id| racer.cancels(*id));
        cancelled.filter(|id| !racer.answered.contains(id)).count()
    });
    let missed = missed.sum();
    check_record(&home, missed);
}

/// What the server was told to cancel must be what its session cancelled; nothing ran twice.
fn check_record(home: &Home, missed: usize) {
    let mut marks = BTreeMap::new();
    let mut told = 0;
    for line in home.lines("record") {
        if let Some(executed) = line.strip_prefix("executed ") {
            let (mark, id) = executed.split_once(' ').unwrap();
            let earlier = marks.insert(id.to_owned(), mark.to_owned());
            assert_eq!(earlier, None, "{id} was used twice");
        }
    }
    let different: BTreeSet<&String> = marks.values().collect();
    assert_eq!(different.len(), marks.len(), "a call ran twice");
    for line in home.lines("record") {
        let Some(id) = line.strip_prefix("cancelled ") else {
            continue;
        };
        told += 1;
        // A call may be cancelled before its thread has begun; then it has no mark at all.
        let Some(mark) = marks.get(id) else { continue };
        let (name, number) = mark.split_once('-').unwrap();
        let is_odd = number.parse::<u64>().unwrap() % 2 == 1;
        assert_eq!(
            is_odd,
            name == "alice",
            "{mark} was cancelled by a stranger"
        );
    }
    // The race was run: some cancellations came in time, and some too late.
    let tries = usize::try_from(CALLS).unwrap();
    assert!(missed > 0 && missed < tries, "{missed} of {tries}");
    assert!(told > 0 && told <= missed, "{told} of {missed}");
}

#[test]
fn of_two_who_come_back_with_the_same_handle_at_once_one_is_served_and_the_other_hears_that_it_was_used()
 {
    let home = Home::new();
    let web = home.web(&[]);
    for _ in 0..40 {
        let mut message = call_of("elicit", json!({"text": "name?"}));
        message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"elicitation": {}});
        let asked = ask(&web, &message).json();
        let questions = asked["result"]["inputRequests"].as_object().unwrap();
        let answers = questions
            .keys()
            .map(|key| (key, json!({"action": "decline"})));
        message["params"]["inputResponses"] = answers.collect();
        message["params"]["requestState"] = asked["result"]["requestState"].clone();
        let come_back = |id: u64| {
            let mut message = message.clone();
            message["id"] = json!(id);
            let answer = ask(&web, &message);
            assert_eq!(answer.status, 200);
            answer.json()
        };
        let answers = thread::scope(|scope| {
            let other = scope.spawn(|| come_back(1));
            [come_back(2), other.join().unwrap()]
        });
        let served = answers.iter().filter(|answer| answer["result"].is_object());
        let refused = answers
            .iter()
            .filter(|answer| answer["error"]["code"] == -32602);
        assert_eq!((served.count(), refused.count()), (1, 1), "{answers:?}");
    }
}
