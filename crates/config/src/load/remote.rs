//! What `[servers.NAME]` says of a server that runs already: `url` and what goes with it.
//!
//! **Invariant:** what only a process can have, and what only a server elsewhere can, are never in one table.

use super::{
    reader::{Entry, Reader, entries},
    server::program,
};
use crate::{Remote, Template};

/// What an address may begin with; what begins with `/` is the path of a unix socket.
pub const SCHEMES: &[&str] = &["http://", "https://", "ws://", "wss://", "unix:/"];

/// Keys that say how a process is started.
const OF_PROCESSES: &[&str] = &["command", "args", "env", "env_pass", "path", "cwd", "lazy"];

/// Keys that make sense beside `url` alone.
const OF_REMOTES: &[&str] = &[
    "headers",
    "ca_cert",
    "session_key_param",
    "session_key_header",
];

/// Headers that are for mcpool to set: they say what a message is, and whose.
const OURS: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
];

/// Why a request to a server cannot say a header of this name, for a person; `None` if it can.
pub fn unfit_header(name: &str) -> Option<&'static str> {
    if !is_header(name) {
        Some("cannot be the name of a header")
    } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        Some("is a header that mcpool sets itself")
    } else {
        None
    }
}

/// Whether this key may stand in a table with, or without, `url`.
pub(super) fn check_place(reader: &mut Reader<'_>, field: &Entry<'_>, is_remote: bool) {
    let (message, hint) = if is_remote && OF_PROCESSES.contains(&field.name) {
        let message = "contradicts `url`";
        (
            message,
            "a server that runs already is not started; leave one of the two out",
        )
    } else if !is_remote && OF_REMOTES.contains(&field.name) {
        ("is for a server with `url`", "say where it runs")
    } else {
        return;
    };
    reader.fault(
        field.key_offset,
        &field.path,
        message.to_owned(),
        Some(hint.to_owned()),
    );
}

/// One key of such a server.
pub(super) fn read(reader: &mut Reader<'_>, field: &Entry<'_>, remote: &mut Remote) {
    match field.name {
        "url" => {
            if let Some(url) = url(reader, field) {
                remote.url = url;
            }
        }
        "headers" => headers(reader, field, remote),
        "ca_cert" => remote.ca_cert = program(reader, field),
        "session_key_param" => {
            let is_fit = |text: &str| text.bytes().all(is_plain);
            if let Some(name) = name(reader, field, is_fit) {
                remote.session_key_param = name;
            }
        }
        _header => {
            if let Some(name) = name(reader, field, is_header) {
                remote.session_key_header = name;
            }
        }
    }
}

fn url(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Template> {
    let template = program(reader, field)?;
    let written = template.as_written();
    // What a variable begins is judged when it is known.
    let is_known = |start: &&str| written.starts_with(*start);
    if !(written.starts_with(['/', '$']) || SCHEMES.iter().any(is_known)) {
        let message = format!("must begin with one of {}, or `/`", SCHEMES.join(", "));
        reader.fault(field.value_offset(), &field.path, message, None);
        return None;
    }
    let authority = written.split_once("://").map_or("", |(_, rest)| {
        rest.split(['/', '?', '#']).next().unwrap_or("")
    });
    if authority.contains('@') {
        let message = "must not hold a user or a password".to_owned();
        let hint = "put what the server wants to see into `headers`".to_owned();
        reader.fault(field.value_offset(), &field.path, message, Some(hint));
        return None;
    }
    Some(template)
}

fn headers(reader: &mut Reader<'_>, field: &Entry<'_>, remote: &mut Remote) {
    let Some(table) = reader.table(field) else {
        return;
    };
    for header in entries(table, &field.path) {
        let lower = header.name.to_ascii_lowercase();
        if let Some(why) = unfit_header(header.name) {
            let message = format!("{:?} {why}", header.name);
            reader.fault(header.key_offset, &header.path, message, None);
        } else if let Some(cell) = reader.cell(&header, "a string")
            && let Some(template) = reader.template(&cell)
            && remote.headers.insert(lower, template).is_some()
        {
            let message = "stands there twice".to_owned();
            reader.fault(header.key_offset, &header.path, message, None);
        }
    }
}

fn name(
    reader: &mut Reader<'_>,
    field: &Entry<'_>,
    is_fit: impl Fn(&str) -> bool,
) -> Option<String> {
    let cell = reader.cell(field, "a string")?;
    let text = reader.string(&cell)?;
    if text.is_empty() || !is_fit(text) || OURS.contains(&text.to_ascii_lowercase().as_str()) {
        let message = format!("{text:?} cannot be such a name");
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(text.to_owned())
}

/// Whether it is a token of HTTP (RFC 9110, section 5.6.2).
fn is_header(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether it stands for itself in an address (RFC 3986, section 2.3).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
