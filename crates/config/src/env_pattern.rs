//! Which variables of a session's environment go to its server.
//!
//! **Invariant:** no pattern names the whole environment. What is passed is part
//! of the share key, so a pattern of everything would share nothing and leak all.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt as _,
    str::FromStr,
};

use thiserror::Error;

/// A name of a variable, or a glob such as `AWS_*`; `*` is any text, also none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvPattern(String);

/// What `--env` says: take a variable from the caller, or set one.
#[derive(Clone, PartialEq, Eq)]
pub enum EnvArgument {
    /// `NAME` or `AWS_*`: pass what the caller has.
    Pass(EnvPattern),
    /// `NAME=VALUE`: set it, whatever the caller has.
    Set {
        /// The variable.
        name: String,
        /// Its value, taken as it is.
        value: OsString,
    },
}

/// Why a text is not an [`EnvPattern`] or an [`EnvArgument`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvPatternError {
    /// There is no name.
    #[error("the name of a variable is missing")]
    Empty,
    /// The text sets a variable where only names are meant.
    #[error("`{name}=...` sets a variable, but only the name of one to pass belongs here")]
    Value {
        /// The part before the `=`; the value is not repeated, it may be a secret.
        name: String,
    },
    /// The pattern is only stars.
    #[error(
        "`{pattern}` would pass the whole environment; name the variables, for example `AWS_*`"
    )]
    Everything {
        /// The pattern itself.
        pattern: String,
    },
    /// The name or pattern holds a character that it may not.
    #[error("{character:?} cannot stand in the name of a variable; a pattern knows only `*`")]
    Character {
        /// The first such character.
        character: char,
    },
    /// `NAME=VALUE` with a star in the name.
    #[error("`{name}` is a pattern, and a pattern cannot be set to a value")]
    PatternWithValue {
        /// The part before the `=`.
        name: String,
    },
    /// The name is not text in UTF-8.
    #[error("the name of a variable is not UTF-8")]
    NotUtf8,
}

impl EnvPattern {
    /// Whether this names the variable `name`. Case matters, as in the environment.
    pub fn matches(&self, name: &OsStr) -> bool {
        glob(self.0.as_bytes(), name.as_bytes())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvPattern {
    type Err = EnvPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((name, _)) = text.split_once('=') {
            return Err(EnvPatternError::Value {
                name: name.to_owned(),
            });
        }
        if text.is_empty() {
            return Err(EnvPatternError::Empty);
        }
        if text.bytes().all(|byte| byte == b'*') {
            return Err(EnvPatternError::Everything {
                pattern: text.to_owned(),
            });
        }
        match text
            .chars()
            .find(|character| !may_stand_in_pattern(*character))
        {
            Some(character) => Err(EnvPatternError::Character { character }),
            None => Ok(EnvPattern(text.to_owned())),
        }
    }
}

impl EnvArgument {
    /// Reads the argument of `--env`: `NAME`, `NAME=VALUE` or a pattern.
    pub fn parse(argument: &OsStr) -> Result<Self, EnvPatternError> {
        let bytes = argument.as_bytes();
        let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else {
            let text = argument.to_str().ok_or(EnvPatternError::NotUtf8)?;
            return text.parse().map(EnvArgument::Pass);
        };
        let name = str::from_utf8(&bytes[..equals]).map_err(|_| EnvPatternError::NotUtf8)?;
        if name.contains('*') {
            return Err(EnvPatternError::PatternWithValue {
                name: name.to_owned(),
            });
        }
        let EnvPattern(name) = name.parse()?;
        let value = OsStr::from_bytes(&bytes[equals + 1..]).to_owned();
        Ok(EnvArgument::Set { name, value })
    }
}

impl fmt::Debug for EnvArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvArgument::Pass(pattern) => f.debug_tuple("Pass").field(pattern).finish(),
            EnvArgument::Set { name, value: _ } => write!(f, "Set({name}=***)"),
        }
    }
}

