//! A status for a person.

use std::{env, time::Duration};

use daemon::admin::{Daemon, Direct, Http, Session, Status, Upstream};

use super::Shown;
use crate::ui::{Align, Page, Render, Table};

/// Longest workspace that is shown whole, in characters.
const WORKSPACE_MAX: usize = 40;

impl Render for Shown {
    fn render(&self, page: &mut Page) {
        let status = &self.status;
        match &status.daemon {
            Some(daemon) => head(daemon, page),
            None => page.line("The daemon does not run; the first session starts it."),
        }
        direct(&status.direct, page);
        if let Some(error) = &status.config_error {
            page.blank();
            page.line(format_args!("The configuration cannot be used: {error}"));
        }
        let Some(daemon) = &status.daemon else {
            return;
        };
        lost_logs(daemon, page);
        panics(daemon, page);
        page.blank();
        if status.upstreams.is_empty() {
            page.line("No server runs.");
        } else {
            upstreams(&status.upstreams, page);
            remarks(&status.upstreams, page);
        }
        if !status.sessions.is_empty() {
            page.blank();
            sessions(&status.sessions, page);
        }
        saved(status, page);
    }
}

fn head(daemon: &Daemon, page: &mut Page) {
    let memory = memory(daemon.pss_kb);
    let guardian = match daemon.guardian_pid {
        Some(pid) => format!(
            ", guardian {pid} with {}",
            self::memory(daemon.guardian_pss_kb)
        ),
        None => String::new(),
    };
    page.line(format_args!(
        "mcpool {}: process {} for {}, {memory}{guardian}",
        daemon.version,
        daemon.pid,
        age(daemon.uptime_s)
    ));
    page.line(format_args!("socket {}", daemon.socket));
    http(&daemon.http, page);
    let installed = env!("CARGO_PKG_VERSION");
    if daemon.version != installed {
        page.line(format_args!(
            "mcpool {installed} is installed; `mcpool upgrade` has the daemon go on as that."
        ));
    }
}

/// Where clients come in over HTTP, or why they cannot.
fn http(http: &Http, page: &mut Page) {
    if let Some(trouble) = &http.trouble {
        page.line(format_args!("HTTP is off: {trouble}"));
    } else if !http.addresses.is_empty() {
        let urls: Vec<String> = http
            .addresses
            .iter()
            .map(|address| {
                let is_secure = http.secure.contains(address);
                let scheme = if is_secure { "https" } else { "http" };
                match http.servers.get(address) {
                    Some(server) => format!("{scheme}://{address}/mcp ({server})"),
                    None => format!("{scheme}://{address}/mcp/NAME"),
                }
            })
            .collect();
        page.line(format_args!("HTTP {}", urls.join(", ")));
    }
    if let Some(socket) = &http.socket {
        page.line(format_args!("HTTP at the socket {socket}"));
    }
    if let Some(next) = &http.next {
        page.line(format_args!("{}", elsewhere(next)));
    }
}

/// That the file has the daemon listen elsewhere than it does, and how it comes to do so.
pub(crate) fn elsewhere(next: &[String]) -> String {
    let next = match next {
        [] => "nowhere".to_owned(),
        next => format!("at {}", next.join(", ")),
    };
    format!("`[http]` has changed: the next daemon listens {next}; `mcpool stop` ends this one.")
}

/// What is not shared though it should be, and why: before all that goes well.
fn direct(direct: &[Direct], page: &mut Page) {
    if !direct.is_empty() {
        page.blank();
    }
    for direct in direct {
        let server = &direct.server;
        page.line(format_args!(
            "NOT SHARED: `{server}` runs without mcpool in process {}, as that could have no daemon: {}. \
             Nobody else gets it until that session ends.",
            direct.pid, direct.cause
        ));
    }
}

/// What the logs lack.
fn lost_logs(daemon: &Daemon, page: &mut Page) {
    let lines = counted(daemon.log_lines_lost, "line");
    if let Some(trouble) = &daemon.log_trouble {
        page.blank();
        page.line(format_args!(
            "The logs cannot be written: {trouble}. They lack {lines} so far; everything else goes on."
        ));
    } else if daemon.log_lines_lost > 0 {
        page.blank();
        page.line(format_args!(
            "The logs lack {lines}: the disk was full or too slow for a while."
        ));
    }
}

