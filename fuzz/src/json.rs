//! JSON as two parsers read it that are not ours: `serde_json`, which servers in Rust read with, and
//! `jiter`, which those in Python read with.
//!
//! Where the two differ by their documentation, the difference stands here as code ([`heal`],
//! [`is_for_both`]); where they differ otherwise, the check fails.

use std::{fmt, ops::Range, str};

use jiter::{Jiter, JiterResult};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What JSON calls whitespace.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// `jiter` reads 200 arrays and objects within each other, some of its callers two less.
const DEPTH_MAX: usize = 190;

/// `jiter` reads integers of 4,300 digits, as Python does.
const DIGITS_MAX: usize = 4300;

/// A name, escapes resolved, and where its value stands.
pub(crate) type Member = (String, Range<usize>);

/// Whether the text is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    let text = heal(text);
    let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
    if is_for_both(&text) {
        let mut other = Jiter::new(text.as_bytes());
        let is_for_other = other.next_skip().and_then(|()| other.finish()).is_ok();
        assert_eq!(is_json, is_for_other, "two parsers disagree on {text:?}");
    }
    is_json
}

/// The members of an object in their order, doubled ones too; `None` if the text is no object.
pub(crate) fn members(text: &str) -> Option<Vec<Member>> {
    let text = heal(text);
    let members = serde_json::from_str::<Members<'_>>(&text)
        .ok()
        .map(|members| {
            let place = |(name, value): (String, &RawValue)| (name, place(&text, value.get()));
            members.0.into_iter().map(place).collect::<Vec<_>>()
        });
    if is_for_both(&text) {
        assert_eq!(members, members_by_jiter(&text).ok(), "members of {text:?}");
    }
    members
}

/// Where the elements of an array stand; `None` if the text is no array.
pub(crate) fn elements(text: &str) -> Option<Vec<Range<usize>>> {
    let text = heal(text);
    let elements = serde_json::from_str::<Vec<&RawValue>>(&text).ok();
    let elements = elements.map(|elements| {
        let place = |value: &RawValue| place(&text, value.get());
        elements.into_iter().map(place).collect::<Vec<_>>()
    });
    if is_for_both(&text) {
        assert_eq!(
            elements,
            elements_by_jiter(&text).ok(),
            "elements of {text:?}"
        );
    }
    elements
}

/// The text of a string, escapes resolved; `None` if it is no string or holds half a character.
pub(crate) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// The deepest that arrays and objects stand in each other.
///
/// Means something for JSON only.
pub(crate) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut is_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _other => {}
        }
    }
    deepest
}

/// The text with every half of a surrogate pair that stands alone replaced by U+FFFD, at the same length.
///
/// RFC 8259 section 8.2 allows such halves and leaves open what they mean; both parsers refuse them
/// and we pass them on, as many servers can read them.
fn heal(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let mut healed = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.find('\\').unwrap_or(rest.len());
        healed.push_str(&rest[..plain]);
        at += plain;
        let second = unit(at + 6).filter(|unit| (0xdc00..0xe000).contains(unit));
        let len = match unit(at) {
            Some(0xd800..0xdc00) if second.is_some() => 12,
            Some(0xd800..0xe000) => {
                healed.push_str("\\ufffd");
                at += 6;
                continue;
            }
            Some(_whole) => 6,
            None => text[at..].chars().take(2).map(char::len_utf8).sum(),
        };
        healed.push_str(&text[at..at + len]);
        at += len;
    }
    healed
}

/// Whether the text is within what `jiter` says that it reads; `serde_json` has no such limits here.
fn is_for_both(text: &str) -> bool {
    let mut digits = 0;
    let longest = text.bytes().map(|byte| {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits
    });
    longest.max().unwrap_or_default() <= DIGITS_MAX && depth(text) <= DEPTH_MAX
}

/// Where `part`, a slice of `whole`, stands.
fn place(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

fn members_by_jiter(text: &str) -> JiterResult<Vec<Member>> {
    let mut json = Jiter::new(text.as_bytes());
    let mut members = Vec::new();
    let mut name = json.next_object()?.map(str::to_owned);
    while let Some(known) = name {
        members.push((known, value_by_jiter(&mut json)?));
        name = json.next_key()?.map(str::to_owned);
    }
    json.finish()?;
    Ok(members)
}

fn elements_by_jiter(text: &str) -> JiterResult<Vec<Range<usize>>> {
    let mut json = Jiter::new(text.as_bytes());
    let mut elements = Vec::new();
    let mut next = json.next_array()?;
    while next.is_some() {
        elements.push(value_by_jiter(&mut json)?);
        next = json.array_step()?;
    }
    json.finish()?;
    Ok(elements)
}

fn value_by_jiter(json: &mut Jiter<'_>) -> JiterResult<Range<usize>> {
    let kind = json.peek()?;
    let start = json.current_index();
    json.known_skip(kind)?;
    Ok(start..json.current_index())
}

/// An object as `serde_json` hands it out, with nothing merged.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
