//! Requests that are not posted yet, because as many are open as may be.
//!
//! What those wait for that are open may be said behind them: a cancellation, or an answer to what the server asks.
//! So the pipe is read on, and what has no room here is refused.
//!
//! **Invariant:** a request is posted, cancelled, refused or handed back, and in order.

use std::collections::VecDeque;

use wire::{Frame, RequestId};

use super::notices::cancelled_by;
use crate::upstream::standing::Busy;

/// Bytes of all of them. The first may have any size: none is longer than a message may be.
const BYTES_MAX: usize = 1 << 20;

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: VecDeque<(Frame, Busy)>,
    bytes: usize,
}

impl Waiting {
    /// Has one more wait. It comes back if there is no room for it.
    pub(super) fn push(&mut self, request: Frame, busy: Busy) -> Option<Frame> {
        if !self.requests.is_empty() && self.bytes + request.len() > BYTES_MAX {
            return Some(request);
        }
        self.bytes += request.len();
        self.requests.push_back((request, busy));
        None
    }

    /// The next in turn.
    pub(super) fn pop(&mut self) -> Option<(Frame, Busy)> {
        let next = self.requests.pop_front()?;
        self.bytes -= next.0.len();
        Some(next)
    }

    /// Whether this cancels one of them, which does not wait any longer then.
    pub(super) fn cancel(&mut self, cancellation: &Frame) -> bool {
        let Some(cancelled) = cancelled_by(cancellation) else {
            return false;
        };
        let is_it = |(request, _): &(Frame, Busy)| {
            request.id().and_then(RequestId::as_number) == Some(cancelled)
        };
        let at = self.requests.iter().position(is_it);
        let Some((request, _)) = at.and_then(|at| self.requests.remove(at)) else {
            return false;
        };
        self.bytes -= request.len();
        true
    }

    /// All that are left, which the server has never seen.
    pub(super) fn take_all(&mut self) -> Vec<Frame> {
        self.bytes = 0;
        self.requests
            .drain(..)
            .map(|(request, _)| request)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::standing::Standing;

    fn request(id: u64, padding: usize) -> Frame {
        let padding = "x".repeat(padding);
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"p":"{padding}"}}}}"#
        );
        Frame::parse(text.into()).unwrap()
    }

    fn cancellation(id: u64) -> Frame {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        );
        Frame::parse(text.into()).unwrap()
    }

    fn number(frame: &Frame) -> Option<u64> {
        frame.id().and_then(RequestId::as_number)
    }

    #[test]
    fn what_waits_goes_in_order_unless_it_is_cancelled_and_the_rest_is_handed_back() {
        let (mut waiting, standing) = (Waiting::default(), Standing::default());
        for id in 1..=5 {
            assert!(waiting.push(request(id, 0), standing.begin()).is_none());
        }
        assert!(waiting.cancel(&cancellation(2)) && !waiting.cancel(&cancellation(2)));
        assert!(!waiting.cancel(&request(3, 0)));
        let next = |waiting: &mut Waiting| waiting.pop().and_then(|(frame, _)| number(&frame));
        assert_eq!(next(&mut waiting), Some(1));
        assert_eq!(next(&mut waiting), Some(3));
        let rest: Vec<_> = waiting.take_all().iter().filter_map(number).collect();
        assert_eq!(rest, [4, 5]);
        assert_eq!((next(&mut waiting), waiting.bytes), (None, 0));
    }

    #[test]
    fn the_first_waits_whatever_its_size_and_nothing_behind_it() {
        let (mut waiting, standing) = (Waiting::default(), Standing::default());
        let mut push = |id, padding| {
            let refused = waiting.push(request(id, padding), standing.begin());
            refused.is_none()
        };
        assert!(push(1, 2 * BYTES_MAX));
        assert!(!push(2, 0));
        waiting.pop().unwrap();
        assert!(waiting.push(request(3, 0), standing.begin()).is_none());
    }

    #[test]
    fn no_more_waits_than_there_is_room_for_and_what_went_makes_room() {
        let (mut waiting, standing) = (Waiting::default(), Standing::default());
        for id in 1..=3 {
            assert!(
                waiting
                    .push(request(id, BYTES_MAX / 4), standing.begin())
                    .is_none()
            );
        }
        let refused = waiting.push(request(4, BYTES_MAX / 4), standing.begin());
        assert_eq!(refused.as_ref().and_then(number), Some(4));
        assert!(waiting.cancel(&cancellation(3)));
        assert!(
            waiting
                .push(request(5, BYTES_MAX / 4), standing.begin())
                .is_none()
        );
        waiting.pop().unwrap();
        assert!(
            waiting
                .push(request(6, BYTES_MAX / 4), standing.begin())
                .is_none()
        );
        assert!(
            waiting
                .push(request(7, BYTES_MAX / 4), standing.begin())
                .is_some()
        );
    }
}
