//! Extended attributes that people and their programs give to a file, such as notes and tags.
//!
//! A file in its place has them as well. Those of the system are none of ours: it gives a new file its own.

use std::{fs::File, io};

use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr},
    io::Errno,
};

/// What the names of a user's own begin with on Linux.
const OF_USERS: &[u8] = b"user.";

/// What the names of macOS itself begin with: where a file has come from, which programs were let in, a
/// compressed content. Some of them nobody can write, nor read, so a copy fails; none is to be copied.
const OF_MAC: &[u8] = b"com.apple.";

/// Among those, what people give to a file in the Finder: tags, comments, colours.
const OF_FINDER: [&[u8]; 2] = [b"com.apple.metadata:", b"com.apple.FinderInfo"];

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
        let own = own.filter(|name| !name.is_empty() && is_own(name, cfg!(target_os = "linux")));
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

/// Whether an attribute of this name is a user's own, on Linux or elsewhere.
fn is_own(name: &[u8], is_linux: bool) -> bool {
    if is_linux {
        return name.starts_with(OF_USERS);
    }
    !name.starts_with(OF_MAC)
        || OF_FINDER
            .iter()
            .any(|of_finder| name.starts_with(of_finder))
}

/// All that there is to read.
fn whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; BYTES_MAX];
    let length = read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::Original, *};

    #[test]
    fn what_the_system_gives_to_a_file_is_not_a_user_s_own() {
        for (name, on_linux, on_mac) in [
            ("user.note", true, true),
            ("security.selinux", false, true),
            ("com.example.note", false, true),
            ("com.apple.metadata:_kMDItemUserTags", false, true),
            ("com.apple.FinderInfo", false, true),
            ("com.apple.provenance", false, false),
            ("com.apple.quarantine", false, false),
            ("com.apple.macl", false, false),
            ("com.apple.lastuseddate#PS", false, false),
        ] {
            assert_eq!(is_own(name.as_bytes(), true), on_linux, "{name}");
            assert_eq!(is_own(name.as_bytes(), false), on_mac, "{name}");
        }
    }

    #[test]
    fn one_that_cannot_be_given_leaves_the_file_as_it_is_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let mut original = Original::read(&path).unwrap().unwrap();
        // There are no attributes of this kind.
        let nobody_s = (b"nobody-s.note".to_vec(), b"x".to_vec());
        original.attributes.0.push(nobody_s);
        original.replace(b"new").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
