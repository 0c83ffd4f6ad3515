//! The daemon: whether it answers, and what it says of itself.

use std::{fs, path::Path};

use daemon::admin::{Daemon, Outcome, Status};
use shim::{direct::Locks, lock, places::Places, preface::AdminAsk};

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{
    commands::stop::is_not_running,
    daemon_link::{self, NoAnswer},
    ui,
};

/// Asks the daemon what there is; findings, if it gives no answer.
pub(super) fn ask(places: &Places) -> (Option<Status>, Vec<Finding>) {
    let problem = |what: String| vec![Finding::problem(Check::Daemon, what)];
    match daemon_link::ask(places, AdminAsk::Status) {
        Ok(Outcome::Status(status)) => (Some(*status), Vec::new()),
        Ok(Outcome::Restarted { .. } | Outcome::Upgraded(_) | Outcome::Stopped { .. }) => {
            (None, problem("the daemon answered another question".into()))
        }
        Err(error) if is_not_running(&error) => (None, not_running(places)),
        Err(error) => {
            let finding = match error.downcast_ref::<NoAnswer>() {
                Some(silent) => Finding::problem(Check::Daemon, &silent.what).next(&silent.next),
                None => Finding::problem(Check::Daemon, format!("{error:#}")),
            };
            (None, vec![finding])
        }
    }
}

/// Nobody listens, which is as it should be unless somebody holds the lock, or nobody can listen.
fn not_running(places: &Places) -> Vec<Finding> {
    let held = match lock::holder(&places.lock) {
        Ok(held) => held,
        Err(error) => {
            let what = format!("the lock {} cannot be read: {error}", places.lock.display());
            return vec![Finding::problem(Check::Daemon, what)];
        }
    };
    let Some(holder) = held.and_then(|held| held.by) else {
        if let Some(finding) = in_the_way(&places.socket) {
            return vec![finding];
        }
        let what = "the daemon does not run; the next session starts it";
        return vec![Finding::note(Check::Daemon, what)];
    };
    let what = format!(
        "the daemon, process {}, holds its lock and does not listen at {}",
        holder.pid,
        holder.socket.display()
    );
    let next = "run: mcpool logs daemon; if it is not just starting or ending, end that process";
    vec![Finding::problem(Check::Daemon, what).next(next)]
}

/// A folder where the daemon is to listen: whatever else stands there it removes.
fn in_the_way(socket: &Path) -> Option<Finding> {
    let there = fs::symlink_metadata(socket).ok()?;
    there.is_dir().then(|| {
        let shown = socket.display();
        let what = format!("{shown} is a folder, so no daemon can listen there");
        let next = format!(
            "run: mv {} {}",
            ui::in_quotes(&shown),
            ui::in_quotes(&format_args!("{shown}.old"))
        );
        Finding::problem(Check::Daemon, what).next(next)
    })
}

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let status = patient.status.as_ref();
    let mut findings = status
        .and_then(|status| status.daemon.as_ref())
        .map(troubles)
        .unwrap_or_default();
    findings.extend(unshared(patient.places));
    findings
}

fn troubles(daemon: &Daemon) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(trouble) = &daemon.log_trouble {
        let what = format!("no log can be written: {trouble}");
        findings.push(Finding::problem(Check::Daemon, what));
    } else if daemon.log_lines_lost > 0 {
        let what = format!(
            "{} lines are in no log, because the disk was full or too slow",
            daemon.log_lines_lost
        );
        findings.push(Finding::note(Check::Daemon, what));
    }
    if daemon.task_panics > 0 {
        let what = format!(
            "{} tasks of the daemon have ended because of a fault of its own",
            daemon.task_panics
        );
        let next = "run: mcpool logs daemon, and report what it says";
        findings.push(Finding::problem(Check::Daemon, what).next(next));
    }
    findings
}

/// Servers that sessions run themselves, because they could have no daemon.
fn unshared(places: &Places) -> Vec<Finding> {
    let running = Locks::of(places).running().unwrap_or_default();
    let tell = |direct: shim::direct::Direct| {
        let what = format!(
            "`{}` runs unshared in process {}, as there was no daemon: {}",
            direct.server, direct.pid, direct.cause
        );
        let next = "it is shared again when that session has ended";
        Finding::problem(Check::Daemon, what).next(next)
    };
    running.into_iter().map(tell).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_said_of_a_folder_in_the_way_moves_it_away() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("it's $HERE");
        fs::create_dir(&socket).unwrap();
        let next = in_the_way(&socket).unwrap().next.unwrap();
        let command = next.strip_prefix("run: ").unwrap();
        let ran = Command::new("sh").args(["-c", command]).status();
        assert!(ran.unwrap().success(), "{command}");
        assert!(in_the_way(&socket).is_none());
        assert!(root.path().join("it's $HERE.old").is_dir());
    }
}
