//! Messages and descriptors over a unix stream socket.
//!
//! **Invariant:** the descriptors of a message travel with its first byte, in one
//! `sendmsg`. The kernel ends a read at the end of such a piece, so sets of descriptors
//! arrive in the order of their messages, each no later than its message.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, recvmsg, sendmsg,
};
use sys::socket;

use super::{Command, Malformed, Report};

/// Both ends of standard input, output and error.
const FDS_MAX: usize = 6;

const CHUNK_LEN: usize = 16 << 10;

/// Writes as much of `bytes` as goes, with `fds` (six at most) on the first byte, and
/// returns how much that was.
///
/// Once this has succeeded the descriptors are with the receiver: write the rest
/// without them. A socket that is not blocking may say `WouldBlock`; then nothing was sent.
pub fn send_with_fds(to: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "more than six descriptors in one message",
        ));
    }
    Ok(sendmsg(
        to,
        &[IoSlice::new(bytes)],
        &mut control,
        socket::SENDING,
    )?)
}

/// Sends a whole command over a blocking socket.
pub fn send(socket: impl AsFd, command: &Command, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = command
        .encode()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut fds = fds;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match send_with_fds(&socket, rest, fds) {
            Ok(len) => {
                rest = &rest[len..];
                fds = &[];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The receiving end of a stream of commands, or of reports.
#[derive(Debug, Default)]
pub struct Receiver {
    bytes: Vec<u8>,
    fds: VecDeque<Vec<OwnedFd>>,
}

impl Receiver {
    /// One that goes on where another stopped, of which these bytes were left. Descriptors cannot be:
    /// they come with the servers that a guardian holds, and these have been taken over.
    pub fn with_unread(bytes: &[u8]) -> Self {
        Receiver {
            bytes: bytes.to_vec(),
            fds: VecDeque::new(),
        }
    }

    /// What has arrived of a message that is not whole, or has not been asked for.
    pub fn unread(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes what has arrived, without waiting, and returns how many bytes that were:
    /// 0 if the sender has closed its end, `WouldBlock` if nothing is there.
    pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let mut chunk = [0_u8; CHUNK_LEN];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = socket::RECEIVING | RecvFlags::DONTWAIT;
        let received = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut chunk)],
            &mut control,
            flags,
        )?;
        self.bytes.extend_from_slice(&chunk[..received.bytes]);

        let mut fds = Vec::new();
        for message in control.drain() {
            // Nobody asked the kernel for anything else.
            if let RecvAncillaryMessage::ScmRights(arrived) = message {
                for fd in arrived {
                    socket::keep_from_programs(&fd)?;
                    fds.push(fd);
                }
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            // No room in our table of descriptors. An incomplete set is of no use, but its
            // place in the order is: the command behind it fails, the next one does not.
            self.fds.push_back(Vec::new());
        } else if !fds.is_empty() {
            self.fds.push_back(fds);
        }
        Ok(received.bytes)
    }

    /// The next whole command with its descriptors, if one is there.
    ///
    /// A [`Command::Spawn`] comes with six descriptors, or with none if they were lost
    /// on the way. After an error there is no way to find the next message.
    pub fn next_command(&mut self) -> Result<Option<(Command, Vec<OwnedFd>)>, Malformed> {
        let Some((command, len)) = Command::decode(&self.bytes)? else {
            return Ok(None);
        };
        self.consume(len);
        let fds = match &command {
            Command::Spawn(_) => self.fds.pop_front().unwrap_or_default(),
            Command::Record { .. } | Command::Stop { .. } | Command::Shutdown { .. } => Vec::new(),
        };
        Ok(Some((command, fds)))
    }

    /// The next whole report with its descriptors, if one is there.
    ///
    /// A [`Report::Held`] of a server that is not being stopped comes with three, or with none
    /// if they were lost on the way. After an error there is no way to find the next message.
    pub fn next_report(&mut self) -> Result<Option<(Report, Vec<OwnedFd>)>, Malformed> {
        let Some((report, len)) = Report::decode(&self.bytes)? else {
            return Ok(None);
        };
        self.consume(len);
        let fds = match &report {
            Report::Held(held) if !held.ending => self.fds.pop_front().unwrap_or_default(),
            Report::Held(_)
            | Report::Introduction(_)
            | Report::Spawned { .. }
            | Report::SpawnFailed { .. }
            | Report::Exited { .. }
            | Report::Gone { .. } => Vec::new(),
        };
        Ok(Some((report, fds)))
    }

    fn consume(&mut self, len: usize) {
        self.bytes.drain(..len);
        if self.bytes.is_empty() {
            // One large environment must not stay with us for ever.
            self.bytes.shrink_to(CHUNK_LEN);
        }
    }
}
