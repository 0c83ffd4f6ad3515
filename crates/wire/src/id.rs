//! Ids and tokens, kept as the bytes that the peer wrote: `1`, `"1"` and `1.0` stay apart.

use core::fmt;

use smallvec::SmallVec;

/// The longest id or token that we keep, in bytes, quotes included.
///
/// Real ones are short; a pooler stores one per open request, so an unbounded id is a way to fill memory.
pub(crate) const ID_BYTES_MAX: usize = 1024 + 2;

/// The id of a JSON-RPC request, exactly as its sender wrote it.
///
/// Two ids are equal when their bytes are. The sender of a request reads its own spelling back,
/// which is what every client compares with.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(SmallVec<[u8; 24]>);

impl Clone for RequestId {
    fn clone(&self) -> Self {
        // One copy of bytes; the derived one would go byte by byte.
        RequestId(SmallVec::from_slice(&self.0))
    }
}

/// The token by which a peer recognises progress of its request, exactly as the peer wrote it.
pub type ProgressToken = RequestId;

impl RequestId {
    /// Takes the text of a JSON string or number, or says that it is neither or too long.
    pub fn from_json(text: &str) -> Option<Self> {
        let scalar = match text.as_bytes().first()? {
            b'"' | b'-' | b'0'..=b'9' => true,
            _other => false,
        };
        (scalar && text.len() <= ID_BYTES_MAX)
            .then(|| RequestId(SmallVec::from_slice(text.as_bytes())))
    }

    /// The bytes as they stood in the message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as an unsigned integer, when it is written as one in the shortest form.
    ///
    /// Ids that we minted come back so. `"5"`, `5.0` and `05` are not ours.
    pub fn as_number(&self) -> Option<u64> {
        let digits = self.0.as_slice();
        let canonical = digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits.first() != Some(&b'0'));
        if !canonical {
            return None;
        }
        core::str::from_utf8(digits).ok()?.parse().ok()
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        let mut bytes = SmallVec::new();
        // Writing digits to memory cannot fail.
        let _infallible = fmt::Write::write_fmt(&mut Digits(&mut bytes), format_args!("{number}"));
        RequestId(bytes)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("?"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{self}")
    }
}

struct Digits<'a>(&'a mut SmallVec<[u8; 24]>);

impl fmt::Write for Digits<'_> {
    fn write_str(&mut self, digits: &str) -> fmt::Result {
        self.0.extend_from_slice(digits.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_type_make_an_id() {
        let spellings = [
            "1",
            "\"1\"",
            "1.0",
            "1e0",
            "-0",
            "0",
            "9007199254740993",
            "9007199254740992",
        ];
        for (i, left) in spellings.iter().enumerate() {
            for (j, right) in spellings.iter().enumerate() {
                assert_eq!(
                    RequestId::from_json(left) == RequestId::from_json(right),
                    i == j,
                    "{left} {right}"
                );
            }
        }
    }

    #[test]
    fn only_the_shortest_spelling_of_an_integer_is_a_number_of_ours() {
        assert_eq!(RequestId::from(u64::MAX).as_number(), Some(u64::MAX));
        for foreign in ["\"5\"", "5.0", "-5", "18446744073709551616"] {
            assert_eq!(
                RequestId::from_json(foreign).unwrap().as_number(),
                None,
                "{foreign}"
            );
        }
    }

    #[test]
    fn what_is_neither_string_nor_number_is_no_id() {
        for text in ["null", "true", "{}", "[1]", ""] {
            assert_eq!(RequestId::from_json(text), None, "{text}");
        }
    }
}
