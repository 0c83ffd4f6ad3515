//! The first thing that is wrong with a configuration file.

use std::{fmt, path::PathBuf};

/// What is wrong, where, and what to do about it.
///
/// Shown as `config.toml:12:3: servers.github.comand: unknown key (did you mean `command`?)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The character within the line, counted from 1.
    pub column: usize,
    /// The dotted key, for example `servers.github.args[1]`; empty where the
    /// text is no TOML and so has no keys.
    pub key: String,
    /// What is wrong. Values of variables are never repeated here.
    pub message: String,
    /// What to do, where we can tell.
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}
