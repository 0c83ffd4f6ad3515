//! Names of servers.
//!
//! **Invariant:** a [`ServerName`] is a safe file name and a safe word on one
//! line: names of log files and lines of `status` are made from it unescaped.

use std::{borrow::Borrow, fmt, str::FromStr};

use thiserror::Error;

/// Most characters a name may have.
const LENGTH_MAX: usize = 64;

/// The name of a configured server: `[A-Za-z0-9._-]{1,64}`, but neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(String);

/// Why a text is not a [`ServerName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServerNameError {
    /// The text is empty.
    #[error("a server needs a name of at least one character")]
    Empty,
    /// The text is longer than 64 characters.
    #[error("a server's name has at most {LENGTH_MAX} characters, this one has {length}")]
    TooLong {
        /// Characters in the text.
        length: usize,
    },
    /// The text holds a character that names may not have.
    #[error(
        "a server's name is made of letters, digits, `.`, `_` and `-`, but character {position} is {character:?}"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Which character of the text it is, counted from 1.
        position: usize,
    },
    /// The text is `.` or `..`, which name folders.
    #[error("`{name}` names a folder, not a server")]
    Folder {
        /// The text itself.
        name: &'static str,
    },
}

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ServerNameError::Empty);
        }
        let offender = text.chars().enumerate().find(|(_, character)| {
            !(character.is_ascii_alphanumeric() || "._-".contains(*character))
        });
        if let Some((index, character)) = offender {
            return Err(ServerNameError::Character {
                character,
                position: index + 1,
            });
        }
        if text.len() > LENGTH_MAX {
            return Err(ServerNameError::TooLong { length: text.len() });
        }
        match text {
            "." => Err(ServerNameError::Folder { name: "." }),
            ".." => Err(ServerNameError::Folder { name: ".." }),
            text => Ok(ServerName(text.to_owned())),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_letters_digits_dots_dashes_and_underscores_are_accepted() {
        let longest = "x".repeat(LENGTH_MAX);
        for name in [
            "a", "GitHub", "a.b", "a-b_c.9", "...", ".hidden", "-", &longest,
        ] {
            assert_eq!(name.parse::<ServerName>().expect(name).as_str(), name);
        }
    }

    #[test]
    fn a_refused_name_says_what_is_wrong_with_it() {
        let too_long = "x".repeat(LENGTH_MAX + 1);
        let cases = [
            ("", "a server needs a name of at least one character"),
            (
                "a/b",
                "a server's name is made of letters, digits, `.`, `_` and `-`, but character 2 is '/'",
            ),
            (
                "über",
                "a server's name is made of letters, digits, `.`, `_` and `-`, but character 1 is 'ü'",
            ),
            (
                "a\nb",
                "a server's name is made of letters, digits, `.`, `_` and `-`, but character 2 is '\\n'",
            ),
            ("..", "`..` names a folder, not a server"),
            (".", "`.` names a folder, not a server"),
            (
                too_long.as_str(),
                "a server's name has at most 64 characters, this one has 65",
            ),
        ];
        for (name, message) in cases {
            assert_eq!(
                name.parse::<ServerName>().expect_err(name).to_string(),
                message
            );
        }
    }
}
