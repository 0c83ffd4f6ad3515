//! The rows: one fault, or one family of faults, in each file.

mod clients_killed;
mod crash_loop;
mod daemon_killed;
mod descriptors;
mod guardian_keeps;
mod hang;
mod killed_by_nine;
mod leftovers;
mod log_flood;
mod no_greeting;
mod no_processes;
mod server_killed;
mod short_children;
mod start_race;
mod trees;

use super::{Stage, shown::Shown};

/// One row of the list of faults, and how it is played.
pub(crate) struct Row {
    /// Its number in the list, or its numbers.
    pub(crate) numbers: &'static [u8],
    pub(crate) fault: &'static str,
    /// How often in a short round.
    pub(crate) short: u32,
    /// What must be there first; until then it is played only when asked for.
    pub(crate) waits_for: Option<&'static str>,
    /// Plays it so often. An error is a row that could not be played to its end.
    pub(crate) play: fn(&Stage, u32, &mut Shown) -> anyhow::Result<()>,
}

impl Row {
    pub(crate) fn label(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(u8::to_string).collect();
        numbers.join("+")
    }
}

/// All rows, in the order of their numbers.
pub(crate) const ALL: &[Row] = &[
    server_killed::ROW,
    crash_loop::ROW,
    hang::ROW,
    no_greeting::ROW,
    clients_killed::ROW,
    daemon_killed::ROW,
    log_flood::ROW,
    descriptors::ROW,
    killed_by_nine::ROW,
    leftovers::ROW,
    start_race::ROW,
    trees::ROW,
    guardian_keeps::ROW,
    short_children::ROW,
    no_processes::ROW,
];
