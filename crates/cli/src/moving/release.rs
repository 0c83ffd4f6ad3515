//! Our words out of the entries that have them, in a file that has changed since.
//!
//! What the file was before says which entries had command lines of their own, and which.
//! Where nobody has that any more, the words behind `--` say it.

use config::clients::{
    self, Arguments, Change, Client, CommandAt, Entry, Kind, Node, Reason, Step, Value,
};

use super::{
    journal::{Journal, Row, SavedStep},
    undo::Released,
};
use crate::survey::behind_mcpool;

/// The file without our words in the entries of a row, as far as they can be taken out.
pub(super) fn released(
    bytes: &[u8],
    row: &Row,
    journal: &Journal,
) -> anyhow::Result<(Vec<u8>, Released)> {
    let Some(client) = Client::named(&row.client) else {
        anyhow::bail!("there is no client `{}`", row.client)
    };
    let client = client.form_of(row.place());
    let text = std::str::from_utf8(bytes)?;
    // Without the copy, what stands behind `--` in the file itself says what was there.
    let copy = journal.backup(row).ok();
    let copy = copy.as_deref().map(std::str::from_utf8).transpose()?;
    let before = Before {
        row,
        client,
        was: copy.map(|text| Was::read(text, client)).transpose()?,
    };
    let tree = client.grammar.read(text)?;
    let mut released = Released::default();
    let (mut changes, mut failed) = (Vec::new(), Vec::new());
    for entry in clients::survey(text, client)? {
        let entry = entry.in_file(row.place());
        match before.taken_back(&entry, &tree) {
            Ok(None) => {}
            Ok(Some(change)) => changes.push((entry.name, change)),
            Err(error) => {
                released.stuck.push(error.to_string());
                failed.push(entry.name);
            }
        }
    }
    let (without, refused) = before.edited(text, changes, &mut released);
    failed.extend(refused);
    let without = before.without_hollow(without)?;
    let tree = client.grammar.read(&without)?;
    for entry in clients::survey(&without, client)? {
        let Err(error) = before.refuse_what_is_left(&entry, &tree) else {
            continue;
        };
        released
            .named
            .extend(clients::address(&tree, &entry, client).map(str::to_owned));
        if !failed.contains(&entry.name) {
            released.stuck.push(error.to_string());
        }
    }
    Ok((without.into_bytes(), released))
}

/// The file before the change of a row.
struct Before<'a> {
    row: &'a Row,
    client: &'a Client,
    /// What it said, if a copy of it is there.
    was: Option<Was<'a>>,
}

/// What a file said.
struct Was<'a> {
    text: &'a str,
    tree: Node,
    entries: Vec<Entry>,
}

impl<'a> Was<'a> {
    fn read(text: &'a str, client: &Client) -> anyhow::Result<Self> {
        Ok(Was {
            text,
            tree: client.grammar.read(text)?,
            entries: clients::survey(text, client)?,
        })
    }
}

impl Before<'_> {
    /// The text with all changes, or, where that cannot be, with each that can, and the names of
    /// the entries that are not changed.
    fn edited(
        &self,
        text: &str,
        changes: Vec<(String, Vec<Change>)>,
        released: &mut Released,
    ) -> (String, Vec<String>) {
        let all: Vec<Change> = changes.iter().flat_map(|(_, it)| it.clone()).collect();
        if let Ok(edited) = self.client.grammar.edit(text, &all) {
            let names = changes.into_iter().map(|(name, _)| name);
            released.servers.extend(names);
            return (edited, Vec::new());
        }
        let (mut edited, mut refused) = (text.to_owned(), Vec::new());
        for (name, change) in changes {
            match self.client.grammar.edit(&edited, &change) {
                Ok(without) => {
                    edited = without;
                    released.servers.push(name);
                }
                Err(error) => {
                    released.stuck.push(format!("{name}: {error}"));
                    refused.push(name);
                }
            }
        }
        (edited, refused)
    }

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
        let Some(was) = &self.was else {
            return Ok(None);
        };
        let urls = self.row.urls.iter().filter(|saved| saved.url == address);
        let found = urls.filter_map(|saved| {
            let at: Vec<Step> = saved.at.iter().map(Step::from).collect();
            let before = was.entries.iter().find(|before| before.at == at)?;
            match &before.kind {
                Kind::Local(local) => Some((before, local)),
                Kind::Ours(_) | Kind::LeftAlone(_) => None,
            }
        });
        let in_place = found.clone().find(|(before, _)| is_in_place(before, entry));
        // One that has another name or place by now is known by its address, which each server
        // has for itself; unless somebody has put it there by hand.
        let by_address = || {
            let was_there = was.entries.iter().any(|before| {
                is_in_place(before, entry)
                    && clients::address(&was.tree, before, self.client) == Some(address)
            });
            found.clone().next().filter(|_| !was_there)
        };
        let Some((before, local)) = in_place.or_else(by_address) else {
            return Ok(None);
        };
        let change = clients::release_from_http(
            (tree, &entry.at),
            (was.text, &was.tree, before, local),
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
    fn changed<'w>(&'w self, was: &'w Was<'_>) -> impl Iterator<Item = &'w Entry> + Clone {
        was.entries.iter().filter(|entry| {
            let steps = entry.at.iter().map(SavedStep::from);
            let at: Vec<SavedStep> = steps.collect();
            self.row.entries.contains(&at)
        })
    }

    /// Whether an entry of now stands where the row has changed one.
    fn is_changed_place(&self, entry: &Entry) -> bool {
        let Some(was) = &self.was else {
            return self.row.entries.iter().any(|at| {
                let mut steps = at.iter().map(Step::from);
                steps.next_back().as_ref() == entry.at.last()
                    && steps.eq(entry.at[..entry.at.len() - 1].iter().cloned())
            });
        };
        self.changed(was).any(|before| is_in_place(before, entry))
    }

    /// Whether an entry of now says by its words and its place that the row has written them,
    /// as far as that can be told without what was there.
    fn is_by_row(&self, entry: &Entry, command: &CommandAt) -> bool {
        let Some((_, holder)) = entry.at.split_last() else {
            return false;
        };
        let mut ours = command.words.iter().take_while(|word| *word != "--");
        let name = ours
            .find(|word| *word == "--name")
            .and_then(|_| ours.next());
        self.row.entries.iter().any(|at| {
            let at: Vec<Step> = at.iter().map(Step::from).collect();
            at == entry.at
                || at.split_last().is_some_and(|(last, of)| {
                    of == holder
                        && match last {
                            Step::Key(key) => name == Some(key),
                            // It may have another number by now.
                            Step::Index(_) => true,
                        }
                })
        })
    }

    /// Whether an entry of now goes through mcpool by the row, and if it had a list of
    /// arguments before. One that has another name by now is known by its words.
    fn arguments(&self, entry: &Entry, command: &CommandAt) -> Option<Arguments> {
        let Some(was) = &self.was else {
            let is_by_row = self.is_by_row(entry, command);
            // Some clients want a list, and none minds an empty one.
            return is_by_row.then_some(Arguments::Listed);
        };
        let locals = self.changed(was).filter_map(|before| match &before.kind {
            Kind::Local(local) => Some((before, &local.command)),
            Kind::Ours(_) | Kind::LeftAlone(_) => None,
        });
        let in_place = locals
            .clone()
            .find(|(before, _)| is_in_place(before, entry));
        let own = behind_mcpool(&command.words);
        let by_words = || {
            let mut others = was.entries.iter();
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
                "{name} still names the address {address}, and what it was cannot be told; write \
                 its command line there, or remove the entry"
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
                if self.is_changed_place(entry) =>
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
