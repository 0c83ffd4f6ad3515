//! How the server starts, answers and ends.

use std::{fmt::Write, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::{modern::Era, tools};

/// A scripted MCP server, for tests: options say how it starts and ends, tools what happens in a call
#[derive(Debug, Parser)]
#[command(name = "fake-server", max_term_width = 100)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and they combine freely"
)]
pub(crate) struct Options {
    /// Append there, one line each, what happens: starts, messages, calls, executed marks
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// A line on standard error at the start
    #[arg(long = "say", value_name = "TEXT")]
    pub(crate) says: Vec<String>,
    /// What this variable holds, on standard error at the start
    #[arg(long = "say-variable", value_name = "NAME")]
    pub(crate) says_variables: Vec<String>,
    /// As many bytes on standard error at the start
    #[arg(long = "flood-stderr", value_name = "BYTES", default_value_t = 0)]
    pub(crate) flood_bytes: usize,
    /// Exit before anything is read
    #[arg(long, value_name = "CODE")]
    pub(crate) exit_at_start: Option<u8>,
    /// Exit when the first call comes
    #[arg(long, value_name = "CODE")]
    pub(crate) exit_at_first_call: Option<u8>,
    /// Exit with code 1 so long after the start
    #[arg(long = "exit-after", value_name = "MS")]
    pub(crate) exit_after_ms: Option<u64>,
    /// Answer `initialize` only when this file exists
    #[arg(long, value_name = "FILE")]
    pub(crate) start_until: Option<PathBuf>,
    /// Never answer `initialize` (start) or any `tools/call` (call)
    #[arg(long, value_name = "WHEN")]
    pub(crate) hang_at: Vec<HangAt>,
    /// Never answer `ping`
    #[arg(long)]
    pub(crate) ignore_ping: bool,
    /// A line on standard output before all messages
    #[arg(long, value_name = "TEXT")]
    pub(crate) banner: Option<String>,
    /// As many bytes on standard output before all messages, in lines
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) banner_bytes: usize,
    /// A line on standard output before each answer
    #[arg(long, value_name = "TEXT")]
    pub(crate) noise: Option<String>,
    /// Declare the capability `tasks`
    #[arg(long)]
    pub(crate) tasks: bool,
    /// Exit with code 3 at a second `initialize`, as servers built on go-sdk do
    #[arg(long)]
    pub(crate) fatal_second_initialize: bool,
    /// Stay when standard input ends
    #[arg(long)]
    pub(crate) ignore_eof: bool,
    /// Stay when asked to end
    #[arg(long)]
    pub(crate) ignore_term: bool,
    /// Answer what was cancelled
    #[arg(long)]
    pub(crate) ignore_cancel: bool,
    /// Answer with an error what was cancelled, as servers built on the Python SDK do
    #[arg(long)]
    pub(crate) answer_cancelled: bool,
    /// Start a child that outlives the server, in its group
    #[arg(long)]
    pub(crate) grandchild: bool,
    /// Start a descendant that outlives the server, in a session of its own
    #[arg(long)]
    pub(crate) double_fork: bool,
    /// If this folder exists at the start, tools have other descriptions
    #[arg(long, value_name = "FOLDER")]
    pub(crate) new_tools_if: Option<PathBuf>,
    /// Eras of the protocol that it speaks
    #[arg(long, value_name = "ERA", default_value = "legacy")]
    pub(crate) era: Era,
    /// The newest version of the protocol with a handshake that it speaks
    #[arg(long, value_name = "VERSION", default_value = "2025-11-25")]
    pub(crate) protocol: String,
    /// Anything else is only there to be seen
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) others: Vec<String>,
}

/// When the server stops answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HangAt {
    /// At `initialize`.
    Start,
    /// At `tools/call`.
    Call,
}

impl Options {
    /// Reads the command line of this process; prints help or the mistake and exits, if it must.
    pub(crate) fn parse_or_exit() -> Self {
        let matches = Options::command().after_help(verbs()).get_matches();
        Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    pub(crate) fn hangs_at(&self, moment: HangAt) -> bool {
        self.hang_at.contains(&moment)
    }
}

/// The page that lists what a call can make happen.
fn verbs() -> String {
    let mut page = String::from("Tools (each a verb: what happens during the call):\n");
    for tool in tools::ALL {
        // Writing to a text cannot fail.
        let _infallible = writeln!(page, "  {:<20} {}", tool.name, tool.description);
    }
    page.push_str(
        "\nEvery tool takes `mark`: the record gets a line `executed MARK ID` before anything else happens.\n\
         Resource `fake://crash/AT/FILE` exits after AT bytes of its answer, unless FILE exists, which it makes.",
    );
    page
}
