//! JSON, with comments or without.

use std::ops::Range;

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectPropName, Value as Parsed},
    common::Ranged,
};

use super::{
    super::tree::{Member, Node, Plain, Style, Value},
    Change, Grammar, Splice, Unreadable, Word,
    splice::{self, insert_in_braces, node_at, only_member},
};

pub(super) fn read(text: &str, grammar: Grammar) -> Result<Node, Unreadable> {
    let has_more = grammar == Grammar::Jsonc;
    let options = ParseOptions {
        allow_comments: has_more,
        allow_trailing_commas: has_more,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &options).map_err(
        |error| Unreadable {
            line: error.line_display(),
            column: error.column_display(),
            message: lower(&error.kind().to_string()),
        },
    )?;
    Ok(parsed
        .value
        .map_or_else(Node::empty, |value| node(&value, text)))
}

/// As the middle of a sentence.
fn lower(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

fn node(parsed: &Parsed<'_>, text: &str) -> Node {
    let range = parsed.range();
    let value = match parsed {
        Parsed::StringLit(literal) => Value::Text(literal.value.to_string()),
        Parsed::Object(object) => Value::Map(
            object
                .properties
                .iter()
                .map(|property| Member {
                    key: property.name.as_str().to_owned(),
                    key_span: key_span(&property.name),
                    node: node(&property.value, text),
                })
                .collect(),
        ),
        Parsed::Array(array) => {
            Value::List(array.elements.iter().map(|item| node(item, text)).collect())
        }
        Parsed::NumberLit(_) | Parsed::BooleanLit(_) | Parsed::NullKeyword(_) => {
            Value::Other(text[range.start..range.end].to_owned())
        }
    };
    Node {
        span: range.start..range.end,
        style: Style::Flow,
        value,
    }
}

fn key_span(name: &ObjectPropName<'_>) -> Range<usize> {
    let range = match name {
        ObjectPropName::String(literal) => literal.range,
        ObjectPropName::Word(literal) => literal.range,
    };
    range.start..range.end
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
        Change::InsertList {
            at,
            after,
            key,
            texts,
        } => {
            let after = only_member(node_at(tree, at)?, after)?;
            let list = words(text, tree, texts).join(splice::comma(text));
            Some(insert_in_braces(
                text,
                after,
                &quoted(key),
                &format!("[{list}]"),
            ))
        }
        Change::Insert {
            at,
            after,
            key,
            value,
        } => {
            let map = node_at(tree, at)?;
            let after = match after {
                Some(after) => only_member(map, after)?,
                None => match map.members().last() {
                    Some(last) => last,
                    None => return insert_first(text, map, key, value),
                },
            };
            let layout = Layout::at(text, after.key_span.start);
            let value = print(value, &layout);
            Some(insert_in_braces(text, after, &quoted(key), &value))
        }
        Change::Remove { at, key } => splice::remove(text, node_at(tree, at)?, key),
        Change::Rename { at, key, to } => {
            let member = only_member(node_at(tree, at)?, key)?;
            Some((member.key_span.clone(), quoted(to)))
        }
    }
}

fn word(text: &str, tree: &Node, word: &Word) -> String {
    match word.copied(text, tree) {
        Some(copied) => copied.to_owned(),
        None => quoted(word.text()),
    }
}

fn words(text: &str, tree: &Node, words: &[Word]) -> Vec<String> {
    words.iter().map(|new| word(text, tree, new)).collect()
}

fn insert_first(text: &str, map: &Node, key: &str, value: &Plain) -> Option<Splice> {
    if !matches!(map.value, Value::Map(_)) || map.style != Style::Flow {
        return None;
    }
    let place = map.span.start + 1;
    if !text[place..map.span.end - 1].trim().is_empty() {
        // A comment, which may end the line.
        return None;
    }
    let outer = Layout::at(text, map.span.start);
    let inner = outer.deeper();
    let (lead, tail) = (inner.line(), outer.line());
    let value = print(value, &inner);
    let colon = if outer.is_compact { ":" } else { ": " };
    let new = format!("{{{lead}{}{colon}{value}{tail}}}", quoted(key));
    Some((map.span.clone(), new))
}

/// How far in a value stands, and by what the file indents.
struct Layout {
    newline: &'static str,
    indentation: String,
    unit: String,
    /// Everything on one line.
    is_inline: bool,
    /// And without blanks.
    is_compact: bool,
}

impl Layout {
    /// As the line looks on which this place is.
    fn at(text: &str, place: usize) -> Self {
        let before = splice::line_before(text, place);
        let indentation: String = before
            .chars()
            .take_while(|character| *character == ' ' || *character == '\t')
            .collect();
        let unit = text
            .lines()
            .map(|line| &line[..line.len() - line.trim_start().len()])
            .find(|blanks| !blanks.is_empty())
            .unwrap_or("  ");
        Layout {
            newline: Grammar::newline(text),
            indentation,
            unit: unit.to_owned(),
            is_inline: !text.trim().contains('\n'),
            is_compact: splice::comma(text) == ",",
        }
    }

    fn deeper(&self) -> Self {
        Layout {
            newline: self.newline,
            indentation: format!("{}{}", self.indentation, self.unit),
            unit: self.unit.clone(),
            is_inline: self.is_inline,
            is_compact: self.is_compact,
        }
    }

    fn line(&self) -> String {
        if self.is_inline {
            String::new()
        } else {
            format!("{}{}", self.newline, self.indentation)
        }
    }
}

/// Maps one member to a line, lists on one line.
fn print(value: &Plain, layout: &Layout) -> String {
    let (comma, colon) = if layout.is_compact {
        (",", ":")
    } else {
        (", ", ": ")
    };
    match value {
        Plain::Text(text) => quoted(text),
        Plain::Other(raw) => raw.clone(),
        Plain::List(items) => {
            let items: Vec<String> = items.iter().map(|item| print(item, layout)).collect();
            format!("[{}]", items.join(comma))
        }
        Plain::Map(members) if members.is_empty() => "{}".to_owned(),
        Plain::Map(members) => {
            let inner = layout.deeper();
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}{colon}{}", quoted(key), print(value, &inner)))
                .collect();
            let between = if layout.is_inline { comma } else { "," };
            let members = members.join(&format!("{between}{}", inner.line()));
            format!("{{{}{members}{}}}", inner.line(), layout.line())
        }
    }
}

/// A string of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
