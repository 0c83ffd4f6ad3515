//! What the daemon says, on its way to the client.
//!
//! The end of a read that is no whole line is held back until the rest has come: if
//! the daemon goes away in between, the client never sees the torn one. Of a line
//! that is longer than [`HELD_MAX`] the parts are passed on as they come, since to
//! hold all of it could take as much memory as a message may have. If the daemon goes
//! away in the middle of such a line, it is ended, and the client sees one line that
//! is no message; the request that it was for is not done, and gets its answer from
//! the next daemon.

use std::{
    mem,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};
use sys::{memory, quit};

use super::{End, Pump, READ_SIZE, reuse, write_all};
use crate::{control::Control, strip::Stripper};

/// Most bytes of an unfinished line that are held back. As much again is always free
/// for the next read.
const HELD_MAX: usize = READ_SIZE / 2;

/// What came of listening once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Something,
    /// Nothing, for now, or a signal came.
    Nothing,
    /// The daemon is gone.
    Gone,
}

pub(super) struct Downward<'pump> {
    pump: &'pump Pump,
    /// The beginning of a line of which the rest has not come.
    buffer: Vec<u8>,
    stripper: Stripper,
    /// The client has the beginning of a line.
    is_line_open: bool,
    /// The daemon is too old to tell that the first line, the greeting, must be kept.
    keeps_first: bool,
    /// The daemon has said that it will end, by somebody's wish.
    is_told_of_end: bool,
}

impl<'pump> Downward<'pump> {
    pub(super) fn new(pump: &'pump Pump, keeps_first: bool) -> Self {
        Downward {
            pump,
            buffer: Vec::with_capacity(READ_SIZE),
            stripper: Stripper::default(),
            is_line_open: false,
            keeps_first,
            is_told_of_end: false,
        }
    }

    /// Carries everything until the daemon is gone.
    pub(super) fn carry(&mut self, link: &OwnedFd) -> Result<(), End> {
        let mut has_begun = false;
        loop {
            let is_asked = quit::asked();
            let flags = if is_asked {
                RecvFlags::DONTWAIT
            } else {
                RecvFlags::empty()
            };
            match self.hear(link, flags)? {
                Heard::Nothing if is_asked => return Err(End::Asked),
                Heard::Something if !has_begun => {
                    // Most of what there was, was for the meeting; the link may last for days.
                    memory::give_back();
                    memory::let_go_of_program();
                    has_begun = true;
                }
                Heard::Something | Heard::Nothing => {}
                Heard::Gone => return Ok(()),
            }
        }
    }

    /// Carries what one read brings.
    pub(super) fn hear(&mut self, link: &OwnedFd, flags: RecvFlags) -> Result<Heard, End> {
        let held = self.buffer.len();
        match recv(link, spare_capacity(&mut self.buffer), flags) {
            Ok((0, _)) => return Ok(Heard::Gone),
            Ok(_) => {}
            Err(Errno::INTR | Errno::AGAIN) => return Ok(Heard::Nothing),
            Err(_) => return Ok(Heard::Gone),
        }
        let (pump, keeps_first) = (self.pump, self.keeps_first);
        let is_told_of_end = &mut self.is_told_of_end;
        let note = |control| match control {
            Control::Ending => *is_told_of_end = true,
            Control::Done(1) if keeps_first => pump.note(Control::Keep(1)),
            Control::Held(_) | Control::Sent(_) | Control::Keep(_) | Control::Done(_) => {
                pump.note(control);
            }
        };
        let end = held + self.stripper.strip(&mut self.buffer[held..], note);
        self.buffer.truncate(end);
        let passed = match memchr::memrchr(b'\n', &self.buffer[held..]) {
            Some(newline) => held + newline + 1,
            None if self.is_line_open || end > HELD_MAX => end,
            None => 0,
        };
        if passed > 0 {
            write_all(self.pump.output, &self.buffer[..passed]).map_err(|_| End::ClientGone)?;
            self.is_line_open = self.buffer[passed - 1] != b'\n';
        }
        if passed == end {
            reuse(&mut self.buffer, link.as_fd());
        } else {
            self.buffer.drain(..passed);
        }
        Ok(Heard::Something)
    }

    /// Ends what the daemon that is gone had begun.
    pub(super) fn close_line(&mut self) -> Result<(), End> {
        self.buffer.clear();
        self.stripper = Stripper::default();
        if mem::take(&mut self.is_line_open) {
            write_all(self.pump.output, b"\n").map_err(|_| End::ClientGone)?;
        }
        Ok(())
    }

    /// Whether the daemon that is gone had said that it would end.
    pub(super) fn take_told_of_end(&mut self) -> bool {
        mem::take(&mut self.is_told_of_end)
    }

    /// The next daemon tells all that there is to tell.
    pub(super) fn meet_next(&mut self) {
        self.keeps_first = false;
    }
}
