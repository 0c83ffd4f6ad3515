//! A message on its way out: pieces of what came in, with the few bytes that we changed between them.

use alloc::{string::String, vec::Vec};
use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::params::Span;

/// Below this size, in bytes, a message is copied into one piece: cheaper than keeping several.
const COPY_BELOW: usize = 4096;

/// The pieces of a message, in order: mostly one.
pub type Pieces = SmallVec<[Bytes; 1]>;

/// The bytes of one message, without a line end, in one or several pieces.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    pieces: Pieces,
}

impl fmt::Debug for Outgoing {
    /// Without what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({} bytes)", self.len())
    }
}

impl Outgoing {
    pub(crate) fn spliced(source: &Bytes, edits: &mut [(Span, &[u8])]) -> Self {
        edits.sort_unstable_by_key(|(span, _)| span.start);
        if source.len() < COPY_BELOW {
            return Outgoing::copied(source, edits);
        }
        let mut pieces = SmallVec::new();
        let mut done = 0;
        for (span, with) in edits.iter() {
            pieces.push(source.slice(done..span.start));
            pieces.push(Bytes::copy_from_slice(with));
            done = span.end;
        }
        pieces.push(source.slice(done..));
        Outgoing { pieces }
    }

    fn copied(source: &Bytes, edits: &[(Span, &[u8])]) -> Self {
        let put: usize = edits.iter().map(|(_, with)| with.len()).sum();
        let taken: usize = edits.iter().map(|(span, _)| span.len()).sum();
        // Exactly as much as it takes: room that is left over has to be kept account of.
        let mut copy = BytesMut::with_capacity(source.len().saturating_sub(taken) + put);
        let mut done = 0;
        for (span, with) in edits {
            copy.put_slice(source.get(done..span.start).unwrap_or_default());
            copy.put_slice(with);
            done = span.end;
        }
        copy.put_slice(source.get(done..).unwrap_or_default());
        Outgoing::from(copy.freeze())
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The same, to keep.
    pub fn into_pieces(self) -> Pieces {
        self.pieces
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }

    /// The bytes in one piece. For tests, batches and messages that are small.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = SmallVec::new();
        pieces.push(bytes);
        Outgoing { pieces }
    }
}

impl From<String> for Outgoing {
    fn from(text: String) -> Self {
        Outgoing::from(Bytes::from(text))
    }
}

/// A text as a JSON string, quotes and escapes included.
pub fn quoted(text: &str) -> String {
    // Writing a string to memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_their_spans_and_nothing_else_however_large_the_message_is() {
        for len in [10, COPY_BELOW - 1, COPY_BELOW, 3 * COPY_BELOW] {
            let source: Bytes = (b'a'..=b'z').cycle().take(len).collect();
            // Given in the wrong order; the second one only adds.
            let edits: &mut [(Span, &[u8])] = &mut [(6..8, b"XYZ"), (3..3, b"--"), (1..2, b"")];
            let expected = [b"ac--defXYZ", &source[8..]].concat();
            let edited = Outgoing::spliced(&source, edits);
            assert_eq!(edited.to_vec(), expected, "{len}");
            assert_eq!(edited.len(), expected.len(), "{len}");
        }
    }
}