/// What went wrong in the daemon itself.
fn panics(daemon: &Daemon, page: &mut Page) {
    if daemon.task_panics > 0 {
        page.blank();
        page.line(format_args!(
            "A fault of mcpool's own has ended {} of the daemon; everything else goes on. What they were \
             stands in `daemon.log`: please report it.",
            counted(daemon.task_panics, "task")
        ));
    }
}

fn upstreams(upstreams: &[Upstream], page: &mut Page) {
    let mut table = Table::new(&[
        ("SERVER", Align::Left),
        ("STATE", Align::Left),
        ("PID", Align::Right),
        ("PROTOCOL", Align::Left),
        ("SCOPE", Align::Left),
        ("WORKSPACE", Align::Left),
        ("SESSIONS", Align::Right),
        ("MEMORY", Align::Right),
        ("RESTARTS", Align::Right),
    ]);
    for upstream in upstreams {
        table.row([
            upstream.server.clone(),
            upstream.state.clone(),
            upstream.pid.map_or_else(none, |pid| pid.to_string()),
            upstream.protocol.clone().unwrap_or_else(none),
            upstream.scope.clone(),
            workspace(upstream.workspace.as_deref()),
            upstream.sessions.to_string(),
            memory(upstream.pss_kb),
            upstream.restarts.to_string(),
        ]);
    }
    page.table(&table);
}

/// What does not fit into a column and should not be missed.
fn remarks(upstreams: &[Upstream], page: &mut Page) {
    for upstream in upstreams {
        let server = &upstream.server;
        if let Some(reason) = &upstream.private {
            page.line(format_args!("{server}: not shared: {reason}"));
        }
        let kind = match &upstream.url {
            Some(url) => {
                page.line(format_args!("{server}: at {url}"));
                "connection"
            }
            None => "process",
        };
        if upstream.scope == "session" && upstream.private.is_none() {
            page.line(format_args!(
                "{server}: one {kind} for each session: {}",
                upstream.scope_reason
            ));
        }
        rests(upstream, page);
        if let [first, ..] = upstream.withheld.as_slice() {
            page.line(format_args!(
                "{server}: not passed to it, though a client has it: {}; if it needs that, \
                 say `--env {first}` or put it into `env_pass`",
                upstream.withheld.join(", ")
            ));
        }
        if upstream.degraded {
            page.line(format_args!(
                "{server}: degraded: it writes to its stdout what is no message, again and again"
            ));
        }
        if upstream.faults > 0 {
            page.line(format_args!(
                "{server}: {} on its stdout {} no message; see `mcpool logs {server}`",
                counted(upstream.faults, "line"),
                if upstream.faults == 1 { "was" } else { "were" }
            ));
        }
        for (reason, count) in &upstream.dropped {
            page.line(format_args!(
                "{server}: {} dropped: {reason}",
                counted(*count, "message")
            ));
        }
    }
}

/// A server that keeps ending: how often, and when it is tried again.
fn rests(upstream: &Upstream, page: &mut Page) {
    let Some(seconds) = upstream.retry_in_s else {
        return;
    };
    let server = &upstream.server;
    let deaths = counted(upstream.deaths.into(), "time");
    page.line(format_args!(
        "{server}: ended unasked {deaths} in a row, next attempt in {seconds} s; see `mcpool logs \
         {server}`, `mcpool restart {server}` tries at once"
    ));
}

fn sessions(sessions: &[Session], page: &mut Page) {
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("SERVER", Align::Left),
        ("CLIENT", Align::Left),
        ("WORKSPACE", Align::Left),
        ("AGE", Align::Right),
        ("IN FLIGHT", Align::Right),
    ]);
    for session in sessions {
        table.row([
            session.id.clone(),
            session.server.clone(),
            session.client.clone().unwrap_or_else(none),
            workspace(session.workspace.as_deref()),
            age(session.age_s),
            session.in_flight.to_string(),
        ]);
    }
    page.table(&table);
}

