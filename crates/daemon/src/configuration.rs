//! The configuration file, read again whenever it has changed.
//!
//! **Invariant:** a file that cannot be used takes nothing away: what was read before stays in force,
//! and whoever asks hears what is wrong.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use config::Config;
use rustix::fs::OFlags;

use crate::observe;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 10 << 20;

/// What the user wants, as of the last look.
#[derive(Debug)]
pub(crate) struct Configuration {
    path: Arc<Path>,
    /// The last that could be used.
    good: Arc<Config>,
    /// What is wrong with the file as it is now.
    error: Option<String>,
    seen: Option<Seen>,
    /// How often what is in force has been replaced.
    edition: u64,
}

/// By what a changed file is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Configuration {
    /// Reads the file at `path`. Without one there are no servers and all limits are as they are.
    pub(crate) fn read(path: PathBuf) -> Self {
        let mut configuration = Configuration {
            path: path.into(),
            good: Arc::default(),
            error: None,
            seen: None,
            edition: 0,
        };
        configuration.refresh();
        configuration
    }

    /// Where it is, which no other installation shares.
    pub(crate) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// What is in force.
    pub(crate) fn current(&self) -> &Arc<Config> {
        &self.good
    }

    /// A number that another state of what is in force has not.
    pub(crate) fn edition(&self) -> u64 {
        self.edition
    }

    /// What is wrong with the file as it is now.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Looks at the file again, if it is not the one that was seen last.
    pub(crate) fn refresh(&mut self) {
        let seen = match look_at(&self.path) {
            Ok(seen) => seen,
            Err(error) => {
                self.fail(format!("{}: {error}", self.path.display()));
                self.seen = None;
                return;
            }
        };
        if seen.is_some() && seen == self.seen {
            return;
        }
        self.seen = seen;
        match seen {
            None => self.use_now(Config::default()),
            Some(_) => self.load(),
        }
    }

    fn load(&mut self) {
        let text = match read_text(&self.path) {
            Ok(text) => text,
            Err(error) => return self.fail(format!("{}: {error}", self.path.display())),
        };
        match config::load(&text, &self.path) {
            Ok(config) => self.use_now(config),
            Err(error) => {
                // There is nothing from before, and all else is not to be lost for an address that leads nowhere.
                if self.edition == 0
                    && let Ok(config) = config::load_unfinished(&text, &self.path)
                {
                    self.good = Arc::new(config);
                }
                self.fail(error.to_string());
            }
        }
    }

    fn use_now(&mut self, config: Config) {
        self.good = Arc::new(config);
        self.error = None;
        self.edition += 1;
    }

    fn fail(&mut self, error: String) {
        if self.error.as_ref() != Some(&error) {
            observe::configuration_failed(&error);
            self.error = Some(error);
        }
    }
}

/// The text of a file of bounded length. Nobody is waited for: a pipe is no file.
fn read_text(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    text_of(file)
}

fn text_of(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// `None` if there is no file.
fn look_at(path: &Path) -> io::Result<Option<Seen>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Seen {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &str = "[servers.echo]\ncommand = \"cat\"\n";

    fn names(configuration: &Configuration) -> Vec<String> {
        let servers = &configuration.current().servers;
        servers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn no_file_is_no_servers_and_a_new_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut configuration = Configuration::read(path.clone());
        assert!(names(&configuration).is_empty());
        assert_eq!(configuration.error(), None);
        fs::write(&path, ECHO).unwrap();
        configuration.refresh();
        assert_eq!(names(&configuration), ["echo"]);
        fs::remove_file(&path).unwrap();
        configuration.refresh();
        assert!(names(&configuration).is_empty());
    }

    #[test]
    fn a_server_that_is_missing_at_an_address_takes_nothing_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let listen = "[http]\nlisten = [{ address = \"127.0.0.1:9999\", server = \"gone\" }]\n";
        fs::write(&path, format!("{listen}{ECHO}")).unwrap();
        let configuration = Configuration::read(path);
        assert_eq!(names(&configuration), ["echo"]);
        assert!(configuration.error().unwrap().contains("gone"));
    }

    #[test]
    fn a_broken_file_leaves_the_last_good_one_in_force_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, ECHO).unwrap();
        let mut configuration = Configuration::read(path.clone());
        let before = configuration.edition();
        fs::write(&path, format!("{ECHO}comand = \"oops\"\n")).unwrap();
        configuration.refresh();
        assert_eq!(names(&configuration), ["echo"]);
        assert!(configuration.error().unwrap().contains("comand"));
        assert_eq!(configuration.edition(), before);
        fs::write(&path, ECHO.replace("echo", "other")).unwrap();
        configuration.refresh();
        assert_eq!(names(&configuration), ["other"]);
        assert_ne!(configuration.edition(), before);
        assert_eq!(configuration.error(), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        // A folder in the place of the file.
        let configuration = Configuration::read(folder.path().to_path_buf());
        assert!(configuration.error().is_some());
        // What waits for somebody, or has no end.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe, PathBuf::from("/dev/zero")] {
            let configuration = Configuration::read(path);
            let error = configuration.error().unwrap();
            assert!(error.contains("it is not a file"), "{error}");
        }
    }
}
