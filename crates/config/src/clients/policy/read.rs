//! What files of settings say about servers.

use super::{
    Policy, PolicyReason, Rules, as_switched,
    rule::{Ordered, Rule, What},
};
use crate::clients::{
    grammar::{Grammar, Unreadable},
    tree::{Node, Step, Value},
};

impl Policy {
    /// Adds what a file of settings says.
    pub fn add(&mut self, rules: Rules, text: &str) -> Result<(), Unreadable> {
        match rules {
            // Whatever is in them.
            Rules::Exclusive => self.is_exclusive = true,
            Rules::Elsewhere => self.freeze(PolicyReason::AllowedAsItIs),
            Rules::Unread(words) => {
                if words.iter().any(|word| text.contains(word)) {
                    self.freeze(PolicyReason::Unread);
                }
            }
            Rules::Requirements => self.add_requirements(&Grammar::Toml.read(text)?),
            Rules::Toml => self.take_names(Grammar::Toml.read(text)?.get("mcp_servers")),
            Rules::Lists => self.add_lists(&Grammar::Jsonc.read(text)?),
            Rules::OwnLists => self.add_own_lists(&Grammar::Jsonc.read(text)?),
            Rules::Gemini => self.add_gemini(&Grammar::Jsonc.read(text)?),
            Rules::Switches => self.add_switches(&Grammar::Jsonc.read(text)?),
            Rules::VsCode => self.add_vscode(&Grammar::Jsonc.read(text)?),
            Rules::Amp => {
                let tree = Grammar::Jsonc.read(text)?;
                self.add_amp(&tree);
                self.take_names(tree.get("amp.mcpServers"));
            }
            Rules::OwnAmp => self.add_amp(&Grammar::Jsonc.read(text)?),
            Rules::OpenCode => self.take_names(Grammar::Jsonc.read(text)?.get("mcp")),
        }
        Ok(())
    }

    fn add_lists(&mut self, tree: &Node) {
        self.deny(tree.get("deniedMcpServers"), rule);
        self.allow(tree.get("allowedMcpServers"), rule);
        let only = tree.get("allowManagedMcpServersOnly");
        self.allowed.is_managed_only |= self.truth(only) == Some(true);
        let strict = tree.get("strictPluginOnlyCustomization");
        let names_servers = match list(strict) {
            Some(items) => items.iter().any(|item| item.text() == Some("mcp")),
            None => strict.is_some() && !is(strict, "false"),
        };
        self.is_exclusive |= names_servers;
        self.take_names(tree.get("managedMcpServers"));
    }

    fn add_own_lists(&mut self, tree: &Node) {
        self.deny(tree.get("deniedMcpServers"), rule);
        if let Some(allowed) = self.listed(tree.get("allowedMcpServers"), rule) {
            let own = self.allowed.own.get_or_insert_default();
            own.extend(allowed.into_iter().flatten());
        }
    }

    /// No server runs but those of this name that are what is said here.
    fn add_requirements(&mut self, tree: &Node) {
        let Some(servers) = tree.get("mcp_servers") else {
            return;
        };
        let allowed = self.allowed.managed.get_or_insert_default();
        for member in servers.members() {
            let identity = member.node.get("identity");
            let command = identity.and_then(|identity| identity.get("command"));
            let what = match command.map(|command| (command, command.text())) {
                Some((_, Some(program))) => What::Program(program.to_owned()),
                Some((command, None)) => {
                    let program = ["executable", "command"]
                        .iter()
                        .find_map(|key| command.get(key).and_then(Node::text));
                    What::SomeOf(program.unwrap_or_default().to_owned())
                }
                None => match identity.and_then(|identity| identity.get("url")) {
                    Some(url) => url
                        .text()
                        .map_or(What::SomeUrl, |url| What::Url(url.to_owned())),
                    None => What::SomeOf(String::new()),
                },
            };
            allowed.push(Rule {
                what: Some(what),
                ..Rule::named(&member.key)
            });
        }
    }

    fn add_gemini(&mut self, tree: &Node) {
        let at = |name| tree.at(&[Step::key("mcp"), Step::key(name)]);
        let named = |item: &Node| item.text().map(Rule::named);
        self.deny(at("excluded"), named);
        self.allow(at("allowed"), named);
        let enabled = ["admin", "mcp", "enabled"].map(Step::key);
        if self.truth(tree.at(&enabled)) == Some(false) {
            self.denied.push(Rule::default());
        }
        self.take_names(tree.get("mcpServers"));
    }

    fn add_switches(&mut self, tree: &Node) {
        let members = tree.members().iter();
        let off = members.filter(|server| is(server.node.get("enabled"), "false"));
        self.switched_off
            .extend(off.map(|server| as_switched(&server.key)));
    }

