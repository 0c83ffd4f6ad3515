//! Messages and what is none.

use super::*;
use crate::about::{Named, Purpose};

fn parse(text: &str) -> Result<Frame, Fault> {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn rewritten(text: &str, id: &str) -> alloc::string::String {
    let frame = parse(text).unwrap();
    let (Message::Request { id_span, .. } | Message::Response { id_span, .. }) = &frame.message
    else {
        panic!("no id in {text}")
    };
    let out = frame.rewrite(&mut [(id_span.clone(), id.as_bytes())]);
    alloc::string::String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_message_may_be_so_deep_and_no_deeper() {
    let nested = |depth: usize, member: &str| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        alloc::format!(r#"{{"jsonrpc":"2.0","id":7,{member}:{{"a":{open}{close}}}}}"#)
    };
    for member in [
        r#""method":"tools/call","params""#,
        r#""result""#,
        r#""error""#,
        r#""method":"x","future""#,
    ] {
        let deepest = nested(DEPTH_MAX - 2, member);
        assert!(parse(&deepest).is_ok(), "{member}");
        // The strictest of the parsers that clients and servers use.
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
        for depth in [DEPTH_MAX - 1, 1_000_000] {
            let fault = parse(&nested(depth, member)).unwrap_err();
            assert_eq!(fault.code(), -32600);
            assert_eq!(fault.id(), RequestId::from_json("7").as_ref(), "{fault}");
        }
    }
}

#[test]
fn a_rewrite_changes_the_id_and_nothing_else() {
    let odd = r#"{ "params":{"b":1e400,"a":1.0,"s":"\ud800 \u0041"} ,"future" : [1,{"id":7}], "id" : "a" , "method":"tools/call","jsonrpc":"2.0"}"#;
    let want = odd.replace(r#""id" : "a""#, r#""id" : 12"#);
    assert_eq!(rewritten(odd, "12"), want);
    let reply = r#"{"result":{"id":1,"x":[[-0.0]]},"jsonrpc":"2.0","id":1}"#;
    assert_eq!(
        rewritten(reply, "\"one\""),
        r#"{"result":{"id":1,"x":[[-0.0]]},"jsonrpc":"2.0","id":"one"}"#
    );
}

#[test]
fn doubled_routing_members_are_refused() {
    let doubled = [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
    ];
    for text in doubled {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.code(), -32600, "{text}");
    }
}

#[test]
fn escapes_change_no_meaning() {
    let frame = parse(r#"{"jsonrpc":"\u0032.0","\u0069d":1,"method":"\u0070ing"}"#).unwrap();
    assert_eq!(frame.id(), Some(&RequestId::from(1)));
    assert_eq!(frame.method(), Some(&Method::Ping));
}

#[test]
fn a_token_that_is_none_is_at_fault_only_where_it_is_one() {
    for (method, member) in [
        ("notifications/progress", "progressToken"),
        ("notifications/cancelled", "requestId"),
    ] {
        let of = |method: &str| {
            parse(&alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"{member}":{{}}}}}}"#
            ))
        };
        assert!(of(method).is_err());
        let frame = of("acme/other").unwrap();
        let Message::Notification { params, .. } = &frame.message else {
            panic!("a notification")
        };
        assert!(params.token.is_none() && params.request_id.is_none());
    }
}

