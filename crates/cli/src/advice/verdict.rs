//! What to do with a server, and why: the rules, in their order.

use std::time::Duration;

use serde::Serialize;

use super::signals::Signals;

/// A server that one session alone uses is worth sharing if it holds this much, in KiB, or takes this long.
const HEAVY_KB: u64 = 100 * 1024;
const SLOW: Duration = Duration::from_secs(2);

/// A copy that takes no more than this, in KiB, takes hardly more than the process in its place would.
const TINY_KB: u64 = 1024;

/// What to do with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// One process for all sessions of the user.
    SharePerUser,
    /// One for the sessions of each workspace.
    SharePerWorkspace,
    /// One for each session, through mcpool.
    KeepPerSession,
    /// As it is, without mcpool.
    LeaveOnStdio,
}

impl Verdict {
    /// Whether several sessions are to have one process.
    pub(crate) fn is_shared(self) -> bool {
        match self {
            Verdict::SharePerUser | Verdict::SharePerWorkspace => true,
            Verdict::KeepPerSession | Verdict::LeaveOnStdio => false,
        }
    }

    /// For a person.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Verdict::SharePerUser => "share per user",
            Verdict::SharePerWorkspace => "share per workspace",
            Verdict::KeepPerSession => "keep per session",
            Verdict::LeaveOnStdio => "leave on stdio",
        }
    }
}

/// What to do with a server of which this is known, and the reason for a person.
pub(crate) fn of(signals: &Signals) -> (Verdict, String) {
    if signals.is_relay {
        let reason =
            "it only passes on to a server elsewhere; give mcpool that address (`url`) instead";
        return (Verdict::LeaveOnStdio, reason.into());
    }
    if signals.is_container {
        let reason = "it runs in a container, whose memory is not that of these processes";
        return (Verdict::LeaveOnStdio, reason.into());
    }
    if let Some(category) = signals.exclusive {
        let reason = format!("its name says {category}, which has one user at a time");
        return (Verdict::KeepPerSession, reason);
    }
    if signals.copy_kb() <= TINY_KB {
        let reason = "it is so small that sharing it saves nothing";
        return (Verdict::LeaveOnStdio, reason.into());
    }
    if signals.copies <= 1 && !is_worth_it_alone(signals) {
        let reason = "one session uses it, and it is small: sharing it saves nothing now";
        return (Verdict::LeaveOnStdio, reason.into());
    }
    if let Some(bond) = bond(signals) {
        return (Verdict::SharePerWorkspace, bond);
    }
    if signals.workspaces <= 1 {
        let reason = "all of its sessions work in one workspace";
        return (Verdict::SharePerWorkspace, reason.into());
    }
    if signals.asks_for_roots == Some(false) {
        let reason = "it asked for no roots, watches nothing, and its arguments name no workspace";
        return (Verdict::SharePerUser, reason.into());
    }
    let reason = "nothing says that different projects may share it; `--probe` looks closer";
    (Verdict::SharePerWorkspace, reason.into())
}

/// Whether one process that stays is better than one that comes and goes with its only session.
fn is_worth_it_alone(signals: &Signals) -> bool {
    signals.copy_kb() >= HEAVY_KB || signals.ready_after.is_some_and(|after| after >= SLOW)
}

/// What ties a server to a workspace.
fn bond(signals: &Signals) -> Option<String> {
    if signals.asks_for_roots == Some(true) {
        return Some("it asks for the folders that its client works in".into());
    }
    if signals.names_workspace {
        return Some("its arguments name the workspace".into());
    }
    (signals.now.watches > 0).then(|| format!("it watches files ({})", signals.now.watches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Signals), expected: Verdict, word: &str) {
        let mut signals = Signals::usual();
        change(&mut signals);
        let (verdict, reason) = of(&signals);
        assert_eq!(verdict, expected, "{reason}");
        assert!(reason.contains(word), "{reason}");
    }

    #[test]
    fn without_proof_projects_do_not_share() {
        check(|_| (), Verdict::SharePerWorkspace, "--probe");
        check(
            |s| s.workspaces = 1,
            Verdict::SharePerWorkspace,
            "one workspace",
        );
        check(
            |s| s.asks_for_roots = Some(false),
            Verdict::SharePerUser,
            "no roots",
        );
    }

    #[test]
    fn what_ties_a_server_to_a_workspace_comes_before_what_does_not() {
        let unbound = |s: &mut Signals| s.asks_for_roots = Some(false);
        check(
            |s| s.asks_for_roots = Some(true),
            Verdict::SharePerWorkspace,
            "folders",
        );
        check(
            |s| {
                unbound(s);
                s.names_workspace = true;
            },
            Verdict::SharePerWorkspace,
            "arguments",
        );
        check(
            |s| {
                unbound(s);
                s.now.watches = 7;
            },
            Verdict::SharePerWorkspace,
            "(7)",
        );
    }

    #[test]
    fn what_has_one_user_at_a_time_is_not_shared_however_heavy() {
        check(
            |s| {
                s.exclusive = Some("browser");
                s.now.pss_kb = 4_000_000;
                s.asks_for_roots = Some(false);
            },
            Verdict::KeepPerSession,
            "browser",
        );
    }

    #[test]
    fn what_would_save_nothing_stays_as_it_is() {
        let alone = |s: &mut Signals| (s.copies, s.sessions, s.workspaces) = (1, 1, 1);
        check(
            |s| {
                alone(s);
                s.now.pss_kb = 50 * 1024;
            },
            Verdict::LeaveOnStdio,
            "one session",
        );
        check(alone, Verdict::SharePerWorkspace, "one workspace");
        check(
            |s| {
                alone(s);
                s.now.pss_kb = 50 * 1024;
                s.ready_after = Some(Duration::from_secs(3));
            },
            Verdict::SharePerWorkspace,
            "one workspace",
        );
        check(|s| s.now.pss_kb = 4 * 1024, Verdict::LeaveOnStdio, "small");
        check(|s| s.is_relay = true, Verdict::LeaveOnStdio, "url");
        check(
            |s| s.is_container = true,
            Verdict::LeaveOnStdio,
            "container",
        );
    }
}
