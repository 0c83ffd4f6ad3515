//! What a session says next: drawn by its dice from all that it may say now.

use std::fmt::Write as _;

use fastrand::Rng;

use super::{
    record::{Kind, Outcome},
    session::{Form, Open, Session, Stage, Touch},
};

/// A resource that every session may hear of.
const SHARED_URI: &str = "soak://shared/all";

/// Bytes of a payload that is large.
const LARGE: std::ops::Range<usize> = (64 << 10)..(512 << 10);

/// What payloads are made of: all that a careless proxy may take for something else, or write in
/// another way.
const PIECES: [&str; 12] = [
    "plain words ",
    r#"\"id\":1,"#,
    r#"{\"method\":\"tools/call\"}"#,
    r"\\",
    r"\u00e9",
    "é",
    r"\n",
    "\u{2028}",
    "𝄞",
    r"\/",
    "progressToken ",
    r"\ud834\udd1e",
];

/// Methods that ask without an effect, with what is particular to their parameters.
const READS: [(&str, &str); 6] = [
    ("tools/list", r#""cursor":"c""#),
    ("resources/list", r#""_x":null"#),
    ("resources/read", r#""uri":"soak://file/1""#),
    ("prompts/get", r#""name":"echo""#),
    ("prompts/list", r#""_x":[1e400,-0]"#),
    (
        "completion/complete",
        r#""ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"}"#,
    ),
];

/// A request to be sent.
struct Request<'a> {
    kind: Kind,
    method: &'a str,
    /// Its parameters as text, around the token of progress if there is one.
    before: String,
    after: Option<String>,
    steps: u32,
    touches: Option<Touch>,
    subject: Option<String>,
    form: Form,
}

impl Request<'_> {
    fn new(kind: Kind, method: &str, params: String) -> Request<'_> {
        Request {
            kind,
            method,
            form: Form::Any,
            before: params,
            after: None,
            steps: 0,
            touches: None,
            subject: None,
        }
    }
}

impl Session<'_> {
    /// How this client writes the id of its `number`-th message. Others write the same ids.
    pub(crate) fn id(&self, number: u64) -> String {
        match self.client % 8 {
            4 => format!("\"{number}\""),
            5 => format!("{}", 9_007_199_254_740_992 + number),
            6 => format!("{number}.0"),
            7 => format!("\"\\u0031{}{number}\"", "é".repeat(400)),
            _plain => number.to_string(),
        }
    }

    /// Says one thing.
    pub(crate) fn say_something(&mut self, dice: &mut Rng) {
        match dice.u32(..1000) {
            0..450 => {
                let len = payload_len(dice);
                self.call_echo(dice, 0, len);
            }
            450..560 => {
                let steps = dice.u32(1..6);
                self.call_echo(dice, steps, 40);
            }
            560..562 => {
                let len = dice.usize(LARGE);
                self.call_echo(dice, 0, len);
            }
            562..700 => self.read(dice),
            700..760 => self.note(),
            760..800 => self.hold(dice),
            800..840 => self.cancel_one(dice),
            840..850 => self.cancel_what_may_be_answered(dice),
            850..880 => self.change_subscription(dice),
            880..920 => self.touch(dice),
            920..935 => self.errand("ping", "{}".to_owned()),
            935..938 => self.change_list(),
            938..942 => self.call_plainly("log"),
            942..946 => self.garbage(dice),
            946..950 => self.use_an_id_twice(),
            950..1000 if self.server.asks => self.call_plainly("ask"),
            950..952 => self.crash(dice),
            _rest => self.call_echo(dice, 0, 10),
        }
        if self.server.asks && dice.u32(..1000) == 0 {
            self.crash(dice);
        }
    }

    /// Cancels everything that would never be answered.
    pub(crate) fn cancel_all_held(&mut self) {
        let held = |(id, open): (&String, &Open)| (open.form == Form::Held).then(|| id.clone());
        let ids: Vec<String> = self.open.iter().filter_map(held).collect();
        for id in ids {
            self.cancel(&id);
        }
    }

    /// Half of a request, as of a client that is killed while it writes.
    pub(crate) fn mutter(&mut self) {
        self.pipes
            .mutter(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","par"#);
    }

    fn call_echo(&mut self, dice: &mut Rng, steps: u32, len: usize) {
        let mark = self.next_mark();
        let fill = payload(dice, len);
        let arguments = format!(r#"{{"mark":{mark},"steps":{steps}, "fill":"{fill}"}}"#);
        let mut call = Request::new(Kind::Call, "tools/call", String::new());
        if steps == 0 {
            call.before = format!(r#"{{"name":"echo","arguments":{arguments}}}"#);
        } else if dice.bool() {
            call.before
                .push_str(r#"{"_meta":{"trace":"t", "progressToken":"#);
            call.after = Some(format!(r#"}},"name":"echo","arguments":{arguments}}}"#));
        } else {
            call.before = format!(r#"{{ "arguments":{arguments},"_meta":{{"progressToken": "#);
            call.after = Some(r#" , "z":"progressToken"} , "name":"echo"}"#.to_owned());
        }
        call.steps = steps;
        self.send_echoed(call);
    }

    /// Has the server tell all its clients that its tools are others now.
    pub(crate) fn change_list(&mut self) {
        self.call_plainly("change");
    }

    fn call_plainly(&mut self, tool: &str) {
        let mark = self.next_mark();
        let params = format!(r#"{{"arguments":{{"mark":{mark}}},"name":"{tool}"}}"#);
        self.send_echoed(Request::new(Kind::Call, "tools/call", params));
    }

    fn read(&mut self, dice: &mut Rng) {
        let mark = self.next_mark();
        let (method, particular) = READS[dice.usize(..READS.len())];
        let fill = payload(dice, 20);
        let params = format!(r#"{{"mark":{mark},{particular},"fill":"{fill}"}}"#);
        self.send_echoed(Request::new(Kind::Read, method, params));
    }

    fn note(&mut self) {
        let number = self.record.add(Kind::Note, self.last_pid);
        let mark = self.mark(number);
        self.pipes.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/soak","params":{{"mark":{mark}}}}}"#
        ));
        self.count("→ notifications");
    }

    fn hold(&mut self, dice: &mut Rng) {
        let mark = self.next_mark();
        // What a server that can ask does not end, might be the cause of its next question.
        let is_late = self.server.asks || dice.bool();
        let mut call = Request::new(
            Kind::Call,
            "tools/call",
            format!(r#"{{"name":"hold","arguments":{{"mark":{mark},"late":{is_late}}}}}"#),
        );
        call.form = Form::Held;
        self.send(call);
    }

    fn cancel_one(&mut self, dice: &mut Rng) {
        let held = self.open.iter().filter(|(_, open)| open.form == Form::Held);
        let ids: Vec<String> = held.map(|(id, _)| id.clone()).collect();
        if let Some(id) = dice.choice(&ids) {
            self.cancel(id);
        }
    }

    /// Its answer may be on its way already.
    fn cancel_what_may_be_answered(&mut self, dice: &mut Rng) {
        let is_such =
            |open: &&Open| matches!(open.form, Form::Echo { .. }) && open.touches.is_none();
        let ids: Vec<u64> = self
            .open
            .values()
            .filter(is_such)
            .map(|open| open.number)
            .collect();
        if let Some(number) = dice.choice(&ids) {
            self.cancel(&self.id(*number));
        }
    }

    fn cancel(&mut self, id: &str) {
        let Some(open) = self.open.remove(id) else {
            return;
        };
        let mark = self.mark(open.number);
        self.pipes.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"{mark}"}}}}"#
        ));
        self.count("→ cancellations");
        self.record.set(open.number, Outcome::Cancelled);
        self.cancelled.insert(id.to_owned(), open);
    }

    fn uri(&self, dice: &mut Rng) -> String {
        if dice.u32(..4) == 0 {
            return SHARED_URI.to_owned();
        }
        format!("soak://own/{}", self.client)
    }

    fn change_subscription(&mut self, dice: &mut Rng) {
        let uri = self.uri(dice);
        let subscription = self.subscriptions.entry(uri.clone()).or_default();
        if subscription.touches > 0 {
            return;
        }
        let verb = match subscription.stage {
            Stage::Off => {
                subscription.last = (0, 0);
                subscription.stage = Stage::Asking;
                "subscribe"
            }
            Stage::On | Stage::Unsure => {
                subscription.stage = Stage::Ending;
                "unsubscribe"
            }
            Stage::Asking | Stage::Ending => return,
        };
        let mark = self.next_mark();
        let params = format!(r#"{{"uri":"{uri}","mark":{mark}}}"#);
        let method = format!("resources/{verb}");
        let mut request = Request::new(Kind::Errand, &method, params);
        request.subject = Some(uri);
        self.send(request);
    }

    fn touch(&mut self, dice: &mut Rng) {
        let uri = self.uri(dice);
        let subscription = self.subscriptions.entry(uri.clone()).or_default();
        let is_heard = match subscription.stage {
            Stage::On => true,
            Stage::Off => false,
            Stage::Asking | Stage::Ending | Stage::Unsure => return,
        };
        subscription.touches += 1;
        let mark = self.next_mark();
        let params = format!(r#"{{"name":"touch","arguments":{{"mark":{mark},"uri":"{uri}"}}}}"#);
        let mut call = Request::new(Kind::Call, "tools/call", params);
        call.touches = Some(Touch {
            uri,
            is_heard,
            heard: 0,
        });
        self.send_echoed(call);
    }

    /// A request that the pooler may answer itself.
    pub(crate) fn errand(&mut self, method: &str, params: String) {
        self.send(Request::new(Kind::Errand, method, params));
    }

    fn garbage(&mut self, dice: &mut Rng) {
        let lines = ["this is no message", r#"{"jsonrpc":"2.0","#, "\u{1}", "17"];
        self.pipes.say(lines[dice.usize(..lines.len())]);
        self.refusals_due += 1;
        self.count("→ garbage");
    }

    fn use_an_id_twice(&mut self) {
        let is_such = |open: &&mut Open| open.form == Form::Held && !open.is_doubled;
        let Some(open) = self.open.values_mut().find(is_such) else {
            return;
        };
        open.is_doubled = true;
        let number = open.number;
        let id = self.id(number);
        self.pipes.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo"}}}}"#
        ));
        self.count("→ requests with an id in use");
    }

    fn crash(&mut self, dice: &mut Rng) {
        if !self.server.take_crash() {
            return;
        }
        let mark = self.next_mark();
        let bytes = dice.u32(..180);
        let params = format!(r#"{{"name":"crash","arguments":{{"mark":{mark},"steps":{bytes}}}}}"#);
        self.send_echoed(Request::new(Kind::Call, "tools/call", params));
    }

    /// The mark of the message that is sent next.
    fn next_mark(&self) -> super::words::Mark {
        self.mark(self.record.0.len() as u64 + 1)
    }

    fn send_echoed(&mut self, mut request: Request<'_>) {
        request.form = Form::Echo {
            before: request.before.clone(),
            after: request.after.clone(),
        };
        self.send(request);
    }

    fn send(&mut self, request: Request<'_>) {
        let number = self.record.add(request.kind, self.last_pid);
        let id = self.id(number);
        let mut params = request.before;
        if let Some(after) = &request.after {
            // The same token as the id: others have the same, too.
            let _infallible = write!(params, "{id}{after}");
        }
        let method = request.method;
        self.pipes.say(&match number % 3 {
            0 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#),
            1 => format!(r#"{{"method":"{method}","params":{params},"id":{id},"jsonrpc":"2.0"}}"#),
            _two => {
                format!(r#" {{ "jsonrpc" :"2.0", "params" : {params} , "method":"{method}","id": {id} }} "#)
            }
        });
        self.count("→ requests");
        let open = Open {
            number,
            form: request.form,
            steps: request.steps,
            steps_seen: 0,
            touches: request.touches,
            subject: request.subject,
            is_doubled: false,
        };
        self.open.insert(id, open);
    }
}

/// Most payloads are small, as most are in life.
fn payload_len(dice: &mut Rng) -> usize {
    if dice.u32(..50) == 0 {
        dice.usize(1000..20_000)
    } else {
        dice.usize(..120)
    }
}

fn payload(dice: &mut Rng, len: usize) -> String {
    let mut text = String::with_capacity(len + 32);
    while text.len() < len {
        text.push_str(PIECES[dice.usize(..PIECES.len())]);
    }
    text
}
