//! What wants no answer, posted one after the other.
//!
//! **Invariant:** an answer of a client's to what the server has asked is kept while the server wants to be left alone:
//! it is taken in, refused, or the conversation ends with it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{Receiver, Sender},
    time,
};
use wire::{Frame, Kind, Method};

use super::{
    News,
    connection::{Connection, Failure},
    exchange::bytes_of,
    mirrors::mirrors_of,
    talk::Talk,
};
use crate::upstream::{
    rest::{HOLD_MAX, Patience},
    standing::Busy,
};

/// Messages that may wait to be posted.
pub(super) const NOTICES_MAX: usize = 64;

/// How long a server may take to take one in, when it has time for it.
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);

/// Answers that are kept at a time.
const KEPT_MAX: usize = 64;

/// How often one is posted again after it was kept.
const KEPT_REPEATS: u32 = 5;

/// A message without an answer, under way.
pub(super) type Notice = (Frame, Busy);

/// One that is posted now, or again later.
struct Posting {
    notice: Notice,
    repeats_left: u32,
}

impl Posting {
    fn new(notice: Notice) -> Self {
        Posting {
            notice,
            repeats_left: KEPT_REPEATS,
        }
    }

    fn is_answer(&self) -> bool {
        self.notice.0.kind() == Kind::Response
    }
}

/// What came of one.
enum Posted {
    /// The server has it.
    TakenIn,
    /// It has refused it; the words are for a person.
    Refused(String),
    /// Nobody knows whether it has.
    Unknown(String),
    /// It has not, and wants to be left alone.
    Resting(String),
    /// Nothing comes of any other.
    Over(News),
}

/// Posts what wants no answer, one after the other.
pub(super) async fn notify(talk: Arc<Talk>, mut queue: Receiver<Notice>, news: Sender<News>) {
    let mut idle = None;
    let mut kept: VecDeque<Posting> = VecDeque::new();
    loop {
        let next = tokio::select! {
            biased;
            () = talk.rest.over(), if !kept.is_empty() => kept.pop_front(),
            notice = queue.recv() => notice.map(Posting::new),
        };
        let Some(mut posting) = next else {
            break;
        };
        let frame = &posting.notice.0;
        match post(&talk, frame, &mut idle, !queue.is_empty()).await {
            Posted::TakenIn => {}
            Posted::Resting(why) if posting.is_answer() => {
                if posting.repeats_left == 0 || kept.len() >= KEPT_MAX {
                    let _ending = news.send(News::Unanswered(unanswered(&why))).await;
                    return;
                }
                posting.repeats_left -= 1;
                let words = format!("{why}; an answer to what it has asked is kept until then");
                talk.voice.complain(words).await;
                kept.push_back(posting);
                continue;
            }
            Posted::Unknown(why) if posting.is_answer() => {
                let _ending = news.send(News::Unanswered(unanswered(&why))).await;
                return;
            }
            Posted::Refused(why) | Posted::Unknown(why) | Posted::Resting(why) => {
                talk.voice.complain(why).await;
            }
            Posted::Over(end) => {
                let _ending = news.send(end).await;
                return;
            }
        }
        let news_of_it = match (frame.method(), cancelled_by(frame)) {
            (Some(Method::Initialized), _) => News::Settled,
            (_, Some(number)) => News::Cancelled(number),
            (_, None) => continue,
        };
        let _ending = news.send(news_of_it).await;
    }
    if !kept.is_empty() {
        let words = format!("{} answers to what it has asked are lost", kept.len());
        talk.voice.complain(words).await;
    }
}

async fn post(talk: &Talk, frame: &Frame, idle: &mut Option<Connection>, has_more: bool) -> Posted {
    let mirrors = if talk.is_modern() {
        mirrors_of(frame, None)
    } else {
        Vec::new()
    };
    let patience = Patience::default();
    let post = talk.post_in_time(bytes_of(frame), &mirrors, idle.take(), patience, |_| true);
    let posted = time::timeout(NOTICE_PATIENCE + HOLD_MAX, post).await;
    let target = &talk.connector.target;
    match posted {
        Ok(Ok((response, connection))) => {
            let status = response.status();
            if status.is_success() {
                // Most have no body, and then the connection is free for what waits.
                *idle = has_more.then(|| connection.rested());
                return Posted::TakenIn;
            }
            let rest = talk.rest_after(&response);
            let error = talk.error_of(response).await;
            if talk.is_forgotten(status, &error) {
                return Posted::Over(News::Forgotten);
            }
            let why = format!("{}{}", talk.words_of(status, rest), error.words());
            if rest.is_some() {
                Posted::Resting(why)
            } else {
                Posted::Refused(why)
            }
        }
        Ok(Err(Failure::Unmet(why) | Failure::Undelivered(why))) => {
            Posted::Over(News::Unreachable(why))
        }
        Ok(Err(Failure::Resting(why, _))) => Posted::Resting(format!("{target}: {why}")),
        Ok(Err(Failure::Lost(why))) => Posted::Unknown(format!("{target}: {why}")),
        Ok(Err(Failure::Misled(why))) => Posted::Refused(why),
        Err(_late) => Posted::Unknown(format!("{target} takes nothing in")),
    }
}

/// Why a conversation cannot go on, for a person.
fn unanswered(why: &str) -> String {
    format!("{why}; it does not take in an answer to what it has asked")
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
