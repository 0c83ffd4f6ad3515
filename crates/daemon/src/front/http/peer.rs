//! Who has made a connection on this machine: the system knows the user of the other end.

use std::{io, net::SocketAddr};

use super::gate::Peer;

/// Finds out who is at the other end of a connection from `peer` to `ours`.
pub(super) fn find(peer: SocketAddr, ours: SocketAddr) -> Peer {
    let user = rustix::process::geteuid().as_raw();
    match system::user_of(peer, ours) {
        Ok(found) if found == user => Peer::SameUser,
        Ok(_other) => Peer::Unknown,
        Err(error) => {
            tracing::debug!(%error, "nobody knows who has connected");
            Peer::Unknown
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::net::IpAddr;

    use super::{SocketAddr, io};
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, recv};
    use sys::sock_diag::{About, BY_FAMILY, HEADER_BYTES, ask};

    /// Where the user stands in an answer (`inet_diag_msg.idiag_uid`).
    const USER_AT: usize = HEADER_BYTES + 64;
    /// Where the socket's inode stands in it (`idiag_inode`).
    const INODE_AT: usize = USER_AT + 4;
    const ROOT: u32 = 0;
    const TCP: u8 = 6;

    /// The user whose socket at `theirs` is connected with ours.
    pub(super) fn user_of(theirs: SocketAddr, ours: SocketAddr) -> io::Result<u32> {
        let question = question(theirs, ours)?;
        let kernel = ask(&question, About::One, SocketFlags::NONBLOCK)?;
        // The answer is there when the question has been put.
        let mut answer = [0; 1024];
        let (length, _whole) = recv(&kernel, &mut answer, RecvFlags::empty())?;
        let answer = answer.get(..length).unwrap_or_default();
        user_in(answer).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What is asked (`inet_diag_req_v2`).
    fn question(theirs: SocketAddr, ours: SocketAddr) -> io::Result<Vec<u8>> {
        let family = match theirs.ip() {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let family = u8::try_from(family.as_raw()).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.extend([family, TCP, 0, 0]);
        // In whatever state it is.
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend(theirs.port().to_be_bytes());
        bytes.extend(ours.port().to_be_bytes());
        bytes.extend(bytes_of(theirs.ip()));
        bytes.extend(bytes_of(ours.ip()));
        // At any interface, under any cookie.
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([0xFF; 8]);
        Ok(bytes)
    }

    /// The bytes of an address, in the 16 that the system has for it.
    fn bytes_of(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => {
                let mut bytes = [0; 16];
                bytes
                    .iter_mut()
                    .zip(address.octets())
                    .for_each(|(byte, octet)| *byte = octet);
                bytes
            }
            IpAddr::V6(address) => address.octets(),
        }
    }

    fn user_in(answer: &[u8]) -> Option<u32> {
        let kind = answer.get(4..6)?;
        if kind != BY_FAMILY.to_ne_bytes() {
            return None;
        }
        let number_at = |at: usize| {
            let bytes = answer.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (user, inode) = (number_at(USER_AT)?, number_at(INODE_AT)?);
        // One that no process has any more, or not yet, is said to be root's, whoever made it.
        (user != ROOT || inode != 0).then_some(user)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_belongs_to_nobody_is_not_taken_for_root_s() {
            let answer = |user: u32, inode: u32| {
                let mut bytes = [0; INODE_AT + 4];
                bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
                bytes[USER_AT..INODE_AT].copy_from_slice(&user.to_ne_bytes());
                bytes[INODE_AT..].copy_from_slice(&inode.to_ne_bytes());
                bytes
            };
            assert_eq!(user_in(&answer(ROOT, 0)), None);
            assert_eq!(user_in(&answer(ROOT, 7)), Some(ROOT));
            assert_eq!(user_in(&answer(1000, 0)), Some(1000));
            assert_eq!(user_in(&answer(1000, 7)[..INODE_AT]), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{SocketAddr, io};

    /// Nobody says it here.
    pub(super) fn user_of(_theirs: SocketAddr, _ours: SocketAddr) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_connects_from_this_machine_is_known() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // There are machines without the second.
            let Ok(listener) = TcpListener::bind(address) else {
                assert_eq!(address, "[::1]:0");
                continue;
            };
            let ours = listener.local_addr().unwrap();
            let client = TcpStream::connect(ours).unwrap();
            let (_accepted, peer) = listener.accept().unwrap();
            assert_eq!(find(peer, ours), Peer::SameUser);
            drop(client);
            let other = SocketAddr::new(peer.ip(), 1);
            assert_eq!(find(other, ours), Peer::Unknown, "nobody is there");
        }
    }
}
