//! The grammar of templates.

use std::ffi::OsString;

use thiserror::Error;

use super::{Builtin, FILE, Name, Piece};

/// Where a text stops being a template, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct TemplateSyntaxError {
    /// Bytes of the text before the fault.
    pub offset: usize,
    /// What is wrong there.
    pub problem: TemplateSyntaxProblem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateSyntaxProblem {
    /// A `${` without its `}`.
    #[error("`${{` is never closed by `}}`; write `$${{` for a literal `${{`")]
    Unclosed,
    /// `${}` or `${:-...}`.
    #[error("`${{}}` names no variable")]
    NoName,
    /// What stands between the braces is no name of a variable.
    #[error(
        "{name:?} is not the name of a variable; `${{NAME}}` and `${{NAME:-default}}` are the forms that exist"
    )]
    IllegalName {
        /// What stands where the name should.
        name: String,
    },
    /// `${file:PATH}` with a path that depends on where one is.
    #[error("{path:?} is neither an absolute path nor one that begins with `~/`")]
    RelativePath {
        /// The path.
        path: String,
    },
    /// A `${` within a default.
    #[error("a default cannot contain `${{`")]
    Nested,
    /// A NUL, which neither an argument nor a variable can hold.
    #[error("a NUL character cannot be passed to a program")]
    Nul,
}

/// Cuts text into what stands for itself and what is to be filled.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, TemplateSyntaxError> {
    if let Some(offset) = text.find('\0') {
        return Err(TemplateSyntaxProblem::Nul.at(offset));
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        plain.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            plain.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let offset = text.len() - rest.len();
            let Some(length) = after.find('}') else {
                return Err(TemplateSyntaxProblem::Unclosed.at(offset));
            };
            push_plain(&mut pieces, &mut plain);
            pieces.push(hole(&after[..length], offset + "${".len())?);
            rest = &after[length + 1..];
        } else {
            plain.push('$');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    push_plain(&mut pieces, &mut plain);
    Ok(pieces)
}

/// Reads what stands between `${` and `}`; `offset` is where that begins.
fn hole(inside: &str, offset: usize) -> Result<Piece, TemplateSyntaxError> {
    if let Some(path) = inside.strip_prefix(FILE) {
        if !path.starts_with('/') && !path.starts_with("~/") {
            let path = path.to_owned();
            return Err(TemplateSyntaxProblem::RelativePath { path }.at(offset + FILE.len()));
        }
        return Ok(Piece::Hole {
            name: Name::File(inside.to_owned()),
            default: None,
        });
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inside, None),
    };
    if name.is_empty() {
        return Err(TemplateSyntaxProblem::NoName.at(offset));
    }
    if !is_variable_name(name) {
        return Err(TemplateSyntaxProblem::IllegalName {
            name: name.to_owned(),
        }
        .at(offset));
    }
    if let Some(at) = default.as_ref().and_then(|default| default.find("${")) {
        let before = name.len() + ":-".len() + at;
        return Err(TemplateSyntaxProblem::Nested.at(offset + before));
    }
    let name = match Builtin::from_name(name) {
        Some(builtin) => Name::Builtin(builtin),
        None => Name::Variable(name.to_owned()),
    };
    Ok(Piece::Hole { name, default })
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn push_plain(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(OsString::from(std::mem::take(plain))));
    }
}

impl TemplateSyntaxProblem {
    fn at(self, offset: usize) -> TemplateSyntaxError {
        TemplateSyntaxError {
            offset,
            problem: self,
        }
    }
}
