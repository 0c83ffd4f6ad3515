//! Servers that fail, and what the last thing was that they said.

use std::fs;

use daemon::admin::Upstream;

use super::{
    Patient,
    finding::{Check, Finding},
};

/// How much of a last line is shown.
const LINE_CHARS_MAX: usize = 200;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let upstreams = patient.status.iter().flat_map(|status| &status.upstreams);
    upstreams
        .flat_map(|upstream| of_upstream(patient, upstream))
        .collect()
}

fn of_upstream(patient: &Patient<'_>, upstream: &Upstream) -> Vec<Finding> {
    let server = &upstream.server;
    let mut findings = Vec::new();
    match upstream.state.as_str() {
        "failed" | "backoff" => {
            let again = upstream
                .retry_in_s
                .map(|seconds| format!(" and is tried again in {seconds} s"))
                .unwrap_or_default();
            let last = last_words(patient, server)
                .map(|line| format!("; the last that it said: {line}"))
                .unwrap_or_default();
            let what = format!(
                "`{server}` has ended unasked {} times{again}{last}",
                upstream.deaths
            );
            let next = format!("run: mcpool logs {server}; then: mcpool restart {server}");
            findings.push(Finding::problem(Check::Servers, what).next(next));
        }
        "unresponsive" => {
            let what = format!("`{server}` answers nothing while it has something to do");
            let next = format!("run: mcpool restart --now {server}");
            findings.push(Finding::problem(Check::Servers, what).next(next));
        }
        _others => {}
    }
    if upstream.degraded {
        let what = format!("`{server}` writes to its standard output what is no message");
        let next =
            format!("run: mcpool logs {server}; a server's own words belong on its standard error");
        findings.push(Finding::problem(Check::Servers, what).next(next));
    }
    if upstream.state == "failed" && !upstream.withheld.is_empty() {
        let what = format!(
            "`{server}` was not given {}, which its client has",
            upstream.withheld.join(", ")
        );
        let next = "pass what it needs: `--env NAME`, or `env_pass` in the configuration";
        findings.push(Finding::note(Check::Servers, what).next(next));
    }
    findings
}

/// The last line of a server's log, without what cannot be shown.
fn last_words(patient: &Patient<'_>, server: &str) -> Option<String> {
    let path = patient.places.logs.join(format!("{server}.log"));
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(LINE_CHARS_MAX).collect())
}
