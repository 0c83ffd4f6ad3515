//! Bytes to lines: MCP's stdio framing, one message a line, under a size limit.
//!
//! **Invariant:** however the bytes are split, the same lines come out; memory stays within the limit
//! and one read. A line that is not kept is announced at most once, and the next thing after that is its end.

use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

/// How much of a line that is too long is kept, to look for its id.
const HEAD_BYTES: usize = 64 * 1024;

/// And how much of its end: many libraries write the id last.
const TAIL_BYTES: usize = 4 * 1024;

/// A block that allocators have the system hand out by itself, and that the system makes larger without a
/// copy.
const BLOCK_BYTES: usize = 256 * 1024;

/// What stood between two line ends, or news of what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end. It may be empty.
    Whole(Bytes),
    /// What is left of a line that was longer than the limit.
    TooLong(CutOff),
    /// What is left of a line that was given up.
    GivenUp(CutOff),
    /// Early news of a line that is not kept. The line itself follows at its end, if that ever comes.
    Unended(Unended),
}

/// A line of which nothing more is kept, before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unended {
    /// Why it is not kept.
    pub why: Unkept,
    /// Its beginning, the same that comes with its end.
    pub head: Bytes,
}

/// Why a line is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// It is longer than the limit.
    TooLong,
    /// There was no room for it.
    GivenUp,
}

/// What is left of a line that was not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Its beginning.
    pub head: Bytes,
    /// Its end. Of a line that is not much too long it may be a part of the beginning, too.
    pub tail: Bytes,
}

/// The line that goes by.
#[derive(Debug)]
struct Skipped {
    why: Unkept,
    head: Bytes,
    /// The last bytes so far, and some before them.
    tail: Vec<u8>,
}

/// Cuts a stream of bytes into lines.
#[derive(Debug)]
pub struct LineSplitter {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    limit: usize,
    /// Set while the rest of a line goes by that is not kept.
    skipping: Option<Skipped>,
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

    /// Takes what was read and hands out every line that it ends, and, if the unfinished rest is already too
    /// long, announces that.
    pub fn feed(&mut self, mut read: &[u8], mut on_line: impl FnMut(Line)) {
        while let Some(end) = memchr::memchr(b'\n', read) {
            let (head, rest) = read.split_at(end);
            read = rest.get(1..).unwrap_or_default();
            on_line(self.finish(head));
        }
        self.keep(read, on_line);
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
            if self.partial.capacity() < BLOCK_BYTES {
                // Not grown from what it has: an allocator that has grown a small block a few times where
                // it stands copies all of it in the end.
                let room = (self.partial.len() + double).max(BLOCK_BYTES);
                let small = mem::replace(&mut self.partial, Vec::with_capacity(room));
                self.partial.extend_from_slice(&small);
            } else {
                self.partial.reserve(double);
            }
        }
        Some(&mut self.partial)
    }

    /// Takes note that the last `read` bytes of the buffer that [`LineSplitter::tail`] gave are new.
    pub fn grown(&mut self, read: usize, mut on_line: impl FnMut(Line)) {
        let old = self.partial.len() - read;
        let Some(end) = memchr::memchr(b'\n', self.partial.get(old..).unwrap_or_default()) else {
            self.check_limit(on_line);
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
            Some(skipped) => skipped.head.len() + skipped.tail.len(),
            None => self.partial.len(),
        }
    }

    /// The beginning of the line that is unfinished; `None` while one goes by that is not kept.
    pub fn unfinished(&self) -> Option<&[u8]> {
        self.skipping.is_none().then_some(&self.partial)
    }

    /// Lets go of the line that is unfinished, but for its beginning and its end: there is no room for it.
    /// Hands out the news.
    pub fn give_up(&mut self, on_line: impl FnOnce(Line)) {
        if self.skipping.is_none() && !self.partial.is_empty() {
            on_line(self.skip(Unkept::GivenUp));
        }
    }

    fn finish(&mut self, head: &[u8]) -> Line {
        if let Some(mut skipped) = self.skipping.take() {
            skipped.pass(head);
            return skipped.into_line();
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
            Line::TooLong(CutOff {
                head: Bytes::copy_from_slice(head_of(&line)),
                tail: Bytes::copy_from_slice(tail_of(&line)),
            })
        } else {
            Line::Whole(line)
        }
    }

    fn keep(&mut self, read: &[u8], on_line: impl FnOnce(Line)) {
        if let Some(skipped) = &mut self.skipping {
            skipped.pass(read);
        } else if !read.is_empty() {
            self.partial.extend_from_slice(read);
            self.check_limit(on_line);
        }
    }

    fn check_limit(&mut self, on_line: impl FnOnce(Line)) {
        if self.partial.len() > self.limit {
            on_line(self.skip(Unkept::TooLong));
        }
    }

    fn skip(&mut self, why: Unkept) -> Line {
        let partial = mem::take(&mut self.partial);
        let head = Bytes::copy_from_slice(head_of(&partial));
        self.skipping = Some(Skipped {
            why,
            head: head.clone(),
            tail: tail_of(&partial).to_vec(),
        });
        Line::Unended(Unended { why, head })
    }
}

impl Skipped {
    /// More of it goes by.
    fn pass(&mut self, read: &[u8]) {
        let read = tail_of(read);
        if self.tail.len() + read.len() > 2 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
        self.tail.extend_from_slice(read);
    }

    fn into_line(self) -> Line {
        let left = CutOff {
            head: self.head,
            tail: Bytes::copy_from_slice(tail_of(&self.tail)),
        };
        match self.why {
            Unkept::TooLong => Line::TooLong(left),
            Unkept::GivenUp => Line::GivenUp(left),
        }
    }
}

