//! JSON, with comments or without.

use std::ops::Range;

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectPropName, Value as Parsed},
    common::Ranged,
};

use super::{
    super::tree::{Member, Node, Style, Value},
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
        Change::Remove { at, key } => splice::remove(text, node_at(tree, at)?, key),
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

/// A string of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
