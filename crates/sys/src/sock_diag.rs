//! Questions to Linux about sockets (`sock_diag(7)`).

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType,
    netlink::{SOCK_DIAG, SocketAddrNetlink},
    sendto, socket_with,
};

/// The kind of a question, and of what an answer says of one socket (`SOCK_DIAG_BY_FAMILY`).
pub const BY_FAMILY: u16 = 20;

/// Bytes before what a message says (`nlmsghdr`).
pub const HEADER_BYTES: usize = 16;

/// A question (`NLM_F_REQUEST`), and one about all sockets that it fits (`NLM_F_DUMP`).
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

/// About which sockets is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The one that the question fits.
    One,
    /// All that it fits.
    All,
}

/// Puts a question, without its header; the answer is to be received from what comes back.
///
/// `flags` are those of the socket, beside `CLOEXEC`.
pub fn ask(question: &[u8], about: About, flags: SocketFlags) -> io::Result<OwnedFd> {
    let length = u32::try_from(HEADER_BYTES + question.len()).map_err(io::Error::other)?;
    let how = match about {
        About::One => REQUEST,
        About::All => REQUEST | DUMP,
    };
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(how.to_ne_bytes());
    // Its number, and nobody's port.
    message.extend([0; 8]);
    message.extend(question);
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags | SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    let system = SocketAddrNetlink::new(0, 0);
    sendto(&kernel, &message, SendFlags::empty(), &system)?;
    Ok(kernel)
}
