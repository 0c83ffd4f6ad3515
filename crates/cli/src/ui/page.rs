//! Text for a person, built up line by line.

use std::fmt::{self, Write};

use super::Table;

/// What will be printed.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    has_style: bool,
}

impl Page {
    pub(crate) fn new(has_style: bool) -> Self {
        Page {
            text: String::new(),
            has_style,
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// A line, or several if the text has several.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{}", harmless(&text.to_string()));
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn heading(&mut self, text: impl fmt::Display) {
        let text = harmless(&text.to_string());
        let _ = if self.has_style {
            writeln!(self.text, "\x1b[1m{text}\x1b[0m")
        } else {
            writeln!(self.text, "{text}")
        };
    }

    pub(crate) fn table(&mut self, table: &Table) {
        let mut lines = table.lines();
        if let Some(header) = lines.next() {
            self.heading(header);
        }
        for line in lines {
            self.line(line);
        }
    }
}

/// The text without control characters, but for ends of lines and tabs.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            _ if character.is_control() => '\u{fffd}',
            _ => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut page = Page::new(false);
        page.line("evil\x1b[2Jname\r");
        assert_eq!(page.into_text(), "evil\u{fffd}[2Jname\u{fffd}\n");
    }

    #[test]
    fn style_is_only_there_if_wanted() {
        let texts = [true, false].map(|has_style| {
            let mut page = Page::new(has_style);
            page.heading("UPSTREAMS");
            page.into_text()
        });
        assert_eq!(texts, ["\x1b[1mUPSTREAMS\x1b[0m\n", "UPSTREAMS\n"]);
    }
}
