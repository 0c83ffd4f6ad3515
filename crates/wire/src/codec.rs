//! Bytes to lines: MCP's stdio framing, one message a line, under a size limit.
//!
//! **Invariant:** however the bytes are split, the same lines come out; memory stays within the limit
//! and one read.

use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

/// How much of a line that is too long is kept, to look for its id.
const HEAD_BYTES: usize = 64 * 1024;

/// What stood between two line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end. It may be empty.
    Whole(Bytes),
    /// The beginning of a line that was longer than the limit; the rest is gone.
    TooLong(Bytes),
    /// The beginning of a line that was given up; the rest is gone.
    GivenUp(Bytes),
}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct LineSplitter {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    limit: usize,
    /// Set while the rest of a line goes by that is not kept: what will be handed out.
    skipping: Option<Line>,
}

impl LineSplitter {
    /// A splitter that allows lines of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        LineSplitter {
            partial: Vec::new(),
            limit,
            skipping: None,
        }
    }

    /// Takes what was read and hands out every line that it ends.
    pub fn feed(&mut self, mut read: &[u8], mut on_line: impl FnMut(Line)) {
        while let Some(end) = memchr::memchr(b'\n', read) {
            let (head, rest) = read.split_at(end);
            read = rest.get(1..).unwrap_or_default();
            on_line(self.finish(head));
        }
        self.keep(read);
    }

    /// Where the next bytes of a long line may be read to directly, without a copy of ours; `None`
    /// while no line is unfinished, or while the rest of one is being skipped.
    ///
    /// The buffer is at least `wish` bytes long. Call [`LineSplitter::grown`] with what was read.
    pub fn tail(&mut self, wish: usize) -> Option<&mut Vec<u8>> {
        if self.partial.is_empty() || self.skipping.is_some() {
            return None;
        }
        if self.partial.capacity() - self.partial.len() < wish {
            let double = self.partial.len().max(wish);
            self.partial.reserve(double);
        }
        Some(&mut self.partial)
    }

    /// Takes note that the last `read` bytes of the buffer that [`LineSplitter::tail`] gave are new.
    pub fn grown(&mut self, read: usize, mut on_line: impl FnMut(Line)) {
        let old = self.partial.len() - read;
        let Some(end) = memchr::memchr(b'\n', self.partial.get(old..).unwrap_or_default()) else {
            self.check_limit();
            return;
        };
        let rest = self.partial.split_off(old + end + 1);
        let mut line = mem::take(&mut self.partial);
        line.truncate(old + end);
        on_line(self.within_limit(fitted(line)));
        self.feed(&rest, on_line);
    }

    /// The bytes that are kept of an unfinished line. When the stream has ended they are no message,
    /// whatever they are.
    pub fn leftover(&self) -> usize {
        match &self.skipping {
            Some(Line::Whole(head) | Line::TooLong(head) | Line::GivenUp(head)) => head.len(),
            None => self.partial.len(),
        }
    }

    /// Lets go of the line that is unfinished, but for its beginning: there is no room for it.
    pub fn give_up(&mut self) {
        if self.skipping.is_none() && !self.partial.is_empty() {
            self.skipping = Some(Line::GivenUp(self.take_head()));
        }
    }

    fn finish(&mut self, head: &[u8]) -> Line {
        if let Some(skipped) = self.skipping.take() {
            return skipped;
        }
        if self.partial.is_empty() {
            return self.within_limit(Bytes::copy_from_slice(head));
        }
        self.partial.extend_from_slice(head);
        let line = fitted(mem::take(&mut self.partial));
        self.within_limit(line)
    }

    fn within_limit(&self, line: Bytes) -> Line {
        if line.len() > self.limit {
            Line::TooLong(Bytes::copy_from_slice(
                line.get(..HEAD_BYTES).unwrap_or(&line),
            ))
        } else {
            Line::Whole(line)
        }
    }

    fn keep(&mut self, read: &[u8]) {
        if self.skipping.is_none() && !read.is_empty() {
            self.partial.extend_from_slice(read);
            self.check_limit();
        }
    }

    fn check_limit(&mut self) {
        if self.partial.len() > self.limit {
            self.skipping = Some(Line::TooLong(self.take_head()));
        }
    }

    fn take_head(&mut self) -> Bytes {
        let partial = mem::take(&mut self.partial);
        Bytes::copy_from_slice(partial.get(..HEAD_BYTES).unwrap_or(&partial))
    }
}

