//! Passes over JSON text, strictly, and makes nothing of it: where values begin and end is all we need.
//!
//! A payload may be tens of megabytes and nobody here reads it, so this is the pace of a pooler. Strings
//! are crossed at the speed of memory; nesting costs a bit of memory and no stack.
//!
//! **Invariant:** accepted is what RFC 8259 allows, no more and no less; tests hold it against another
//! parser.

use alloc::borrow::Cow;

use smallvec::SmallVec;

use crate::params::resolved;

/// Bytes of a string that are looked at twice in a row: few enough to be at hand the second time.
const NEAR: usize = 8 << 10;

/// Words of eight bytes of a string that are looked at here, before calling who looks at more at once pays:
/// most strings end within them.
const SHORT: usize = 4;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// The name of a member.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    /// As it is written, with its quotes.
    pub(crate) json: &'a str,
    has_escapes: bool,
}

impl<'a> Name<'a> {
    /// The name, escapes resolved as every other parser does; `None` if it holds half a character.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        resolved(self.json, self.has_escapes)
    }
}

/// Hands out each member of the object that the text is: its name, and the JSON of its value.
///
/// The whole text is checked, blanks around it included. What comes back is how deep it is: 1 for an
/// object that holds no other and no array.
pub(crate) fn members<'a>(
    text: &'a str,
    mut read: impl FnMut(Name<'a>, &'a str),
) -> Result<usize, NotJson> {
    let mut skimmer = Skimmer::new(text);
    skimmer.blanks();
    skimmer.expect(b'{')?;
    skimmer.blanks();
    if !skimmer.takes(b'}') {
        loop {
            let name = skimmer.name()?;
            skimmer.blanks();
            let start = skimmer.at;
            skimmer.value()?;
            let value = text.get(start..skimmer.at).ok_or(NotJson)?;
            read(name, value);
            skimmer.blanks();
            if skimmer.takes(b'}') {
                break;
            }
            skimmer.expect(b',')?;
            skimmer.blanks();
        }
    }
    skimmer.end()?;
    Ok(1 + skimmer.deepest)
}

/// Hands out each element of the array that the text is, as JSON; says how many there are.
///
/// The whole text is checked, blanks around it included.
pub(crate) fn elements<'a>(text: &'a str, mut read: impl FnMut(&'a str)) -> Result<usize, NotJson> {
    let mut skimmer = Skimmer::new(text);
    skimmer.blanks();
    skimmer.expect(b'[')?;
    skimmer.blanks();
    let mut count = 0;
    if !skimmer.takes(b']') {
        loop {
            skimmer.blanks();
            let start = skimmer.at;
            skimmer.value()?;
            read(text.get(start..skimmer.at).ok_or(NotJson)?);
            count += 1;
            skimmer.blanks();
            if skimmer.takes(b']') {
                break;
            }
            skimmer.expect(b',')?;
        }
    }
    skimmer.end()?;
    Ok(count)
}

/// Whether the text is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    let mut skimmer = Skimmer::new(text);
    skimmer.blanks();
    skimmer.value().and_then(|()| skimmer.end()).is_ok()
}

struct Skimmer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The most arrays and objects that stood in each other within a value.
    deepest: usize,
}

/// What a value stands in.
#[derive(Clone, Copy)]
enum Within {
    Object,
    Array,
}

/// From the outside in. Few messages are deeper than what needs no memory of its own.
type Nesting = SmallVec<[Within; 16]>;

