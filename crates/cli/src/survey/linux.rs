//! On Linux: what `/proc` says of the processes of this user.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    process::Pid,
};
use sys::process_table::{self, Entry};

use super::{Census, Process};

/// Looks at all processes of this user.
pub(crate) fn take() -> anyhow::Result<Census> {
    let user = rustix::process::geteuid().as_raw();
    let everybody = process_table::everybody().context("looking at the processes")?;
    let here = fs::read_link("/proc/self/ns/pid").context("looking at the own processes")?;
    let processes = everybody
        .into_iter()
        .filter_map(|entry| read(entry, user, &here));
    let mut processes: Vec<Process> = processes.collect();
    find_ended(&mut processes);
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

/// `None` for a process that is gone, another user's, the system's own, or of another world than `here`: a container
/// may have our user, but who is to talk to what runs in there is not to be seen.
fn read(entry: Entry, user: u32, here: &Path) -> Option<Process> {
    let pid = number(entry.identity.pid);
    let folder = PathBuf::from(format!("/proc/{pid}"));
    // Of a program that forbids to be looked at, it is root.
    if fs::metadata(&folder).ok()?.uid() != user {
        return None;
    }
    if fs::read_link(folder.join("ns/pid")).ok()? != here {
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
        program: fs::read_link(folder.join("exe")).ok(),
        folder: fs::read_link(folder.join("cwd")).ok(),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        stdin: None,
        sockets: BTreeSet::new(),
        ended: BTreeSet::new(),
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

/// Finds the pipes to which nobody can write any more, among those to which none of these processes can.
fn find_ended(processes: &mut [Process]) {
    let written: BTreeSet<u64> = processes
        .iter()
        .flat_map(|process| process.writes.iter().copied())
        .collect();
    for process in processes {
        let pipes = process.reads.difference(&process.sockets).copied();
        let unheard: BTreeSet<u64> = pipes.filter(|inode| !written.contains(inode)).collect();
        let folder = PathBuf::from(format!("/proc/{}/fd", process.pid));
        if unheard.is_empty() {
            continue;
        }
        for descriptor in fs::read_dir(folder).into_iter().flatten().flatten() {
            process
                .ended
                .extend(ended_pipe(&descriptor.path(), &unheard));
        }
    }
}

/// The pipe that this descriptor reads, if it is one of these and has no writer: the system says so to whoever has its
/// other end, so we have it for a moment. Nothing is read.
fn ended_pipe(descriptor: &Path, pipes: &BTreeSet<u64>) -> Option<u64> {
    let inode = fs::metadata(descriptor).ok()?.ino();
    let is_meant = |inode| pipes.contains(&inode);
    let link = fs::read_link(descriptor).ok()?;
    if !is_meant(inode) || link.to_string_lossy() != format!("pipe:[{inode}]") {
        return None;
    }
    let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let pipe = File::from(rustix::fs::open(descriptor, how, Mode::empty()).ok()?);
    // The descriptor may be another's by now.
    if pipe.metadata().ok()?.ino() != inode {
        return None;
    }
    let mut look = [PollFd::new(&pipe, PollFlags::IN)];
    poll(&mut look, Some(&Timespec::default())).ok()?;
    look[0].revents().contains(PollFlags::HUP).then_some(inode)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

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
        assert_eq!(own.program, std::env::current_exe().ok());
        assert!(!own.argv.is_empty());
    }

    #[test]
    fn a_process_of_another_world_is_left_out() {
        let everybody = process_table::everybody().unwrap();
        let own = everybody
            .into_iter()
            .find(|entry| number(entry.identity.pid) == std::process::id())
            .unwrap();
        let user = rustix::process::geteuid().as_raw();
        let here = fs::read_link("/proc/self/ns/pid").unwrap();
        assert!(read(own, user, &here).is_some());
        assert!(read(own, user, Path::new("pid:[1]")).is_none());
    }

    #[test]
    fn a_pipe_has_ended_when_the_last_who_could_write_is_gone_and_no_sooner() {
        let (reader, writer) = std::io::pipe().unwrap();
        let descriptor = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        let inode = fs::metadata(&descriptor).unwrap().ino();
        let pipes = BTreeSet::from([inode]);
        assert_eq!(ended_pipe(&descriptor, &pipes), None);
        drop(writer);
        assert_eq!(ended_pipe(&descriptor, &pipes), Some(inode));
        assert_eq!(ended_pipe(&descriptor, &BTreeSet::new()), None);
    }
}
