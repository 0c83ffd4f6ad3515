//! The grammars of clients' files: read into one kind of tree, and edited by span.

mod halves;
mod json;
mod splice;
mod toml;
mod yaml;

use std::fmt;

use thiserror::Error;

pub(super) use self::toml::comment_behind;
use super::tree::{Node, Plain, Step};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// JSON as the standard has it: a client that reads it so would lose a file with a comment in it.
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    /// TOML.
    Toml,
    /// One document of YAML.
    Yaml,
}

/// Why a text is not of its grammar.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// A text that is written somewhere.
#[derive(Clone, PartialEq, Eq)]
pub enum Word {
    /// As it is best written.
    New(String),
    /// As it is written elsewhere, with the quotes and escapes that it has there.
    Copied {
        /// The text.
        text: String,
        /// Where it is written.
        from: Vec<Step>,
    },
}

impl Word {
    /// What it says.
    pub fn text(&self) -> &str {
        match self {
            Word::New(text) | Word::Copied { text, .. } => text,
        }
    }

    /// How it is written elsewhere, if it is and can be copied.
    pub(super) fn copied<'t>(&self, text: &'t str, tree: &Node) -> Option<&'t str> {
        let Word::Copied { text: says, from } = self else {
            return None;
        };
        let node = splice::node_at(tree, from)?;
        let is_same = node.text() == Some(says);
        is_same.then_some(&text[splice::text_span(node)?])
    }
}

/// A value that comes into a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Added {
    /// A list of texts.
    Texts(Vec<Word>),
    /// A text.
    Text(String),
    /// No truth.
    False,
    /// What another file says.
    Value {
        /// It.
        value: Node,
        /// How it is written there, if that can be written here.
        written: Option<String>,
        /// Comments that stand behind what it comes behind, and belong to it or to what follows;
        /// in TOML alone.
        comments: Vec<String>,
    },
}

impl Added {
    /// What it says.
    fn plain(&self) -> Plain {
        match self {
            Added::Texts(texts) => {
                Plain::List(texts.iter().map(|word| Plain::text(word.text())).collect())
            }
            Added::Text(text) => Plain::text(text),
            Added::False => Plain::Other("false".to_owned()),
            Added::Value { value, .. } => value.plain(),
        }
    }
}

/// One change of what a file says.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Another text in the place of a text.
    SetText {
        /// The text.
        at: Vec<Step>,
        /// What it says then.
        text: Word,
    },
    /// Texts before the first item of a list.
    Prepend {
        /// The list.
        at: Vec<Step>,
        /// What comes first then.
        texts: Vec<Word>,
    },
    /// A list without its first items.
    DropFirst {
        /// The list.
        at: Vec<Step>,
        /// How many go.
        count: usize,
    },
    /// One more member behind another.
    Insert {
        /// The map.
        at: Vec<Step>,
        /// The member that it follows.
        after: String,
        /// Its name.
        key: String,
        /// What it says.
        value: Added,
    },
    /// One more member at the end of a map; in JSON alone.
    Put {
        /// The map.
        at: Vec<Step>,
        /// Its name.
        key: String,
        /// What it says; where it stands does not matter.
        value: Node,
    },
    /// Another member in the place of one.
    Replace {
        /// The map.
        at: Vec<Step>,
        /// The member that goes.
        from: String,
        /// The name of the one that comes.
        to: String,
        /// What it says.
        value: Added,
    },
    /// A map without a member.
    Remove {
        /// The map.
        at: Vec<Step>,
        /// The member.
        key: String,
    },
}

/// Why a text was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// It is not of its grammar.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// What is to be changed is written in a way that only a person can change.
    #[error("`{}` is written in a way that only a person can change", Pointer(.at))]
    ByHand {
        /// Where.
        at: Vec<Step>,
    },
}

/// A path in the words of a person.
#[derive(Clone, Copy, Debug)]
pub struct Pointer<'a>(pub &'a [Step]);

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if number == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What an editor hands over of one change: bytes, and what stands there then.
pub(super) type Splice = (std::ops::Range<usize>, String);

const BOM: char = '\u{feff}';

impl Grammar {
    /// What a text says. An empty one says nothing, whatever its grammar.
    pub fn read(self, text: &str) -> Result<Node, Unreadable> {
        let body = text.strip_prefix(BOM).unwrap_or(text);
        match self {
            Grammar::Json | Grammar::Jsonc => json::read(body, self),
            Grammar::Toml => toml::read(body),
            Grammar::Yaml => yaml::read(body),
        }
    }

