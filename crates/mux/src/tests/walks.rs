//! Random walks: what nobody thought of, under the same checks as the transcripts.
//!
//! A walk that fails prints its transcript, which can then be cut down and kept as a test.

use std::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{script::Script, stage::Stage};
use crate::{Era, UpstreamId, audit::Process, upstream::State};

/// Steps of one walk.
const STEPS: usize = 120;
/// Walks of one test.
const WALKS: u64 = 150;

/// What the options of a session begin with whose client is of the modern era.
const MODERN: &str = "modern";

/// Where chance comes from: a xorshift generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

struct Walk {
    stage: Stage,
    chance: Chance,
    /// How the sessions of this walk open.
    options: &'static [&'static str],
    speaking: Vec<String>,
    listening: Vec<String>,
    opened: usize,
    /// Posts that have made their request.
    posted: Vec<String>,
    /// How often a client has come back, well or not.
    returns: usize,
}

impl Walk {
    fn step(&mut self) -> String {
        match self.chance.below(100) {
            0..8 => self.newcomer(),
            8..50 if !self.speaking.is_empty() => self.client(),
            50..54 if !self.listening.is_empty() => self.farewell(),
            54..60 => {
                let time = [
                    "1 ms", "90 ms", "400 ms", "1 s", "7 s", "24 s", "70 s", "11 min",
                ];
                let how = self.chance.pick(&["pass", "pass", "pass unnoticed"]);
                format!("{} {how}", self.chance.pick(&time))
            }
            60 => {
                let how = self.chance.pick(&["", " within 7 s", " within 1 h"]);
                format!("admin restarts echo{how}")
            }
            _server => self.server(),
        }
    }

    fn newcomer(&mut self) -> String {
        if self.speaking.len() >= 4 {
            return self.server();
        }
        self.opened += 1;
        let options = self.chance.pick(self.options);
        let (name, verb, options) = if let Some(options) = options.strip_prefix(MODERN) {
            // A post is one request, and whatever its client comes back with.
            let kind = if options.contains("posts") { 'p' } else { 'm' };
            let name = format!("{kind}{}", self.opened);
            (name.clone(), "opens", format!("handle={name}{options}"))
        } else {
            let verb = self.chance.pick(&["comes", "comes", "opens"]);
            (format!("s{}", self.opened), verb, options.to_string())
        };
        self.speaking.push(name.clone());
        self.listening.push(name.clone());
        format!("{name} {verb} {options}").trim_end().to_string()
    }

    fn client(&mut self) -> String {
        let who = self.speaking[self.chance.below(self.speaking.len())].clone();
        if who.starts_with(['m', 'p']) {
            return self.modern_client(&who);
        }
        let id = self.chance.below(9);
        let tool = self.chance.pick(&["ask", "log", "x", "y"]);
        let uri = self.chance.pick(&["a:1", "a:2"]);
        let level = self.chance.pick(&["debug", "info", "error"]);
        let said = match self.chance.below(16) {
            0..5 => format!("tools/call #{id} tool={tool} token={id}"),
            5 => format!("tools/list #{id}"),
            6 => format!("resources/subscribe #{id} uri={uri}"),
            7 => format!("resources/unsubscribe #{id} uri={uri}"),
            8 => format!("logging/setLevel #{id} level={level}"),
            9 => format!("cancelled #{id}"),
            10 => "vendor/told".to_string(),
            11 => format!("result #{}", self.chance.below(4)),
            12 => format!("initialize #{id}"),
            13 => format!("ping #{id}"),
            14 => format!("resources/read #{id} uri={uri}"),
            _batch => format!(
                r#"raw [{{"jsonrpc":"2.0","id":"b{id}","method":"tools/list"}},{{"jsonrpc":"2.0","id":"c{id}","method":"tools/call","params":{{"name":"x"}}}}]"#
            ),
        };
        format!("{who}: {said}")
    }

