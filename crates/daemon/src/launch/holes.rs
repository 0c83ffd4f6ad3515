//! What fills the holes of a server's words for one session: its environment, and files of the user's.
//!
//! **Invariant:** a file with secrets is read only if nobody else can read it; what came out of one is known as a
//! secret from then on, and no error quotes any of it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io::Read as _,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use config::{
    EnvPattern, Secret, Server, Sources, Template, TemplateError, Whence, parse_env_file,
};
use mux::Refusal;
use rustix::fs::OFlags;
use shim::preface::SessionAsk;

use super::environment;
use crate::{
    failpoint,
    private_file::{self, Unfit},
};

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All sources of one session.
pub(super) struct Holes<'a> {
    ask: &'a SessionAsk,
    home: &'a Path,
    /// What the server's file of variables says.
    variables: BTreeMap<String, Secret>,
    /// What was taken out of files.
    secrets: RefCell<BTreeSet<Secret>>,
}

impl<'a> Holes<'a> {
    pub(super) fn of(
        ask: &'a SessionAsk,
        server: &Server,
        home: &'a Path,
    ) -> Result<Self, Refusal> {
        let variables = variables(server, home).map_err(bad)?;
        Ok(Holes {
            ask,
            home,
            variables,
            secrets: RefCell::default(),
        })
    }

    /// Fills the holes of a text.
    pub(super) fn resolve(
        &self,
        template: &Template,
        builtins: &config::Builtins<'_>,
    ) -> Result<OsString, TemplateError> {
        let sources = Sources {
            variable: &|name| self.variable(name),
            whence: if self.ask.env.is_empty() {
                Whence::File
            } else {
                Whence::Client
            },
            file: &|path| self.file(path),
        };
        template.resolve_from(&sources, builtins)
    }

    /// The variables that these name.
    pub(super) fn passed(&self, patterns: &[EnvPattern]) -> BTreeMap<OsString, OsString> {
        if self.variables.is_empty() {
            return environment::passed(&self.ask.env, patterns, &[]);
        }
        // Of a doubled name the first counts.
        let files = self.variables.iter();
        let files = files.map(|(name, value)| (name.into(), value.reveal().to_owned()));
        let all: Vec<_> = self.ask.env.iter().cloned().chain(files).collect();
        let passed = environment::passed(&all, patterns, &[]);
        for name in passed.keys().filter_map(|name| name.to_str()) {
            // It is known as a secret if it is one.
            let _value = self.variable(name);
        }
        passed
    }

    /// What was taken out of files.
    pub(super) fn into_secrets(self) -> BTreeSet<Secret> {
        self.secrets.into_inner()
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        if let Some(own) = self.ask.variable(name) {
            return Some(own.to_owned());
        }
        let value = self.variables.get(name)?;
        self.secrets.borrow_mut().insert(value.clone());
        Some(value.reveal().to_owned())
    }

    /// All that is in a file, without the end of its last line.
    fn file(&self, path: &str) -> Result<OsString, String> {
        let path = expanded(Path::new(path), self.home);
        let mut bytes = read(&path)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.contains(&0) {
            let path = path.display();
            return Err(format!(
                "{path} holds a NUL character, which cannot be passed to a program"
            ));
        }
        let value = OsString::from_vec(bytes);
        self.secrets.borrow_mut().insert(Secret::new(value.clone()));
        Ok(value)
    }
}

/// Whether the file that this server's variables are in can be read as a session's start reads it; or why not,
/// for a person.
pub fn check_env_file(server: &Server, home: &Path) -> Result<(), String> {
    variables(server, home).map(|_variables| ())
}

fn variables(server: &Server, home: &Path) -> Result<BTreeMap<String, Secret>, String> {
    let Some(path) = &server.env_file else {
        return Ok(BTreeMap::new());
    };
    let path = expanded(path, home);
    let parsed = parse_env_file(&read(&path)?);
    parsed.map_err(|error| format!("{}:{}: {error}", path.display(), error.line))
}

fn bad(what: String) -> Refusal {
    Refusal::BadConfiguration { what: what.into() }
}

/// A path as it was meant that may begin with `~/`.
fn expanded(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// A file that its user alone can read; or why not, for a person.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    failpoint::looked_into(path.parent().unwrap_or(path));
    let shown = path.display();
    let failed = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    let (file, _) = private_file::open(path, OFlags::empty()).map_err(|unfit| match unfit {
        Unfit::Unreadable(error) => failed(error),
        Unfit::NoFile => format!("{shown} is no file"),
        Unfit::OfOthers => format!("{shown} can be read by others than you; `chmod 600 {shown}`"),
    })?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown} is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// The variable in which programs are looked for.
pub(super) const PATH: &str = "PATH";

/// Where programs are looked for.
pub(super) struct SearchPath<'a> {
    pub(super) folders: Option<&'a OsStr>,
    /// Whose that is, for a person.
    pub(super) whose: &'static str,
}
