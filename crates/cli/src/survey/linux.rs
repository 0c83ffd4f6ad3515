//! On Linux: what `/proc` says of the processes of this user.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::process::Pid;
use sys::process_table::{self, Entry};

use super::{Census, Process};

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

/// The `PATH` that a process of this user was started with.
pub(crate) fn path_of(pid: u32) -> Option<OsString> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let path = variables.find_map(|variable| variable.strip_prefix(b"PATH="))?;
    Some(OsString::from_vec(path.to_vec()))
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
    let mut process = Process {
        identity: entry.identity,
        pid,
        parent: entry.parent.map_or(0, number),
        group: entry.group.map_or(0, number),
        is_zombie: entry.zombie,
        argv,
        folder: fs::read_link(folder.join("cwd")).ok(),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        stdin: None,
        sockets: BTreeSet::new(),
    };
    look_at_descriptors(&mut process, &folder.join("fd"));
    Some(process)
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

fn look_at_descriptors(process: &mut Process, folder: &Path) {
    for descriptor in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = descriptor.path();
        let (Ok(target), Ok(link)) = (fs::read_link(&path), fs::symlink_metadata(&path)) else {
            // It has been closed since.
            continue;
        };
        let target = target.to_string_lossy();
        let numbered = |kind: &str| -> Option<u64> {
            let number = target.strip_prefix(kind)?.strip_suffix(']')?;
            number.parse().ok()
        };
        let (pipe, socket) = (numbered("pipe:["), numbered("socket:["));
        process.sockets.extend(socket);
        if let Some(inode) = pipe.or(socket) {
            // The link's own mode says how the descriptor was opened.
            let is_allowed = |bit: u32| link.mode() & bit != 0;
            if is_allowed(0o400) {
                process.reads.insert(inode);
            }
            if is_allowed(0o200) {
                process.writes.insert(inode);
            }
            if descriptor.file_name() == "0" {
                process.stdin = Some(inode);
            }
        }
    }
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
