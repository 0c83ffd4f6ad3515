//! Eight clients at once, each with a script of every feature and marks of its own, on one process:
//! each sees what it would see alone.
//!
//! What it would see alone is what it sees without mcpool. Log messages may be fewer, and those that
//! are missing are counted; never are they another's.

use std::{collections::BTreeMap, fs, process::Command, sync::Barrier, thread};

use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, PATIENCE, until};

const CLIENTS: usize = 8;
const ROUNDS: usize = 4;

/// A call that was cancelled may be the cause of a question for a while, unless its server says that
/// it is over. Servers built on the Python SDK do.
const SAYING: [&str; 1] = ["--answer-cancelled"];

/// Steps in which the server asks the client something.
const ASKING: [&str; 2] = ["sampling", "elicitation"];

/// A part of the script: it may stand anywhere in it.
type Step = fn(&mut Player);

const STEPS: [(&str, Step); 16] = [
    ("tools", tools),
    ("prompts", prompts),
    ("resources", resources),
    ("templates", templates),
    ("reading", reading),
    ("completion", completion),
    ("logging", logging),
    ("progress", progress),
    ("subscription", subscription),
    ("sampling", sampling),
    ("elicitation", elicitation),
    ("roots", roots),
    ("cancellation", cancellation),
    ("pings", pings),
    ("errors", errors),
    ("large", large),
];

/// What came in each step, ids of questions and of the process apart.
type Seen = BTreeMap<&'static str, Vec<Value>>;

/// A client with its script.
struct Player {
    client: Client,
    mark: String,
    /// What the client would say that its roots are.
    roots: Value,
    step: &'static str,
    seen: Seen,
    pids: Vec<u64>,
}

impl Player {
    fn new(client: Client, number: usize, home: &Home) -> Self {
        let folder = home.project("project");
        Player {
            client,
            mark: format!("mark-{number}"),
            roots: json!([{"name": "project", "uri": format!("file://{}", folder.display())}]),
            step: "greeting",
            seen: Seen::new(),
            pids: Vec::new(),
        }
    }

    fn greet(&mut self) {
        let id = self.client.next_id();
        let capabilities = json!({"sampling": {}, "elicitation": {}, "roots": {}});
        self.send(
            id,
            "initialize",
            &json!({
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "clientInfo": {"name": self.mark, "version": "1"},
            }),
        );
        self.hear_answer(id);
        self.client.notify("notifications/initialized", &json!({}));
    }

    /// Plays all steps, beginning with that of this number.
    fn play(&mut self, first: usize) {
        for offset in 0..STEPS.len() {
            let (name, step) = STEPS[(first + offset) % STEPS.len()];
            self.step = name;
            step(self);
            // All that was caused by the step has come when this is answered.
            self.request("resources/templates/list", &json!({}));
        }
    }

    fn send(&mut self, id: u64, method: &str, params: &Value) {
        self.client
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.client.next_id();
        self.send(id, method, params);
        self.hear_answer(id)
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.request("tools/call", &params)
    }

    /// Takes in everything up to the answer, and answers what is asked meanwhile.
    fn hear_answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.client.wait_for(|_| true);
            let method = message["method"].as_str().map(str::to_owned);
            self.note(&message);
            match method {
                None if message["id"] == id => return message["result"].clone(),
                Some(method) if message.get("id").is_some() => {
                    let result = self.answer_to(&method);
                    self.client
                        .send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
                }
                _others => {}
            }
        }
    }

    fn answer_to(&self, method: &str) -> Value {
        match method {
            "ping" => json!({}),
            "roots/list" => json!({"roots": self.roots}),
            "sampling/createMessage" => json!({
                "role": "assistant",
                "model": "m",
                "content": {"type": "text", "text": format!("said by {}", self.mark)},
            }),
            "elicitation/create" => json!({"action": "accept", "content": {"by": self.mark}}),
            other => panic!("{other} was asked"),
        }
    }

    fn note(&mut self, message: &Value) {
        // What is the client's own is so in every run, and nobody else's.
        let text = message.to_string().replace(&self.client.canary(), "mine");
        let mut message: Value = serde_json::from_str(&text).unwrap();
        let is_question = message.get("method").is_some() && message.get("id").is_some();
        if is_question {
            message["id"] = json!("of a question");
        }
        if let Some(pid) = message.pointer_mut("/result/structuredContent/pid") {
            self.pids.extend(pid.as_u64());
            *pid = json!("a process");
        }
        // Ids follow the order of the steps, which is not the same in each run.
        if message.get("method").is_none() {
            message["id"] = json!("mine");
        }
        // Of a request that was cancelled a client expects no answer, and mcpool passes none on.
        if message["error"]["message"] == "Request cancelled" {
            return;
        }
        // mcpool knows the roots, and that the client is there, and need not ask.
        if message["method"] != "roots/list" && message["method"] != "ping" {
            self.seen.entry(self.step).or_default().push(message);
        }
    }

    /// All clients cancel a call each, whose server asks something after that, while one of them alone has
    /// another call open: nobody is asked it.
    fn cancel_what_asks(&mut self, home: &Home, barrier: &Barrier, has_open: bool) {
        let (client, go_on, done) = (&mut self.client, home.file("go-on"), home.file("done"));
        let arguments = json!({"text": self.mark, "until": go_on});
        let cancelled = client.begin("sample", arguments);
        until("all of these calls being at the server", || {
            home.count("record", "call sample") == CLIENTS
        });
        client.notify("notifications/cancelled", &json!({"requestId": cancelled}));
        client.come_to_rest();
        let open = has_open.then(|| client.begin("slow", json!({"until": done})));
        if has_open {
            home.noted("record", "call slow");
        }
        barrier.wait();
        fs::write(go_on, "").unwrap();
        until("answers to all that the server asked", || {
            home.count("record", "heard") == CLIENTS
        });
        fs::write(done, "").unwrap();
        if let Some(open) = open {
            assert!(client.response(open)["result"].is_object());
        }
        client.come_to_rest();
        let was_asked = client.has_heard(|message| message.get("method").is_some());
        assert!(
            !was_asked,
            "{} was asked what another had caused",
            self.mark
        );
        barrier.wait();
    }

    /// All pages of a list.
    fn pages(&mut self, method: &str) {
        let mut params = json!({});
        for _ in 0..10 {
            let page = self.request(method, &params);
            let Some(cursor) = page.get("nextCursor") else {
                return;
            };
            params = json!({"cursor": cursor});
        }
        panic!("{method} has no last page");
    }

    fn own_resource(&self) -> Value {
        json!({"uri": format!("fake://{}", self.mark)})
    }
}