    fn add_vscode(&mut self, tree: &Node) {
        let access = tree.get("ChatMCP");
        match access.and_then(Node::text) {
            Some("none") => self.denied.push(Rule::default()),
            // What comes from a registry is known by what it is.
            Some("registry") => self.freeze(PolicyReason::AllowedAsItIs),
            Some("all") => {}
            Some(_) => self.freeze(PolicyReason::NotUnderstood),
            None if self.truth(access) == Some(false) => self.denied.push(Rule::default()),
            None => {}
        }
        self.deny(tree.get("ChatDeniedMcpServers"), rule);
        self.allow(tree.get("ChatAllowedMcpServers"), rule);
    }

    fn add_amp(&mut self, tree: &Node) {
        let rules = tree.get("amp.mcpPermissions");
        if rules.is_some() && list(rules).is_none() {
            self.deny(rules, |_| None);
        }
        for rule in rules.map(Node::items).unwrap_or_default() {
            let matches = rule.get("matches");
            let text = |key| {
                let value = matches.and_then(|matches| matches.get(key));
                value.and_then(Node::text).map(str::to_owned)
            };
            let (program, url) = (text("command"), text("url"));
            let known = usize::from(program.is_some()) + usize::from(url.is_some());
            self.ordered.push(Ordered {
                is_allowing: rule.get("action").and_then(Node::text) == Some("allow"),
                says_more: matches.map_or(0, |matches| matches.members().len()) != known
                    || known == 0,
                program,
                url,
            });
        }
    }

    /// What a list denies; what is not understood may be about anything, and so is what is no list.
    fn deny(&mut self, denied: Option<&Node>, rule: impl Fn(&Node) -> Option<Rule>) {
        let rules = self.listed(denied, rule).unwrap_or_default();
        self.denied
            .extend(rules.into_iter().map(Option::unwrap_or_default));
    }

    /// What alone an administrator's list lets run; what is not understood there lets nothing run.
    fn allow(&mut self, allowed: Option<&Node>, rule: impl Fn(&Node) -> Option<Rule>) {
        if let Some(rules) = self.listed(allowed, rule) {
            let managed = self.allowed.managed.get_or_insert_default();
            managed.extend(rules.into_iter().flatten());
        }
    }

    /// The rules of a list, if there is one; what is no list has one that is not understood.
    fn listed(
        &mut self,
        node: Option<&Node>,
        rule: impl Fn(&Node) -> Option<Rule>,
    ) -> Option<Vec<Option<Rule>>> {
        let rules: Vec<Option<Rule>> = match list(Some(node?)) {
            Some(items) => items.iter().map(rule).collect(),
            None => vec![None],
        };
        if rules.contains(&None) {
            self.freeze(PolicyReason::NotUnderstood);
        }
        Some(rules)
    }

    /// A truth, if it is said; what else is said there is not understood.
    fn truth(&mut self, node: Option<&Node>) -> Option<bool> {
        let node = node.filter(|node| !node.is_word("null"))?;
        let truth = [true, false]
            .into_iter()
            .find(|it| node.value == Value::Other(it.to_string()));
        if truth.is_none() {
            self.freeze(PolicyReason::NotUnderstood);
        }
        truth
    }

    /// Entries stay as they are. What is not understood is said before any other reason.
    fn freeze(&mut self, why: PolicyReason) {
        if self.frozen != Some(PolicyReason::NotUnderstood) {
            self.frozen = Some(why);
        }
    }

    fn take_names(&mut self, servers: Option<&Node>) {
        if servers
            .is_some_and(|node| !(node.is_word("null") || matches!(node.value, Value::Map(_))))
        {
            self.freeze(PolicyReason::NotUnderstood);
        }
        let names = servers.map(Node::members).unwrap_or_default().iter();
        self.taken.extend(names.map(|member| member.key.clone()));
    }
}

/// What a list says, if it is one.
fn list(node: Option<&Node>) -> Option<&[Node]> {
    match &node?.value {
        Value::List(items) => Some(items),
        Value::Map(_) | Value::Text(_) | Value::Other(_) | Value::Half(_) => None,
    }
}

fn is(node: Option<&Node>, word: &str) -> bool {
    node.is_some_and(|node| node.value == Value::Other(word.to_owned()))
}

/// One rule of a list, if it is understood: it says one thing.
fn rule(node: &Node) -> Option<Rule> {
    let said = ["serverName", "serverUrl", "serverCommand"].map(|key| node.get(key));
    let what = match said {
        [Some(name), None, None] => return name.text().map(Rule::named),
        [None, Some(url), None] => What::Url(url.text()?.to_owned()),
        [None, None, Some(command)] => {
            let words = command.items().iter();
            let words: Option<Vec<String>> =
                words.map(|word| word.text().map(str::to_owned)).collect();
            What::Words(words.filter(|words| !words.is_empty())?)
        }
        _ => return None,
    };
    Some(Rule {
        name: None,
        what: Some(what),
    })
}
