//! What an upstream said of itself, replayed to every session.
//!
//! A server hears one `initialize` and one `initialized` in its life: a second is fatal to servers
//! built on go-sdk 1.7 and later. One of the modern era is asked `server/discover` instead, and says the
//! same in other words: sessions of either era are answered from either.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
};

use core::time::Duration;

use bytes::Bytes;
use wire::{Outgoing, RequestId, Span, edited, members_of, meta_name, quoted};

use crate::{
    class::Class,
    era::{Era, GREETING_VERSION, MODERN_VERSION, SERVED_VERSIONS, answered_version},
    offers::Offers,
};

/// The result of a server's `initialize` or `server/discover`.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// As the server wrote it.
    result: Bytes,
    /// How it was asked.
    pub(crate) era: Era,
    /// Where the version stands in it, with its quotes, or the versions.
    version_span: core::ops::Range<usize>,
    /// The version that the server speaks.
    pub(crate) version: String,
    /// What it can do.
    pub(crate) offers: Offers,
}

/// The members of such a result that have to be known, as JSON.
#[derive(Default)]
struct Said<'a> {
    version: Option<&'a str>,
    versions: Option<&'a str>,
    capabilities: Option<&'a str>,
    server_info: Option<&'a str>,
    instructions: Option<&'a str>,
    ttl: Option<&'a str>,
    meta: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// Reads a result; `None` if it is no object, or one of these stands there twice.
    fn read(result: &'a str) -> Option<Self> {
        let mut said = Said::default();
        for member in members_of(result)? {
            let slot = match member.name.as_ref() {
                "protocolVersion" => &mut said.version,
                "supportedVersions" => &mut said.versions,
                "capabilities" => &mut said.capabilities,
                "serverInfo" => &mut said.server_info,
                "instructions" => &mut said.instructions,
                "ttlMs" => &mut said.ttl,
                "_meta" => &mut said.meta,
                _unread => continue,
            };
            if member.value != "null" && slot.replace(member.value).is_some() {
                return None;
            }
        }
        Some(said)
    }

    /// Who the server is, wherever it says so.
    fn server_info(&self) -> Option<&'a str> {
        let in_meta = || {
            let members = members_of(self.meta?)?;
            let mut members = members.into_iter();
            let info = members.find(|member| member.name == meta_name::SERVER)?;
            Some(info.value)
        };
        self.server_info.or_else(in_meta)
    }

    /// What both eras call the same, as members behind others.
    fn instructions(&self) -> String {
        let said = self.instructions;
        said.map(|said| format!(r#","instructions":{said}"#))
            .unwrap_or_default()
    }

    /// What the server can do, but for what only its own era has.
    fn capabilities_in(&self, era: Era) -> Cow<'a, str> {
        let said = self.capabilities.unwrap_or("{}");
        let members = members_of(said).unwrap_or_default();
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let edited = match era {
            Era::Modern => find("tasks").and_then(|_| edited(said, &["tasks"], &[])),
            Era::Legacy => find("extensions").and_then(|extensions| {
                let others = edited(extensions.value, &[TASKS_EXTENSION], &[])?;
                edited(said, &["extensions"], &[("extensions", &others)])
            }),
        };
        edited.map_or(Cow::Borrowed(said), Cow::Owned)
    }
}

/// What the modern era runs tasks by, which are not those of the legacy era.
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

