//! What clients' entries look like.

use std::path::Path;

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    survey::{CommandAt, Reason},
    tree::{Node, Step, Value},
};

/// One client: where its files are, and what its entries look like.
#[derive(Debug)]
pub struct Client {
    /// The word for it on our command line.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The grammar of its files.
    pub grammar: Grammar,
    /// The files that it reads.
    pub places: &'static [Place],
    /// Where in a file its servers are; `*` stands for any name, a project's, and [`WHOLE_FILE`] for
    /// the file itself, which is one server then.
    pub servers: &'static [&'static [&'static str]],
    /// What holds the servers.
    pub holder: Holder,
    /// Where a command line may stand in an entry; the first that is there counts.
    pub commands: &'static [Command],
    /// Members with variables: maps from names to values, or lists of names.
    pub variables: &'static [&'static str],
    /// The member with the folder in which the client starts a program, if it heeds one.
    pub folder: Option<&'static str>,
    /// Words of `type` that say that the client starts a program; no `type` says so too.
    pub local_types: &'static [&'static str],
    /// Members that say where a server is that nobody starts.
    pub addresses: &'static [&'static str],
    /// What an entry looks like whose server is at an address; `None` if there are none in its files.
    pub http: Option<HttpShape>,
    /// Files that say what may run, or that come before its own.
    pub managed: &'static [(Place, Rules)],
    /// Its own command that lists its servers, if it needs no login.
    pub list_command: Option<&'static [&'static str]>,
    /// What makes it read its file again.
    pub reload: &'static str,
}

/// Among the places of servers in a file, that the file itself may be one.
pub const WHOLE_FILE: &str = ".";

/// What holds the servers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A map by name.
    Map,
    /// A list whose items have a `name`.
    List,
}

/// A command line in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The member that holds it, if it is not the entry itself.
    pub within: Option<&'static str>,
    /// The member that names the program, or holds all words if there are no `arguments`.
    pub program: &'static str,
    /// The member with the arguments.
    pub arguments: Option<&'static str>,
}

impl Command {
    /// `command` and `args`.
    pub(super) const USUAL: Command = Command::words("command", "args");

    pub(super) const fn words(program: &'static str, arguments: &'static str) -> Self {
        Command {
            within: None,
            program,
            arguments: Some(arguments),
        }
    }

    pub(super) const fn list(program: &'static str) -> Self {
        Command {
            within: None,
            program,
            arguments: None,
        }
    }

    pub(super) const fn within(self, member: &'static str) -> Self {
        Command {
            within: Some(member),
            ..self
        }
    }

    /// The command line, if it stands here in this entry.
    pub(super) fn find(self, entry: &Node, at: &[Step]) -> Option<Result<CommandAt, Reason>> {
        let mut path = at.to_vec();
        let mut holder = entry;
        if let Some(within) = self.within {
            holder = entry.get(within)?;
            path.push(Step::key(within));
        }
        let program = holder.get(self.program)?;
        Some(match (self.arguments, &program.value) {
            (Some(arguments), Value::Text(text)) => {
                words(holder.get(arguments)).map(|found| CommandAt {
                    has_arguments: found.is_some(),
                    words: std::iter::once(text.clone())
                        .chain(found.unwrap_or_default())
                        .collect(),
                    at: path,
                    form: self,
                })
            }
            (None, Value::List(_)) => words(Some(program)).map(|found| CommandAt {
                has_arguments: true,
                words: found.unwrap_or_default(),
                at: path,
                form: self,
            }),
            // Zed has had both: a text, and a map.
            (Some(_), Value::Map(_)) => return None,
            _ => Err(Reason::OddCommand),
        })
    }
}

/// The words of a list of arguments; a number counts as it is written.
fn words(list: Option<&Node>) -> Result<Option<Vec<String>>, Reason> {
    let Some(list) = list else {
        return Ok(None);
    };
    let Value::List(items) = &list.value else {
        return Err(Reason::OddCommand);
    };
    let words = items.iter().map(|item| match &item.value {
        Value::Text(text) | Value::Other(text) => Some(text.clone()),
        Value::Map(_) | Value::List(_) | Value::Half(_) => None,
    });
    let words: Option<Vec<String>> = words.collect();
    words.map(Some).ok_or(Reason::OddCommand)
}

impl Client {
    /// The client of this word.
    pub fn named(id: &str) -> Option<&'static Client> {
        super::ALL.iter().copied().find(|client| client.id == id)
    }

    /// The ways in which its files are written, each with places of its own; one for nearly all clients.
    pub fn forms(&'static self) -> impl Iterator<Item = &'static Client> {
        let others = super::OTHER_FORMS.iter().copied();
        std::iter::once(self).chain(others.filter(|other| other.id == self.id))
    }

    /// The way in which this file of it is written. By its own name, and not by that of what it is a link to.
    pub fn form_of(&'static self, file: &Path) -> &'static Client {
        let is_of = |form: &&Client| form.places.iter().any(|place| place.ends_as(file));
        self.forms().find(is_of).unwrap_or(self)
    }
}
