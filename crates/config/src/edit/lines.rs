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

/// The text without the statements, and with all comments, also those behind and within them.
///
/// What else stands between the statements goes, and one blank line where nothing was said
/// between it and them.
pub(super) fn without_statements(text: &str, statements: &[Range<usize>]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kinds = kinds(&lines, statements);
    let mut kept = String::with_capacity(text.len());
    let mut index = 0;
    while index < lines.len() {
        if kinds[index] != Line::Ours {
            kept.push_str(lines[index]);
            index += 1;
            continue;
        }
        let limit = kinds[index..].iter().position(|kind| *kind == Line::Other);
        let limit = limit.map_or(kinds.len(), |length| index + length);
        let last = kinds[..limit].iter().rposition(|kind| *kind == Line::Ours);
        let run = index..last.unwrap_or(index) + 1;
        let said = lines[run.clone()].concat();
        let comments = comments(&said);
        let with_blank = with_one_blank(&run, &kinds);
        if with_blank.start < run.start {
            let blank = lines[with_blank.start];
            kept.truncate(kept.len() - blank.len());
        }
        index = if comments.is_empty() {
            with_blank.end
        } else {
            run.end
        };
        kept.extend(comments);
    }
    kept
}

/// The comments of whole statements, each with the end of its line.
fn comments(statements: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = statements;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        rest = &rest[at..];
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let Some(quote) = quotes.into_iter().find(|quote| rest.starts_with(quote)) else {
            let end = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            let (comment, behind) = rest.split_at(end);
            found.push(comment);
            rest = behind;
            continue;
        };
        rest = behind_string(&rest[quote.len()..], quote);
    }
    found
}

/// What stands behind a string of which this is all but the quotes that open it.
fn behind_string<'t>(text: &'t str, quote: &str) -> &'t str {
    let mut rest = text;
    loop {
        let escape = rest.find('\\').filter(|_| quote.starts_with('"'));
        let Some(end) = rest.find(quote) else {
            return "";
        };
        if let Some(escape) = escape.filter(|escape| *escape < end) {
            // Neither it nor what it escapes ends the string.
            let mut behind = rest[escape + 1..].chars();
            let _escaped = behind.next();
            rest = behind.as_str();
            continue;
        }
        let behind = &rest[end + quote.len()..];
        // Up to two more quotes are the last of what a string of lines says.
        let more = behind.bytes().take(2);
        let more = more.take_while(|byte| quote.len() == 3 && quote.as_bytes()[0] == *byte);
        return &behind[more.count()..];
    }
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