impl Handshake {
    /// Reads the result of an `initialize` or of a `server/discover`; `None` if it is neither, or of no
    /// version that is spoken here.
    pub(crate) fn read(result: &Bytes) -> Option<Self> {
        let text = core::str::from_utf8(result).ok()?;
        let said = Said::read(text)?;
        let (era, place, version) = match (said.version, said.versions) {
            (Some(version), _) => {
                let spoken: String = serde_json::from_str(version).ok()?;
                (Era::Legacy, version, spoken)
            }
            (None, Some(versions)) => {
                let spoken: alloc::vec::Vec<Cow<'_, str>> = serde_json::from_str(versions).ok()?;
                spoken.iter().find(|version| *version == MODERN_VERSION)?;
                (Era::Modern, versions, MODERN_VERSION.to_string())
            }
            (None, None) => return None,
        };
        let start = place.as_ptr() as usize - text.as_ptr() as usize;
        let capabilities = said.capabilities;
        Some(Handshake {
            era,
            version_span: start..start + place.len(),
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
        answered_version(
            asked,
            match self.era {
                Era::Legacy => &self.version,
                Era::Modern => GREETING_VERSION,
            },
        )
    }

    /// Who the server is, as JSON, if it says so.
    pub(crate) fn server_info(&self) -> Option<String> {
        self.said().server_info().map(ToString::to_string)
    }

    /// The answer to a session's `initialize`: the server's own, byte for byte, but for the version. Of a
    /// modern server the same in the words of the legacy era.
    pub(crate) fn answer(&self, id: &RequestId, version: &str) -> Outgoing {
        let version = quoted(version);
        let result = match self.era {
            Era::Legacy => self.with_version(&version),
            Era::Modern => {
                let said = self.said();
                format!(
                    r#"{{"protocolVersion":{version},"capabilities":{},"serverInfo":{}{}}}"#,
                    said.capabilities_in(Era::Legacy),
                    said.server_info().unwrap_or(NAMELESS),
                    said.instructions(),
                )
            }
        };
        response(id, &result)
    }

    /// The answer to a session's `server/discover`: the server's own, byte for byte, but for the versions,
    /// which are ours, and for how long it still holds that was said so long ago. Of a legacy server the same in the
    /// words of the modern era.
    pub(crate) fn discovered(&self, id: &RequestId, age: Duration) -> Outgoing {
        let versions = SERVED_VERSIONS.map(quoted).join(",");
        let result = match self.era {
            Era::Modern => self.aged(&format!("[{versions}]"), age),
            Era::Legacy => {
                let said = self.said();
                format!(
                    r#"{{"supportedVersions":[{versions}],"capabilities":{},"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{{"{}":{}}}{}}}"#,
                    said.capabilities_in(Era::Modern),
                    meta_name::SERVER,
                    said.server_info().unwrap_or(NAMELESS),
                    said.instructions(),
                )
            }
        };
        response(id, &result)
    }

    /// With our versions, and with what is left of the time for which it holds.
    fn aged(&self, versions: &str, age: Duration) -> String {
        let text = core::str::from_utf8(&self.result).unwrap_or_default();
        let said = self.said();
        let whole: Option<u64> = said.ttl.and_then(|ttl| ttl.parse().ok());
        let (Some(ttl), Some(whole)) = (said.ttl, whole) else {
            // What does not say how long it holds does not hold.
            return self.with_version(versions);
        };
        // What has begun of a millisecond has passed: it never holds for longer than the server has said.
        let age = age.as_nanos().div_ceil(1_000_000);
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        let left = whole.saturating_sub(age).to_string();
        let start = ttl.as_ptr() as usize - text.as_ptr() as usize;
        self.edited([
            (self.version_span.clone(), versions),
            (start..start + ttl.len(), left.as_str()),
        ])
    }

    fn with_version(&self, version: &str) -> String {
        self.edited([(self.version_span.clone(), version)])
    }

    /// The server's own words, with others in some places.
    fn edited<const N: usize>(&self, mut edits: [(Span, &str); N]) -> String {
        let text = core::str::from_utf8(&self.result).unwrap_or_default();
        edits.sort_by_key(|(span, _)| span.start);
        let mut edited = String::new();
        let mut done = 0;
        for (span, new) in edits {
            edited.push_str(text.get(done..span.start).unwrap_or_default());
            edited.push_str(new);
            done = span.end;
        }
        edited.push_str(text.get(done..).unwrap_or_default());
        edited
    }

    fn said(&self) -> Said<'_> {
        // It has been read before.
        let text = core::str::from_utf8(&self.result).ok();
        text.and_then(Said::read).unwrap_or_default()
    }
}

/// A peer that does not say who it is.
pub(crate) const NAMELESS: &str = r#"{"name":"unknown","version":"unknown"}"#;

fn response(id: &RequestId, result: &str) -> Outgoing {
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}

/// Our own first request to a server: `initialize`, which declares exactly what the sessions of this class
/// can do, or `server/discover`.
pub(crate) fn greeting(id: u64, era: Era, class: Class) -> Outgoing {
    let capabilities = class.to_json();
    let us = us();
    Outgoing::from(match era {
        Era::Legacy => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{GREETING_VERSION}","capabilities":{capabilities},"clientInfo":{us}}}}}"#
        ),
        Era::Modern => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{"_meta":{}}}}}"#,
            own_meta()
        ),
    })
}

