//! What was found, and what to do about it.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use anyhow::Context;
use serde::Serialize;

use crate::ui;

/// The version of this interface; it grows when a member is taken away or changes its meaning.
const SCHEMA: u32 = 1;

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    /// Whether nothing is wrong.
    pub(crate) is_well: bool,
    pub(super) findings: Vec<Finding>,
}

/// One thing that a person should know.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// Which check found it; for programs.
    pub(super) check: Check,
    pub(super) weight: Weight,
    /// What is so.
    pub(super) what: String,
    /// The next thing to do.
    pub(super) next: Option<String>,
    /// What `--fix` would do about it.
    #[serde(skip)]
    pub(super) mend: Option<Mend>,
    /// How to take back what `--fix` has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) undo: Option<String>,
}

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    Folders,
    Config,
    Clients,
    Daemon,
    Versions,
    Ports,
    Path,
    Servers,
    Duplicates,
}

/// Whether it is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Weight {
    /// Something does not work, or not as it should.
    Problem,
    /// It works, and could be better; or it is only good to know.
    Note,
    /// It was a problem.
    Mended,
}

/// A change that can be changed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// Take these permissions from a file or folder of ours.
    TakePermissions { path: PathBuf, bits: u32 },
}

impl Finding {
    pub(super) fn problem(check: Check, what: impl Into<String>) -> Self {
        Finding {
            check,
            weight: Weight::Problem,
            what: what.into(),
            next: None,
            mend: None,
            undo: None,
        }
    }

    pub(super) fn note(check: Check, what: impl Into<String>) -> Self {
        Finding {
            weight: Weight::Note,
            ..Finding::problem(check, what)
        }
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Finding {
            next: Some(next.into()),
            ..self
        }
    }

    pub(super) fn mend(self, mend: Mend) -> Self {
        Finding {
            mend: Some(mend),
            ..self
        }
    }
}

impl Report {
    pub(super) fn of(mut findings: Vec<Finding>) -> Report {
        findings.sort_by_key(|finding| finding.weight);
        let is_bad = |finding: &Finding| finding.weight == Weight::Problem;
        Report {
            schema: SCHEMA,
            is_well: !findings.iter().any(is_bad),
            findings,
        }
    }

    /// Does about it what can be taken back; what fails is told, and stays a finding.
    pub(crate) fn fixed(mut self, mut tell: impl FnMut(anyhow::Error)) -> Report {
        for finding in &mut self.findings {
            match finding.mend.take().map(|mend| mend.apply()) {
                Some(Ok(undo)) => {
                    finding.weight = Weight::Mended;
                    finding.next = None;
                    finding.undo = Some(undo);
                }
                Some(Err(error)) => tell(error),
                None => {}
            }
        }
        Report::of(self.findings)
    }
}

impl Mend {
    /// Does it; the answer is how to take it back.
    fn apply(&self) -> anyhow::Result<String> {
        match self {
            Mend::TakePermissions { path, bits } => {
                let shown = path.display();
                take_permissions(path, *bits)
                    .map(|before| format!("chmod {before:04o} {}", ui::in_quotes(&shown)))
                    .with_context(|| format!("changing the permissions of {shown}"))
            }
        }
    }
}

/// The permissions before.
fn take_permissions(path: &PathBuf, bits: u32) -> io::Result<u32> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        // What it points to may be another's.
        return Err(io::Error::other("it is a symbolic link"));
    }
    let before = metadata.mode() & 0o7777;
    fs::set_permissions(path, Permissions::from_mode(before & !bits))?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mend_says_how_to_take_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        let problem = Finding::problem(Check::Folders, "too open").mend(Mend::TakePermissions {
            path: path.clone(),
            bits: 0o022,
        });
        let report = Report::of(vec![problem]);
        assert!(!report.is_well);
        let report = report.fixed(|error| panic!("{error}"));
        assert!(report.is_well);
        assert_eq!(mode(), 0o644);
        let undo = report.findings[0].undo.clone().unwrap();
        assert_eq!(undo, format!("chmod 0666 '{}'", path.display()));
    }

    #[test]
    fn what_cannot_be_mended_stays_a_problem() {
        let problem = Finding::problem(Check::Folders, "gone").mend(Mend::TakePermissions {
            path: "/nothing/is/here".into(),
            bits: 0o022,
        });
        let mut told = Vec::new();
        let report = Report::of(vec![problem]).fixed(|error| told.push(error.to_string()));
        assert!(!report.is_well);
        assert_eq!(told.len(), 1);
    }
}
