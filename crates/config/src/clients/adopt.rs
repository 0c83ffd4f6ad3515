//! Putting mcpool before a server's command line, and taking it away again.
//!
//! The words of mcpool come before those of the server, in the entry as it is: whatever
//! else the entry has stays, and what was there before can be read off what is there then.

use super::{
    grammar::{Added, Change, Word},
    survey::{CommandAt, Entry, Local},
    tree::Step,
};
use crate::ServerName;

/// Whether an entry has a list of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// It has one, which may be empty.
    Listed,
    /// It has none.
    None,
}

/// How mcpool is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The program: a path, or a name that the client's `PATH` has.
    pub program: String,
    /// The folder of everything, if it is not the usual places.
    pub home: Option<String>,
}

impl Caller {
    /// What comes before a server's own command line.
    fn words(&self, name: &str, local: &Local) -> Vec<String> {
        let mut words = vec![self.program.clone(), "connect".to_owned()];
        let mut option = |option: &str, value: &str| {
            // What begins like an option may be taken for one, and `--` for the end of them.
            if value.starts_with('-') {
                words.push(format!("{option}={value}"));
            } else {
                words.extend([option.to_owned(), value.to_owned()]);
            }
        };
        if let Some(home) = &self.home {
            option("--home", home);
        }
        // Another name is good for the client, and says nothing to us.
        if name.parse::<ServerName>().is_ok() {
            option("--name", name);
        }
        // Where the client starts us.
        if local.has_folder {
            option("--cwd", ".");
        }
        for variable in &local.variables {
            option("--env", variable);
        }
        words.push("--".to_owned());
        words
    }

    /// The whole command line of a server through mcpool.
    pub fn command_line(&self, name: &str, local: &Local) -> Vec<String> {
        let mut words = self.words(name, local);
        words.extend(local.command.words.iter().cloned());
        words
    }
}

/// What has to be changed so that the server goes through mcpool.
pub fn adopt(entry: &Entry, local: &Local, caller: &Caller) -> Vec<Change> {
    let before = caller.words(&entry.name, local);
    before_command(&local.command, before)
}

fn before_command(command: &CommandAt, before: Vec<String>) -> Vec<Change> {
    let program_at = command.program_at();
    let mut texts = before.into_iter().map(Word::New);
    let Some(arguments) = command.form.arguments else {
        return vec![Change::Prepend {
            at: program_at,
            texts: texts.collect(),
        }];
    };
    let Some((program, own)) = texts.next().zip(command.words.first()) else {
        return Vec::new();
    };
    let own = Word::Copied {
        text: own.clone(),
        from: program_at.clone(),
    };
    let texts = texts.chain([own]).collect();
    let at = command.at.clone();
    let arguments = if command.has_arguments {
        Change::Prepend {
            at: [at.as_slice(), &[Step::key(arguments)]].concat(),
            texts,
        }
    } else {
        Change::Insert {
            at,
            after: command.form.program.to_owned(),
            key: arguments.to_owned(),
            value: Added::Texts(texts),
        }
    };
    let program = Change::SetText {
        at: program_at,
        text: program,
    };
    // The list first: it copies what the program is before.
    vec![arguments, program]
}

/// What has to be changed so that the client starts the server itself again.
///
/// `None` if this command line names a server of the configuration: its own is not in it.
/// `before` says whether the entry had a list of arguments before; if it had none, and
/// there is none left, the list goes as well.
pub fn release(command: &CommandAt, before: Arguments) -> Option<Vec<Change>> {
    let dashes = command.words.iter().position(|word| word == "--")?;
    let own = command.words.get(dashes + 1)?.clone();
    let at = command.program_at();
    let Some(arguments) = command.form.arguments else {
        return Some(vec![Change::DropFirst {
            at,
            count: dashes + 1,
        }]);
    };
    let list = [command.at.as_slice(), &[Step::key(arguments)]].concat();
    // The program is the first of the words, and no argument.
    let from = [list.as_slice(), &[Step::Index(dashes)]].concat();
    let program = Change::SetText {
        at,
        text: Word::Copied { text: own, from },
    };
    let count = dashes + 1;
    let arguments = if before == Arguments::None && command.words.len() == count + 1 {
        Change::Remove {
            at: command.at.clone(),
            key: arguments.to_owned(),
        }
    } else {
        Change::DropFirst { at: list, count }
    };
    Some(vec![program, arguments])
}

impl CommandAt {
    /// Whether a list of arguments is there.
    pub fn arguments(&self) -> Arguments {
        if self.has_arguments {
            Arguments::Listed
        } else {
            Arguments::None
        }
    }

    fn program_at(&self) -> Vec<Step> {
        [self.at.as_slice(), &[Step::key(self.form.program)]].concat()
    }
}