    /// A client that says of each request what it is of, and of one in many what a client of the other era would.
    fn modern_client(&mut self, who: &str) -> String {
        let id = self.chance.below(9);
        let tool = self.chance.pick(&["ask", "log", "x"]);
        let log = self.chance.pick(&["", "", " log=info", " log=debug"]);
        let says = format!("modern caps=sampling{log}");
        let is_post = who.starts_with('p');
        let session = self.stage.session(who);
        let open = self.stage.mux.sessions.get(&session);
        if is_post && open.is_some_and(|session| !session.open.is_empty()) {
            // Its client comes back when it has been answered.
            return "1 ms pass".to_string();
        }
        let kind = match self.posted.iter().any(|posted| posted == who) {
            false if is_post => self.chance.below(9),
            true => 17,
            false => self.chance.below(18),
        };
        if is_post {
            self.posted.push(who.to_string());
        }
        let said = match kind {
            0..6 => format!("tools/call #{id} {says} tool={tool} token={id}"),
            6 => format!("tools/list #{id} {says}"),
            7 => format!("server/discover #{id} {says}"),
            8 => format!("subscriptions/listen #{id} {says} changes=tools watches=a:1"),
            9 => format!("resources/read #{id} {says} uri=a:1"),
            10 => format!("cancelled #{id}"),
            11 if self.chance.below(4) == 0 => format!("initialize #{id} caps=sampling"),
            12 if self.chance.below(4) == 0 => format!("tools/list #{id}"),
            // With a handle that may be good, and with another's.
            _comes_back => {
                let whose = self.speaking[self.chance.below(self.speaking.len())].clone();
                let whose = if self.chance.below(4) > 0 {
                    who
                } else {
                    &whose
                };
                let (round, shown) = (1 + self.chance.below(4), 1 + self.chance.below(4));
                self.returns += 1;
                let id = self.returns;
                format!(
                    r#"raw {{"jsonrpc":"2.0","id":"r{id}","method":"tools/call","params":{{"name":"{tool}","requestState":"mcpool.{whose}.{round}","inputResponses":{{"{shown}":{{"by":"{who}"}}}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"sampling":{{}}}}}}}}}}"#
                )
            }
        };
        format!("{who}: {said}")
    }

    fn farewell(&mut self) -> String {
        let at = self.chance.below(self.listening.len());
        let who = self.listening[at].clone();
        match self.chance.below(4) {
            0 => format!("{who} is cut"),
            1 => format!("{who} hears"),
            2 if self.speaking.contains(&who) => {
                self.speaking.retain(|name| *name != who);
                format!("{who} ends")
            }
            _gone => {
                self.speaking.retain(|name| *name != who);
                self.listening.remove(at);
                format!("{who} leaves")
            }
        }
    }

    fn server(&mut self) -> String {
        let processes = self.stage.audit.processes();
        let running: Vec<(UpstreamId, Process)> = processes
            .filter(|(_, process)| *process != Process::None)
            .collect();
        if running.is_empty() {
            return "1 s pass".to_string();
        }
        let (id, process) = self.chance.pick(&running);
        match process {
            Process::Starting if self.chance.below(4) == 0 => format!("{id} start fails x"),
            Process::Starting => format!("{id} starts"),
            Process::Stopping => format!("{id} exits code 0"),
            Process::Running | Process::None => {
                let state = self.stage.mux.upstreams[&id].state;
                if matches!(state, State::Initializing) && self.chance.below(4) == 0 {
                    self.refuses_to_greet(id)
                } else if matches!(state, State::Initializing) && self.chance.below(3) > 0 {
                    let declares = self.chance.pick(&[
                        "logging",
                        "tools.listChanged+logging",
                        "tools.listChanged+resources.subscribe+logging",
                        "logging+tasks",
                    ]);
                    format!("{id}: greets declares={declares}")
                } else {
                    self.running(id)
                }
            }
        }
    }

    /// A server does not speak as it is spoken to: it says so, says something else, or ends.
    fn refuses_to_greet(&mut self, id: UpstreamId) -> String {
        let exchanges = &self.stage.mux.upstreams[&id].exchanges;
        let greeting = exchanges.iter().map(|(minted, _)| minted).next();
        let code = self.chance.pick(&[-32601, -32022, -32603]);
        match greeting.filter(|_| self.chance.below(4) > 0) {
            Some(greeting) => format!(
                r#"{id}: raw {{"jsonrpc":"2.0","id":{greeting},"error":{{"code":{code},"message":"no"}}}}"#
            ),
            None => format!("{id} exits code 1"),
        }
    }

