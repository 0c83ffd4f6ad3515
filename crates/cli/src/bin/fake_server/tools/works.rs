//! Tools that do what they say.

#![expect(clippy::unnecessary_wraps, reason = "all tools have one signature")]

use std::{env, fs, io, path::Path, sync::atomic::Ordering, thread, time::Duration};

use serde_json::{Map, Value, json};

use super::{Answer, Call};

pub(super) fn echo(call: &Call<'_>) -> io::Result<Answer> {
    Ok(call.echoed())
}

pub(super) fn fail(call: &Call<'_>) -> io::Result<Answer> {
    Ok(Answer::Whole(Ok(json!({
        "content": [{"type": "text", "text": call.text()}],
        "isError": true,
    }))))
}

pub(super) fn count(call: &Call<'_>) -> io::Result<Answer> {
    let earlier = call.server.counter.fetch_add(1, Ordering::Relaxed);
    Ok(Answer::Text((earlier + 1).to_string()))
}

pub(super) fn big(call: &Call<'_>) -> io::Result<Answer> {
    Ok(Answer::Text("x".repeat(call.number("bytes").unwrap_or(0))))
}

/// Who wants progress hears when it begins.
pub(super) fn slow(call: &Call<'_>) -> io::Result<Answer> {
    if !call.token.is_null() {
        super::says::report_progress(call, 0, 1)?;
    }
    let step = Duration::from_millis(2);
    let mut left = call.given["ms"].as_u64().map(Duration::from_millis);
    let until = call.given["until"].as_str().map(Path::new);
    while !call.server.is_cancelled(call.id) {
        if until.is_some_and(Path::exists) || left.is_some_and(|left| left.is_zero()) {
            return echo(call);
        }
        thread::sleep(step);
        left = left.map(|left| left.saturating_sub(step));
    }
    Ok(if call.server.options.answer_cancelled {
        Answer::Whole(Err((0, "Request cancelled".to_owned())))
    } else {
        Answer::Nothing
    })
}

/// What this process was given by whoever started it.
pub(super) fn surroundings(_call: &Call<'_>) -> io::Result<Answer> {
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let status = fs::read_to_string("/proc/self/status")?;
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap_or_default()
        .trim();
    let all = json!({
        "env": variables(),
        "args": arguments,
        "cwd": env::current_dir()?,
        "descriptors": open_descriptors()?,
        "umask": umask,
    });
    Ok(Answer::Text(all.to_string()))
}

pub(super) fn environment(_call: &Call<'_>) -> io::Result<Answer> {
    Ok(Answer::Text(Value::from(variables()).to_string()))
}

pub(super) fn descriptors(_call: &Call<'_>) -> io::Result<Answer> {
    Ok(Answer::Text(json!(open_descriptors()?).to_string()))
}

fn variables() -> Map<String, Value> {
    env::vars_os()
        .map(|(name, value)| {
            let value = value.to_string_lossy().into_owned();
            (name.to_string_lossy().into_owned(), Value::from(value))
        })
        .collect()
}

/// The numbers of all open descriptors but that of the listing itself.
fn open_descriptors() -> io::Result<Vec<u32>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_listing = fs::read_link(entry.path())
            .is_ok_and(|target| target.starts_with("/proc") && target.ends_with("fd"));
        if let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && !is_listing
        {
            open.push(number);
        }
    }
    open.sort_unstable();
    Ok(open)
}
