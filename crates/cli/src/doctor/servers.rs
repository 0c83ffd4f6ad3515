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
    let words = text.lines().rev().find_map(own_words)?;
    Some(words.chars().take(LINE_CHARS_MAX).collect())
}

/// What a server has said, in a line of its log: behind the time and the process, where no remark of ours
/// stands.
fn own_words(line: &str) -> Option<&str> {
    let words = line.splitn(3, ' ').nth(2)?.trim();
    (!words.is_empty() && !words.starts_with("-- ")).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_remarks_in_a_log_are_no_words_of_the_server() {
        assert_eq!(
            own_words("2026-11-29T19:00:47Z u1 no licence"),
            Some("no licence")
        );
        assert_eq!(
            own_words("2026-11-29T19:00:47Z u1 -- exited with code 3"),
            None
        );
        assert_eq!(own_words("2026-11-29T19:00:47Z u1 "), None);
        assert_eq!(own_words(""), None);
    }
}
