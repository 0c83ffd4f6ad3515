//! JSON, with comments or without.

use std::ops::Range;

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectPropName, Value as Parsed},
    common::Ranged,
};

use super::{
    super::tree::{Member, Node, Style, Value},
    Added, Change, Grammar, Splice, Unreadable, Word,
    halves::Halves,
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
    let halves = Halves::of(text);
    let parsed = jsonc_parser::parse_to_ast(&halves.healed, &CollectOptions::default(), &options)
        .map_err(|error| Unreadable {
        line: error.line_display(),
        column: error.column_display(),
        message: lower(&error.kind().to_string()),
    })?;
    Ok(parsed
        .value
        .map_or_else(Node::empty, |value| node(&value, text, &halves)))
}

/// As the middle of a sentence.
fn lower(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

fn node(parsed: &Parsed<'_>, text: &str, halves: &Halves<'_>) -> Node {
    let range = parsed.range();
    let value = match parsed {
        Parsed::StringLit(_) if halves.are_in(&(range.start..range.end)) => {
            Value::Half(text[range.start..range.end].to_owned())
        }
        Parsed::StringLit(literal) => Value::Text(literal.value.to_string()),
        Parsed::Object(object) => Value::Map(
            object
                .properties
                .iter()
                .map(|property| {
                    let key_span = key_span(&property.name);
                    Member {
                        key: property.name.as_str().to_owned(),
                        has_half: halves.are_in(&key_span),
                        key_span,
                        node: node(&property.value, text, halves),
                    }
                })
                .collect(),
        ),
        Parsed::Array(array) => {
            let items = array.elements.iter();
            Value::List(items.map(|item| node(item, text, halves)).collect())
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
        Change::Insert {
            at,
            after,
            key,
            value,
        } => {
            let after = only_member(node_at(tree, at)?, after)?;
            let value = added(text, tree, value);
            Some(insert_in_braces(text, after, &quoted(key), &value))
        }
        Change::Put { at, key, value } => put(text, node_at(tree, at)?, key, value),
        Change::Replace {
            at,
            from,
            to,
            value,
        } => {
            let value = added(text, tree, value);
            splice::replace(text, node_at(tree, at)?, from, (&quoted(to), &value))
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

/// A value that comes into the file, on one line or as it is written elsewhere.
fn added(text: &str, tree: &Node, value: &Added) -> String {
    let comma = splice::comma(text);
    match value {
        Added::Texts(texts) => format!("[{}]", words(text, tree, texts).join(comma)),
        Added::Text(text) => quoted(text),
        Added::False => "false".to_owned(),
        Added::Value {
            written: Some(written),
            ..
        } => written.clone(),
        Added::Value { value, .. } => Printer::on_one_line(comma).print(value, 0),
    }
}

/// One more member at the end of a map, written as the file is.
fn put(text: &str, map: &Node, key: &str, value: &Node) -> Option<Splice> {
    let Value::Map(members) = &map.value else {
        return None;
    };
    // Its names would be written with another character.
    if value.has_half() {
        return None;
    }
    let is_of_lines = text.trim_end().contains('\n');
    let unit = unit(text);
    let writer = if is_of_lines {
        Printer {
            line: Grammar::newline(text),
            unit,
            comma: ",",
        }
    } else {
        Printer::on_one_line(splice::comma(text))
    };
    if let Some(last) = members.last() {
        let depth = splice::indentation(text, last.key_span.start)
            .map_or(0, |blanks| blanks.len() / unit.len().max(1));
        let value = writer.print(value, depth);
        return Some(insert_in_braces(text, last, &quoted(key), &value));
    }
    let inner = map.span.start + 1..map.span.end - 1;
    if !text.get(inner.clone())?.trim().is_empty() {
        return None;
    }
    let line = &text[text[..map.span.start].rfind('\n').map_or(0, |at| at + 1)..map.span.start];
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    let depth = blanks / unit.len().max(1);
    let colon = if writer.comma == "," && !is_of_lines {
        ":"
    } else {
        ": "
    };
    let member = format!("{}{colon}{}", quoted(key), writer.print(value, depth + 1));
    Some((inner, writer.around(&[member], depth)))
}

/// How far the file moves in what is within something.
fn unit(text: &str) -> &str {
    let mut lines = text.lines().skip(1);
    let first = lines.find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    first.map_or("  ", |line| {
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    })
}

/// How values are written: on one line, or one member on each.
struct Printer<'a> {
    /// The end of a line; empty if all is on one.
    line: &'a str,
    unit: &'a str,
    comma: &'a str,
}

impl<'a> Printer<'a> {
    fn on_one_line(comma: &'a str) -> Self {
        Printer {
            line: "",
            unit: "",
            comma,
        }
    }

    fn print(&self, node: &Node, depth: usize) -> String {
        let colon = if self.line.is_empty() && self.comma == "," {
            ":"
        } else {
            ": "
        };
        match &node.value {
            Value::Text(text) => quoted(text),
            Value::Other(raw) | Value::Half(raw) => raw.clone(),
            Value::List(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| self.print(item, depth + 1))
                    .collect();
                format!("[{}]", self.around(&items, depth))
            }
            Value::Map(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|member| {
                        let value = self.print(&member.node, depth + 1);
                        format!("{}{colon}{value}", quoted(&member.key))
                    })
                    .collect();
                format!("{{{}}}", self.around(&members, depth))
            }
        }
    }

    /// What stands between brackets.
    fn around(&self, items: &[String], depth: usize) -> String {
        if items.is_empty() || self.line.is_empty() {
            return items.join(self.comma);
        }
        let lead = |depth: usize| format!("{}{}", self.line, self.unit.repeat(depth));
        let between = format!("{}{}", self.comma, lead(depth + 1));
        format!("{}{}{}", lead(depth + 1), items.join(&between), lead(depth))
    }
}

/// A string of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{Step, grammar::EditError};

    const TEXT: &str = r#"{"\ud83d": "a\ud83d", "b": {}, "c": "d"}"#;

    #[test]
    fn half_a_character_is_read_and_stays_as_it_is_written() {
        let tree = read(TEXT, Grammar::Json).unwrap();
        let [half, rest @ ..] = tree.members() else {
            panic!("no members")
        };
        assert!(half.has_half && rest.iter().all(|member| !member.has_half));
        assert!(half.node.value == Value::Half(r#""a\ud83d""#.to_owned()));
        assert_eq!(half.node.text(), None);
        let change = Change::SetText {
            at: vec![Step::key("c")],
            text: Word::New("e".to_owned()),
        };
        let edited = Grammar::Json.edit(TEXT, &[change]).unwrap();
        assert_eq!(edited, TEXT.replace(r#""d""#, r#""e""#));
    }

    #[test]
    fn half_a_character_is_written_nowhere_else() {
        let put = Change::Put {
            at: vec![Step::key("b")],
            key: "x".to_owned(),
            value: read(TEXT, Grammar::Json).unwrap(),
        };
        let refused = Grammar::Json.edit(TEXT, &[put]);
        assert!(matches!(refused, Err(EditError::ByHand { .. })));
    }
}
