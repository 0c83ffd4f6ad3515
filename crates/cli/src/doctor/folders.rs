//! The folders of this installation, and the files in them that others must not change or read.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use shim::places::FolderError;

use super::{
    Patient,
    finding::{Check, Finding, Mend},
};

/// Permissions of others to write.
const WRITE: u32 = 0o022;
/// All permissions of others.
const OTHERS: u32 = 0o077;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let places = patient.places;
    let mut findings: Vec<Finding> = places.faults().iter().map(of_folder).collect();
    if let Err(error) = places.check_socket() {
        findings.push(Finding::problem(Check::Folders, error.to_string()));
    }
    findings.extend(of_config(&places.config));
    let token = daemon::http_token::path(places);
    findings.extend(too_open(&token, OTHERS).map(|mode| {
        let what = format!(
            "the token of HTTP, {}, can be read by others (mode {mode:04o}), so nobody can come in with it",
            token.display()
        );
        mended_by_chmod(Finding::problem(Check::Folders, what), &token, OTHERS, "go=")
    }));
    findings
}

fn of_folder(fault: &FolderError) -> Finding {
    let finding = Finding::problem(Check::Folders, fault.to_string());
    match fault {
        FolderError::TooOpen { path, .. } => finding.mend(Mend::TakePermissions {
            path: path.clone(),
            bits: WRITE,
        }),
        FolderError::CannotMake { .. }
        | FolderError::NotAFolder { .. }
        | FolderError::CannotOpen { .. }
        | FolderError::NotOurs { .. } => finding,
    }
}

/// Who can write the configuration can have any program run as its owner.
fn of_config(path: &Path) -> Option<Finding> {
    let mode = too_open(path, WRITE)?;
    let what = format!(
        "the configuration {} can be written by others (mode {mode:04o}), who could have any program run as you",
        path.display()
    );
    let finding = Finding::problem(Check::Folders, what);
    Some(mended_by_chmod(finding, path, WRITE, "go-w"))
}

fn mended_by_chmod(finding: Finding, path: &Path, bits: u32, change: &str) -> Finding {
    let next = format!("run: chmod {change} '{}'", path.display());
    finding.next(next).mend(Mend::TakePermissions {
        path: path.to_path_buf(),
        bits,
    })
}

/// The mode of a file that gives others one of these permissions.
fn too_open(path: &Path, bits: u32) -> Option<u32> {
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.mode() & 0o7777;
    (metadata.is_file() && mode & bits != 0).then_some(mode)
}
