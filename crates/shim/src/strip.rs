//! Takes the control lines out of what the daemon sends.
//!
//! The message bytes stay where they are in the read buffer, so that they can be
//! written from there; only what follows a control line in the same read moves up.
//!
//! **Invariant:** every byte outside control lines comes out once, in order,
//! however the stream is cut into reads.

use crate::control::{CONTROL_MAX, Control, MARK, parse};

/// Where in the stream we are between two reads.
#[derive(Debug)]
pub(crate) struct Stripper {
    /// The beginning of a control line whose end has not been read yet.
    cut_off: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    InMessage,
    InControl,
}

impl Default for Stripper {
    fn default() -> Self {
        Stripper {
            cut_off: Vec::new(),
            place: Place::LineStart,
        }
    }
}

impl Stripper {
    /// Moves the message bytes of `chunk` to its front and returns how many there
    /// are; `note` hears what the control lines say.
    pub(crate) fn strip(&mut self, chunk: &mut [u8], mut note: impl FnMut(Control)) -> usize {
        let (mut kept, mut at) = (0, 0);
        while at < chunk.len() {
            if self.place == Place::InControl {
                at += self.skip_control(&chunk[at..], &mut note);
                continue;
            }
            let end = self.message_end(&chunk[at..]) + at;
            // Nothing moves as long as there was no control line.
            if kept < at {
                chunk.copy_within(at..end, kept);
            }
            kept += end - at;
            at = end;
        }
        kept
    }

    /// How many bytes there are before the next control line.
    fn message_end(&mut self, bytes: &[u8]) -> usize {
        for mark in memchr::memchr_iter(MARK, bytes) {
            let is_at_line_start = match mark.checked_sub(1) {
                Some(before) => bytes[before] == b'\n',
                None => self.place == Place::LineStart,
            };
            // Elsewhere it is not ours, if not JSON either.
            if is_at_line_start {
                self.place = Place::InControl;
                return mark;
            }
        }
        self.place = if bytes.ends_with(b"\n") {
            Place::LineStart
        } else {
            Place::InMessage
        };
        bytes.len()
    }

    /// Reads the rest of a control line; returns how many bytes belong to it.
    fn skip_control(&mut self, bytes: &[u8], note: &mut impl FnMut(Control)) -> usize {
        let newline = memchr::memchr(b'\n', bytes);
        let len = newline.map_or(bytes.len(), |newline| newline + 1);
        if newline.is_some() {
            self.place = Place::LineStart;
            if self.cut_off.is_empty() {
                parse(&bytes[..len]).for_each(note);
                return len;
            }
        }
        // What no daemon sends is not worth the memory.
        let room = CONTROL_MAX.saturating_sub(self.cut_off.len());
        self.cut_off.extend_from_slice(&bytes[..len.min(room)]);
        if newline.is_some() {
            parse(&self.cut_off).for_each(note);
            self.cut_off = Vec::new();
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out if the stream is read in these pieces.
    fn strip_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<Control>) {
        let (mut out, mut heard) = (Vec::new(), Vec::new());
        let mut stripper = Stripper::default();
        for piece in pieces {
            let mut chunk = piece.to_vec();
            let len = stripper.strip(&mut chunk, |control| heard.push(control));
            out.extend_from_slice(&chunk[..len]);
        }
        (out, heard)
    }

    const STREAM: &[u8] = b"\x1eheld 1\n{\"id\":1}\n\x1edone 1 2\n\x1esent 3\n{\"a\":\"b\"}\n\
        {\"id\":4}\n\x1edone 4\n{}";

    #[test]
    fn control_lines_are_taken_out_however_two_reads_cut_them() {
        for cut in 0..=STREAM.len() {
            let (first, second) = STREAM.split_at(cut);
            let (out, heard) = strip_all([first, second]);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                "{\"id\":1}\n{\"a\":\"b\"}\n{\"id\":4}\n{}",
                "cut at {cut}"
            );
            assert_eq!(
                heard,
                [
                    Control::Held(1),
                    Control::Done(1),
                    Control::Done(2),
                    Control::Sent(3),
                    Control::Done(4),
                ]
            );
        }
    }

    #[test]
    fn control_lines_are_taken_out_byte_by_byte() {
        let (whole, heard) = strip_all([STREAM]);
        assert_eq!(strip_all(STREAM.chunks(1)), (whole, heard));
    }

    #[test]
    fn a_mark_within_a_message_is_a_byte_like_any_other() {
        let stream = b"{\"broken\":\"\x1edone 1\"}\n\x1edone 2\n";
        let (out, heard) = strip_all(stream.chunks(3));
        assert_eq!(out, b"{\"broken\":\"\x1edone 1\"}\n");
        assert_eq!(heard, [Control::Done(2)]);
    }

    #[test]
    fn an_endless_control_line_takes_bounded_memory_and_no_message() {
        let mut stripper = Stripper::default();
        assert_eq!(stripper.strip(&mut [MARK], |_| ()), 0);
        for _ in 0..100 {
            assert_eq!(stripper.strip(&mut [b'x'; 4096], |_| ()), 0);
        }
        assert!(stripper.cut_off.len() <= CONTROL_MAX);
        let mut end = *b"\n{}\n";
        assert_eq!(stripper.strip(&mut end, |_| ()), 3);
        assert_eq!(&end[..3], b"{}\n");
    }

    proptest! {
        #[test]
        fn no_cutting_changes_what_comes_out(
            lines in prop::collection::vec("(\x1e(done|held|sent) [0-9]{1,4}|[a-z\x1e]{0,9})\n", 0..20),
            size in 1usize..20,
        ) {
            let stream = lines.concat().into_bytes();
            prop_assert_eq!(strip_all(stream.chunks(size)), strip_all([&stream[..]]));
        }
    }
}