fn tools(player: &mut Player) {
    player.pages("tools/list");
    let text = json!({"text": player.mark});
    player.call("echo", &text);
}

fn prompts(player: &mut Player) {
    player.pages("prompts/list");
    let subject = json!({"subject": player.mark});
    player.request(
        "prompts/get",
        &json!({"name": "greet", "arguments": subject}),
    );
}

fn resources(player: &mut Player) {
    player.pages("resources/list");
}

fn templates(player: &mut Player) {
    player.pages("resources/templates/list");
}

fn reading(player: &mut Player) {
    let uri = player.own_resource();
    player.request("resources/read", &uri);
}

fn completion(player: &mut Player) {
    let argument = json!({"name": "subject", "value": player.mark});
    let prompt = json!({"type": "ref/prompt", "name": "greet"});
    player.request(
        "completion/complete",
        &json!({"ref": prompt, "argument": argument}),
    );
}

fn logging(player: &mut Player) {
    player.request("logging/setLevel", &json!({"level": "debug"}));
    for level in ["debug", "info", "error"] {
        let text = json!({"text": player.mark, "level": level});
        player.call("log", &text);
    }
    player.request("logging/setLevel", &json!({"level": "error"}));
}

fn progress(player: &mut Player) {
    // The same token in every client.
    for token in [json!(1), json!("1")] {
        let params = json!({
            "name": "progress",
            "arguments": {"text": player.mark, "steps": 5},
            "_meta": {"progressToken": token},
        });
        player.request("tools/call", &params);
    }
}

fn subscription(player: &mut Player) {
    let uri = player.own_resource();
    player.request("resources/subscribe", &uri);
    player.call("touch", &uri);
    player.request("resources/unsubscribe", &uri);
    let touched = json!({"uri": uri["uri"], "honest": true});
    player.call("touch", &touched);
}

fn sampling(player: &mut Player) {
    let text = json!({"text": player.mark});
    player.call("sample", &text);
}

fn elicitation(player: &mut Player) {
    let text = json!({"text": player.mark});
    player.call("elicit", &text);
}

fn roots(player: &mut Player) {
    player.call("roots", &json!({}));
}

fn cancellation(player: &mut Player) {
    let id = player.client.next_id();
    let arguments = json!({"ms": 600_000, "text": "never"});
    let meta = json!({"progressToken": 1});
    let params = json!({"name": "slow", "arguments": arguments, "_meta": meta});
    player.send(id, "tools/call", &params);
    // It has begun when this comes.
    let progress = player.client.wait_for(|_| true);
    player.note(&progress);
    player
        .client
        .notify("notifications/cancelled", &json!({"requestId": id}));
}

fn pings(player: &mut Player) {
    player.request("ping", &json!({}));
    player.call("ping", &json!({}));
}

fn errors(player: &mut Player) {
    let text = json!({"text": player.mark});
    player.call("fail", &text);
    player.call("no-such-tool", &json!({}));
    player.request("prompts/get", &json!({"name": "no-such-prompt"}));
    player.request("resources/list", &json!({"cursor": "no-such-cursor"}));
    let method = format!("fake/{}", player.mark);
    player.request(&method, &json!({}));
}

fn large(player: &mut Player) {
    player.call("big", &json!({"bytes": 300_000}));
}

/// What a client sees that has the server for itself.
fn seen_alone(number: usize, home: &Home, options: &[&str]) -> Seen {
    let client = Client::spawn(Command::new(FAKE_SERVER).args(options));
    let mut player = Player::new(client, number, home);
    player.greet();
    player.play(number);
    player.seen
}

