//! Where the clients' files are on this machine.

use std::{
    env, fs, io,
    path::{self, Path, PathBuf},
};

use config::clients::{self, Client, Entry, Place, System};
use shim::{sibling, workspace};

use crate::{commands::connect::SMALL_PROGRAM, config_file};

/// This machine, as clients see it: `HOME` is what they go by.
#[derive(Clone)]
pub(crate) struct Machine {
    home: PathBuf,
    project: Option<PathBuf>,
}

/// A file of a client that is there.
pub(crate) struct Found {
    pub(crate) client: &'static Client,
    pub(crate) place: &'static Place,
    pub(crate) path: PathBuf,
}

impl Found {
    /// What it has of servers; nothing if that cannot be read.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let text = config_file::read_file(&self.path).unwrap_or_default();
        clients::survey(&text, self.client).unwrap_or_default()
    }
}

impl Machine {
    pub(crate) fn this() -> anyhow::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let home = env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
            .or_else(|| shim::home::of_user(user));
        let Some(home) = home else {
            anyhow::bail!("user {user} has no home folder; set HOME")
        };
        let project = workspace::find(None)?.map(|found| found.path);
        Ok(Machine { home, project })
    }

    /// The same with this project at hand.
    pub(crate) fn in_project(&self, project: &Path) -> Self {
        Machine {
            project: Some(project.to_path_buf()),
            ..self.clone()
        }
    }

    /// The files of these clients, each once, in the order of the clients.
    pub(crate) fn files(&self, clients: &[&'static Client]) -> Vec<Found> {
        let mut files: Vec<Found> = Vec::new();
        let forms = clients.iter().flat_map(|client| client.forms());
        for (client, place) in forms.flat_map(|form| form.places.iter().map(move |at| (form, at))) {
            let Some(pattern) = place.on_machine(self) else {
                continue;
            };
            // Of what cannot be looked into, there are no names to tell.
            for path in expanded(&pattern).unwrap_or_default() {
                let is_new = files.iter().all(|found| found.path != path);
                if is_new && !is_missing(&path) {
                    files.push(Found {
                        client,
                        place,
                        path,
                    });
                }
            }
        }
        files
    }

    /// The files of one place, whether they are there or not.
    pub(crate) fn paths(&self, place: &Place) -> io::Result<Vec<PathBuf>> {
        match place.on_machine(self) {
            Some(pattern) => expanded(&pattern),
            None => Ok(Vec::new()),
        }
    }

    /// A path as a person writes it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) => format!("~/{}", rest.display()),
            Err(_) => path.display().to_string(),
        }
    }
}

impl clients::Machine for Machine {
    fn system(&self) -> System {
        if cfg!(target_os = "macos") {
            System::Mac
        } else {
            System::Linux
        }
    }

    fn home(&self) -> PathBuf {
        self.home.clone()
    }

    /// A path from here is told from the top: what is done to a file is taken back from anywhere.
    fn variable(&self, name: &str) -> Option<PathBuf> {
        path::absolute(env::var_os(name)?).ok()
    }

    fn project(&self) -> Option<PathBuf> {
        self.project.clone()
    }

    /// Tests have administrators of their own.
    #[cfg(feature = "test-programs")]
    fn root(&self) -> PathBuf {
        let root = clients::Machine::variable(self, "MCPOOL_TEST_ROOT");
        root.unwrap_or_else(|| PathBuf::from("/"))
    }
}

/// Whether there is no such file; one in a folder that cannot be looked into may be there.
fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| means_missing(&error))
}

/// Whether this error says that there is nothing.
pub(super) fn means_missing(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

/// The paths that a pattern stands for: itself, or what its one part with a `*` matches.
fn expanded(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        let Some((start, end)) = text.split_once('*') else {
            for path in &mut paths {
                path.push(part);
            }
            continue;
        };
        let mut matching = Vec::new();
        for folder in &paths {
            let entries = match fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(error) if means_missing(&error) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let is_long_enough = name.len() >= start.len() + end.len();
                if is_long_enough && name.starts_with(start) && name.ends_with(end) {
                    matching.push(entry.path());
                }
            }
        }
        matching.sort();
        paths = matching;
    }
    Ok(paths)
}

/// The program that clients are told to start.
///
/// By a path on `PATH`, if one there is the installed one: a package manager keeps that path
/// when it changes what is behind it.
pub(crate) fn small_program() -> anyhow::Result<PathBuf> {
    let installed = sibling::path(SMALL_PROGRAM)?;
    let real = fs::canonicalize(&installed)?;
    let on_path = on_path().filter(|path| fs::canonicalize(path).is_ok_and(|path| path == real));
    Ok(on_path.unwrap_or(installed))
}

/// What a client finds that looks for `mcpool` on our `PATH`.
pub(crate) fn on_path() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(SMALL_PROGRAM))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_in_one_part() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["a/1/x", "a/2/x", "b.yaml", "c.yaml", "d.json"] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        }
        let expanded = |path| expanded(&at(path)).unwrap();
        assert_eq!(expanded("a/*/x"), [at("a/1/x"), at("a/2/x")]);
        assert_eq!(expanded("*.yaml"), [at("b.yaml"), at("c.yaml")]);
        assert_eq!(expanded("no/*/x"), Vec::<PathBuf>::new());
        assert_eq!(expanded("plain"), [at("plain")]);
    }
}
