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
            Rules::Elsewhere => self.frozen = Some(PolicyReason::AllowedAsItIs),
            Rules::Unread(words) => {
                let is_about_servers = words.iter().any(|word| text.contains(word));
                self.frozen = self
                    .frozen
                    .or(is_about_servers.then_some(PolicyReason::Unread));
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
        self.denied
            .extend(denials(tree.get("deniedMcpServers"), rule));
        if let Some(allowed) = items(tree.get("allowedMcpServers")) {
            let managed = self.allowed.managed.get_or_insert_default();
            managed.extend(allowed.iter().filter_map(rule));
        }
        self.allowed.is_managed_only |= is(tree.get("allowManagedMcpServersOnly"), "true");
        let strict = tree.get("strictPluginOnlyCustomization");
        let names_servers = match list(strict) {
            Some(items) => items.iter().any(|item| item.text() == Some("mcp")),
            None => strict.is_some() && !is(strict, "false"),
        };
        self.is_exclusive |= names_servers;
        self.take_names(tree.get("managedMcpServers"));
    }

    fn add_own_lists(&mut self, tree: &Node) {
        self.denied
            .extend(denials(tree.get("deniedMcpServers"), rule));
        if let Some(allowed) = items(tree.get("allowedMcpServers")) {
            let own = self.allowed.own.get_or_insert_default();
            own.extend(allowed.iter().filter_map(rule));
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
        self.denied.extend(denials(at("excluded"), named));
        if let Some(allowed) = items(at("allowed")) {
            let managed = self.allowed.managed.get_or_insert_default();
            managed.extend(allowed.iter().filter_map(named));
        }
        let enabled = ["admin", "mcp", "enabled"].map(Step::key);
        if is(tree.at(&enabled), "false") {
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
            Some("registry") => self.frozen = Some(PolicyReason::AllowedAsItIs),
            Some(_) | None => {}
        }
        if is(access, "false") {
            self.denied.push(Rule::default());
        }
        self.denied
            .extend(denials(tree.get("ChatDeniedMcpServers"), rule));
        if let Some(allowed) = items(tree.get("ChatAllowedMcpServers")) {
            let managed = self.allowed.managed.get_or_insert_default();
            managed.extend(allowed.iter().filter_map(rule));
        }
    }

    fn add_amp(&mut self, tree: &Node) {
        let rules = tree.get("amp.mcpPermissions");
        if rules.is_some() && list(rules).is_none() {
            self.denied.push(Rule::default());
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

    fn take_names(&mut self, servers: Option<&Node>) {
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

/// What a list has, if there is one; what is no list has nothing.
fn items(node: Option<&Node>) -> Option<&[Node]> {
    node.map(|node| list(Some(node)).unwrap_or_default())
}

/// What a list denies; what is not understood may be about anything, and so is what is no list.
fn denials(denied: Option<&Node>, rule: impl Fn(&Node) -> Option<Rule>) -> Vec<Rule> {
    match (denied, list(denied)) {
        (None, _) => Vec::new(),
        (Some(_), None) => vec![Rule::default()],
        (Some(_), Some(items)) => {
            let rules = items.iter().map(|item| rule(item).unwrap_or_default());
            rules.collect()
        }
    }
}

/// One rule of a list, if it is understood.
fn rule(node: &Node) -> Option<Rule> {
    if let Some(name) = node.get("serverName").and_then(Node::text) {
        return Some(Rule::named(name));
    }
    let what = if let Some(url) = node.get("serverUrl").and_then(Node::text) {
        What::Url(url.to_owned())
    } else {
        let words = node.get("serverCommand")?.items().iter();
        let words: Option<Vec<String>> = words.map(|word| word.text().map(str::to_owned)).collect();
        What::Words(words?)
    };
    Some(Rule {
        name: None,
        what: Some(what),
    })
}
