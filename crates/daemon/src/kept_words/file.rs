//! The form of one file: two lines of head, the bytes that the server said, and a sum over all of it.
//!
//! ```text
//! mcpool kept words 1
//! {"identity":"…","written":…,"class":[…],"handshake":…,"lists":[{"name":"tools/list","pages":[…]}]}
//! …the handshake, and the pages of all lists, one behind the other…
//! …32 bytes of sum…
//! ```
//!
//! **Invariant:** what is read back is what was written, or nothing.

use std::{collections::BTreeMap, fmt, fmt::Write, time::Duration};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use mux::{Capability, Class, Era, Finding, KeptWords, Listing, Page, VERDICT_LIFE};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The version of the form. Files of a later one are not understood.
pub(super) const FORMAT: u32 = 1;

/// How every file begins, whatever its form.
const MAGIC: &str = "mcpool kept words ";

/// The length of the sum, in bytes.
const SUM_BYTES: usize = 32;

/// What one file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which program it was.
    pub(super) identity: String,
    /// When, in seconds since 1970.
    pub(super) written: u64,
    pub(super) words: KeptWords,
}

/// Why a file is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is none of ours.
    Foreign,
    /// Its form is one that is not known here.
    AnotherForm,
    /// Something of it is missing, or is not as it was written.
    Damaged,
}

#[derive(Serialize, Deserialize)]
struct Head {
    identity: String,
    written: u64,
    class: Vec<String>,
    /// The era that it was spoken to in, unless that was the one with a handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    era: Option<String>,
    /// The era in which it was found not to speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// For how long that is to be believed since it was written, in milliseconds; a day, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_for: Option<u64>,
    /// Its length, in bytes.
    handshake: usize,
    lists: Vec<HeadOfList>,
}

#[derive(Serialize, Deserialize)]
struct HeadOfList {
    name: String,
    pages: Vec<HeadOfPage>,
}

#[derive(Serialize, Deserialize)]
struct HeadOfPage {
    cursor: Option<String>,
    /// Its length, in bytes.
    bytes: usize,
    /// For how long it may be told to others since it was written, in milliseconds, if its server says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holds: Option<u64>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Foreign => "it is no file of mcpool's",
            Doubt::AnotherForm => "it is of another version of mcpool",
            Doubt::Damaged => "it is damaged",
        })
    }
}

impl Entry {
    /// The bytes of a file of this name.
    pub(super) fn encode(&self, name: &str, key: &[u8]) -> Option<Vec<u8>> {
        let words = &self.words;
        let lists = words.lists.iter().map(|(listing, pages)| HeadOfList {
            name: listing.name().to_owned(),
            pages: pages.iter().map(head_of_page).collect(),
        });
        let head = Head {
            identity: self.identity.clone(),
            written: self.written,
            class: words.class.names().into_iter().map(str::to_owned).collect(),
            era: (words.era != Era::default()).then(|| words.era.name().to_owned()),
            refused: words.refused.map(|found| found.refused.name().to_owned()),
            refused_for: words.refused.map(|found| millis(found.life)),
            handshake: words.handshake.len(),
            lists: lists.collect(),
        };
        let head = serde_json::to_string(&head).ok()?;
        let mut file = format!("{MAGIC}{FORMAT}\n{head}\n").into_bytes();
        file.extend_from_slice(&words.handshake);
        for page in words.lists.values().flatten() {
            file.extend_from_slice(&page.result);
        }
        let sum = sum_of(name, &file, key)?;
        file.extend_from_slice(&sum.finalize().into_bytes());
        Some(file)
    }

