//! A stream of events, as the HTML standard describes it and servers write it.
//!
//! **Invariant:** however the bytes are split, the same events come out; of an event no more is kept than a
//! message may have, and of one that is longer nothing comes out but that.

use std::{mem, time::Duration};

use bytes::Bytes;

/// The longest id of an event that is kept, and the longest name of a kind.
const WORD_BYTES: usize = 1024;

/// The times that a server may have us wait before we come back.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An event of kind `message`: a message of the protocol, in one line.
    Message(Bytes),
    /// One that says where messages go (2024-11-05).
    Endpoint(Bytes),
    /// One that is longer than a message may be; it is dropped.
    TooLong,
}

/// Takes a stream apart.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Events {
    /// Of data and of a line.
    limit: usize,
    /// The line whose end has not come yet.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return, whose line feed is no line of its own.
    after_return: bool,
    /// Whether a line has ended before.
    has_begun: bool,
    data: Vec<u8>,
    has_data: bool,
    kind: Vec<u8>,
    /// The id of the event that is being read.
    next_id: Option<String>,
    /// Whether the event, or the line, is longer than it may be.
    is_too_long: bool,
    /// The id of the last event that was whole.
    pub(super) last_id: Option<String>,
    /// How long to wait before coming back.
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        Events {
            limit,
            line: Vec::new(),
            after_return: false,
            has_begun: false,
            data: Vec::new(),
            has_data: false,
            kind: Vec::new(),
            next_id: None,
            is_too_long: false,
            last_id: None,
            retry: None,
        }
    }

    /// The same stream goes on in another response.
    pub(super) fn resume(&mut self) {
        *self = Events {
            last_id: self.last_id.take(),
            retry: self.retry,
            ..Events::new(self.limit)
        };
    }

    /// Bytes that are kept of what is not whole.
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.data.len()
    }

    /// Takes in what was read.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(Event)) {
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (head, rest) = bytes.split_at(end);
            let is_return = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            // The second half of a line end that is two characters.
            let is_second_half = !is_return && self.after_return && head.is_empty();
            self.after_return = is_return;
            if is_second_half {
                continue;
            }
            self.keep(head);
            if let Some(event) = self.end_line() {
                on_event(event);
            }
        }
        if !bytes.is_empty() {
            self.after_return = false;
            self.keep(bytes);
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.held() + part.len() > self.limit.saturating_add(WORD_BYTES) {
            self.is_too_long = true;
            self.data = Vec::new();
            // What kind of line it is must show at its end.
            self.line.truncate(WORD_BYTES);
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) -> Option<Event> {
        let mut line = mem::take(&mut self.line);
        if !mem::replace(&mut self.has_begun, true) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = memchr::memchr(b':', &line).unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default();
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                // A message has no line ends but between its words.
                if mem::replace(&mut self.has_data, true) && !self.is_too_long {
                    self.data.push(b' ');
                }
                if !self.is_too_long {
                    self.data.extend_from_slice(value);
                }
            }
            b"event" => self.kind = value.get(..WORD_BYTES).unwrap_or(value).to_vec(),
            b"id" if value.len() <= WORD_BYTES && !value.contains(&0) => {
                self.next_id = str::from_utf8(value).ok().map(str::to_owned);
            }
            b"retry" => {
                let millis = str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let retry = millis.map(Duration::from_millis);
                self.retry = retry
                    .map(|retry| retry.clamp(RETRY.0, RETRY.1))
                    .or(self.retry);
            }
            // A comment, or a field of some later time.
            _unknown => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let data = mem::take(&mut self.data);
        let kind = mem::take(&mut self.kind);
        let has_data = mem::take(&mut self.has_data);
        if let Some(id) = self.next_id.take() {
            self.last_id = Some(id).filter(|id| !id.is_empty());
        }
        if mem::take(&mut self.is_too_long) {
            return Some(Event::TooLong);
        }
        if !has_data || data.is_empty() {
            return None;
        }
        match kind.as_slice() {
            b"" | b"message" => Some(Event::Message(data.into())),
            b"endpoint" => Some(Event::Endpoint(data.into())),
            _unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> Event {
        Event::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn read(limit: usize, parts: &[&[u8]]) -> (Vec<Event>, Events) {
        let mut events = Events::new(limit);
        let mut found = Vec::new();
        for part in parts {
            events.feed(part, |event| found.push(event));
        }
        (found, events)
    }

    #[test]
    fn events_have_data_in_several_lines_and_comments_between_them() {
        let (found, events) = read(
            100,
            &[b"\xef\xbb\xbf: hello\n\nid: 7\nevent: message\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\nevent: ping\ndata: y\n\n"],
        );
        assert_eq!(found, [message("{\"a\": 1}"), message("x")]);
        assert_eq!(events.last_id.as_deref(), Some("7"));
    }

    #[test]
    fn all_three_line_ends_are_line_ends() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "id: 1|data: a||data: b||".replace('|', end);
            let (found, _) = read(100, &[text.as_bytes()]);
            assert_eq!(found, [message("a"), message("b")], "{end:?}");
        }
    }

    #[test]
    fn an_event_that_only_has_an_id_primes_the_way_back() {
        let (found, events) = read(100, &[b"id: first\nretry: 40\ndata: \n\n"]);
        assert!(found.is_empty());
        assert_eq!(events.last_id.as_deref(), Some("first"));
        assert_eq!(events.retry, Some(Duration::from_millis(40)));
    }

    #[test]
    fn an_event_without_its_end_is_none_and_its_id_does_not_count() {
        let (found, mut events) = read(100, &[b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]);
        assert_eq!(found, [message("a")]);
        events.resume();
        assert_eq!(events.last_id.as_deref(), Some("1"));
        events.feed(b"data: c\n\n", |event| assert_eq!(event, message("c")));
    }

    #[test]
    fn what_is_too_long_is_dropped_and_the_next_event_is_read() {
        let long = format!("id: 5\ndata: {}\n\ndata: b\n\n", "x".repeat(20_000));
        let (found, events) = read(1000, &[long.as_bytes()]);
        assert_eq!(found, [Event::TooLong, message("b")]);
        assert_eq!(events.last_id.as_deref(), Some("5"));
        let lines = format!("{}\n\ndata: b\n\n", "data: xxxxxxxxxx\n".repeat(1000));
        let parts: Vec<&[u8]> = lines.as_bytes().chunks(7).collect();
        let (found, _) = read(1000, &parts);
        assert_eq!(found, [Event::TooLong, message("b")]);
    }

    #[test]
    fn an_endpoint_is_told_apart_from_a_message() {
        let (found, _) = read(100, &[b"event: endpoint\r\ndata: /messages?id=1\r\n\r\n"]);
        assert_eq!(
            found,
            [Event::Endpoint(Bytes::from_static(b"/messages?id=1"))]
        );
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_split_the_same_events_come_out(
            text in "(data: [ab]{0,3}|id: [12]|: c|event: message|\r\n|\n|\r){0,20}",
            size in 1_usize..9,
        ) {
            let (whole, events) = read(50, &[text.as_bytes()]);
            let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let (split, others) = read(50, &parts);
            prop_assert_eq!(whole, split);
            prop_assert_eq!(events.last_id, others.last_id);
        }

        #[test]
        fn no_more_is_kept_than_a_message_may_have(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40),
        ) {
            let mut events = Events::new(1000);
            for part in parts {
                events.feed(&part, |event| match event {
                    Event::Message(data) | Event::Endpoint(data) => assert!(data.len() <= 1000 + WORD_BYTES),
                    Event::TooLong => {}
                });
                prop_assert!(events.held() <= 1000 + 2 * WORD_BYTES);
            }
        }
    }
}
