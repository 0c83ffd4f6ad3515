//! What the suite writes down: a folder for each scenario, with a list of what was looked at.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

/// What was looked at in all scenarios.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// What is not as it should be, by scenario.
    pub(crate) wrong: Vec<(String, Check)>,
    /// What could not be looked at, and why.
    pub(crate) unseen: Vec<(String, Check)>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Check {
    pub(crate) id: String,
    pub(crate) status: Status,
    #[serde(default, rename = "errorMessage")]
    message: Option<String>,
    #[serde(default)]
    details: Value,
}

impl Check {
    /// Why it is what it is, if that is said.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.message.as_deref().or(self.details["message"].as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Success,
    Failure,
    /// What should be, but need not.
    Warning,
    Info,
    Skipped,
}

impl Checks {
    fn add(&mut self, scenario: &str, checks: Vec<Check>) {
        for check in checks {
            match check.status {
                Status::Success => self.passed += 1,
                Status::Failure => {
                    self.failed += 1;
                    self.wrong.push((scenario.to_owned(), check));
                }
                Status::Warning => self.wrong.push((scenario.to_owned(), check)),
                // Others only tell of what was sent.
                Status::Info | Status::Skipped if check.reason().is_some() => {
                    self.unseen.push((scenario.to_owned(), check));
                }
                Status::Info | Status::Skipped => {}
            }
        }
    }
}

/// Reads what a run of the suite has written.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Checks> {
    let mut checks = Checks::default();
    let entries = fs::read_dir(folder).context("the suite has written nothing")?;
    let mut folders: Vec<_> = entries.collect::<Result<_, _>>()?;
    folders.sort_by_key(fs::DirEntry::file_name);
    for folder in &folders {
        let path = folder.path().join("checks.json");
        // A scenario that went wrong as a whole leaves an empty folder, and is told of as a number too low.
        if !path.exists() {
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let list = serde_json::from_slice(&text);
        let list = list.with_context(|| format!("reading {}", path.display()))?;
        checks.add(scenario(&folder.file_name().to_string_lossy()), list);
    }
    ensure!(
        checks.passed + checks.failed > 0,
        "the suite has looked at nothing"
    );
    Ok(checks)
}

/// The scenario of a folder, which is called `server-SCENARIO-DATE`.
fn scenario(folder: &str) -> &str {
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    let year = |at: &usize| name[at + 1..].starts_with("20") && name[at + 5..].starts_with('-');
    let dashes = name.match_indices('-').map(|(at, _dash)| at);
    let date = dashes
        .filter(|at| name.len() > at + 6 && name.is_char_boundary(at + 5))
        .rfind(year);
    date.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_called_after_its_scenario() {
        assert_eq!(
            scenario("server-tools-list-2026-11-29T14-00-00-000Z"),
            "tools-list"
        );
        let versioned = "server-json-schema-2020-12-2026-11-29T14-00-00-000Z";
        assert_eq!(scenario(versioned), "json-schema-2020-12");
        assert_eq!(scenario("other"), "other");
    }

    #[test]
    fn passed_and_failed_are_counted_and_what_only_should_be_is_told_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("checks.json"), text).unwrap();
        };
        write(
            "server-ping-2026-11-29T14-00-00-000Z",
            r#"[{"id":"ping","status":"SUCCESS"},{"id":"wire","status":"FAILURE","errorMessage":"no id"},{"id":"seen","status":"INFO"}]"#,
        );
        write(
            "server-tools-2026-11-29T14-00-00-000Z",
            r#"[{"id":"names","status":"WARNING"},{"id":"order","status":"SUCCESS"},{"id":"more","status":"SKIPPED"},{"id":"json","status":"INFO","details":{"message":"no stream"}}]"#,
        );
        fs::create_dir(folder.path().join("server-broken-2026-11-29T14-00-00-000Z")).unwrap();
        let checks = read(folder.path()).unwrap();
        assert_eq!((checks.passed, checks.failed), (2, 1));
        let wrong: Vec<(&str, &str)> = checks
            .wrong
            .iter()
            .map(|(scenario, check)| (&**scenario, &*check.id))
            .collect();
        assert_eq!(wrong, [("ping", "wire"), ("tools", "names")]);
        let [(scenario, unseen)] = &checks.unseen[..] else {
            panic!("{:?}", checks.unseen);
        };
        assert_eq!((&**scenario, unseen.reason()), ("tools", Some("no stream")));
    }

    #[test]
    fn a_suite_that_looked_at_nothing_has_not_passed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_err());
        assert!(read(&folder.path().join("missing")).is_err());
    }
}
