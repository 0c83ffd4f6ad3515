//! The way back: the bytes that were there before, or, where the file has changed since,
//! our words out of the entries that have them.

use std::{fs, path::Path};

use config::clients::{
    self, Arguments, Change, Client, CommandAt, Entry, Kind, Node, Reason, Step, Value,
};

use super::{
    failpoint, from,
    journal::{Journal, Row, SavedStep, digest},
    safe_file::{Original, Replaced},
};
use crate::{config_file, survey::behind_mcpool};

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
}

/// Takes back what was done to one file, of which these are the rows, oldest first.
pub(crate) fn undo(path: &Path, rows: &[Row], journal: &Journal) -> anyhow::Result<Undone> {
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
        let (bytes, undone) = undone_bytes(&original.bytes, rows, journal)?;
        let is_change = bytes != original.bytes;
        let is_kept = matches!(&undone, Undone::Released(released) if !released.kept.is_empty());
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
    journal: &Journal,
) -> anyhow::Result<(Vec<u8>, Undone)> {
    let mut bytes = bytes.to_vec();
    let mut undone = Undone::Restored;
    for row in rows.iter().rev() {
        let now = digest(&bytes);
        if now == row.after {
            bytes = journal.backup(row)?;
        } else if now != row.before {
            let (without, mut all) = released(&bytes, row, journal)?;
            bytes = without;
            if let Undone::Released(before) = undone {
                all.servers.splice(..0, before.servers);
                all.kept.splice(..0, before.kept);
            }
            undone = Undone::Released(all);
        }
    }
    Ok((bytes, undone))
}

/// The file without our words in the entries of a row.
fn released(bytes: &[u8], row: &Row, journal: &Journal) -> anyhow::Result<(Vec<u8>, Released)> {
    if row.client == from::OURS {
        let (text, released) = from::without(std::str::from_utf8(bytes)?, row)?;
        return Ok((text.into_bytes(), released));
    }
    let Some(client) = Client::named(&row.client) else {
        anyhow::bail!("there is no client `{}`", row.client)
    };
    let client = client.form_of(row.place());
    let text = std::str::from_utf8(bytes)?;
    let before = journal.backup(row)?;
    let before_text = std::str::from_utf8(&before)?;
    let before = Before {
        row,
        client,
        text: before_text,
        tree: client.grammar.read(before_text)?,
        entries: clients::survey(before_text, client)?,
    };
    let tree = client.grammar.read(text)?;
    let mut released = Released::default();
    let mut changes = Vec::new();
    for entry in clients::survey(text, client)? {
        let entry = entry.in_file(row.place());
        if let Some(change) = before.taken_back(&entry, &tree)? {
            changes.extend(change);
            released.servers.push(entry.name);
        }
    }
    let without = client.grammar.edit(text, &changes)?;
    let without = before.without_hollow(without)?;
    let tree = client.grammar.read(&without)?;
    for entry in clients::survey(&without, client)? {
        before.refuse_what_is_left(&entry, &tree)?;
    }
    Ok((without.into_bytes(), released))
}

/// The file before the change of a row.
struct Before<'a> {
    row: &'a Row,
    client: &'a Client,
    text: &'a str,
    tree: Node,
    entries: Vec<Entry>,
}

