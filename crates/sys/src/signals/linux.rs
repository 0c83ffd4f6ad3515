//! On Linux: a descriptor of the kernel's for exactly that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Signal;

use crate::mask::{self, Change};

/// `sizeof(struct signalfd_siginfo)`, fixed by the kernel's interface.
const RECORD_LEN: usize = 128;

/// A descriptor that becomes readable when one of its signals arrives.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks `signals` in the calling thread and collects them from then on, first those that were blocked when they
    /// came, perhaps for another program that this process was.
    ///
    /// One that whoever started us has us pass over is heard as well.
    ///
    /// Call it before any other thread is started: a thread in which they are not
    /// blocked would get them instead.
    pub fn watch(signals: &[Signal]) -> io::Result<Signals> {
        let set = mask::set_of(signals);
        mask::change(Change::Block, &set)?;
        signals.iter().copied().for_each(heed);
        // SAFETY: the set is valid; -1 asks for a new descriptor.
        let fd = unsafe {
            libc::signalfd(
                -1,
                ptr::from_ref(&set),
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just returned this descriptor; nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Signals { fd })
    }

    /// Takes all that arrived; empty if nothing did. Never waits.
    ///
    /// Equal signals that were pending at once are one.
    pub fn drain(&self) -> io::Result<Vec<Signal>> {
        let mut arrived = Vec::new();
        let mut records = [0_u8; 4 * RECORD_LEN];
        loop {
            let len = match rustix::io::read(&self.fd, &mut records) {
                Ok(len) => len,
                Err(Errno::AGAIN) => return Ok(arrived),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for record in records[..len].chunks_exact(RECORD_LEN) {
                let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                arrived.extend(i32::try_from(number).ok().and_then(Signal::from_named_raw));
            }
        }
    }
}

/// Has a signal be kept that would be passed over: what is passed over is not even pending.
fn heed(signal: Signal) {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the pointer is valid for the call, which only writes there.
    let asked = unsafe { libc::sigaction(signal.as_raw(), ptr::null(), action.as_mut_ptr()) };
    // SAFETY: a successful sigaction filled it in.
    if asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN {
        // SAFETY: to set the default installs no code, and the signal is blocked.
        unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
