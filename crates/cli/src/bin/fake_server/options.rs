//! How the server starts, answers and ends.

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context, bail};

/// The newest version of the protocol that the server speaks, unless told otherwise.
const PROTOCOL: &str = "2025-11-25";

/// The command line.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and they combine freely"
)]
pub(crate) struct Options {
    /// `--record FILE`: append there what happens.
    pub(crate) record: Option<PathBuf>,
    /// `--say TEXT`: a line on standard error at the start.
    pub(crate) says: Vec<String>,
    /// `--flood-stderr BYTES`, at the start.
    pub(crate) flood_bytes: usize,
    /// `--exit-at-start CODE`, before anything is read.
    pub(crate) exit_at_start: Option<u8>,
    /// `--hang-at start`: never answer `initialize`.
    pub(crate) hangs_at_start: bool,
    /// `--hang-at call`: never answer `tools/call`.
    pub(crate) hangs_at_call: bool,
    /// `--banner TEXT`: a line on standard output before all messages.
    pub(crate) banner: Option<String>,
    /// `--noise TEXT`: a line on standard output before each answer.
    pub(crate) noise: Option<String>,
    /// `--tasks`: declare the capability.
    pub(crate) has_tasks: bool,
    /// `--fatal-second-initialize`: exit 3, as servers built on go-sdk do.
    pub(crate) dies_of_second_initialize: bool,
    /// `--ignore-eof`: stay when standard input ends.
    pub(crate) ignores_eof: bool,
    /// `--ignore-term`: stay when asked to end.
    pub(crate) ignores_term: bool,
    /// `--ignore-cancel`: answer what was cancelled.
    pub(crate) ignores_cancel: bool,
    /// `--grandchild`: a child that outlives the server, in its group.
    pub(crate) has_grandchild: bool,
    /// `--double-fork`: a descendant that outlives it, in a session of its own.
    pub(crate) double_forks: bool,
    /// `--protocol VERSION`: the newest version that it speaks.
    pub(crate) protocol: String,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        let mut options = Options {
            record: None,
            says: Vec::new(),
            flood_bytes: 0,
            exit_at_start: None,
            hangs_at_start: false,
            hangs_at_call: false,
            banner: None,
            noise: None,
            has_tasks: false,
            dies_of_second_initialize: false,
            ignores_eof: false,
            ignores_term: false,
            ignores_cancel: false,
            has_grandchild: false,
            double_forks: false,
            protocol: PROTOCOL.to_owned(),
        };
        let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
        while let Some(option) = arguments.next() {
            options.take(&option, &mut arguments)?;
        }
        Ok(options)
    }

    fn take(
        &mut self,
        option: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> anyhow::Result<()> {
        let mut value = || {
            rest.next()
                .with_context(|| format!("{option} needs a value"))
        };
        match option {
            "--record" => self.record = Some(value()?.into()),
            "--say" => self.says.push(value()?),
            "--flood-stderr" => self.flood_bytes = value()?.parse()?,
            "--exit-at-start" => self.exit_at_start = Some(value()?.parse()?),
            "--hang-at" => match value()?.as_str() {
                "start" => self.hangs_at_start = true,
                "call" => self.hangs_at_call = true,
                other => bail!("--hang-at {other}: neither start nor call"),
            },
            "--banner" => self.banner = Some(value()?),
            "--noise" => self.noise = Some(value()?),
            "--tasks" => self.has_tasks = true,
            "--fatal-second-initialize" => self.dies_of_second_initialize = true,
            "--ignore-eof" => self.ignores_eof = true,
            "--ignore-term" => self.ignores_term = true,
            "--ignore-cancel" => self.ignores_cancel = true,
            "--grandchild" => self.has_grandchild = true,
            "--double-fork" => self.double_forks = true,
            "--protocol" => self.protocol = value()?,
            // Anything else is only there to be seen: tool `args` shows it.
            _ => {}
        }
        Ok(())
    }
}