fn head_of(line: &[u8]) -> &[u8] {
    line.get(..HEAD_BYTES).unwrap_or(line)
}

fn tail_of(line: &[u8]) -> &[u8] {
    let from = line.len().saturating_sub(TAIL_BYTES);
    line.get(from..).unwrap_or_default()
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
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    impl LineSplitter {
        fn lines(&mut self, read: &[u8]) -> Vec<Line> {
            let mut lines = Vec::new();
            self.feed(read, |line| lines.push(line));
            lines
        }
    }

    fn unended(why: Unkept, head: &str) -> Line {
        let head = Bytes::from(String::from(head));
        Line::Unended(Unended { why, head })
    }

    fn left(head: &str, tail: &str) -> CutOff {
        CutOff {
            head: Bytes::from(String::from(head)),
            tail: Bytes::from(String::from(tail)),
        }
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_over_does_not() {
        let mut splitter = LineSplitter::new(4);
        assert_eq!(
            splitter.lines(b"1234\n12345\n1\n"),
            [
                Line::Whole(Bytes::from_static(b"1234")),
                Line::TooLong(left("12345", "12345")),
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
    fn an_endless_line_keeps_no_more_than_its_head_and_a_little_of_its_end() {
        let mut splitter = LineSplitter::new(1000);
        assert_eq!(splitter.lines(&[b'x'; 1000]), []);
        let news = splitter.lines(&[b'x'; 1000]);
        assert_eq!(news, [unended(Unkept::TooLong, &"x".repeat(2000))]);
        for _ in 0..10_000 {
            assert_eq!(splitter.lines(&[b'x'; 1000]), []);
        }
        assert!(splitter.leftover() <= HEAD_BYTES + 2 * TAIL_BYTES);
        assert_eq!(splitter.partial.capacity(), 0);
        assert!(
            matches!(splitter.lines(b"\nok\n").as_slice(), [Line::TooLong(_), Line::Whole(ok)] if ok == "ok")
        );
    }

    #[test]
    fn a_line_that_is_given_up_goes_by_and_the_next_is_whole() {
        let mut splitter = LineSplitter::new(1000);
        let mut news = Vec::new();
        splitter.give_up(|line| news.push(line));
        assert_eq!(splitter.lines(b"on"), []);
        splitter.give_up(|line| news.push(line));
        splitter.give_up(|line| news.push(line));
        assert_eq!(news, [unended(Unkept::GivenUp, "on")]);
        assert_eq!(splitter.leftover(), 4, "its beginning and its end");
        assert_eq!(
            splitter.lines(b"e\ntwo\n"),
            [
                Line::GivenUp(left("on", "one")),
                Line::Whole(Bytes::from_static(b"two")),
            ]
        );
    }

    #[test]
    fn that_a_line_is_too_long_is_said_before_its_end_unless_that_came_with_it() {
        for direct in [false, true] {
            let mut splitter = LineSplitter::new(4);
            assert_eq!(splitter.lines(b"1\n123"), [Line::Whole("1".into())]);
            let mut news = Vec::new();
            match splitter.tail(2).filter(|_| direct) {
                Some(tail) => {
                    tail.extend_from_slice(b"45");
                    splitter.grown(2, |line| news.push(line));
                }
                None => splitter.feed(b"45", |line| news.push(line)),
            }
            assert_eq!(news, [unended(Unkept::TooLong, "12345")], "{direct}");
            assert_eq!(splitter.lines(b"6"), []);
            let end = Line::TooLong(left("12345", "1234567"));
            assert_eq!(splitter.lines(b"7\n"), [end], "{direct}");
            let at_once = Line::TooLong(left("12345", "12345"));
            let next = unended(Unkept::TooLong, "abcdef");
            assert_eq!(splitter.lines(b"12345\nabcdef"), [at_once, next]);
        }
    }

    /// How much of the beginning of a line that is too long was kept depends on the reads, and whether there
    /// was news of it; how it began and ended does not.
    fn comparable(line: &Line) -> Option<(bool, &[u8], &[u8])> {
        match line {
            Line::Whole(line) => Some((true, line, b"")),
            Line::TooLong(left) | Line::GivenUp(left) => Some((false, &left.head[..7], &left.tail)),
            Line::Unended(_) => None,
        }
    }

    /// News is of the line that comes next, if one comes, and there is one piece of it.
    fn news_is_of_what_comes_next(lines: &[Line]) -> bool {
        lines.windows(2).all(|pair| match pair {
            [Line::Unended(news), Line::TooLong(left)] => news.head == left.head,
            [news, _other] => !matches!(news, Line::Unended(_)),
            _no_pair => false,
        })
    }

    #[test]
    fn of_a_line_that_is_too_long_the_last_bytes_are_kept_however_it_comes() {
        let line: Vec<u8> = (0..300_000_u32).map(|at| b'a' + (at % 23) as u8).collect();
        for step in [1, 100, 4095, 4096, 4097, 8191, 50_000, 300_000] {
            let mut splitter = LineSplitter::new(100_000);
            let news: usize = line
                .chunks(step)
                .map(|part| splitter.lines(part).len())
                .sum();
            assert_eq!(news, 1, "{step}");
            let Some(Line::TooLong(left)) = splitter.lines(b"\n").pop() else {
                panic!("it is too long");
            };
            assert_eq!(left.head, line[..HEAD_BYTES]);
            assert_eq!(left.tail, line[line.len() - TAIL_BYTES..], "{step}");
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
            prop_assert!(news_is_of_what_comes_next(&lines), "{:?}", lines);
            prop_assert_eq!(lines.iter().filter_map(comparable).collect::<Vec<_>>(), whole.iter().filter_map(comparable).collect::<Vec<_>>());
        }
    }
}
