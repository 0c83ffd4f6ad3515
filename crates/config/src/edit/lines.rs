//! Which lines of a file belong to one server, and the file without them.

use std::ops::Range;

use toml_edit::{Item, Value};

/// What a line is when no statement of the server stands on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Blank,
    Comment,
    /// Part of a statement of this server.
    Ours,
    /// Part of a statement of something else.
    Other,
}

/// The bytes of every header and every `key = value` of a server.
pub(super) fn statements(key: Option<Range<usize>>, item: &Item) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    collect(key, item, &mut found);
    found
}

fn collect(key: Option<Range<usize>>, item: &Item, found: &mut Vec<Range<usize>>) {
    match item {
        Item::None => {}
        Item::Value(value) => {
            let end = Value::span(value).map(|span| span.end);
            found.extend(key.zip(end).map(|(key, end)| key.start..end));
        }
        Item::Table(table) => {
            if !table.is_dotted() && !table.is_implicit() {
                found.extend(table.span());
            }
            for (name, item) in table {
                let key = table.get_key_value(name).and_then(|(key, _)| key.span());
                collect(key, item, found);
            }
        }
        Item::ArrayOfTables(tables) => {
            for table in tables {
                collect(None, &Item::Table(table.clone()), found);
            }
        }
    }
}

/// The text without the lines that the statements stand on.
///
/// With them go what stands between them, the comment that touches them from
/// above or below, and one blank line, so that an addition leaves no trace.
pub(super) fn without(text: &str, statements: &[Range<usize>]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kinds = kinds(&lines, statements);
    let mut dropped = vec![false; lines.len()];
    let mut index = 0;
    while index < lines.len() {
        if kinds[index] == Line::Ours {
            let run = run_at(index, &kinds);
            index = run.end;
            dropped[with_one_blank(&run, &kinds)].fill(true);
        } else {
            index += 1;
        }
    }
    let kept = lines.iter().zip(&dropped).filter(|(_, dropped)| !**dropped);
    kept.map(|(line, _)| *line).collect()
}

fn kinds(lines: &[&str], statements: &[Range<usize>]) -> Vec<Line> {
    let mut start = 0;
    let kinds = lines.iter().map(|line| {
        let span = start..start + line.len();
        start = span.end;
        let content = line.trim();
        if statements
            .iter()
            .any(|ours| ours.start < span.end && span.start < ours.end)
        {
            Line::Ours
        } else if content.is_empty() {
            Line::Blank
        } else if content.starts_with('#') {
            Line::Comment
        } else {
            Line::Other
        }
    });
    kinds.collect()
}

/// The lines around `index` that go: up to the next statement of another.
fn run_at(index: usize, kinds: &[Line]) -> Range<usize> {
    let comments_above = kinds[..index]
        .iter()
        .rev()
        .take_while(|kind| **kind == Line::Comment)
        .count();
    // A comment that opens the file is about the file.
    let start = if comments_above == index {
        index
    } else {
        index - comments_above
    };

    let until_other = kinds[index..].iter().position(|kind| *kind == Line::Other);
    let limit = until_other.map_or(kinds.len(), |length| index + length);
    let last_ours = kinds[..limit]
        .iter()
        .rposition(|kind| *kind == Line::Ours)
        .unwrap_or(index);
    let comments_below = kinds[last_ours + 1..]
        .iter()
        .take_while(|kind| **kind == Line::Comment)
        .count();
    let end = last_ours + 1 + comments_below;
    // A comment that touches the statement below it is about that one.
    let end = if kinds.get(end) == Some(&Line::Other) {
        last_ours + 1
    } else {
        end
    };
    start..end
}

fn with_one_blank(run: &Range<usize>, kinds: &[Line]) -> Range<usize> {
    if run.start > 0 && kinds[run.start - 1] == Line::Blank {
        run.start - 1..run.end
    } else if run.start == 0 && kinds.get(run.end) == Some(&Line::Blank) {
        run.start..run.end + 1
    } else {
        run.clone()
    }
}
