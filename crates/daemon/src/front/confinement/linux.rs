//! On Linux: what `/proc` says of the two processes.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::process::Pid;
use tokio::net::UnixStream;

/// The namespaces that set a process apart from others of its user.
const NAMESPACES: [&str; 4] = ["user", "mnt", "pid", "net"];

pub(super) fn is_as_free(_socket: &UnixStream, pid: Pid) -> io::Result<bool> {
    let theirs = Confines::of(Path::new(&format!("/proc/{}", pid.as_raw_nonzero())))?;
    Ok(theirs.allow_as_much_as(Confines::of_daemon()?))
}

/// What keeps a process from doing things.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Confines {
    status: Status,
    /// Links that name its namespaces and its root folder.
    places: Vec<PathBuf>,
    /// What a security module calls it; `None` if there is no such module.
    label: Option<String>,
}

/// Reads a file of `/proc`, whose size is not known before, in one piece.
fn read_at_once(path: &Path) -> io::Result<String> {
    const ROOM: usize = 4096;
    let mut text = String::with_capacity(ROOM);
    fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The lines of `/proc/PID/status` that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Status {
    /// Real, effective, saved and file system user.
    users: String,
    no_new_privileges: u32,
    /// 0 none, 1 strict, 2 a filter.
    seccomp: u32,
    /// How many filters, where the kernel says so.
    seccomp_filters: u32,
}

impl Confines {
    /// Our own, which stay what they are: we never give up a right after the start.
    fn of_daemon() -> io::Result<&'static Self> {
        static OURS: OnceLock<Confines> = OnceLock::new();
        if let Some(ours) = OURS.get() {
            return Ok(ours);
        }
        let ours = Confines::of(Path::new("/proc/self"))?;
        Ok(OURS.get_or_init(|| ours))
    }

    fn of(process: &Path) -> io::Result<Self> {
        let status = Status::parse(&read_at_once(&process.join("status"))?)
            .ok_or(io::ErrorKind::InvalidData)?;
        let links = NAMESPACES.map(|name| process.join("ns").join(name));
        let places = links
            .iter()
            .chain([&process.join("root")])
            .map(fs::read_link)
            .collect::<io::Result<_>>()?;
        let label = fs::read_to_string(process.join("attr/current"))
            .ok()
            .map(|label| label.trim_end_matches(['\0', '\n']).to_owned())
            .filter(|label| !label.is_empty());
        Ok(Confines {
            status,
            places,
            label,
        })
    }

    /// Whether a process in these confines can do all that one in `ours` can.
    fn allow_as_much_as(&self, ours: &Confines) -> bool {
        let label_is_as_free = self.label == ours.label
            || self
                .label
                .as_deref()
                .is_some_and(|label| label.starts_with("unconfined"));
        self.places == ours.places
            && label_is_as_free
            && self.status.allows_as_much_as(&ours.status)
    }
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let number = |name: &str| value(name).and_then(|value| value.parse().ok());
        Some(Status {
            users: value("Uid")?.to_owned(),
            no_new_privileges: number("NoNewPrivs")?,
            // Absent where the kernel was built without it.
            seccomp: number("Seccomp").unwrap_or(0),
            seccomp_filters: number("Seccomp_filters").unwrap_or(0),
        })
    }

    fn allows_as_much_as(&self, ours: &Status) -> bool {
        self.users == ours.users
            && self.no_new_privileges <= ours.no_new_privileges
            && self.seccomp <= ours.seccomp
            && self.seccomp_filters <= ours.seccomp_filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: &str =
        "Name:\tx\nUid:\t7\t7\t7\t7\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n";

    fn free() -> Confines {
        Confines {
            status: Status::parse(FREE).unwrap(),
            places: vec!["user:[1]".into(), "/".into()],
            label: Some("unconfined".into()),
        }
    }

    #[test]
    fn a_process_is_as_free_as_itself() {
        let own = Confines::of(Path::new("/proc/self")).unwrap();
        assert!(own.allow_as_much_as(&own));
        assert!(free().allow_as_much_as(&free()));
    }

    #[test]
    fn anything_that_confines_the_peer_and_not_us_counts() {
        for (there, instead) in [
            ("Uid:\t7\t7", "Uid:\t7\t8"),
            ("NoNewPrivs:\t0", "NoNewPrivs:\t1"),
            ("Seccomp:\t0", "Seccomp:\t2"),
            ("Seccomp_filters:\t0", "Seccomp_filters:\t1"),
        ] {
            let text = FREE.replace(there, instead);
            let peer = Confines {
                status: Status::parse(&text).unwrap(),
                ..free()
            };
            assert!(!peer.allow_as_much_as(&free()), "{instead}");
        }
        let elsewhere = Confines {
            places: vec!["user:[2]".into(), "/".into()],
            ..free()
        };
        assert!(!elsewhere.allow_as_much_as(&free()));
        let labelled = Confines {
            label: Some("snap.agent (enforce)".into()),
            ..free()
        };
        assert!(!labelled.allow_as_much_as(&free()));
    }

    #[test]
    fn a_peer_that_is_freer_than_we_are_is_free_enough() {
        let confined = Confines {
            status: Status::parse(
                &FREE
                    .replace("Privs:\t0", "Privs:\t1")
                    .replace("p:\t0", "p:\t2"),
            )
            .unwrap(),
            label: Some("snap.agent (enforce)".into()),
            ..free()
        };
        assert!(free().allow_as_much_as(&confined));
    }

    #[test]
    fn a_status_without_the_lines_that_matter_is_none() {
        assert_eq!(Status::parse("Name:\tx\n"), None);
        assert_eq!(Status::parse(""), None);
    }
}
