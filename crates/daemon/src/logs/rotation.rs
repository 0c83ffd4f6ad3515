//! A log file that is put aside when it has grown, and dropped when there are too many.
//!
//! **Invariant:** no log grows beyond its share, whatever writes to it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::timestamp;

/// How large a log may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one file.
    pub(super) file_bytes: u64,
    /// Files of one log, the current one included.
    pub(super) files: u32,
}

const BOUNDS: Bounds = Bounds {
    file_bytes: 10 << 20,
    files: 5,
};

/// `NAME.log`, with older ones in `NAME.log.1` and so on.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    bounds: Bounds,
    /// The open file and its length.
    open: Option<(File, u64)>,
    /// Writes that failed since the last one that did not.
    failed: u64,
}

impl Rotated {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Rotated::with_bounds(folder, name, BOUNDS)
    }

    pub(super) fn with_bounds(folder: &Path, name: &str, bounds: Bounds) -> Self {
        Rotated {
            path: folder.join(format!("{name}.log")),
            bounds,
            open: None,
            failed: 0,
        }
    }

    /// Appends, and says by how many bytes the log grew; what cannot be written is counted, and the count
    /// is written when it can be.
    pub(super) fn write(&mut self, text: &[u8]) -> u64 {
        let mut grown = 0;
        if self.failed > 0 {
            let words = format!(
                "{} -- {} writes to this log failed\n",
                timestamp(),
                self.failed
            );
            if self.try_write(words.as_bytes()).is_err() {
                self.failed += 1;
                return grown;
            }
            grown += words.len() as u64;
            self.failed = 0;
        }
        if self.try_write(text).is_ok() {
            grown += text.len() as u64;
        } else {
            self.failed += 1;
            // It may have been taken away under us; the next write opens it anew.
            self.open = None;
        }
        grown
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        let (mut file, mut len) = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let added = text.len() as u64;
        if len > 0 && len + added > self.bounds.file_bytes {
            drop(file);
            self.rotate();
            (file, len) = self.open()?;
        }
        file.write_all(text)?;
        self.open = Some((file, len + added));
        Ok(())
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    /// Numbers the files one up, and drops the last.
    fn rotate(&self) {
        let numbered = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        // A file that is not there has nothing to be moved.
        for number in (1..self.bounds.files.saturating_sub(1)).rev() {
            let _absent = fs::rename(numbered(number), numbered(number + 1));
        }
        let _absent = fs::rename(&self.path, numbered(1));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const SMALL: Bounds = Bounds {
        file_bytes: 100,
        files: 3,
    };

    fn write_lines(log: &mut Rotated, count: usize) {
        for number in 0..count {
            log.write(format!("line {number:04}\n").as_bytes());
        }
    }

    #[test]
    fn a_log_keeps_its_newest_lines_in_so_many_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Rotated::with_bounds(folder.path(), "echo", SMALL);
        write_lines(&mut log, 1000);
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["echo.log", "echo.log.1", "echo.log.2"]);
        let newest = fs::read_to_string(folder.path().join("echo.log")).unwrap();
        assert!(newest.ends_with("line 0999\n"), "{newest}");
        for name in names {
            let len = fs::metadata(folder.path().join(&name)).unwrap().len();
            assert!(len <= SMALL.file_bytes, "{name} has {len} bytes");
        }
    }

    #[test]
    fn logs_are_for_their_owner_alone_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Rotated::with_bounds(folder.path(), "echo", SMALL);
        log.write(b"x\n");
        let mode = fs::metadata(folder.path().join("echo.log")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);

        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("trap.log")).unwrap();
        Rotated::with_bounds(folder.path(), "trap", SMALL).write(b"x\n");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn writes_that_failed_are_counted_in_the_log_once_it_works_again() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("logs");
        let mut log = Rotated::with_bounds(&folder, "echo", SMALL);
        log.write(b"lost\n");
        log.write(b"lost\n");
        fs::create_dir(&folder).unwrap();
        log.write(b"kept\n");
        let text = fs::read_to_string(folder.join("echo.log")).unwrap();
        assert!(
            text.ends_with("-- 2 writes to this log failed\nkept\n"),
            "{text}"
        );
    }
}