    fn running(&mut self, id: UpstreamId) -> String {
        let exchanges = &self.stage.mux.upstreams[&id].exchanges;
        let open: Vec<u64> = exchanges.iter().map(|(minted, _)| minted).collect();
        // Now and then an answer that nobody waits for.
        let minted = match self.chance.below(8) {
            0 => self.chance.below(30) as u64,
            _open if open.is_empty() => 7,
            _open => self.chance.pick(&open),
        };
        let ask = self.chance.below(4);
        let is_modern = self.stage.mux.upstreams[&id].key.era == Era::Modern;
        let heard = self.stage.mux.upstreams[&id].heard.as_ref();
        if let Some(request) = heard.map(|heard| heard.request)
            && self.chance.below(4) == 0
        {
            let honoured = self.chance.pick(&["", " watches=a:1", " watches=a:1+a:2"]);
            return format!("{id}: subscriptions/acknowledged #{request} changes=tools{honoured}");
        }
        if is_modern && self.chance.below(3) == 0 {
            return self.modern_answer(id, minted);
        }
        let said = match self.chance.below(24) {
            0..10 => format!(": result #{minted}"),
            10 => format!(": error #{minted}"),
            11 => format!(": progress token={minted}"),
            12..14 => format!(": sampling/createMessage #{ask}"),
            14 => format!(": cancelled #{ask}"),
            15 => format!(": roots/list #r{ask}").replace("#r", "#1"),
            16 => ": message level=info".to_string(),
            17 => ": tools/list_changed".to_string(),
            18 => ": resources/updated uri=a:1".to_string(),
            19 => " blocks".to_string(),
            20..22 => " reads".to_string(),
            22 => ": too long response".to_string(),
            _dies => " exits code 1".to_string(),
        };
        format!("{id}{said}")
    }

    /// A server of the modern era asks in place of an answer: what a client must answer, what it need not, or nothing.
    fn modern_answer(&mut self, id: UpstreamId, minted: u64) -> String {
        let asks = self.chance.pick(&[
            r#""a":{"method":"sampling/createMessage","params":{}}"#,
            r#""a":{"method":"sampling/createMessage","params":{}},"b":{"method":"sampling/createMessage","params":{"x":1}}"#,
            r#""a":{"method":"roots/list"}"#,
            "",
        ]);
        format!(
            r#"{id}: raw {{"jsonrpc":"2.0","id":{minted},"result":{{"resultType":"input_required","inputRequests":{{{asks}}},"requestState":"s"}}}}"#
        )
    }

    /// Sessions that the core has closed say nothing more.
    fn forget_closed(&mut self) {
        let stage = &self.stage;
        let is_open = |name: &String| stage.is_open(stage.session(name));
        self.speaking.retain(is_open);
        self.listening.retain(is_open);
    }
}

fn walk(options: &'static [&'static str]) {
    for seed in 1..=WALKS {
        let mut walk = Walk {
            stage: Stage::default(),
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            options,
            speaking: Vec::new(),
            listening: Vec::new(),
            opened: 0,
            posted: Vec::new(),
            returns: 0,
        };
        let mut played = String::new();
        for _ in 0..STEPS {
            let line = walk.step();
            let script = Script::parse(&line);
            let step = std::panic::AssertUnwindSafe(|| walk.stage.play(&script));
            match std::panic::catch_unwind(step) {
                Ok(shown) => played += &shown,
                Err(panic) => {
                    std::eprintln!("walk {seed}:\n{played}");
                    std::panic::resume_unwind(panic);
                }
            }
            walk.forget_closed();
        }
        let end = std::panic::AssertUnwindSafe(|| walk.stage.clear());
        if let Err(panic) = std::panic::catch_unwind(end) {
            std::eprintln!("walk {seed}, at its end:\n{played}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_sessions_without_capabilities_do_holds() {
    walk(&[
        "",
        "keeps",
        "slow",
        "version=2025-03-26",
        "keeps version=2025-03-26",
        "joins",
        "idle=0",
        "keeps on-restart=error",
        "request=60 request-idle=7",
    ]);
}

#[test]
fn whatever_sessions_that_can_be_asked_do_holds() {
    walk(&[
        "caps=sampling",
        "caps=sampling keeps",
        "caps=sampling slow",
        "caps=sampling keeps on-restart=error request-idle=20",
    ]);
}

#[test]
fn whatever_sessions_of_several_scopes_do_holds() {
    walk(&[
        "scope=global caps=roots",
        "scope=global caps=roots workspace=/v",
        "scope=session server=own idle=0",
        "asks=session server=other caps=sampling idle=1",
        "joins caps=sampling workspace=/v",
    ]);
}

#[test]
fn whatever_sessions_of_both_eras_do_holds() {
    walk(&[
        "modern",
        "modern keeps",
        "modern posts",
        "modern server=old era=legacy",
        "modern server=old era=legacy posts",
        "caps=sampling",
        "caps=sampling server=new era=modern",
        "caps=sampling server=new era=modern keeps",
    ]);
}