impl<'a> Skimmer<'a> {
    fn new(text: &'a str) -> Self {
        Skimmer {
            text,
            bytes: text.as_bytes(),
            at: 0,
            deepest: 0,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.takes(byte) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), NotJson> {
        self.blanks();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// The name of a member, up to behind its colon.
    fn name(&mut self) -> Result<Name<'a>, NotJson> {
        let start = self.at;
        let has_escapes = self.string()?;
        let json = self.text.get(start..self.at).ok_or(NotJson)?;
        self.blanks();
        self.expect(b':')?;
        Ok(Name { json, has_escapes })
    }

    /// One value, however deep.
    fn value(&mut self) -> Result<(), NotJson> {
        let mut nesting = Nesting::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    self.deepest = self.deepest.max(nesting.len() + 1);
                    self.blanks();
                    if !self.takes(b'}') {
                        nesting.push(Within::Object);
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.deepest = self.deepest.max(nesting.len() + 1);
                    self.blanks();
                    if !self.takes(b']') {
                        nesting.push(Within::Array);
                        continue;
                    }
                }
                _scalar => self.scalar()?,
            }
            if !self.next_value(&mut nesting)? {
                return Ok(());
            }
        }
    }

    /// Passes over what closes after a value; says whether there is another to come.
    fn next_value(&mut self, nesting: &mut Nesting) -> Result<bool, NotJson> {
        while let Some(within) = nesting.last() {
            self.blanks();
            let has_more = self.takes(b',');
            match within {
                Within::Object if has_more => {
                    self.blanks();
                    self.name()?;
                    return Ok(true);
                }
                Within::Array if has_more => return Ok(true),
                Within::Object => self.expect(b'}')?,
                Within::Array => self.expect(b']')?,
            }
            nesting.pop();
        }
        Ok(false)
    }

    fn scalar(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'"') => self.string().map(|_has_escapes| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _nothing => Err(NotJson),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        let rest = self.bytes.get(self.at..).ok_or(NotJson)?;
        self.at += word.len();
        if rest.starts_with(word) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Says whether there are escapes in it.
    fn string(&mut self) -> Result<bool, NotJson> {
        self.expect(b'"')?;
        let mut has_escapes = false;
        loop {
            self.plain()?;
            if self.takes(b'"') {
                return Ok(has_escapes);
            }
            self.escape()?;
            has_escapes = true;
        }
    }

    /// What stands for itself in a string, up to a quote or a backslash; the error of another end may be left
    /// to who looks for these.
    fn plain(&mut self) -> Result<(), NotJson> {
        let rest = self.bytes.get(self.at..).ok_or(NotJson)?;
        let (words, _few) = rest.as_chunks();
        for word in words.iter().take(SHORT) {
            let ends = ends_in(u64::from_le_bytes(*word));
            if ends != 0 {
                // The bit is the highest of its byte.
                self.at += ends.trailing_zeros() as usize / 8;
                return Ok(());
            }
            self.at += 8;
        }
        loop {
            let rest = self.bytes.get(self.at..).ok_or(NotJson)?;
            let near = rest.get(..NEAR).unwrap_or(rest);
            let found = memchr::memchr2(b'"', b'\\', near);
            let len = found.unwrap_or(near.len());
            if len == 0 && found.is_none() {
                return Err(NotJson);
            }
            if has_control_characters(near.get(..len).unwrap_or(near)) {
                return Err(NotJson);
            }
            self.at += len;
            if found.is_some() {
                return Ok(());
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        self.expect(b'\\')?;
        let kind = self.peek();
        self.at += 1;
        match kind {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.bytes.get(self.at..self.at + 4).ok_or(NotJson)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) {
                    Ok(())
                } else {
                    Err(NotJson)
                }
            }
            _other => Err(NotJson),
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        self.takes(b'-');
        // A zero that leads stands alone.
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _sign = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NotJson)
        }
    }
}

/// One in each byte of a word.
const EACH: u64 = u64::from_ne_bytes([1; 8]);

/// Eight bytes at once, by hand: a program that is built to be small has no loop turned into that by the
/// compiler. Of a word less 0x20 in each byte, that bit is set that was not where a byte was less. Bytes above
/// one that is less may be taken for such as well, never those below.
fn control_characters_in(word: u64) -> u64 {
    word.wrapping_sub(EACH * 0x20) & !word & (EACH * 0x80)
}

/// Where one of eight bytes of a string does not stand for itself: the highest bit of the first such byte is
/// set, and none below.
fn ends_in(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & (EACH * 0x80);
    let quotes = zeros(word ^ (EACH * u64::from(b'"')));
    let backslashes = zeros(word ^ (EACH * u64::from(b'\\')));
    quotes | backslashes | control_characters_in(word)
}

fn has_control_characters(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let found = words.iter().fold(0, |found, word| {
        found | control_characters_in(u64::from_ne_bytes(*word))
    });
    found != 0 || rest.iter().any(|byte| *byte < 0x20)
}

