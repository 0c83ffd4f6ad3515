//! What imports have changed, and what was there before.
//!
//! A row is on disk before the file that it is about is touched, and a copy of that file
//! before the row. So whatever an import has done can be undone, wherever it was killed; a
//! row about a change that never came is recognised by the file, which is as it was.

mod clock;
mod lately;

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use config::clients::Step;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::{clock::now, lately::Lately};
use super::{failpoint, from};

const SCHEMA: u32 = 1;

/// How long is known what was undone, and what is away with its folder.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

/// The journal, open for us alone until it is dropped.
pub(crate) struct Journal {
    folder: PathBuf,
    /// Locked: one import or undo at a time.
    _lock: File,
    rows: Vec<Row>,
    lately: Lately,
}

/// One change of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The client's word.
    pub(crate) client: String,
    pub(crate) path: PathBuf,
    /// Where its client has it, if that is a link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<PathBuf>,
    /// SHA-256 of the file before and after, in hexadecimal digits.
    pub(crate) before: String,
    pub(crate) after: String,
    /// Where the changed entries stand in it.
    pub(crate) entries: Vec<Vec<SavedStep>>,
    /// Digests of what entries of our own configuration said when they were added, in their
    /// order; none in a row of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) digests: Vec<String>,
    /// Where entries stand that were not there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) added: Vec<Vec<SavedStep>>,
    /// Where what holds them begins that was not there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) made: Vec<Vec<SavedStep>>,
    /// Entries that had a command line before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<SavedUrl>,
    /// Whether there was no file before.
    #[serde(default)]
    pub(crate) is_new: bool,
    /// The mode of the file before, if the change was to make it its owner's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
    /// Since when the file is away with its folder, in seconds since 1970, if an undo has seen that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) away_since: Option<u64>,
}

/// An address in the place of a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedUrl {
    pub(crate) at: Vec<SavedStep>,
    pub(crate) url: String,
}

/// A step of a path, as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedStep {
    Key(String),
    Index(usize),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    schema: u32,
    rows: Vec<Row>,
}

impl Row {
    /// Where its client has the file, which says how it is written.
    pub(crate) fn place(&self) -> &Path {
        self.link.as_ref().unwrap_or(&self.path)
    }
}

impl From<&Step> for SavedStep {
    fn from(step: &Step) -> Self {
        match step {
            Step::Key(key) => SavedStep::Key(key.clone()),
            Step::Index(index) => SavedStep::Index(*index),
        }
    }
}

impl From<&SavedStep> for Step {
    fn from(step: &SavedStep) -> Self {
        match step {
            SavedStep::Key(key) => Step::Key(key.clone()),
            SavedStep::Index(index) => Step::Index(*index),
        }
    }
}

