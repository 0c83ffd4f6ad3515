//! `mcpool list`: what is configured, whether it runs or not.

use std::path::PathBuf;

use config::{Config, EnvPattern, IdleTimeout, Server, ServerName, Template};
use serde::Serialize;
use shim::places::Places;

use crate::{
    args::Output,
    config_file,
    exit::Exit,
    ui::{Align, Page, Render, Table, Ui, in_quotes},
};

/// List the configured servers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Listed {
    schema: u32,
    config: PathBuf,
    servers: Vec<ListedServer>,
}

/// One server, as the file says it: variables of clients are not filled in.
#[derive(Debug, Serialize)]
struct ListedServer {
    name: String,
    command: String,
    /// Where it runs already, without what may be a secret.
    url: Option<String>,
    /// Names only, as well.
    headers: Vec<String>,
    args: Vec<String>,
    /// Names only: a value may be a secret.
    env: Vec<String>,
    env_pass: Vec<String>,
    cwd: Option<String>,
    scope: &'static str,
    idle_timeout: String,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let text = config_file::read(&places.config)?;
    let config = config::load(&text, &places.config)?;
    ui.show(&Listed::new(&config, places), args.output.format())?;
    Ok(Exit::Done)
}

impl Listed {
    fn new(config: &Config, places: &Places) -> Self {
        Listed {
            schema: 1,
            config: places.config.clone(),
            servers: config
                .servers
                .iter()
                .map(|(name, server)| ListedServer::new(name, server))
                .collect(),
        }
    }
}

impl ListedServer {
    fn new(name: &ServerName, server: &Server) -> Self {
        let remote = server.remote.as_ref();
        ListedServer {
            name: name.to_string(),
            command: server.command.as_written(),
            url: remote.map(|remote| config::shown_address(&remote.url.as_written())),
            headers: remote
                .map(|remote| remote.headers.keys().cloned().collect())
                .unwrap_or_default(),
            args: server.args.iter().map(Template::as_written).collect(),
            env: server.env.keys().cloned().collect(),
            env_pass: server.env_pass.iter().map(EnvPattern::to_string).collect(),
            cwd: server.cwd.as_ref().map(Template::as_written),
            scope: server.scope.as_str(),
            idle_timeout: match server.idle_timeout {
                IdleTimeout::After(wait) => humantime::format_duration(wait).to_string(),
                IdleTimeout::Never => "never".to_owned(),
            },
        }
    }

    fn command_line(&self) -> String {
        if let Some(url) = &self.url {
            return url.clone();
        }
        std::iter::once(&self.command)
            .chain(&self.args)
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A word of a command line, marked where a shell would split it.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| !character.is_whitespace() && !"'\"\\".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        in_quotes(&word)
    }
}

impl Render for Listed {
    fn render(&self, page: &mut Page) {
        if self.servers.is_empty() {
            page.line(format_args!(
                "No servers are configured in {}.",
                self.config.display()
            ));
            page.line("Add one: mcpool add NAME -- COMMAND");
            return;
        }
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("SCOPE", Align::Left),
            ("ENVIRONMENT", Align::Left),
            ("COMMAND", Align::Left),
        ]);
        for server in &self.servers {
            let names: Vec<&str> = server
                .env
                .iter()
                .chain(&server.env_pass)
                .chain(&server.headers)
                .map(String::as_str)
                .collect();
            let environment = if names.is_empty() {
                "-".to_owned()
            } else {
                names.join(" ")
            };
            table.row([
                server.name.clone(),
                server.scope.to_owned(),
                environment,
                server.command_line(),
            ]);
        }
        page.table(&table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        for (word, shown) in [
            ("npx", "npx"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("${HOME}/x", "${HOME}/x"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
