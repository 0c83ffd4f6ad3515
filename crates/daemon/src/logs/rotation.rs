//! A log file that is put aside when it has grown, and dropped when there are too many.
//!
//! **Invariant:** no log grows beyond its share, and all together stay within the cap, whatever
//! writes to them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::OFlags;

use super::timestamp;

/// How large logs may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one file.
    pub(super) file_bytes: u64,
    /// Files of one log, the current one included.
    pub(super) files: u32,
    /// Bytes of all logs in the folder.
    pub(super) folder_bytes: u64,
}

const BOUNDS: Bounds = Bounds {
    file_bytes: 10 << 20,
    files: 5,
    folder_bytes: 200 << 20,
};

/// `NAME.log`, with older ones in `NAME.log.1` and so on.
#[derive(Debug)]
pub(super) struct Rotated {
    folder: PathBuf,
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
            folder: folder.to_path_buf(),
            path: folder.join(format!("{name}.log")),
            bounds,
            open: None,
            failed: 0,
        }
    }

    /// Appends; what cannot be written is counted, and the count is written when it can be.
    pub(super) fn write(&mut self, text: &[u8]) {
        if self.failed > 0 {
            let words = format!(
                "{} -- {} writes to this log failed\n",
                timestamp(),
                self.failed
            );
            if self.try_write(words.as_bytes()).is_err() {
                self.failed += 1;
                return;
            }
            self.failed = 0;
        }
        if self.try_write(text).is_err() {
            self.failed += 1;
            // It may have been taken away under us; the next write opens it anew.
            self.open = None;
        }
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        let (mut file, len) = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        file.write_all(text)?;
        let len = len + text.len() as u64;
        if len < self.bounds.file_bytes {
            self.open = Some((file, len));
            return Ok(());
        }
        drop(file);
        self.rotate();
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

    /// Numbers the files one up, drops the last, and then whatever is oldest beyond the cap.
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
        keep_within(&self.folder, self.bounds.folder_bytes);
    }
}

/// Drops put-aside logs, the oldest first, until the folder is within the cap.
fn keep_within(folder: &Path, cap: u64) {
    let mut total = 0;
    let mut aside: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        total += metadata.len();
        let path = entry.path();
        let is_aside = path.extension().is_some_and(|ending| {
            ending
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        });
        if is_aside && let Ok(modified) = metadata.modified() {
            aside.push((modified, metadata.len(), path));
        }
    }
    aside.sort();
    for (_, len, path) in aside {
        if total <= cap {
            return;
        }
        if fs::remove_file(path).is_ok() {
            total -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const SMALL: Bounds = Bounds {
        file_bytes: 100,
        files: 3,
        folder_bytes: 450,
    };

    fn write_lines(log: &mut Rotated, count: usize) {
        for number in 0..count {
            log.write(format!("line {number:04}\n").as_bytes());
        }
    }

    fn total(folder: &Path) -> u64 {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
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
        assert_eq!(names, ["echo.log.1", "echo.log.2"]);
        let newest = fs::read_to_string(folder.path().join("echo.log.1")).unwrap();
        assert!(newest.ends_with("line 0999\n"), "{newest}");
        assert!(newest.len() <= 110);
    }

    #[test]
    fn all_logs_together_stay_within_the_cap_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d"] {
            let mut log = Rotated::with_bounds(folder.path(), name, SMALL);
            write_lines(&mut log, 100);
            assert!(total(folder.path()) <= SMALL.folder_bytes + SMALL.file_bytes);
        }
        assert!(folder.path().join("d.log.1").exists());
        assert!(!folder.path().join("a.log.1").exists());
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
