//! Tools that say or ask something of their own: legal, each at its time.

use std::io;

use serde_json::{Value, json};

use super::{Answer, Call};

pub(super) fn sample(call: &Call<'_>) -> io::Result<Answer> {
    ask(call, "sampling/createMessage", &sampling(call.text()))
}

pub(super) fn elicit(call: &Call<'_>) -> io::Result<Answer> {
    let question = json!({
        "message": call.text(),
        "requestedSchema": {"type": "object", "properties": {}},
    });
    ask(call, "elicitation/create", &question)
}

pub(super) fn roots(call: &Call<'_>) -> io::Result<Answer> {
    ask(call, "roots/list", &json!({}))
}

pub(super) fn ping(call: &Call<'_>) -> io::Result<Answer> {
    ask(call, "ping", &json!({}))
}

/// The call is over when it asks; the record tells that it does, and what it hears.
pub(super) fn unsolicited_request(call: &Call<'_>) -> io::Result<Answer> {
    call.answer(call.text())?;
    call.wait();
    call.server.record.note(format_args!("asking"));
    let heard = call
        .server
        .ask("sampling/createMessage", &sampling(call.text()))?;
    call.server.record.note(format_args!("heard {heard}"));
    Ok(Answer::Nothing)
}

fn sampling(text: &str) -> Value {
    json!({
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
        "maxTokens": 10,
    })
}

/// Asks at once, or when the file `until` exists; whether the call was cancelled meanwhile does not matter.
fn ask(call: &Call<'_>, method: &str, question: &Value) -> io::Result<Answer> {
    if call.given["until"].is_string() {
        call.wait();
    }
    let heard = call.server.ask(method, question)?;
    call.server.record.note(format_args!("heard {heard}"));
    let part = heard.get("result").or_else(|| heard.get("error"));
    Ok(Answer::Text(part.map(Value::to_string).unwrap_or_default()))
}

pub(super) fn log(call: &Call<'_>) -> io::Result<Answer> {
    let level = call.given["level"].as_str().unwrap_or("info");
    tell(
        call,
        "notifications/message",
        &json!({"level": level, "data": call.text()}),
    )
}

pub(super) fn progress(call: &Call<'_>) -> io::Result<Answer> {
    let steps = call.number("steps").unwrap_or(3);
    if !call.token.is_null() {
        for step in 1..=steps {
            report_progress(call, step, steps)?;
            if step == 1 && call.given["until"].is_string() {
                call.wait();
            }
        }
    }
    Ok(call.echoed())
}

pub(super) fn report_progress(call: &Call<'_>, step: usize, steps: usize) -> io::Result<()> {
    call.server.notify(
        "notifications/progress",
        &json!({
            "progressToken": call.token,
            "progress": step,
            "total": steps,
            "message": call.text(),
        }),
    )
}

pub(super) fn change(call: &Call<'_>) -> io::Result<Answer> {
    for _ in 1..call.number("times").unwrap_or(1) {
        tell_change(call)?;
    }
    tell_change(call)
}

pub(super) fn tell_change(call: &Call<'_>) -> io::Result<Answer> {
    let server = call.server;
    server.announce("notifications/tools/list_changed", &json!({}))?;
    Ok(call.echoed())
}

pub(super) fn touch(call: &Call<'_>) -> io::Result<Answer> {
    if call.is_set("honest") && !call.server.is_subscribed(call.string("uri")) {
        return Ok(call.echoed());
    }
    call.server.announce(
        "notifications/resources/updated",
        &json!({"uri": call.given["uri"]}),
    )?;
    Ok(call.echoed())
}

pub(super) fn unknown(call: &Call<'_>) -> io::Result<Answer> {
    tell(call, "notifications/fake/unknown", &json!({}))
}

fn tell(call: &Call<'_>, method: &str, params: &Value) -> io::Result<Answer> {
    call.server.notify(method, params)?;
    Ok(call.echoed())
}
