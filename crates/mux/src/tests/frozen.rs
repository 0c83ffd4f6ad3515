//! States that earlier versions have frozen.

use std::string::ToString;

use expect_test::expect;

use super::{script::Script, stage::Stage};
use crate::{Era, Limits, Mux, Route, ThawError};

/// What led to [`FIRST`].
const EARLIER: &str = r#"
    u1 serves alice bob keeps caps=sampling+elicitation
    alice: resources/subscribe #1 uri=a:b
    u1: result #2
    alice: logging/setLevel #2 level=info
    u1: result #3
    bob: tools/call #"call" tool=x token="t"
    u1: sampling/createMessage #"ask"
    alice: tools/list #3
    alice: tools/call #4 tool=x
    bob: tools/call #5 tool=y
    bob: cancelled #5
    u2 serves carol version=2025-03-26
    carol: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"prompts/list"}]
    u2: result #2
    dave comes
"#;

/// As the first version froze it. This file is never changed.
const FIRST: &[u8] = include_bytes!("../../fixtures/frozen-1.json");

#[test]
fn the_first_format_is_gone_on_with_for_ever() {
    let mut stage = Stage::default();
    stage.play(&Script::parse(EARLIER));
    stage.mux = Mux::thaw(FIRST, Limits::default()).unwrap();
    let later = expect![[r#"
        bob: result #1
            -> u1: result #"ask"
        u1: progress token=4
            -> bob: progress token="t"
        u1: result #4
            -> bob: done 3 4 5
            -> bob: result #"call"
            -> alice: sent 5
            -> u1: tools/call #6
        u1: result #5
            -> alice: result #3
        u1: resources/updated uri=a:b
            -> alice: resources/updated uri=a:b
        u2: result #3
            -> carol: [result #1, result #2]
        alice: tools/call #5 tool=z
            -> u1: tools/call #7
        u1 exits code 1
            -> alice: error #4 -32603 upstream-exited maybe-executed
            -> alice: error #5 -32603 upstream-exited maybe-executed
    "#]];
    let played = stage.play(&Script::parse(later.data()));
    later.assert_eq(&played);
    stage.clear();
}

#[test]
fn what_an_earlier_version_had_found_of_a_server_is_believed_while_a_process_speaks_so() {
    let text = core::str::from_utf8(FIRST).unwrap();
    let first = Mux::thaw(FIRST, Limits::default()).unwrap();
    let (key, _) = first.routes.first_key_value().unwrap();
    let route = serde_json::to_string(&key.route).unwrap();
    let found =
        std::format!("\"refused_eras\":{{{route}:\"Modern\",\"00\":\"Legacy\"}},\"conduct\":");
    let frozen = text.replacen("\"conduct\":", &found, 1);
    let mux = Mux::thaw(frozen.as_bytes(), Limits::default()).unwrap();
    assert_eq!(mux.verdicts.len(), 2);
    assert_eq!(mux.refused_era(&key.route), Some(Era::Modern));
    assert_eq!(mux.refused_era(&Route(std::sync::Arc::new([0]))), None);
}

#[test]
fn a_list_of_a_modern_server_that_an_earlier_version_has_frozen_without_its_time_is_not_kept() {
    const EARLIER: &str = r#"
        alice opens lazy
        alice: tools/list #1 modern
        u1 starts
        u1: greets declares=tools+prompts
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000}}
    "#;
    let mut stage = Stage::default();
    stage.play(&Script::parse(EARLIER));
    let frozen = stage.mux.freeze();
    let mut frozen: serde_json::Value = serde_json::from_slice(&frozen).unwrap();
    without_times(&mut frozen);
    let frozen = serde_json::to_vec(&frozen).unwrap();
    stage.mux = Mux::thaw(&frozen, Limits::default()).unwrap();
    let later = expect![[r#"
        alice: prompts/list #2 modern
            -> u1: prompts/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","prompts":[],"ttlMs":3600000}}
            -> keep u1: server/discover prompts/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","prompts":[],"ttlMs":3600000}}
    "#]];
    later.assert_eq(&stage.play(&Script::parse(later.data())));
}

/// Takes out of a state how long lists hold.
fn without_times(state: &mut serde_json::Value) {
    if let Some(members) = state.as_object_mut() {
        if members.contains_key("result") && members.contains_key("cursor") {
            members.remove("holds");
            members.remove("until");
        }
        members.values_mut().for_each(without_times);
    }
    if let Some(items) = state.as_array_mut() {
        items.iter_mut().for_each(without_times);
    }
}

#[test]
fn what_cannot_be_gone_on_with_is_said_without_a_word_of_what_is_in_it() {
    let text = core::str::from_utf8(FIRST).unwrap();
    let thaw = |text: &str| Mux::thaw(text.as_bytes(), Limits::default()).map(drop);
    assert_eq!(thaw(""), Err(ThawError::Format { found: None }));
    assert_eq!(thaw("[]"), Err(ThawError::Format { found: None }));
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    let found = Some(2);
    assert_eq!(thaw(&newer), Err(ThawError::Format { found }));
    for (from, to) in [
        ("\"sessions\":", "\"meetings\":"),
        ("\"issued\":", "\"issue\":"),
        ("Attached", "Detached"),
        (r#""version":"2025-03-26""#, r#""version":20250326"#),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{from}");
        let Err(ThawError::Malformed { what }) = thaw(&other) else {
            panic!("{from}");
        };
        assert!(what.contains("at byte"), "{what}");
        assert!(!what.contains("a:b") && !what.contains(to), "{what}");
    }
    let added = text.replacen("{\"format\"", "{\"future\":[{}],\"format\"", 1);
    assert_eq!(thaw(&added), Ok(()));
    let words = ThawError::Format { found }.to_string();
    assert_eq!(words, "the state is of format 2, and this program reads 1");
}