impl fmt::Display for EnvPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn may_stand_in_pattern(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_.-*".contains(character)
}

/// Matches greedily and steps back to the last star only: linear in practice and
/// at worst the product of both lengths, so no pattern can stall its caller.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                last_star = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(byte) if *byte == name[at_name] => {
                at_pattern += 1;
                at_name += 1;
            }
            Some(_) | None => {
                let Some((star, taken_to)) = last_star else {
                    return false;
                };
                last_star = Some((star, taken_to + 1));
                at_pattern = star + 1;
                at_name = taken_to + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_its_stars_allow() {
        let cases = [
            ("TOKEN", "TOKEN", true),
            ("TOKEN", "TOKENS", false),
            ("TOKEN", "token", false),
            ("AWS_*", "AWS_REGION", true),
            ("AWS_*", "AWS_", true),
            ("AWS_*", "MY_AWS_REGION", false),
            ("*_TOKEN", "GITHUB_TOKEN", true),
            ("*_TOKEN", "GITHUB_TOKEN_FILE", false),
            ("*_API_*", "X_API_KEY", true),
            ("*_API_*", "API_KEY", false),
            ("A*B*C", "AxBxBC", true),
            ("A*B*C", "AxBxB", false),
            ("A**B", "AB", true),
        ];
        for (pattern, name, expected) in cases {
            let parsed: EnvPattern = pattern.parse().expect(pattern);
            assert_eq!(
                parsed.matches(OsStr::new(name)),
                expected,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_can_still_be_matched() {
        let pattern: EnvPattern = "AWS_*".parse().expect("pattern");
        assert!(pattern.matches(OsStr::from_bytes(b"AWS_\xff")));
    }

    #[test]
    fn a_refused_pattern_says_why_and_never_repeats_a_value() {
        let cases = [
            ("", "the name of a variable is missing"),
            (
                "TOKEN=hunter2",
                "`TOKEN=...` sets a variable, but only the name of one to pass belongs here",
            ),
            (
                "**",
                "`**` would pass the whole environment; name the variables, for example `AWS_*`",
            ),
            (
                "AWS_?",
                "'?' cannot stand in the name of a variable; a pattern knows only `*`",
            ),
            (
                "A B",
                "' ' cannot stand in the name of a variable; a pattern knows only `*`",
            ),
            (
                "${X}",
                "'$' cannot stand in the name of a variable; a pattern knows only `*`",
            ),
        ];
        for (pattern, message) in cases {
            assert_eq!(
                pattern
                    .parse::<EnvPattern>()
                    .expect_err(pattern)
                    .to_string(),
                message
            );
        }
    }

    #[test]
    fn an_argument_with_an_equals_sign_sets_and_one_without_passes() {
        let set = |name: &str, value: &[u8]| EnvArgument::Set {
            name: name.to_owned(),
            value: OsStr::from_bytes(value).to_owned(),
        };
        let parse = |argument: &[u8]| EnvArgument::parse(OsStr::from_bytes(argument));
        assert_eq!(parse(b"A=b=c"), Ok(set("A", b"b=c")));
        assert_eq!(parse(b"A="), Ok(set("A", b"")));
        assert_eq!(parse(b"A=\xff"), Ok(set("A", b"\xff")));
        assert_eq!(
            parse(b"A*"),
            Ok(EnvArgument::Pass("A*".parse().expect("pattern")))
        );
        assert_eq!(parse(b"=x"), Err(EnvPatternError::Empty));
        assert_eq!(parse(b"\xff"), Err(EnvPatternError::NotUtf8));
        assert_eq!(
            parse(b"A*=x"),
            Err(EnvPatternError::PatternWithValue {
                name: "A*".to_owned()
            })
        );
    }

    #[test]
    fn the_value_of_a_set_variable_is_not_in_debug_output() {
        let argument = EnvArgument::parse(OsStr::new("TOKEN=hunter2")).expect("argument");
        assert_eq!(format!("{argument:?}"), "Set(TOKEN=***)");
    }
}
