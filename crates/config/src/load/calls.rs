//! What holds for calls of a server's tools: `serialize` and `once`.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use super::{
    durations::wait,
    reader::{Cell, Entry, Reader, entries},
};
use crate::{Once, Serialize};

const SERIALIZE_KEYS: &[&str] = &["name", "tools"];
const ONCE_KEYS: &[&str] = &["tools", "key", "ttl"];

/// For how long a call may count as a repeat.
const TTL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);

/// `serialize = "NAME"`, or with the tools that it is for.
pub(super) fn serialize(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Serialize> {
    if field.item.as_value().is_some_and(toml_edit::Value::is_str) {
        let cell = reader.cell(field, "a string")?;
        let name = name(reader, &cell)?;
        return Some(Serialize { name, tools: None });
    }
    let Some(table) = field.item.as_table_like() else {
        let (path, offset) = (&field.path, field.value_offset());
        let found = field.item.type_name();
        reader.wrong_type(path, offset, "a string or a table", found, None);
        return None;
    };
    let (mut found, mut tools) = (None, None);
    for member in entries(table, &field.path) {
        match member.name {
            "name" => {
                let cell = reader.cell(&member, "a string");
                found = cell.and_then(|cell| name(reader, &cell));
            }
            "tools" => tools = names(reader, &member, "names of tools"),
            _ => reader.unknown_key(&member, SERIALIZE_KEYS),
        }
    }
    if !table.contains_key("name") {
        missing(
            reader,
            field,
            "name",
            "serialize = { name = \"speakers\", tools = [\"speak\"] }",
        );
    }
    Some(Serialize {
        name: found?,
        tools,
    })
}

/// `once = { tools, key, ttl }`.
pub(super) fn once(reader: &mut Reader<'_>, field: &Entry<'_>) -> Option<Once> {
    let table = reader.table(field)?;
    let (mut tools, mut key, mut ttl) = (None, None, None);
    for member in entries(table, &field.path) {
        match member.name {
            "tools" => tools = names(reader, &member, "names of tools"),
            "key" => {
                let cells = reader.array(&member, "names of arguments");
                key = cells.map(|cells| texts(reader, &cells));
            }
            "ttl" => ttl = wait(reader, &member, &TTL),
            _ => reader.unknown_key(&member, ONCE_KEYS),
        }
    }
    for required in ["tools", "ttl"] {
        if !table.contains_key(required) {
            missing(
                reader,
                field,
                required,
                "once = { tools = [\"announce\"], ttl = \"5s\" }",
            );
        }
    }
    Some(Once {
        tools: tools?,
        key,
        ttl: ttl?,
    })
}

fn missing(reader: &mut Reader<'_>, field: &Entry<'_>, what: &str, example: &str) {
    let hint = Some(format!("for example `{example}`"));
    reader.fault(
        field.key_offset,
        &field.path,
        format!("`{what}` is missing"),
        hint,
    );
}

/// At least one name.
fn names(reader: &mut Reader<'_>, field: &Entry<'_>, of: &str) -> Option<BTreeSet<String>> {
    let cells = reader.array(field, of)?;
    if cells.is_empty() {
        reader.fault(
            field.key_offset,
            &field.path,
            "must not be empty".to_owned(),
            None,
        );
        return None;
    }
    Some(texts(reader, &cells).into_iter().collect())
}

fn texts(reader: &mut Reader<'_>, cells: &[Cell<'_>]) -> Vec<String> {
    cells.iter().filter_map(|cell| name(reader, cell)).collect()
}

fn name(reader: &mut Reader<'_>, cell: &Cell<'_>) -> Option<String> {
    let text = reader.string(cell)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        let message = format!("{text:?} cannot be a name");
        reader.fault(cell.offset, &cell.path, message, None);
        return None;
    }
    Some(text.to_owned())
}