impl Before<'_> {
    /// What takes our words out of an entry, if it has them from the row.
    fn taken_back(&self, entry: &Entry, tree: &Node) -> anyhow::Result<Option<Vec<Change>>> {
        if let Some(change) = self.to_its_command(entry, tree)? {
            return Ok(Some(change));
        }
        let Kind::Ours(command) = &entry.kind else {
            return Ok(None);
        };
        let at: Vec<SavedStep> = entry.at.iter().map(SavedStep::from).collect();
        if self.row.added.contains(&at)
            && let Some((Step::Key(key), holder)) = entry.at.split_last()
        {
            return Ok(Some(vec![Change::Remove {
                at: holder.to_vec(),
                key: key.clone(),
            }]));
        }
        let arguments = self.arguments(entry, command);
        Ok(arguments.and_then(|arguments| clients::release(command, arguments)))
    }

    /// What puts the command line back where the row has put an address.
    fn to_its_command(&self, entry: &Entry, tree: &Node) -> anyhow::Result<Option<Vec<Change>>> {
        let Some(address) = clients::address(tree, entry, self.client) else {
            return Ok(None);
        };
        let mut urls = self.row.urls.iter().filter(|saved| saved.url == address);
        let found = urls.find_map(|saved| {
            let at: Vec<Step> = saved.at.iter().map(Step::from).collect();
            let mut entries = self.entries.iter();
            let before = entries.find(|before| before.at == at)?;
            let Kind::Local(local) = &before.kind else {
                return None;
            };
            is_in_place(before, entry).then_some((before, local))
        });
        let Some((before, local)) = found else {
            return Ok(None);
        };
        let change = clients::release_from_http(
            (tree, &entry.at),
            (self.text, &self.tree, before, local),
            self.client,
            address,
        );
        if change.is_none() {
            anyhow::bail!("what {} was cannot be put back", entry.name);
        }
        Ok(change)
    }

    /// Without what the row has made to hold its entries, if nothing is in it any more.
    fn without_hollow(&self, text: String) -> anyhow::Result<String> {
        let mut text = text;
        for made in &self.row.made {
            let at: Vec<Step> = made.iter().map(Step::from).collect();
            let tree = self.client.grammar.read(&text)?;
            if let Some((Step::Key(key), holder)) = at.split_last()
                && tree.at(&at).is_some_and(is_hollow)
            {
                let remove = Change::Remove {
                    at: holder.to_vec(),
                    key: key.clone(),
                };
                text = self.client.grammar.edit(&text, &[remove])?;
            }
        }
        Ok(text)
    }

    /// The entries that the row has changed.
    fn changed(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.iter().filter(|entry| {
            let steps = entry.at.iter().map(SavedStep::from);
            let at: Vec<SavedStep> = steps.collect();
            self.row.entries.contains(&at)
        })
    }

    /// Whether an entry of now goes through mcpool by the row, and if it had a list of
    /// arguments before. One that has another name by now is known by its words.
    fn arguments(&self, entry: &Entry, command: &CommandAt) -> Option<Arguments> {
        let locals = self.changed().filter_map(|before| match &before.kind {
            Kind::Local(local) => Some((before, &local.command)),
            Kind::Ours(_) | Kind::LeftAlone(_) => None,
        });
        let in_place = locals
            .clone()
            .find(|(before, _)| is_in_place(before, entry));
        let own = behind_mcpool(&command.words);
        let by_words = || {
            let mut others = self.entries.iter();
            // Somebody has put mcpool there by hand.
            let was_ours = others
                .any(|before| is_in_place(before, entry) && matches!(before.kind, Kind::Ours(_)));
            let same = locals.clone().find(|(_, command)| command.words == own);
            same.filter(|_| !was_ours)
        };
        let found = in_place.or_else(by_words);
        found.map(|(_, command)| command.arguments())
    }

    /// Fails if an entry still has our words from the row, or if that cannot be told.
    fn refuse_what_is_left(&self, entry: &Entry, tree: &Node) -> anyhow::Result<()> {
        let name = &entry.name;
        if let Some(address) = clients::address(tree, entry, self.client)
            && self.row.urls.iter().any(|saved| saved.url == address)
        {
            anyhow::bail!(
                "{name} still names the address {address}, and has another name or place than \
                 before; write its command line there, or remove the entry"
            );
        }
        match &entry.kind {
            Kind::Ours(command) => {
                let has_words = command.words.iter().any(|word| word == "--");
                if has_words && self.arguments(entry, command).is_some() {
                    anyhow::bail!(
                        "{name} still goes through `mcpool connect`, and there is no command line \
                         behind its `--`; write one there, or remove the entry"
                    );
                }
            }
            Kind::LeftAlone(reason @ (Reason::Twice | Reason::OddCommand))
                if self.changed().any(|before| is_in_place(before, entry)) =>
            {
                anyhow::bail!(
                    "whether {name} still goes through mcpool cannot be told: {reason}; mend the \
                     entry, or remove it"
                );
            }
            Kind::Local(_) | Kind::LeftAlone(_) => {}
        }
        Ok(())
    }
}

/// Whether a map has nothing in it but maps that have nothing in them.
fn is_hollow(node: &Node) -> bool {
    match &node.value {
        Value::Map(members) => members.iter().all(|member| is_hollow(&member.node)),
        Value::List(_) | Value::Text(_) | Value::Other(_) | Value::Half(_) => false,
    }
}

/// Whether an entry of now stands where one of before stood; one in a list may have another number.
fn is_in_place(before: &Entry, now: &Entry) -> bool {
    match before.at.last() {
        Some(Step::Index(_)) => before.name == now.name,
        _ => before.at == now.at,
    }
}
