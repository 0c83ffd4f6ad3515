//! The table `[limits]`.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    durations::{wait, wait_or_never},
    reader::{Entry, Reader, entries},
    words,
};
use crate::LimitsOverrides;

pub(super) const KEYS: &[&str] = &[
    "message_bytes",
    "start_patience",
    "greeting_timeout",
    "session_in_flight",
    "session_queue",
    "session_queue_bytes",
    "slow_reader_bytes",
    "buffered_bytes",
    "sessions",
    "drain_patience",
    "request_timeout",
    "request_idle_timeout",
    "ping_interval",
];

/// A message must at least hold a handshake; more than this is no message.
const BYTES: RangeInclusive<u64> = (1 << 10)..=(1 << 30);
/// Bounds of counts: none is no bound, and each may cost memory.
const COUNT: RangeInclusive<u64> = 1..=1_000_000;
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const WAIT_OR_NONE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
/// The life of a request, in all or without progress.
pub(super) const LONG_WAIT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(30 * 24);

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry<'_>, limits: &mut LimitsOverrides) {
    let Some(table) = reader.table(entry) else {
        return;
    };
    for field in entries(table, &entry.path) {
        match field.name {
            "message_bytes" => limits.message_bytes = bytes(reader, &field),
            "start_patience" => limits.start_patience = wait(reader, &field, &WAIT),
            "greeting_timeout" => limits.greeting_timeout = wait(reader, &field, &WAIT),
            "session_in_flight" => limits.session_in_flight = count(reader, &field),
            "session_queue" => limits.session_queue = count(reader, &field),
            "session_queue_bytes" => limits.session_queue_bytes = bytes(reader, &field),
            "slow_reader_bytes" => limits.slow_reader_bytes = bytes(reader, &field),
            "buffered_bytes" => limits.buffered_bytes = bytes(reader, &field),
            "sessions" => limits.sessions = count(reader, &field),
            "drain_patience" => limits.drain_patience = wait(reader, &field, &WAIT_OR_NONE),
            "request_timeout" => limits.request_timeout = wait(reader, &field, &LONG_WAIT),
            "request_idle_timeout" => {
                limits.request_idle_timeout = wait_or_never(reader, &field, &LONG_WAIT);
            }
            "ping_interval" => limits.ping_interval = wait(reader, &field, &WAIT_OR_NONE),
            _ => reader.unknown_key(&field, KEYS),
        }
    }
}

fn bytes(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<usize> {
    let expected = "a size such as \"64 MiB\" or a number of bytes";
    let cell = reader.cell(field, expected)?;
    let bytes = if let Some(text) = cell.value.as_str() {
        let Some(bytes) = words::size(text) else {
            reader.fault(
                cell.offset,
                &cell.path,
                format!("{text:?} is not {expected}"),
                None,
            );
            return None;
        };
        bytes
    } else if let Some(number) = cell.value.as_integer() {
        u64::try_from(number).unwrap_or(0)
    } else {
        reader.wrong_type(
            &cell.path,
            cell.offset,
            expected,
            cell.value.type_name(),
            None,
        );
        return None;
    };
    if !BYTES.contains(&bytes) {
        let message = "must be from 1 KiB to 1 GiB".to_owned();
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    usize::try_from(bytes).ok()
}

fn count(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<usize> {
    let cell = reader.cell(field, "a number")?;
    let Some(number) = cell.value.as_integer() else {
        reader.wrong_type(
            &cell.path,
            cell.offset,
            "a number",
            cell.value.type_name(),
            None,
        );
        return None;
    };
    match u64::try_from(number) {
        Ok(number) if COUNT.contains(&number) => usize::try_from(number).ok(),
        Ok(_) | Err(_) => {
            let message = format!("must be from {} to {}", COUNT.start(), COUNT.end());
            reader.fault(cell.offset, &cell.path, message, None);
            None
        }
    }
}