    /// The text with these changes, and not a byte changed elsewhere.
    ///
    /// What is returned has been read again and says what it said, but for the changes.
    pub fn edit(self, text: &str, changes: &[Change]) -> Result<String, EditError> {
        let body = text.strip_prefix(BOM).unwrap_or(text);
        let mut edited = body.to_owned();
        let mut left = changes;
        while !left.is_empty() {
            let tree = self.read(&edited)?;
            let (taken, splices) = self.splices_of_first(&edited, &tree, left)?;
            let mut meant = tree.plain();
            for change in &left[..taken] {
                change.apply(&mut meant).ok_or_else(|| change.by_hand())?;
            }
            let next = splice::apply(&edited, splices);
            let says = self.read(&next).map(|tree| tree.plain());
            if says.as_ref() != Ok(&meant) {
                return Err(left[0].by_hand());
            }
            edited = next;
            left = &left[taken..];
        }
        Ok(match text.len() - body.len() {
            0 => edited,
            _ => format!("{BOM}{edited}"),
        })
    }

    /// The splices of as many changes as do not touch each other.
    fn splices_of_first(
        self,
        text: &str,
        tree: &Node,
        changes: &[Change],
    ) -> Result<(usize, Vec<Splice>), EditError> {
        let mut all: Vec<Splice> = Vec::new();
        for (number, change) in changes.iter().enumerate() {
            let splice = match self {
                Grammar::Json | Grammar::Jsonc => json::splice(text, tree, change),
                Grammar::Toml => toml::splice(text, tree, change),
                Grammar::Yaml => yaml::splice(text, tree, change),
            };
            let touches = |splice: &Splice| {
                all.iter()
                    .any(|(span, _)| span.start <= splice.0.end && splice.0.start <= span.end)
            };
            match splice {
                Some(splice) if number == 0 || !touches(&splice) => all.push(splice),
                // It may be another matter when the changes before it are made.
                Some(_) | None if number > 0 => return Ok((number, all)),
                Some(_) | None => return Err(change.by_hand()),
            }
        }
        Ok((changes.len(), all))
    }

    /// The end of a line, in files like this one.
    pub(super) fn newline(text: &str) -> &'static str {
        if text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

impl Change {
    fn at(&self) -> &[Step] {
        match self {
            Change::SetText { at, .. }
            | Change::Prepend { at, .. }
            | Change::DropFirst { at, .. }
            | Change::Insert { at, .. }
            | Change::Put { at, .. }
            | Change::Replace { at, .. }
            | Change::Remove { at, .. } => at,
        }
    }

    fn by_hand(&self) -> EditError {
        EditError::ByHand {
            at: self.at().to_vec(),
        }
    }

    /// Makes the change where nothing is written; `None` if there is nothing to change.
    fn apply(&self, root: &mut Plain) -> Option<()> {
        let value = root.at_mut(self.at())?;
        match (self, value) {
            (Change::SetText { text, .. }, value @ Plain::Text(_)) => {
                *value = Plain::text(text.text());
            }
            (Change::Prepend { texts, .. }, Plain::List(items)) => {
                items.splice(0..0, texts.iter().map(|word| Plain::text(word.text())));
            }
            (Change::DropFirst { count, .. }, Plain::List(items)) if *count <= items.len() => {
                items.drain(..count);
            }
            (
                Change::Insert {
                    after, key, value, ..
                },
                Plain::Map(members),
            ) => {
                if members.iter().any(|(name, _)| name == key) {
                    return None;
                }
                let place = members.iter().position(|(name, _)| name == after)? + 1;
                members.insert(place, (key.clone(), value.plain()));
            }
            (Change::Put { key, value, .. }, Plain::Map(members)) => {
                if members.iter().any(|(name, _)| name == key) {
                    return None;
                }
                members.push((key.clone(), value.plain()));
            }
            (
                Change::Replace {
                    from, to, value, ..
                },
                Plain::Map(members),
            ) => {
                if from != to && members.iter().any(|(name, _)| name == to) {
                    return None;
                }
                let member = members.iter_mut().find(|(name, _)| name == from)?;
                *member = (to.clone(), value.plain());
            }
            (Change::Remove { key, .. }, Plain::Map(members)) => {
                let place = members.iter().position(|(name, _)| name == key)?;
                members.remove(place);
            }
            _ => return None,
        }
        Some(())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(***)")
    }
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Added(***)")
    }
}

impl fmt::Debug for Change {
    /// Shows no text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({})", Pointer(self.at()))
    }
}
