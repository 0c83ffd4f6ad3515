//! The folder of what is kept: one file for each share key, class and era, and the key of this installation.
//!
//! **Invariant:** a file is there whole or not at all, and there are never more, in number and bytes,
//! than may be. Nothing that goes wrong here is more than a server that starts a little later.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use mux::{Class, Era, Finding, GREETING_VERSION, KeptWords, MODERN_VERSION, VERDICT_LIFE};
use sha2::Sha256;

use super::{
    Subject, Way,
    file::{Entry, hex},
    identity::Identity,
};
use crate::{
    files::{remove, replace},
    observe,
};

/// Files that there may be.
const FILES_MAX: usize = 256;

/// Bytes that they may have together.
const BYTES_MAX: u64 = 32 << 20;

/// Bytes that one may have: what the core keeps at most, and the head.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// How old the date of a file becomes that is in use.
const DATE_AGE: Duration = Duration::from_hours(1);

/// The name of the file with the key.
const KEY_NAME: &str = "key";

const KEY_BYTES: usize = 32;

/// The folder, as far as it could be used yet.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    key: Option<[u8; KEY_BYTES]>,
    /// The files that are there, once it was looked: a subject may have one of dozens, and has one or two.
    there: Option<BTreeSet<String>>,
    /// Whether it was told already that something cannot be written.
    has_complained: bool,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Folder {
            path,
            key: None,
            there: None,
            has_complained: false,
        }
    }

    /// What is kept of a subject and still good, for each class and era that it is kept of.
    pub(super) fn recall(&mut self, subject: &Subject, now: SystemTime) -> Vec<KeptWords> {
        // Without a key nothing has been kept.
        let Ok(Some(key)) = self.known_key() else {
            return Vec::new();
        };
        let mut identity = None;
        let mut found = Vec::new();
        for (way, name) in names(subject, &key) {
            if !self.is_there(&name) {
                continue;
            }
            let Some(entry) = self.read(&name, &key) else {
                continue;
            };
            // Only now, as most subjects have nothing kept.
            let identity = identity.get_or_insert_with(|| Identity::of(&subject.spec));
            let identity = identity.as_ref();
            let sum = identity.and_then(|identity| identity.sum(&key));
            let is_same = sum.is_some_and(|sum| sum == entry.identity);
            let age = age(&entry, now);
            let is_fresh = subject
                .life
                .longest()
                .is_none_or(|life| age.is_some_and(|age| age < life));
            let mut words = entry.words;
            words.program = identity.map(Identity::program);
            if is_same && is_fresh && (words.class, words.era) == way {
                self.refresh(&name, now);
                found.push(words.after(age));
            }
        }
        found
    }

    /// Keeps words, or nothing, in place of those before.
    pub(super) fn keep(
        &mut self,
        subject: &Subject,
        way: Way,
        words: Option<&KeptWords>,
        started: SystemTime,
    ) {
        let kept = self.try_keep(subject, way, words, started);
        self.complain_once(kept);
    }

    /// What was found of the server at an address, and how long that counts yet.
    pub(super) fn finding(&mut self, url: &str, now: SystemTime) -> Option<Finding> {
        let key = self.known_key().ok()??;
        let name = of_address(url, &key)?;
        let entry = self.read(&name, &key)?;
        let age = age(&entry, now);
        entry.words.after(age).refused
    }

    /// Keeps what was found of the server at an address, or nothing, in place of what was before.
    pub(super) fn keep_finding(&mut self, url: &str, refused: Option<Era>) {
        let kept = self.try_keep_finding(url, refused);
        self.complain_once(kept);
    }

    fn try_keep_finding(&mut self, url: &str, refused: Option<Era>) -> io::Result<()> {
        let key = match self.known_key()? {
            Some(key) => key,
            None if refused.is_some() => self.make_key()?,
            None => return Ok(()),
        };
        let Some(name) = of_address(url, &key) else {
            return Ok(());
        };
        let Some(refused) = refused else {
            return remove(&self.path.join(&name));
        };
        let entry = Entry {
            // Nobody can see of what is reached over a network whether it is the same.
            identity: String::new(),
            written: seconds(super::wall_clock()),
            words: KeptWords {
                class: Class::default(),
                era: Era::default(),
                program: None,
                handshake: Bytes::new(),
                refused: Some(Finding {
                    refused,
                    life: VERDICT_LIFE,
                }),
                lists: BTreeMap::new(),
            },
        };
        let Some(file) = entry.encode(&name, &key) else {
            return Ok(());
        };
        self.put(&name, &file)
    }

    /// Says once that something cannot be written.
    fn complain_once(&mut self, kept: io::Result<()>) {
        if let Err(error) = kept {
            if !self.has_complained {
                observe::words_not_kept(&self.path, &error);
            }
            self.has_complained = true;
        }
    }

    fn try_keep(
        &mut self,
        subject: &Subject,
        way: Way,
        words: Option<&KeptWords>,
        started: SystemTime,
    ) -> io::Result<()> {
        let key = match self.known_key()? {
            Some(key) => key,
            None if words.is_some() => self.make_key()?,
            None => return Ok(()),
        };
        let Some(name) = name(subject, way, &key) else {
            return Ok(());
        };
        // What was changed since the start is not what has said so.
        let identity = Identity::of(&subject.spec);
        let identity = identity.filter(|identity| identity.was_so_at(started));
        let identity = identity.and_then(|identity| identity.sum(&key));
        let (Some(words), Some(identity)) = (words, identity) else {
            return remove(&self.path.join(&name));
        };
        let entry = Entry {
            identity,
            written: seconds(super::wall_clock()),
            words: words.clone(),
        };
        let Some(file) = entry.encode(&name, &key) else {
            return Ok(());
        };
        self.put(&name, &file)
    }

    /// Whether there may be a file of this name. No other process brings any: there is one daemon for a folder.
    fn is_there(&mut self, name: &str) -> bool {
        if self.there.is_none() {
            let Ok(names) = self.names() else {
                // Whoever opens it finds out; it is looked again the next time.
                return true;
            };
            self.there = Some(names);
        }
        self.there
            .as_ref()
            .is_some_and(|there| there.contains(name))
    }

    fn names(&self) -> io::Result<BTreeSet<String>> {
        let names = fs::read_dir(&self.path)?;
        names
            .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Writes a file, and removes what is too much then.
    fn put(&mut self, name: &str, file: &[u8]) -> io::Result<()> {
        replace(&self.path.join(name), file)?;
        if let Some(there) = &mut self.there {
            there.insert(name.to_owned());
        }
        self.prune()
    }

    fn read(&self, name: &str, key: &[u8]) -> Option<Entry> {
        let path = self.path.join(name);
        let mut file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        let mut limited = (&mut file).take(FILE_BYTES_MAX + 1);
        limited.read_to_end(&mut bytes).ok()?;
        match Entry::decode(name, &bytes, key) {
            Ok(entry) => Some(entry),
            Err(doubt) => {
                self.set_aside(name, &doubt.to_string());
                None
            }
        }
    }

    /// Takes a file out of the way, where a person can still look at it.
    fn set_aside(&self, name: &str, why: &str) {
        let path = self.path.join(name);
        observe::words_set_aside(&path, why);
        // One that cannot be moved is not believed the next time either.
        let _stays = fs::rename(&path, self.path.join(format!("{name}.bad")));
    }

    /// Says that a file is in use, so that others go first.
    fn refresh(&self, name: &str, now: SystemTime) {
        // One that cannot be dated anew goes earlier than it need.
        let _read_only = File::open(self.path.join(name)).and_then(|file| {
            let date = file.metadata()?.modified()?;
            match now.duration_since(date) {
                Ok(age) if age > DATE_AGE => file.set_modified(now),
                Ok(_) | Err(_) => Ok(()),
            }
        });
    }

    /// The key, if there is one.
    fn known_key(&mut self) -> io::Result<Option<[u8; KEY_BYTES]>> {
        if self.key.is_some() {
            return Ok(self.key);
        }
        let read = match fs::read(self.path.join(KEY_NAME)) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match read.try_into() {
            Ok(key) => self.key = Some(key),
            // What was kept under another key cannot be found any more, and goes in time.
            Err(_) => self.set_aside(KEY_NAME, "it is no key"),
        }
        Ok(self.key)
    }

    fn make_key(&mut self) -> io::Result<[u8; KEY_BYTES]> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        sys::random::fill(&mut key)?;
        replace(&self.path.join(KEY_NAME), &key)?;
        self.key = Some(key);
        Ok(key)
    }

    /// Removes what was not used for longest, until no more is left than may be.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            if file.file_name() != KEY_NAME {
                let metadata = file.metadata()?;
                files.push((metadata.modified()?, metadata.len(), file.path()));
            }
        }
        files.sort();
        let mut count = files.len();
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if count <= FILES_MAX && bytes <= BYTES_MAX {
                break;
            }
            remove(&path)?;
            count -= 1;
            bytes -= len;
        }
        Ok(())
    }
}

