//! Where a request leads to, as its URL and its headers say.

use std::{path::PathBuf, sync::Arc};

use hyper::{HeaderMap, Uri, header::HeaderName};

use super::{HttpFault, Place};

/// What it is that stands in the query.
pub(super) const KEYS: [&str; 3] = ["workspace", "repo", "session_key"];

const WORKSPACE: HeaderName = HeaderName::from_static("mcpool-workspace");

/// Where a request leads to.
pub(super) fn place(
    server: Option<Arc<str>>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Place, HttpFault> {
    let mut place = Place {
        server,
        ..Place::default()
    };
    let bad = |what: &'static str| HttpFault::bad_request(what);
    let mut session_key: Option<Arc<str>> = None;
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "workspace" | "repo" => {
                let value = decoded(value).ok_or(bad("the workspace is no text"))?;
                let before = place.workspace.replace(PathBuf::from(value));
                if before.is_some() {
                    return Err(bad("there is more than one workspace"));
                }
            }
            "session_key" => {
                let value = decoded(value).ok_or(bad("the session key is no text"))?;
                let before = session_key.replace(value.into());
                if before.is_some() {
                    return Err(bad("there is more than one session key"));
                }
            }
            _unknown => {}
        }
    }
    // One without a value names nobody.
    place.session_key = session_key.filter(|key| !key.is_empty());
    for value in headers.get_all(&WORKSPACE) {
        let value = value
            .to_str()
            .map_err(|_| bad("the workspace is no text"))?;
        let before = place.workspace.replace(PathBuf::from(value));
        if before.is_some_and(|before| place.workspace.as_ref() != Some(&before)) {
            return Err(bad("there is more than one workspace"));
        }
    }
    if place
        .workspace
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        return Err(bad("the workspace is no absolute path"));
    }
    Ok(place)
}

/// A value of a query as it was meant.
pub(super) fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, left @ ..] = rest {
        rest = left;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, left) = left.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = left;
    }
    String::from_utf8(bytes).ok()
}