/// All clients on one server; each begins with the step that is its own by `first`.
fn together(
    home: &Home,
    options: &[&str],
    before: impl Fn(&mut Player, usize, &Barrier) + Sync,
    first: impl Fn(usize) -> usize,
) -> Vec<Player> {
    let barrier = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        let play = |number: usize| {
            let (barrier, before, first) = (&barrier, &before, first(number));
            move || {
                let mut player = Player::new(home.open(options), number, home);
                player.greet();
                barrier.wait();
                before(&mut player, number, barrier);
                player.play(first);
                player
            }
        };
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(play(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Splits off log messages, which may be missing.
fn without_logs(seen: &Seen) -> (Seen, Vec<Value>) {
    let mut logs = Vec::new();
    let mut others = seen.clone();
    for messages in others.values_mut() {
        messages.retain(|message| {
            let is_log = message["method"] == "notifications/message";
            if is_log {
                logs.push(message.clone());
            }
            !is_log
        });
    }
    (others, logs)
}

/// Whether all of these are among those, in their order.
fn is_part_of(some: &[Value], all: &[Value]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

#[test]
fn eight_clients_with_every_feature_see_on_one_process_what_each_sees_alone() {
    let home = Home::new();
    let alone: Vec<Seen> = (0..CLIENTS)
        .map(|number| seen_alone(number, &home, &SAYING))
        .collect();
    let mut missing = 0;
    let mut pids = Vec::new();
    for round in 0..ROUNDS {
        // Each round has other neighbours: apart, in pairs, all in step.
        let first = |number| number * (round % 3) + round;
        let players = together(&home, &SAYING, |_, _, _| {}, first);
        for (player, alone) in players.into_iter().zip(&alone) {
            let (seen, logs) = without_logs(&player.seen);
            let (wanted, logs_wanted) = without_logs(alone);
            for (step, messages) in &wanted {
                assert_eq!(seen.get(step), Some(messages), "{}: {step}", player.mark);
            }
            assert_eq!(seen.len(), wanted.len());
            assert!(is_part_of(&logs, &logs_wanted), "{}: {logs:?}", player.mark);
            missing += logs_wanted.len() - logs.len();
            pids.extend(player.pids);
        }
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "one process for all: {pids:?}");
    let mut dropped = json!({"unknown-response": CLIENTS * ROUNDS});
    if missing > 0 {
        dropped["unclear-log-message"] = json!(missing);
    }
    // What is missing is counted; nothing else was dropped but answers to what was cancelled, each when it came.
    until("all these answers being dropped", || {
        let counts = &home.upstream()["dropped"];
        counts["unknown-response"].as_u64() >= dropped["unknown-response"].as_u64()
    });
    assert_eq!(home.upstream()["dropped"], dropped);
}

/// Whether the server was refused what it wanted to ask, and the client was asked nothing.
fn is_refused(seen: &[Value], alone: &[Value]) -> bool {
    let is_answer = |message: &&Value| message.get("method").is_none();
    let [call, rest] = seen else {
        return false;
    };
    let said = call["result"]["content"][0]["text"].as_str();
    said.is_some_and(|said| said.contains("\"owner-unclear\""))
        && call.get("method").is_none()
        && alone.iter().filter(is_answer).nth(1) == Some(rest)
}

/// Decision 6: what the server asks while a cancelled call of somebody else may be the cause waits, or is
/// refused. It is never put to another session, and nothing else is different.
#[test]
fn where_a_server_keeps_silent_of_cancelled_calls_its_questions_reach_their_owner_or_nobody() {
    let home = Home::new();
    let alone: Vec<Seen> = (0..CLIENTS)
        .map(|number| seen_alone(number, &home, &[]))
        .collect();
    let record = home.file("record");
    let cancel = |player: &mut Player, number: usize, barrier: &Barrier| {
        // Each call of a tool that asks may hold those behind it up for ten seconds, and all may be in one row.
        player.client.be_patient(PATIENCE * 8);
        player.cancel_what_asks(&home, barrier, number == 0);
    };
    // Those who have the server ask something begin with it.
    let first = |number| 9 + number / 2;
    let players = together(&home, &["--record", &record], cancel, first);
    // The server was refused what nobody was asked.
    let mut refused = CLIENTS as u64;
    let mut pids = Vec::new();
    for (player, alone) in players.into_iter().zip(&alone) {
        let (seen, logs) = without_logs(&player.seen);
        let (wanted, logs_wanted) = without_logs(alone);
        for (step, wanted) in &wanted {
            let seen = seen.get(step).map(Vec::as_slice).unwrap_or_default();
            if ASKING.contains(step) && is_refused(seen, wanted) {
                refused += 1;
            } else {
                assert_eq!(seen, wanted, "{}: {step}", player.mark);
            }
        }
        assert_eq!(seen.len(), wanted.len());
        assert!(is_part_of(&logs, &logs_wanted), "{}: {logs:?}", player.mark);
        pids.extend(player.pids);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "one process for all: {pids:?}");
    let counted = home.status()["counts"]["ask-refused"].clone();
    assert_eq!(counted.as_u64().unwrap_or(0), refused);
}
