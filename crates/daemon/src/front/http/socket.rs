//! A unix socket for HTTP, for clients that can be told a path and no port.
//!
//! **Invariant:** it can be reached by its user alone, in a folder where nobody else can put another in its place, and
//! nothing is removed for it but a socket at which nobody listens any more.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use shim::places::check_private;
use tokio::net::UnixListener;

use super::BACKLOG;

/// The name of the socket, beside the daemon's own.
const NAME: &str = "http.sock";

/// Its place in the file system, until this is dropped.
#[derive(Debug)]
pub(super) struct Spot {
    path: PathBuf,
    identity: Identity,
}

/// Device and number of what stands there, and when it was changed last: a number may be given out again.
pub(super) type Identity = (u64, u64, (i64, i64));

impl Spot {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the program that takes our place knows it by. It stands until one of the two drops it.
    pub(super) fn freeze(&self) -> (PathBuf, Identity) {
        (self.path.clone(), self.identity)
    }

    pub(super) fn thaw(path: PathBuf, identity: Identity) -> Self {
        Spot { path, identity }
    }
}

/// Where it is if nobody says otherwise.
pub(super) fn beside(socket: &Path) -> PathBuf {
    socket.with_file_name(NAME)
}

/// Listens there.
pub(super) fn listen(path: &Path) -> anyhow::Result<(UnixListener, Spot)> {
    let what = || format!("cannot listen at {}", path.display());
    // It was asked for as an absolute path, and only the root has none.
    let folder = path.parent().unwrap_or(path);
    check_private(folder).with_context(what)?;
    clear(path)?;
    let listener = StdListener::bind(path).with_context(what)?;
    rustix::net::listen(&listener, BACKLOG).with_context(what)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(what)?;
    let spot = Spot {
        path: path.to_owned(),
        identity: identity(path).with_context(what)?,
    };
    listener.set_nonblocking(true).with_context(what)?;
    let listener = UnixListener::from_std(listener).with_context(what)?;
    Ok((listener, spot))
}

/// Removes what an earlier daemon has left.
fn clear(path: &Path) -> anyhow::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    if !there.file_type().is_socket() {
        bail!(
            "{} is no socket; remove it, or name another place in `http.socket`",
            path.display()
        );
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let removed = fs::remove_file(path);
            removed.with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(_) | Err(_) => bail!(
            "somebody else listens at {}; end that, or name another place in `http.socket`",
            path.display()
        ),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let there = fs::symlink_metadata(path)?;
    let changed = (there.ctime(), there.ctime_nsec());
    Ok((there.dev(), there.ino(), changed))
}

impl Drop for Spot {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            // Whoever comes next does it else.
            let _left = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn many_may_wait_until_they_are_let_in() {
        let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        // More than the standard library has wait, and fewer than this process may have descriptors.
        let most = BACKLOG.min(most.trim().parse().unwrap()).min(300);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let (_listener, _spot) = listen(&path).unwrap();
        let mut waiting = Vec::new();
        for _ in 0..most {
            // It does not wait for a place.
            waiting.push(tokio::net::UnixStream::connect(&path).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_socket_is_its_user_s_and_goes_with_its_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("mcpool.sock"));
        let (listener, spot) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = listen(&path).unwrap_err().to_string();
        assert!(taken.contains("somebody else listens"), "{taken}");
        drop(listener);
        // As a daemon leaves it that was killed.
        let (_listener, next) = listen(&path).unwrap();
        drop(spot);
        assert!(path.exists(), "it is another's by now");
        drop(next);
        assert!(!path.exists());
        fs::write(&path, "words").unwrap();
        let refused = listen(&path).unwrap_err().to_string();
        assert!(refused.contains("is no socket"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"words");
    }

    #[tokio::test]
    async fn a_folder_where_others_could_put_another_in_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        for mode in [0o770, 0o707, 0o1777] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            let refused = format!("{:#}", listen(&open.join("s")).unwrap_err());
            assert!(refused.contains("can be written by others"), "{refused}");
        }
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(listen(&open.join("s")).is_ok());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(
            listen(&link.join("s")).is_err(),
            "it may lead elsewhere then"
        );
    }
}
