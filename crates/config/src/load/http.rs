//! The table `[http]`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::Path,
    time::Duration,
};

use super::{
    durations::wait_or_never,
    reader::{Cell, Entry, Reader, entries},
    server::word,
};
use crate::{Http, HttpAuth, HttpSocket, Listen, ServerName, ServerNameError};

const KEYS: &[&str] = &["listen", "socket", "auth", "session_idle_timeout"];

/// Of one address.
const ADDRESS_KEYS: &[&str] = &["address", "server"];

/// A client may think for a while between two calls; beyond a month, "never" is what is meant.
const SESSION_IDLE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(30 * 24);

/// More would be a mistake.
const ADDRESSES_MAX: usize = 8;

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>, http: &mut Http) {
    let Some(table) = reader.table(entry) else {
        return;
    };
    for field in entries(table, &entry.path) {
        match field.name {
            "listen" => http.listen = addresses(reader, &field),
            "socket" => http.socket = socket(reader, &field),
            "auth" => http.auth = word(reader, &field, HttpAuth::WORDS),
            "session_idle_timeout" => {
                http.session_idle_timeout = wait_or_never(reader, &field, &SESSION_IDLE_TIMEOUT);
            }
            _ => reader.unknown_key(&field, KEYS),
        }
    }
}

fn addresses(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Vec<Listen>> {
    let cells = reader.array(field, "addresses")?;
    if cells.len() > ADDRESSES_MAX {
        let message = format!("there may be {ADDRESSES_MAX} addresses at most");
        reader.fault(field.value_offset(), &field.path, message, None);
        return None;
    }
    cells.iter().map(|cell| listen(reader, cell)).collect()
}

/// An address, alone or with the server that is meant there.
fn listen(reader: &mut Reader<'_>, cell: &Cell<'_>) -> Option<Listen> {
    let Some(table) = cell.value.as_inline_table() else {
        return Some(Listen {
            address: address(reader, cell)?,
            server: None,
        });
    };
    let (mut at, mut server) = (None, None);
    for field in entries(table, &cell.path) {
        match field.name {
            "address" => {
                let cell = reader.cell(&field, "an address")?;
                at = Some(address(reader, &cell)?);
            }
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
    Some(Listen { address, server })
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

/// An address at which only this machine can reach us.
fn address(reader: &mut Reader<'_>, cell: &Cell<'_>) -> Option<SocketAddr> {
    let text = reader.string(cell)?;
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let example = "such as `127.0.0.1:7665` or `[::1]:7665`";
    let (message, hint) = match text.parse::<SocketAddr>() {
        Ok(address) if loopback.contains(&address.ip()) => return Some(address),
        Ok(_elsewhere) => (
            format!("{text:?} is neither at 127.0.0.1 nor at [::1]"),
            "mcpool serves this machine only".to_owned(),
        ),
        Err(_) => (
            format!("{text:?} is not an address with a port"),
            format!("write one {example}"),
        ),
    };
    reader.fault(cell.offset, &cell.path, message, Some(hint));
    None
}
