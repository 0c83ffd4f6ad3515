//! Tools that write what is no message, or none that one likes to read.

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use super::{Answer, Call, content};
use crate::server::response;

pub(super) fn noise(call: &Call<'_>) -> io::Result<Answer> {
    for _ in 0..call.number("times").unwrap_or(1) {
        call.server.output.line(call.text())?;
    }
    Ok(call.echoed())
}

pub(super) fn garbage(call: &Call<'_>) -> io::Result<Answer> {
    let digits = call.string("hex");
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes = bytes.ok_or_else(|| io::Error::other("`hex` is not what it says"))?;
    call.server.output.raw(&bytes)?;
    Ok(call.echoed())
}

pub(super) fn giant_line(call: &Call<'_>) -> io::Result<Answer> {
    let id = call.id.to_string();
    call.server.output.giant(
        &call.string("head").replace("ID", &id),
        call.number("bytes").unwrap_or(0),
        &call.string("tail").replace("ID", &id),
    )?;
    Ok(if call.is_set("answers") {
        call.echoed()
    } else {
        Answer::Nothing
    })
}

/// Written by hand: no library would print it.
pub(super) fn deep(call: &Call<'_>) -> io::Result<Answer> {
    let depth = call.number("depth").unwrap_or(1);
    let id = call.id;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    call.server.output.line(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"deep":{open}{close}}}}}"#
    ))?;
    Ok(Answer::Nothing)
}

pub(super) fn slow_drip(call: &Call<'_>) -> io::Result<Answer> {
    let message = response(call.id, &Ok(content(call.text())));
    let pause = Duration::from_millis(call.given["ms"].as_u64().unwrap_or(1));
    let line = format!("{message}\n");
    call.server.output.drip(line.as_bytes(), pause)?;
    Ok(Answer::Nothing)
}

pub(super) fn stderr(call: &Call<'_>) -> io::Result<Answer> {
    writeln!(io::stderr(), "{}", call.text())?;
    Ok(call.echoed())
}

pub(super) fn stderr_variable(call: &Call<'_>) -> io::Result<Answer> {
    crate::say_variable(&mut io::stderr(), call.text())?;
    Ok(call.echoed())
}

pub(super) fn stderr_flood(call: &Call<'_>) -> io::Result<Answer> {
    let until = call.given["until"].as_str().map(Path::new);
    loop {
        crate::flood(&mut io::stderr(), call.number("bytes").unwrap_or(0))?;
        if until.is_none_or(Path::exists) {
            return Ok(call.echoed());
        }
    }
}