fn saved(status: &Status, page: &mut Page) {
    if status.saved_kb > 0 {
        page.blank();
        page.line(format_args!(
            "Sharing saves about {}.",
            memory(Some(status.saved_kb))
        ));
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn none() -> String {
    "-".to_owned()
}

fn memory(kb: Option<u64>) -> String {
    match kb {
        None => none(),
        Some(kb) if kb < 10 * 1024 => format!("{}.{} MB", kb / 1024, kb % 1024 * 10 / 1024),
        Some(kb) => format!("{} MB", kb / 1024),
    }
}

fn age(seconds: u64) -> String {
    // Two units are enough: nobody asks for the seconds of yesterday.
    let whole = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

/// The end of the path, which is what tells workspaces apart.
fn workspace(path: Option<&str>) -> String {
    let Some(path) = path else {
        return none();
    };
    let home = env::var("HOME").unwrap_or_default();
    let short = match path.strip_prefix(&home) {
        Some(rest) if !home.is_empty() && rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    };
    let len = short.chars().count();
    if len <= WORKSPACE_MAX {
        return short;
    }
    let end: String = short.chars().skip(len - WORKSPACE_MAX + 1).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use daemon::admin::SCHEMA;
    use expect_test::{Expect, expect};

    use super::*;

    fn example() -> Status {
        Status {
            schema: SCHEMA,
            daemon: Some(Daemon {
                pid: 4711,
                version: "0.1.0".into(),
                socket: "/run/user/7/mcpool/mcpool.sock".into(),
                uptime_s: 7384,
                pss_kb: Some(3300),
                guardian_pid: Some(4712),
                guardian_pss_kb: Some(410),
                log_lines_lost: 0,
                log_trouble: None,
                task_panics: 0,
                http: Http::default(),
            }),
            upstreams: vec![Upstream {
                id: "u1".into(),
                server: "github".into(),
                pid: Some(4713),
                url: None,
                state: "ready".into(),
                scope: "workspace".into(),
                scope_reason: "the default".into(),
                workspace: Some(format!(
                    "/projects/{}/deep",
                    "long/".repeat(10).trim_end_matches('/')
                )),
                class: vec!["roots".into()],
                sessions: 3,
                in_flight: 1,
                pss_kb: Some(210_000),
                restarts: 0,
                deaths: 0,
                retry_in_s: None,
                protocol: Some("2025-11-25".into()),
                withheld: vec!["GITHUB_TOKEN".into()],
                dropped: BTreeMap::from([("late".into(), 2)]),
                faults: 1,
                degraded: false,
                private: None,
            }],
            sessions: vec![Session {
                id: "s1".into(),
                server: "github".into(),
                front: "stdio".into(),
                client: Some("claude-code 2.1".into()),
                workspace: None,
                session_key: None,
                age_s: 61,
                in_flight: 1,
                paused: false,
                upstream: Some("u1".into()),
            }],
            direct: Vec::new(),
            saved_kb: 420_000,
            config_error: None,
            counts: BTreeMap::new(),
        }
    }

    fn check(status: Status, expected: &Expect) {
        let mut page = Page::new(false);
        Shown { status }.render(&mut page);
        expected.assert_eq(&page.into_text());
    }

    #[test]
    fn a_daemon_of_another_version_can_be_upgraded_and_that_is_said() {
        let mut status = example();
        if let Some(daemon) = &mut status.daemon {
            daemon.version = "0.0.9".into();
        }
        let mut page = Page::new(false);
        Shown { status }.render(&mut page);
        let text = page.into_text();
        assert!(text.starts_with("mcpool 0.0.9: "), "{text}");
        assert!(text.contains("`mcpool upgrade`"), "{text}");
    }

    #[test]
    fn a_person_sees_servers_sessions_and_what_needs_care() {
        check(
            example(),
            &expect![[r#"
                mcpool 0.1.0: process 4711 for 2h 3m, 3.2 MB, guardian 4712 with 0.4 MB
                socket /run/user/7/mcpool/mcpool.sock

                SERVER  STATE   PID  PROTOCOL    SCOPE      WORKSPACE                                 SESSIONS  MEMORY  RESTARTS
                github  ready  4713  2025-11-25  workspace  …long/long/long/long/long/long/long/deep         3  205 MB         0
                github: not passed to it, though a client has it: GITHUB_TOKEN; if it needs that, say `--env GITHUB_TOKEN` or put it into `env_pass`
                github: 1 line on its stdout was no message; see `mcpool logs github`
                github: 2 messages dropped: late

                SESSION  SERVER  CLIENT           WORKSPACE    AGE  IN FLIGHT
                s1       github  claude-code 2.1  -          1m 1s          1

                Sharing saves about 410 MB.
            "#]],
        );
    }

    #[test]
    fn a_server_that_is_not_shared_says_why() {
        let mut status = example();
        status.upstreams[0].scope = "session".into();
        status.upstreams[0].scope_reason = "its command line names a browser".into();
        let mut page = Page::new(false);
        Shown { status }.render(&mut page);
        let line = "github: one process for each session: its command line names a browser\n";
        assert!(page.into_text().contains(line));
    }

    #[test]
    fn a_server_that_rests_says_how_often_it_ended_and_when_it_is_tried_again() {
        let mut status = example();
        let server = &mut status.upstreams[0];
        (server.state, server.deaths, server.retry_in_s) = ("failed".into(), 6, Some(42));
        let mut page = Page::new(false);
        Shown { status }.render(&mut page);
        let line = "\ngithub: ended unasked 6 times in a row, next attempt in 42 s; see `mcpool logs \
                    github`, `mcpool restart github` tries at once\n";
        let text = page.into_text();
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_server_that_runs_without_the_daemon_is_told_before_all_that_goes_well() {
        let direct = Direct {
            server: "github".into(),
            pid: 4714,
            since_unix_s: 1_700_000_000,
            cause: "mcpoold is missing".into(),
        };
        for daemon in [None, example().daemon] {
            let status = Status {
                daemon,
                direct: vec![direct.clone()],
                ..example()
            };
            let mut page = Page::new(false);
            Shown { status }.render(&mut page);
            let text = page.into_text();
            let words = "\n\nNOT SHARED: `github` runs without mcpool in process 4714, as that could have \
                         no daemon: mcpoold is missing. Nobody else gets it until that session ends.\n";
            let at = text.find(words).unwrap_or_else(|| panic!("{text}"));
            assert!(
                text.find("SERVER  STATE").is_none_or(|table| at < table),
                "{text}"
            );
        }
    }

    #[test]
    fn a_degraded_server_is_called_so() {
        let mut status = example();
        status.upstreams[0].degraded = true;
        let mut page = Page::new(false);
        Shown { status }.render(&mut page);
        assert!(page.into_text().contains("\ngithub: degraded: "));
    }

    #[test]
    fn logs_that_lack_lines_are_told_and_whether_they_still_do() {
        let shown = |lines, trouble: Option<&str>| {
            let mut status = example();
            let daemon = status.daemon.as_mut().unwrap();
            daemon.log_lines_lost = lines;
            daemon.log_trouble = trouble.map(str::to_owned);
            let mut page = Page::new(false);
            Shown { status }.render(&mut page);
            page.into_text()
        };
        assert!(!shown(0, None).contains("logs lack"));
        let past = shown(1, None);
        let words = "\nThe logs lack 1 line: the disk was full or too slow for a while.\n";
        assert!(past.contains(words), "{past}");
        let now = shown(7, Some("No space left on device"));
        let words = "\nThe logs cannot be written: No space left on device. They lack 7 lines so far; \
                     everything else goes on.\n";
        assert!(now.contains(words), "{now}");
    }

    #[test]
    fn tasks_that_panicked_are_told() {
        let shown = |panics| {
            let mut status = example();
            status.daemon.as_mut().unwrap().task_panics = panics;
            let mut page = Page::new(false);
            Shown { status }.render(&mut page);
            page.into_text()
        };
        assert!(!shown(0).contains("fault of mcpool"));
        assert!(
            shown(2).contains("has ended 2 tasks of the daemon"),
            "{}",
            shown(2)
        );
    }

    #[test]
    fn a_daemon_without_servers_says_so() {
        let mut status = example();
        status.upstreams.clear();
        status.sessions.clear();
        status.saved_kb = 0;
        status.config_error = Some("config.toml:3:1: servers.x: unknown key".into());
        check(
            status,
            &expect![[r"
            mcpool 0.1.0: process 4711 for 2h 3m, 3.2 MB, guardian 4712 with 0.4 MB
            socket /run/user/7/mcpool/mcpool.sock

            The configuration cannot be used: config.toml:3:1: servers.x: unknown key

            No server runs.
        "]],
        );
    }

    #[test]
    fn without_a_daemon_there_is_nothing_else_to_tell() {
        let status = Status {
            daemon: None,
            ..example()
        };
        check(
            status,
            &expect![[r"
            The daemon does not run; the first session starts it.
        "]],
        );
    }
}
