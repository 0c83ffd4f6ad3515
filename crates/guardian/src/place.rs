//! Where the next daemon finds a guardian: a socket, and a note beside it.
//!
//! **Invariant:** what a later guardian has put there is not taken away.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::trace;

/// The place of one guardian.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Our socket, once it is there.
    socket: Option<Known>,
}

/// What tells one file from all others: device, number, and, as numbers are used again, since when it
/// is as it is.
type Known = (u64, u64, (i64, i64));

impl Place {
    pub(crate) fn new(path: PathBuf) -> Place {
        Place { path, socket: None }
    }

    /// Makes the socket. What lies there is of one before us.
    pub(crate) fn open(&mut self) -> io::Result<UnixListener> {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let door = UnixListener::bind(&self.path)?;
        door.set_nonblocking(true)?;
        self.socket = Some(file(&self.path)?);
        trace::leave(&self.path);
        Ok(door)
    }

    /// Takes away what we have put there.
    pub(crate) fn leave(self) {
        if self.socket.is_some() && file(&self.path).ok() == self.socket {
            // Somebody else may have been quicker.
            let _ = fs::remove_file(&self.path);
        }
        trace::remove_own(&self.path);
    }
}

fn file(path: &Path) -> io::Result<Known> {
    let metadata = fs::symlink_metadata(path)?;
    let since = (metadata.ctime(), metadata.ctime_nsec());
    Ok((metadata.dev(), metadata.ino(), since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_left_empty_unless_it_is_a_successor_s_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.sock");
        let mut first = Place::new(path.clone());
        let _door = first.open().unwrap();
        let mut second = Place::new(path.clone());
        let _next_door = second.open().unwrap();
        first.leave();
        assert!(path.exists());
        second.leave();
        assert!(!path.exists());
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[test]
    fn one_that_was_never_opened_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.sock");
        fs::write(&path, "another's").unwrap();
        Place::new(path.clone()).leave();
        assert!(path.exists());
    }
}
