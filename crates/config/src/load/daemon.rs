//! The table `[daemon]`.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    durations::wait_or_never,
    reader::{Entry, Reader, entries},
    server::path,
};
use crate::Daemon;

pub(super) const KEYS: &[&str] = &["idle_timeout", "path"];

/// A daemon must live long enough to be found by whoever has started it; beyond a month, "never" is
/// what is meant.
const IDLE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(30 * 24);

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>, daemon: &mut Daemon) {
    let Some(table) = reader.table(entry) else {
        return;
    };
    for field in entries(table, &entry.path) {
        match field.name {
            "idle_timeout" => {
                daemon.idle_timeout = wait_or_never(reader, &field, &IDLE_TIMEOUT);
            }
            "path" => daemon.path = path(reader, &field),
            _ => reader.unknown_key(&field, KEYS),
        }
    }
}
