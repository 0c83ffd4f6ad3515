//! The folder of the rows: a file for each.
//!
//! **Invariant:** a file is there whole or not at all, for its owner alone, and there are never more than may be.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    KeptSession, Lasting,
    row::{Row, name},
};
use crate::{
    files::{remove, replace, replace_lastingly},
    front::Key,
    kept_words::wall_clock,
    observe,
};

/// Files that there may be; then those go that were not heard of for longest.
const FILES_MAX: usize = 32_768;

/// How many go then at once.
const PRUNED: usize = 1024;

/// How old one becomes that nobody comes for.
const AGE_MAX: Duration = Duration::from_hours(90 * 24);

/// Bytes that one may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder, as far as it was used yet.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files_max: usize,
    /// Files in it, once somebody has counted them.
    count: Option<usize>,
    /// Whether it was told already that something cannot be written.
    has_complained: bool,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Folder {
            path,
            files_max: FILES_MAX,
            count: None,
            has_complained: false,
        }
    }

    #[cfg(test)]
    pub(super) fn of_at_most(path: PathBuf, files_max: usize) -> Self {
        Folder {
            files_max,
            ..Folder::new(path)
        }
    }

    pub(super) fn put(&mut self, key: Key, row: &Row, lasting: Lasting) {
        if let Err(error) = self.try_put(key, row, lasting) {
            if !self.has_complained {
                observe::sessions_not_kept(&self.path, &error);
            }
            self.has_complained = true;
        }
    }

    fn try_put(&mut self, key: Key, row: &Row, lasting: Lasting) -> io::Result<()> {
        let (Some(path), Some(file)) = (self.path_of(key), row.encode(key)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if file.len() as u64 > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.count()?;
        let is_new = !path.try_exists()?;
        if is_new && count >= self.files_max {
            self.prune()?;
        }
        match lasting {
            Lasting::Yes => replace_lastingly(&path, &file)?,
            Lasting::No => replace(&path, &file)?,
        }
        if is_new {
            self.count = self.count.map(|count| count + 1);
        }
        Ok(())
    }

    /// Has the names of all files on the disk as well.
    pub(super) fn sync(&self) {
        // What fails here was told when a file was written, or concerns a fall of the whole machine alone.
        let _unsynced = File::open(&self.path).and_then(|folder| folder.sync_all());
    }

    pub(super) fn look(&mut self, key: Key) -> Option<KeptSession> {
        let path = self.path_of(key)?;
        let file = File::open(&path).ok()?;
        let heard = file.metadata().and_then(|it| it.modified()).ok()?;
        let mut bytes = Vec::new();
        let mut limited = file.take(FILE_BYTES_MAX + 1);
        limited.read_to_end(&mut bytes).ok()?;
        match Row::decode(key, &bytes) {
            Ok(row) => Some(KeptSession { row, heard }),
            Err(doubt) => {
                observe::session_set_aside(&path, &doubt.to_string());
                // One that cannot be moved is not believed the next time either.
                let _stays = fs::rename(&path, path.with_extension("bad"));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        let Some(path) = self.path_of(key) else {
            return;
        };
        // It may never have been written. One that stays is of a session that is silent.
        if fs::remove_file(path).is_ok() {
            self.count = self.count.map(|count| count.saturating_sub(1));
        }
    }

    pub(super) fn date(&self, key: Key, now: SystemTime) {
        if let Some(path) = self.path_of(key) {
            // One that cannot be dated anew counts as silent sooner than it need.
            let _undated = File::open(path).and_then(|file| file.set_modified(now));
        }
    }

    fn path_of(&self, key: Key) -> Option<PathBuf> {
        Some(self.path.join(name(key)?))
    }

    /// How many files there are. At first the folder is made, or tidied.
    fn count(&mut self) -> io::Result<usize> {
        if let Some(count) = self.count {
            return Ok(count);
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let now = wall_clock();
        let mut count = 0;
        for (date, path) in self.files()? {
            if now.duration_since(date).is_ok_and(|age| age > AGE_MAX) {
                remove(&path)?;
            } else {
                count += 1;
            }
        }
        self.count = Some(count);
        Ok(count)
    }

    /// Removes those that were not heard of for longest.
    fn prune(&mut self) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort();
        let left = self
            .files_max
            .saturating_sub(PRUNED.min(self.files_max / 2 + 1));
        let surplus = files.len().saturating_sub(left);
        for (_, path) in files.iter().take(surplus) {
            remove(path)?;
        }
        self.count = Some(files.len() - surplus);
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(SystemTime, PathBuf)>> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            files.push((file.metadata()?.modified()?, file.path()));
        }
        Ok(files)
    }
}
