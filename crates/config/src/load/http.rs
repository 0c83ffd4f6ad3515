//! The table `[http]`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml_edit::{Document, InlineTable, Item};

use super::{
    durations::wait_or_never,
    reader::{Cell, Entry, Reader, entries},
    server::word,
};
use crate::{Http, HttpAuth, HttpSocket, Listen, ServerName, ServerNameError, Tls};

const KEYS: &[&str] = &["listen", "tls", "socket", "auth", "session_idle_timeout"];

/// Of one address.
const ADDRESS_KEYS: &[&str] = &["address", "server", "tls"];

/// Of `[http.tls]`.
const TLS_KEYS: &[&str] = &["cert", "key", "names"];

/// A client may think for a while between two calls; beyond a month, "never" is what is meant.
const SESSION_IDLE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(30 * 24);

/// More would be a mistake.
const ADDRESSES_MAX: usize = 8;

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>, http: &mut Http) {
    let Some(table) = reader.table(entry) else {
        return;
    };
    let (mut listen_field, mut has_tls) = (None, false);
    for field in entries(table, &entry.path) {
        match field.name {
            "listen" => {
                http.listen = addresses(reader, &field);
                listen_field = Some(field);
            }
            "tls" => {
                has_tls = true;
                http.tls = tls(reader, &field);
            }
            "socket" => http.socket = socket(reader, &field),
            "auth" => http.auth = word(reader, &field, HttpAuth::WORDS),
            "session_idle_timeout" => {
                http.session_idle_timeout = wait_or_never(reader, &field, &SESSION_IDLE_TIMEOUT);
            }
            _ => reader.unknown_key(&field, KEYS),
        }
    }
    if let Some(field) = listen_field {
        check_reach(reader, &field, http, has_tls);
    }
}

/// Beyond this machine nobody is served without TLS and the token.
fn check_reach(reader: &mut Reader<'_>, field: &Entry<'_>, http: &Http, has_tls: bool) {
    let all = http.listen.as_deref().unwrap_or_default();
    if all.iter().any(|listen| listen.is_secure) && !has_tls {
        let message = "`tls` needs a certificate".to_owned();
        let hint = "name its files in `[http.tls]`, as `cert` and `key`".to_owned();
        reader.fault(field.value_offset(), &field.path, message, Some(hint));
    }
    let is_open = all.iter().any(|listen| !is_loopback(listen.address));
    if is_open && http.auth == Some(HttpAuth::None) {
        let message = "beyond this machine nobody may come in without the token".to_owned();
        let hint = "`auth` must not be \"none\" beside such an address".to_owned();
        reader.fault(field.value_offset(), &field.path, message, Some(hint));
    }
}

/// An address of a server that is not there would answer everybody that there is none.
pub(super) fn check_servers(reader: &mut Reader<'_>, document: &Document<&str>) {
    let servers = document.get("servers").and_then(Item::as_table_like);
    for owned in owned_addresses(document) {
        if servers.is_some_and(|servers| servers.contains_key(owned.server)) {
            continue;
        }
        let name = owned.server;
        let message = format!("no server named `{name}` is configured");
        let hint = format!("add it: `mcpool add {name} -- COMMAND`, or take `server` out here");
        reader.fault(owned.offset, &owned.key, message, Some(hint));
    }
}

/// The key of the first address that is this server's.
pub(crate) fn address_of_server(document: &Document<&str>, name: &str) -> Option<String> {
    let mut all = owned_addresses(document);
    let owned = all.find(|owned| owned.server == name)?;
    Some(owned.key)
}

/// Whose an address is.
struct Owned<'t> {
    server: &'t str,
    /// Where that is said.
    key: String,
    offset: usize,
}

fn owned_addresses<'t>(document: &'t Document<&str>) -> impl Iterator<Item = Owned<'t>> {
    let http = document.get("http").and_then(Item::as_table_like);
    let listen = http.and_then(|http| http.get("listen")?.as_array());
    let addresses = listen.into_iter().flatten().enumerate();
    addresses.filter_map(|(index, address)| {
        let value = address.as_inline_table()?.get("server")?;
        Some(Owned {
            server: value.as_str()?,
            key: format!("http.listen[{index}].server"),
            offset: value.span()?.start,
        })
    })
}

fn is_loopback(address: SocketAddr) -> bool {
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    loopback.contains(&address.ip())
}

