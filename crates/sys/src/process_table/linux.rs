//! On Linux: what `/proc` says.

use std::ffi::OsStr;
use std::fs;
use std::io;

use rustix::event::Timespec;
use rustix::process::Pid;

use super::{Entry, Identity, is_want, process, unless_want};
use crate::stat::fields;

/// How often to look at a process that is just changing its program.
const EXEC_LOOKS_MAX: u32 = 200;

const EXEC_LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000,
};

pub(super) fn carries(identity: Identity, is_meant: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let mut was_bare = false;
    for _ in 0..EXEC_LOOKS_MAX {
        let Some(environment) = look_at(format!("/proc/{}/environ", identity.pid))? else {
            return Ok(false);
        };
        let mut entries = environment.split(|byte| *byte == 0);
        if entries.any(&is_meant) {
            return Ok(true);
        }
        match Program::of(identity)? {
            Program::Changing => {}
            // An exec in between has cut short what was read.
            Program::Settled { environment_len } if environment_len != environment.len() => {}
            // For an instant of an exec it looks so, too: only the second time counts.
            Program::Settled { environment_len: 0 } if !was_bare => was_bare = true,
            Program::Settled { .. } | Program::Ended => return Ok(false),
        }
        // Nothing arrives here: this only lets it go on.
        let _ = rustix::event::poll(&mut [], Some(&EXEC_LOOK_INTERVAL));
    }
    Ok(false)
}

/// How far a process is with its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// There is none any more.
    Ended,
    /// The old one is gone and the new one has no memory of its own yet.
    Changing,
    /// It was started with an environment of so many bytes.
    Settled { environment_len: usize },
}

impl Program {
    fn of(process: Identity) -> io::Result<Program> {
        let Some(stat) = look_at(format!("/proc/{}/stat", process.pid))? else {
            return Ok(Program::Ended);
        };
        match parse(process.pid, &stat) {
            Some(entry) if entry.identity == process && !entry.zombie => {}
            Some(_) | None => return Ok(Program::Ended),
        }
        // Fields 50 and 51 are where the environment begins and ends in its memory.
        let bounds = fields(&stat).into_iter().flatten().skip(47);
        let mut bounds = bounds.map_while(|bound| bound.parse::<usize>().ok());
        Ok(match (bounds.next(), bounds.next()) {
            (Some(begin), Some(end)) if end > 0 => Program::Settled {
                environment_len: end.saturating_sub(begin),
            },
            _ => Program::Changing,
        })
    }
}

pub(super) fn everybody() -> io::Result<Vec<Entry>> {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) if is_want(&error) => return Err(error),
        // There may be no /proc.
        Err(_) => return Ok(Vec::new()),
    };
    let mut everybody = Vec::new();
    for entry in entries {
        everybody.extend(look_up(&entry?.file_name())?);
    }
    Ok(everybody)
}

/// What stands in a file of a process; `None` if it is gone, or not ours to look at.
fn look_at(file: String) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => unless_want(error),
    }
}

fn look_up(name: &OsStr) -> io::Result<Option<Entry>> {
    let number = name.to_str().and_then(|name| name.parse().ok());
    number.and_then(Pid::from_raw).map_or(Ok(None), read)
}

pub(super) fn read(pid: Pid) -> io::Result<Option<Entry>> {
    let stat = look_at(format!("/proc/{pid}/stat"))?;
    Ok(stat.and_then(|stat| parse(pid, &stat)))
}

/// Reads `/proc/PID/stat`.
fn parse(pid: Pid, stat: &[u8]) -> Option<Entry> {
    let mut fields = fields(stat)?;
    let zombie = fields.next()? == "Z";
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // The state is field 3, so this is field 22.
    let start_time = fields.nth(16)?.parse().ok()?;
    Some(Entry {
        identity: Identity { pid, start_time },
        parent: process(parent),
        group: process(group),
        zombie,
    })
}

pub(super) fn memory_kb(pid: u32) -> Option<u64> {
    proportional_kb(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn proportional_kb(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat =
            b"77 (a) R 1 2 (b) Z 5 70 70 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 123456 0 0 184\n";
        let entry = parse(pid(77), stat).unwrap();
        assert_eq!(entry.parent, Some(pid(5)));
        assert_eq!(entry.group, Some(pid(70)));
        assert_eq!(entry.identity.start_time, 123_456);
        assert!(entry.zombie);
    }

    #[test]
    fn a_line_that_is_cut_off_is_nobody() {
        assert_eq!(parse(pid(77), b"77 (a) R 1 2 3"), None);
        assert_eq!(parse(pid(77), b"77 (a"), None);
        assert_eq!(parse(pid(77), b""), None);
    }

    #[test]
    fn an_environment_is_found_in_the_middle_of_execs() {
        // One exec after the other, for ever.
        let script = r#"exec /bin/sh -c "$0" "$0""#;
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", script, script])
            .env("MCPOOL_TEST_MARK", "1")
            .spawn()
            .unwrap();
        let identity = Identity::of(Pid::from_child(&child)).unwrap().unwrap();
        let carries = || identity.carries(|variable| variable == b"MCPOOL_TEST_MARK=1");
        let seen = (0..2_000).filter(|_| carries().unwrap()).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, 2_000);
    }

    #[test]
    fn of_a_table_of_memory_the_proportional_share_counts() {
        assert_eq!(proportional_kb("Rss:  8 kB\nPss:    5 kB\n"), Some(5));
        assert_eq!(proportional_kb("Rss:  8 kB\n"), None);
    }
}
