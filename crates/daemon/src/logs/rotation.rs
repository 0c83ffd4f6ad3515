//! A log file that is put aside when it has grown, and dropped when there are too many.
//!
//! Others may rotate it, cut it short or remove it at any time, with its folder if they like: the next
//! line goes to the file that has the name then.
//!
//! **Invariant:** no log grows beyond its share, whatever writes to it, and none has half a line of ours.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
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
    open: Option<Open>,
    /// Lines that could not be written since the last that could.
    failed: u64,
}

/// The file that is written to.
#[derive(Debug)]
struct Open {
    file: File,
    inode: Inode,
    len: u64,
}

/// Device and number.
type Inode = (u64, u64);

/// What came of a write.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// So many bytes the log grew by.
    pub(super) grown: u64,
    /// Why the lines are not in the log, if they are not.
    pub(super) trouble: Option<io::Error>,
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

    /// Appends whole lines. Those that cannot be written are counted, and the count is written when
    /// something can be.
    pub(super) fn write(&mut self, text: &[u8]) -> Written {
        let mut written = Written::default();
        let outcome = self
            .write_count(&mut written.grown)
            .and_then(|()| self.try_write(text));
        match outcome {
            Ok(()) => written.grown += text.len() as u64,
            Err(error) => {
                self.failed += lines_in(text);
                written.trouble = Some(error);
            }
        }
        written
    }

    /// Closes the file. Says whether nothing is left to be said in it.
    pub(super) fn let_go(&mut self) -> bool {
        self.open = None;
        self.failed == 0
    }

    fn write_count(&mut self, grown: &mut u64) -> io::Result<()> {
        if self.failed > 0 {
            let words = format!(
                "{} -- {} lines could not be written to this log\n",
                timestamp(),
                self.failed
            );
            self.try_write(words.as_bytes())?;
            *grown += words.len() as u64;
            self.failed = 0;
        }
        Ok(())
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        let mut open = self.current()?;
        let added = text.len() as u64;
        if open.len > 0 && open.len + added > self.bounds.file_bytes {
            drop(open);
            self.rotate();
            open = self.open()?;
        }
        if let Err(error) = open.file.write_all(text) {
            // The disk was full in the middle of a line, and the next one must not be the end of it.
            let _as_it_is = open.file.set_len(open.len);
            return Err(error);
        }
        self.open = Some(open);
        Ok(())
    }

    /// The file that has the name now.
    fn current(&mut self) -> io::Result<Open> {
        if let Some(open) = self.open.take()
            && let Ok(named) = fs::symlink_metadata(&self.path)
            && inode_of(&named) == open.inode
        {
            let len = named.len();
            return Ok(Open { len, ..open });
        }
        match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder()?;
                self.open()
            }
            other => other,
        }
    }

    fn open(&self) -> io::Result<Open> {
        // A pipe in its place would have us wait for a reader.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let (inode, len) = (inode_of(&metadata), metadata.len());
        Ok(Open { file, inode, len })
    }

    /// Somebody has removed the folder of all logs.
    fn make_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().mode(0o700).create(folder)
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

fn inode_of(metadata: &Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

/// How many lines end in this text.
pub(super) fn lines_in(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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

    fn text_of(folder: &Path) -> String {
        fs::read_to_string(folder.join("echo.log")).unwrap()
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_in_the_log_once_it_works_again() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("logs");
        // In the place of the folder.
        fs::write(&folder, "").unwrap();
        let mut log = Rotated::with_bounds(&folder, "echo", SMALL);
        assert!(log.write(b"lost\nlost\n").trouble.is_some());
        assert!(log.write(b"lost\n").trouble.is_some());
        assert!(!log.let_go());
        fs::remove_file(&folder).unwrap();
        assert!(log.write(b"kept\n").trouble.is_none());
        let text = text_of(&folder);
        assert!(
            text.ends_with("-- 3 lines could not be written to this log\nkept\n"),
            "{text}"
        );
        assert!(log.let_go());
    }

    #[test]
    fn a_log_that_is_renamed_removed_or_cut_short_by_others_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("echo.log");
        let mut log = Rotated::with_bounds(folder.path(), "echo", SMALL);
        log.write(b"first\n");
        fs::rename(&path, folder.path().join("echo.log-yesterday")).unwrap();
        log.write(b"second\n");
        assert_eq!(text_of(folder.path()), "second\n");
        fs::remove_file(&path).unwrap();
        log.write(b"third\n");
        assert_eq!(text_of(folder.path()), "third\n");
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        log.write(b"fourth\n");
        assert_eq!(text_of(folder.path()), "fourth\n");
        fs::remove_dir_all(folder.path()).unwrap();
        log.write(b"fifth\n");
        assert_eq!(text_of(folder.path()), "fifth\n");
        let mode = fs::metadata(folder.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_pipe_or_a_folder_in_the_place_of_a_log_does_not_stop_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("echo.log");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            mode,
            rustix::fs::Dev::default(),
        )
        .unwrap();
        let mut log = Rotated::with_bounds(folder.path(), "echo", SMALL);
        assert!(log.write(b"lost\n").trouble.is_some());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.write(b"lost\n").trouble.is_some());
        fs::remove_dir(&path).unwrap();
        assert!(log.write(b"kept\n").trouble.is_none());
        assert!(text_of(folder.path()).contains(" 2 lines "));
    }
}
