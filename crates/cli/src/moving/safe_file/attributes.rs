//! Extended attributes that people and their programs give to a file, such as notes and tags.
//!
//! A file in its place has them as well. Those of the system are none of ours: it gives a new file its own.

use std::{fs::File, io};

use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr},
    io::Errno,
};

/// What the names of a user's own begin with; elsewhere than on Linux all are the user's.
const OWN: &[u8] = if cfg!(target_os = "linux") {
    b"user."
} else {
    b""
};

/// The most that Linux lets all names take, and any value (`xattr(7)`); what is longer is an error.
const BYTES_MAX: usize = 64 * 1024;

/// Names and values.
#[derive(Clone, Default)]
pub(super) struct Attributes(Vec<(Vec<u8>, Vec<u8>)>);

impl Attributes {
    /// Those of a file; none where its file system has no such thing.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let names = match whole(|room| flistxattr(file, room)) {
            Ok(names) => names,
            Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Attributes::default()),
            Err(errno) => return Err(errno.into()),
        };
        let own = names.split(|byte| *byte == 0);
        let own = own.filter(|name| !name.is_empty() && name.starts_with(OWN));
        let pairs = own.map(|name| {
            let value = whole(|room| fgetxattr(file, name, room))?;
            Ok((name.to_vec(), value))
        });
        pairs.collect::<io::Result<_>>().map(Attributes)
    }

    pub(super) fn give(&self, file: &File) -> io::Result<()> {
        for (name, value) in &self.0 {
            fsetxattr(file, name.as_slice(), value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

/// All that there is to read.
fn whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; BYTES_MAX];
    let length = read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}
