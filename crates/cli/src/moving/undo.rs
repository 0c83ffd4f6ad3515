//! The way back: the bytes that were there before, or, where the file has changed since,
//! our words out of the entries that have them.

use std::{fs, path::Path};

use super::{
    failpoint, from,
    journal::{Journal, Row, digest},
    release::released,
    safe_file::{Original, Replaced},
};
use crate::config_file;

const TRIES: usize = 5;

/// What came of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It is byte for byte what it was.
    Restored,
    /// It has changed since, and only what we had written went.
    Released(Released),
    /// There was nothing to take back.
    Nothing,
    /// Its folder is not there now: on a disk that is not mounted, for example.
    Away,
}

/// What came of the servers in a file that has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// Those that their client starts itself again, or that are gone from our configuration.
    pub(crate) servers: Vec<String>,
    /// Those that somebody has rewritten, which stay.
    pub(crate) kept: Vec<String>,
    /// Why what is there still of what we had written is there.
    pub(crate) stuck: Vec<String>,
    /// The addresses of ours that are named there still.
    pub(crate) named: Vec<String>,
    /// Whether the file has not changed since, and nobody has the copy of what it was.
    pub(crate) is_without_copy: bool,
}

impl Released {
    /// Whether nothing was to be done.
    fn is_nothing(&self) -> bool {
        self.servers.is_empty() && self.kept.is_empty() && self.stuck.is_empty()
    }

    /// With what came of a newer row.
    fn after(mut self, newer: Released) -> Self {
        let put = |list: &mut Vec<String>, newer: Vec<String>| {
            list.retain(|known| !newer.contains(known));
            list.splice(..0, newer);
        };
        put(&mut self.servers, newer.servers);
        put(&mut self.kept, newer.kept);
        put(&mut self.stuck, newer.stuck);
        put(&mut self.named, newer.named);
        self.is_without_copy |= newer.is_without_copy;
        self
    }
}

/// Takes back what was done to one file, of which these are the rows, oldest first.
///
/// Servers of our own configuration stay whose addresses are named elsewhere.
pub(crate) fn undo(
    path: &Path,
    rows: &[Row],
    named: &[String],
    journal: &Journal,
) -> anyhow::Result<Undone> {
    let is_new = rows.first().is_some_and(|row| row.is_new);
    for _ in 0..TRIES {
        let Some(original) = Original::read(path)? else {
            // An import or an undo was killed, or somebody has removed what was not there before.
            if is_new {
                return Ok(Undone::Nothing);
            }
            if !path.parent().is_some_and(Path::exists) {
                return Ok(Undone::Away);
            }
            let first = rows.first().map(|row| journal.backup_path(&row.before));
            anyhow::bail!(
                "it is not there any more; what it was is in {}",
                first.unwrap_or_default().display(),
            )
        };
        let (bytes, undone) = undone_bytes(&original.bytes, rows, named, journal)?;
        let is_change = bytes != original.bytes;
        let is_kept = matches!(
            &undone,
            Undone::Released(released) if !released.kept.is_empty() || !released.stuck.is_empty()
        );
        let mode = rows.iter().find_map(|row| row.mode);
        let original = match mode.filter(|_| undone == Undone::Restored) {
            Some(mode) => original.with_mode_of_before(mode),
            None => original,
        };
        if is_change && original.replace(&bytes)? == Replaced::Changed {
            continue;
        }
        if bytes.is_empty() && is_new {
            failpoint::step();
            config_file::remove_empty(path)?;
            // What was made for it goes as well, if there is nothing else in it.
            if let Some(folder) = path.parent().filter(|_| is_ours(rows)) {
                let _more = fs::remove_dir(folder);
            }
        }
        return Ok(if is_change || is_kept {
            undone
        } else {
            Undone::Nothing
        });
    }
    anyhow::bail!("its client rewrites it all the time; end it, or run this again")
}

/// Whether it is our own configuration.
fn is_ours(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.client == from::OURS)
}

fn undone_bytes(
    bytes: &[u8],
    rows: &[Row],
    named: &[String],
    journal: &Journal,
) -> anyhow::Result<(Vec<u8>, Undone)> {
    let mut bytes = bytes.to_vec();
    let mut undone = Undone::Restored;
    let mut rows: Vec<&Row> = rows.iter().collect();
    // A client may bring back what it had read before the last of the changes.
    if let Some(place) = rows.iter().rposition(|row| row.after == digest(&bytes)) {
        let exact = rows.remove(place);
        rows.push(exact);
    }
    for row in rows.into_iter().rev() {
        let now = digest(&bytes);
        let must_stay = row.client == from::OURS && from::is_named(row, named);
        let is_as_written = now == row.after;
        if is_as_written
            && !must_stay
            && let Ok(copy) = journal.backup(row)
        {
            bytes = copy;
        } else if now != row.before {
            let (without, mut all) = if row.client == from::OURS {
                let (text, all) = from::without(std::str::from_utf8(&bytes)?, row, named)?;
                (text.into_bytes(), all)
            } else {
                released(&bytes, row, journal)?
            };
            if without == bytes && all.is_nothing() {
                continue;
            }
            bytes = without;
            all.is_without_copy = is_as_written && !must_stay;
            undone = Undone::Released(match undone {
                Undone::Released(newer) => all.after(newer),
                Undone::Restored | Undone::Nothing | Undone::Away => all,
            });
        }
    }
    Ok((bytes, undone))
}
