//! Nesting costs no stack, wherever it stands, closed or not.

use std::thread;

use bytes::Bytes;
use wire::{About, Frame};

const DEEP: usize = 1_000_000;

/// A sixteenth of a byte for each level.
const STACK_BYTES: usize = 64 << 10;

/// Where something deep may stand.
const PLACES: [&str; 16] = [
    "DEEP",
    r#"{"jsonrpc":DEEP,"id":1,"method":"x"}"#,
    r#"{"jsonrpc":"2.0","id":DEEP,"method":"x"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":DEEP}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":DEEP}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":DEEP}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":DEEP}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/related-task":DEEP}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":DEEP}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":DEEP}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":DEEP,"clientInfo":DEEP}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":DEEP}"#,
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no","data":DEEP}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"x","future":DEEP}"#,
    r#"[{"jsonrpc":"2.0","id":1,"method":"x","params":DEEP},DEEP]"#,
    r#"{"jsonrpc":"2.0","id":1,"id":DEEP,"result":1}"#,
];

#[test]
fn a_million_levels_are_refused_on_a_small_stack() {
    let small = thread::Builder::new().stack_size(STACK_BYTES);
    let reading = small.spawn(|| {
        let nests = [
            "[".repeat(DEEP),
            format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
            format!(
                r#"{}1{}"#,
                r#"{"a":"#.repeat(DEEP / 20),
                "}".repeat(DEEP / 20)
            ),
            format!(
                r#"{}1{}"#,
                r#"[{"a":"#.repeat(DEEP / 20),
                "}]".repeat(DEEP / 20)
            ),
        ];
        for place in PLACES {
            for nest in &nests {
                refuse(&place.replace("DEEP", nest));
            }
        }
    });
    reading.unwrap().join().unwrap();
}

fn refuse(line: &str) {
    let bytes = Bytes::copy_from_slice(line.as_bytes());
    let batch = Frame::parse_batch(&bytes, 10);
    let read = Frame::parse(bytes);
    let beginning = line.get(..60).unwrap_or(line);
    assert!(read.is_err(), "{beginning}");
    let sound = batch.into_iter().flatten().flatten().count();
    assert_eq!(sound, 0, "{beginning}");
    // Nothing is known of it that would cost stack, either.
    let _whole = About::garbled(line.as_bytes());
    let _part = About::cut_off(line.as_bytes(), line.as_bytes());
}
