//! Leases on files: nobody else has the file open, and whoever opens it waits.
//!
//! Linux gives one to the owner of a file that nobody else has open. Who opens the file then
//! waits until the lease is given back, 45 s at most (`/proc/sys/fs/lease-break-time`). Not
//! every file system has them, and other systems have none: then there is no lease to be had.

use std::{fs::File, io};

/// A lease on an open file; dropping it closes the file, and those who wait go on.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

/// Who waits for a leased file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody.
    Nobody,
    /// Somebody who wants to read it.
    Reader,
    /// Somebody who wants to write to it.
    Writer,
}

impl Lease {
    /// Takes a lease on this file, or gives it back if there is none to be had: somebody else
    /// has it open, or such files have no leases.
    ///
    /// The process is told by a signal when somebody waits; it is ignored from here on.
    pub fn take(file: File) -> Result<Self, File> {
        match platform::set(&file) {
            Ok(()) => Ok(Lease { file }),
            Err(_) => Err(file),
        }
    }

    /// The leased file. Opening it by its name would wait for ourselves.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Who waits for it. A writer where both do.
    pub fn waiting(&self) -> io::Result<Waiting> {
        platform::waiting(&self.file)
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::{fs::File, io, os::fd::AsRawFd};

    use rustix::process::Signal;

    use super::Waiting;
    use crate::signals;

    pub(super) fn set(file: &File) -> io::Result<()> {
        signals::ignore(Signal::IO);
        // SAFETY: the descriptor is open for as long as `file` is borrowed; the call takes a number.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    pub(super) fn waiting(file: &File) -> io::Result<Waiting> {
        // SAFETY: the descriptor is open for as long as `file` is borrowed.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
        match result {
            -1 => Err(io::Error::last_os_error()),
            libc::F_WRLCK => Ok(Waiting::Nobody),
            libc::F_RDLCK => Ok(Waiting::Reader),
            _ => Ok(Waiting::Writer),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::{fs::File, io};

    use super::Waiting;

    pub(super) fn set(_file: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
    pub(super) fn waiting(_file: &File) -> io::Result<Waiting> {
        Ok(Waiting::Nobody)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{fs, path::PathBuf, process, thread};

    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mcpool-lease-{}-{name}", process::id()));
        fs::write(&path, "x").unwrap();
        path
    }

    /// A child of another test may have the file for a moment, until it executes its program.
    fn taken(mut file: File) -> Lease {
        loop {
            match Lease::take(file) {
                Ok(lease) => return lease,
                Err(refused) => file = refused,
            }
            thread::yield_now();
        }
    }

    #[test]
    fn who_opens_a_leased_file_waits_until_it_is_given_back() {
        let path = path("waits");
        let lease = taken(File::open(&path).unwrap());
        assert_eq!(lease.waiting().unwrap(), Waiting::Nobody);
        thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&path).unwrap());
            while lease.waiting().unwrap() == Waiting::Nobody {
                thread::yield_now();
            }
            assert_eq!(lease.waiting().unwrap(), Waiting::Reader);
            assert!(!reader.is_finished());
            let writer = scope.spawn(|| fs::write(&path, "y").unwrap());
            while lease.waiting().unwrap() != Waiting::Writer {
                thread::yield_now();
            }
            drop(lease);
            writer.join().unwrap();
            reader.join().unwrap();
        });
        assert_eq!(fs::read(&path).unwrap(), b"y");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn there_is_no_lease_on_what_another_has_open() {
        let path = path("open");
        let other = File::open(&path).unwrap();
        let file = Lease::take(File::open(&path).unwrap()).unwrap_err();
        drop(other);
        drop(taken(file));
        fs::remove_file(path).unwrap();
    }
}
