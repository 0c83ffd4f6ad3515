//! Text that is appended to a log, as it comes, also when the log is rotated.
//!
//! **Invariant:** a file is read to its end before the next one of the same name is
//! begun, so no line is missed; between two looks the process sleeps.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use sys::changes::Changes;

/// A log that is watched.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    changes: Changes,
    open: Option<File>,
}

impl Follower {
    /// Watches the folder of a log, which need not exist yet itself.
    ///
    /// `open` is the log as far as it has been read already.
    pub(crate) fn watch(path: &Path, open: Option<File>) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        Ok(Follower {
            path: path.to_path_buf(),
            changes: Changes::of(folder)?,
            open,
        })
    }

    /// What was appended since the last time; waits until there is something.
    pub(crate) fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let text = self.news()?;
            if !text.is_empty() {
                return Ok(text);
            }
            self.changes.wait(self.open.as_ref())?;
        }
    }

    /// What there is now.
    fn news(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        if let Some(file) = &mut self.open {
            file.read_to_end(&mut text)?;
        }
        // Only what was moved away before it was read to its end is still missing.
        if self.is_another()? {
            if let Some(mut old) = self.open.take() {
                old.read_to_end(&mut text)?;
            }
            self.open = open(&self.path)?;
            if let Some(file) = &mut self.open {
                file.read_to_end(&mut text)?;
            }
        }
        Ok(text)
    }

    /// Whether the name leads to another file than the one that is open.
    fn is_another(&self) -> io::Result<bool> {
        let Some(file) = &self.open else {
            return Ok(true);
        };
        match self.path.metadata() {
            Ok(there) => Ok(there.ino() != file.metadata()?.ino()),
            // Rotated, and nothing was written since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Opens a log; `None` if it does not exist.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn lines_before_and_after_a_rotation_all_arrive_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut follower = Follower::watch(&path, None).unwrap();
        fs::write(&path, "one\n").unwrap();
        assert_eq!(follower.next().unwrap(), b"one\n");

        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"two\n").unwrap();
        fs::rename(&path, folder.path().join("x.log.1")).unwrap();
        fs::write(&path, "three\n").unwrap();
        assert_eq!(follower.next().unwrap(), b"two\nthree\n");
    }

    #[test]
    fn a_log_that_was_rotated_and_not_written_since_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(&path, "old\n").unwrap();
        let mut file = File::open(&path).unwrap();
        file.read_to_end(&mut Vec::new()).unwrap();
        let mut follower = Follower::watch(&path, Some(file)).unwrap();
        fs::rename(&path, folder.path().join("x.log.1")).unwrap();
        assert_eq!(follower.news().unwrap(), b"");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(follower.next().unwrap(), b"new\n");
    }
}
