//! What a line that is no message was about: whom it names, and whether it asked or answered.
//!
//! Somebody may wait for an answer that has come in a form that nobody can use. Whoever that is must
//! hear of it, so a line at fault is searched for what can still be known of it.
//!
//! **Invariant:** only what stands at the top level counts, and of ids that differ none is preferred.

use alloc::vec::Vec;

use crate::{id::RequestId, params::unquoted};

/// Different ids of one line that are told apart. A line with more may be about anything.
const IDS_MAX: usize = 8;

/// What some systems begin a text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is known of a line at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Whose it is.
    pub named: Named,
    /// What it was to do.
    pub purpose: Purpose,
}

/// The ids that a line at fault has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// None: there is no id, or it is `null` or nothing that an id may be.
    Nobody,
    /// One, however often it is repeated.
    One(RequestId),
    /// Several that differ: parsers disagree on which one counts.
    Several(Vec<RequestId>),
    /// It cannot be known: the id may stand in the part of the line that is gone.
    Unknown,
}

/// What a line at fault was to be, as far as its members tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A request or a notification.
    Question,
    /// A response.
    Answer,
    /// One of the two: it has the members of both, or of neither.
    Either,
    /// None: nothing says that it was to be a message at all.
    Noise,
}

impl About {
    /// Of what nothing can be known.
    pub const NOISE: About = About {
        named: Named::Nobody,
        purpose: Purpose::Noise,
    };

    /// What may have been any message of anybody's.
    pub const ANYTHING: About = About {
        named: Named::Unknown,
        purpose: Purpose::Either,
    };

    /// Searches a whole line that is not even JSON, or not UTF-8.
    ///
    /// Of a batch the members of its messages count, whichever of them they stand in.
    pub fn garbled(line: &[u8]) -> Self {
        let depth = if is_object(line) {
            1
        } else if is_batch(line) {
            2
        } else {
            return About::NOISE;
        };
        let signs = Signs::found_in(line, depth);
        About {
            named: signs.ids.named(),
            purpose: signs.purpose(),
        }
    }

    /// Searches the beginning and the end of a line that was too long to be kept.
    pub fn cut_off(head: &[u8], tail: &[u8]) -> Self {
        // A batch has several messages, and each of them its own.
        if is_batch(head) {
            return About::ANYTHING;
        }
        if !is_object(head) {
            return About::NOISE;
        }
        let mut signs = Signs::found_in(head, 1);
        signs.look_at_end(tail);
        About {
            named: match signs.ids.named() {
                Named::Nobody if !signs.ids.has_other => Named::Unknown,
                named @ (Named::Nobody | Named::One(_) | Named::Several(_) | Named::Unknown) => {
                    named
                }
            },
            purpose: match signs.purpose() {
                Purpose::Noise => Purpose::Either,
                purpose @ (Purpose::Question | Purpose::Answer | Purpose::Either) => purpose,
            },
        }
    }

    /// The id, where there is no doubt about it.
    pub fn certain_id(&self) -> Option<&RequestId> {
        match &self.named {
            Named::One(id) => Some(id),
            Named::Nobody | Named::Several(_) | Named::Unknown => None,
        }
    }
}

/// The ids that were met, as JSON text or as what they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    different: Vec<RequestId>,
    /// Whether something stood in the place of an id that is none.
    has_other: bool,
    has_more: bool,
}

impl Ids {
    /// The only one that stands there.
    pub(crate) fn of(json: &str) -> Self {
        let mut ids = Ids::default();
        ids.meet(json);
        ids
    }

    /// Takes note of a value in the place of an id.
    pub(crate) fn meet(&mut self, json: &str) {
        match RequestId::from_json(json) {
            None => self.has_other = true,
            Some(id) if self.different.contains(&id) => {}
            Some(_) if self.different.len() == IDS_MAX => self.has_more = true,
            Some(id) => self.different.push(id),
        }
    }

    pub(crate) fn named(&self) -> Named {
        match self.different.as_slice() {
            _many if self.has_more => Named::Unknown,
            [] => Named::Nobody,
            [one] if !self.has_other => Named::One(one.clone()),
            several => Named::Several(several.to_vec()),
        }
    }
}

/// The members at the top level that tell what a line was.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    pub(crate) ids: Ids,
    pub(crate) has_version: bool,
    pub(crate) has_question: bool,
    pub(crate) has_outcome: bool,
}

impl Signs {
    pub(crate) fn purpose(&self) -> Purpose {
        match (self.has_question, self.has_outcome) {
            (true, false) => Purpose::Question,
            (false, true) => Purpose::Answer,
            (true, true) => Purpose::Either,
            // An answer whose result is nothing, which some libraries leave out.
            (false, false) if self.has_version => Purpose::Either,
            (false, false) => Purpose::Noise,
        }
    }

