//! The stream on which a server says what belongs to no request of ours.

use std::sync::Arc;

use hyper::StatusCode;

use super::{
    again::{Again, is_passing},
    connection::Failure,
    exchange::{Form, follow},
    talk::Talk,
};
use crate::upstream::sse::Events;

/// How a stream was given up.
#[derive(Debug)]
pub(super) enum Unheard {
    /// The server has none.
    NoStream,
    /// It does not know the session.
    Forgotten,
    /// There is no way to it any more.
    Unreachable(String),
}

/// Passes on what comes, for as long as that is possible.
/// `last_event` is where another stream ended that this one goes on with.
pub(super) async fn listen(talk: Arc<Talk>, last_event: Option<String>) -> Unheard {
    let mut events = Events::new(talk.limit);
    events.last_id = last_event;
    let mut again = Again::new();
    loop {
        // Nobody waits for this stream, so it can wait for as long as it takes.
        talk.rest.over().await;
        again.begins();
        let mut rest = None;
        match talk.listen(events.last_id.as_deref()).await {
            Ok(response) => {
                again.is_answered();
                rest = talk.pause_after(&response);
                let status = response.status();
                if status == StatusCode::NOT_FOUND && talk.session.is_some() {
                    return Unheard::Forgotten;
                }
                if status.is_client_error() && !is_passing(status) {
                    return Unheard::NoStream;
                }
                if status.is_success() {
                    if !matches!(Form::of(&response), Form::Events) {
                        return Unheard::NoStream;
                    }
                    events.resume();
                    follow(&talk, None, &mut response.into_body(), &mut events).await;
                }
            }
            Err(Failure::Misled(why) | Failure::Resting(why, _)) => {
                talk.voice.complain(why).await;
                return Unheard::NoStream;
            }
            Err(failure @ (Failure::Unmet(_) | Failure::Undelivered(_) | Failure::Lost(_))) => {
                if again.is_hopeless(&talk, &failure).await {
                    return Unheard::Unreachable(failure.into_words());
                }
            }
        }
        again.is_due(rest.or(events.retry)).await;
    }
}
