//! Where everything of one installation lies.
//!
//! With `--home DIR` or `MCPOOL_HOME` it is all in one folder. Without, the places
//! follow from the password database and the user id alone: no client's idea of
//! `XDG_*` can lead to a second daemon.

use std::{
    collections::BTreeSet,
    env, error, fmt, fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{self, Path, PathBuf},
};

pub use crate::folder::{FolderError, check_private};
use crate::{folder, home};

/// Longest path of a unix socket, in bytes: `sun_path` less its ending NUL.
pub const SOCKET_PATH_MAX: usize = 107;

/// The places of one installation, all absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The one folder of everything, if `--home` or `MCPOOL_HOME` named one.
    pub home: Option<PathBuf>,
    /// The configuration file.
    pub config: PathBuf,
    /// The folder of what a daemon must remember.
    pub state: PathBuf,
    /// The folder of the logs: `daemon.log` and one file per server.
    pub logs: PathBuf,
    /// The file that the living daemon keeps locked, and that names its socket.
    pub lock: PathBuf,
    /// The socket where a daemon listens that is started from here.
    ///
    /// A daemon that runs already may listen elsewhere: its lock says where.
    pub socket: PathBuf,
}

/// Why there is no place for mcpool.
#[derive(Debug)]
pub enum PlacesError {
    /// Neither the password database nor `$HOME` names a home folder.
    NoHome {
        /// The user that was asked for.
        user: u32,
    },
    /// The folder of `--home` or `MCPOOL_HOME` cannot be made absolute.
    BadHome {
        /// What was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path is longer than a socket's name can be.
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A folder is missing or not safe.
    Folder(FolderError),
}

impl fmt::Display for PlacesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlacesError::NoHome { user } => write!(
                f,
                "user {user} has no home folder; set MCPOOL_HOME to a folder for mcpool"
            ),
            PlacesError::BadHome { path, source } => {
                write!(f, "cannot use `{}` as home: {source}", path.display())
            }
            PlacesError::SocketPathTooLong { path } => write!(
                f,
                "the socket's path {} is longer than {SOCKET_PATH_MAX} bytes; \
                 set MCPOOL_HOME to a folder with a shorter path",
                path.display()
            ),
            PlacesError::Folder(error) => error.fmt(f),
        }
    }
}

// Its words have those of what caused it in them.
impl error::Error for PlacesError {}

impl From<FolderError> for PlacesError {
    fn from(error: FolderError) -> Self {
        PlacesError::Folder(error)
    }
}

impl Places {
    /// The places of this user: in `home` if given, else in `MCPOOL_HOME` if set,
    /// else under the home folder.
    ///
    /// Nothing is made or changed, see [`Places::prepare`].
    pub fn find(home: Option<&Path>) -> Result<Self, PlacesError> {
        let moved = home.map(Path::to_path_buf).or_else(|| {
            env::var_os("MCPOOL_HOME")
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        });
        if let Some(moved) = moved {
            return match path::absolute(&moved) {
                Ok(absolute) => Ok(Self::in_one_folder(&absolute)),
                Err(source) => Err(PlacesError::BadHome {
                    path: moved,
                    source,
                }),
            };
        }
        let user = rustix::process::geteuid().as_raw();
        let home = home::of_user(user).ok_or(PlacesError::NoHome { user })?;
        let runtime = PathBuf::from(format!("/run/user/{user}"));
        let runtime = is_private(&runtime, user).then_some(runtime);
        Ok(Self::spread_out(&home, runtime.as_deref()))
    }

    /// Makes the folders that a daemon writes to, mode 0700, and refuses those
    /// that another user owns or could change.
    pub fn prepare(&self) -> Result<(), PlacesError> {
        self.check_socket()?;
        if let Some(home) = &self.home {
            folder::ensure_private(home)?;
        }
        folder::ensure_private(&self.state)?;
        folder::ensure_private(&self.logs)?;
        if let Some(parent) = self.socket.parent() {
            folder::ensure_private(parent)?;
        }
        Ok(())
    }

    /// What [`Places::prepare`] would refuse of the folders that are there, and nothing is made.
    pub fn faults(&self) -> Vec<FolderError> {
        let folders = [
            self.home.as_deref(),
            Some(self.state.as_path()),
            Some(self.logs.as_path()),
            self.socket.parent(),
        ];
        // Several may be one.
        let folders: BTreeSet<&Path> = folders.into_iter().flatten().collect();
        let faults = folders.into_iter().map(folder::check_if_there);
        faults.filter_map(Result::err).collect()
    }

