//! Whether what runs is what is installed: daemon, guardian and shims.
//!
//! All three are replaced one by one after an installation, and each works with the version before and
//! after its own. So an old one is no problem as long as it is known.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use shim::sibling;

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{commands::connect::SMALL_PROGRAM, moving::machine, survey};

/// Device and number of a file.
type File = (u64, u64);

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut installed = |name: &str| match sibling::path(name) {
        Ok(path) => identity(&path).map(|file| (path, file)),
        Err(error) => {
            findings.push(Finding::problem(Check::Versions, error.to_string()));
            None
        }
    };
    let (small, large) = (installed(SMALL_PROGRAM), installed(sibling::DAEMON));
    let daemon = patient
        .status
        .as_ref()
        .and_then(|status| status.daemon.as_ref());
    if let Some(daemon) = daemon {
        let own = env!("CARGO_PKG_VERSION");
        let is_same = large.is_none_or(|(_, file)| runs(daemon.pid, file));
        if daemon.version != own {
            let what = format!(
                "the daemon is version {}, and {own} is installed",
                daemon.version
            );
            findings.push(Finding::problem(Check::Versions, what).next("run: mcpool upgrade"));
        } else if !is_same {
            let what = "the daemon is another build of this version than the one that is installed";
            findings.push(Finding::note(Check::Versions, what).next("run: mcpool upgrade"));
        }
    }
    let Some((path, file)) = small else {
        return findings;
    };
    let guardian = daemon.and_then(|daemon| daemon.guardian_pid);
    if guardian.is_some_and(|pid| !runs(pid, file)) {
        let what = "the guardian is another build than the one that is installed";
        let next =
            "the installed one takes its place when no server runs any more; that loses nothing";
        findings.push(Finding::note(Check::Versions, what).next(next));
    }
    findings.extend(other_copy(&path, file));
    let old = old_shims(&path, file);
    if old > 0 {
        let what = format!(
            "sessions that come in through another build of `mcpool connect` than the one that is installed: {old}"
        );
        let next = "restart their clients when it suits you; both builds work";
        findings.push(Finding::note(Check::Versions, what).next(next));
    }
    findings
}

/// What clients start that name `mcpool` without a folder, if that is another file.
fn other_copy(path: &Path, installed: File) -> Option<Finding> {
    let found = machine::on_path()?;
    if identity(&found)? == installed {
        return None;
    }
    let what = format!(
        "`mcpool` on PATH is {}, and this is {}",
        found.display(),
        path.display()
    );
    let next = "remove the one that is not wanted; clients that name no folder start the first";
    Some(Finding::note(Check::Versions, what).next(next))
}

/// How many shims run that were started from this path and are another file.
fn old_shims(path: &Path, installed: File) -> usize {
    let census = survey::take().unwrap_or_default();
    let shims = census.processes().filter(|process| process.is_shim());
    let is_old = |pid: u32| {
        let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else {
            return false;
        };
        // So it is said of a program whose file has been replaced.
        let program = program.to_string_lossy();
        let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
        Path::new(program) == path && !runs(pid, installed)
    };
    shims.filter(|shim| is_old(shim.pid)).count()
}

/// Whether a process runs this file; where that cannot be told, it does.
fn runs(pid: u32, installed: File) -> bool {
    identity(Path::new(&format!("/proc/{pid}/exe"))).is_none_or(|file| file == installed)
}

fn identity(path: &Path) -> Option<File> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
