//! A sink in memory, as wide as a test wants it.

use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex},
};

/// What was written, and how much more may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    written: Vec<u8>,
    room: usize,
    writes: usize,
    gone: bool,
}

impl Memory {
    /// A sink that takes `room` bytes before it blocks.
    pub(crate) fn with_room(room: usize) -> Self {
        let memory = Memory::default();
        memory.give_room(room);
        memory
    }

    pub(crate) fn give_room(&self, room: usize) {
        self.inner.lock().unwrap().room += room;
    }

    /// The reader has gone: every write fails from now on.
    pub(crate) fn leave(&self) {
        self.inner.lock().unwrap().gone = true;
    }

    /// Takes what was written so far.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(self.take_bytes()).unwrap()
    }

    /// The same, if it is no text.
    pub(crate) fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.inner.lock().unwrap().written)
    }

    /// How many writes took something.
    pub(crate) fn writes(&self) -> usize {
        self.inner.lock().unwrap().writes
    }

    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.inner.lock().unwrap();
        if inner.gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for slice in slices {
            let part = slice.len().min(inner.room);
            inner.written.extend_from_slice(&slice[..part]);
            inner.room -= part;
            taken += part;
        }
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inner.writes += 1;
        Ok(taken)
    }
}
