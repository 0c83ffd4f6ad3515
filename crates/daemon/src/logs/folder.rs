//! The folder of all logs, and the room that they have together.
//!
//! A log may hold 50 MiB, and there are as many as there ever were servers: without a bound for all of
//! them the disk would fill up slowly.
//!
//! **Invariant:** after each write all logs together are within the cap, whoever wrote them and whenever,
//! as long as nothing else writes to the folder.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Bytes of all logs together.
pub(super) const CAP: u64 = 200 << 20;

/// The part of the cap that is free after logs were dropped: else each further line would have the whole
/// folder looked through.
const FREE_SHARE: u64 = 20;

/// What is known of the folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    cap: u64,
    /// The current log that is never dropped.
    kept: OsString,
    /// Bytes in it; `None` until somebody has looked.
    bytes: Option<u64>,
}

/// One log file.
#[derive(Debug)]
struct Log {
    /// Put aside before current, then by age.
    rank: (bool, SystemTime),
    bytes: u64,
    name: OsString,
}

impl Folder {
    /// All logs but the current one of `kept` may be dropped.
    pub(super) fn new(path: &Path, cap: u64, kept: &str) -> Folder {
        Folder {
            path: path.to_path_buf(),
            cap,
            kept: format!("{kept}.log").into(),
            bytes: None,
        }
    }

    /// So many bytes were written. Names the current logs that were dropped to make room for them: they
    /// must be opened anew.
    pub(super) fn grew(&mut self, by: u64) -> BTreeSet<String> {
        match &mut self.bytes {
            Some(bytes) => *bytes += by,
            None => self.bytes = Some(self.look().iter().map(|log| log.bytes).sum()),
        }
        if self.bytes.is_some_and(|bytes| bytes > self.cap) {
            self.make_room()
        } else {
            BTreeSet::new()
        }
    }

    fn look(&self) -> Vec<Log> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let logs = entries.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let name = entry.file_name();
            let is_current = !is_aside(&name)?;
            Some(Log {
                rank: (is_current, metadata.modified().ok()?),
                bytes: metadata.len(),
                name,
            })
        });
        logs.collect()
    }

    /// Drops logs until some room is free: those put aside first, the oldest of them first.
    fn make_room(&mut self) -> BTreeSet<String> {
        let mut logs = self.look();
        logs.sort_by(|one, other| (one.rank, &one.name).cmp(&(other.rank, &other.name)));
        let mut bytes: u64 = logs.iter().map(|log| log.bytes).sum();
        let mut dropped = BTreeSet::new();
        // It is less than was thought if somebody has tidied up.
        if bytes > self.cap {
            let goal = self.cap - self.cap / FREE_SHARE;
            for log in logs.iter().filter(|log| log.name != self.kept) {
                if bytes <= goal {
                    break;
                }
                if fs::remove_file(self.path.join(&log.name)).is_ok() {
                    bytes -= log.bytes;
                    let name = log.name.to_string_lossy();
                    dropped.extend(name.strip_suffix(".log").map(str::to_owned));
                }
            }
        }
        self.bytes = Some(bytes);
        dropped
    }
}

/// Whether it is a log that was put aside: `NAME.log.1` and so on. `None` if it is no log at all.
fn is_aside(name: &OsString) -> Option<bool> {
    let name = name.to_str()?;
    if Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "log")
    {
        return Some(false);
    }
    let (_, number) = name.rsplit_once(".log.")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, bytes: usize, age_s: u64) {
        let path = folder.join(name);
        fs::write(&path, vec![b'x'; bytes]).unwrap();
        let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age_s);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(modified).unwrap();
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn logs_put_aside_go_first_and_the_oldest_of_them_before_the_others() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "a.log", 30, 90);
        write(place.path(), "a.log.1", 30, 20);
        write(place.path(), "b.log.1", 30, 40);
        write(place.path(), "notes.txt", 500, 500);
        let mut folder = Folder::new(place.path(), 80, "daemon");
        assert_eq!(folder.grew(30), BTreeSet::new());
        assert_eq!(
            names(place.path()),
            BTreeSet::from(["a.log", "a.log.1", "notes.txt"].map(str::to_owned))
        );
    }

    #[test]
    fn many_small_logs_stay_within_the_cap_too_and_those_that_went_are_named() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(place.path(), 100, "daemon");
        write(place.path(), "daemon.log", 20, 900);
        folder.grew(20);
        let mut dropped = BTreeSet::new();
        for number in 0..20 {
            write(place.path(), &format!("s{number}.log"), 10, 100 - number);
            dropped.extend(folder.grew(10));
            let bytes: u64 = folder.look().iter().map(|log| log.bytes).sum();
            assert!(bytes <= 100, "{bytes}");
        }
        assert!(place.path().join("daemon.log").exists());
        assert!(place.path().join("s19.log").exists());
        assert!(dropped.contains("s0") && !place.path().join("s0.log").exists());
    }

    #[test]
    fn what_earlier_daemons_left_counts_from_the_first_write_on() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "old.log.4", 300, 50);
        let mut folder = Folder::new(place.path(), 100, "daemon");
        write(place.path(), "new.log", 10, 0);
        folder.grew(10);
        assert_eq!(names(place.path()), BTreeSet::from(["new.log".to_owned()]));
    }
}
