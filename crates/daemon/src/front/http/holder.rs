//! Who has a port that we want, for a person.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// The state of a socket that listens, in the system's tables.
const LISTENS: &str = "0A";

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// Whoever listens at this address, as far as can be seen: words for a person.
pub fn name(address: SocketAddr) -> String {
    let found = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| find(&table, address));
    let Some(listener) = found else {
        return "another program".to_owned();
    };
    match process_with(listener.inode) {
        Ok(Some(pid)) => process(pid),
        Ok(None) | Err(_) => format!("a program of user {}", listener.user),
    }
}

/// A process, as far as can be seen: words for a person.
pub fn process(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.chars().filter(|character| !character.is_control());
    match name.collect::<String>().as_str() {
        "" => format!("process {pid}"),
        name => format!("`{name}`, process {pid}"),
    }
}

/// The listener in such a table that is in the way of this address.
fn find(table: &str, wanted: SocketAddr) -> Option<Listener> {
    let listeners = table.lines().skip(1).filter_map(listener_of);
    let is_in_the_way = |listener: &Listener| {
        let at = listener.address;
        let takes_it = at.ip() == wanted.ip() || at.ip().is_unspecified();
        at.port() == wanted.port() && takes_it
    };
    listeners.into_iter().find(is_in_the_way)
}

fn listener_of(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    if state != LISTENS {
        return None;
    }
    let user = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Listener {
        address: address_of(local)?,
        user,
        inode,
    })
}

/// An address as the system writes it: words of four bytes each, in the machine's order.
fn address_of(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _neither => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// The process that has this socket, among those that we may look at.
fn process_with(inode: u64) -> io::Result<Option<u32>> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        if has_socket(&process.path(), &wanted).unwrap_or(false) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

fn has_socket(process: &Path, wanted: &str) -> io::Result<bool> {
    for file in fs::read_dir(process.join("fd"))? {
        if fs::read_link(file?.path()).is_ok_and(|target| target.as_os_str() == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_tables_of_the_system_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1DF1 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7734646 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:1DF2 0100007F:DA98 01 00000000:00000000 00:00000000 00000000     0        0 7734648 1 0 20 0 0 10 -1\n";
        let wanted = "127.0.0.1:7665".parse().unwrap();
        if cfg!(target_endian = "little") {
            let found = find(table, wanted).unwrap();
            assert_eq!((found.user, found.inode), (1000, 7_734_646));
        }
        assert_eq!(
            find(table, "127.0.0.1:7666".parse().unwrap()),
            None,
            "it does not listen"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn we_are_found_ourselves() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = name(listener.local_addr().unwrap());
        let process = format!("process {}", std::process::id());
        assert!(holder.ends_with(&process), "{holder}");
    }
}