    /// Looks for them in text that is not whole, or no JSON, where so many brackets are open.
    fn found_in(text: &[u8], at_depth: usize) -> Self {
        let mut signs = Signs::default();
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let Some(end) = string_end(text, at) else {
                        break;
                    };
                    if depth == at_depth && text.get(skip_blanks(text, end)) == Some(&b':') {
                        let name = text.get(at..end).unwrap_or_default();
                        signs.meet(name, || value_after(text, end));
                    }
                    at = end;
                    continue;
                }
                _other => {}
            }
            at += 1;
        }
        signs
    }

    /// Looks for them in the end of an object of which the beginning is gone: the scalars before its last
    /// bracket are members of it, and nobody can tell of what stands before those.
    fn look_at_end(&mut self, tail: &[u8]) {
        let Some((b'}', mut before)) = split_last(tail) else {
            return;
        };
        while let Some((rest, name, value)) = split_last_member(before) {
            let value = core::str::from_utf8(value).unwrap_or_default();
            self.meet(name, || Some(value));
            before = rest;
        }
    }

    fn meet<'a>(&mut self, name: &[u8], value: impl FnOnce() -> Option<&'a str>) {
        let name = core::str::from_utf8(name).ok().and_then(unquoted);
        match name.as_deref() {
            Some("id") => {
                // What is cut off is no id, and its rest may be anything.
                if let Some(value) = value() {
                    self.ids.meet(value);
                }
            }
            Some("jsonrpc") => self.has_version = true,
            Some("method" | "params") => self.has_question = true,
            Some("result" | "error") => self.has_outcome = true,
            _other => {}
        }
    }
}

/// Whether the text begins like an object, the mark of UTF-8 before it or not.
fn is_object(text: &[u8]) -> bool {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    text.get(skip_blanks(text, 0)) == Some(&b'{')
}

/// Whether the text begins like an array of objects.
fn is_batch(text: &[u8]) -> bool {
    let inner = skip_blanks(text, 0) + 1;
    text.get(inner - 1) == Some(&b'[') && text.get(inner..).is_some_and(is_object)
}

fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The last byte that is no blank, and what stands before it.
fn split_last(text: &[u8]) -> Option<(u8, &[u8])> {
    text.trim_ascii_end()
        .split_last()
        .map(|(byte, rest)| (*byte, rest))
}

/// The last member of an object that ends here, if it is a scalar and there is another before it; what
/// stands before both and the comma between them.
fn split_last_member(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (rest, value) = split_last_scalar(text)?;
    let (b':', rest) = split_last(rest)? else {
        return None;
    };
    let (rest, name) = split_last_string(rest)?;
    let (b',', rest) = split_last(rest)? else {
        return None;
    };
    Some((rest, name, value))
}

fn split_last_scalar(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some((b'"', _)) = split_last(text) {
        return split_last_string(text);
    }
    let text = text.trim_ascii_end();
    let is_of_it = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let start = text.iter().rposition(|byte| !is_of_it(byte))? + 1;
    (start < text.len()).then(|| text.split_at(start))
}

fn split_last_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_end();
    let mut at = text.len().checked_sub(1)?;
    if text.get(at) != Some(&b'"') || is_escaped(text, at)? {
        return None;
    }
    loop {
        at = memchr::memrchr(b'"', text.get(..at)?)?;
        if !is_escaped(text, at)? {
            return Some(text.split_at(at));
        }
    }
}

/// Whether the byte there has an odd number of backslashes before it; `None` if they may go on before the
/// text.
fn is_escaped(text: &[u8], at: usize) -> Option<bool> {
    let before = text.get(..at)?;
    let start = before.iter().rposition(|byte| *byte != b'\\')?;
    Some((before.len() - start) % 2 == 0)
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = text.get(at) {
        at += 1;
    }
    at
}

