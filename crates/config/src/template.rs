//! Values that each session completes from its own environment.
//!
//! A [`Template`] is text with holes: `${VAR}`, `${VAR:-default}`, `${file:PATH}` and our own
//! `${workspace}`, `${session}`, `${server}`. `$${` is a literal `${`; any other
//! `$` stands for itself.
//!
//! **Invariant:** a template that was parsed has only well-formed holes, so
//! resolving fails for one reason alone: something has no value, or its file gives none.

mod parse;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::Path,
    sync::Arc,
};

use thiserror::Error;

pub use parse::{TemplateSyntaxError, TemplateSyntaxProblem};

/// Text with holes, and where the user wrote it.
///
/// Two templates are equal if they say the same, wherever they were written.
#[derive(Clone)]
pub struct Template {
    pieces: Vec<Piece>,
    origin: Option<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(OsString),
    Hole { name: Name, default: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Variable(String),
    /// With the word before the path, as it was written.
    File(String),
    Builtin(Builtin),
}

/// Where a value stands in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, as the caller of [`crate::load()`] named it.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
    /// The dotted key, for example `servers.github.env.TOKEN`.
    pub key: String,
}

/// A hole that mcpool fills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builtin {
    /// `${workspace}`: the absolute path of the session's workspace.
    Workspace,
    /// `${session}`: a word that no other session has.
    Session,
    /// `${server}`: the server's name.
    Server,
}

/// What mcpool fills its own holes with, for one session.
#[derive(Clone, Copy, Debug)]
pub struct Builtins<'a> {
    /// The session's workspace; `None` for a session that is bound to none.
    pub workspace: Option<&'a Path>,
    /// The session's own word.
    pub session: &'a str,
    /// The server's name, or the label of an ad-hoc one.
    pub server: &'a str,
}

/// Where the values of holes come from that are not mcpool's own.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Where a person has to set one.
    pub whence: Whence,
    /// What is in a file, or why that is not to be had, for a person.
    pub file: &'a dyn Fn(&str) -> Result<OsString, String>,
}

/// Where a session has variables from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The environment of its client.
    Client,
    /// The file of its server alone: it has come in over HTTP or a WebSocket.
    File,
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whence::Client => "set it where the client starts",
            Whence::File => {
                "this session brings no environment, so set it in the file that `env_file` names"
            }
        })
    }
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources(..)")
    }
}

/// Something that a template names has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The session's environment lacks a variable, and there is no default.
    #[error("{}the environment variable `{name}` is not set; {whence}, or give it a default: `${{{name}:-...}}`", Lead(.origin.as_ref()))]
    Unset {
        /// The variable.
        name: String,
        /// Where it has to be set.
        whence: Whence,
        /// Where it is named, if a file names it.
        origin: Option<Origin>,
    },
    /// `${file:PATH}`, and nothing can be read there.
    #[error("{}{why}", Lead(.origin.as_ref()))]
    File {
        /// Which file, and why.
        why: String,
        /// Where it is named, if a file names it.
        origin: Option<Origin>,
    },
    /// `${workspace}` for a session that is bound to no workspace.
    #[error("{}`${{workspace}}` has no value, because this session is bound to no workspace; start the client inside a project folder, set CLAUDE_PROJECT_DIR, or connect with `--workspace DIR` (over HTTP: `?workspace=DIR` behind the URL)", Lead(.origin.as_ref()))]
    NoWorkspace {
        /// Where it is named, if a file names it.
        origin: Option<Origin>,
    },
}

impl Template {
    /// Text without holes, whatever it looks like.
    pub fn literal(text: OsString) -> Self {
        Template {
            pieces: vec![Piece::Text(text)],
            origin: None,
        }
    }

    /// Reads text with holes.
    pub fn parse(text: &str, origin: Option<Origin>) -> Result<Self, TemplateSyntaxError> {
        let pieces = parse::pieces(text)?;
        Ok(Template { pieces, origin })
    }

    /// Fills the holes for one session from its environment alone.
    pub fn resolve(
        &self,
        variable: &dyn Fn(&str) -> Option<OsString>,
        builtins: &Builtins<'_>,
    ) -> Result<OsString, TemplateError> {
        let file = |path: &str| Err(format!("the file `{path}` is not read here"));
        let sources = Sources {
            variable,
            whence: Whence::Client,
            file: &file,
        };
        self.resolve_from(&sources, builtins)
    }

