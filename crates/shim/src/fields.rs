//! Fields of `key=value`, each ended by a NUL, as our programs tell them each other.
//!
//! **Invariant:** values are raw bytes, and none of them contains a NUL.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

/// A value contains a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasNul;

/// Appends a field whose value is all of these parts.
pub(crate) fn write(out: &mut Vec<u8>, key: &str, parts: &[&[u8]]) -> Result<(), HasNul> {
    if parts.iter().any(|part| part.contains(&0)) {
        return Err(HasNul);
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(0);
    Ok(())
}

/// Keys and values of all fields; `None` for one without `=`. The NUL of the last one is not to be there.
pub(crate) fn read(body: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    body.split(|byte| *byte == 0).map(halves)
}

/// What stands before the first `=`, and behind it.
pub(crate) fn halves(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    split_at(bytes, memchr::memchr(b'=', bytes)?)
}

/// Splits `NAME=VALUE`; a name may begin with `=`, as the system allows.
pub(crate) fn variable(value: &[u8]) -> Option<(OsString, OsString)> {
    let equals = memchr::memchr(b'=', value.get(1..)?)? + 1;
    let (name, value) = split_at(value, equals)?;
    Some((os_string(name), os_string(value)))
}

pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_os_string()
}

/// What is before this place, and behind it.
fn split_at(bytes: &[u8], place: usize) -> Option<(&[u8], &[u8])> {
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}
