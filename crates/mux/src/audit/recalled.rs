//! What a server said at an earlier start, as the books know it.

use std::sync::Arc;

use wire::{Frame, Message, Method, RequestId};

use super::{Audit, print::Print};
use crate::{
    KeptWords, SessionId, UpstreamId,
    kept_words::{Listing, Page},
};

impl Audit {
    /// What a server says is kept: whoever has come and has not asked yet may be told it, too.
    pub(super) fn keep(&mut self, upstream: UpstreamId, words: Option<&Arc<KeptWords>>) {
        let server = self.servers.get(&upstream);
        let launched = server.and_then(|server| server.launched.as_ref());
        if let (Some((route, _)), Some(words)) = (launched, words) {
            let known = self.kept.entry(route.clone()).or_default();
            known.push(Arc::clone(words));
        }
    }

    /// Whether the server has said so at an earlier start.
    pub(super) fn is_kept(&self, session: SessionId, method: &Method, frame: &Frame) -> bool {
        let client = self.clients.get(&session);
        let words = client.and_then(|client| self.kept.get(&client.route));
        // How a server is spoken to that has not been started yet nobody has seen.
        let server = client.and_then(|client| self.servers.get(&client.upstream?));
        let era = server.and_then(|server| server.class.map(|_| server.era));
        let (Some(words), Some(listing)) = (words, Listing::of(method)) else {
            return false;
        };
        let Message::Response {
            result: Some(result),
            ..
        } = &frame.message
        else {
            return false;
        };
        let bytes = frame.json(result).as_bytes();
        let across = Print::across(frame);
        let is_it = |page: &Page| {
            let said = || Frame::parse(page.answer(&RequestId::from(0)).to_vec().into());
            page.result == bytes || said().is_ok_and(|said| Print::across(&said) == across)
        };
        let words = words
            .iter()
            .filter(|words| era.is_none_or(|era| words.era == era));
        let pages = words.filter_map(|words| words.lists.get(&listing));
        pages.flatten().any(is_it)
    }
}