fn tls(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Tls> {
    let table = reader.table(field)?;
    let (mut cert, mut key, mut names) = (None, None, None);
    for field in entries(table, &field.path) {
        match field.name {
            "cert" => cert = Some(file(reader, &field)?),
            "key" => key = Some(file(reader, &field)?),
            "names" => names = Some(hosts(reader, &field)?),
            _ => {
                reader.unknown_key(&field, TLS_KEYS);
                return None;
            }
        }
    }
    match (cert, key, names) {
        (Some(cert), Some(key), Some(names)) => Some(Tls { cert, key, names }),
        (cert, key, names) => {
            let missing = [
                ("cert", cert.is_none()),
                ("key", key.is_none()),
                ("names", names.is_none()),
            ];
            let missing = missing.iter().filter(|(_, is_missing)| *is_missing);
            let missing: Vec<String> = missing.map(|(name, _)| format!("`{name}`")).collect();
            let message = format!("{} is missing", missing.join(", "));
            let hint = "the files of a certificate and of its key, and the names that clients use in their URLs";
            reader.fault(
                field.key_offset,
                &field.path,
                message,
                Some(hint.to_owned()),
            );
            None
        }
    }
}

fn file(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<PathBuf> {
    let cell = reader.cell(field, "an absolute path")?;
    let path = Path::new(reader.string(&cell)?);
    if !path.is_absolute() {
        let message = format!("{} is no absolute path", path.display());
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(path.to_owned())
}

/// Names of a host as they stand in a URL, without a port.
fn hosts(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Vec<String>> {
    let cells = reader.array(field, "names")?;
    let is_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let mut names = Vec::new();
    for cell in &cells {
        let name = reader.string(cell)?;
        let is_address = name.strip_prefix('[').is_some_and(|rest| {
            rest.strip_suffix(']')
                .is_some_and(|rest| rest.parse::<Ipv6Addr>().is_ok())
        });
        if !is_address && (name.is_empty() || !name.bytes().all(is_host)) {
            let message = format!("{name:?} is no host as it stands in a URL");
            let hint = "such as \"pool.example.com\" or \"192.0.2.7\", in small letters and without a port";
            reader.fault(cell.offset, &cell.path, message, Some(hint.to_owned()));
            return None;
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        let message = "there must be one at least".to_owned();
        reader.fault(field.value_offset(), &field.path, message, None);
        return None;
    }
    Some(names)
}

fn addresses(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Vec<Listen>> {
    let cells = reader.array(field, "addresses")?;
    if cells.len() > ADDRESSES_MAX {
        let message = format!("there may be {ADDRESSES_MAX} addresses at most");
        reader.fault(field.value_offset(), &field.path, message, None);
        return None;
    }
    let mut all: Vec<Listen> = Vec::new();
    for cell in &cells {
        let next = listen(reader, cell)?;
        // Of free ports there may be several.
        let is_taken = |other: &Listen| other.address == next.address && next.address.port() != 0;
        if all.iter().any(is_taken) {
            let message = format!("{} stands there twice", next.address);
            reader.fault(cell.offset, &cell.path, message, None);
            return None;
        }
        all.push(next);
    }
    Some(all)
}

/// An address, alone or with the server that is meant there.
fn listen(reader: &mut Reader<'_>, cell: &Cell<'_>) -> Option<Listen> {
    let Some(table) = cell.value.as_inline_table() else {
        return Some(Listen {
            address: address(reader, cell, false)?,
            server: None,
            is_secure: false,
        });
    };
    let is_secure = is_secure(reader, table, cell)?;
    let (mut at, mut server) = (None, None);
    for field in entries(table, &cell.path) {
        match field.name {
            "address" => {
                let cell = reader.cell(&field, "an address")?;
                at = Some(address(reader, &cell, is_secure)?);
            }
            "tls" => {}
            "server" => server = Some(name(reader, &field)?),
            _ => {
                reader.unknown_key(&field, ADDRESS_KEYS);
                return None;
            }
        }
    }
    let Some(address) = at else {
        let hint = "such as `{ address = \"127.0.0.1:9999\", server = \"NAME\" }`".to_owned();
        let message = "`address` is missing".to_owned();
        reader.fault(cell.offset, &cell.path, message, Some(hint));
        return None;
    };
    Some(Listen {
        address,
        server,
        is_secure,
    })
}

/// Whether TLS is to be spoken at an address.
fn is_secure(reader: &mut Reader<'_>, table: &InlineTable, cell: &Cell<'_>) -> Option<bool> {
    let mut fields = entries(table, &cell.path).into_iter();
    let Some(field) = fields.find(|field| field.name == "tls") else {
        return Some(false);
    };
    let cell = reader.cell(&field, "true or false")?;
    let is_secure = cell.value.as_bool();
    if is_secure.is_none() {
        let found = cell.value.type_name();
        reader.wrong_type(&cell.path, cell.offset, "true or false", found, None);
    }
    is_secure
}

fn name(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<ServerName> {
    let cell = reader.cell(field, "the name of a server")?;
    match reader.string(&cell)?.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            reader.fault(
                cell.offset,
                &cell.path,
                ServerNameError::to_string(&error),
                None,
            );
            None
        }
    }
}

fn socket(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<HttpSocket> {
    let expected = "true, false or an absolute path";
    let cell = reader.cell(field, expected)?;
    let path = match (cell.value.as_bool(), cell.value.as_str()) {
        (Some(true), _) => return Some(HttpSocket::Usual),
        (Some(false), _) => return Some(HttpSocket::Off),
        (None, Some(path)) => Path::new(path),
        (None, None) => {
            let found = cell.value.type_name();
            reader.wrong_type(&cell.path, cell.offset, expected, found, None);
            return None;
        }
    };
    if !path.is_absolute() {
        let message = format!("{} is no absolute path", path.display());
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(HttpSocket::At(path.to_owned()))
}

/// An address at which only this machine can reach us, unless TLS is spoken there.
fn address(reader: &mut Reader<'_>, cell: &Cell<'_>, is_secure: bool) -> Option<SocketAddr> {
    let text = reader.string(cell)?;
    let example = "such as `127.0.0.1:7665` or `[::1]:7665`";
    let (message, hint) = match text.parse::<SocketAddr>() {
        Ok(address) if is_secure || is_loopback(address) => return Some(address),
        Ok(_elsewhere) => (
            format!("{text:?} is neither at 127.0.0.1 nor at [::1]"),
            "beyond this machine mcpool is served with TLS and the token alone: \
             `{ address = \"…\", tls = true }`, and a certificate in `[http.tls]`"
                .to_owned(),
        ),
        Err(_) => (
            format!("{text:?} is not an address with a port"),
            format!("write one {example}"),
        ),
    };
    reader.fault(cell.offset, &cell.path, message, Some(hint));
    None
}
