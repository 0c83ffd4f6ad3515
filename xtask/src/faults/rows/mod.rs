//! The rows: one fault, or one family of faults, in each file.

mod asleep;
mod clients_killed;
mod clocks;
mod crash_loop;
mod daemon_killed;
mod damaged_files;
mod descriptors;
mod full_disk;
mod guardian_keeps;
mod hang;
mod killed_by_nine;
mod leftovers;
mod log_flood;
mod memory;
mod mixed;
mod no_greeting;
mod no_processes;
mod numbers_again;
mod port_taken;
mod read_only;
mod remote;
mod server_killed;
mod short_children;
mod standstill;
mod start_race;
mod task_panics;
mod thousand_sessions;
mod trees;
mod upgraded;
mod versions;
mod without_daemon;

use super::{Stage, shown::Shown};

/// One row of the list of faults, and how it is played.
pub(crate) struct Row {
    /// Its number in the list, or its numbers.
    pub(crate) numbers: &'static [u8],
    pub(crate) fault: &'static str,
    /// How often in a short round.
    pub(crate) short: u32,
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
    task_panics::ROW,
    standstill::ROW,
    upgraded::ROW,
    full_disk::ROW,
    log_flood::ROW,
    descriptors::ROW,
    killed_by_nine::ROW,
    memory::ROW,
    damaged_files::ROW,
    clocks::ROW,
    asleep::ROW,
    port_taken::ROW,
    leftovers::ROW,
    numbers_again::ROW,
    start_race::ROW,
    trees::ROW,
    guardian_keeps::ROW,
    short_children::ROW,
    remote::ROW,
    no_processes::ROW,
    read_only::ROW,
    versions::ROW,
    without_daemon::ROW,
    mixed::ROW,
    thousand_sessions::ROW,
];
