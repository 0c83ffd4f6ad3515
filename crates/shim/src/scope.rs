//! How widely an upstream is shared, as a user says it.

use std::{fmt, str::FromStr};

/// The four words of `--scope` and of the configuration's `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// mcpool chooses, and `status` says why.
    Auto,
    /// One upstream for all sessions.
    Global,
    /// One upstream per workspace.
    Workspace,
    /// One upstream per session.
    Session,
}

impl Scope {
    /// All of them, in the order in which help texts name them.
    pub const ALL: [Scope; 4] = [Scope::Auto, Scope::Global, Scope::Workspace, Scope::Session];

    /// The word that stands for it everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Auto => "auto",
            Scope::Global => "global",
            Scope::Workspace => "workspace",
            Scope::Session => "session",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The word is none of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.word() == word)
            .ok_or(UnknownScope)
    }
}