    /// Says in plain words that a path is too long for a socket; the system would
    /// say `invalid argument`.
    pub fn check_socket(&self) -> Result<(), PlacesError> {
        if self.socket.as_os_str().as_bytes().len() > SOCKET_PATH_MAX {
            return Err(PlacesError::SocketPathTooLong {
                path: self.socket.clone(),
            });
        }
        Ok(())
    }

    /// The socket where a daemon finds the guardian that its predecessor has left.
    pub fn guardian_socket(&self) -> PathBuf {
        // No longer than the daemon's own, whose length is checked.
        self.socket.with_file_name("guard.sock")
    }

    /// The log of the daemon itself.
    pub fn daemon_log(&self) -> PathBuf {
        self.logs.join("daemon.log")
    }

    /// The file that is locked by whoever starts a daemon, while it does.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.lock.with_file_name("daemon.start")
    }

    fn in_one_folder(home: &Path) -> Self {
        // A trailing slash would let a symbolic link pass for a folder.
        let home: PathBuf = home.components().collect();
        let state = home.join("state");
        Places {
            config: home.join("config.toml"),
            logs: home.join("logs"),
            lock: state.join("daemon.lock"),
            socket: home.join("mcpool.sock"),
            state,
            home: Some(home),
        }
    }

    fn spread_out(home: &Path, runtime: Option<&Path>) -> Self {
        let state = home.join(".local/state/mcpool");
        Places {
            config: home.join(".config/mcpool/config.toml"),
            logs: state.join("logs"),
            lock: state.join("daemon.lock"),
            socket: match runtime {
                Some(runtime) => runtime.join("mcpool/mcpool.sock"),
                None => state.join("mcpool.sock"),
            },
            state,
            home: None,
        }
    }
}

fn is_private(folder: &Path, user: u32) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|metadata| {
        metadata.is_dir()
            && metadata.uid() == user
            && metadata.permissions().mode() & 0o777 == 0o700
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_home_holds_everything_and_wins() {
        let places = Places::find(Some(Path::new("/somewhere/pool/"))).unwrap();
        assert_eq!(places.home.as_deref(), Some(Path::new("/somewhere/pool")));
        assert_eq!(places.config, Path::new("/somewhere/pool/config.toml"));
        assert_eq!(places.socket, Path::new("/somewhere/pool/mcpool.sock"));
        assert_eq!(places.logs, Path::new("/somewhere/pool/logs"));
        assert_eq!(places.lock, Path::new("/somewhere/pool/state/daemon.lock"));
        assert_eq!(
            places.home.unwrap().as_os_str().as_bytes().last(),
            Some(&b'l'),
            "no trailing slash is left"
        );
    }

    #[test]
    fn a_relative_home_is_taken_from_the_current_folder() {
        let places = Places::find(Some(Path::new("pool"))).unwrap();
        assert_eq!(places.home, Some(env::current_dir().unwrap().join("pool")));
    }

    #[test]
    fn without_a_home_the_socket_is_in_the_runtime_folder_if_there_is_one() {
        let places = Places::spread_out(Path::new("/home/ada"), Some(Path::new("/run/user/7")));
        assert_eq!(places.socket, Path::new("/run/user/7/mcpool/mcpool.sock"));
        assert_eq!(places.state, Path::new("/home/ada/.local/state/mcpool"));
        let places = Places::spread_out(Path::new("/home/ada"), None);
        assert_eq!(places.socket, places.state.join("mcpool.sock"));
        assert_eq!(places.lock, places.state.join("daemon.lock"));
    }

    #[test]
    fn a_runtime_folder_counts_only_if_it_is_closed_to_others() {
        let temporary = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        for (mode, expected) in [(0o700, true), (0o755, false), (0o770, false)] {
            fs::set_permissions(temporary.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(temporary.path(), user), expected, "{mode:o}");
        }
        assert!(!is_private(temporary.path(), user + 1));
        assert!(!is_private(&temporary.path().join("missing"), user));
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_told_with_the_way_out() {
        let temporary = tempfile::tempdir().unwrap();
        let places = Places::find(Some(&temporary.path().join("x".repeat(100)))).unwrap();
        let error = places.prepare().unwrap_err().to_string();
        assert!(error.contains("MCPOOL_HOME"), "{error}");
        assert!(!places.state.exists());
    }

    #[test]
    fn preparing_makes_the_folders_and_refuses_an_open_one() {
        let temporary = tempfile::tempdir().unwrap();
        let places = Places::find(Some(&temporary.path().join("pool"))).unwrap();
        places.prepare().unwrap();
        assert!(places.state.is_dir() && places.logs.is_dir());
        fs::set_permissions(&places.logs, fs::Permissions::from_mode(0o777)).unwrap();
        let error = places.prepare().unwrap_err();
        assert!(matches!(
            error,
            PlacesError::Folder(FolderError::TooOpen { .. })
        ));
    }
}
