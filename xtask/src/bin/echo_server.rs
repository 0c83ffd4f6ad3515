//! The smallest MCP server that is worth measuring with: `bench` puts it behind everything.
//!
//! It reads as much as there is, answers all of it, and writes once: a faster
//! server would not make a proxy look worse, a slower one would make it look better.
//!
//! `echo-server [--ballast MB]`: tools `echo {text}` and `blob {bytes}`; `flood {bytes}` begins to write
//! that much to standard error, unless it still does, and goes on answering; `calm {}` ends that.

use std::{
    env,
    hint::black_box,
    io::{self, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

const CHUNK: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let ballast = vec![1_u8; ballast_len()];
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut unread = Vec::with_capacity(CHUNK);
    let mut answers = Vec::with_capacity(CHUNK);
    let mut chunk = vec![0_u8; CHUNK];
    let mut flood = Flood::default();
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            black_box(ballast);
            return Ok(());
        }
        unread.extend_from_slice(&chunk[..count]);
        let mut begin = 0;
        while let Some(len) = unread[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &unread[begin..begin + len];
            flood.obey(line);
            answer(line, &mut answers);
            begin += len + 1;
        }
        unread.drain(..begin);
        output.write_all(&answers)?;
        output.flush()?;
        answers.clear();
    }
}

/// What is written to standard error beside everything else.
#[derive(Default)]
struct Flood {
    writer: Option<JoinHandle<io::Result<()>>>,
    is_over: Arc<AtomicBool>,
}

impl Flood {
    /// Begins or ends, if it is that what a call wants.
    fn obey(&mut self, line: &[u8]) {
        let params = field(line, b"params").unwrap_or_default();
        let name = field(params, b"name");
        if name == Some(br#""flood""#) && self.writer.as_ref().is_none_or(JoinHandle::is_finished) {
            let bytes = number(field(params, b"arguments").unwrap_or_default(), b"bytes");
            self.is_over.store(false, Ordering::Relaxed);
            let is_over = Arc::clone(&self.is_over);
            self.writer = Some(thread::spawn(move || write_errors(bytes, &is_over)));
        } else if name == Some(br#""calm""#)
            && let Some(writer) = self.writer.take()
        {
            self.is_over.store(true, Ordering::Relaxed);
            // How it ended is of no interest, only that it did.
            let _ended = writer.join();
        }
    }
}

fn write_errors(bytes: usize, is_over: &AtomicBool) -> io::Result<()> {
    let line =
        b"a server has a lot to say, and says it as fast as it can: all is well, all is well\n";
    let lines = line.repeat(CHUNK / line.len());
    let mut errors = io::stderr().lock();
    for _ in 0..bytes.div_ceil(lines.len()) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        errors.write_all(&lines)?;
    }
    Ok(())
}

/// How many bytes of memory to hold and touch.
fn ballast_len() -> usize {
    let mut arguments = env::args().skip_while(|argument| argument != "--ballast");
    let megabytes: usize = arguments
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    megabytes * 1024 * 1024
}

fn answer(line: &[u8], out: &mut Vec<u8>) {
    // A notification has no id and gets no answer.
    let Some(id) = field(line, b"id") else { return };
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    match field(line, b"method").unwrap_or_default() {
        br#""initialize""# => out.extend_from_slice(
            br#","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}}"#,
        ),
        br#""ping""# => out.extend_from_slice(br#","result":{}}"#),
        br#""tools/list""# => out.extend_from_slice(
            br#","result":{"tools":[{"name":"echo","inputSchema":{"type":"object"}},{"name":"blob","inputSchema":{"type":"object"}}]}}"#,
        ),
        br#""tools/call""# => call(field(line, b"params").unwrap_or_default(), out),
        _ => out.extend_from_slice(br#","error":{"code":-32601,"message":"method not found"}}"#),
    }
    out.push(b'\n');
}

fn call(params: &[u8], out: &mut Vec<u8>) {
    let arguments = field(params, b"arguments").unwrap_or_default();
    out.extend_from_slice(br#","result":{"content":[{"type":"text","text":"#);
    if field(params, b"name") == Some(br#""blob""#) {
        let bytes = number(arguments, b"bytes");
        out.push(b'"');
        out.resize(out.len() + bytes, b'x');
        out.push(b'"');
    } else {
        out.extend_from_slice(field(arguments, b"text").unwrap_or(b"\"\""));
    }
    out.extend_from_slice(b"}]}}");
}

/// A field of a JSON object that is a number; 0 if it is not there.
fn number(object: &[u8], name: &[u8]) -> usize {
    let digits = field(object, name).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The raw value of a field of a JSON object, found without building anything.
fn field<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut at = skip_space(object, 1);
    while object.get(at) == Some(&b'"') {
        let key_end = value_end(object, at);
        let key = &object[at + 1..key_end - 1];
        let colon = skip_space(object, key_end);
        let begin = skip_space(object, colon + 1);
        let end = value_end(object, begin);
        if key == name {
            return Some(&object[begin..end]);
        }
        let comma = skip_space(object, end);
        at = skip_space(object, comma + 1);
    }
    None
}

fn skip_space(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Where the JSON value that begins at `from` ends.
fn value_end(text: &[u8], from: usize) -> usize {
    let mut depth = 0_u32;
    let mut at = from;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = text.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                if depth == 0 {
                    return (at + 1).min(text.len());
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' if depth == 0 => return at,
            byte if byte.is_ascii_whitespace() && depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> String {
        let mut out = Vec::new();
        answer(line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_call_is_answered_with_its_text_and_its_id_whatever_the_order_of_fields() {
        let line = r#"{"params": {"arguments":{"id":7,"text":"a\"}b"},"name":"echo"}, "method":"tools/call","id":"q","jsonrpc":"2.0"}"#;
        let expected = "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\\\"}b\"}]}}\n";
        assert_eq!(answered(line), expected);
    }

    #[test]
    fn a_blob_has_the_length_asked_for() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"blob","arguments":{"bytes":5}}}"#;
        assert!(answered(line).contains("\"xxxxx\""));
    }

    #[test]
    fn a_notification_is_not_answered() {
        assert_eq!(
            answered(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            ""
        );
    }
}