/// The scalar behind a name, if all of it is there; empty for what is no scalar.
fn value_after(text: &[u8], name_end: usize) -> Option<&str> {
    let start = skip_blanks(text, skip_blanks(text, name_end) + 1);
    let end = if text.get(start) == Some(&b'"') {
        string_end(text, start)?
    } else {
        let ends = |byte: &u8| {
            matches!(
                byte,
                b',' | b'}' | b'[' | b'{' | b' ' | b'\t' | b'\r' | b'\n'
            )
        };
        start + text.get(start..)?.iter().position(ends)?
    };
    Some(core::str::from_utf8(text.get(start..end)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> RequestId {
        RequestId::from_json(json).unwrap()
    }

    fn about(named: Named, purpose: Purpose) -> About {
        About { named, purpose }
    }

    #[test]
    fn the_id_of_a_cut_message_is_found_at_the_top_level_only() {
        let head = br#"{"params":{"id":7,"s":"\"id\":8"},"id" : "abc","result":{"big":"xxxx"#;
        assert_eq!(
            About::cut_off(head, b""),
            about(Named::One(id("\"abc\"")), Purpose::Either)
        );
        let escaped = br#"{"\u0069d":7,"r\u0065sult":"xxx"#;
        assert_eq!(
            About::cut_off(escaped, b""),
            about(Named::One(id("7")), Purpose::Answer)
        );
    }

    #[test]
    fn the_id_of_a_cut_message_is_found_at_its_end_among_the_scalars_there() {
        let head = br#"{"result":{"content":[{"text":"xxxx"#;
        for (tail, named) in [
            (
                &br#"xx"}]},"jsonrpc":"2.0","id":5}"#[..],
                Named::One(id("5")),
            ),
            (
                br#"xx"}]} , "id" : "a\\\"b" , "jsonrpc" : "2.0" } "#,
                Named::One(id(r#""a\\\"b""#)),
            ),
            (br#"xx"}]},"\u0069d":5}"#, Named::One(id("5"))),
            (br#"xx"}]},"id":null}"#, Named::Nobody),
            (
                br#"xx"}]},"id":5,"id":6}"#,
                Named::Several([id("6"), id("5")].to_vec()),
            ),
            // Deeper, or inside of a text.
            (br#"xx","id":5}]}}"#, Named::Unknown),
            (br#"xx","text":",\"id\":5}"}]}}"#, Named::Unknown),
            (br#"xx,\"id\":\"5"}"#, Named::Unknown),
            (br#"xx,"id":"5\"}"#, Named::Unknown),
            // What stands before it is gone.
            (br#"\",\"id\":5}"#, Named::Unknown),
            (br#""id":5}"#, Named::Unknown),
            (br#"5}"#, Named::Unknown),
            (b"", Named::Unknown),
            (br#"xx"}]},"id":5"#, Named::Unknown),
        ] {
            let found = About::cut_off(head, tail);
            assert_eq!(
                found,
                about(named, Purpose::Answer),
                "{}",
                tail.escape_ascii()
            );
        }
        let both = About::cut_off(br#"{"id":5,"result":"#, br#"xx"},"id":6}"#);
        assert_eq!(both.named, Named::Several([id("5"), id("6")].to_vec()));
    }

    #[test]
    fn a_cut_message_without_an_id_may_be_anybodys() {
        for (head, purpose) in [
            (&br#"{"jsonrpc":"2.0","result":{"a":"#[..], Purpose::Answer),
            (
                br#"{"jsonrpc":"2.0","method":"x","params":"#,
                Purpose::Question,
            ),
            (br#"{"id":12"#, Purpose::Either),
            (br#"{"xx"#, Purpose::Either),
            (br#" [ {"jsonrpc":"2.0","id":1,"result":"#, Purpose::Either),
        ] {
            assert_eq!(About::cut_off(head, b""), about(Named::Unknown, purpose));
        }
        // `null` names nobody, and says so.
        let nobodys = br#"{"id":null,"error":{"a":"#;
        assert_eq!(
            About::cut_off(nobodys, b""),
            about(Named::Nobody, Purpose::Answer)
        );
    }

    #[test]
    fn what_does_not_begin_like_a_message_is_noise() {
        for line in [
            &b"listening on port 3"[..],
            b"[INFO] {\"id\":1,\"result\":2}",
            b"",
            b"\xff\xfe",
            b"{'id': 1, 'result': 2}",
        ] {
            assert_eq!(About::garbled(line), About::NOISE);
        }
        assert_eq!(About::cut_off(b"xxxxxxxx", b""), About::NOISE);
    }

    #[test]
    fn what_is_nearly_json_still_names_its_owner() {
        let nan = br#"{"jsonrpc":"2.0","id":5,"result":{"x":NaN,"id":6}}"#;
        assert_eq!(
            About::garbled(nan),
            about(Named::One(id("5")), Purpose::Answer)
        );
        let latin = b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":\"\xe9\"}";
        assert_eq!(
            About::garbled(latin),
            about(Named::One(id("5")), Purpose::Answer)
        );
        let two = br#"{"jsonrpc":"2.0","id":5,"result":{}}{"jsonrpc":"2.0","id":6,"result":{}}"#;
        assert_eq!(
            About::garbled(two),
            about(Named::Several([id("5"), id("6")].to_vec()), Purpose::Answer)
        );
    }

    #[test]
    fn of_a_batch_that_is_nearly_json_all_are_named() {
        let nan = br#" [{"jsonrpc":"2.0","id":5,"result":{"id":7}}, {"jsonrpc":"2.0","id":6,"result":NaN}]"#;
        assert_eq!(
            About::garbled(nan),
            about(Named::Several([id("5"), id("6")].to_vec()), Purpose::Answer)
        );
        assert_eq!(About::garbled(b"[{'id': 5, 'result': 1}]"), About::NOISE);
    }

    #[test]
    fn ids_that_differ_are_all_named_and_too_many_are_anybodys() {
        let named = |texts: &[&str]| {
            let mut ids = Ids::default();
            for text in texts {
                ids.meet(text);
            }
            ids.named()
        };
        assert_eq!(named(&["null", "{}"]), Named::Nobody);
        assert_eq!(named(&["1", "1"]), Named::One(id("1")));
        assert_eq!(
            named(&["1", "\"1\""]),
            Named::Several([id("1"), id("\"1\"")].to_vec())
        );
        assert_eq!(named(&["1", "null"]), Named::Several([id("1")].to_vec()));
        let many = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
        assert_eq!(named(&many), Named::Unknown);
    }
}