#[test]
fn names_are_case_exact() {
    let fault = parse(r#"{"jsonrpc":"2.0","ID":1,"Method":"x"}"#).unwrap_err();
    assert!(matches!(fault, Fault::NotJsonRpc { .. }));
}

#[test]
fn a_null_result_is_a_result_and_a_null_id_is_none() {
    let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap();
    assert!(matches!(
        frame.message,
        Message::Response {
            result: Some(_),
            ..
        }
    ));
    let frame = parse(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap();
    assert!(matches!(
        frame.message,
        Message::Response {
            id: None,
            error: Some(_),
            ..
        }
    ));
    assert!(parse(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#).is_err());
}

#[test]
fn the_token_is_found_where_it_stands() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":{"progressToken":9},"_meta":{"k":1,"progressToken":"t"}}}"#;
    let frame = parse(text).unwrap();
    let Message::Request { params, .. } = &frame.message else {
        panic!("a request")
    };
    let (token, at) = params.meta_token.clone().unwrap();
    assert_eq!(token.as_bytes(), b"\"t\"");
    assert_eq!(frame.json(&at), "\"t\"");
}

#[test]
fn a_null_where_something_of_ours_may_stand_is_as_good_as_nothing() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":null},"progressToken":null,"tools":null}}"#;
    let frame = parse(text).unwrap();
    let Message::Request { params, .. } = &frame.message else {
        panic!("a request")
    };
    assert!(params.meta_token.is_none() && params.token.is_none() && !params.has_tools);
}

#[test]
fn the_id_of_a_message_at_fault_is_kept_where_it_is_certain() {
    let certain = [
        r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":7,"\u0069d":7,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","method":"y"}"#,
        r#"{"jsonrpc":"2.0","id":7}"#,
    ];
    for text in certain {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.id(), Some(&RequestId::from(7)), "{text}");
    }
    let fault = parse(r#"{"jsonrpc":"2.0","id":7,"id":8,"result":{}}"#).unwrap_err();
    assert_eq!(fault.id(), None);
    assert_eq!(
        *fault.about(),
        About {
            named: Named::Several([RequestId::from(7), RequestId::from(8)].to_vec()),
            purpose: Purpose::Answer
        }
    );
}

#[test]
fn what_a_message_at_fault_was_to_be_is_said_by_its_members() {
    for (text, purpose) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            Purpose::Answer,
        ),
        (r#"{"jsonrpc":"2.0","id":{},"result":{}}"#, Purpose::Answer),
        (r#"{"id":1,"method":"x"}"#, Purpose::Question),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
            Purpose::Either,
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, Purpose::Either),
        (r#"{"level":"info","id":1}"#, Purpose::Noise),
    ] {
        assert_eq!(parse(text).unwrap_err().about().purpose, purpose, "{text}");
    }
}

#[test]
fn positional_parameters_pass_unread() {
    let frame = parse(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1,2,3]}"#).unwrap();
    assert_eq!(frame.kind(), Kind::Request);
}

#[test]
fn a_response_in_the_manner_of_older_libraries_is_what_it_says() {
    let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#).unwrap();
    assert!(matches!(
        frame.message,
        Message::Response {
            result: Some(_),
            error: None,
            ..
        }
    ));
    let frame = parse(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}"#).unwrap();
    assert!(matches!(
        frame.message,
        Message::Response {
            result: None,
            error: Some(_),
            ..
        }
    ));
}

#[test]
fn what_is_no_json_is_told_apart_from_what_is_no_message() {
    let noise = Fault::NotJson {
        about: About::NOISE,
    };
    assert_eq!(parse("hello").unwrap_err(), noise);
    assert!(matches!(parse("[1]"), Err(Fault::NotAnObject)));
    assert!(matches!(parse("{\"a\":1}"), Err(Fault::NotJsonRpc { .. })));
    assert!(matches!(
        Frame::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")),
        Err(Fault::NotUtf8 { .. })
    ));
}

#[test]
fn a_batch_is_its_messages() {
    let line = Bytes::from_static(
        br#" [{"jsonrpc":"2.0","id":1,"method":"ping"}, 5, {"jsonrpc":"2.0","method":"x"}]"#,
    );
    let batch = Frame::parse_batch(&line, 3).unwrap();
    assert_eq!(batch.len(), 3);
    assert!(batch[1].is_err());
    assert!(Frame::parse_batch(&Bytes::from_static(b"{}"), 3).is_none());
    let batch = Frame::parse_batch(&line, 2).unwrap();
    assert!(matches!(batch[..], [Err(Fault::TooMany { limit: 2 })]));
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

#[test]
fn a_short_message_does_not_keep_a_long_line() {
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    let padded = Bytes::from(alloc::format!("{}{message}", " ".repeat(1000)));
    let batch = Bytes::from(alloc::format!("[{message},\"{}\"]", "x".repeat(1000)));
    let alone = Frame::parse(padded.clone()).unwrap();
    let in_batch = Frame::parse_batch(&batch, 2).unwrap();
    // Nobody else has a share in them.
    assert!(padded.is_unique() && batch.is_unique());
    assert_eq!(alone, *in_batch[0].as_ref().unwrap());
}

#[test]
fn a_batch_that_is_no_json_still_names_whom_it_would_have_answered() {
    for line in [
        &br#"[{"jsonrpc":"2.0","id":3,"result":NaN}]"#[..],
        b"[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":\"\xff\"}]",
    ] {
        let line = Bytes::copy_from_slice(line);
        let fault = match Frame::parse_batch(&line, 10) {
            Some(mut batch) => batch.pop().unwrap().unwrap_err(),
            None => Frame::parse(line).unwrap_err(),
        };
        assert_eq!(
            *fault.about(),
            About {
                named: Named::One(RequestId::from(3)),
                purpose: Purpose::Answer
            }
        );
    }
}