#[cfg(test)]
mod tests {
    use alloc::{
        string::{String, ToString},
        vec::Vec,
    };

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn other_parser(text: &str) -> bool {
        serde_json::from_str::<&RawValue>(text).is_ok()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        let table = [
            "0",
            "-0",
            "01",
            "1.",
            "1.0",
            ".5",
            "1e5",
            "1e",
            "1E+5",
            "1e400",
            "-",
            "--1",
            "+1",
            "true",
            "tru",
            "nul",
            "null",
            "\"\"",
            "\"a",
            "\"\\u12\"",
            "\"\\u123g\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\u{1}\"",
            "\"\u{7f}\"",
            "[]",
            "[,]",
            "[1,]",
            "[1 2]",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":[{}]}",
            "[[]",
            "]",
            "{\"a\":1}}",
            " [ 1 , { \"b\" : null } ] ",
            "",
            " ",
            "\u{feff}1",
            "1 2",
            "[\"\\\\\"]",
            "\"\\\"",
            "nullx",
            "[1}",
            "{\"a\":1]",
        ];
        for text in table {
            assert_eq!(is_json(text), other_parser(text), "{text:?}");
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_stands_and_nothing_else_is_one() {
        for byte in 0..=u8::MAX {
            for len in 1..20 {
                for at in 0..len {
                    let mut bytes = alloc::vec![b' '; len];
                    bytes[at] = byte;
                    assert_eq!(has_control_characters(&bytes), byte < 0x20, "{bytes:?}");
                }
            }
        }
        assert!(!has_control_characters(&[0xff; 16]));
        assert!(!has_control_characters(&[]));
    }

    #[test]
    fn what_does_not_stand_for_itself_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                for around in [b' ', b'!', b'#', b'[', b']', 0x7f, 0xff] {
                    let mut bytes = [around; 8];
                    bytes[at] = byte;
                    let is_end = byte < 0x20 || byte == b'"' || byte == b'\\';
                    let expected = if is_end { 8 * at + 7 } else { 64 };
                    let found = ends_in(u64::from_le_bytes(bytes)).trailing_zeros();
                    assert_eq!(found as usize, expected, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn strings_of_any_length_end_where_they_end() {
        for len in 0..100 {
            let plain = "x".repeat(len);
            for (inner, has_escapes) in [("", false), ("\\n", true), ("\\\"", true), ("é", false)]
            {
                for rest in ["", ",", " and more of it \""] {
                    let text = alloc::format!("\"{plain}{inner}{plain}\"{rest}");
                    let mut skimmer = Skimmer::new(&text);
                    assert_eq!(skimmer.string(), Ok(has_escapes), "{text}");
                    assert_eq!(&text[skimmer.at..], rest, "{text}");
                }
            }
            for text in ["", "\u{1f}", "\u{0}\"", "\\"].map(|end| alloc::format!("\"{plain}{end}"))
            {
                assert_eq!(Skimmer::new(&text).string(), Err(NotJson), "{text:?}");
            }
        }
    }

    #[test]
    fn members_come_as_they_stand() {
        let mut seen = String::new();
        let text = " {\"a\" : [1, {\"a\":2}] ,\"\\u0062\":\"}\"} ";
        let done = members(text, |name, value| {
            seen += name.json;
            seen += value;
        });
        assert_eq!(
            (done, seen.as_str()),
            (Ok(3), "\"a\"[1, {\"a\":2}]\"\\u0062\"\"}\"")
        );
        assert_eq!(members("[1]", |_, _| {}), Err(NotJson));
        assert_eq!(members("{\"a\":1} x", |_, _| {}), Err(NotJson));
    }

    #[test]
    fn elements_come_as_they_stand() {
        let mut seen = String::new();
        let done = elements(" [ 1 ,{\"a\":[2]} , \"]\" ] ", |element| seen += element);
        assert_eq!((done, seen.as_str()), (Ok(3), "1{\"a\":[2]}\"]\""));
        assert_eq!(elements("[]", |_| {}), Ok(0));
        for text in ["[1,]", "[,1]", "[1", "[1]]", "{}", "[1 2]", ""] {
            assert_eq!(elements(text, |_| {}), Err(NotJson), "{text}");
        }
    }

    /// Texts that are often JSON and often nearly so.
    fn nearly_json() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            "[\\[\\]{},: \"\\\\0-9eE+.a-z\\-]{0,3}",
            Just("\"a\":".to_string()),
            Just("\"\\u00e9\\n\"".to_string()),
            Just("{\"k\":[1,-2.5e3,null]}".to_string()),
            Just("true".to_string()),
            any::<char>().prop_map(|character| character.to_string()),
        ];
        proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_string()),
            any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap_or_default()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap_or_default()),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| alloc::format!("[{}]", items.join(" , "))),
                proptest::collection::vec(inner, 0..6).prop_map(|items| {
                    let members: Vec<String> = items
                        .iter()
                        .map(|item| alloc::format!("\"k\": {item}"))
                        .collect();
                    alloc::format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn another_parser_agrees_on_what_is_nearly_json(text in nearly_json()) {
            prop_assert_eq!(is_json(&text), other_parser(&text));
        }

        #[test]
        fn another_parser_agrees_on_json_with_one_byte_changed(
            text in json(), at in any::<proptest::sample::Index>(), byte in 0_u8..128,
        ) {
            prop_assert!(is_json(&text));
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert_eq!(is_json(&changed), other_parser(&changed));
            }
        }
    }
}
