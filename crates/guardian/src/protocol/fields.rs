//! Messages as lists of fields.
//!
//! **Invariant:** what [`Writer`] wrote, [`Fields`] reads back byte for byte; no value
//! can smuggle in another field, because none may contain the NUL that ends it.

use std::error::Error;
use std::fmt;
use std::str::{self, FromStr};

/// The longest message without its head, in bytes; twice what Linux lets a program
/// start with.
pub const BODY_LEN_MAX: usize = 4 << 20;

const HEAD_LEN: usize = 4;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// More than [`BODY_LEN_MAX`] bytes.
    TooLong,
    /// The last field is not ended.
    Unended,
    /// A field is not of the form `key=value`.
    NoKey,
    /// A required field is not there.
    Missing(&'static str),
    /// A field that may be there once is there twice.
    Repeated(&'static str),
    /// A field has a value that it cannot have.
    Invalid(&'static str),
    /// A value to be sent has a NUL in it.
    HasNul(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::TooLong => write!(f, "message longer than {BODY_LEN_MAX} bytes"),
            Malformed::Unended => write!(f, "last field not ended"),
            Malformed::NoKey => write!(f, "field without a key"),
            Malformed::Missing(key) => write!(f, "field `{key}` missing"),
            Malformed::Repeated(key) => write!(f, "field `{key}` repeated"),
            Malformed::Invalid(key) => write!(f, "field `{key}` invalid"),
            Malformed::HasNul(key) => write!(f, "NUL in field `{key}`"),
        }
    }
}

impl Error for Malformed {}

/// A message being written.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer {
            bytes: vec![0; HEAD_LEN],
        }
    }

    pub(super) fn put(&mut self, key: &'static str, value: &[u8]) -> Result<(), Malformed> {
        if value.contains(&0) {
            return Err(Malformed::HasNul(key));
        }
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
        Ok(())
    }

    pub(super) fn put_number(
        &mut self,
        key: &'static str,
        value: &impl ToString,
    ) -> Result<(), Malformed> {
        self.put(key, value.to_string().as_bytes())
    }

    /// Puts `NAME=VALUE`; a name cannot be empty or contain `=`.
    pub(super) fn put_pair(
        &mut self,
        key: &'static str,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Malformed> {
        if name.is_empty() || name.contains(&b'=') {
            return Err(Malformed::Invalid(key));
        }
        self.put(key, &[name, b"=", value].concat())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, Malformed> {
        let len = self.bytes.len() - HEAD_LEN;
        let head = u32::try_from(len)
            .ok()
            .filter(|_| len <= BODY_LEN_MAX)
            .ok_or(Malformed::TooLong)?;
        self.bytes[..HEAD_LEN].copy_from_slice(&head.to_le_bytes());
        Ok(self.bytes)
    }
}

/// The fields of a message that was received, in their order.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// The first message in `bytes` and its length with its head; `None` if it is not
    /// all there yet.
    pub(super) fn first_in(bytes: &'a [u8]) -> Result<Option<(Fields<'a>, usize)>, Malformed> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_le_bytes(*head)).map_err(|_| Malformed::TooLong)?;
        if len > BODY_LEN_MAX {
            return Err(Malformed::TooLong);
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        Ok(Some((Fields::parse(body)?, HEAD_LEN + len)))
    }

    fn parse(body: &'a [u8]) -> Result<Fields<'a>, Malformed> {
        let Some((last, ended)) = body.split_last() else {
            return Ok(Fields { fields: Vec::new() });
        };
        if *last != 0 {
            return Err(Malformed::Unended);
        }
        let fields = ended.split(|byte| *byte == 0).map(|field| {
            let split = field
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or(Malformed::NoKey)?;
            Ok((&field[..split], &field[split + 1..]))
        });
        Ok(Fields {
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    /// All values of a key that may be repeated.
    pub(super) fn all(&self, key: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(name, _)| *name == key.as_bytes())
            .map(|(_, value)| *value)
    }

    pub(super) fn one(&self, key: &'static str) -> Result<&'a [u8], Malformed> {
        let mut values = self.all(key);
        let value = values.next().ok_or(Malformed::Missing(key))?;
        match values.next() {
            Some(_) => Err(Malformed::Repeated(key)),
            None => Ok(value),
        }
    }

    pub(super) fn text(&self, key: &'static str) -> Result<&'a str, Malformed> {
        str::from_utf8(self.one(key)?).map_err(|_| Malformed::Invalid(key))
    }

    pub(super) fn number<N: FromStr>(&self, key: &'static str) -> Result<N, Malformed> {
        self.text(key)?.parse().map_err(|_| Malformed::Invalid(key))
    }

    pub(super) fn optional<N: FromStr>(&self, key: &'static str) -> Result<Option<N>, Malformed> {
        match self.number(key) {
            Ok(number) => Ok(Some(number)),
            Err(Malformed::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
