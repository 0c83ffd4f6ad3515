//! What an administrator lets a client run.
//!
//! A rule names a server, a command line or an address. An entry that goes through mcpool has
//! another command line: a rule that denies the old one would no longer bite, and one that
//! allows it would no longer help. So an entry stays as it is unless it may run as it is and may
//! run through mcpool.
//!
//! **Invariant:** where it cannot be told whether something is denied, it counts as denied, and
//! where it cannot be told whether it is allowed, as not allowed.

mod read;
mod rule;

use std::collections::BTreeSet;

use thiserror::Error;

use self::rule::{Ordered, Rule};

/// The rules of all settings that were read for one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    denied: Vec<Rule>,
    /// What alone may run, if anybody has such a list.
    allowed: Lists,
    /// Rules of which the first that fits counts.
    ordered: Vec<Ordered>,
    /// Names that the administrator's own servers have.
    taken: BTreeSet<String>,
    /// Names of what the user has switched off, in small letters.
    switched_off: BTreeSet<String>,
    /// Whether the administrator's servers are all there are.
    is_exclusive: bool,
    /// Why entries stay as they are, where nobody knows which others may run.
    frozen: Option<PolicyReason>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists {
    managed: Option<Vec<Rule>>,
    /// The user's own, which makes that of the administrator longer.
    own: Option<Vec<Rule>>,
    is_managed_only: bool,
}

/// What a file of settings says about servers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `allowedMcpServers` and `deniedMcpServers`, of the administrator.
    Lists,
    /// The same, of the user or of a project.
    OwnLists,
    /// Its being there means that its servers are all there are.
    Exclusive,
    /// `mcp_servers` with what each one must be, in TOML; no others run.
    Requirements,
    /// Settings in TOML that come before the user's, with servers at this path.
    Toml,
    /// Settings of Gemini CLI that come before the user's.
    Gemini,
    /// What the user has switched off in Gemini CLI, by name.
    Switches,
    /// Policies of VS Code.
    VsCode,
    /// Settings of Amp that come before the user's.
    Amp,
    /// Settings of Amp of the user.
    OwnAmp,
    /// Settings of `OpenCode` that come before the user's.
    OpenCode,
    /// A list of command lines that is kept elsewhere: what is named is not read.
    Elsewhere,
    /// Settings in a form that is not read here. With one of these words in it, it is about servers.
    Unread(&'static [&'static str]),
}

/// How a client comes to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// By starting it.
    Command(&'a [String]),
    /// At its address.
    Url(&'a str),
}

/// Why a policy keeps an entry from being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PolicyReason {
    /// It must not run at all.
    #[error("denied by managed policy, or by settings of yours that say the same")]
    Denied,
    /// It may run as it is.
    #[error("managed policy allows this exact command line, and would not allow it through mcpool")]
    AllowedAsItIs,
    /// A file of the administrator has all servers that there are.
    #[error("managed policy has servers of its own, and the client reads no others")]
    Exclusive,
    /// The administrator has one of the same name.
    #[error("the administrator's settings have a server of this name, and the client takes that")]
    Taken,
    /// The user has switched it off.
    #[error("disabled")]
    SwitchedOff,
    /// Somebody has said something of servers that is not understood here.
    #[error(
        "a rule of an administrator, or of settings of yours, says which servers may run in a form that mcpool does \
         not understand"
    )]
    NotUnderstood,
    /// The administrator has said something of servers that is not read here.
    #[error(
        "an administrator's settings say which servers may run, in a form that mcpool does not read"
    )]
    Unread,
}

impl Policy {
    /// Why this entry stays as it is, if it must: what it is now, and what it would be.
    pub fn refusal(&self, name: &str, before: &[String], after: Way<'_>) -> Option<PolicyReason> {
        if self.is_exclusive {
            return Some(PolicyReason::Exclusive);
        }
        if self.taken.contains(name) {
            return Some(PolicyReason::Taken);
        }
        if self.switched_off.contains(&as_switched(name)) {
            return Some(PolicyReason::SwitchedOff);
        }
        // It may deny all, and that is not to say that it does.
        if self.frozen == Some(PolicyReason::NotUnderstood) {
            return self.frozen;
        }
        if !self.lets(name, Way::Command(before)) {
            return Some(PolicyReason::Denied);
        }
        let is_kept = !self.lets(name, after);
        self.frozen
            .or(is_kept.then_some(PolicyReason::AllowedAsItIs))
    }

    /// Whether a rule may deny this command line, which no list of what may run makes good.
    pub fn denies(&self, name: &str, command: &[String]) -> bool {
        self.denies_way(name, Way::Command(command))
    }

    fn denies_way(&self, name: &str, way: Way<'_>) -> bool {
        let is_denied = self.denied.iter().any(|rule| rule.may_fit(name, way));
        is_denied || !rule::first_lets(&self.ordered, way)
    }

    /// Whether this may run, as far as rules say.
    fn lets(&self, name: &str, way: Way<'_>) -> bool {
        !self.denies_way(name, way) && self.allowed.let_in(name, way)
    }
}

/// A name as it is switched off: however it is written.
fn as_switched(name: &str) -> String {
    name.trim().to_lowercase()
}

impl Lists {
    fn let_in(&self, name: &str, way: Way<'_>) -> bool {
        let own = self.own.as_ref().filter(|_| !self.is_managed_only);
        let mut lists = self.managed.iter().chain(own).peekable();
        if lists.peek().is_none() {
            return true;
        }
        let rules: Vec<&Rule> = lists.flatten().collect();
        // A name alone counts where no rule is about what is run, or where it is.
        let is_by_way = rules.iter().any(|rule| rule.is_about(way));
        rules
            .iter()
            .any(|rule| rule.fits(name, way) && (!is_by_way || rule.is_about(way)))
    }
}

#[cfg(test)]
mod tests;
