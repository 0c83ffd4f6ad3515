//! What a file of any grammar says, and where in its text it says so.

use std::{fmt, ops::Range};

/// A value, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Its bytes in the text.
    ///
    /// A map that is written as lines has no place of its own; its span is empty then.
    pub span: Range<usize>,
    /// How it is written.
    pub style: Style,
    /// What it says.
    pub value: Value,
}

/// What a node says.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Members by name, in the order of the file.
    Map(Vec<Member>),
    /// Items in their order.
    List(Vec<Node>),
    /// A text, without quotes and escapes.
    Text(String),
    /// Anything else, as it is written: numbers, truth, nothing.
    Other(String),
    /// A text with half a character in it, as it is written, with its quotes; in JSON alone.
    ///
    /// Programs in JavaScript write `"\ud83d"` where they have cut a text within a character.
    Half(String),
}

/// A named value of a map.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The name.
    pub key: String,
    /// Whether it has half a character in it; `key` has U+FFFD in the place of that.
    pub has_half: bool,
    /// Where the name stands, with its quotes.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

/// How a value is written, as far as an edit depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Between brackets or braces, or a scalar in one piece.
    Flow,
    /// As lines: tables of TOML, blocks of YAML.
    Block,
    /// In a way that we read and do not change: an anchor, a tag, a text of several lines by indentation.
    Fixed,
}

/// One step into a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The member of this name.
    Key(String),
    /// The item of this number, from 0.
    Index(usize),
}

impl Step {
    pub(super) fn key(name: &str) -> Self {
        Step::Key(name.to_owned())
    }
}

impl Node {
    pub(super) fn empty() -> Self {
        Node {
            span: 0..0,
            style: Style::Fixed,
            value: Value::Map(Vec::new()),
        }
    }

    /// The members, if this is a map.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            Value::List(_) | Value::Text(_) | Value::Other(_) | Value::Half(_) => &[],
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Map(_) | Value::Text(_) | Value::Other(_) | Value::Half(_) => &[],
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Map(_) | Value::List(_) | Value::Other(_) | Value::Half(_) => None,
        }
    }

    /// Whether half a character stands in it, in a name or a text.
    pub(super) fn has_half(&self) -> bool {
        match &self.value {
            Value::Half(_) => true,
            Value::Text(_) | Value::Other(_) => false,
            Value::List(items) => items.iter().any(Node::has_half),
            Value::Map(members) => {
                let mut members = members.iter();
                members.any(|member| member.has_half || member.node.has_half())
            }
        }
    }

    /// Whether this is a bare word, such as `true`; YAML has them with capitals, too.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.value, Value::Other(raw) if raw.eq_ignore_ascii_case(word))
    }

    /// The member of this name; of several, the last, as parsers of JSON have it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let found = self.members().iter().rev().find(|member| member.key == key);
        found.map(|member| &member.node)
    }

    /// The node at the end of a path.
    pub fn at(&self, path: &[Step]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items().get(*index),
        })
    }

    /// What it says, in one line, whatever the order of its members and however it is written.
    ///
    /// With all values, so it is to be compared and not to be shown: they may be secrets.
    pub fn in_any_order(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("{text:?}"),
            Value::Other(raw) | Value::Half(raw) => raw.clone(),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Node::in_any_order).collect();
                format!("[{}]", items.join(","))
            }
            Value::Map(members) => {
                let mut members: Vec<String> = members
                    .iter()
                    .map(|member| format!("{:?}:{}", member.key, member.node.in_any_order()))
                    .collect();
                members.sort();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// The same without places, as what an edit must leave alone.
    pub(super) fn plain(&self) -> Plain {
        match &self.value {
            Value::Map(members) => Plain::Map(
                members
                    .iter()
                    .map(|member| (member.key.clone(), member.node.plain()))
                    .collect(),
            ),
            Value::List(items) => Plain::List(items.iter().map(Node::plain).collect()),
            Value::Text(text) => Plain::Text(text.clone()),
            Value::Other(raw) | Value::Half(raw) => Plain::Other(raw.clone()),
        }
    }
}

impl fmt::Debug for Node {
    /// Shows no text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?}, {:?})", self.style, self.span)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Map(_) => "Map",
            Value::List(_) => "List",
            Value::Text(_) => "Text",
            Value::Other(_) => "Other",
            Value::Half(_) => "Half",
        })
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({:?}, {:?})", self.key, self.node)
    }
}

/// A value apart from how and where it is written.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Plain {
    /// Members in order.
    Map(Vec<(String, Plain)>),
    /// Items in order.
    List(Vec<Plain>),
    /// A text.
    Text(String),
    /// A number, a word of the grammar or a text with half a character, as it is written.
    Other(String),
}

impl Plain {
    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Plain::Text(text.to_owned())
    }

    /// The value at the end of a path.
    pub(super) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Plain> {
        path.iter()
            .try_fold(self, |value, step| match (value, step) {
                (Plain::Map(members), Step::Key(key)) => {
                    let found = members.iter_mut().rev().find(|(name, _)| name == key);
                    found.map(|(_, value)| value)
                }
                (Plain::List(items), Step::Index(index)) => items.get_mut(*index),
                _ => None,
            })
    }
}

impl fmt::Debug for Plain {
    /// Shows no text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plain::Map(members) => f
                .debug_map()
                .entries(members.iter().map(|(key, value)| (key, value)))
                .finish(),
            Plain::List(items) => f.debug_list().entries(items).finish(),
            Plain::Text(_) => f.write_str("text"),
            Plain::Other(_) => f.write_str("other"),
        }
    }
}
