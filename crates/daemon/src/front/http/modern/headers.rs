//! Headers that say again what stands in the body, and what text is in them.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use super::fault::{Mismatch, ModernFault};

/// What stands around a value that is encoded. Nothing else is, whatever it looks like.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

pub(super) const PARAM_PREFIX: &str = "mcp-param-";

/// A header that every modern request has, or some of them.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: HeaderName,
    /// As the specification writes it.
    pub(super) written: &'static str,
}

/// The headers of one request that say again what its arguments are.
#[derive(Debug, Default)]
pub(crate) struct ParamHeaders(Vec<(HeaderName, HeaderValue)>);

impl Known {
    /// Its text, as it stands there; `None` if it does not.
    pub(super) fn find<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, ModernFault> {
        only(headers.get_all(&self.name).iter()).map_err(|mismatch| self.fault(mismatch))
    }

    pub(super) fn fault(&self, mismatch: Mismatch) -> ModernFault {
        ModernFault::HeaderMismatch {
            header: self.written.into(),
            mismatch,
        }
    }
}

impl ParamHeaders {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let params = headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(PARAM_PREFIX));
        ParamHeaders(
            params
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// The text of that of this parameter, whose name is in lower case; `None` if there is none.
    pub(super) fn find(&self, param: &str) -> Result<Option<Cow<'_, str>>, Mismatch> {
        let all = self.0.iter();
        let named = all.filter(|(name, _)| name.as_str().strip_prefix(PARAM_PREFIX) == Some(param));
        let text = only(named.map(|(_, value)| value))?;
        text.map(decoded).transpose()
    }
}

/// The text of the only one of these values, without the blanks around it.
fn only<'h>(
    mut values: impl Iterator<Item = &'h HeaderValue>,
) -> Result<Option<&'h str>, Mismatch> {
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Mismatch::Doubled);
    }
    let text = value.to_str().map_err(|_| Mismatch::Unreadable)?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// The value that stands for a text.
pub(crate) fn encoded(text: &str) -> HeaderValue {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    let (before, behind) = ENCODED;
    let looks_encoded = text.starts_with(before) && text.ends_with(behind);
    let is_safe = text.bytes().all(is_plain) && text.trim_matches(' ') == text && !looks_encoded;
    if is_safe && let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let value = format!("{before}{}{behind}", STANDARD.encode(text));
    // There is no letter in it that could not stand there.
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""))
}

/// The text that a value stands for.
pub(super) fn decoded(value: &str) -> Result<Cow<'_, str>, Mismatch> {
    let (before, behind) = ENCODED;
    let inner = value.strip_prefix(before);
    let Some(inner) = inner.and_then(|inner| inner.strip_suffix(behind)) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(inner).map_err(|_| Mismatch::Unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| Mismatch::Unreadable)?;
    Ok(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_both_marks_is_decoded() {
        for (value, text) in [
            ("Hello", Ok("Hello")),
            ("=?base64?SGVsbG8=?=", Ok("Hello")),
            ("=?base64?w6Q=?=", Ok("ä")),
            ("=?base64??=", Ok("")),
            // Neither mark, one of them, another letter case: they stand for themselves.
            ("SGVsbG8=", Ok("SGVsbG8=")),
            ("=?base64?SGVsbG8=", Ok("=?base64?SGVsbG8=")),
            ("SGVsbG8=?=", Ok("SGVsbG8=?=")),
            ("=?BASE64?SGVsbG8=?=", Ok("=?BASE64?SGVsbG8=?=")),
            // No padding, a letter that is none, bits that are none, no UTF-8.
            ("=?base64?SGVsbG8?=", Err(Mismatch::Unreadable)),
            ("=?base64?SGVs!!!bG8=?=", Err(Mismatch::Unreadable)),
            ("=?base64?SGVsbG9=?=", Err(Mismatch::Unreadable)),
            ("=?base64?/w==?=", Err(Mismatch::Unreadable)),
        ] {
            let read = decoded(value);
            assert_eq!(
                read.as_deref().map_err(|mismatch| *mismatch),
                text,
                "{value}"
            );
        }
    }

    #[test]
    fn a_text_that_cannot_stand_in_a_header_is_encoded_and_read_again() {
        for (text, is_encoded) in [
            ("us-west1", false),
            ("us west 1", false),
            ("", false),
            ("=?base64?SGVsbG8=", false),
            ("=?base64?SGVsbG8=?=", true),
            (" padded", true),
            ("padded ", true),
            ("\tindented", true),
            ("a\tb", true),
            ("line1\r\nline2", true),
            ("Hello, 世界", true),
            ("\u{7f}", true),
        ] {
            let value = encoded(text);
            let value = value.to_str().unwrap();
            assert_eq!(
                value.starts_with(ENCODED.0) && value.ends_with(ENCODED.1),
                is_encoded,
                "{text}"
            );
            assert_eq!(decoded(value).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_header_is_there_once_and_is_text() {
        let read = |values: &[&[u8]]| {
            let values: Vec<HeaderValue> = values
                .iter()
                .map(|value| HeaderValue::from_bytes(value).unwrap())
                .collect();
            only(values.iter()).map(|text| text.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"  a b\t "]), Ok(Some("a b".to_owned())));
        assert_eq!(read(&[b"a", b"a"]), Err(Mismatch::Doubled));
        assert_eq!(read(&["ä".as_bytes()]), Err(Mismatch::Unreadable));
        assert_eq!(read(&[b"\xff"]), Err(Mismatch::Unreadable));
    }

    #[test]
    fn the_headers_of_parameters_are_found_by_the_rest_of_their_names() {
        let mut all = HeaderMap::new();
        for (name, value) in [
            ("mcp-param-region", "=?base64?SGVsbG8=?="),
            ("mcp-param-zone", "1"),
            ("mcp-param-zone", "1"),
            ("mcp-name", "x"),
        ] {
            all.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let headers = ParamHeaders::of(&all);
        assert_eq!(headers.find("region"), Ok(Some("Hello".into())));
        assert_eq!(headers.find("zone"), Err(Mismatch::Doubled));
        assert_eq!(headers.find("name"), Ok(None));
    }
}
