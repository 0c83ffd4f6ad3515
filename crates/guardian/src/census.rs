//! Who is below us: the processes that descend from the guardian.
//!
//! Looking takes a descriptor, and there may be none: that is an error, and means that it is not known
//! who is there. Who takes it for nobody leaves processes behind.
//!
//! **Invariant:** a process is known by its number and its start time together, and is
//! signalled only through a descriptor of it that was opened before both were compared again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;

use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sys::process::Hold;
use sys::stat::fields;

/// How often to look at a process that is just changing its program.
const EXEC_LOOKS_MAX: u32 = 200;

const EXEC_LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000,
};

/// One process, now and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: Pid,
    /// Clock ticks since boot.
    pub(crate) start_time: u64,
}

/// What `/proc` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) identity: Identity,
    pub(crate) parent: Option<Pid>,
    pub(crate) group: Option<Pid>,
    /// Ended and not reaped. One whose first thread alone has ended looks the same.
    pub(crate) zombie: bool,
}

/// All that descend from this process, or all there are, as they were found one after the other.
///
/// It is no snapshot: who forks and ends at the right moment is in none. Two in a row
/// that find nobody are needed to believe it.
#[derive(Debug)]
pub(crate) struct Census {
    below: Vec<Entry>,
}

impl Census {
    pub(crate) fn take() -> io::Result<Census> {
        let me = Some(rustix::process::getpid());
        Ok(Census {
            below: with_descendants(&everybody()?, |entry| Ok(entry.parent == me))?,
        })
    }

    /// Of all processes, but for this one. Those of other users have no environment that we can read.
    pub(crate) fn take_everywhere() -> io::Result<Census> {
        let me = rustix::process::getpid();
        let mut below = everybody()?;
        below.retain(|entry| entry.identity.pid != me);
        Ok(Census { below })
    }

    /// Those that `root` is true for, and all that descend from them.
    pub(crate) fn trees(
        &self,
        root: impl Fn(&Entry) -> io::Result<bool>,
    ) -> io::Result<Vec<Entry>> {
        with_descendants(&self.below, root)
    }

    /// Everybody.
    pub(crate) fn below(&self) -> &[Entry] {
        &self.below
    }

    /// Reaps our children that have ended, but for those that `keep` is true for.
    pub(crate) fn reap(&mut self, keep: impl Fn(Pid) -> bool) {
        let me = Some(rustix::process::getpid());
        self.below.retain(|entry| {
            let ours = entry.zombie && entry.parent == me && !keep(entry.identity.pid);
            !(ours && reap(entry.identity.pid))
        });
    }
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: Pid) -> io::Result<Option<Identity>> {
        Ok(read(pid)?.map(|entry| entry.identity))
    }

    /// Whether the environment that it was started with has such a `NAME=VALUE`.
    ///
    /// Programs may overwrite it or forbid to read it; then the answer is no. In the middle of
    /// an exec a process has none for a moment, and that moment is waited for.
    pub(crate) fn carries(self, is_meant: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
        let mut was_bare = false;
        for _ in 0..EXEC_LOOKS_MAX {
            let Some(environment) = look_at(format!("/proc/{}/environ", self.pid))? else {
                return Ok(false);
            };
            let mut entries = environment.split(|byte| *byte == 0);
            if entries.any(&is_meant) {
                return Ok(true);
            }
            match Program::of(self)? {
                Program::Ended => return Ok(false),
                Program::Changing => {}
                // An exec in between has cut short what was read.
                Program::Settled { environment_len } if environment_len != environment.len() => {}
                // For an instant of an exec it looks so, too: only the second time counts.
                Program::Settled { environment_len: 0 } if !was_bare => was_bare = true,
                Program::Settled { .. } => return Ok(false),
            }
            // Nothing arrives here: this only lets it go on.
            let _ = rustix::event::poll(&mut [], Some(&EXEC_LOOK_INTERVAL));
        }
        Ok(false)
    }

    /// Signals exactly this process; nothing happens if it is gone, or if there is no descriptor for it.
    pub(crate) fn signal(self, signal: Signal) {
        let Ok(hold) = Hold::of(self.pid) else {
            return;
        };
        // The hold is on whoever has the number now. If that is still the one we
        // mean, it stays the one that the signal reaches.
        if matches!(Identity::of(self.pid), Ok(Some(now)) if now == self) {
            // It may have ended since, or be another user's: neither is ours to change.
            let _ = hold.signal(signal);
        }
    }
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

fn everybody() -> io::Result<Vec<Entry>> {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) if is_want(&error) => return Err(error),
        // Without /proc only process groups can be stopped.
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
        Err(error) if is_want(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether it says nothing of a process, but that we lack what it takes to look.
fn is_want(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

/// Reaps this child of ours, if it has ended; whether it had.
pub(crate) fn reap(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(
        rustix::process::waitid(WaitId::Pid(child), options),
        Ok(Some(_))
    )
}

fn with_descendants(
    entries: &[Entry],
    root: impl Fn(&Entry) -> io::Result<bool>,
) -> io::Result<Vec<Entry>> {
    let mut found = BTreeSet::new();
    for entry in entries {
        if root(entry)? {
            found.insert(number(entry.identity.pid));
        }
    }
    loop {
        // Numbers wrap, so a child may stand before its parent: repeat until nothing is new.
        let before = found.len();
        for entry in entries {
            if entry
                .parent
                .is_some_and(|parent| found.contains(&number(parent)))
            {
                found.insert(number(entry.identity.pid));
            }
        }
        if found.len() == before {
            break;
        }
    }
    let is_found = |entry: &&Entry| found.contains(&number(entry.identity.pid));
    Ok(entries.iter().filter(is_found).copied().collect())
}

/// A `Pid` has no order.
fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

fn look_up(name: &OsStr) -> io::Result<Option<Entry>> {
    let number = name.to_str().and_then(|name| name.parse().ok());
    number.and_then(Pid::from_raw).map_or(Ok(None), read)
}

fn read(pid: Pid) -> io::Result<Option<Entry>> {
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

/// `None` for 0, which stands for a process outside of our namespace.
fn process(number: i32) -> Option<Pid> {
    if number > 0 {
        Pid::from_raw(number)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    fn entry(number: i32, parent: i32) -> Entry {
        Entry {
            identity: Identity {
                pid: pid(number),
                start_time: 1,
            },
            parent: process(parent),
            group: None,
            zombie: false,
        }
    }

    fn numbers(entries: &[Entry]) -> Vec<i32> {
        entries
            .iter()
            .map(|entry| number(entry.identity.pid))
            .collect()
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
    fn descendants_are_found_in_any_order() {
        let entries = [
            entry(3, 9),
            entry(4, 3),
            entry(5, 1),
            entry(9, 8),
            entry(8, 1),
        ];
        let found = with_descendants(&entries, |entry| Ok(entry.identity.pid == pid(8)));
        assert_eq!(numbers(&found.unwrap()), [3, 4, 9, 8]);
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
    fn a_process_knows_itself_and_what_it_carries() {
        let me = Identity::of(rustix::process::getpid()).unwrap().unwrap();
        assert!(me.start_time > 0);
        let (name, value) = std::env::vars_os().next().unwrap();
        let variable = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
        assert!(me.carries(|entry| entry == variable).unwrap());
        assert!(
            !me.carries(|entry| entry == b"MCPOOL_NOBODY=has this")
                .unwrap()
        );
    }
}
