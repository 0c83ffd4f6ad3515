//! What was taken back lately, with the copies, in case that a client brings it back.
//!
//! A session may write its file as it had read it, long after an undo. So what was undone is
//! known for a while, in a file and a folder beside the journal: an mcpool from before this
//! leaves both alone.
//!
//! **Invariant:** it is bounded, by number and by age.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{KEPT, Row, failpoint, save};

const SCHEMA: u32 = 1;

/// How many rows are kept.
const ROWS_MAX: usize = 64;

/// The rows that were undone lately.
pub(super) struct Lately {
    file: PathBuf,
    copies: PathBuf,
    /// The oldest first. None if the file is damaged, or that of a later mcpool: it is left alone.
    rows: Option<Vec<Undone>>,
}

/// One row, and when it was undone, in seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
struct Undone {
    at: u64,
    row: Row,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    schema: u32,
    rows: Vec<Undone>,
}

impl Lately {
    pub(super) fn read(folder: &Path) -> Self {
        let file = folder.join("undone.json");
        Lately {
            rows: match fs::read_to_string(&file) {
                Ok(text) => parsed(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
                Err(_) => None,
            },
            copies: folder.join("undone"),
            file,
        }
    }

    /// The rows, oldest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten().map(|undone| &undone.row)
    }

    /// What the file of a row was before its change, if that is kept.
    pub(super) fn copy(&self, row: &Row) -> io::Result<Vec<u8>> {
        fs::read(self.copies.join(&row.before))
    }

    /// Remembers rows, with the copies that are there of what was before, and forgets what is old.
    pub(super) fn remember(
        &mut self,
        rows: Vec<Row>,
        now: u64,
        copy: impl Fn(&Row) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let Some(known) = &mut self.rows else {
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.copies)
            .with_context(|| format!("cannot make {}", self.copies.display()))?;
        for row in rows {
            let path = self.copies.join(&row.before);
            // By its content, so one that is there is the same.
            if !path.exists()
                && let Ok(bytes) = copy(&row)
            {
                save(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
            }
            known.retain(|undone| undone.row != row);
            known.push(Undone { at: now, row });
        }
        self.forget_old(now);
        self.save()
    }

    /// Forgets what is old, also on the disk.
    pub(super) fn prune(&mut self, now: u64) -> anyhow::Result<()> {
        if self.forget_old(now) {
            return self.save();
        }
        Ok(())
    }

    fn forget_old(&mut self, now: u64) -> bool {
        let Some(rows) = &mut self.rows else {
            return false;
        };
        let before = rows.len();
        rows.retain(|undone| now.saturating_sub(undone.at) < KEPT.as_secs());
        rows.drain(..rows.len().saturating_sub(ROWS_MAX));
        rows.len() < before
    }

    fn save(&self) -> anyhow::Result<()> {
        let rows = self.rows.clone().unwrap_or_default();
        let needed: BTreeSet<String> = rows.iter().map(|it| it.row.before.clone()).collect();
        let saved = Saved {
            schema: SCHEMA,
            rows,
        };
        let text = serde_json::to_string_pretty(&saved)? + "\n";
        save(&self.file, text.as_bytes())
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        let copies = fs::read_dir(&self.copies).into_iter().flatten().flatten();
        for copy in copies {
            let name = copy.file_name();
            if !name.to_str().is_some_and(|name| needed.contains(name)) {
                failpoint::step();
                fs::remove_file(copy.path())?;
            }
        }
        Ok(())
    }
}

fn parsed(text: &str) -> Option<Vec<Undone>> {
    let saved: Saved = serde_json::from_str(text).ok()?;
    (saved.schema == SCHEMA).then_some(saved.rows)
}

#[cfg(test)]
mod tests {
    use super::{super::digest, *};

    fn row(before: &[u8]) -> Row {
        Row {
            client: "codex".to_owned(),
            before: digest(before),
            ..Row::default()
        }
    }

    fn remember(lately: &mut Lately, before: &[u8], now: u64) {
        let copy = |_: &Row| Ok(before.to_vec());
        lately.remember(vec![row(before)], now, copy).unwrap();
    }

    #[test]
    fn what_was_undone_is_known_for_a_while_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let mut lately = Lately::read(folder.path());
        remember(&mut lately, b"old", 10);
        remember(&mut lately, b"new", 20);
        remember(&mut lately, b"old", 10);
        let mut lately = Lately::read(folder.path());
        assert_eq!(lately.rows().count(), 2, "the same is known once");
        assert_eq!(lately.copy(&row(b"old")).unwrap(), b"old");
        lately.prune(10 + KEPT.as_secs()).unwrap();
        let lately = Lately::read(folder.path());
        assert_eq!(lately.rows().collect::<Vec<_>>(), [&row(b"new")]);
        assert!(lately.copy(&row(b"old")).is_err(), "its copy is gone");
    }

    #[test]
    fn only_so_much_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut lately = Lately::read(folder.path());
        let all: Vec<Row> = (0..=ROWS_MAX)
            .map(|it| row(it.to_string().as_bytes()))
            .collect();
        lately
            .remember(all, 1, |row| Ok(row.before.clone().into_bytes()))
            .unwrap();
        assert_eq!(lately.rows().count(), ROWS_MAX);
        assert!(lately.copy(&row(b"0")).is_err());
        assert!(lately.copy(&row(b"1")).is_ok());
    }

    #[test]
    fn a_file_of_a_later_mcpool_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"schema": 9, "rows": []}"#;
        fs::write(folder.path().join("undone.json"), text).unwrap();
        let mut lately = Lately::read(folder.path());
        remember(&mut lately, b"one", 1);
        assert_eq!(lately.rows().count(), 0);
        let now = fs::read_to_string(folder.path().join("undone.json")).unwrap();
        assert_eq!(now, text);
    }
}
