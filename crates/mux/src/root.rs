//! A folder as servers are told of it.

use alloc::{format, string::String};

use wire::quoted;

/// A folder as one of the roots of `roots/list`.
pub(crate) fn root(folder: &str) -> String {
    let mut uri = String::from("file://");
    for byte in folder.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                uri.push('%');
                uri.push(char::from(HEX[usize::from(other >> 4)]));
                uri.push(char::from(HEX[usize::from(other & 15)]));
            }
        }
    }
    let name = folder.rsplit('/').next().unwrap_or(folder);
    format!(r#"{{"uri":{},"name":{}}}"#, quoted(&uri), quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_uri_that_every_parser_reads() {
        assert_eq!(
            root("/home/u/a b%ü"),
            r#"{"uri":"file:///home/u/a%20b%25%C3%BC","name":"a b%ü"}"#
        );
    }
}
