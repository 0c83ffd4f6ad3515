//! Tools that end something: the process, its answers, its reading, its output.

#![expect(clippy::unnecessary_wraps, reason = "all tools have one signature")]

use std::io;

use super::{Answer, Call, content};
use crate::{descendants, features::is_first, server::response};

pub(super) fn crash(call: &Call<'_>) -> io::Result<Answer> {
    if call.given["once"]
        .as_str()
        .is_some_and(|file| !is_first(file))
    {
        return Ok(call.echoed());
    }
    let answer = format!("{}\n", response(call.id, &Ok(content(call.text()))));
    let at = call.number("at").unwrap_or(0);
    let code = call.given["code"]
        .as_i64()
        .and_then(|code| code.try_into().ok());
    call.server
        .output
        .die_behind(answer.as_bytes(), at, code.unwrap_or(1))
}

pub(super) fn hang(_call: &Call<'_>) -> io::Result<Answer> {
    Ok(Answer::Nothing)
}

pub(super) fn deaf(call: &Call<'_>) -> io::Result<Answer> {
    call.wait();
    Ok(call.echoed())
}

pub(super) fn close_output(call: &Call<'_>) -> io::Result<Answer> {
    call.server.output.close()?;
    Ok(Answer::Nothing)
}

/// The line is never ended, and the call never answered.
pub(super) fn partial_line(call: &Call<'_>) -> io::Result<Answer> {
    call.server.output.raw(call.text().as_bytes())?;
    if call.is_set("eof") {
        return close_output(call);
    }
    Ok(Answer::Nothing)
}

pub(super) fn fork_grandchild(call: &Call<'_>) -> io::Result<Answer> {
    descendants::start_child(call.server.options.record.as_deref()).map_err(io::Error::other)?;
    Ok(call.echoed())
}

pub(super) fn double_fork(call: &Call<'_>) -> io::Result<Answer> {
    descendants::start_runaway(call.server.options.record.as_deref()).map_err(io::Error::other)?;
    Ok(call.echoed())
}
