//! What the smallest server answers, found and said without building anything.

/// Answers a message, with the end of a line behind it; a notification is not answered.
pub(crate) fn answer(line: &[u8], out: &mut Vec<u8>) {
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
pub(crate) fn number(object: &[u8], name: &[u8]) -> usize {
    let digits = field(object, name).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The raw value of a field of a JSON object, found without building anything.
pub(crate) fn field<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
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
