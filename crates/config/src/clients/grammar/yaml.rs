//! YAML: one document, without what makes it more than a tree of texts.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::{
    super::tree::{Member, Node, Style, Value},
    Added, Change, Grammar, Splice, Unreadable, Word, json,
    splice::{self, insert_in_braces, node_at, only_member},
};

/// Deepest nesting; what is deeper is no configuration.
const DEPTH_MAX: usize = 128;

pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let mut builder = Builder {
        text,
        open: Vec::new(),
        root: None,
    };
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| unreadable(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.root.unwrap_or_else(Node::empty))
}

fn unreadable(error: &ScanError) -> Unreadable {
    Unreadable {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        message: error.info(),
    }
}

/// A collection that has begun.
struct Open {
    span: Range<usize>,
    style: Style,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map(Vec<Member>, Option<(String, Range<usize>)>),
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let bytes = span.byte_range().unwrap_or(0..0);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let is_tagged = tag.is_some();
                let node = scalar_node(&value, style, anchor != 0 || is_tagged, bytes);
                self.add(node, span)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let raw = self.text.get(bytes.clone()).unwrap_or_default().to_owned();
                self.add(
                    Node {
                        span: bytes,
                        style: Style::Fixed,
                        value: Value::Other(raw),
                    },
                    span,
                )
            }
            Event::SequenceStart(style, anchor, tag) => {
                let is_fixed = anchor != 0 || tag.is_some();
                self.begin(span, style, is_fixed, Kind::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                let is_fixed = anchor != 0 || tag.is_some();
                self.begin(span, style, is_fixed, Kind::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(refusal(span, "a second document"))
            }
            Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Anchor(..) => Ok(()),
            // More about the same text, where another crate has asked the parser for it.
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        span: Span,
        style: StructureStyle,
        is_fixed: bool,
        kind: Kind,
    ) -> Result<(), Unreadable> {
        if self.open.len() == DEPTH_MAX {
            return Err(refusal(span, "it is nested too deeply"));
        }
        self.open.push(Open {
            span: span.byte_range().unwrap_or(0..0),
            style: match style {
                _ if is_fixed => Style::Fixed,
                StructureStyle::Block => Style::Block,
                StructureStyle::Flow => Style::Flow,
            },
            kind,
        });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Unreadable> {
        let Some(open) = self.open.pop() else {
            return Err(refusal(span, "an end without a beginning"));
        };
        let end = span.byte_range().map_or(0, |bytes| bytes.end);
        let value = match open.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map(members, _) => Value::Map(members),
        };
        let node = Node {
            span: open.span.start..end.max(open.span.end),
            style: open.style,
            value,
        };
        self.add(node, span)
    }

    fn add(&mut self, node: Node, span: Span) -> Result<(), Unreadable> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map(members, key)) => {
                if let Some((key, key_span)) = key.take() {
                    members.push(Member {
                        key,
                        has_half: false,
                        key_span,
                        node,
                    });
                    return Ok(());
                }
                let (Value::Text(name) | Value::Other(name)) = node.value else {
                    return Err(refusal(span, "a name that is no text"));
                };
                *key = Some((name, node.span));
            }
        }
        Ok(())
    }
}

fn refusal(span: Span, message: &str) -> Unreadable {
    Unreadable {
        line: span.start.line(),
        column: span.start.col() + 1,
        message: message.to_owned(),
    }
}

fn scalar_node(value: &str, style: ScalarStyle, is_fixed: bool, span: Range<usize>) -> Node {
    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    let is_text = style != ScalarStyle::Plain || is_text(value);
    Node {
        style: if is_fixed || is_block || span.is_empty() {
            Style::Fixed
        } else {
            Style::Flow
        },
        value: if is_text {
            Value::Text(value.to_owned())
        } else {
            Value::Other(value.to_owned())
        },
        span,
    }
}

/// Whether a word without quotes is a text, and no number, truth or nothing.
///
/// Where parsers differ, the answer is no: it is quoted when we write it.
fn is_text(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let is_word = [
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
    ]
    .contains(&lower.as_str());
    let digits = lower.trim_start_matches(['+', '-']);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit())
        || digits.starts_with('.') && digits[1..].starts_with(|next: char| next.is_ascii_digit())
        || [".inf", ".nan"].contains(&digits);
    !is_word && !is_number
}