    /// Reads the file of this name.
    pub(super) fn decode(name: &str, file: &[u8], key: &[u8]) -> Result<Self, Doubt> {
        let rest = file.strip_prefix(MAGIC.as_bytes()).ok_or(Doubt::Foreign)?;
        let (form, _) = line(rest).ok_or(Doubt::Damaged)?;
        if form != FORMAT.to_string().as_bytes() {
            return Err(Doubt::AnotherForm);
        }
        let (said, sum) = file.split_last_chunk::<SUM_BYTES>().ok_or(Doubt::Damaged)?;
        let expected = sum_of(name, said, key).ok_or(Doubt::Damaged)?;
        expected.verify_slice(sum).map_err(|_| Doubt::Damaged)?;
        Entry::read(said).ok_or(Doubt::Damaged)
    }

    /// Reads what stands before the sum.
    fn read(said: &[u8]) -> Option<Self> {
        let (_, rest) = line(said)?;
        let (head, body) = line(rest)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        let mut body = Bytes::copy_from_slice(body);
        let mut take = |bytes: usize| (bytes <= body.len()).then(|| body.split_to(bytes));
        let handshake = take(head.handshake)?;
        let mut lists = BTreeMap::new();
        for list in head.lists {
            let pages = list.pages.into_iter().map(|page| {
                Some(Page {
                    cursor: page.cursor.map(String::into_boxed_str),
                    result: take(page.bytes)?,
                    holds: page.holds.map(Duration::from_millis),
                })
            });
            let pages = pages.collect::<Option<Vec<Page>>>()?;
            lists.insert(Listing::from_name(&list.name)?, pages);
        }
        let named = |name: &String| {
            let mut all = Capability::ALL.into_iter();
            all.find(|capability| capability.name() == name)
        };
        let class = head.class.iter().map(named).collect::<Option<Vec<_>>>()?;
        let era_named = |name: &str| {
            let mut eras = [Era::Legacy, Era::Modern].into_iter();
            eras.find(|era| era.name() == name)
        };
        let era = match head.era {
            Some(name) => era_named(&name)?,
            None => Era::Legacy,
        };
        let refused = head.refused.as_deref().and_then(era_named);
        let refused = refused.map(|refused| Finding {
            refused,
            life: head.refused_for.map_or(VERDICT_LIFE, Duration::from_millis),
        });
        body.is_empty().then_some(Entry {
            identity: head.identity,
            written: head.written,
            words: KeptWords {
                class: Class::of(class),
                era,
                program: None,
                refused,
                handshake,
                lists,
            },
        })
    }
}

fn head_of_page(page: &Page) -> HeadOfPage {
    HeadOfPage {
        cursor: page.cursor.as_deref().map(str::to_owned),
        bytes: page.result.len(),
        holds: page.holds.map(millis),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The first line, without its end, and what comes behind it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// The sum over a file and its name, so that none can stand in the place of another.
fn sum_of(name: &str, said: &[u8], key: &[u8]) -> Option<Hmac<Sha256>> {
    let mut sum = Hmac::<Sha256>::new_from_slice(key).ok()?;
    sum.update(b"file");
    sum.update(name.as_bytes());
    sum.update(b"\n");
    sum.update(said);
    Some(sum)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

/// The bytes of which these are the digits, as [`hex`] writes them.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks() else {
        return None;
    };
    pairs.iter().copied().map(byte_of).collect()
}

/// The same for so many bytes, where each message names some.
pub(crate) fn array_from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_bytes().as_chunks() else {
        return None;
    };
    let pairs: &[_; N] = pairs.try_into().ok()?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = byte_of(*pair)?;
    }
    Some(bytes)
}

fn byte_of([high, low]: [u8; 2]) -> Option<u8> {
    let value = |digit: u8| DIGIT_VALUES[usize::from(digit)];
    u8::try_from(value(high) << 4 | value(low)).ok()
}

/// More than two digits are worth.
const NO_DIGIT: u16 = 1 << 8;

