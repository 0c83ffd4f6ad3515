//! What wants no answer, posted one after the other.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{Receiver, Sender},
    time,
};
use wire::{Frame, Method};

use super::{News, connection::Failure, exchange::bytes_of, mirrors::mirrors_of, talk::Talk};
use crate::upstream::{
    rest::{HOLD_MAX, Patience},
    standing::Busy,
};

/// Messages that may wait to be posted.
pub(super) const NOTICES_MAX: usize = 64;

/// How long a server may take to take one in, when it has time for it.
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);

/// A message without an answer, under way.
pub(super) type Notice = (Frame, Busy);

/// Posts what wants no answer, one after the other.
pub(super) async fn notify(talk: Arc<Talk>, mut queue: Receiver<Notice>, news: Sender<News>) {
    let mut idle = None;
    while let Some((frame, _busy)) = queue.recv().await {
        let mirrors = if talk.is_modern() {
            mirrors_of(&frame, None)
        } else {
            Vec::new()
        };
        let post = talk.post_in_time(
            bytes_of(&frame),
            &mirrors,
            idle.take(),
            Patience::default(),
            |_| true,
        );
        let posted = time::timeout(NOTICE_PATIENCE + HOLD_MAX, post).await;
        let target = &talk.connector.target;
        let trouble = match posted {
            Ok(Ok((response, connection))) => {
                let status = response.status();
                if status.is_success() {
                    // Most have no body, and then the connection is free for what waits.
                    idle = (!queue.is_empty()).then(|| connection.rested());
                    None
                } else {
                    let rest = talk.rest_after(&response);
                    let error = talk.error_of(response).await;
                    if talk.is_forgotten(status, &error) {
                        let _ending = news.send(News::Forgotten).await;
                        return;
                    }
                    Some(format!("{}{}", talk.words_of(status, rest), error.words()))
                }
            }
            Ok(Err(Failure::Unmet(why) | Failure::Undelivered(why))) => {
                let _ending = news.send(News::Unreachable(why)).await;
                return;
            }
            Ok(Err(Failure::Lost(why) | Failure::Resting(why, _))) => {
                Some(format!("{target}: {why}"))
            }
            Ok(Err(Failure::Misled(why))) => Some(why),
            Err(_late) => Some(format!("{target} takes nothing in")),
        };
        if let Some(trouble) = trouble {
            talk.voice.complain(trouble).await;
        }
        let news_of_it = match (frame.method(), cancelled_by(&frame)) {
            (Some(Method::Initialized), _) => News::Settled,
            (_, Some(number)) => News::Cancelled(number),
            (_, None) => continue,
        };
        let _ending = news.send(news_of_it).await;
    }
}

/// The request that this cancels.
pub(super) fn cancelled_by(frame: &Frame) -> Option<u64> {
    match &frame.message {
        wire::Message::Notification {
            method: Method::Cancelled,
            params,
        } => params.request_id.as_ref()?.0.as_number(),
        wire::Message::Notification { .. }
        | wire::Message::Request { .. }
        | wire::Message::Response { .. } => None,
    }
}