pub(super) fn splice(text: &str, tree: &Node, change: &Change) -> Option<Splice> {
    match change {
        Change::SetText { at, text: new } => {
            let span = splice::text_span(node_at(tree, at)?)?;
            Some((span, word(text, tree, new)))
        }
        Change::Prepend { at, texts } => {
            let list = node_at(tree, at)?;
            let printed = words(text, tree, texts);
            match list.style {
                Style::Flow => splice::prepend(text, list, &printed),
                Style::Block => prepend_lines(text, list, &printed),
                Style::Fixed => None,
            }
        }
        Change::DropFirst { at, count } => {
            let list = node_at(tree, at)?;
            match list.style {
                Style::Flow => splice::drop_first(list, *count),
                Style::Block => drop_lines(text, list, *count),
                Style::Fixed => None,
            }
        }
        Change::Insert {
            at,
            after,
            key,
            value,
        } => {
            let value = added(text, tree, value);
            let map = node_at(tree, at)?;
            let after = only_member(map, after)?;
            match map.style {
                Style::Flow => Some(insert_in_braces(text, after, &scalar(key), &value)),
                Style::Block => insert_line(text, after, &scalar(key), &value),
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
            splice::replace(text, node_at(tree, at)?, from, (&scalar(to), &value))
        }
        Change::Remove { at, key } => {
            let map = node_at(tree, at)?;
            let member = only_member(map, key)?;
            match (map.style, member.node.style) {
                (Style::Flow, _) | (_, Style::Flow) => splice::remove(text, map, key),
                _ => None,
            }
            .or_else(|| splice::remove_lines(text, member, end(text, &member.node)?))
        }
    }
}

/// Where a value ends: one of several lines with the last of what is in it.
fn end(text: &str, node: &Node) -> Option<usize> {
    let last = match (node.style, &node.value) {
        (Style::Flow, _) => return Some(node.span.end),
        (Style::Block, Value::List(items)) => items.last()?,
        (Style::Block, Value::Map(members)) => &members.last()?.node,
        (Style::Fixed, Value::Text(_)) if node.span.end > node.span.start => {
            let end = text.get(..node.span.end)?.trim_end().len();
            return (end > node.span.start).then_some(end);
        }
        (Style::Block | Style::Fixed, _) => return None,
    };
    end(text, last)
}

/// A value that comes into the file, on one line or as it is written elsewhere.
fn added(text: &str, tree: &Node, value: &Added) -> String {
    match value {
        Added::Texts(texts) => format!("[{}]", words(text, tree, texts).join(", ")),
        Added::Text(text) => scalar(text),
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
        Value::Text(text) => scalar(text),
        Value::Other(raw) | Value::Half(raw) => raw.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|member| format!("{}: {}", scalar(&member.key), printed(&member.node)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn word(text: &str, tree: &Node, word: &Word) -> String {
    match word.copied(text, tree) {
        // A bare text may end earlier between brackets than on a line.
        Some(copied)
            if copied.starts_with(['"', '\''])
                || !(copied.contains([',', '[', ']', '{', '}', '\n']) || copied.ends_with(':')) =>
        {
            copied.to_owned()
        }
        Some(_) | None => scalar(word.text()),
    }
}

fn words(text: &str, tree: &Node, words: &[Word]) -> Vec<String> {
    words.iter().map(|new| word(text, tree, new)).collect()
}

/// Where the dash of an item stands, and the blanks before it.
fn dash<'t>(text: &'t str, item: &Node) -> Option<(usize, &'t str)> {
    let before = text[..item.span.start].trim_end_matches([' ', '\t']);
    let place = before.strip_suffix('-')?.len();
    Some((place, splice::indentation(text, place)?))
}

fn prepend_lines(text: &str, list: &Node, printed: &[String]) -> Option<Splice> {
    let (place, indentation) = dash(text, list.items().first()?)?;
    let newline = Grammar::newline(text);
    let lines = printed
        .iter()
        .map(|item| format!("- {item}{newline}{indentation}"));
    Some((place..place, lines.collect()))
}

fn drop_lines(text: &str, list: &Node, count: usize) -> Option<Splice> {
    let items = list.items();
    let (start, _) = dash(text, items.first()?)?;
    if let Some(next) = items.get(count) {
        return Some((start..dash(text, next)?.0, String::new()));
    }
    let end = items.get(count.checked_sub(1)?)?.span.end;
    Some((start..end, "[]".to_owned()))
}

fn insert_line(text: &str, after: &Member, key: &str, value: &str) -> Option<Splice> {
    if after.node.style != Style::Flow {
        return None;
    }
    let place = after.node.span.end;
    // A dash before the name is the list's; blanks are as wide.
    let lead: String = splice::line_before(text, after.key_span.start)
        .chars()
        .map(|character| match character {
            ' ' | '\t' => Some(character),
            '-' => Some(' '),
            _ => None,
        })
        .collect::<Option<String>>()?;
    let newline = Grammar::newline(text);
    Some((place..place, format!("{newline}{lead}{key}: {value}")))
}

/// A text as it can stand anywhere: bare if nobody could take it for something else.
fn scalar(text: &str) -> String {
    let is_bare = is_text(text)
        && text
            .chars()
            .all(|character| character.is_alphanumeric() || "_./@+=-".contains(character))
        && text.starts_with(|first: char| first.is_alphanumeric() || "_./".contains(first))
        && !text.ends_with('=');
    if is_bare {
        text.to_owned()
    } else {
        in_double_quotes(text)
    }
}

fn in_double_quotes(text: &str) -> String {
    json::quoted(text)
        .chars()
        .map(|character| match character {
            // What YAML does not let stand as it is.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                format!("\\u{:04x}", u32::from(character))
            }
            _ => character.to_string(),
        })
        .collect()
}
