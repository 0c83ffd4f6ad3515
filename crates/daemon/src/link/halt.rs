//! Readers that stop between two reads, and what they had read and not handed in by then.
//!
//! **Invariant:** of what was read from a peer nothing is lost: it was handed in, or it is in the rest.

use std::{collections::VecDeque, mem, pin::pin, sync::Arc};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    task::JoinHandle,
};
use wire::{Line, LineSplitter};

use super::{Lines, Pieces, Unpacker};
use crate::tasks;

/// Has all readers stop that there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Halt(Arc<Notify>);

impl Halt {
    pub(crate) fn all(&self) {
        self.0.notify_waiters();
    }

    /// What ends when those are to stop who have one by then.
    pub(crate) fn wanted(&self) -> OwnedNotified {
        Arc::clone(&self.0).notified_owned()
    }
}

/// Works on something until that has come to its end, or until a halt is wanted; whether it has.
pub(crate) async fn until_halted(
    wanted: OwnedNotified,
    name: &'static str,
    work: impl Future<Output = ()>,
) -> bool {
    let wanted = pin!(wanted);
    tokio::select! {
        biased;
        () = wanted => false,
        _panicked = tasks::caught(name, work) => true,
    }
}

/// How somebody stopped who reads.
#[derive(Debug)]
pub(crate) enum Stopped<T> {
    /// There is no more, and it has told so.
    AtTheEnd,
    /// All are halted, and this is left.
    Halted(T),
}

impl<T> Stopped<T> {
    pub(crate) fn with(has_ended: bool, left: T) -> Self {
        if has_ended {
            Stopped::AtTheEnd
        } else {
            Stopped::Halted(left)
        }
    }
}

/// Somebody who reads, and what is left by it when all are halted.
#[derive(Debug)]
pub(crate) enum Reading<T> {
    /// There is nothing to read yet.
    NotYet,
    /// A task reads.
    Runs(JoinHandle<Option<Stopped<T>>>),
    /// It has stopped, and left this.
    Halted(T),
    /// It has told of the end, or nobody wants to hear of it.
    Over,
}

impl<T: Send + 'static> Reading<T> {
    /// Has a task read on from where one has halted.
    pub(crate) fn go_on<R>(
        &mut self,
        name: &'static str,
        halt: &Halt,
        read: impl FnOnce(T, OwnedNotified) -> R,
    ) where
        R: Future<Output = Stopped<T>> + Send + 'static,
    {
        *self = match mem::replace(self, Reading::Over) {
            // Its wish for a halt is heard from here on, though the task begins later.
            Reading::Halted(rest) => Reading::Runs(tasks::spawn(name, read(rest, halt.wanted()))),
            as_it_was @ (Reading::NotYet | Reading::Runs(_) | Reading::Over) => as_it_was,
        };
    }

    /// Returns when its task has ended, which it does once all have been halted.
    pub(crate) async fn ended(&mut self) {
        if let Reading::Runs(task) = self {
            *self = match task.await {
                Ok(Some(Stopped::Halted(rest))) => Reading::Halted(rest),
                Ok(Some(Stopped::AtTheEnd) | None) | Err(_) => Reading::Over,
            };
        }
    }

    /// Ends it, whatever it has not handed in.
    pub(crate) fn abort(&mut self) {
        if let Reading::Runs(task) = self {
            task.abort();
        }
        *self = Reading::Over;
    }

    /// Whether there is more to read.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Reading::Runs(_) | Reading::Halted(_))
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self, Reading::Runs(_))
    }
}

/// What a reader begins with, and what it leaves.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Where the lines are handed in from.
    pub(super) pieces: VecDeque<Lines>,
    /// The line whose end has not come.
    pub(super) splitter: LineSplitter,
    /// Who takes lines out of the frames that they come in, if they do.
    pub(super) unpacker: Option<Box<Unpacker>>,
}

impl Reading<Rest> {
    /// One that goes on where another stopped, which had left `unread`.
    pub(crate) fn resumed(unread: &[u8], message_bytes: usize) -> Self {
        Reading::Halted(Rest::of(unread, message_bytes))
    }

    /// The same for one that reads frames.
    pub(crate) fn resumed_unpacking(
        unread: &[u8],
        message_bytes: usize,
        unpacker: Unpacker,
    ) -> Self {
        let mut rest = Rest::of(unread, message_bytes);
        rest.unpacker = Some(Box::new(unpacker));
        Reading::Halted(rest)
    }

