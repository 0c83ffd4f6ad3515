//! The books find what they are there for: a core that does right, tampered with on its way out.

use std::{
    boxed::Box,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    sync::Arc,
    time::Duration,
    vec::Vec,
};

use bytes::Bytes;
use wire::{Frame, Outgoing};

use super::{Audit, Violation};
use crate::{
    Action, Answered, Asks, Epoch, Event, Exit, Front, IdleTimeout, Joins, Limits, LineNumber,
    Link, Moment, Mux, Opening, Outbox, Route, Scope, SessionId, Start, Then, UpstreamId,
};

mod questions;
mod rest;

const ALICE: SessionId = SessionId(1);
const BOB: SessionId = SessionId(2);
const ECHO: UpstreamId = UpstreamId(1);

/// What is done to the actions of one step before the books see them.
type Tampering = Box<dyn Fn(&mut Vec<Action>)>;

/// A core, its books, and a hand in between.
struct Bench {
    mux: Mux,
    audit: Audit,
    lines: u64,
    tampering: Option<Tampering>,
}

impl Bench {
    /// Alice and Bob at one server that has been greeted.
    fn shared(capabilities: &str) -> Self {
        Bench::speaking("2025-11-25", capabilities)
    }

    /// The same, in a version of the protocol.
    fn speaking(version: &str, capabilities: &str) -> Self {
        let mut bench = Bench {
            mux: Mux::new(Limits::default(), Epoch(0)),
            audit: Audit::default(),
            lines: 0,
            tampering: None,
        };
        for session in [ALICE, BOB] {
            bench.open(session);
            bench.say(
                session,
                &format!(
                    r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities}}}}}"#
                ),
            );
        }
        bench.step(Event::UpstreamStarted {
            upstream: ECHO,
            program: None,
        });
        bench.greet();
        assert_eq!(bench.found(), "");
        bench
    }

    fn open(&mut self, session: SessionId) {
        let opening = Opening {
            server: "echo".into(),
            front: Front::Stdio,
            link: Link::Plain,
            refused: None,
            route: Route(b"echo".as_slice().into()),
            scope: Scope::Global,
            scope_reason: "the test says so".into(),
            modern_scope: None,
            workspace: None,
            asks: Asks::Shared,
            fixed_class: None,
            request_timeout: None,
            request_idle_timeout: None,
            on_restart: crate::OnRestart::Continue,
            idle_timeout: IdleTimeout::Never,
            kept: None,
            found: None,
            start: Start::OnDemand,
            joins: Joins::OwnRoute,
            withheld: Vec::new(),
            resumes: false,
            waited: Duration::ZERO,
            silence_max: None,
            era: None,
            handle: None,
            rules: Arc::default(),
        };
        self.step(Event::SessionOpened { session, opening });
    }

    /// The process returns the greeting.
    fn greet(&mut self) {
        let greeting = self.mux.upstreams[&ECHO].exchanges.oldest().unwrap().0;
        self.reply(&format!(
            r#"{{"jsonrpc":"2.0","id":{greeting},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}},"resources":{{"subscribe":true}}}},"serverInfo":{{"name":"echo","version":"1"}}}}}}"#
        ));
    }

    fn step(&mut self, event: Event) {
        let mut out = Outbox::default();
        self.audit.event(&event);
        self.mux.handle(Moment(0), event, &mut out);
        let (actions, facts) = out.contents();
        let mut actions = actions.to_vec();
        if let Some(tampering) = self.tampering.take() {
            tampering(&mut actions);
        }
        self.audit.outcome(&actions, facts);
    }

    fn say(&mut self, session: SessionId, text: &str) {
        self.lines += 1;
        self.step(Event::SessionFrame {
            session,
            line: LineNumber(self.lines),
            frame: frame(text),
        });
    }

    /// Several messages on one line.
    fn say_several(&mut self, session: SessionId, texts: &[&str]) {
        self.lines += 1;
        self.step(Event::SessionBatch {
            session,
            line: LineNumber(self.lines),
            frames: texts.iter().map(|text| Ok(frame(text))).collect(),
        });
    }

    fn call(&mut self, session: SessionId, id: &str, method: &str, name: &str) {
        self.say(
            session,
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"name":"{name}","uri":"{name}","_meta":{{"progressToken":{id}}}}}}}"#
            ),
        );
    }

    fn reply(&mut self, text: &str) {
        self.step(Event::UpstreamFrame {
            upstream: ECHO,
            frame: frame(text),
            within: None,
        });
    }

    /// The ids of what the server works on.
    fn at_server(&self) -> Vec<u64> {
        let open = self.mux.upstreams[&ECHO].exchanges.iter();
        open.map(|(id, _)| id).collect()
    }

    fn answer(&mut self, id: u64, text: &str) {
        self.reply(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":"{text}"}}}}"#
        ));
    }

    fn tamper(&mut self, tampering: impl Fn(&mut Vec<Action>) + 'static) {
        self.tampering = Some(Box::new(tampering));
    }

    /// The invariants that were found broken.
    fn found(&mut self) -> String {
        let violations = self.audit.take_violations();
        let names: BTreeSet<String> = violations
            .iter()
            .map(|Violation { invariant, .. }| invariant.name().to_string())
            .collect();
        names.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn frame(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

/// Alice and Bob each with one call at the server.
fn calling() -> (Bench, u64, u64) {
    let mut bench = Bench::shared("{}");
    bench.call(ALICE, "1", "tools/call", "of alice");
    bench.call(BOB, "1", "tools/call", "of bob");
    let [alices, bobs] = bench.at_server()[..] else {
        panic!("both are at the server")
    };
    (bench, alices, bobs)
}

/// Gives to others what is for these.
fn redirect(actions: &mut Vec<Action>) {
    for action in actions {
        if let Action::SendToSession { session, .. } = action {
            *session = if *session == ALICE { BOB } else { ALICE };
        }
    }
}

fn double(actions: &mut Vec<Action>) {
    let copies = actions.clone();
    actions.extend(copies);
}

/// Changes the messages to servers.
fn rewrite(actions: &mut Vec<Action>, from: &str, to: &str) {
    for action in actions {
        if let Action::SendToUpstream { frame, .. } | Action::SendToSession { frame, .. } = action {
            let text = String::from_utf8(frame.to_vec()).unwrap();
            *frame = Outgoing::from(text.replace(from, to));
        }
    }
}

#[test]
fn what_the_core_does_is_right() {
    let (mut bench, alices, bobs) = calling();
    bench.answer(bobs, "b");
    bench.answer(alices, "a");
    for session in [ALICE, BOB] {
        bench.step(Event::SessionClosed { session });
    }
    bench.audit.at_rest();
    assert_eq!(bench.found(), "");
    assert_eq!(bench.audit.count().violations, 0);
    assert!(bench.audit.groups.is_empty());
}

#[test]
fn an_answer_to_another_session_is_found() {
    let (mut bench, alices, _) = calling();
    bench.tamper(redirect);
    bench.answer(alices, "a");
    // Bob has what is not his own, and Alice nothing.
    assert_eq!(bench.found(), "I1 I2");
}

#[test]
fn an_answer_that_is_dropped_or_doubled_is_found() {
    let (mut bench, alices, bobs) = calling();
    bench.tamper(Vec::clear);
    bench.answer(alices, "a");
    assert_eq!(bench.found(), "I1");
    bench.tamper(double);
    bench.answer(bobs, "b");
    assert_eq!(bench.found(), "I1");
}

#[test]
fn an_answer_with_other_words_is_found() {
    let (mut bench, alices, _) = calling();
    bench.tamper(|actions| rewrite(actions, r#""a""#, r#""z""#));
    bench.answer(alices, "a");
    assert_eq!(bench.found(), "I1 I2");
}

#[test]
fn an_answer_under_the_id_of_another_request_is_found() {
    let (mut bench, alices, _) = calling();
    bench.call(ALICE, "2", "tools/call", "another of alice");
    bench.tamper(|actions| {
        rewrite(actions, r#""id":1"#, r#""id":2"#);
        for action in actions {
            if let Action::SendToSession {
                answered: Some(answered),
                ..
            } = action
            {
                answered.id = 2.into();
            }
        }
    });
    bench.answer(alices, "a");
    assert_eq!(bench.found(), "I1 I2");
}

#[test]
fn a_request_that_goes_twice_is_found() {
    let mut bench = Bench::shared("{}");
    bench.tamper(|actions| {
        let mut copies = actions.clone();
        rewrite(&mut copies, r#""id":2"#, r#""id":3"#);
        rewrite(&mut copies, r#""progressToken":2"#, r#""progressToken":3"#);
        actions.extend(copies);
    });
    bench.call(ALICE, "1", "tools/call", "x");
    assert_eq!(bench.found(), "I1 I3");
}

#[test]
fn a_call_that_goes_to_the_next_process_too_is_found() {
    let (mut bench, ..) = calling();
    bench.step(Event::UpstreamExited {
        upstream: ECHO,
        exit: Exit::Code(1),
        unwritten: Vec::new(),
    });
    assert_eq!(bench.found(), "");
    let mut bench = Bench::shared("{}");
    bench.call(ALICE, "1", "tools/call", "x");
    // Not answered, so that it could go once more.
    bench
        .tamper(|actions| actions.retain(|action| !matches!(action, Action::SendToSession { .. })));
    bench.step(Event::UpstreamExited {
        upstream: ECHO,
        exit: Exit::Code(1),
        unwritten: Vec::new(),
    });
    assert_eq!(bench.found(), "I1");
}

#[test]
fn an_id_that_a_server_has_seen_before_is_found() {
    let (mut bench, ..) = calling();
    bench.tamper(|actions| {
        rewrite(actions, r#""id":4"#, r#""id":2"#);
        rewrite(actions, r#""progressToken":4"#, r#""progressToken":2"#);
    });
    bench.call(ALICE, "2", "tools/call", "y");
    assert_eq!(bench.found(), "I2");
}

#[test]
fn a_token_that_reaches_the_server_as_the_client_wrote_it_is_found() {
    let mut bench = Bench::shared("{}");
    bench.tamper(|actions| rewrite(actions, r#""progressToken":2"#, r#""progressToken":1"#));
    bench.call(ALICE, "1", "tools/call", "x");
    assert_eq!(bench.found(), "I2");
}

#[test]
fn progress_to_another_session_or_under_another_token_or_after_the_end_is_found() {
    let progress = |id: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":1}}}}"#
        )
    };
    let (mut bench, alices, _) = calling();
    bench.reply(&progress(alices));
    assert_eq!(bench.found(), "");
    bench.tamper(redirect);
    bench.reply(&progress(alices));
    assert_eq!(bench.found(), "I2");
    bench.tamper(|actions| rewrite(actions, r#""progressToken":1"#, r#""progressToken":7"#));
    bench.reply(&progress(alices));
    assert_eq!(bench.found(), "I2");
    bench.answer(alices, "a");
    bench.tamper(move |actions| {
        actions.push(Action::SendToSession {
            session: ALICE,
            frame: Outgoing::from(progress(1)),
            answered: None,
            part_of: None,
        });
    });
    bench.reply(&progress(alices));
    assert_eq!(bench.found(), "I2");
}

#[test]
fn a_cancellation_of_another_sessions_call_is_found() {
    let (mut bench, alices, bobs) = calling();
    bench.tamper(move |actions| {
        rewrite(
            actions,
            &format!(r#""requestId":{alices}"#),
            &format!(r#""requestId":{bobs}"#),
        );
    });
    bench.say(
        ALICE,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    // Bob's call is at no server any longer, and the server works on Alice's for nobody.
    assert_eq!(bench.found(), "I1");
}

#[test]
fn a_cancellation_that_is_dropped_or_doubled_is_found() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let (mut bench, ..) = calling();
    bench.tamper(Vec::clear);
    bench.say(ALICE, cancel);
    assert_eq!(bench.found(), "I1");
    bench.tamper(double);
    bench.say(BOB, cancel);
    assert_eq!(bench.found(), "I2");
}

#[test]
fn a_notification_for_subscribers_reaches_nobody_else() {
    let mut bench = Bench::shared("{}");
    bench.call(ALICE, "1", "resources/subscribe", "a:1");
    let subscribing = bench.at_server()[0];
    bench.reply(&format!(
        r#"{{"jsonrpc":"2.0","id":{subscribing},"result":{{}}}}"#
    ));
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}"#;
    bench.reply(updated);
    assert_eq!(bench.found(), "");
    bench.tamper(redirect);
    bench.reply(updated);
    assert_eq!(bench.found(), "I2");
}

#[test]
fn a_part_of_what_was_subscribed_to_may_be_named_and_what_only_begins_alike_may_not() {
    let updated = |uri: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
        )
    };
    let mut bench = Bench::shared("{}");
    bench.call(ALICE, "1", "resources/subscribe", "a:1");
    let subscribing = bench.at_server()[0];
    bench.answer(subscribing, "");
    bench.reply(&updated("a:1/part"));
    assert_eq!(bench.found(), "");
    let alike = updated("a:12");
    let told = alike.clone();
    bench.tamper(move |actions| {
        actions.push(Action::SendToSession {
            session: ALICE,
            frame: Outgoing::from(told.clone()),
            answered: None,
            part_of: None,
        });
    });
    bench.reply(&alike);
    assert_eq!(bench.found(), "I2");
}

#[test]
fn who_subscribes_again_before_the_end_of_the_first_is_confirmed_stays_subscribed() {
    let mut bench = Bench::shared("{}");
    bench.call(ALICE, "1", "resources/subscribe", "a:1");
    let first = bench.at_server()[0];
    bench.answer(first, "");
    bench.call(ALICE, "2", "resources/unsubscribe", "a:1");
    bench.call(ALICE, "3", "resources/subscribe", "a:1");
    let [unsubscribing, subscribing] = bench.at_server()[..] else {
        panic!("both are at the server")
    };
    bench.answer(subscribing, "");
    bench.answer(unsubscribing, "");
    bench.reply(
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}"#,
    );
    assert_eq!(bench.found(), "");
}

const PING: &str = r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"x"}}"#;
const CANCEL: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#;

#[test]
fn what_a_batch_has_an_answer_to_already_may_be_answered_with_it_though_it_was_cancelled() {
    let mut bench = Bench::speaking("2025-03-26", "{}");
    bench.say_several(ALICE, &[PING, CALL]);
    bench.say(ALICE, CANCEL);
    // Its answer waits, so that its id is in use.
    bench.say(ALICE, PING);
    let minted = bench.at_server()[0];
    bench.answer(minted, "a");
    assert_eq!(bench.found(), "");
    bench.tamper(double);
    bench.say(ALICE, PING);
    assert_eq!(bench.found(), "I1");
}

#[test]
fn what_was_cancelled_and_came_alone_is_answered_no_more() {
    let (mut bench, alices, _) = calling();
    bench.say(ALICE, &CANCEL.replace('5', "1"));
    assert_eq!(bench.found(), "");
    bench.tamper(|actions| {
        actions.push(Action::SendToSession {
            session: ALICE,
            frame: Outgoing::from(String::from(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)),
            answered: Some(Answered {
                line: LineNumber(3),
                id: 1.into(),
                others: Vec::new(),
                then: Then::Done,
            }),
            part_of: None,
        });
    });
    bench.answer(alices, "a");
    assert_eq!(bench.found(), "I1");
}

#[test]
fn a_server_may_say_no_in_words_like_ours() {
    let (mut bench, alices, bobs) = calling();
    for (id, data) in [
        (alices, r#"{"source":"mcpool","reason":"id-in-use"}"#),
        (bobs, r#"{"x":{"source":"mcpool","reason":"id-in-use"}}"#),
    ] {
        bench.reply(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"no","data":{data}}}}}"#
        ));
    }
    assert_eq!(bench.found(), "");
    // Words that hold ours somewhere are not ours.
    let (mut bench, alices, _) = calling();
    bench.tamper(|actions| rewrite(actions, r#""z""#, r#""y""#));
    bench.reply(&format!(
        r#"{{"jsonrpc":"2.0","id":{alices},"error":{{"code":1,"message":"z","data":{{"x":{{"source":"mcpool","reason":"x"}}}}}}}}"#
    ));
    assert_eq!(bench.found(), "I1 I2");
}

#[test]
fn a_word_to_a_session_that_has_gone_is_found() {
    let (mut bench, alices, _) = calling();
    bench.step(Event::SessionClosed { session: ALICE });
    assert_eq!(bench.found(), "");
    bench.tamper(move |actions| {
        actions.push(Action::SendToSession {
            session: ALICE,
            frame: Outgoing::from(String::from(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)),
            answered: None,
            part_of: None,
        });
    });
    bench.answer(alices, "late");
    assert_eq!(bench.found(), "I5");
}

#[test]
fn an_early_word_to_a_server_is_found() {
    let mut bench = Bench {
        mux: Mux::new(Limits::default(), Epoch(0)),
        audit: Audit::default(),
        lines: 0,
        tampering: None,
    };
    bench.open(ALICE);
    bench.say(
        ALICE,
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#,
    );
    bench.tamper(double);
    bench.step(Event::UpstreamStarted {
        upstream: ECHO,
        program: None,
    });
    // The same id and the same greeting.
    assert_eq!(bench.found(), "I2");
    bench.tamper(|actions| actions.retain(|action| !is_initialized(action)));
    bench.greet();
    bench.call(ALICE, "1", "tools/call", "x");
    assert_eq!(bench.found(), "I3");
}

fn is_initialized(action: &Action) -> bool {
    let Action::SendToUpstream { frame, .. } = action else {
        return false;
    };
    String::from_utf8(frame.to_vec())
        .unwrap()
        .contains("notifications/initialized")
}
