//! What happened to the server, for the test to read.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// A file that every process of the test appends whole lines to.
#[derive(Debug)]
pub(crate) struct Record {
    file: Option<File>,
}

impl Record {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = match path {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        Ok(Record { file })
    }

    /// Appends one line in one write, so that lines of several processes stay whole.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        if let Some(mut file) = self.file.as_ref() {
            // The test sees a missing line; there is nobody else to tell.
            let _ = file.write_all(format!("{what}\n").as_bytes());
        }
    }
}
