//! The grammar of a file of variables: `NAME=value`, one a line.
//!
//! Blank lines and lines that begin with `#` say nothing, and a name may stand behind `export`. A value is what
//! stands behind the `=`, without blanks around it; what is in `'…'` is taken as it is, and in `"…"` there are
//! `\n`, `\r`, `\t`, `\"`, `\\` and `\$`. A `#` within a value is a part of it, and nothing is filled in.
//!
//! **Invariant:** no error quotes anything of a value.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::Secret;

/// What is wrong with such a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct EnvFileError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: EnvFileProblem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvFileProblem {
    /// It is no text.
    #[error("this is not UTF-8")]
    NotUtf8,
    /// It has no `=`.
    #[error("a line must be `NAME=value`")]
    NoValue,
    /// What stands before the `=` cannot be a name.
    #[error("what stands before the `=` is not the name of a variable")]
    BadName,
    /// The name stands in an earlier line, too.
    #[error("`{name}` is set twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A quotation mark has no other one.
    #[error("the value of `{name}` has no closing quotation mark")]
    Unclosed {
        /// Whose value.
        name: String,
    },
    /// Something stands behind the value.
    #[error("something stands behind the quoted value of `{name}`")]
    Behind {
        /// Whose value.
        name: String,
    },
    /// A backslash with something behind it that means nothing.
    #[error("the value of `{name}` has a backslash that means nothing; write it twice")]
    Escape {
        /// Whose value.
        name: String,
    },
    /// A NUL, which no variable can hold.
    #[error("a NUL character cannot be passed to a program")]
    Nul,
}

/// Reads the variables of such a file.
pub fn parse_env_file(bytes: &[u8]) -> Result<BTreeMap<String, Secret>, EnvFileError> {
    let mut variables = BTreeMap::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let at = |problem| EnvFileError {
            line: index + 1,
            problem,
        };
        let line = str::from_utf8(line).map_err(|_| at(EnvFileProblem::NotUtf8))?;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = variable(line).map_err(at)?;
        if variables.contains_key(&name) {
            return Err(at(EnvFileProblem::Twice { name }));
        }
        variables.insert(name, Secret::new(value.into()));
    }
    Ok(variables)
}

fn variable(line: &str) -> Result<(String, String), EnvFileProblem> {
    if line.contains('\0') {
        return Err(EnvFileProblem::Nul);
    }
    let (name, value) = line.split_once('=').ok_or(EnvFileProblem::NoValue)?;
    let exported = name.strip_prefix("export");
    let exported = exported.filter(|rest| rest.starts_with([' ', '\t']));
    let name = exported.unwrap_or(name).trim();
    if !is_name(name) {
        return Err(EnvFileProblem::BadName);
    }
    let name = name.to_owned();
    let value = value.trim();
    let value = match value.chars().next() {
        Some('\'') => plain_quoted(&name, &value[1..])?,
        Some('"') => quoted(&name, &value[1..])?,
        Some(_) | None => value.to_owned(),
    };
    Ok((name, value))
}

fn is_name(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(is_part)
}

/// What stands behind a `'`, up to the other one.
fn plain_quoted(name: &str, rest: &str) -> Result<String, EnvFileProblem> {
    match rest.split_once('\'') {
        None => Err(EnvFileProblem::Unclosed { name: name.into() }),
        Some((value, "")) => Ok(value.to_owned()),
        Some((_, _behind)) => Err(EnvFileProblem::Behind { name: name.into() }),
    }
}

/// What stands behind a `"`, up to the other one.
fn quoted(name: &str, rest: &str) -> Result<String, EnvFileProblem> {
    let mut value = String::new();
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' if characters.as_str().is_empty() => return Ok(value),
            '"' => return Err(EnvFileProblem::Behind { name: name.into() }),
            '\\' => value.push(match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself @ ('"' | '\\' | '$')) => itself,
                Some(_) => return Err(EnvFileProblem::Escape { name: name.into() }),
                None => break,
            }),
            other => value.push(other),
        }
    }
    Err(EnvFileProblem::Unclosed { name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_variable() {
        let text = "# our keys\n\nA=1\n  export B = two words \nC2='$x # y'\nD=\"a\\n\\\"b\\\" \\\\ \\$\"\nE=\nF=p#a=ss\r\nexport=x\n";
        let variables = parse_env_file(text.as_bytes()).expect("parses");
        let shown: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal().to_str().expect("text")))
            .collect();
        assert_eq!(
            shown,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C2", "$x # y"),
                ("D", "a\n\"b\" \\ $"),
                ("E", ""),
                ("F", "p#a=ss"),
                ("export", "x"),
            ]
        );
        assert_eq!(format!("{variables:?}").matches("***").count(), 7);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_value() {
        for (text, line, words) in [
            ("A=1\nhunter2", 2, "a line must be"),
            ("\n\n1A=hunter2", 3, "not the name"),
            ("a b=hunter2", 1, "not the name"),
            ("=hunter2", 1, "not the name"),
            ("A=1\nA=hunter2", 2, "`A` is set twice"),
            ("A='hunter2", 1, "`A` has no closing"),
            ("A=\"hunter2\\\"", 1, "`A` has no closing"),
            ("A=\"hunter2\\", 1, "`A` has no closing"),
            ("A='x' hunter2", 1, "behind the quoted value of `A`"),
            ("A=\"x\"hunter2", 1, "behind the quoted value of `A`"),
            ("A=\"hunter2\\q\"", 1, "`A` has a backslash"),
            ("A=hunter2\0", 1, "NUL"),
        ] {
            let error = parse_env_file(text.as_bytes()).expect_err(text);
            let told = error.to_string();
            assert_eq!(error.line, line, "{text:?}");
            assert!(told.contains(words), "{text:?}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        let error = parse_env_file(b"A=1\nB=\xff\n").expect_err("no text");
        assert_eq!((error.line, error.problem), (2, EnvFileProblem::NotUtf8));
    }
}
