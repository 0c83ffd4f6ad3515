//! Which unix sockets are two ends of one connection, as the system tells.
//!
//! A process that was started with a pair of sockets for its standard input and output holds one end;
//! whoever holds the other one may still write to it.

use std::{collections::BTreeMap, io};

/// The inode of the other end of each unix stream socket that is or was connected, by its own; `None` for one
/// whose other end is closed. Empty on systems that do not say.
pub fn all() -> io::Result<BTreeMap<u64, Option<u64>>> {
    system::all()
}

#[cfg(target_os = "linux")]
mod system {
    use std::{collections::BTreeMap, io};

    use rustix::net::{RecvFlags, SocketFlags, recv};

    use crate::sock_diag::{About, HEADER_BYTES, ask};

    /// There is no more (`NLMSG_DONE`).
    const DONE: u16 = 3;
    /// It cannot be answered (`NLMSG_ERROR`).
    const ERROR: u16 = 2;
    /// What is said of each beside the attributes (`unix_diag_msg`).
    const SAID_BYTES: usize = 16;
    /// Where it says of which kind the socket is, in which state, and its inode.
    const KIND_AT: usize = 1;
    const STATE_AT: usize = 2;
    const INODE_AT: usize = 4;
    /// A stream of bytes, with two ends (`SOCK_STREAM`, `TCP_ESTABLISHED`).
    const STREAM: u8 = 1;
    const CONNECTED: u8 = 1;
    /// The attribute that is asked for, and how it is asked for (`UNIX_DIAG_PEER`, `UDIAG_SHOW_PEER`).
    const PEER: u16 = 2;
    const SHOW_PEER: u32 = 4;
    /// As much as the system puts into one answer, and more.
    const ANSWER_BYTES_MAX: usize = 256 * 1024;

    pub(super) fn all() -> io::Result<BTreeMap<u64, Option<u64>>> {
        let kernel = ask(&question(), About::All, SocketFlags::empty())?;
        let mut peers = BTreeMap::new();
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        loop {
            let (length, _whole) = recv(&kernel, answer.as_mut_slice(), RecvFlags::empty())?;
            if length == 0 || !read(answer.get(..length).unwrap_or_default(), &mut peers)? {
                return Ok(peers);
            }
        }
    }

    /// What is asked (`unix_diag_req`).
    fn question() -> Vec<u8> {
        let mut bytes = Vec::new();
        // The family, `AF_UNIX`, and no protocol.
        bytes.extend([1, 0, 0, 0]);
        // In whatever state, whichever inode.
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(SHOW_PEER.to_ne_bytes());
        bytes.extend([0xFF; 8]);
        bytes
    }

    /// Reads one answer; says whether more will come.
    pub(super) fn read(answer: &[u8], peers: &mut BTreeMap<u64, Option<u64>>) -> io::Result<bool> {
        let mut rest = answer;
        while rest.len() >= HEADER_BYTES {
            let length = usize::try_from(long(rest, 0)).unwrap_or(usize::MAX);
            match short(rest, 4) {
                DONE => return Ok(false),
                ERROR => return Err(io::ErrorKind::Unsupported.into()),
                _socket => {}
            }
            let Some(message) = rest.get(HEADER_BYTES..length) else {
                break;
            };
            let is = |at: usize, value: u8| message.get(at) == Some(&value);
            if is(KIND_AT, STREAM) && is(STATE_AT, CONNECTED) {
                peers.insert(long(message, INODE_AT).into(), peer_in(message));
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(true)
    }

    fn peer_in(message: &[u8]) -> Option<u64> {
        let mut attributes = message.get(SAID_BYTES..)?;
        while attributes.len() >= 4 {
            let length = usize::from(short(attributes, 0)).max(4);
            if short(attributes, 2) == PEER && length >= 8 {
                // A peer that is closed is said to be 0.
                return Some(long(attributes, 4).into()).filter(|peer| *peer != 0);
            }
            attributes = attributes
                .get(length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        None
    }

    fn short(bytes: &[u8], at: usize) -> u16 {
        let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
        u16::from_ne_bytes(two.unwrap_or_default())
    }

    fn long(bytes: &[u8], at: usize) -> u32 {
        let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        u32::from_ne_bytes(four.unwrap_or_default())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{collections::BTreeMap, io};

    #[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
    pub(super) fn all() -> io::Result<BTreeMap<u64, Option<u64>>> {
        Ok(BTreeMap::new())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::{fd::AsFd, unix::net::UnixStream};

    use super::*;

    #[test]
    fn two_ends_know_each_other_until_one_is_closed() {
        let inode = |socket: &UnixStream| rustix::fs::fstat(socket.as_fd()).unwrap().st_ino;
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (our_inode, their_inode) = (inode(&ours), inode(&theirs));
        let peers = all().unwrap();
        assert_eq!(peers.get(&our_inode), Some(&Some(their_inode)));
        assert_eq!(peers.get(&their_inode), Some(&Some(our_inode)));
        drop(theirs);
        let peers = all().unwrap();
        assert_eq!(peers.get(&our_inode), Some(&None));
        assert_eq!(peers.get(&their_inode), None);
    }

    #[test]
    fn an_answer_that_is_cut_off_is_read_as_far_as_it_goes() {
        let mut peers = BTreeMap::new();
        for length in 0..64 {
            let _whole = system::read(&vec![0x11; length], &mut peers);
        }
        assert!(peers.is_empty());
    }
}
