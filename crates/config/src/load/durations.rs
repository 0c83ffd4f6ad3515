//! Waits, and waits that may be for ever.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    reader::{Entry, Reader},
    words,
};
use crate::IdleTimeout;

/// A duration within a range.
pub(super) fn wait(
    reader: &mut Reader<'_>,
    field: &Entry<'_>,
    range: &RangeInclusive<Duration>,
) -> Option<Duration> {
    match read(reader, field, range, "a duration such as \"25s\"", |_| {
        false
    })? {
        IdleTimeout::After(wait) => Some(wait),
        IdleTimeout::Never => None,
    }
}

/// The same, or `"never"`.
pub(super) fn wait_or_never(
    reader: &mut Reader<'_>,
    field: &Entry<'_>,
    range: &RangeInclusive<Duration>,
) -> Option<IdleTimeout> {
    let expected = "a duration such as \"5m\", or \"never\"";
    read(reader, field, range, expected, |text| text == "never")
}

fn read(
    reader: &mut Reader<'_>,
    field: &Entry<'_>,
    range: &RangeInclusive<Duration>,
    expected: &str,
    is_never: impl Fn(&str) -> bool,
) -> Option<IdleTimeout> {
    let cell = reader.cell(field, expected)?;
    let Some(text) = cell.value.as_str() else {
        let found = cell.value.type_name();
        reader.wrong_type(&cell.path, cell.offset, expected, found, None);
        return None;
    };
    if is_never(text) {
        return Some(IdleTimeout::Never);
    }
    let Some(duration) = words::duration(text) else {
        let message = format!("{text:?} is not {expected}");
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    };
    if !range.contains(&duration) {
        let message = format!(
            "must be from {} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end()),
        );
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(IdleTimeout::After(duration))
}