/// Who we are.
fn us() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(r#"{{"name":"mcpool","title":"mcpool","version":"{version}"}}"#)
}

/// What a request of our own says of us in the modern era.
pub(crate) fn own_meta() -> String {
    meta(&us(), &Class::default().to_json(), None)
}

/// What a request says of its sender in the modern era; all are JSON.
pub(crate) fn meta(client: &str, capabilities: &str, level: Option<&str>) -> String {
    use meta_name::{CAPABILITIES, CLIENT, LOG_LEVEL, VERSION};
    let level = level
        .map(|level| format!(r#","{LOG_LEVEL}":{}"#, quoted(level)))
        .unwrap_or_default();
    format!(
        r#"{{"{VERSION}":"{MODERN_VERSION}","{CLIENT}":{client},"{CAPABILITIES}":{capabilities}{level}}}"#
    )
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
    fn what_a_server_said_in_one_era_is_told_in_the_words_of_the_other() {
        let id = RequestId::from_json("0").unwrap();
        let text = |said: Outgoing| String::from_utf8(said.to_vec()).unwrap();
        let modern = Bytes::from_static(
            br#"{"supportedVersions" : ["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"instructions":"hi","resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}},"ttlMs":1000,"cacheScope":"private"}"#,
        );
        let modern = Handshake::read(&modern).unwrap();
        assert_eq!(
            (modern.era, &*modern.version),
            (Era::Modern, MODERN_VERSION)
        );
        let version = modern.version_for("2025-06-18");
        assert_eq!(
            text(modern.answer(&id, &version)),
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"s","version":"1"},"instructions":"hi"}}"#
        );
        let discovered = text(modern.discovered(&id, Duration::from_millis(400)));
        assert!(
            discovered.contains(r#""supportedVersions" : ["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities""#),
            "{discovered}"
        );
        assert!(discovered.contains(r#","ttlMs":600,"#), "{discovered}");
        let late = text(modern.discovered(&id, Duration::from_hours(1)));
        assert!(late.contains(r#","ttlMs":0,"#), "{late}");
        let legacy = Bytes::from_static(
            br#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        );
        let legacy = Handshake::read(&legacy).unwrap();
        let discovered = text(legacy.discovered(&id, Duration::ZERO));
        let read: serde_json::Value = serde_json::from_str(&discovered).unwrap();
        assert_eq!(read["result"]["_meta"][meta_name::SERVER]["name"], "s");
        assert_eq!(read["result"]["resultType"], "complete");
    }

    #[test]
    fn tasks_of_one_era_are_not_promised_in_the_other() {
        let id = RequestId::from_json("0").unwrap();
        let text = |said: Outgoing| String::from_utf8(said.to_vec()).unwrap();
        let legacy = Bytes::from_static(
            br#"{"\ud800":1,"protocolVersion":"2025-11-25","capabilities":{"tasks":{"list":{}},"tools":{}}}"#,
        );
        let discovered = text(
            Handshake::read(&legacy)
                .unwrap()
                .discovered(&id, Duration::ZERO),
        );
        assert!(
            discovered.contains(r#""capabilities":{"tools":{}},"#),
            "{discovered}"
        );
        let modern = Bytes::from_static(
            br#"{"supportedVersions":["2026-07-28"],"capabilities":{"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{}},"tools":{}}}"#,
        );
        let greeted = text(Handshake::read(&modern).unwrap().answer(&id, "2025-11-25"));
        assert!(
            greeted.contains(r#""capabilities":{"tools":{},"extensions":{"a/b":{}}},"#),
            "{greeted}"
        );
    }

    #[test]
    fn what_is_no_handshake_is_none() {
        for said in [
            "{}",
            "[]",
            r#"{"protocolVersion":1}"#,
            r#"{"supportedVersions":["2025-11-25"]}"#,
            r#"{"protocolVersion":"2025-11-25","protocolVersion":"2025-06-18"}"#,
        ] {
            assert!(
                Handshake::read(&Bytes::copy_from_slice(said.as_bytes())).is_none(),
                "{said}"
            );
        }
    }
}