impl Journal {
    /// Opens the journal in the folder of the state, and waits for who has it open.
    pub(crate) fn open(state: &Path) -> anyhow::Result<Self> {
        let folder = state.join("import");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join("backups"))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let lock =
            File::open(&folder).with_context(|| format!("cannot open {}", folder.display()))?;
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", folder.display()))?;
        let rows = read(&folder.join("journal.json"))?;
        let mut lately = Lately::read(&folder);
        lately.prune(now())?;
        Ok(Journal {
            folder,
            _lock: lock,
            rows,
            lately,
        })
    }

    /// The rows of clients' files that were undone lately, oldest first.
    pub(crate) fn undone(&self) -> impl Iterator<Item = &Row> {
        self.lately.rows()
    }

    /// The rows, oldest first.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Keeps these bytes, and says in what row they are the file before the change.
    ///
    /// Whether the row is a new one: an import that was killed may have left it.
    pub(crate) fn announce(&mut self, row: Row, before: &[u8]) -> anyhow::Result<bool> {
        let backup = self.backup_path(&row.before);
        // By its content, so one that is there is the same.
        if fs::read(&backup).ok().as_deref() != Some(before) {
            save(&backup, before).with_context(|| format!("cannot write {}", backup.display()))?;
        }
        if self.rows.last() == Some(&row) {
            return Ok(false);
        }
        self.rows.push(row);
        self.save()?;
        Ok(true)
    }

    /// Takes back the newest row, whose change has not come. An older one that is the same stays:
    /// its change has.
    pub(crate) fn take_back(&mut self) -> anyhow::Result<()> {
        self.rows.pop();
        self.save_fewer()
    }

    /// What a file was before a change.
    pub(crate) fn backup(&self, row: &Row) -> anyhow::Result<Vec<u8>> {
        if row.before == digest(b"") {
            return Ok(Vec::new());
        }
        let path = self.backup_path(&row.before);
        let bytes = fs::read(&path)
            .or_else(|error| self.lately.copy(row).map_err(|_| error))
            .with_context(|| format!("cannot read {}", path.display()))?;
        if digest(&bytes) != row.before {
            bail!("{} is damaged", path.display());
        }
        Ok(bytes)
    }

    /// Keeps only these rows, and the copies that they need; of the others it is known for a
    /// while what they were, but for those of our own configuration, which nobody brings back.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(&Row) -> bool) -> anyhow::Result<()> {
        let (kept, undone): (Vec<Row>, Vec<Row>) = self.rows.drain(..).partition(is_kept);
        self.rows = kept;
        if undone.is_empty() {
            return Ok(());
        }
        let undone = undone.into_iter().filter(|row| row.client != from::OURS);
        let backups = self.folder.join("backups");
        self.lately.remember(undone.collect(), now(), |row| {
            Ok(fs::read(backups.join(&row.before))?)
        })?;
        self.save_fewer()
    }

    /// Notes that a file is away with its folder. Whether it was so for long, and is no matter of
    /// these rows any more.
    pub(crate) fn is_away_for_long(
        &mut self,
        is_meant: impl Fn(&Row) -> bool,
    ) -> anyhow::Result<bool> {
        let now = now();
        let mut rows: Vec<&mut Row> = self.rows.iter_mut().filter(|row| is_meant(row)).collect();
        let since = rows.iter().filter_map(|row| row.away_since).min();
        if since.is_some_and(|since| now.saturating_sub(since) >= KEPT.as_secs()) {
            self.keep(|row| !is_meant(row))?;
            return Ok(true);
        }
        if rows.iter().all(|row| row.away_since.is_some()) {
            return Ok(false);
        }
        for row in &mut rows {
            row.away_since = since.or(Some(now));
        }
        self.save()?;
        Ok(false)
    }

    /// Notes that a file is not away any more.
    pub(crate) fn is_back(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut is_change = false;
        for row in self.rows.iter_mut().filter(|row| row.path == path) {
            is_change |= row.away_since.take().is_some();
        }
        if is_change { self.save() } else { Ok(()) }
    }

    /// Saves the rows, and removes the copies that none of them needs.
    fn save_fewer(&self) -> anyhow::Result<()> {
        self.save()?;
        let needed: BTreeSet<&str> = self.rows.iter().map(|row| row.before.as_str()).collect();
        let backups = fs::read_dir(self.folder.join("backups"))?;
        for entry in backups.flatten() {
            let name = entry.file_name();
            if !name.to_str().is_some_and(|name| needed.contains(name)) {
                failpoint::step();
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where the bytes with this digest are kept.
    pub(crate) fn backup_path(&self, digest: &str) -> PathBuf {
        self.folder.join("backups").join(digest)
    }

    fn save(&self) -> anyhow::Result<()> {
        let saved = Saved {
            schema: SCHEMA,
            rows: self.rows.clone(),
        };
        let path = self.folder.join("journal.json");
        let text = serde_json::to_string_pretty(&saved)? + "\n";
        save(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The rows that are there, for whoever only looks.
pub(crate) fn rows(state: &Path) -> anyhow::Result<Vec<Row>> {
    read(&state.join("import/journal.json"))
}

/// Whether anything is known that was undone lately, for whoever only looks.
pub(crate) fn has_undone(state: &Path) -> bool {
    let lately = Lately::read(&state.join("import"));
    lately.rows().next().is_some()
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let saved: Saved = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; move it away", path.display()))?;
    if saved.schema != SCHEMA {
        bail!(
            "{} is of another version of mcpool (schema {})",
            path.display(),
            saved.schema
        );
    }
    Ok(saved.rows)
}

/// Writes a private file, whole or not at all.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    failpoint::step();
    // Made with mode 0600.
    let mut temporary = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    failpoint::step();
    temporary.write_all(bytes)?;
    failpoint::step();
    temporary.as_file().sync_all()?;
    failpoint::step();
    temporary.persist(path)?;
    failpoint::step();
    File::open(folder)?.sync_all()
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut digits, byte| {
            // Writing to a String does not fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn row(before: &[u8]) -> Row {
        Row {
            client: "codex".to_owned(),
            path: PathBuf::from("/home/ada/.codex/config.toml"),
            before: digest(before),
            after: digest(b"after"),
            entries: vec![vec![
                SavedStep::Key("mcp_servers".to_owned()),
                SavedStep::Index(3),
            ]],
            ..Row::default()
        }
    }

    #[test]
    fn what_was_announced_is_there_for_the_next_and_for_nobody_else() {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(state.path()).unwrap();
        journal.announce(row(b"one"), b"one").unwrap();
        journal.announce(row(b"two"), b"two").unwrap();
        drop(journal);
        let mut journal = Journal::open(state.path()).unwrap();
        assert_eq!(journal.rows(), [row(b"one"), row(b"two")]);
        assert_eq!(journal.backup(&row(b"two")).unwrap(), b"two");
        let backup = journal.backup_path(&row(b"one").before);
        let mode = fs::metadata(&backup).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        fs::write(&backup, "other").unwrap();
        assert!(journal.backup(&row(b"one")).is_err(), "damage is seen");
        journal.keep(|row| row.before == digest(b"two")).unwrap();
        assert!(!backup.exists());
        assert_eq!(journal.rows().len(), 1);
        assert_eq!(journal.undone().collect::<Vec<_>>(), [&row(b"one")]);
    }

    #[test]
    fn a_row_that_is_taken_back_leaves_an_older_one_that_is_the_same() {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(state.path()).unwrap();
        assert!(journal.announce(row(b"one"), b"one").unwrap());
        assert!(!journal.announce(row(b"one"), b"one").unwrap());
        assert!(journal.announce(row(b"two"), b"two").unwrap());
        assert!(journal.announce(row(b"one"), b"one").unwrap());
        journal.take_back().unwrap();
        assert_eq!(journal.rows(), [row(b"one"), row(b"two")]);
        assert_eq!(journal.backup(&row(b"one")).unwrap(), b"one");
    }

    #[test]
    fn the_first_journal_that_was_ever_written_can_be_read() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("import")).unwrap();
        let text = r#"{"schema": 1, "rows": [{
            "client": "claude-code", "path": "/h/.claude.json", "before": "ab", "after": "cd",
            "entries": [["mcpServers", "memory"], ["mcpServers", 0]]
        }]}"#;
        fs::write(state.path().join("import/journal.json"), text).unwrap();
        let journal = Journal::open(state.path()).unwrap();
        assert_eq!(journal.rows()[0].entries[1][1], SavedStep::Index(0));
    }

    #[test]
    fn a_damaged_or_newer_journal_is_named_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("import/journal.json");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (text, expected) in [
            ("{", "damaged"),
            (r#"{"schema": 9, "rows": []}"#, "schema 9"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Journal::open(state.path()).map(|_| ()).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