    /// Who takes lines out of frames for it. Only who has halted can say it.
    pub(crate) fn unpacker(&self) -> Option<&Unpacker> {
        match self {
            Reading::Halted(rest) => rest.unpacker.as_deref(),
            Reading::NotYet | Reading::Runs(_) | Reading::Over => None,
        }
    }

    /// What has been read and not handed in. Only who has halted can say it.
    pub(crate) fn unread(&self) -> Result<Vec<u8>, CutOffLine> {
        match self {
            Reading::Halted(rest) => rest.bytes(),
            Reading::NotYet | Reading::Runs(_) | Reading::Over => Ok(Vec::new()),
        }
    }
}

/// A line goes by of which only a part is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOffLine;

impl Rest {
    /// A reader that has read so much already of lines of that length at most.
    pub(crate) fn of(read: &[u8], message_bytes: usize) -> Self {
        let mut splitter = LineSplitter::new(message_bytes);
        let mut pieces = Pieces::default();
        splitter.feed(read, |line| pieces.push(line));
        Rest {
            pieces: pieces.into_iter().collect(),
            splitter,
            unpacker: None,
        }
    }

    /// The same as the bytes that they were.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, CutOffLine> {
        let mut bytes = Vec::new();
        for line in self.pieces.iter().flat_map(Lines::iter) {
            match line {
                Line::Whole(line) => {
                    bytes.extend_from_slice(line);
                    bytes.push(b'\n');
                }
                Line::TooLong(_) | Line::GivenUp(_) | Line::Unended(_) => return Err(CutOffLine),
            }
        }
        bytes.extend_from_slice(self.splitter.unfinished().ok_or(CutOffLine)?);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_was_read_is_the_same_bytes_again() {
        for read in ["", "\n", "one\n", "one\ntwo", "\n\n{}\n\nhalf", "no end"] {
            let rest = Rest::of(read.as_bytes(), 10);
            assert_eq!(rest.bytes(), Ok(read.as_bytes().to_vec()), "{read:?}");
        }
        let torn = [b"\xc3\n\xff".as_slice(), b"a\0b\n\xe2\x82"];
        for read in torn {
            assert_eq!(Rest::of(read, 10).bytes(), Ok(read.to_vec()));
        }
    }

    #[test]
    fn of_a_line_that_is_too_long_there_are_no_bytes() {
        for read in [
            "too long by far",
            "too long by far\n",
            "a\ntoo long by far\nb",
        ] {
            assert_eq!(
                Rest::of(read.as_bytes(), 10).bytes(),
                Err(CutOffLine),
                "{read:?}"
            );
        }
    }

    async fn reads_forever(mut rest: Rest, wanted: OwnedNotified) -> Stopped<Rest> {
        let forever = async {
            rest.pieces.clear();
            std::future::pending::<()>().await;
        };
        let has_ended = until_halted(wanted, "test", forever).await;
        Stopped::with(has_ended, rest)
    }

    #[tokio::test]
    async fn who_is_halted_leaves_what_it_has_and_goes_on_with_it() {
        let halt = Halt::default();
        let mut reading = Reading::Halted(Rest::of(b"half", 10));
        for has_begun in [true, false, true] {
            reading.go_on("test", &halt, reads_forever);
            assert!(reading.runs());
            if has_begun {
                tokio::task::yield_now().await;
            }
            halt.all();
            reading.ended().await;
            let Reading::Halted(rest) = &reading else {
                panic!("{reading:?}");
            };
            assert_eq!(rest.bytes(), Ok(b"half".to_vec()));
        }
    }

    #[tokio::test]
    async fn who_has_come_to_the_end_leaves_nothing() {
        let halt = Halt::default();
        let mut reading = Reading::Halted(Bytes::new());
        reading.go_on("test", &halt, |rest, wanted| async move {
            let has_ended = until_halted(wanted, "test", async {}).await;
            Stopped::with(has_ended, rest)
        });
        reading.ended().await;
        assert!(matches!(reading, Reading::Over));
        let mut panics = Reading::Halted(Bytes::new());
        panics.go_on("test", &halt, |_, _| async { panic!("on purpose") });
        panics.ended().await;
        assert!(matches!(panics, Reading::Over));
    }
}
