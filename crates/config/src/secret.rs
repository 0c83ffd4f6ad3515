//! Values that refuse to be printed.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

/// A value that is nobody's to see but of whom it is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(OsString);

impl Secret {
    /// Takes a value that is one from now on.
    pub fn new(value: OsString) -> Self {
        Secret(value)
    }

    /// The value, for whoever it is for.
    pub fn reveal(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
