//! The way back: the bytes that were there before, or, where the file has changed since,
//! our words out of the entries that have them.

use std::{collections::BTreeMap, path::Path};

use config::clients::{self, Arguments, Change, Client, Entry, Kind, Step};

use super::{
    from,
    journal::{Journal, Row, digest},
    safe_file::{Original, Replaced},
};

const TRIES: usize = 5;

/// What came of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// It is byte for byte what it was.
    Restored,
    /// It has changed since; these servers are started by their client again.
    Released(Vec<String>),
    /// There was nothing to take back.
    Nothing,
}

/// Takes back what was done to one file, of which these are the rows, oldest first.
pub(crate) fn undo(path: &Path, rows: &[Row], journal: &Journal) -> anyhow::Result<Undone> {
    for _ in 0..TRIES {
        let Some(original) = Original::read(path)? else {
            anyhow::bail!("it is not there any more; what it was before is kept")
        };
        let (bytes, undone) = undone_bytes(&original.bytes, rows, journal)?;
        if bytes == original.bytes {
            return Ok(Undone::Nothing);
        }
        match original.replace(&bytes)? {
            Replaced::Done => return Ok(undone),
            Replaced::Changed => {}
        }
    }
    anyhow::bail!("its client rewrites it all the time; end it, or run this again")
}

fn undone_bytes(
    bytes: &[u8],
    rows: &[Row],
    journal: &Journal,
) -> anyhow::Result<(Vec<u8>, Undone)> {
    let mut bytes = bytes.to_vec();
    let mut undone = Undone::Restored;
    for row in rows.iter().rev() {
        let now = digest(&bytes);
        if now == row.after {
            bytes = journal.backup(row)?;
        } else if now != row.before {
            let (without, names) = released(&bytes, row, journal)?;
            bytes = without;
            undone = match undone {
                Undone::Released(mut before) => {
                    before.extend(names);
                    Undone::Released(before)
                }
                Undone::Restored | Undone::Nothing => Undone::Released(names),
            };
        }
    }
    Ok((bytes, undone))
}

/// The file without our words in the entries of a row.
fn released(bytes: &[u8], row: &Row, journal: &Journal) -> anyhow::Result<(Vec<u8>, Vec<String>)> {
    if row.client == from::OURS {
        let (text, names) = from::without(std::str::from_utf8(bytes)?, row)?;
        return Ok((text.into_bytes(), names));
    }
    let Some(client) = Client::named(&row.client) else {
        anyhow::bail!("there is no client `{}`", row.client)
    };
    let text = std::str::from_utf8(bytes)?;
    let before = journal.backup(row)?;
    let before = clients::survey(std::str::from_utf8(&before)?, client)?;
    let arguments: BTreeMap<&[Step], Arguments> = before
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Local(local) => Some((entry.at.as_slice(), local.command.arguments())),
            Kind::Ours(_) | Kind::LeftAlone(_) => None,
        })
        .collect();
    let mut names = Vec::new();
    let mut changes = Vec::new();
    for entry in clients::survey(text, client)? {
        let Some(arguments) =
            was_changed(&entry, row, &before).then(|| arguments.get(entry.at.as_slice()).copied())
        else {
            continue;
        };
        if let Some(change) = release(&entry, arguments.unwrap_or(Arguments::Listed)) {
            changes.extend(change);
            names.push(entry.name);
        }
    }
    Ok((client.grammar.edit(text, &changes)?.into_bytes(), names))
}

/// Whether this is an entry of the row. One in a list may have another number by now.
fn was_changed(entry: &Entry, row: &Row, before: &[Entry]) -> bool {
    row.entries.iter().any(|saved| {
        let at: Vec<Step> = saved.iter().map(super::journal::SavedStep::step).collect();
        match at.last() {
            Some(Step::Index(_)) => before
                .iter()
                .any(|before| before.at == at && before.name == entry.name),
            _ => at == entry.at,
        }
    })
}

fn release(entry: &Entry, arguments: Arguments) -> Option<Vec<Change>> {
    match &entry.kind {
        Kind::Ours(command) => clients::release(command, arguments),
        Kind::Local(_) | Kind::LeftAlone(_) => None,
    }
}
