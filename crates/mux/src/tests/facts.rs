//! Facts as a transcript shows them.

use std::{format, string::String, time::Duration};

use crate::Fact;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others say again what the actions show"
)]
pub(super) fn show_fact(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Dropped { upstream, reason } => {
            Some(format!("! {upstream} dropped: {}", reason.name()))
        }
        Fact::ToolSeparated { upstream, tool } => Some(format!("! {upstream} separates {tool}")),
        Fact::UpstreamPrivate { upstream, .. } => Some(format!("! {upstream} is private")),
        Fact::UpstreamUnresponsive {
            upstream, quiet, ..
        } => Some(format!(
            "! {upstream} is unresponsive, quiet for {}",
            time_of(*quiet)
        )),
        Fact::UpstreamResponsive { upstream } => Some(format!("! {upstream} is responsive")),
        Fact::UpstreamNarrowed { upstream } => Some(format!("! {upstream} offers less")),
        Fact::RecordUnreadable { upstream, why } => {
            Some(format!("! {upstream} cannot be taken over: {why}"))
        }
        Fact::SessionReplayed { lines, refused, .. } => {
            Some(format!("! {lines} replayed, {refused} refused"))
        }
        Fact::UpstreamRecalled { upstream, .. } => Some(format!("! {upstream} is recalled")),
        Fact::ListOutdated { upstream, list } => Some(format!("! {upstream} has other {list}")),
        Fact::UpstreamFailed { upstream } => Some(format!("! {upstream} has failed")),
        Fact::UpstreamDegraded { upstream, .. } => Some(format!("! {upstream} is degraded")),
        Fact::UpstreamRetiring { upstream, open } => {
            Some(format!("! {upstream} retires, with {open} open"))
        }
        Fact::MemoryLost { upstream, sessions } => {
            Some(format!("! {upstream} has forgotten {sessions}"))
        }
        Fact::UpstreamSound { upstream } => Some(format!("! {upstream} is sound again")),
        _told => None,
    }
}

pub(super) fn time_of(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
