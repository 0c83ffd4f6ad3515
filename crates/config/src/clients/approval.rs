//! Which servers of a project's own file Claude Code may start.
//!
//! Everybody who has the project has that file, so a person approves each of its servers by name.
//! One of the same name in local scope needs no approval: to put one there is to approve it.

use std::collections::BTreeSet;

use super::tree::{Node, Value};

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
    }

    /// Whether a person wants this server to run.
    pub fn has(&self, name: &str) -> bool {
        let is_approved = self.are_all_approved || self.approved.contains(name);
        is_approved && !self.refused.contains(name)
    }
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
        assert!(!approvals.has("a"));
        approvals.add(&settings(
            r#"{"enabledMcpjsonServers": ["a", "b"], "disabledMcpjsonServers": ["b"]}"#,
        ));
        assert!(approvals.has("a") && !approvals.has("b") && !approvals.has("c"));
        approvals.add_refusals(&settings(
            r#"{"enableAllProjectMcpServers": true, "disabledMcpjsonServers": ["a"]}"#,
        ));
        assert!(!approvals.has("a") && !approvals.has("c"));
        approvals.add(&settings(r#"{"enableAllProjectMcpServers": true}"#));
        assert!(approvals.has("c") && !approvals.has("b"));
    }
}
