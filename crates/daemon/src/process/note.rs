//! What a daemon leaves at the guardian about one process, for the daemon after it.
//!
//! One line of ours, and behind it what the core wants to know again.
//!
//! **Invariant:** a note of another format is none: its process is not taken over.

use std::sync::Arc;

use bytes::Bytes;
use mux::{Record, UpstreamId};

/// The first word; the number counts the formats of this line.
const OPENING: &str = "mcpool-process-1";

/// What is known of a process.
#[derive(PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) upstream: UpstreamId,
    /// The server's name, or the label of an ad-hoc one.
    pub(crate) server: Arc<str>,
    /// What the core wants to know again.
    pub(crate) record: Record,
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let line = format!("{OPENING} {} {}\n", self.upstream.0, self.server);
        [line.as_bytes(), &self.record.0].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Note> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = bytes.split_at(end);
        let line = str::from_utf8(line).ok()?;
        let (upstream, server) = line
            .strip_prefix(OPENING)?
            .strip_prefix(' ')?
            .split_once(' ')?;
        Some(Note {
            upstream: UpstreamId(upstream.parse().ok()?),
            server: server.into(),
            record: Record(Bytes::copy_from_slice(rest.get(1..)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_this_format_is_understood_for_ever() {
        let frozen = b"mcpool-process-1 4294967299 my server\n{\"format\":1}\nand more";
        let note = Note {
            upstream: UpstreamId(4_294_967_299),
            server: "my server".into(),
            record: Record(Bytes::from_static(b"{\"format\":1}\nand more")),
        };
        assert_eq!(note.encode(), frozen);
        assert!(Note::decode(frozen) == Some(note));
    }

    #[test]
    fn what_is_cut_off_or_of_another_format_is_no_note() {
        for bytes in [
            &b""[..],
            b"mcpool-process-1 4 memory",
            b"mcpool-process-1 memory\n",
            b"mcpool-process-1 x memory\n",
            b"mcpool-process-2 4 memory\n{}",
        ] {
            assert!(Note::decode(bytes).is_none());
        }
    }
}
