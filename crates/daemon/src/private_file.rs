//! Files with secrets: read only if nobody but their user can.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// All that a file's mode says of those who are not its owner.
pub(crate) const OTHERS: u32 = 0o077;

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It cannot be opened.
    Unreadable(io::Error),
    /// It is a folder, a pipe, a device.
    NoFile,
    /// It is another user's, or others can read it.
    OfOthers,
}

/// Opens a file that its user alone can read. `flags` are those beside the usual ones.
pub(crate) fn open(path: &Path, flags: OFlags) -> Result<(File, Metadata), Unfit> {
    // Whoever opens a pipe would wait for somebody to write.
    let flags = (flags | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    let file = options.open(path).map_err(Unfit::Unreadable)?;
    let metadata = file.metadata().map_err(Unfit::Unreadable)?;
    if !metadata.is_file() {
        return Err(Unfit::NoFile);
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user || metadata.mode() & OTHERS != 0 {
        return Err(Unfit::OfOthers);
    }
    Ok((file, metadata))
}
