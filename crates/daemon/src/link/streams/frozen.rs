//! All streams of a session as they are handed over to the program that takes our place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mux::LineNumber;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Post, Primes, Streams, Wants, stream::FrozenStream};
use crate::{
    front::Key,
    link::{Beginning, ConnectionId, Room, Tube, streams::stream::Stream},
};

/// All that is known of the ways out to one session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenStreams {
    posts: Vec<FrozenPost>,
    touched: Vec<LineNumber>,
    ended: Vec<LineNumber>,
    listener: FrozenStream,
    /// The line with whose answer the session begins, if it has not.
    begins: Option<LineNumber>,
    base: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenPost {
    line: LineNumber,
    stream: FrozenStream,
    wants: Wants,
    primes: Primes,
    has_begun: bool,
    #[serde(default)]
    was_resumed: bool,
    has_ended: bool,
    age: u8,
}

impl Streams {
    pub(crate) fn freeze(&self) -> FrozenStreams {
        let posts = self.posts.iter().map(|(line, post)| FrozenPost {
            line: *line,
            stream: post.stream.freeze(),
            wants: post.wants,
            primes: post.primes,
            has_begun: post.has_begun,
            was_resumed: post.was_resumed,
            has_ended: post.has_ended,
            age: post.age,
        });
        FrozenStreams {
            posts: posts.collect(),
            touched: self.touched.clone(),
            ended: self.ended.iter().copied().collect(),
            listener: self.listener.freeze(),
            begins: self.begins.as_ref().map(|(line, _)| *line),
            base: self.base,
        }
    }

    /// Goes on with those of the program before us, and with the responses that were handed over as well. What
    /// is returned ends with the listener's, if there is one.
    pub(crate) fn thaw(
        frozen: FrozenStreams,
        (key, limit): (Key, usize),
        unread: &Arc<Room>,
        tubes: &mut BTreeMap<ConnectionId, Tube>,
    ) -> (Self, Option<(Tube, oneshot::Receiver<()>)>) {
        let mut streams = Streams::revived(frozen.base, limit, unread);
        for post in frozen.posts {
            let (means, tally) = (&streams.means, &mut streams.tally);
            let stream = Stream::thaw(post.stream, tubes, means, tally);
            let FrozenPost {
                line,
                wants,
                primes,
                has_begun,
                was_resumed,
                has_ended,
                age,
                ..
            } = post;
            let post = Post {
                stream,
                wants,
                primes,
                has_begun,
                was_resumed,
                has_ended,
                age,
            };
            streams.posts.insert(line, Box::new(post));
            // What has nobody to be read by any more is seen when it is looked at.
            streams.touched.push(line);
        }
        streams.touched.extend(frozen.touched);
        streams.ended = frozen.ended.into();
        let (means, tally) = (&streams.means, &mut streams.tally);
        streams.listener = Stream::thaw(frozen.listener, tubes, means, tally);
        let written = None;
        streams.begins = frozen.begins.map(|line| (line, Beginning { key, written }));
        let watched = streams.watch_listener();
        (streams, watched)
    }

    /// The connections of those who read have come into other hands, but for those that are gone. What is returned
    /// ends with the listener's, if there is one.
    pub(crate) fn reconnect(
        &mut self,
        tubes: &mut BTreeMap<ConnectionId, Tube>,
    ) -> Option<(Tube, oneshot::Receiver<()>)> {
        for (line, post) in &mut self.posts {
            post.stream.reconnect(tubes);
            self.touched.push(*line);
        }
        self.listener.reconnect(tubes);
        self.watch_listener()
    }

    /// Whether all that was handed over to those who read has been taken in
    /// by now. Those of `slow` connections need not: their clients come back.
    pub(crate) fn are_taken(&self, slow: &BTreeSet<ConnectionId>) -> bool {
        let mut posts = self.posts.values();
        self.listener.is_taken(slow) && posts.all(|post| post.stream.is_taken(slow))
    }

    /// The connections of those who read.
    pub(crate) fn readers(&self) -> impl Iterator<Item = ConnectionId> {
        let posts = self.posts.values().map(|post| &post.stream);
        let streams = posts.chain([&self.listener]);
        streams.filter_map(|stream| Some(stream.tube()?.connection))
    }

    /// Posts whose responses go on, and whose clients know how to come back for the rest.
    pub(crate) fn open_posts(&self) -> Vec<LineNumber> {
        let open = self.posts.iter().filter(|(_, post)| {
            post.primes == Primes::Yes
                && !(post.was_resumed || post.has_ended)
                && post.stream.is_read()
        });
        open.map(|(line, _)| *line).collect()
    }

    fn watch_listener(&mut self) -> Option<(Tube, oneshot::Receiver<()>)> {
        let tube = self.listener.tube()?;
        let (over, is_over) = oneshot::channel();
        self.over = Some(over);
        Some((tube, is_over))
    }
}
