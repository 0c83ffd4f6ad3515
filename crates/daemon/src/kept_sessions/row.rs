//! The form of one row: a line of head, one of JSON, and the sum over both.
//!
//! ```text
//! mcpool session 1
//! {"session":7,"server":"…","place":{…},"caller":"same-user","workspace":"…","lines":[…]}
//! …64 digits…
//! ```
//!
//! **Invariant:** what is read back is what was written for this key, or nothing. Members are only added, each with
//! a default.

use std::{fmt, path::PathBuf, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    front::{Caller, Key, Place},
    kept_words::{from_hex, hex},
};

/// The version of the form. Files of a later one are not understood.
const FORMAT: u32 = 1;

/// How every file begins, whatever its form.
const MAGIC: &str = "mcpool session ";

/// All that hangs on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The number that the session had.
    pub(crate) session: u64,
    /// Its server by name.
    pub(crate) server: Arc<str>,
    /// Where it is at, as its URL says.
    pub(crate) place: Place,
    /// By what its client was let in.
    pub(crate) caller: Caller,
    /// Its workspace, canonical.
    pub(crate) workspace: Option<PathBuf>,
    /// What it has said that a later daemon must hear, in the order of their numbers.
    pub(crate) lines: Vec<KeptLine>,
}

/// One line of a session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLine {
    pub(crate) line: u64,
    pub(crate) was: Was,
    pub(crate) text: Arc<str>,
}

impl fmt::Debug for KeptLine {
    /// Without what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptLine({}, {:?})", self.line, self.was)
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Was {
    /// It was answered, and what it brought about holds.
    Kept,
    /// It has no answer yet, and its server may have it. What it asked for is left out.
    Open,
}

/// Why a row is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is none of ours.
    Foreign,
    /// Its form is one that is not known here.
    AnotherForm,
    /// Something of it is missing, or is not as it was written, or not for this key.
    Damaged,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Foreign => "it is no file of mcpool's",
            Doubt::AnotherForm => "it is of another version of mcpool",
            Doubt::Damaged => "it is damaged",
        })
    }
}

impl Row {
    pub(super) fn encode(&self, key: Key) -> Option<Vec<u8>> {
        let json = serde_json::to_string(self).ok()?;
        let said = format!("{MAGIC}{FORMAT}\n{json}\n");
        let sum = sum(key, b"row", said.as_bytes())?;
        let sum = hex(&sum.finalize().into_bytes());
        Some(format!("{said}{sum}\n").into_bytes())
    }

    pub(super) fn decode(key: Key, file: &[u8]) -> Result<Self, Doubt> {
        let file = str::from_utf8(file).map_err(|_| Doubt::Foreign)?;
        let rest = file.strip_prefix(MAGIC).ok_or(Doubt::Foreign)?;
        let (form, _) = rest.split_once('\n').ok_or(Doubt::Damaged)?;
        if form != FORMAT.to_string() {
            return Err(Doubt::AnotherForm);
        }
        let whole = file.strip_suffix('\n').ok_or(Doubt::Damaged)?;
        let end = whole.rfind('\n').ok_or(Doubt::Damaged)? + 1;
        let (said, digits) = whole.split_at_checked(end).ok_or(Doubt::Damaged)?;
        let expected = sum(key, b"row", said.as_bytes()).ok_or(Doubt::Damaged)?;
        let found = from_hex(digits).ok_or(Doubt::Damaged)?;
        expected.verify_slice(&found).map_err(|_| Doubt::Damaged)?;
        let json = said.lines().nth(1).ok_or(Doubt::Damaged)?;
        serde_json::from_str(json).map_err(|_| Doubt::Damaged)
    }
}

/// The name of the file of a key, from which that cannot be found out.
pub(super) fn name(key: Key) -> Option<String> {
    Some(hex(&sum(key, b"name", b"")?.finalize().into_bytes()))
}

fn sum(key: Key, what: &[u8], said: &[u8]) -> Option<Hmac<Sha256>> {
    let mut sum = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
    sum.update(what);
    sum.update(b"\n");
    sum.update(said);
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    fn key() -> Key {
        Key::parse(KEY).unwrap()
    }

    fn row() -> Row {
        let text = |text: &str| text.into();
        Row {
            session: 4_294_967_303,
            server: "memory".into(),
            place: Place {
                server: Some("memory".into()),
                workspace: Some("/home/u/wörk".into()),
                session_key: Some("a \"key\"".into()),
            },
            caller: Caller::SameUser,
            workspace: Some("/home/u/wörk".into()),
            lines: vec![
                KeptLine {
                    line: 1,
                    was: Was::Kept,
                    text: text(r#"{"jsonrpc":"2.0","id":"hello","method":"initialize"}"#),
                },
                KeptLine {
                    line: 9,
                    was: Was::Open,
                    text: text(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call"}"#),
                },
            ],
        }
    }

    #[test]
    fn a_row_of_the_first_form_can_be_read_for_ever() {
        let file = include_bytes!("fixtures/form-1");
        assert_eq!(Row::decode(key(), file), Ok(row()));
        let encoded = row().encode(key()).unwrap();
        assert_eq!(String::from_utf8(encoded).unwrap().as_bytes(), file);
        let name = name(key()).unwrap();
        assert_eq!(name, include_str!("fixtures/name-1").trim_end());
    }

    #[test]
    fn what_is_not_wholly_as_it_was_written_is_not_believed() {
        let file = row().encode(key()).unwrap();
        for len in 0..file.len() {
            Row::decode(key(), &file[..len]).unwrap_err();
        }
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            Row::decode(key(), &other).unwrap_err();
        }
        let longer = [file.as_slice(), b"\n"].concat();
        assert_eq!(Row::decode(key(), &longer), Err(Doubt::Damaged));
        let other = Key::parse(&KEY.replace('0', "1")).unwrap();
        assert_eq!(Row::decode(other, &file), Err(Doubt::Damaged));
        let later = b"mcpool session 2\nwhatever comes then";
        assert_eq!(Row::decode(key(), later), Err(Doubt::AnotherForm));
        assert_eq!(Row::decode(key(), b"{}"), Err(Doubt::Foreign));
    }

    #[test]
    fn nothing_of_a_key_is_in_what_is_written() {
        let file = String::from_utf8(row().encode(key()).unwrap()).unwrap();
        assert!(!file.contains(KEY) && !name(key()).unwrap().contains(KEY));
    }
}
