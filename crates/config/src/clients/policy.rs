//! What an administrator lets Claude Code run.
//!
//! A rule names a server, or an exact command line. An entry that goes through mcpool has
//! another command line: a rule that denies the old one would no longer bite, and one that
//! allows it would no longer help. So what a rule with a command line is about stays as it is.

use thiserror::Error;

use super::{
    grammar::{Grammar, Unreadable},
    tree::Node,
};

/// The rules of all settings that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    denied: Vec<Rule>,
    allowed: Vec<Rule>,
    is_exclusive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Name(String),
    Command(Vec<String>),
}

/// Why a policy keeps an entry from being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PolicyReason {
    /// It must not run at all.
    #[error("denied by managed policy")]
    Denied,
    /// It may run because of its exact command line.
    #[error("managed policy allows this exact command line and no other")]
    AllowedAsItIs,
    /// A file of the administrator has all servers that there are.
    #[error("managed policy has servers of its own, and the client reads no others")]
    Exclusive,
}

impl Policy {
    /// Adds the rules of a file of settings.
    pub fn add_settings(&mut self, text: &str) -> Result<(), Unreadable> {
        let tree = Grammar::Jsonc.read(text)?;
        let rules = |key| {
            let rules = tree.get(key).map(Node::items).unwrap_or_default();
            rules.iter().filter_map(Rule::of)
        };
        self.denied.extend(rules("deniedMcpServers"));
        self.allowed.extend(rules("allowedMcpServers"));
        Ok(())
    }

    /// There is a file of the administrator with servers.
    pub fn set_exclusive(&mut self) {
        self.is_exclusive = true;
    }

    /// Why this entry stays as it is, if it must.
    pub fn refusal(&self, name: &str, words: &[String]) -> Option<PolicyReason> {
        if self.is_exclusive {
            return Some(PolicyReason::Exclusive);
        }
        if self.denied.iter().any(|rule| rule.is_about(name, words)) {
            return Some(PolicyReason::Denied);
        }
        let is_named = |rule: &&Rule| matches!(rule, Rule::Name(_));
        let mut allowing = self
            .allowed
            .iter()
            .filter(|rule| rule.is_about(name, words));
        // A name goes on to be allowed.
        let by_command = allowing.clone().count() > 0 && !allowing.any(|rule| is_named(&rule));
        by_command.then_some(PolicyReason::AllowedAsItIs)
    }
}

impl Rule {
    fn of(node: &Node) -> Option<Self> {
        if let Some(name) = node.get("serverName").and_then(Node::text) {
            return Some(Rule::Name(name.to_owned()));
        }
        let words = node.get("serverCommand")?.items().iter();
        let words: Option<Vec<String>> = words.map(|word| word.text().map(str::to_owned)).collect();
        words.map(Rule::Command)
    }

    fn is_about(&self, name: &str, words: &[String]) -> bool {
        match self {
            Rule::Name(named) => named == name,
            Rule::Command(command) => command == words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &str, name: &str, line: &str) -> Option<PolicyReason> {
        let mut policy = Policy::default();
        policy.add_settings(settings).unwrap();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        policy.refusal(name, &words)
    }

    #[test]
    fn what_is_denied_by_name_or_by_command_line_stays_as_it_is() {
        let settings = r#"{"deniedMcpServers": [
            {"serverName": "evil"}, {"serverCommand": ["npx", "-y", "x"]}, {"serverUrl": "https://*"}
        ]}"#;
        let denied = Some(PolicyReason::Denied);
        assert_eq!(refusal(settings, "evil", "anything"), denied);
        assert_eq!(refusal(settings, "good", "npx -y x"), denied);
        assert_eq!(refusal(settings, "good", "npx -y x --more"), None);
    }

    #[test]
    fn what_is_allowed_by_its_command_line_alone_stays_as_it_is() {
        let settings = r#"{"allowedMcpServers": [
            {"serverCommand": ["npx", "x"]}, {"serverCommand": ["npx", "y"]}, {"serverName": "y"}
        ]}"#;
        let as_it_is = Some(PolicyReason::AllowedAsItIs);
        assert_eq!(refusal(settings, "x", "npx x"), as_it_is);
        assert_eq!(refusal(settings, "y", "npx y"), None);
        assert_eq!(refusal(settings, "other", "npx other"), None);
    }

    #[test]
    fn servers_of_the_administrator_are_all_there_are() {
        let mut policy = Policy::default();
        policy.set_exclusive();
        assert_eq!(policy.refusal("x", &[]), Some(PolicyReason::Exclusive));
        assert!(policy.add_settings("{").is_err());
    }
}
