//! Programs that tests put somewhere, to be executed there.
//!
//! Nobody can execute a file that somebody has open for writing, and whatever this process has open, a child that
//! another test starts just then has as well until it executes something itself. So other processes write them.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Copies a program to a place.
#[track_caller]
pub(crate) fn copy(program: impl AsRef<Path>, to: impl AsRef<Path>) {
    let mut copy = Command::new("cp");
    let copied = copy.arg(program.as_ref()).arg(to.as_ref()).status();
    assert!(copied.unwrap().success());
}

/// Puts a program that consists of this in a place, for its owner and all others to run.
#[track_caller]
pub(crate) fn write(place: impl AsRef<Path>, program: impl AsRef<[u8]>) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(place.as_ref())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(program.as_ref()).unwrap();
    drop(stdin);
    assert!(writer.wait().unwrap().success());
}
