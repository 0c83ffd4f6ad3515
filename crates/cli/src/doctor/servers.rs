//! Servers that fail, and what the last thing was that they said.

use std::fs;

use daemon::admin::Upstream;

use super::{
    Patient,
    finding::{Check, Finding},
};

/// How much of a last line is shown.
const LINE_CHARS_MAX: usize = 200;

/// How much of a reason is shown, which may quote a server twice.
const REASON_CHARS_MAX: usize = 800;

/// How a log begins of each process, and of each conversation with a server by URL.
const BEGINNINGS: [&str; 2] = ["-- started, process ", "-- reached at "];

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
            let deaths = upstream.deaths;
            let what = match last_told(patient, upstream) {
                // How often is not known: the deaths of those that ran are counted with it.
                Some(Told::Unstarted(why)) => {
                    format!("`{server}` could not be started or reached{again}: {why}")
                }
                Some(Told::Ungreeted(why)) => {
                    format!("`{server}` has not come up{again}: {why}")
                }
                Some(Told::Words(words)) => format!(
                    "`{server}` has ended unasked {deaths} times{again}; the last that it said: {words}"
                ),
                None => format!("`{server}` has ended unasked {deaths} times{again}"),
            };
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

/// What the end of a log tells of a server.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It was not started, or not reached, and why.
    Unstarted(String),
    /// It ran and could not be greeted, and why.
    Ungreeted(String),
    /// The last that it said.
    Words(String),
}

/// Why it did not run at last, or what it said.
fn last_told(patient: &Patient<'_>, upstream: &Upstream) -> Option<Told> {
    let path = patient.places.logs.join(format!("{}.log", upstream.server));
    let text = fs::read(path).ok()?;
    told(&String::from_utf8_lossy(&text), &upstream.id)
}

/// The same of the text of a log; its lines begin with the time and whose they are.
fn told(text: &str, upstream: &str) -> Option<Told> {
    let lines = text.lines().rev().filter_map(|line| {
        let mut parts = line.splitn(3, ' ').skip(1);
        (parts.next()? == upstream).then_some(())?;
        Some(parts.next()?.trim())
    });
    // Behind the reason there may be a remark that it is over.
    let unstarted = lines.clone().take(2).find_map(|words| {
        let remark = words.strip_prefix("-- ")?;
        let is_reason = ["not started: ", "not reached: "];
        is_reason.iter().find_map(|it| remark.strip_prefix(it))
    });
    let shown = |words: &str, most| words.chars().take(most).collect();
    if let Some(why) = unstarted {
        return Some(Told::Unstarted(shown(why, REASON_CHARS_MAX)));
    }
    let mut of_last = lines
        .clone()
        .take_while(|words| !BEGINNINGS.iter().any(|it| words.starts_with(it)));
    let ungreeted = of_last.find_map(|words| words.strip_prefix("-- not greeted: "));
    if let Some(why) = ungreeted {
        return Some(Told::Ungreeted(shown(why, REASON_CHARS_MAX)));
    }
    let mut words = lines.filter(|words| !words.is_empty() && !words.starts_with("-- "));
    words
        .next()
        .map(|words| Told::Words(shown(words, LINE_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_tells_why_a_server_did_not_run_or_what_it_said() {
        let told = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| format!("2026-11-29T19:00:47Z {line}\n"));
            told(&lines.collect::<String>(), "u1")
        };
        let words = |words: &str| Some(Told::Words(words.to_owned()));
        let unstarted = |why: &str| Some(Told::Unstarted(why.to_owned()));
        assert_eq!(
            told(&["u1 no licence", "u1 ", "u1 -- exited with code 3"]),
            words("no licence")
        );
        assert_eq!(
            told(&["u1 no licence", "u2 of another"]),
            words("no licence")
        );
        let refused = "u1 -- not reached: connection refused";
        assert_eq!(
            told(&[refused, "u1 -- ended"]),
            unstarted("connection refused")
        );
        assert_eq!(
            told(&["u1 hello", "u1 -- not started: no folder"]),
            unstarted("no folder")
        );
        let ran = ["u1 -- started, process 7", "u1 -- exited with code 3"];
        assert_eq!(told(&[&[refused][..], &ran].concat()), None);
        assert_eq!(told(&[]), None);
        let ungreeted = "u1 -- not greeted: it answered `initialize` with 7";
        let ran = ["u1 -- started, process 7", "u1 hello", ungreeted, "u1 bye"];
        let ended = ["u1 -- was killed by signal 15"];
        let why = Told::Ungreeted("it answered `initialize` with 7".to_owned());
        assert_eq!(told(&[&ran[..], &ended].concat()), Some(why));
        let again = ["u1 -- started, process 8", "u1 no licence"];
        assert_eq!(
            told(&[&ran[..], &ended, &again].concat()),
            words("no licence")
        );
        let reached = ["u1 -- reached at http://there/mcp", "u1 no licence"];
        assert_eq!(
            told(&[&ran[..], &ended, &reached].concat()),
            words("no licence")
        );
    }
}
