//! How many descriptors may go to those who come in.
//!
//! **Invariant:** however many come, some descriptors are left for servers, for logs, and for a moment
//! of many things at once.

/// Left over in any case, if there are twice as many.
const RESERVE: usize = 32;

/// Connections that may be there without being sessions: not greeted yet, or with an order. More wait
/// to be accepted.
const CALLERS_MAX: usize = 1024;

/// Enough that one who says nothing does not keep the others waiting.
const CALLERS_MIN: usize = 8;

/// A share-out of all descriptors that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// For sessions.
    pub(crate) sessions: usize,
    /// For those who have not said yet what they want.
    pub(crate) callers: usize,
}

impl Descriptors {
    /// A share-out of what the system allows; `None` allows any number.
    pub(crate) fn of_limit(limit: Option<u64>) -> Descriptors {
        let all = limit.and_then(|limit| usize::try_from(limit).ok());
        let all = all.unwrap_or(usize::MAX);
        let callers = (all / 8).clamp(CALLERS_MIN, CALLERS_MAX);
        let reserve = (all / 4).max(RESERVE.min(all / 2));
        Descriptors {
            sessions: (all - reserve).saturating_sub(callers),
            callers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_whatever_the_limit_is() {
        for (limit, sessions, callers) in [(64, 24, 8), (256, 160, 32), (1024, 640, 128)] {
            let shares = Descriptors::of_limit(Some(limit));
            assert_eq!(shares, Descriptors { sessions, callers });
        }
        let many = Descriptors::of_limit(Some(1 << 20));
        assert_eq!(many.callers, CALLERS_MAX);
        assert!(many.sessions > 700_000);
        assert_eq!(Descriptors::of_limit(None).callers, CALLERS_MAX);
        assert_eq!(Descriptors::of_limit(Some(8)).sessions, 0);
    }
}
