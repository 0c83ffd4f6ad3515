//! How many descriptors may go to those who come in.
//!
//! **Invariant:** however many come, some descriptors are left for servers, for logs, and for a moment
//! of many things at once.

/// Left over in any case, if there are twice as many.
const RESERVE: usize = 32;

/// Connections that may be there without being sessions: not greeted yet, or with an order. More wait
/// to be accepted.
const CALLERS_MAX: usize = 1024;

/// Connections over HTTP that there may be, and the part of the rest that may go to them.
const CONNECTIONS_MAX: usize = 16_384;
const CONNECTIONS_SHARE: usize = 4;

/// Enough that one who says nothing does not keep the others waiting.
const CALLERS_MIN: usize = 8;

/// A share-out of all descriptors that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// For sessions.
    pub(crate) sessions: usize,
    /// For those who have not said yet what they want.
    pub(crate) callers: usize,
    /// For connections over HTTP.
    pub(crate) connections: usize,
}

impl Descriptors {
    /// A share-out of what the system allows; `None` allows any number.
    pub(crate) fn of_limit(limit: Option<u64>) -> Descriptors {
        let all = limit.and_then(|limit| usize::try_from(limit).ok());
        let all = all.unwrap_or(usize::MAX);
        let callers = (all / 8).clamp(CALLERS_MIN, CALLERS_MAX);
        let reserve = (all / 4).max(RESERVE.min(all / 2));
        let rest = (all - reserve).saturating_sub(callers);
        let connections = (rest / CONNECTIONS_SHARE).min(CONNECTIONS_MAX);
        Descriptors {
            sessions: rest - connections,
            callers,
            connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_whatever_the_limit_is() {
        for (limit, sessions, callers, connections) in
            [(64, 18, 8, 6), (256, 120, 32, 40), (1024, 480, 128, 160)]
        {
            let shares = Descriptors::of_limit(Some(limit));
            let expected = Descriptors {
                sessions,
                callers,
                connections,
            };
            assert_eq!(shares, expected);
        }
        let many = Descriptors::of_limit(Some(1 << 20));
        assert_eq!(many.callers, CALLERS_MAX);
        assert!(many.sessions > 700_000);
        assert_eq!(many.connections, CONNECTIONS_MAX);
        assert_eq!(Descriptors::of_limit(None).callers, CALLERS_MAX);
        assert_eq!(Descriptors::of_limit(Some(8)).sessions, 0);
    }
}
