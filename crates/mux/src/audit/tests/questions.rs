//! What servers ask and clients answer.

use super::*;

#[test]
fn a_question_to_the_wrong_session_is_found_and_so_is_its_answer_to_nobody() {
    let ask = r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#;
    let mut bench = Bench::shared(r#"{"sampling":{}}"#);
    bench.call(ALICE, "1", "tools/call", "x");
    bench.tamper(redirect);
    bench.reply(ask);
    assert_eq!(bench.found(), "I2");

    let mut bench = Bench::shared(r#"{"sampling":{}}"#);
    bench.call(ALICE, "1", "tools/call", "x");
    bench.reply(ask);
    assert_eq!(bench.found(), "");
    bench.tamper(|actions| rewrite(actions, "mine", "another"));
    bench.say(
        ALICE,
        r#"{"jsonrpc":"2.0","id":1,"result":{"text":"mine"}}"#,
    );
    assert_eq!(bench.found(), "I2");
}

#[test]
fn what_a_client_answers_is_not_replaced_by_an_error_of_ours() {
    for (reason, found) in [("session-closed", "I2"), ("overloaded", "")] {
        let mut bench = Bench::shared(r#"{"sampling":{}}"#);
        bench.call(ALICE, "1", "tools/call", "x");
        bench.reply(r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#);
        let error = format!(
            r#""error":{{"code":-32603,"message":"no","data":{{"source":"mcpool","reason":"{reason}"}}}}"#
        );
        bench.tamper(move |actions| rewrite(actions, r#""result":{"text":"mine"}"#, &error));
        bench.say(
            ALICE,
            r#"{"jsonrpc":"2.0","id":1,"result":{"text":"mine"}}"#,
        );
        assert_eq!(bench.found(), found, "{reason}");
    }
}

#[test]
fn a_question_that_is_never_answered_is_found_when_its_client_leaves() {
    let mut bench = Bench::shared(r#"{"sampling":{}}"#);
    bench.call(ALICE, "1", "tools/call", "x");
    bench.reply(r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#);
    bench.tamper(|actions| {
        actions.retain(|action| {
            let Action::SendToUpstream { frame, .. } = action else {
                return true;
            };
            !String::from_utf8(frame.to_vec()).unwrap().contains("error")
        });
    });
    bench.step(Event::SessionClosed { session: ALICE });
    assert_eq!(bench.found(), "I1");
}
