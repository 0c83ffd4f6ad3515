//! What a person or a script sees: the only place that prints.
//!
//! **Invariant:** results go to stdout, remarks and errors to stderr, and text that
//! came from elsewhere (a client's name, a server's answer) cannot move the cursor.

mod page;
mod progress;
mod table;

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;

pub(crate) use page::Page;
pub(crate) use progress::Progress;
pub(crate) use table::{Align, Table};

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For a person.
    Plain,
    /// For a program.
    Json,
}

/// A word as a shell takes it, whatever is in it.
pub(crate) fn in_quotes(word: &impl fmt::Display) -> String {
    format!("'{}'", word.to_string().replace('\'', r"'\''"))
}

/// Something that a person can read.
pub(crate) trait Render {
    fn render(&self, page: &mut Page);
}

/// The terminal, or what stands in its place.
#[derive(Debug)]
pub(crate) struct Ui {
    stdout: io::Stdout,
    stderr: io::Stderr,
    /// Whether results may be set in bold.
    has_style: bool,
    /// Whether a person watches stderr, where a line can be replaced.
    is_watched: bool,
}

impl Ui {
    pub(crate) fn new() -> Self {
        // https://no-color.org: any value that is not empty.
        let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // The name of a terminal that can do nothing but print (terminfo).
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Ui {
            stdout: io::stdout(),
            stderr: io::stderr(),
            has_style: !is_unwanted && !is_dumb && io::stdout().is_terminal(),
            // It could not go back in its line either.
            is_watched: !is_dumb && io::stderr().is_terminal(),
        }
    }

    /// Whether a person watches stderr, so that a display there may move.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Prints a result.
    pub(crate) fn show<T: Serialize + Render>(
        &mut self,
        value: &T,
        format: Format,
    ) -> anyhow::Result<()> {
        let text = match format {
            Format::Plain => {
                let mut page = Page::new(self.has_style);
                value.render(&mut page);
                page.into_text()
            }
            Format::Json => serde_json::to_string_pretty(value)? + "\n",
        };
        self.write(text.as_bytes())
    }

    /// Prints bytes as they are: a completion script, a log.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stdout.write_all(bytes)?;
        self.stdout.flush()?;
        Ok(())
    }

    /// A remark beside the result.
    pub(crate) fn remark(&mut self, text: impl fmt::Display) {
        // There is nobody to tell that stderr is closed.
        let _ = writeln!(self.stderr, "{}", page::harmless(&text.to_string()));
    }

    /// The reason why nothing came of it.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.remark(format_args!("mcpool: {error:#}"));
    }

    /// Replaces the line on which the cursor stands, if a person watches.
    pub(crate) fn overwrite(&mut self, text: impl fmt::Display) {
        if self.is_watched {
            let text = page::harmless(&text.to_string()).replace('\n', " ");
            let _ = write!(self.stderr, "\r\x1b[K{text}");
        }
    }
}