/// The names of the files that a subject may have, by how it may be spoken to.
fn names(subject: &Subject, key: &[u8]) -> Vec<(Way, String)> {
    let classes: Vec<Class> = match subject.class {
        Some(only) => vec![only],
        None => Class::all().collect(),
    };
    let of_route = of_route(subject, key);
    let legacy = classes.into_iter().map(|class| (class, Era::Legacy));
    // Each request says there what its client can do.
    let modern = (Class::default(), Era::Modern);
    let name = |way: Way| Some((way, of_way(of_route.clone()?, way)));
    legacy.chain([modern]).filter_map(name).collect()
}

fn name(subject: &Subject, way: Way, key: &[u8]) -> Option<String> {
    Some(of_way(of_route(subject, key)?, way))
}

/// The name of the file of what was found of the server at an address.
fn of_address(url: &str, key: &[u8]) -> Option<String> {
    let mut name = Hmac::<Sha256>::new_from_slice(key).ok()?;
    name.update(b"address");
    name.update(url.as_bytes());
    Some(hex(&name.finalize().into_bytes()))
}

fn of_route(subject: &Subject, key: &[u8]) -> Option<Hmac<Sha256>> {
    let mut name = Hmac::<Sha256>::new_from_slice(key).ok()?;
    name.update(b"name");
    name.update(GREETING_VERSION.as_bytes());
    name.update(b"\n");
    name.update(&subject.route.0);
    Some(name)
}

fn of_way(mut name: Hmac<Sha256>, (class, era): Way) -> String {
    for capability in class.names() {
        name.update(capability.as_bytes());
        name.update(b"\n");
    }
    if era == Era::Modern {
        name.update(MODERN_VERSION.as_bytes());
        name.update(b"\n");
    }
    hex(&name.finalize().into_bytes())
}

fn seconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// How old an entry is, rounded up; `None` if it is of the future: the clock has jumped.
fn age(entry: &Entry, now: SystemTime) -> Option<Duration> {
    let age = seconds(now).checked_sub(entry.written)?;
    Some(Duration::from_secs(age + 1))
}

#[cfg(test)]
mod tests;
