//! Where the daemon stands for all to find: its socket, and the lock that says whose that is.
//!
//! Somebody may remove either while we run, and even both with their folder. That is looked for every
//! few seconds, and mended unless another daemon has taken the places by then: it is found, and we
//! serve the sessions that we have.
//!
//! **Invariant:** the socket is touched only by who holds the lock in its place, and never while
//! somebody else answers there.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder},
    io,
    os::{
        fd::AsFd,
        unix::{
            fs::{DirBuilderExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::{io::Errno, net::SocketAddrUnix};
use shim::{
    lock::{self, DaemonLock},
    places::Places,
};
use sys::handed;

use crate::{
    files, observe,
    upgrade::{FrozenStand, Handed},
};

/// How long whoever looks whether the lock is held may keep us from taking it.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// The same when the lock is taken once more, and everybody waits meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_millis(50);

/// The daemon's claim to its places.
#[derive(Debug)]
pub(crate) struct Stand {
    lock_path: PathBuf,
    socket_path: PathBuf,
    lock: DaemonLock,
    is_announced: bool,
    /// Device and number of our socket.
    socket: Option<(u64, u64)>,
    /// A service manager's, at which nobody was let in yet.
    passed: Option<UnixListener>,
    /// Whether the socket is a service manager's, which goes on listening there when we have gone.
    is_passed: bool,
    /// Whether another daemon has the places now.
    is_lost: bool,
    /// What is wrong and has been told.
    told: Option<String>,
}

impl Stand {
    /// Takes the lock, or says who else is the daemon of these places. The socket may be one that was `passed`.
    pub(crate) fn take(places: &Places, passed: Option<UnixListener>) -> anyhow::Result<Stand> {
        let passed_at = passed.as_ref().and_then(path_of);
        let socket_path = passed_at.unwrap_or_else(|| places.socket.clone());
        let taken = DaemonLock::take(&places.lock, LOCK_PATIENCE)
            .with_context(|| format!("taking the lock {}", places.lock.display()))?;
        if let Some(mut lock) = taken {
            // At one that was passed whoever has passed it answers.
            if passed.is_none() && is_answered(&places.socket) {
                // It takes its lock again when it sees that it can.
                let _nobody_s = lock.abandon(&places.lock);
                bail!(
                    "a daemon listens at {} already, though somebody has removed its lock {}; \
                     `mcpool stop` ends it",
                    places.socket.display(),
                    places.lock.display()
                );
            }
            return Ok(Stand {
                lock_path: places.lock.clone(),
                socket_path,
                lock,
                is_announced: false,
                socket: None,
                is_passed: passed.is_some(),
                passed,
                is_lost: false,
                told: None,
            });
        }
        match lock::announced(&places.lock) {
            Some(holder) => bail!(
                "a daemon runs already: process {}, listening at {}; `mcpool stop` ends it, \
                 and `mcpool upgrade` has it go on as the program that is installed now",
                holder.pid,
                holder.socket.display()
            ),
            None => bail!(
                "another daemon holds the lock {} and is just starting or stopping",
                places.lock.display()
            ),
        }
    }

    /// What the program that takes our place has to know of it.
    pub(crate) fn freeze<'a>(&'a self, handed: &mut Handed<'a>) -> FrozenStand {
        FrozenStand {
            lock: handed.over(self.lock.as_fd()),
            is_announced: self.is_announced,
            socket: self.socket,
            is_lost: self.is_lost,
            is_passed: self.is_passed,
            path: Some(self.socket_path.clone().into_os_string().into()),
        }
    }

    /// Goes on with the one that the program before us had.
    pub(crate) fn thaw(frozen: FrozenStand, places: &Places) -> io::Result<Stand> {
        Ok(Stand {
            lock_path: places.lock.clone(),
            socket_path: frozen
                .path
                .map_or_else(|| places.socket.clone(), |path| OsString::from(path).into()),
            passed: None,
            is_passed: frozen.is_passed,
            lock: DaemonLock::handed_over(handed::take(frozen.lock)?.into()),
            is_announced: frozen.is_announced,
            socket: frozen.socket,
            is_lost: frozen.is_lost,
            told: None,
        })
    }

    /// Listens, and tells where in the lock file.
    pub(crate) fn listen(&mut self) -> anyhow::Result<UnixListener> {
        let listener = match self.passed.take() {
            Some(passed) => {
                self.socket = inode_at(&self.socket_path)?;
                passed
            }
            None => self.bind()?,
        };
        self.announce();
        Ok(listener)
    }

    /// Looks whether all stands where it stood, and mends it. A listener that is returned takes the
    /// place of the one before.
    pub(crate) fn look(&mut self) -> Option<UnixListener> {
        match self.mend() {
            Ok(listener) => {
                self.told = None;
                listener
            }
            Err(error) => {
                let words = format!("{error:#}");
                if self.told.as_ref() != Some(&words) {
                    observe::stand_not_mended(&words);
                    self.told = Some(words);
                }
                None
            }
        }
    }

    fn mend(&mut self) -> anyhow::Result<Option<UnixListener>> {
        if !self.lock.is_in_place(&self.lock_path)? && !self.take_again()? {
            return Ok(None);
        }
        if !self.is_announced {
            self.announce();
        }
        if self.socket.is_some() && inode_at(&self.socket_path)? == self.socket {
            return Ok(None);
        }
        make_parent(&self.socket_path)?;
        let listener = self.bind()?;
        observe::socket_renewed(&self.socket_path);
        Ok(Some(listener))
    }

    /// Takes the lock that somebody has removed; says whether it is ours now.
    fn take_again(&mut self) -> anyhow::Result<bool> {
        make_parent(&self.lock_path)?;
        let patience = if self.is_lost {
            Duration::ZERO
        } else {
            SHORT_PATIENCE
        };
        let taken = DaemonLock::take(&self.lock_path, patience)
            .with_context(|| format!("taking the lock {}", self.lock_path.display()))?;
        let Some(lock) = taken else {
            if !self.is_lost {
                self.is_lost = true;
                observe::places_lost(&self.lock_path);
            }
            return Ok(false);
        };
        observe::lock_renewed(&self.lock_path);
        self.lock = lock;
        self.is_lost = false;
        self.is_announced = false;
        Ok(true)
    }

    /// Binds the socket. What stands there already is a leftover: we hold the lock.
    fn bind(&mut self) -> anyhow::Result<UnixListener> {
        let path = &self.socket_path;
        files::remove(path).with_context(|| format!("removing the old {}", path.display()))?;
        let listener =
            UnixListener::bind(path).with_context(|| format!("listening at {}", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("closing {} to others", path.display()))?;
        listener.set_nonblocking(true)?;
        self.socket = inode_at(path)?;
        self.is_passed = false;
        Ok(listener)
    }

    /// Those who look are told by the lock file; without it, on a full disk, they look in the usual
    /// place all the same.
    fn announce(&mut self) {
        match self.lock.announce(std::process::id(), &self.socket_path) {
            Ok(()) => self.is_announced = true,
            Err(error) => observe::not_announced(&self.lock_path, &error),
        }
    }

    /// Takes the socket and the lock away, unless they are another daemon's by now, or the socket is a service
    /// manager's.
    pub(crate) fn leave(&mut self) -> anyhow::Result<()> {
        let is_ours = self.lock.is_in_place(&self.lock_path).unwrap_or(true);
        let socket = if is_ours && !self.is_passed {
            fs::remove_file(&self.socket_path)
                .with_context(|| format!("removing {}", self.socket_path.display()))
        } else {
            Ok(())
        };
        self.lock
            .abandon(&self.lock_path)
            .with_context(|| format!("removing {}", self.lock_path.display()))?;
        socket
    }
}

/// Where a socket stands.
fn path_of(listener: &UnixListener) -> Option<PathBuf> {
    let address = listener.local_addr().ok()?;
    Some(address.as_pathname()?.to_path_buf())
}

/// Whether somebody takes calls at this socket, be it somebody with no time for more of them.
fn is_answered(path: &Path) -> bool {
    let connect = || {
        let caller = sys::socket::stream()?;
        rustix::io::ioctl_fionbio(&caller, true)?;
        rustix::net::connect(&caller, &SocketAddrUnix::new(path)?)
    };
    matches!(connect(), Ok(()) | Err(Errno::AGAIN))
}

/// Makes the folder of this path, if only that is missing.
fn make_parent(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("making {} again", folder.display())),
    }
}

fn inode_at(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    struct Home {
        folder: tempfile::TempDir,
    }

    impl Home {
        fn new() -> Home {
            let home = Home {
                folder: tempfile::tempdir().unwrap(),
            };
            home.places().prepare().unwrap();
            home
        }

        fn places(&self) -> Places {
            Places::find(Some(&self.folder.path().join("pool"))).unwrap()
        }
    }

    #[test]
    fn what_stands_as_it_stood_is_left_alone() {
        let home = Home::new();
        let mut stand = Stand::take(&home.places(), None).unwrap();
        let _listener = stand.listen().unwrap();
        assert!(stand.look().is_none());
        stand.leave().unwrap();
        assert!(!home.places().socket.exists() && !home.places().lock.exists());
    }

    #[test]
    fn a_socket_that_was_removed_or_replaced_is_bound_again() {
        let home = Home::new();
        let socket = home.places().socket;
        let mut stand = Stand::take(&home.places(), None).unwrap();
        let _first = stand.listen().unwrap();
        fs::remove_file(&socket).unwrap();
        let _second = stand.look().unwrap();
        UnixStream::connect(&socket).unwrap();
        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "not a socket").unwrap();
        let _third = stand.look().unwrap();
        UnixStream::connect(&socket).unwrap();
        assert!(stand.look().is_none());
    }

    #[test]
    fn a_lock_that_was_removed_with_its_folder_is_taken_and_announced_again() {
        let home = Home::new();
        let places = home.places();
        let mut stand = Stand::take(&places, None).unwrap();
        let _listener = stand.listen().unwrap();
        fs::remove_dir_all(&places.state).unwrap();
        assert!(stand.look().is_none(), "the socket still stands");
        let holder = lock::holder(&places.lock).unwrap().unwrap().by.unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(fs::metadata(&places.state).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn places_that_another_daemon_has_taken_are_its_own_until_it_goes() {
        let home = Home::new();
        let places = home.places();
        let mut first = Stand::take(&places, None).unwrap();
        let _first_listener = first.listen().unwrap();
        fs::remove_file(&places.lock).unwrap();
        fs::remove_file(&places.socket).unwrap();
        let mut second = Stand::take(&places, None).unwrap();
        let _second_listener = second.listen().unwrap();
        assert!(first.look().is_none());
        assert!(second.look().is_none(), "all of it stands as it stood");
        second.leave().unwrap();
        let _again = first.look().unwrap();
        UnixStream::connect(&places.socket).unwrap();
        first.leave().unwrap();
        assert!(!places.socket.exists());
    }

    #[test]
    fn no_daemon_begins_where_another_answers_that_has_lost_its_lock() {
        let home = Home::new();
        let places = home.places();
        let mut first = Stand::take(&places, None).unwrap();
        let _listener = first.listen().unwrap();
        fs::remove_file(&places.lock).unwrap();
        let words = Stand::take(&places, None).unwrap_err().to_string();
        assert!(words.contains(places.socket.to_str().unwrap()), "{words}");
        assert!(first.look().is_none());
        assert!(lock::holder(&places.lock).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_removed_from_the_socket_s_place_is_named() {
        let home = Home::new();
        let places = home.places();
        fs::create_dir(&places.socket).unwrap();
        let mut stand = Stand::take(&places, None).unwrap();
        let words = format!("{:#}", stand.listen().unwrap_err());
        assert!(words.contains(places.socket.to_str().unwrap()), "{words}");
    }
}
