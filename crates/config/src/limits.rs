//! The bounds that a user may move.
//!
//! Defaults live with those who keep the bounds; here a bound is either what
//! the user wrote or absent.

use std::time::Duration;

use crate::IdleTimeout;

/// The table `[limits]`; `None` is "keep the default".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsOverrides {
    /// Longest single message, in bytes.
    pub message_bytes: Option<usize>,
    /// Longest wait of a session for a server that starts.
    pub start_patience: Option<Duration>,
    /// Longest wait for a server's first answer after it was spawned.
    pub greeting_timeout: Option<Duration>,
    /// Most requests of one session that a server works on at the same time.
    pub session_in_flight: Option<usize>,
    /// Most messages of one session that wait for a server.
    pub session_queue: Option<usize>,
    /// Most bytes of one session's messages that wait for a server.
    pub session_queue_bytes: Option<usize>,
    /// Most bytes that wait for a session that does not read.
    pub slow_reader_bytes: Option<usize>,
    /// Most bytes of messages that the daemon holds for all together.
    pub buffered_bytes: Option<usize>,
    /// Most sessions at the same time.
    pub sessions: Option<usize>,
    /// Longest wait for open answers after a client has closed its input; zero is none.
    pub drain_patience: Option<Duration>,
    /// Longest life of a request that the server does not answer.
    pub request_timeout: Option<Duration>,
    /// Longest life of a request without progress.
    pub request_idle_timeout: Option<IdleTimeout>,
    /// How long a server with something to do may say nothing before it is pinged; zero is for ever.
    pub ping_interval: Option<Duration>,
}
