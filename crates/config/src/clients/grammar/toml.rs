//! TOML.

use std::ops::Range;

use toml_edit::{Document, InlineTable, Item, Table, Value as Parsed};

use super::{
    super::tree::{Member, Node, Style, Value},
    Added, Change, Grammar, Splice, Unreadable, Word,
    splice::{self, insert_in_braces, node_at, only_member},
};

pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = &text[..text.floor_char_boundary(at)];
        Unreadable {
            line: before.matches('\n').count() + 1,
            column: splice::line_before(before, before.len()).chars().count() + 1,
            message: error.message().trim().replace('\n', ", "),
        }
    })?;
    Ok(Node {
        span: 0..text.len(),
        style: Style::Block,
        value: Value::Map(members(document.as_table(), text)),
    })
}

fn members(table: &Table, text: &str) -> Vec<Member> {
    let names = table
        .iter()
        .map(|(name, item)| (name, key_span(table, name), item));
    names
        .map(|(name, span, item)| Member {
            key: name.to_owned(),
            has_half: false,
            key_span: span,
            node: node(item, text),
        })
        .collect()
}

fn key_span(table: &Table, name: &str) -> Range<usize> {
    let key = table.get_key_value(name).map(|(key, _)| key);
    key.and_then(toml_edit::Key::span).unwrap_or(0..0)
}

fn node(item: &Item, text: &str) -> Node {
    match item {
        Item::None => Node::empty(),
        Item::Value(value) => of_value(value, text),
        Item::Table(table) => Node {
            span: table.span().unwrap_or(0..0),
            style: Style::Block,
            value: Value::Map(members(table, text)),
        },
        Item::ArrayOfTables(tables) => Node {
            span: 0..0,
            style: Style::Fixed,
            value: Value::List(
                tables
                    .iter()
                    .map(|table| node(&Item::Table(table.clone()), text))
                    .collect(),
            ),
        },
    }
}

fn of_value(parsed: &Parsed, text: &str) -> Node {
    let span = parsed.span().unwrap_or(0..0);
    let value = match parsed {
        Parsed::String(string) => Value::Text(string.value().clone()),
        Parsed::Array(array) => {
            Value::List(array.iter().map(|item| of_value(item, text)).collect())
        }
        Parsed::InlineTable(table) => Value::Map(
            table
                .iter()
                .map(|(name, value)| Member {
                    key: name.to_owned(),
                    has_half: false,
                    key_span: inline_key_span(table, name),
                    node: of_value(value, text),
                })
                .collect(),
        ),
        Parsed::Integer(_) | Parsed::Float(_) | Parsed::Boolean(_) | Parsed::Datetime(_) => {
            Value::Other(text[span.clone()].to_owned())
        }
    };
    Node {
        // Dotted keys within braces make a table that stands nowhere.
        style: if span.is_empty() {
            Style::Fixed
        } else {
            Style::Flow
        },
        span,
        value,
    }
}

fn inline_key_span(table: &InlineTable, name: &str) -> Range<usize> {
    let key = table.get_key_value(name).map(|(key, _)| key);
    key.and_then(toml_edit::Key::span).unwrap_or(0..0)
}

pub(super) fn splice(text: &str, tree: &Node, change: &Change) -> Option<Splice> {
    match change {
        Change::SetText { at, text: new } => {
            let span = splice::text_span(node_at(tree, at)?)?;
            Some((span, word(text, tree, new)))
        }
        Change::Prepend { at, texts } => {
            splice::prepend(text, node_at(tree, at)?, &words(text, tree, texts))
        }
        Change::DropFirst { at, count } => splice::drop_first(node_at(tree, at)?, *count),
        Change::Insert {
            at,
            after,
            key,
            value,
        } => {
            let map = node_at(tree, at)?;
            let after = only_member(map, after)?;
            let key = name(key);
            let place = place_behind(text, &after.node, value);
            let value = added(text, tree, value);
            if after.node.span.is_empty() {
                return None;
            }
            match map.style {
                Style::Flow => Some(insert_in_braces(text, after, &key, &value)),
                // The names before the last one of a dotted name are said again.
                Style::Block => {
                    let lead = splice::line_before(text, after.key_span.start);
                    let newline = Grammar::newline(text);
                    Some((place..place, format!("{newline}{lead}{key} = {value}")))
                }
                Style::Fixed => None,
            }
        }
        Change::Put { .. } => None,
        Change::Replace {
            at,
            from,
            to,
            value,
        } => {
            let value = added(text, tree, value);
            splice::replace(text, node_at(tree, at)?, from, (&name(to), &value))
        }
        Change::Remove { at, key } => {
            let map = node_at(tree, at)?;
            splice::remove(text, map, key).or_else(|| {
                let member = only_member(map, key)?;
                splice::remove_lines(text, member, end(&member.node)?)
            })
        }
    }
}

/// Where a line comes in behind a value: behind its comment, unless that belongs to what comes.
fn place_behind(text: &str, after: &Node, value: &Added) -> usize {
    let end = after.span.end;
    let Added::Value { comments, .. } = value else {
        return end;
    };
    match comment_behind(text, end) {
        Some(comment) if !comments.iter().any(|moved| moved == comment) => {
            let line = text[end..].lines().next().unwrap_or_default();
            end + line.trim_end().len()
        }
        Some(_) | None => end,
    }
}

/// The comment behind a value that ends here, on the same line.
pub(in super::super) fn comment_behind(text: &str, end: usize) -> Option<&str> {
    let line = text.get(end..)?.lines().next()?;
    Some(line.trim()).filter(|rest| rest.starts_with('#'))
}

/// Where a value ends: a table with its last member.
fn end(node: &Node) -> Option<usize> {
    match (node.style, &node.value) {
        (Style::Flow, _) => Some(node.span.end),
        (Style::Block, Value::Map(members)) => {
            let ends = members.iter().map(|member| match member.node.style {
                Style::Flow => Some(member.node.span.end),
                Style::Block | Style::Fixed => None,
            });
            let ends: Option<Vec<usize>> = ends.collect();
            ends?.into_iter().chain([node.span.end]).max()
        }
        (Style::Block | Style::Fixed, _) => None,
    }
}

fn name(key: &str) -> String {
    toml_edit::Key::new(key).display_repr().into_owned()
}

/// A value that comes into the file.
fn added(text: &str, tree: &Node, value: &Added) -> String {
    match value {
        Added::Texts(texts) => format!("[{}]", words(text, tree, texts).join(", ")),
        Added::Text(text) => Parsed::from(text.as_str()).to_string(),
        Added::False => "false".to_owned(),
        Added::Value {
            written: Some(written),
            ..
        } => written.clone(),
        Added::Value { value, .. } => printed(value),
    }
}

fn printed(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => Parsed::from(text.as_str()).to_string(),
        Value::Other(raw) | Value::Half(raw) => raw.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|member| format!("{} = {}", name(&member.key), printed(&member.node)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}

fn word(text: &str, tree: &Node, word: &Word) -> String {
    match word.copied(text, tree) {
        Some(copied) => copied.to_owned(),
        None => Parsed::from(word.text()).to_string(),
    }
}

fn words(text: &str, tree: &Node, words: &[Word]) -> Vec<String> {
    words.iter().map(|new| word(text, tree, new)).collect()
}
