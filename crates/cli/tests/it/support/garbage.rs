//! Lines that are no message: what servers print by mistake, and what nobody would.

/// A sound notification, to be cut and bent.
const SOUND: &str = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":[1,"b\u00e9"]}}"#;

/// Each is one line without its end, and one fault.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = PRINTS
        .iter()
        .chain(NO_JSON)
        .chain(NO_MESSAGES)
        .map(|line| line.as_bytes().to_vec())
        .collect();
    lines.extend(NOT_UTF8.iter().map(|line| line.to_vec()));
    lines.push([b"\xef\xbb\xbf", SOUND.as_bytes()].concat());
    lines.push([SOUND.as_bytes(), SOUND.as_bytes()].concat());
    lines.push([SOUND.as_bytes(), b"\0"].concat());
    lines.push(vec![0; 3]);
    lines.push(vec![0; 100_000]);
    lines.push(vec![b'['; 100_000]);
    lines.push(vec![b'{'; 100_000]);
    lines.push(SOUND.replace('[', &"[".repeat(100_000)).into_bytes());
    // Cut off everywhere.
    lines.extend(
        (1..SOUND.len())
            .step_by(4)
            .map(|end| SOUND.as_bytes()[..end].to_vec()),
    );
    lines
}

const PRINTS: &[&str] = &[
    "Server listening on port 3000",
    "\u{1b}[32minfo\u{1b}[0m: ready \u{1f680}",
    "Traceback (most recent call last):",
    "Content-Length: 52",
    "HTTP/1.1 200 OK",
    "undefined",
    "-",
    "> ",
    "jsonrpc",
];

const NO_JSON: &[&str] = &[
    "NaN",
    "Infinity",
    "01",
    "+1",
    ".5",
    "0x10",
    "'text'",
    "\"no end",
    "\"\u{1}\"",
    r#""\x""#,
    r"{'jsonrpc':'2.0','method':'x'}",
    r#"{jsonrpc:"2.0",method:"x"}"#,
    r#"{"jsonrpc":"2.0","method":"x",}"#,
    r#"{"jsonrpc":"2.0","method":"x"} // done"#,
    r#"{"jsonrpc":"2.0","method":"x","params":{"a":NaN}}"#,
    r#"{"jsonrpc":"2.0","method":"x","params":{"a":1e}}"#,
    r#"{"jsonrpc":"2.0","method":"x","params":{"a":tru}}"#,
    r#"{"jsonrpc":"2.0""method":"x"}"#,
    r#"{"jsonrpc":"2.0","method":"x"]"#,
];

const NO_MESSAGES: &[&str] = &[
    "null",
    "true",
    "42",
    "1e400",
    "\"text\"",
    "{}",
    r#"{"jsonrpc":"2.0"}"#,
    r#"{"method":"x"}"#,
    r#"{"jsonrpc":"1.0","method":"x"}"#,
    r#"{"jsonrpc":2.0,"method":"x"}"#,
    r#"{"jsonrpc":null,"method":"x"}"#,
    r#"{"JSONRPC":"2.0","method":"x"}"#,
    r#"{"jsonrpc":"2.0","Method":"x"}"#,
    r#"{"jsonrpc":"2.0","method":7}"#,
    r#"{"jsonrpc":"2.0","method":null}"#,
    r#"{"jsonrpc":"2.0","method":["x"]}"#,
    r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"x"}"#,
    r#"{"jsonrpc":"2.0","method":"x","method":"y"}"#,
    r#"{"jsonrpc":"2.0","method":"x","\u006dethod":"y"}"#,
];

const NOT_UTF8: &[&[u8]] = &[
    b"\xff\xfe",
    b"\x80",
    b"caf\xe9",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xf5\x80\x80\x80",
    b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":\"\xc3\x28\"}}",
];

/// Bytes as the scripted server takes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").unwrap();
    }
    digits
}
