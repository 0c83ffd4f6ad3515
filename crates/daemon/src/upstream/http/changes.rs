//! The request that stays: what a server of the modern era is to tell of (2026-07-28, `subscriptions/listen`).
//!
//! Its stream may break like any other, and then there is another; nobody knows what would have come in between.
//!
//! **Invariant:** whoever waits for it hears of every change, or that there may have been one.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use wire::{Frame, Message, quoted};

use super::{
    again::Again,
    connection::{Connection, Failure},
    exchange::{Came, Followed, Form, bytes_of, follow},
    mirrors::mirrors_of,
    talk::Talk,
};
use crate::upstream::sse::Events;

/// How a request to be told of changes is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    New,
    /// Another program has made it before.
    Renewed,
}

/// Passes on what changes, for as long as that is possible. An answer ends it, and so does an error.
pub(super) async fn hear_of_changes(
    talk: Arc<Talk>,
    frame: Frame,
    wish: Wish,
    mut idle: Option<Connection>,
) -> Came {
    let mirrors = mirrors_of(&frame, None);
    let mut events = Events::new(talk.limit);
    let mut has_stood = wish == Wish::Renewed;
    // What changed before the server heard of it was told to nobody.
    let mut is_first_try = wish == Wish::New;
    let mut again = Again::new();
    loop {
        // Nobody waits for this stream, so it can wait for as long as it takes: what changes meanwhile is told
        // to nobody.
        is_first_try &= !talk.rest.is_on();
        talk.rest.over().await;
        again.begins();
        let mut rest = None;
        match talk.post(bytes_of(&frame), &mirrors, idle.take()).await {
            Ok((response, connection)) => {
                again.is_answered();
                rest = talk.pause_after(&response);
                let status = response.status();
                let is_trouble = is_busy(status) || has_stood && status.is_server_error();
                if !is_trouble {
                    if !(status.is_success() && matches!(Form::of(&response), Form::Events)) {
                        return talk.end(&frame, response, connection).await;
                    }
                    if !is_first_try {
                        say_all_may_have_changed(&talk, &frame).await;
                    }
                    has_stood = true;
                    events.resume();
                    let mut body = response.into_body();
                    match follow(&talk, Some(&frame), &mut body, &mut events).await {
                        Followed::Answered(answer, share) => {
                            talk.pass_on(&frame, answer, share).await;
                            return Came::Done(None);
                        }
                        Followed::Over => return Came::Done(None),
                        // What was lost with it is made good by what is said when there is another stream.
                        Followed::Unkept(unread) => {
                            let words =
                                format!("it is listened to anew: {}", unread.words(talk.limit));
                            talk.voice.complain(words).await;
                        }
                        Followed::Broken => {}
                    }
                }
            }
            Err(Failure::Misled(why) | Failure::Resting(why, _)) => {
                talk.refuse(&frame, why, false).await;
                return Came::Done(None);
            }
            Err(failure @ (Failure::Unmet(_) | Failure::Undelivered(_) | Failure::Lost(_))) => {
                if again.is_hopeless(&talk, &failure).await {
                    return Came::Unreachable(failure.into_words(), Vec::new());
                }
            }
        }
        is_first_try = false;
        again.is_due(rest.or(events.retry)).await;
    }
}

/// Whether a server that answers so may answer otherwise before long, though it has never told of anything yet.
fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Says of all that is asked for that it may be another by now.
async fn say_all_may_have_changed(talk: &Talk, frame: &Frame) {
    for notification in may_have_changed(frame) {
        talk.say_within(Some(frame), notification).await;
    }
}

/// The notifications that a server would send had all changed that this asks for.
fn may_have_changed(frame: &Frame) -> Vec<Bytes> {
    let filter = match &frame.message {
        Message::Request { params, .. } => params.at.as_ref(),
        Message::Notification { .. } | Message::Response { .. } => None,
    };
    let filter = filter.and_then(|at| frame.member(at, "notifications"));
    let members = filter.and_then(|filter| frame.members(&filter.at));
    let mut all = Vec::new();
    for member in members.unwrap_or_default() {
        let list = match (member.name.as_ref(), member.value) {
            ("toolsListChanged", "true") => "tools",
            ("promptsListChanged", "true") => "prompts",
            ("resourcesListChanged", "true") => "resources",
            ("resourceSubscriptions", uris) => {
                let uris: Vec<String> = serde_json::from_str(uris).unwrap_or_default();
                all.extend(uris.iter().map(|uri| {
                    let uri = quoted(uri);
                    format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
                    )
                }));
                continue;
            }
            _unknown => continue,
        };
        all.push(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#
        ));
    }
    all.into_iter().map(Bytes::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_asked_for_may_have_changed() {
        let frame = Frame::parse(Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a:1"]}}}"#,
        ));
        let said = may_have_changed(&frame.unwrap());
        assert_eq!(
            said,
            [
                r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}"#
            ]
        );
    }
}
