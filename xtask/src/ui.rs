//! The only place of this program that prints.

use std::io::{self, Write as _};

/// One line for the person who watches.
///
/// A reader that went away (`| head`) is no reason to fail.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// The headline of a part of a longer run.
pub(crate) fn part(text: impl AsRef<str>) {
    line(format!("\n== {}", text.as_ref()));
}

/// What goes on in a run of which the output is for another program to read.
pub(crate) fn progress(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}