/// A line without the room that its buffer had grown to: it may wait for long, and whoever bounds what
/// waits counts its length.
fn fitted(mut line: Vec<u8>) -> Bytes {
    if line.capacity() - line.len() > line.len() / 8 {
        line.shrink_to_fit();
    }
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl LineSplitter {
        fn lines(&mut self, read: &[u8]) -> Vec<Line> {
            let mut lines = Vec::new();
            self.feed(read, |line| lines.push(line));
            lines
        }
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_over_does_not() {
        let mut splitter = LineSplitter::new(4);
        assert_eq!(
            splitter.lines(b"1234\n12345\n1\n"),
            [
                Line::Whole(Bytes::from_static(b"1234")),
                Line::TooLong(Bytes::from_static(b"12345")),
                Line::Whole(Bytes::from_static(b"1")),
            ]
        );
    }

    #[test]
    fn a_line_keeps_hardly_more_room_than_it_needs() {
        for len in [100_000, 300_000, 3_000_000] {
            let mut splitter = LineSplitter::new(usize::MAX);
            let mut lines = Vec::new();
            for part in alloc::vec![b'x'; len].chunks(30_000).chain([&b"\n"[..]]) {
                match splitter.tail(256 << 10) {
                    Some(tail) => {
                        tail.extend_from_slice(part);
                        splitter.grown(part.len(), |line| lines.push(line));
                    }
                    None => splitter.feed(part, |line| lines.push(line)),
                }
            }
            let Some(Line::Whole(line)) = lines.pop() else {
                panic!("it is within the limit")
            };
            let line: Vec<u8> = line.try_into_mut().unwrap().into();
            assert_eq!(line.len(), len);
            assert!(line.capacity() <= len + len / 8, "{}", line.capacity());
        }
    }

    #[test]
    fn an_endless_line_keeps_no_more_than_its_head() {
        let mut splitter = LineSplitter::new(1000);
        for _ in 0..10_000 {
            assert_eq!(splitter.lines(&[b'x'; 1000]), []);
        }
        assert!(splitter.leftover() <= HEAD_BYTES);
        assert_eq!(splitter.partial.capacity(), 0);
        assert!(
            matches!(splitter.lines(b"\nok\n").as_slice(), [Line::TooLong(_), Line::Whole(ok)] if ok == "ok")
        );
    }

    #[test]
    fn a_line_that_is_given_up_goes_by_and_the_next_is_whole() {
        let mut splitter = LineSplitter::new(1000);
        splitter.give_up();
        assert_eq!(splitter.lines(b"on"), []);
        splitter.give_up();
        assert_eq!(splitter.leftover(), 4, "its beginning and its end");
        assert_eq!(
            splitter.lines(b"e\ntwo\n"),
            [
                Line::GivenUp(Bytes::from_static(b"on")),
                Line::Whole(Bytes::from_static(b"two")),
            ]
        );
    }

    /// How much of a line that is too long was kept depends on the reads; that it began so does not.
    fn comparable(line: &Line) -> (bool, &[u8]) {
        match line {
            Line::Whole(line) => (true, line),
            Line::TooLong(head) | Line::GivenUp(head) => (false, &head[..7]),
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_split_the_same_lines_come_out(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1_usize..9, 1..50),
            direct in any::<bool>(),
        ) {
            let whole = LineSplitter::new(7).lines(&text);
            let mut splitter = LineSplitter::new(7);
            let mut lines = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                rest = tail;
                let read_to_tail = direct && splitter.tail(head.len()).map(|tail| tail.extend_from_slice(head)).is_some();
                if read_to_tail {
                    splitter.grown(head.len(), |line| lines.push(line));
                } else {
                    splitter.feed(head, |line| lines.push(line));
                }
            }
            prop_assert_eq!(lines.iter().map(comparable).collect::<Vec<_>>(), whole.iter().map(comparable).collect::<Vec<_>>());
        }
    }
}