/// What each byte is worth as a digit. A key is read with each request, and to look that up takes a part of what
/// comparisons take.
const DIGIT_VALUES: [u16; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = include_bytes!("fixtures/key");

    #[test]
    fn digits_read_back_as_they_are_written_and_nothing_else_is_one() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        assert_eq!(array_from_hex("0fa9"), Some([0x0F, 0xA9]));
        for wrong in ["g0", "0g", "A0", "0A", "/0", "0:", "`0", "0", "000", ""] {
            assert_eq!(array_from_hex::<1>(wrong), None, "{wrong}");
        }
    }

    fn entry() -> Entry {
        let page = |cursor: Option<&str>, result: &'static str| Page {
            cursor: cursor.map(Box::from),
            result: Bytes::from_static(result.as_bytes()),
            holds: None,
        };
        Entry {
            identity: "0123abcd".to_owned(),
            written: 1_764_000_000,
            words: KeptWords {
                refused: None,
                era: Era::Legacy,
                program: None,
                class: Class::of([Capability::Roots, Capability::ElicitationForm]),
                handshake: Bytes::from_static(
                    br#"{ "protocolVersion" : "2025-06-18", "capabilities":{"tools":{}}, "instructions":"\u00e9\n"}"#,
                ),
                lists: BTreeMap::from([
                    (
                        Listing::Tools,
                        vec![
                            page(None, r#"{"tools":[{"name":"é"}],"nextCursor":"a\"b"}"#),
                            page(Some("a\"b"), "{\n\"tools\":[1e400]}"),
                        ],
                    ),
                    (Listing::ResourceTemplates, vec![page(None, r#"{"resourceTemplates":[]}"#)]),
                ]),
            },
        }
    }

    #[test]
    fn a_file_of_the_first_form_can_be_read_for_ever() {
        let file = include_bytes!("fixtures/form-1");
        assert_eq!(Entry::decode("form-1", file, KEY), Ok(entry()));
        assert_eq!(entry().encode("form-1", KEY).unwrap(), file);
    }

    #[test]
    fn of_a_server_of_the_modern_era_it_is_written_how_long_it_holds() {
        let mut modern = entry();
        modern.words.era = Era::Modern;
        modern.words.refused = Some(Finding {
            refused: Era::Legacy,
            life: Duration::from_millis(2500),
        });
        let pages = modern.words.lists.values_mut().flatten();
        pages.for_each(|page| page.holds = Some(Duration::from_millis(1500)));
        let file = modern.encode("name", KEY).unwrap();
        assert_eq!(Entry::decode("name", &file, KEY), Ok(modern.clone()));
        // As an earlier version has written it.
        let written = br#"{"identity":"i","written":7,"class":[],"refused":"legacy","handshake":2,"lists":[]}"#;
        let file = [b"head\n", written.as_slice(), b"\n{}"].concat();
        let refused = Entry::read(&file).unwrap().words.refused.unwrap();
        assert_eq!((refused.refused, refused.life), (Era::Legacy, VERDICT_LIFE));
    }

    #[test]
    fn what_is_not_wholly_as_it_was_written_is_not_believed() {
        let file = entry().encode("name", KEY).unwrap();
        assert_eq!(Entry::decode("name", &file, KEY), Ok(entry()));
        for len in 0..file.len() {
            Entry::decode("name", &file[..len], KEY).unwrap_err();
        }
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            Entry::decode("name", &other, KEY).unwrap_err();
        }
        let longer = [file.as_slice(), b"\n"].concat();
        assert_eq!(Entry::decode("name", &longer, KEY), Err(Doubt::Damaged));
        assert_eq!(Entry::decode("other", &file, KEY), Err(Doubt::Damaged));
        assert_eq!(Entry::decode("name", &file, b"key"), Err(Doubt::Damaged));
    }

    #[test]
    fn a_later_form_is_recognised_as_one() {
        let later = b"mcpool kept words 2\nwhatever comes then";
        assert_eq!(Entry::decode("x", later, KEY), Err(Doubt::AnotherForm));
        assert_eq!(Entry::decode("x", b"{}", KEY), Err(Doubt::Foreign));
    }
}
