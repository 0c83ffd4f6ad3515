//! What the judge says of a client of the modern era that does not answer what a server of the legacy era asks.

use super::*;
use crate::{
    Trace,
    eras::{
        Act, Step, replay,
        words::{Asks, Back, Request, Shape, handle_name},
    },
    seed::{Bounds, Setting},
};

const CLIENT: SessionId = SessionId(1);
const SERVER: UpstreamId = UpstreamId(1);

/// A client that was asked something has come back so often in a row without an answer, and now does so once more.
fn left_unanswered(before: u32) -> (Judge, Mark, Mark) {
    let mut judge = Judge::new(Limits::default());
    let mark = judge.name(Owner::Session(CLIENT), None);
    let question = judge.name(Owner::Server(SERVER), Some(mark));
    let call = Request {
        shape: Shape::Call(0),
        mark,
        era: Era::Modern,
        class: 1,
        id: "7".to_owned(),
        token: None,
        level: None,
        back: None,
    };
    let ask = Ask {
        number: question.number,
        asks: Asks::Form,
        put: Some(CLIENT),
        within: None,
        reply: None,
        is_refused: false,
        is_left: false,
    };
    let parked = Parked {
        upstream: SERVER,
        minted: 3,
        origin: mark,
        request: call.clone(),
        first: None,
        asks: BTreeMap::from([("1".to_owned(), "5".to_owned())]),
        unanswered: before,
        until: Moment::NEVER,
        outcome: Outcome::Open,
    };
    let handle = format!(r#""mcpool.{}.1""#, handle_name(CLIENT));
    let mut session = Session::new(CLIENT, "s");
    session.parked.insert(handle.clone(), parked);
    judge.sessions.insert(CLIENT, session);
    let mut server = Server::new("s");
    server.process = Process::Running;
    (server.era, server.greeted_at) = (Some(Era::Legacy), Some(0));
    server.asks.insert("5".to_owned(), ask);
    judge.servers.insert(SERVER, server);
    let again = Request {
        id: "8".to_owned(),
        back: Some(Back {
            state: Some(handle),
            answers: Vec::new(),
        }),
        ..call
    };
    judge.client_asks(CLIENT, &again);
    (judge, mark, question)
}

fn read(text: &str) -> Frame {
    Frame::parse(text.to_owned().into()).unwrap()
}

#[test]
fn who_does_not_answer_is_asked_again_at_eight_returns_in_a_row_and_its_server_refused_at_the_ninth()
 {
    for (before, is_over) in [(0, false), (6, false), (7, false), (8, true)] {
        let refused = r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"no","data":{"source":"mcpool","reason":"input-refused"}}}"#;
        let (mut judge, ..) = left_unanswered(before);
        let held = judge.check_to_server(SERVER, &read(refused), refused);
        assert_eq!(held.is_ok(), is_over, "{before}: {held:?}");
        let (mut judge, mark, question) = left_unanswered(before);
        let params = Asks::Form.params(question, Some(mark), Era::Modern);
        let (name, ask) = (handle_name(CLIENT), r#""method":"elicitation/create""#);
        let asked = format!(
            r#"{{"jsonrpc":"2.0","id":8,"result":{{"resultType":"input_required","requestState":"mcpool.{name}.2","inputRequests":{{"1":{{{ask},"params":{params}}}}}}}}}"#
        );
        let held = judge.check_to_session(CLIENT, &read(&asked), &asked);
        assert_eq!(held.is_ok(), !is_over, "{before}: {held:?}");
        let parked = judge.sessions[&CLIENT].parked.values().next();
        let unanswered = parked.map(|parked| parked.unanswered);
        assert_eq!(unanswered, (!is_over).then_some(before + 1));
    }
}

#[test]
fn the_core_does_so() {
    let step = |act, who, what| Step { act, who, what };
    let read = [step(Act::Take, 0, 3), step(Act::Read, 0, 3)];
    let mut steps = vec![
        step(Act::Open, 0, 5),
        step(Act::Ask, 0, 1),
        step(Act::Settle, 0, 0),
        step(Act::Ask, 0, 6),
    ];
    steps.extend(read);
    steps.push(step(Act::Question, 0, 0));
    for _ in 0..9 {
        steps.extend(read);
        // Without the last answer, of one.
        steps.push(step(Act::Return, 0, 5));
    }
    let setting = Setting {
        bounds: Bounds::Usual,
        idle_seconds: Some(0),
    };
    for (returns, again, left) in [(9, 8, 1), (8, 8, 0)] {
        let steps = &steps[..steps.len() - 3 * (9 - returns)];
        let played = replay(setting, steps, Trace::Off);
        assert_eq!(played.broken, None);
        let seen = |name| played.tally.count(crate::Kind::Era, name);
        assert_eq!(seen("asked the same again"), again, "{returns}");
        assert_eq!(seen("left unanswered"), left, "{returns}");
    }
}
