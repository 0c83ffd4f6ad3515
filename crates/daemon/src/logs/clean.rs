//! Lines of strangers, made fit to be shown.

/// Longest line that is kept, in bytes.
pub(super) const LINE_BYTES: usize = 8 << 10;

/// How much of a line there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// The rest was not kept.
    Beginning,
}

/// A line, or its beginning, that is fit to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned {
    pub(super) text: String,
    pub(super) extent: Extent,
}

/// A line without control characters, terminal sequences, or bytes that are not UTF-8, and of bounded
/// length. Of a line that was drawn over (a progress bar) the last drawing is left.
pub(super) fn cleaned(line: &[u8], extent: Extent) -> Cleaned {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    let (kept, extent) = cut_to(LINE_BYTES, last, extent);
    let kept = match extent {
        Extent::Whole => kept,
        Extent::Beginning => whole_characters(kept),
    };
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
    Cleaned {
        text: clean,
        extent,
    }
}

/// At most so many bytes of a line.
pub(super) fn cut_to(bytes: usize, line: &[u8], extent: Extent) -> (&[u8], Extent) {
    match line.get(..bytes) {
        Some(kept) if kept.len() < line.len() => (kept, Extent::Beginning),
        Some(_) | None => (line, extent),
    }
}

/// The same without the beginning of a character at the end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        Ok(_) | Err(_) => bytes,
    }
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
            assert_eq!(cleaned(line, Extent::Whole).text, clean, "{line:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_that_is_known() {
        let long = cleaned(&vec![b'x'; LINE_BYTES + 1], Extent::Whole);
        assert_eq!(
            (long.text.len(), long.extent),
            (LINE_BYTES, Extent::Beginning)
        );
        let fits = cleaned(&vec![b'x'; LINE_BYTES], Extent::Whole);
        assert_eq!((fits.text.len(), fits.extent), (LINE_BYTES, Extent::Whole));
        let torn = cleaned(
            "ab\u{e9}".as_bytes().split_last().unwrap().1,
            Extent::Beginning,
        );
        assert_eq!(torn.text, "ab");
    }
}
