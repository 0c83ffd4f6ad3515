//! How a daemon under a flood is watched. One whose memory is measured is that of a user: it keeps no books,
//! which take some for each open message.

use std::process::{Child, Stdio};

use super::{Home, processes::memory_kb, until, verdict::Books};

/// How a flood is watched.
pub(crate) enum Watched {
    /// By the books that are kept of every message.
    Books(Home),
    /// By what it costs a user's daemon.
    Memory(Bookless),
}

impl Watched {
    /// One of each: what is asked of a daemon must hold before both.
    pub(crate) fn both() -> [Self; 2] {
        [
            Watched::Books(Home::new()),
            Watched::Memory(Bookless::start()),
        ]
    }

    pub(crate) fn home(&self) -> &Home {
        match self {
            Watched::Books(home) => home,
            Watched::Memory(daemon) => &daemon.home,
        }
    }

    /// The most memory that the daemon ever took, in KiB, if that is what is watched.
    pub(crate) fn peak_kb(&self) -> Option<u64> {
        match self {
            Watched::Books(_) => None,
            Watched::Memory(daemon) => Some(daemon.peak_kb()),
        }
    }
}

/// The only daemon of a home.
pub(crate) struct Bookless {
    home: Home,
    daemon: Child,
}

impl Bookless {
    fn start() -> Self {
        let home = Home::with(Books::None);
        let daemon = home
            .mcpool(&["serve", "--background"])
            .env("MCPOOL_BOOKS", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the daemon listening", || {
            home.pool().join("mcpool.sock").exists()
        });
        Bookless { home, daemon }
    }

    /// The most memory that it ever took, in KiB.
    fn peak_kb(&self) -> u64 {
        assert_eq!(self.home.daemon_pid(), Some(self.daemon.id()));
        memory_kb(self.daemon.id(), "VmHWM")
    }
}

impl Drop for Bookless {
    /// Before the home, which looks at what is left. Nothing here may fail.
    fn drop(&mut self) {
        let stopped = self
            .home
            .mcpool(&["stop"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.daemon.kill(); // It may have ended already.
        }
        let _ = self.daemon.wait();
    }
}
