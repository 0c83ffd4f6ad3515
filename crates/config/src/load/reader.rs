//! A walk over a parsed document that remembers the first fault.
//!
//! **Invariant:** a method that returns `None` has recorded a fault, so a caller
//! may leave out a value without asking why.

use std::{path::Path, sync::Arc};

use toml_edit::{Item, Key, TableLike, TomlError, Value};

use super::{
    error::LoadError,
    words::{nearest, shown_key},
};
use crate::{Origin, Template};

pub(super) struct Reader<'a> {
    text: &'a str,
    file: Arc<Path>,
    first: Option<(usize, LoadError)>,
}

/// One key of a table, with its value and its place.
pub(super) struct Entry<'t> {
    pub(super) name: &'t str,
    /// The dotted key from the top of the file.
    pub(super) path: String,
    pub(super) key_offset: usize,
    pub(super) item: &'t Item,
}

/// One value that is not a table of the document: of a key, or in an array.
pub(super) struct Cell<'t> {
    pub(super) path: String,
    pub(super) offset: usize,
    pub(super) value: &'t Value,
}

/// The keys of a table, in the order in which they were written.
pub(super) fn entries<'t>(table: &'t dyn TableLike, path: &str) -> Vec<Entry<'t>> {
    table
        .iter()
        .map(|(name, item)| {
            let key_span = table
                .get_key_value(name)
                .and_then(|(key, _)| Key::span(key));
            let key_offset = key_span
                .or_else(|| item.span())
                .map_or(0, |span| span.start);
            let separator = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{separator}{}", shown_key(name));
            Entry {
                name,
                path,
                key_offset,
                item,
            }
        })
        .collect()
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, file: &Path) -> Self {
        Reader {
            text,
            file: file.into(),
            first: None,
        }
    }

    /// The configuration, unless something was wrong with it.
    pub(super) fn finish<T>(self, value: T) -> Result<T, LoadError> {
        match self.first {
            Some((_, error)) => Err(error),
            None => Ok(value),
        }
    }

    pub(super) fn syntax_error(&self, error: &TomlError) -> LoadError {
        let offset = error.span().map_or(self.text.len(), |span| span.start);
        let message = format!("not valid TOML: {}", error.message());
        self.error(offset, "", message, self.syntax_hint(offset))
    }

    /// What the commonest mistakes are, which the parser cannot know.
    fn syntax_hint(&self, offset: usize) -> Option<String> {
        let (before, at) = self.text.split_at(self.text.floor_char_boundary(offset));
        let is_value = before.trim_end().ends_with(['=', '[', ',']);
        if self.text.trim_start().starts_with('{') {
            Some("this looks like JSON; servers are tables `[servers.NAME]` here".to_owned())
        } else if is_value && at.starts_with(|first: char| !"\"'\r\n".contains(first)) {
            Some("text must be in quotes".to_owned())
        } else {
            None
        }
    }

    /// Records what is wrong at `offset` unless something above it is wrong too.
    pub(super) fn fault(
        &mut self,
        offset: usize,
        path: &str,
        message: String,
        hint: Option<String>,
    ) {
        if self.first.as_ref().is_none_or(|(first, _)| offset < *first) {
            self.first = Some((offset, self.error(offset, path, message, hint)));
        }
    }

    pub(super) fn unknown_key(&mut self, entry: &Entry<'_>, known: &[&str]) {
        let hint = match nearest(entry.name, known) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.fault(
            entry.key_offset,
            &entry.path,
            "unknown key".to_owned(),
            Some(hint),
        );
    }

    pub(super) fn table<'t>(&mut self, entry: &Entry<'t>) -> Option<&'t dyn TableLike> {
        let table = entry.item.as_table_like();
        if table.is_none() {
            self.wrong_type(
                &entry.path,
                entry.value_offset(),
                "a table",
                entry.item.type_name(),
                None,
            );
        }
        table
    }

    pub(super) fn cell<'t>(&mut self, entry: &Entry<'t>, expected: &str) -> Option<Cell<'t>> {
        if let Some(value) = entry.item.as_value() {
            return Some(Cell {
                path: entry.path.clone(),
                offset: entry.value_offset(),
                value,
            });
        }
        self.wrong_type(
            &entry.path,
            entry.key_offset,
            expected,
            entry.item.type_name(),
            None,
        );
        None
    }

    /// The elements of an array.
    pub(super) fn array<'t>(&mut self, entry: &Entry<'t>, of: &str) -> Option<Vec<Cell<'t>>> {
        let expected = format!("an array of {of}");
        let cell = self.cell(entry, &expected)?;
        let Some(array) = cell.value.as_array() else {
            let hint = cell
                .value
                .is_str()
                .then(|| "put it in brackets: `[\"...\"]`".to_owned());
            self.wrong_type(
                &cell.path,
                cell.offset,
                &expected,
                cell.value.type_name(),
                hint,
            );
            return None;
        };
        let cells = array.iter().enumerate().map(|(index, value)| Cell {
            path: format!("{}[{index}]", entry.path),
            offset: value.span().map_or(cell.offset, |span| span.start),
            value,
        });
        Some(cells.collect())
    }

    pub(super) fn string<'t>(&mut self, cell: &Cell<'t>) -> Option<&'t str> {
        let string = cell.value.as_str();
        if string.is_none() {
            let is_scalar = !cell.value.is_array() && !cell.value.is_inline_table();
            let hint = is_scalar.then(|| "put it in quotes".to_owned());
            self.wrong_type(
                &cell.path,
                cell.offset,
                "a string",
                cell.value.type_name(),
                hint,
            );
        }
        string
    }

    pub(super) fn template(&mut self, cell: &Cell<'_>) -> Option<Template> {
        let text = self.string(cell)?;
        let (line, _) = self.position(cell.offset);
        let origin = Origin {
            file: Arc::clone(&self.file),
            line,
            key: cell.path.clone(),
        };
        match Template::parse(text, Some(origin)) {
            Ok(template) => Some(template),
            Err(error) => {
                let offset = cell.offset + self.offset_within(cell, text, error.offset);
                self.fault(offset, &cell.path, error.problem.to_string(), None);
                None
            }
        }
    }

    pub(super) fn wrong_type(
        &mut self,
        path: &str,
        offset: usize,
        expected: &str,
        found: &str,
        hint: Option<String>,
    ) {
        let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) {
            "an"
        } else {
            "a"
        };
        let message = format!("expected {expected}, found {article} {found}");
        self.fault(offset, path, message, hint);
    }

    /// Where in the file a byte of a string stands, from the string's start.
    ///
    /// Exact where the string is written without escapes, else its start.
    fn offset_within(&self, cell: &Cell<'_>, string: &str, offset: usize) -> usize {
        let written = cell
            .value
            .span()
            .and_then(|span| self.text.get(span))
            .unwrap_or("");
        let quote_len = 1;
        let is_plain = written.len() == string.len() + 2 * quote_len
            && written.get(quote_len..written.len() - quote_len) == Some(string);
        if is_plain { quote_len + offset } else { 0 }
    }

    fn error(&self, offset: usize, path: &str, message: String, hint: Option<String>) -> LoadError {
        let (line, column) = self.position(offset);
        LoadError {
            file: self.file.to_path_buf(),
            line,
            column,
            key: path.to_owned(),
            message,
            hint,
        }
    }

    /// Line and character, both counted from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        (
            line,
            1 + before[line_start..]
                .chars()
                .filter(|character| *character != '\u{feff}')
                .count(),
        )
    }
}

impl Entry<'_> {
    /// Where the value stands; a table's is where its name stands.
    pub(super) fn value_offset(&self) -> usize {
        match self.item.as_value().and_then(Value::span) {
            Some(span) => span.start,
            None => self.key_offset,
        }
    }
}
