//! How a conversation ends: with what else is lost, with what is still to be said, and with a goodbye.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use mux::Exit;
use tokio::{
    sync::mpsc::Receiver,
    time::{self, Instant},
};
use wire::Frame;

use super::{Conversation, News, exchange::Came, talk::Talk};
use crate::upstream::{End, Wanted};

/// How long it is waited for what else is open when the server is lost, or has forgotten the session: whatever hears
/// the same goes to the next, and of the rest nobody knows whether it was carried out.
const GATHERING: Duration = Duration::from_secs(1);

/// How long the end may take for what is still to be said, and for the goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);
const GOODBYE: Duration = Duration::from_secs(2);

impl Conversation {
    pub(super) async fn forgotten(&mut self, undelivered: Vec<Frame>) -> End {
        let target = &self.talk.connector.target;
        let words = format!("{target} answered 404: it does not know the session any more");
        self.talk.voice.complain(words).await;
        // Nobody is told goodbye who has forgotten us.
        let mut talk = Talk::clone(&self.talk);
        talk.session = None;
        self.talk = Arc::new(talk);
        End::of(Exit::Forgetful, undelivered)
    }

    pub(super) async fn unreachable(&mut self, why: String, undelivered: Vec<Frame>) -> End {
        let target = &self.talk.connector.target;
        self.talk.voice.complain(format!("{target}: {why}")).await;
        self.is_lost = true;
        End::of(Exit::Disconnected, undelivered)
    }

    /// The server waits for an answer of a client's that it does not take in. Whoever has called it hears that by the
    /// end of all this, and the server by the goodbye.
    pub(super) async fn unanswered(&mut self, why: String) -> End {
        self.talk.voice.complain(why).await;
        End::of(Exit::Disconnected, Vec::new())
    }

    /// What else is open fares the same, most likely: of that, too, what the server cannot have seen is handed
    /// back.
    pub(super) async fn gather(&mut self, end: &mut End, heard: &mut Receiver<News>) {
        let until = Instant::now() + GATHERING;
        while !self.open.is_empty() {
            match time::timeout_at(until, heard.recv()).await {
                Ok(Some(News::Came(number, came, _busy))) => {
                    self.open.remove(&number);
                    match came {
                        Came::Done(_) => {}
                        Came::Forgotten(frames) | Came::Unreachable(_, frames) => {
                            end.undelivered.extend(frames);
                        }
                    }
                }
                Ok(Some(_other)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Ends what is open, says what is still to be said, and goodbye.
    pub(super) async fn leave(&mut self, wanted: &mut Wanted) {
        self.greeting = None;
        self.listener = None;
        self.open.clear();
        let Some(goodbye_due) = wanted.left(LAST_WORDS + GOODBYE) else {
            return;
        };
        if self.is_lost {
            return;
        }
        if let Some((queue, task)) = self.notices.take() {
            drop(queue);
            let _late = time::timeout(LAST_WORDS.min(goodbye_due), task.ended()).await;
        }
        if self.talk.session.is_some() {
            let left = time::timeout(GOODBYE.min(goodbye_due), self.talk.leave()).await;
            if let Ok(Ok(status)) = left
                && !(status.is_success()
                    || matches!(
                        status,
                        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND
                    ))
            {
                let words = format!("goodbye: {}", self.talk.words_of(status, None));
                self.talk.voice.complain(words).await;
            }
        }
    }
}
