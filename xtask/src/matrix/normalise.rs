//! What varies from run to run although nothing is wrong, and is made equal before comparing.
//!
//! The list is closed and short on purpose: whatever is not on it must be equal
//! to what the session gets without mcpool.

use serde_json::Value;

const MODERN: &str = "2026-07-28";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// One thing that varies, and why that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalisation {
    /// Dates, times of day and days of the week: the server reads a clock.
    Clock,
    /// `thoughtHistoryLength`: the server counts the thoughts of its whole life,
    /// and to share that life is what its sessions were started for.
    ThoughtCount,
}

/// The transcript with the session's own mark replaced everywhere, and what varies replaced in
/// what the server's tools, prompts and resources gave: a version in its greeting may look like a date.
pub(crate) fn comparable(
    mut transcript: Value,
    list: &[Normalisation],
    marks: (&str, &str),
) -> Value {
    if let Some(fields) = transcript.as_object_mut() {
        for (name, value) in fields {
            let list = if name == "steps" || name == "answer" {
                list
            } else {
                &[]
            };
            *value = normalised(value.take(), list, marks);
        }
    }
    transcript
}

fn normalised(value: Value, list: &[Normalisation], (own, mark): (&str, &str)) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replace(own, mark);
            Value::String(
                list.iter()
                    .fold(text, |text, normalisation| normalisation.of_text(&text)),
            )
        }
        Value::Array(items) => {
            let items = items
                .into_iter()
                .map(|item| normalised(item, list, (own, mark)));
            Value::Array(items.collect())
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("thoughtHistoryLength", _) if list.contains(&Normalisation::ThoughtCount) => {
                        Value::from("COUNT")
                    }
                    (_, value) => normalised(value, list, (own, mark)),
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

impl Normalisation {
    fn of_text(self, text: &str) -> String {
        match self {
            Normalisation::Clock => without_clock(text),
            Normalisation::ThoughtCount => without_digits_after(text, "\"thoughtHistoryLength\": "),
        }
    }
}

/// Replaces each run of digits that a clock's punctuation joins (`2026-01-01`, `5:38:44`), and what names a day.
fn without_clock(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        result.push_str(before);
        let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, ':' | '-' | '.');
        let end = from.find(|letter| !is_part(letter)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        let joints = run.matches([':', '-']).count();
        result.push_str(if joints >= 2 { "CLOCK" } else { run });
        rest = after;
    }
    result.push_str(rest);
    for day in [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ] {
        result = result.replace(day, "DAY");
    }
    result
        .replace("CLOCK AM", "CLOCK")
        .replace("CLOCK PM", "CLOCK")
}

fn without_digits_after(text: &str, label: &str) -> String {
    let mut parts = text.split(label);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str(label);
        result.push_str("COUNT");
        result.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    result
}

/// A transcript without what is in it only because mcpool speaks the modern era with a client to which its
/// server speaks the legacy one when they are alone: the version, and the server's name in each result. Nor does a
/// server promise tasks then, which are something else there (`docs/eras.md`).
pub(crate) fn in_era_of(direct: &Value, mut pooled: Value) -> Value {
    const VERSION: &str = "/initialize/protocolVersion";
    let version = direct.pointer(VERSION).cloned();
    let Some(found) = pooled.pointer_mut(VERSION) else {
        return pooled;
    };
    if *found != MODERN || version.as_ref().is_none_or(|version| version == MODERN) {
        return pooled;
    }
    *found = version.unwrap_or_default();
    let tasks = direct.pointer("/initialize/capabilities/tasks");
    let promised = pooled.pointer_mut("/initialize/capabilities");
    if let (Some(tasks), Some(Value::Object(promised))) = (tasks, promised)
        && promised.get("tasks").is_none_or(Value::is_null)
    {
        promised.insert("tasks".to_owned(), tasks.clone());
    }
    drop_server_info(&mut pooled);
    pooled
}

