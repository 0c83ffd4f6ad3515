//! Tools that answer what nobody asked, under ids that are not theirs, or when it is too late.

use std::{io, sync::atomic::Ordering};

use serde_json::{Value, json};

use super::{Answer, Call, content};
use crate::mark;

pub(super) fn twice(call: &Call<'_>) -> io::Result<Answer> {
    call.answer("the first answer")?;
    Ok(call.echoed())
}

pub(super) fn made_up(call: &Call<'_>) -> io::Result<Answer> {
    let nobodys = json!(987_654_321);
    call.server.answer(&nobodys, &Ok(content("nobody asked")))?;
    Ok(call.echoed())
}

pub(super) fn wrong_id(call: &Call<'_>) -> io::Result<Answer> {
    answer_under(call, &call.given["id"])
}

pub(super) fn id_type_swap(call: &Call<'_>) -> io::Result<Answer> {
    answer_under(call, &Value::from(call.id.to_string()))
}

fn answer_under(call: &Call<'_>, id: &Value) -> io::Result<Answer> {
    call.server.answer(id, &Ok(content("not under this id")))?;
    Ok(corrected(call))
}

fn corrected(call: &Call<'_>) -> Answer {
    if call.is_set("corrects") {
        call.echoed()
    } else {
        Answer::Nothing
    }
}

/// Of the two values of the member, the second is the right one.
pub(super) fn doubled_key(call: &Call<'_>) -> io::Result<Answer> {
    let key = call.string("key");
    let id = call.id;
    let result = mark::added(&content(call.text()));
    let other = match key {
        "id" => "1",
        "jsonrpc" => "\"1.0\"",
        _payload => "{}",
    };
    call.server.output.line(&format!(
        r#"{{"{key}":{other},"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))?;
    Ok(corrected(call))
}

#[expect(clippy::unnecessary_wraps, reason = "all tools have one signature")]
pub(super) fn late_reply(call: &Call<'_>) -> io::Result<Answer> {
    call.wait();
    Ok(call.echoed())
}

pub(super) fn late_progress(call: &Call<'_>) -> io::Result<Answer> {
    call.answer(call.text())?;
    call.wait();
    super::says::report_progress(call, 1, 1)?;
    call.server.record.note(format_args!("progress is late"));
    Ok(Answer::Nothing)
}

pub(super) fn rug_pull(call: &Call<'_>) -> io::Result<Answer> {
    call.server.is_rug_pulled.store(true, Ordering::Relaxed);
    super::says::tell_change(call)
}

pub(super) fn shadow(call: &Call<'_>) -> io::Result<Answer> {
    call.server.is_shadowed.store(true, Ordering::Relaxed);
    super::says::tell_change(call)
}
