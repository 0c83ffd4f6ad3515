//! Which servers of a project's own file Claude Code may start.
//!
//! Everybody who has the project has that file, so a person approves each of its servers by name.
//! One of the same name in local scope needs no approval: to put one there is to approve it.

use std::collections::BTreeSet;

use super::tree::{Node, Value};

/// What somebody has said about one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// A person wants it to run.
    Approved,
    /// It is not to run, whoever has approved it besides.
    Refused,
    /// Nobody has said anything.
    Unanswered,
}

/// What a person has said about the servers of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    are_all_approved: bool,
    approved: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Approvals {
    /// Adds what settings of a person say, or what Claude Code has noted of a project.
    pub fn add(&mut self, settings: &Node) {
        let all = settings.get("enableAllProjectMcpServers");
        self.are_all_approved |=
            all.is_some_and(|all| all.value == Value::Other("true".to_owned()));
        self.approved
            .extend(names(settings.get("enabledMcpjsonServers")));
        self.add_refusals(settings);
    }

    /// Adds what settings say that come with the project: they may refuse, and not approve.
    pub fn add_refusals(&mut self, settings: &Node) {
        self.refused
            .extend(names(settings.get("disabledMcpjsonServers")));
        self.refused.extend(switched_off(settings));
    }

    /// What has been said about the server of this name.
    pub fn of(&self, name: &str) -> Approval {
        if self.refused.contains(name) {
            Approval::Refused
        } else if self.are_all_approved || self.approved.contains(name) {
            Approval::Approved
        } else {
            Approval::Unanswered
        }
    }
}

/// The servers that are switched off by what Claude Code has noted of a project, wherever they are from.
pub(super) fn switched_off(project: &Node) -> Vec<String> {
    names(project.get("disabledMcpServers"))
}

fn names(list: Option<&Node>) -> Vec<String> {
    let items = list.map(Node::items).unwrap_or_default().iter();
    let texts = items.filter_map(Node::text);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Grammar;

    #[test]
    fn what_nobody_has_approved_or_somebody_has_refused_is_not_approved() {
        let settings = |text| Grammar::Jsonc.read(text).unwrap();
        let mut approvals = Approvals::default();
        let of_each = |approvals: &Approvals| ["a", "b", "c"].map(|name| approvals.of(name));
        let [approved, refused, unanswered] =
            [Approval::Approved, Approval::Refused, Approval::Unanswered];
        assert_eq!(of_each(&approvals), [unanswered; 3]);
        approvals.add(&settings(
            r#"{"enabledMcpjsonServers": ["a", "b"], "disabledMcpjsonServers": ["b"]}"#,
        ));
        assert_eq!(of_each(&approvals), [approved, refused, unanswered]);
        approvals.add_refusals(&settings(
            r#"{"enableAllProjectMcpServers": true, "disabledMcpjsonServers": ["a"]}"#,
        ));
        assert_eq!(of_each(&approvals), [refused, refused, unanswered]);
        approvals.add(&settings(r#"{"enableAllProjectMcpServers": true}"#));
        assert_eq!(of_each(&approvals), [refused, refused, approved]);
        approvals.add(&settings(r#"{"disabledMcpServers": ["c"]}"#));
        assert_eq!(of_each(&approvals), [refused; 3]);
    }
}
