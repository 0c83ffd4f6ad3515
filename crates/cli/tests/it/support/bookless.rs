//! A daemon whose memory is that of a user's: it keeps no books, which take some for each open message.

use std::process::{Child, Stdio};

use super::{Home, processes::memory_kb, until, verdict::Books};

/// The only daemon of a home.
pub(crate) struct Bookless {
    pub(crate) home: Home,
    daemon: Child,
}

impl Bookless {
    pub(crate) fn start() -> Self {
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
    pub(crate) fn peak_kb(&self) -> u64 {
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
