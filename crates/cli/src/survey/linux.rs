//! On Linux: what `/proc` says of the processes of this user.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::process::Pid;
use sys::process_table::{self, Entry};

use super::{Census, End, Process};

/// Looks at all processes of this user.
pub(crate) fn take() -> anyhow::Result<Census> {
    let user = rustix::process::geteuid().as_raw();
    let everybody = process_table::everybody().context("looking at the processes")?;
    let processes = everybody
        .into_iter()
        .filter_map(|entry| read(entry, user))
        .collect();
    // Before the sockets' other ends: one that is made in between is held by nobody then.
    Ok(Census::new(processes, sys::unix_peers::all().ok()))
}

/// `None` for a process that is gone, another user's, or the system's own.
fn read(entry: Entry, user: u32) -> Option<Process> {
    let pid = number(entry.identity.pid);
    let folder = PathBuf::from(format!("/proc/{pid}"));
    // Of a program that forbids to be looked at, it is root.
    if fs::metadata(&folder).ok()?.uid() != user {
        return None;
    }
    let argv = words(&fs::read(folder.join("cmdline")).ok()?);
    if argv.is_empty() && !entry.zombie {
        return None;
    }
    let end = |descriptor: &str| end_at(&folder.join("fd").join(descriptor));
    Some(Process {
        identity: entry.identity,
        pid,
        parent: entry.parent.map_or(0, number),
        group: entry.group.map_or(0, number),
        is_zombie: entry.zombie,
        argv,
        stdio: [end("0"), end("1")],
        holds: held(&folder.join("fd")),
        folder: fs::read_link(folder.join("cwd")).ok(),
    })
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// The words of a command line. A program that has changed its title, as npm does, has one word.
fn words(line: &[u8]) -> Vec<String> {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
    match words.as_slice() {
        [""] => Vec::new(),
        [title] if !Path::new(title).exists() => {
            title.split_whitespace().map(str::to_owned).collect()
        }
        words => words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn end_at(descriptor: &Path) -> End {
    let Ok(target) = fs::read_link(descriptor) else {
        return End::Other;
    };
    let target = target.to_string_lossy();
    let inode = |kind: &str| -> Option<u64> {
        let number = target.strip_prefix(kind)?.strip_suffix(']')?;
        number.parse().ok()
    };
    match (inode("pipe:["), inode("socket:[")) {
        (Some(inode), _) => End::Pipe(inode),
        (None, Some(inode)) => End::Socket(inode),
        (None, None) => End::Other,
    }
}

fn held(descriptors: &Path) -> BTreeSet<u64> {
    let descriptors = fs::read_dir(descriptors).into_iter().flatten().flatten();
    descriptors
        .filter_map(|descriptor| match end_at(&descriptor.path()) {
            End::Pipe(inode) | End::Socket(inode) => Some(inode),
            End::Other => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_split_and_a_command_line_is_not() {
        assert_eq!(words(b"npm exec @x/mcp  \0\0"), ["npm", "exec", "@x/mcp"]);
        assert_eq!(words(b"sh\0-c\0a b\0"), ["sh", "-c", "a b"]);
        assert_eq!(words(b"sh\0\0x\0"), ["sh", "", "x"]);
        assert!(words(b"").is_empty());
    }

    #[test]
    fn we_are_among_our_own_processes() {
        let census = take().unwrap();
        let own = census.get(std::process::id()).unwrap();
        assert_eq!(own.folder, std::env::current_dir().ok());
        assert!(!own.argv.is_empty());
    }
}
