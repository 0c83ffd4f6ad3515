//! The stream on which a server says what belongs to no request of ours.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::time::{self, Instant};

use super::{
    connection::Failure,
    exchange::{Form, follow},
    talk::Talk,
};
use crate::upstream::sse::Events;

/// How long to wait before it is opened again, unless the server says otherwise.
const RETRY: Duration = Duration::from_secs(1);

/// The longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A stream that lived for less was of no use.
const USEFUL: Duration = Duration::from_secs(5);

/// How often in a row it may be that there is no way to the server at all.
const UNREACHABLE_MAX: u32 = 3;

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
    let (mut unreachable, mut in_vain) = (0, 0);
    loop {
        let began = Instant::now();
        match talk.listen(events.last_id.as_deref()).await {
            Ok(response) => {
                unreachable = 0;
                let status = response.status();
                if status == StatusCode::NOT_FOUND && talk.session.is_some() {
                    return Unheard::Forgotten;
                }
                // It may still think that somebody listens, or have too much to do.
                let is_passing =
                    matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
                if status.is_client_error() && !is_passing {
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
            Err(Failure::Misled(why)) => {
                talk.voice.complain(why).await;
                return Unheard::NoStream;
            }
            Err(Failure::Undelivered(why) | Failure::Lost(why)) => {
                unreachable = talk.still_unreachable(unreachable).await;
                if unreachable == UNREACHABLE_MAX {
                    return Unheard::Unreachable(why);
                }
            }
        }
        in_vain = if began.elapsed() < USEFUL {
            in_vain + 1
        } else {
            0
        };
        let wait = events.retry.unwrap_or(RETRY);
        let longer = wait.saturating_mul(1_u32.checked_shl(in_vain.min(5)).unwrap_or(1) / 2);
        time::sleep(longer.max(wait).min(RETRY_MAX.max(wait))).await;
    }
}
