//! Lines of strangers, made fit to be shown.

/// Longest line that is kept, in bytes.
pub(super) const LINE_BYTES: usize = 8 << 10;

/// A line without control characters, terminal sequences, or bytes that are not UTF-8, and of bounded
/// length. Of a line that was drawn over (a progress bar) the last drawing is left.
pub(super) fn cleaned(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    let kept = last.get(..LINE_BYTES).unwrap_or(last);
    let text = String::from_utf8_lossy(kept);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => clean.push(' '),
            control if control.is_control() => {}
            plain => clean.push(plain),
        }
    }
    if kept.len() < last.len() {
        clean.push_str(" [cut]");
    }
    clean
}

/// Passes over what a terminal would take for an order.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        // Colours and cursors: up to a letter or the like.
        Some('[') => {
            rest.find(|character| ('\u{40}'..='\u{7e}').contains(character));
        }
        // Titles and links: up to a bell or an escaped backslash.
        Some(']') => {
            let mut escaped = false;
            rest.find(|character| {
                let ends = *character == '\u{7}' || (escaped && *character == '\\');
                escaped = *character == '\u{1b}';
                ends
            });
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        for (line, clean) in [
            (&b"plain"[..], "plain"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://x\x1b\\link", "link"),
            (b"a\x00b\x08c\x7f", "abc"),
            (b"10%\r50%\r100%\r", "100%"),
            (b"tab\there", "tab here"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"ends in \x1b", "ends in "),
            (b"\xc2\x9b31m", "31m"),
        ] {
            assert_eq!(cleaned(line), clean, "{line:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let clean = cleaned(&vec![b'x'; LINE_BYTES + 1]);
        assert_eq!(clean.len(), LINE_BYTES + " [cut]".len());
    }
}