    /// Fills the holes for one session.
    ///
    /// A default stands in for a
    /// variable that is unset or empty, as in a shell; one that is set but empty
    /// and has no default is an empty text.
    pub fn resolve_from(
        &self,
        sources: &Sources<'_>,
        builtins: &Builtins<'_>,
    ) -> Result<OsString, TemplateError> {
        let mut resolved = OsString::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => resolved.push(text),
                Piece::Hole { name, default } => {
                    let value = match name {
                        Name::Variable(name) => (sources.variable)(name),
                        Name::File(words) => {
                            let read = (sources.file)(path_in(words));
                            Some(read.map_err(|why| self.no_file(why))?)
                        }
                        Name::Builtin(builtin) => builtins.value(*builtin).map(OsStr::to_owned),
                    };
                    match (value, default) {
                        (Some(value), None) => resolved.push(value),
                        (Some(value), Some(_)) if !value.is_empty() => resolved.push(value),
                        (Some(_) | None, Some(default)) => resolved.push(default),
                        (None, None) => return Err(self.no_value(name, sources.whence)),
                    }
                }
            }
        }
        Ok(resolved)
    }

    /// The environment variables that the template names, in order of appearance.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(|name| match name {
            Name::Variable(name) => Some(name.as_str()),
            Name::File(_) | Name::Builtin(_) => None,
        })
    }

    /// The holes that mcpool fills itself, in order of appearance.
    pub fn builtins(&self) -> impl Iterator<Item = Builtin> {
        self.names().filter_map(|name| match name {
            Name::Variable(_) | Name::File(_) => None,
            Name::Builtin(builtin) => Some(*builtin),
        })
    }

    /// Where the user wrote it; `None` if it is not from a file.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The text as the user wrote it, holes unfilled, for a person to read.
    ///
    /// It may hold a secret that was written out; do not log it.
    pub fn as_written(&self) -> String {
        let mut written = String::new();
        for piece in &self.pieces {
            match piece {
                // What came from a command line has no escapes to put back.
                Piece::Text(text) if self.origin.is_none() => {
                    written.push_str(&text.to_string_lossy());
                }
                Piece::Text(text) => {
                    written.push_str(&text.to_string_lossy().replace("${", "$${"));
                }
                Piece::Hole {
                    name,
                    default: None,
                } => {
                    written.extend(["${", name.as_str(), "}"]);
                }
                Piece::Hole {
                    name,
                    default: Some(default),
                } => {
                    written.extend(["${", name.as_str(), ":-", default, "}"]);
                }
            }
        }
        written
    }

    fn names(&self) -> impl Iterator<Item = &Name> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Hole { name, default: _ } => Some(name),
        })
    }

    fn no_file(&self, why: String) -> TemplateError {
        let origin = self.origin.clone();
        TemplateError::File { why, origin }
    }

    fn no_value(&self, name: &Name, whence: Whence) -> TemplateError {
        let origin = self.origin.clone();
        match name {
            Name::Variable(name) => TemplateError::Unset {
                name: name.clone(),
                whence,
                origin,
            },
            // The others always have one.
            Name::File(_)
            | Name::Builtin(Builtin::Workspace | Builtin::Session | Builtin::Server) => {
                TemplateError::NoWorkspace { origin }
            }
        }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.pieces == other.pieces
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    /// Names the holes and hides the text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(")?;
        for piece in &self.pieces {
            match piece {
                Piece::Text(_) => f.write_str("***")?,
                Piece::Hole { name, default: _ } => write!(f, "${{{}}}", name.as_str())?,
            }
        }
        f.write_str(")")
    }
}

/// What stands before a path between braces.
const FILE: &str = "file:";

fn path_in(words: &str) -> &str {
    words.strip_prefix(FILE).unwrap_or(words)
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Name::Variable(name) | Name::File(name) => name,
            Name::Builtin(builtin) => builtin.as_str(),
        }
    }
}

impl Builtin {
    /// The word between the braces.
    pub fn as_str(self) -> &'static str {
        match self {
            Builtin::Workspace => "workspace",
            Builtin::Session => "session",
            Builtin::Server => "server",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Builtin::Workspace, Builtin::Session, Builtin::Server]
            .into_iter()
            .find(|builtin| builtin.as_str() == name)
    }
}

impl Builtins<'_> {
    fn value(&self, builtin: Builtin) -> Option<&OsStr> {
        match builtin {
            Builtin::Workspace => self.workspace.map(Path::as_os_str),
            Builtin::Session => Some(OsStr::new(self.session)),
            Builtin::Server => Some(OsStr::new(self.server)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.key)
    }
}

/// Begins a message with the place that it is about, where there is one.
struct Lead<'a>(Option<&'a Origin>);

impl fmt::Display for Lead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(origin) => write!(f, "{origin}: "),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
