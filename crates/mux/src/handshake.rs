//! What an upstream said of itself, replayed to every session.
//!
//! A server hears one `initialize` and one `initialized` in its life: a second is fatal to servers
//! built on go-sdk 1.7 and later.

use alloc::{format, string::String};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Outgoing, RequestId, quoted};

use crate::{
    class::Class,
    era::{GREETING_VERSION, answered_version},
    offers::Offers,
};

/// The result of a server's `initialize`.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// As the server wrote it.
    result: Bytes,
    /// Where the version stands in it, with its quotes.
    version_span: core::ops::Range<usize>,
    /// The version that the server speaks.
    pub(crate) version: String,
    /// What it can do.
    pub(crate) offers: Offers,
}

#[derive(Deserialize)]
struct Result<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: &'a RawValue,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
}

impl Handshake {
    /// Reads the result of an `initialize`; `None` if it is none.
    pub(crate) fn read(result: &Bytes) -> Option<Self> {
        let text = core::str::from_utf8(result).ok()?;
        let read: Result<'_> = serde_json::from_str(text).ok()?;
        let version: String = serde_json::from_str(read.version.get()).ok()?;
        let start = read.version.get().as_ptr() as usize - text.as_ptr() as usize;
        let capabilities = read.capabilities.map(RawValue::get);
        Some(Handshake {
            version_span: start..start + read.version.get().len(),
            version,
            offers: capabilities.map(Offers::declared).unwrap_or_default(),
            // The reply may be a part of a larger buffer; this one is kept for long.
            result: Bytes::copy_from_slice(result),
        })
    }

    /// As the server wrote it.
    pub(crate) fn result(&self) -> &Bytes {
        &self.result
    }

    /// Whether a session that was answered from `before` finds everything here that it was promised.
    pub(crate) fn replaces(&self, before: &Handshake) -> bool {
        self.version >= before.version && self.offers.include(before.offers)
    }

    /// The version in which a session that asked for `asked` is answered.
    pub(crate) fn version_for(&self, asked: &str) -> String {
        answered_version(asked, &self.version)
    }

    /// The answer to a session's `initialize`: the server's own, byte for byte, but for the version.
    pub(crate) fn answer(&self, id: &RequestId, version: &str) -> Outgoing {
        let text = core::str::from_utf8(&self.result).unwrap_or_default();
        let before = text.get(..self.version_span.start).unwrap_or_default();
        let after = text.get(self.version_span.end..).unwrap_or_default();
        let version = quoted(version);
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{before}{version}{after}}}"#
        ))
    }
}

/// Our own `initialize`, which declares exactly what the sessions of this class can do.
pub(crate) fn greeting(id: u64, class: Class) -> Outgoing {
    let capabilities = class.to_json();
    let version = env!("CARGO_PKG_VERSION");
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{GREETING_VERSION}","capabilities":{capabilities},"clientInfo":{{"name":"mcpool","title":"mcpool","version":"{version}"}}}}}}"#
    ))
}

/// Our own `initialized`.
pub(crate) fn greeted() -> Outgoing {
    Outgoing::from(String::from(
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offers::Offer;

    #[test]
    fn every_session_hears_the_servers_own_words_in_its_own_version() {
        let said = Bytes::from_static(
            br#"{ "capabilities":{"tools":{"x":1e400}}, "protocolVersion" : "2025-11-25","serverInfo":{"name":"s","version":"1"},"future":[1.0]}"#,
        );
        let handshake = Handshake::read(&said).unwrap();
        let answer = handshake.answer(
            &RequestId::from_json("\"a\"").unwrap(),
            &handshake.version_for("2025-06-18"),
        );
        let want = r#"{"jsonrpc":"2.0","id":"a","result":{ "capabilities":{"tools":{"x":1e400}}, "protocolVersion" : "2025-06-18","serverInfo":{"name":"s","version":"1"},"future":[1.0]}}"#;
        assert_eq!(String::from_utf8(answer.to_vec()).unwrap(), want);
        assert!(handshake.offers.has(Offer::Tools) && !handshake.offers.has(Offer::Tasks));
    }

    #[test]
    fn what_is_no_handshake_is_none() {
        for said in ["{}", "[]", r#"{"protocolVersion":1}"#] {
            assert!(
                Handshake::read(&Bytes::copy_from_slice(said.as_bytes())).is_none(),
                "{said}"
            );
        }
    }
}
