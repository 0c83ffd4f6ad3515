//! Every bound that a decision depends on, in one place.

use core::time::Duration;

use crate::event::IdleTimeout;

/// How much of everything there may be. The edge honours those that concern bytes and links.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one message, either way, on every front.
    pub message_bytes: usize,
    /// Messages of one batch, each of which costs more than its bytes.
    pub batch_messages: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Requests of one session that are at its server at the same time; more wait.
    pub session_in_flight: usize,
    /// Messages of one session that wait; then its link is not read until some have gone.
    pub session_queue: usize,
    /// Bytes of one session's messages that wait. One larger message always fits.
    pub session_queue_bytes: usize,
    /// Messages of all sessions together that wait; more are refused.
    pub waiting: usize,
    /// Bytes of messages that the daemon holds for anybody, wherever they wait; then requests are refused
    /// and the session that has most to read is cut.
    pub buffered_bytes: usize,
    /// Longest request, in bytes, that is kept while a server works on it, to be sent again should the
    /// server die.
    pub repeated_bytes: usize,
    /// Bytes that may wait for a session to read; then it is cut. One larger message always fits.
    pub slow_reader_bytes: usize,
    /// Bytes that may wait for a server to read before requests wait in their sessions' queues. What one
    /// turn has sent before that shows is not taken back; [`Limits::buffered_bytes`] bounds it.
    pub slow_server_bytes: usize,
    /// Longest wait of a session for a server's handshake before it is told so.
    ///
    /// Shorter than the clients' own patience (Claude Code and Codex give up at 30 s).
    pub start_patience: Duration,
    /// Longest wait for a server's answer to `initialize` after it was spawned.
    ///
    /// `npx` may download a package first, so this is minutes, not seconds.
    pub greeting_timeout: Duration,
    /// Longest wait for a server's first answer to `server/discover`; then it is asked as one of the legacy
    /// era is. Clients that probe wait 3 to 60 s.
    pub discover_patience: Duration,
    /// How long it is believed that a server does not speak in an era, without asking it again.
    pub verdict_life: Duration,
    /// Longest life of one request. The specification says that there should be a maximum.
    pub request_timeout: Duration,
    /// Longest life of a request without progress.
    ///
    /// Clients have limits of their own for that, and a server need not tell how far it is.
    pub request_idle_timeout: IdleTimeout,
    /// How long a server with something to do may say nothing before it is pinged, and pinged again;
    /// zero is never.
    pub ping_interval: Duration,
    /// How long the daemon is kept when there is neither a session nor an upstream.
    pub daemon_idle_timeout: IdleTimeout,
    /// Longest wait for open answers after a client has closed its input.
    pub drain_patience: Duration,
    /// How long the first call of a tool runs without other sessions' calls beside it.
    pub probation: Duration,
    /// Longest wait of a call of a tool that asks for other sessions' calls to end; then it runs beside them.
    ///
    /// Those who come meanwhile wait behind it, so it must not be as long as calls may be.
    pub apart_patience: Duration,
    /// Longest wait for a client to come back for a request that it was answered with questions (2026-07-28,
    /// multi-round-trip requests). Who has gone for good cannot be told from who asks a person.
    pub round_patience: Duration,
    /// How long other sessions' calls wait for a call of a tool that asks while its client has not come back. It
    /// may never: then an ask whose owner is not clear is refused, and everything else goes on.
    pub round_apart: Duration,
    /// Longest wait for a legacy client's answers to what its modern server wants to know before it answers.
    pub inquiry_patience: Duration,
    /// Pause before a request goes again to a server that has answered it with no question, but with a state.
    pub inquiry_pace: Duration,
    /// Longest wait for an ask whose owner is unclear to become clear.
    pub owner_patience: Duration,
    /// Longest wait of a call of a tool that asks for the end of other sessions' calls that were cancelled.
    ///
    /// A server that acknowledges a cancellation does so at once, and one that obeys it as the
    /// specification says (2025-11-25, basic/utilities/cancellation) never does.
    pub acknowledgement_patience: Duration,
    /// How long a session waits for its server to say whether it tells of a resource.
    pub agreement_patience: Duration,
    /// How long a cancelled call may still be the cause of an ask or a log message.
    ///
    /// A server that ignores the cancellation works on; what it asks then must not go to another session.
    pub ghost_life: Duration,
    /// How long after a daemon took over a server the calls of its predecessor may still be at work there.
    ///
    /// Nobody knows which they were, nor hears of their end.
    pub abandoned_life: Duration,
    /// How long the guardian is left with it that sessions of one request have calls at a server when the last is over.
    pub record_patience: Duration,
    /// How long a server that was taken over waits for its sessions to come back.
    pub resume_patience: Duration,
    /// How long after a change of a list was told further changes of it become one.
    pub change_window: Duration,
    /// First wait after a server died unexpectedly; doubled each time.
    pub backoff_first: Duration,
    /// Longest such wait.
    pub backoff_longest: Duration,
    /// Deaths within the window that a server may have; at one more it counts as failed.
    pub deaths_max: usize,
    /// The same of a server that has forgotten who speaks to it and is greeted anew: it lives, so that
    /// another time helps less.
    pub revivals_max: usize,
    /// How long a death counts towards them.
    pub deaths_window: Duration,
    /// How long a server must have served for its deaths to be counted from the beginning.
    pub good_service: Duration,
    /// How long a failed server rests before one new attempt.
    pub failed_rest: Duration,
    /// Tools whose conduct is remembered, per route.
    pub tools_remembered: usize,
    /// Routes whose conduct is remembered while no upstream of them exists.
    pub routes_remembered: usize,
    /// Bytes that are kept of what a server says of itself.
    pub kept_words_bytes: usize,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Messages of a session that is asked something and does not read, until it is heard no longer.
    ///
    /// The answer stands behind whatever its client has written before, which fits into a few pipes.
    pub heard_unread: usize,
    /// Asks that wait for an answer of one session.
    pub session_asks: usize,
    /// Last lines of a server's standard error that a failed start quotes.
    pub last_words: usize,
    /// Lines of a server that are no message, within [`Limits::noise_window`], before it counts as degraded.
    pub noise_lines: usize,
    /// How long such a line counts.
    pub noise_window: Duration,
    /// Done lines that may be untold before a session's shim hears of them without a reply.
    pub untold_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: 64 << 20,
            batch_messages: 1000,
            sessions: 16_384,
            session_in_flight: 64,
            session_queue: 10_000,
            session_queue_bytes: 8 << 20,
            waiting: 16_384,
            buffered_bytes: 512 << 20,
            repeated_bytes: 64 << 10,
            slow_reader_bytes: 8 << 20,
            slow_server_bytes: 1 << 20,
            start_patience: Duration::from_secs(25),
            greeting_timeout: Duration::from_mins(5),
            discover_patience: Duration::from_secs(10),
            verdict_life: crate::kept_words::VERDICT_LIFE,
            request_timeout: Duration::from_hours(24),
            request_idle_timeout: IdleTimeout::Never,
            ping_interval: Duration::from_secs(30),
            daemon_idle_timeout: IdleTimeout::Never,
            drain_patience: Duration::from_mins(1),
            probation: Duration::from_secs(1),
            apart_patience: Duration::from_secs(10),
            round_patience: Duration::from_mins(10),
            round_apart: Duration::from_secs(30),
            inquiry_patience: Duration::from_mins(10),
            inquiry_pace: Duration::from_millis(250),
            owner_patience: Duration::from_secs(10),
            acknowledgement_patience: Duration::from_secs(1),
            agreement_patience: Duration::from_secs(30),
            ghost_life: Duration::from_secs(30),
            abandoned_life: Duration::from_mins(10),
            record_patience: Duration::from_secs(1),
            resume_patience: Duration::from_secs(30),
            change_window: Duration::from_millis(100),
            backoff_first: Duration::from_millis(100),
            backoff_longest: Duration::from_secs(30),
            deaths_max: 5,
            revivals_max: 3,
            deaths_window: Duration::from_mins(1),
            good_service: Duration::from_mins(1),
            failed_rest: Duration::from_mins(1),
            tools_remembered: 4096,
            routes_remembered: 1024,
            kept_words_bytes: 1 << 20,
            subscriptions: 10_000,
            heard_unread: 1024,
            session_asks: 256,
            last_words: 10,
            noise_lines: 100,
            noise_window: Duration::from_secs(10),
            untold_lines: 64,
        }
    }
}