fn drop_server_info(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_server_info),
        Value::Object(fields) => {
            if let Some(meta) = fields.get_mut("_meta")
                && let Some(members) = meta.as_object_mut()
                && members.remove(SERVER_INFO).is_some()
                && members.is_empty()
            {
                *meta = Value::Null;
            }
            fields.values_mut().for_each(drop_server_info);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where two transcripts differ: at most `limit` lines, each a path and both values.
pub(crate) fn differences(direct: &Value, pooled: &Value, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    collect(direct, pooled, "", &mut found);
    found.truncate(limit);
    found
}

fn collect(direct: &Value, pooled: &Value, path: &str, found: &mut Vec<String>) {
    match (direct, pooled) {
        (Value::Object(left), Value::Object(right)) => {
            let added = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(added) {
                let side = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or_default()
                };
                collect(&side(left), &side(right), &format!("{path}/{name}"), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                collect(left, right, &format!("{path}/{index}"), found);
            }
        }
        _ if direct == pooled => {}
        _ => found.push(format!(
            "{path}\n    direct: {}\n    pooled: {}",
            short(direct),
            short(pooled)
        )),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_clock_is_replaced_and_other_numbers_are_not() {
        let text = "at 2026-11-21T05:38:44.1+00:00 (Saturday), 5:38:44 AM: 12 of 1.5 in 12:00";
        let expected = "at CLOCKTCLOCK+00:00 (DAY), CLOCK: 12 of 1.5 in 12:00";
        assert_eq!(without_clock(text), expected);
    }

    #[test]
    fn a_version_in_the_greeting_is_no_clock() {
        let transcript =
            json!({"initialize": {"protocolVersion": "2025-11-25"}, "steps": ["2025-11-25"]});
        let expected = json!({"initialize": {"protocolVersion": "2025-11-25"}, "steps": ["CLOCK"]});
        assert_eq!(
            comparable(transcript, &[Normalisation::Clock], ("x1", "X")),
            expected
        );
    }

    #[test]
    fn a_count_of_thoughts_is_replaced_in_text_and_in_fields() {
        let value =
            json!({"thoughtHistoryLength": 3, "text": "{\"thoughtHistoryLength\": 31, \"n\": 2}"});
        let expected = json!({"thoughtHistoryLength": "COUNT", "text": "{\"thoughtHistoryLength\": COUNT, \"n\": 2}"});
        assert_eq!(
            normalised(value, &[Normalisation::ThoughtCount], ("x1", "X")),
            expected
        );
    }

    #[test]
    fn what_only_the_modern_era_says_is_set_aside_where_the_direct_run_is_not_of_it() {
        let legacy =
            json!({"initialize": {"protocolVersion": "2025-11-25"}, "answer": {"_meta": null}});
        let own = json!({"protocolVersion": MODERN});
        let modern = json!({"initialize": own, "answer": {"_meta": {SERVER_INFO: {"name": "a"}}}});
        assert_eq!(in_era_of(&legacy, modern.clone()), legacy);
        assert_eq!(in_era_of(&modern, modern.clone()), modern);
        let promised = |tasks: Value| json!({"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tasks": tasks}}});
        let mut unpromised = promised(Value::Null);
        unpromised["initialize"]["protocolVersion"] = json!(MODERN);
        assert_eq!(
            in_era_of(&promised(json!({})), unpromised),
            promised(json!({}))
        );
        let more = json!({"initialize": own, "answer": {"_meta": {SERVER_INFO: {}, "x": 1}}});
        let found = in_era_of(&legacy, more);
        assert_eq!(found["answer"], json!({"_meta": {"x": 1}}));
    }

    #[test]
    fn equal_transcripts_have_no_differences_and_others_name_the_place() {
        let direct = json!({"a": [1, {"b": "x"}]});
        assert!(differences(&direct, &direct.clone(), 9).is_empty());
        let found = differences(&direct, &json!({"a": [1, {"b": "y"}], "c": 1}), 9);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("/a/1/b\n"), "{found:?}");
    }
}
