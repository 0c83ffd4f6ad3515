//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        add, advise, call, completions, connect, doctor, hook, import, list, logs, man, remove,
        restart, sample_server, serve, service, status, stop, token, tools, r#try, undo, upgrade,
    },
    ui::Format,
};

const EXAMPLES: &str = "\
Put it before any MCP server that a client starts:
  npx -y @modelcontextprotocol/server-memory
  mcpool connect -- npx -y @modelcontextprotocol/server-memory

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 daemon not reachable,
4 the tool answered with an error, 5 there is something to import, 124 timed out.";

/// Verbs that the small program reads, each with its own words for what it can be told.
pub(crate) const OF_THE_SMALL_PROGRAM: [(&str, &str); 2] = [
    ("connect", shim::arguments::HELP),
    ("hook", shim::hook::arguments::HELP),
];

/// A connection pooler for MCP servers: any number of sessions, one process per server
#[derive(Debug, Parser)]
#[command(
    name = "mcpool",
    bin_name = "mcpool",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Keep configuration, socket, logs and state in this folder, as `MCPOOL_HOME` does
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Connect(connect::Args),
    Import(import::Args),
    Undo(undo::Args),
    Add(add::Args),
    Remove(remove::Args),
    List(list::Args),
    Status(status::Args),
    Tools(tools::Args),
    Call(call::Args),
    Logs(logs::Args),
    Restart(restart::Args),
    Stop(stop::Args),
    Upgrade(upgrade::Args),
    Token(token::Args),
    Hook(hook::Args),
    Serve(serve::Args),
    Advise(advise::Args),
    Doctor(doctor::Args),
    Service(service::Args),
    Try(r#try::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    SampleServer(sample_server::Args),
}

/// The form of the output.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Output {
    pub(crate) fn format(self) -> Format {
        if self.json {
            Format::Json
        } else {
            Format::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_of_which_programs_want_to_know_something_says_it_as_json() {
        // What these say is a server's, an agent's or a shell's, or goes on for ever.
        let others = ["connect", "hook", "serve", "completions"];
        let mut cli = Cli::command();
        cli.build();
        let is_for_people =
            |verb: &&clap::Command| !verb.is_hide_set() && verb.get_name() != "help";
        for verb in cli.get_subcommands().filter(is_for_people) {
            let has_json = verb.get_arguments().any(|it| it.get_long() == Some("json"));
            let name = verb.get_name();
            assert_ne!(has_json, others.contains(&name), "{name}");
        }
    }

    #[test]
    fn every_visible_verb_says_what_it_does_in_one_line() {
        for verb in Cli::command().get_subcommands() {
            let about = verb.get_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            assert!(!about.is_empty(), "{} says nothing", verb.get_name());
            assert!(!about.contains('\n'), "{}: {about}", verb.get_name());
        }
    }
}
