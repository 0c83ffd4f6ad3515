//! Whether the programs of servers are found: by this shell, by the daemon, by each client.
//!
//! A client from a desktop often has a shorter `PATH` than a shell, and a daemon that it has started has the
//! same. A session over stdio brings its own; one over HTTP has the daemon's.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
};

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::survey;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return Vec::new();
    };
    let own = env::var_os("PATH").unwrap_or_default();
    let daemon = patient
        .status
        .as_ref()
        .and_then(|status| status.daemon.as_ref());
    let of_daemon = match (&config.daemon.path, daemon) {
        (Some(path), _) => Some(OsString::from(path)),
        (None, Some(daemon)) => survey::path_of(daemon.pid),
        (None, None) => None,
    };
    let clients = client_paths(patient);
    let mut findings = Vec::new();
    for (name, server) in &config.servers {
        let program = server.command.as_written();
        if server.remote.is_some() {
            continue;
        }
        if program.contains(['/', '$']) {
            // It is the same for everybody, or each session completes it.
            findings.extend(is_missing(&program).then(|| gone(name.as_str(), &program)));
            continue;
        }
        let of_daemon = server
            .path
            .as_ref()
            .map(OsString::from)
            .or(of_daemon.clone());
        let view = View {
            own: is_found(&program, &own),
            daemon: of_daemon.map(|path| is_found(&program, &path)),
            blind: clients
                .iter()
                .filter(|(_, paths)| paths.iter().any(|path| !is_found(&program, path)))
                .map(|(client, _)| *client)
                .collect(),
        };
        findings.extend(view.judge(name.as_str(), &program));
    }
    findings
}

/// Who finds a program.
#[derive(Debug)]
struct View {
    own: bool,
    /// `None` where the daemon's `PATH` is not known.
    daemon: Option<bool>,
    /// The clients that do not.
    blind: Vec<&'static str>,
}

impl View {
    fn judge(&self, server: &str, program: &str) -> Vec<Finding> {
        let nobody = !self.own && self.daemon != Some(true);
        if nobody {
            let what =
                format!("`{program}`, the program of server `{server}`, is found nowhere in PATH");
            let next = "install it, or give `command` its full path";
            return vec![Finding::problem(Check::Path, what).next(next)];
        }
        let mut findings = Vec::new();
        for client in &self.blind {
            let what = format!(
                "`{program}`, the program of server `{server}`, is not in the PATH with which {client} runs"
            );
            let next =
                "if it uses that server, give `command` its full path, or start it from a shell";
            findings.push(Finding::note(Check::Path, what).next(next));
        }
        if self.daemon == Some(false) {
            let what = format!(
                "`{program}`, the program of server `{server}`, is not in the daemon's PATH, so sessions over HTTP do not find it"
            );
            let next = "set `path` in [daemon], for example to the PATH of this shell";
            findings.push(Finding::note(Check::Path, what).next(next));
        }
        findings
    }
}

/// A path at which no program is.
fn gone(server: &str, program: &str) -> Finding {
    let what = format!("there is no program {program}, which server `{server}` is to run");
    let next = format!("install it, or say in [servers.{server}] where it is");
    Finding::problem(Check::Path, what).next(next)
}

/// Whether there is no such program for this shell; of a path that is completed by others, nobody can say.
pub(super) fn is_missing(program: &str) -> bool {
    let is_for_others = program.contains(['$', '~', '\\']);
    let is_relative = program.contains('/') && !program.starts_with('/');
    let own = env::var_os("PATH").unwrap_or_default();
    !is_for_others && !is_relative && !is_found(program, &own)
}

fn is_found(program: &str, path: &OsString) -> bool {
    which::which_in(program, Some(path), "/").is_ok()
}

/// The `PATH`s with which clients run that have servers.
fn client_paths(patient: &Patient<'_>) -> BTreeMap<&'static str, BTreeSet<OsString>> {
    let mut paths: BTreeMap<&'static str, BTreeSet<OsString>> = BTreeMap::new();
    let sessions = patient.survey.iter().flat_map(|survey| &survey.sessions);
    for session in sessions {
        let path = survey::path_of(session.pid);
        paths.entry(session.client).or_default().extend(path);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(own: bool, daemon: Option<bool>, blind: &[&'static str]) -> Vec<String> {
        let view = View {
            own,
            daemon,
            blind: blind.to_vec(),
        };
        let findings = view.judge("git", "uvx");
        findings
            .into_iter()
            .map(|finding| format!("{:?}: {}", finding.weight, finding.what))
            .collect()
    }

    #[test]
    fn a_path_that_others_complete_is_not_missed() {
        for (program, expected) in [
            ("/bin/sh", false),
            ("/bin", true),
            ("/nowhere/mcpool", true),
            ("no-such-program-here", true),
            ("${HOME}/mcpool", false),
            ("~/mcpool", false),
            ("./mcpool", false),
            ("C:\\tools\\mcpool.exe", false),
        ] {
            assert_eq!(is_missing(program), expected, "{program}");
        }
    }

    #[test]
    fn a_program_is_missed_by_each_who_does_not_find_it() {
        let missing = ["Problem: `uvx`, the program of server `git`, is found nowhere in PATH"];
        assert_eq!(judge(false, None, &[]), missing);
        assert_eq!(judge(false, Some(false), &["Codex"]), missing);
        let found = judge(true, Some(false), &["Codex", "Zed"]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("Codex") && found[1].contains("Zed"));
        assert!(found[2].starts_with("Note") && found[2].contains("HTTP"));
        assert!(judge(true, None, &[]).is_empty());
        assert!(judge(false, Some(true), &[]).is_empty());
    }
}
