//! The table `[http]`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    durations::wait_or_never,
    reader::{Cell, Entry, Reader, entries},
    server::word,
};
use crate::{Http, HttpAuth};

const KEYS: &[&str] = &["listen", "auth", "session_idle_timeout"];

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
            "auth" => http.auth = word(reader, &field, HttpAuth::WORDS),
            "session_idle_timeout" => {
                http.session_idle_timeout = wait_or_never(reader, &field, &SESSION_IDLE_TIMEOUT);
            }
            _ => reader.unknown_key(&field, KEYS),
        }
    }
}

fn addresses(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Vec<SocketAddr>> {
    let cells = reader.array(field, "addresses")?;
    if cells.len() > ADDRESSES_MAX {
        let message = format!("there may be {ADDRESSES_MAX} addresses at most");
        reader.fault(field.value_offset(), &field.path, message, None);
        return None;
    }
    cells.iter().map(|cell| address(reader, cell)).collect()
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
