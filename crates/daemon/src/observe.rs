//! What people hear of it: each fact becomes one log line and one count.
//!
//! **Invariant:** nothing else logs at INFO or above, and no payload, environment value or secret is
//! ever in a log line.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use mux::{Fact, Refusal, SessionId, UpstreamId, UpstreamSnapshot};
use sys::threads::Thread;
use tracing::{debug, error, info, warn};

/// Turns facts into log lines and counts.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    counts: BTreeMap<Cow<'static, str>, u64>,
    /// What upstreams are called.
    servers: BTreeMap<UpstreamId, Arc<str>>,
}

/// A task panicked.
pub(crate) fn panicked(task: &str, words: &str) {
    error!(task, words, "a task panicked; its peer is given up");
}

/// The daemon listens.
pub(crate) fn listening(socket: &std::path::Path) {
    let version = env!("CARGO_PKG_VERSION");
    info!(version, pid = std::process::id(), socket = %socket.display(), "listening");
}

/// The daemon listens over HTTP as well.
pub(crate) fn listening_for_http(
    addresses: &[std::net::SocketAddr],
    socket: Option<&std::path::Path>,
) {
    let socket = socket.map(|path| path.display().to_string());
    info!(?addresses, socket, "listening for HTTP");
}

/// The daemon does not listen over HTTP, though it should.
pub(crate) fn no_http(why: &str) {
    warn!(why, "nobody can come in over HTTP");
}

/// It goes on in the place of an earlier program, after a pause.
pub(crate) fn took_over(before: &str, pause: std::time::Duration) {
    let (version, milliseconds) = (env!("CARGO_PKG_VERSION"), pause.as_millis());
    info!(
        version,
        before, milliseconds, "upgraded; servers and sessions go on"
    );
}

/// It should go on in the place of an earlier program, and cannot.
pub(crate) fn not_resumed(error: &anyhow::Error) {
    error!("what the program before has handed over cannot be gone on with: {error:#}");
}

/// Another program should have taken its place, and could not.
pub(crate) fn not_upgraded(why: &str) {
    warn!(why, "not upgraded; everything goes on as it was");
}

/// The daemon was kept from running for so long, and perhaps all others with it.
pub(crate) fn was_kept_from_running(gap: std::time::Duration) {
    let seconds = gap.as_secs();
    warn!(
        seconds,
        "kept from running; the time is held against nobody"
    );
}

/// Its socket was not where it has to be, and is again.
pub(crate) fn socket_renewed(socket: &std::path::Path) {
    warn!(socket = %socket.display(), "somebody removed the socket; it is bound again");
}

/// Its lock was not where it has to be, and is again.
pub(crate) fn lock_renewed(lock: &std::path::Path) {
    warn!(lock = %lock.display(), "somebody removed the lock; it is taken again");
}

/// Another daemon has the places of this one.
pub(crate) fn places_lost(lock: &std::path::Path) {
    warn!(
        lock = %lock.display(),
        "another daemon has taken the lock; this one serves only the sessions that it has"
    );
}

/// Its socket or its lock is not where it has to be.
pub(crate) fn stand_not_mended(error: &str) {
    warn!(
        error,
        "the socket and the lock cannot be put back in their places"
    );
}

/// The lock file does not say who holds it.
pub(crate) fn not_announced(lock: &std::path::Path, error: &std::io::Error) {
    warn!(lock = %lock.display(), %error, "the lock file cannot be written; it is tried again");
}

/// The daemon ends in good order, for this reason.
pub(crate) fn ending(why: &str) {
    info!(why, "ending");
}

/// The daemon ends though something would not.
pub(crate) fn ended_in_disorder(what: &str) {
    error!(what, "ended in disorder");
}

/// The configuration cannot be read as it is now.
pub(crate) fn configuration_failed(error: &impl fmt::Display) {
    warn!(%error, "the configuration is not usable as it is; what was read before stays in force");
}

/// A file of what a server said of itself is not believed.
pub(crate) fn words_set_aside(file: &std::path::Path, why: &str) {
    let file = file.display();
    warn!(%file, why, "a file of what a server said of itself is set aside as `.bad`");
}

/// What was kept of a session over HTTP is not believed.
pub(crate) fn session_set_aside(file: &std::path::Path, why: &str) {
    let file = file.display();
    warn!(%file, why, "a file of a session over HTTP is set aside as `.bad`");
}

/// Sessions over HTTP are not kept.
pub(crate) fn sessions_not_kept(folder: &std::path::Path, error: &std::io::Error) {
    let folder = folder.display();
    warn!(%folder, %error, "a session over HTTP is not kept; it ends with this daemon");
}

/// What servers said of themselves is not kept.
pub(crate) fn words_not_kept(folder: &std::path::Path, error: &std::io::Error) {
    let folder = folder.display();
    warn!(%folder, %error, "what servers say of themselves is not kept; they start with each first session");
}

/// The parent of the servers runs.
pub(crate) fn guardian_started(pid: u32) {
    info!(pid, "guardian started");
}

/// The guardian of an earlier daemon was met, which holds so many servers.
pub(crate) fn guardian_inherited(pid: u32, epoch: u32, servers: usize) {
    info!(
        pid,
        epoch, servers, "guardian of an earlier daemon taken over"
    );
}

/// The guardian of an earlier daemon was met, and there is no talking to it.
pub(crate) fn guardian_not_understood(error: &anyhow::Error) {
    error!(
        error = format!("{error:#}"),
        "the guardian of an earlier daemon is ended"
    );
}

/// A server of an earlier daemon about which nothing was left is ended.
pub(crate) fn unknown_server_ended(pid: u32) {
    error!(
        pid,
        "a server of an earlier daemon was not known well enough, and is ended"
    );
}

/// A server is not started: a session runs it itself, as there was no daemon.
pub(crate) fn run_directly(server: &str, direct: &shim::direct::Direct) {
    warn!(
        server,
        pid = direct.pid,
        cause = direct.cause,
        "not started for as long as a session runs it without the daemon"
    );
}

/// Nobody can tell whether a session runs a server itself.
pub(crate) fn direct_not_known(lock: &std::path::Path, error: &std::io::Error) {
    warn!(lock = %lock.display(), %error, "it is not known whether a session runs the server itself");
}

/// It is not written down which daemon of its places this is.
pub(crate) fn epoch_not_kept(file: &std::path::Path, error: &std::io::Error) {
    warn!(
        file = %file.display(),
        %error,
        "should daemon and guardian end together, the next daemon may ask clients under ids that this one has used"
    );
}

/// Nothing has turned for so long: the process is about to end. What its threads do is all that anybody
/// will know of it, unless the system keeps a core.
pub(crate) fn hung(patience: std::time::Duration, threads: &[Thread]) {
    error!(
        seconds = patience.as_secs(),
        "the daemon hangs and gives up; its sessions go on at the next one"
    );
    for thread in threads {
        let Thread {
            name,
            state,
            waits_in,
        } = thread;
        error!(name, state, waits_in, "a thread of the daemon that hangs");
    }
}

/// Not even KILL ended everything that a guardian left behind.
pub(crate) fn orphans_survived(count: usize) {
    error!(count, "processes of servers survived their guardian");
}

/// The parent of the servers has ended while it was needed.
pub(crate) fn guardian_lost() {
    error!("the guardian has ended, and all servers with it");
}

/// A server's processes would not end.
pub(crate) fn survivors(server: &str, count: u32) {
    error!(
        server,
        count, "processes of a server did not end, not even when killed"
    );
}

/// The books that are kept in tests do not agree with what the daemon does.
#[cfg(feature = "audit")]
pub(crate) fn violated(violation: &mux::audit::Violation) {
    error!("audit: {violation}");
}

/// What the books have seen in the life of this daemon.
#[cfg(feature = "audit")]
pub(crate) fn audited(count: mux::audit::Count) {
    let mux::audit::Count {
        events,
        messages,
        violations,
    } = count;
    if violations == 0 {
        info!("audit: {events} events, {messages} messages, clean");
    } else {
        error!("audit: {violations} violations");
    }
}

impl Observer {
    /// Goes on counting where the program before us stopped.
    pub(crate) fn resumed(counts: BTreeMap<String, u64>, upstreams: &[UpstreamSnapshot]) -> Self {
        let servers = upstreams.iter();
        Observer {
            counts: counts
                .into_iter()
                .map(|(name, count)| (Cow::Owned(name), count))
                .collect(),
            servers: servers
                .map(|upstream| (upstream.id, Arc::clone(&upstream.server)))
                .collect(),
        }
    }

    /// How often each kind of thing has happened.
    pub(crate) fn counts(&self) -> &BTreeMap<Cow<'static, str>, u64> {
        &self.counts
    }

    /// What an upstream is called, if it was ever started.
    fn server(&self, upstream: UpstreamId) -> &str {
        self.servers.get(&upstream).map_or("?", |name| name)
    }

    /// Forgets what an upstream without a process is called: its next start says it again.
    fn forget_if_over(&mut self, upstream: UpstreamId, fact: &Fact) {
        if matches!(
            fact,
            Fact::UpstreamExited { .. } | Fact::UpstreamStartFailed { .. }
        ) {
            self.servers.remove(&upstream);
        }
    }

    /// Counts that a session has come or gone that is one request. There are as many as a client cares to make.
    pub(crate) fn observe_brief(&mut self, fact: &Fact) {
        *self.counts.entry(Cow::Borrowed(name(fact))).or_default() += 1;
        debug!(event = name(fact), "of a session that is one request");
    }

    /// Logs and counts one fact.
    pub(crate) fn observe(&mut self, fact: &Fact) {
        *self.counts.entry(Cow::Borrowed(name(fact))).or_default() += 1;
        match fact {
            Fact::SessionOpened { session, server } => info!(%session, %server, "session opened"),
            Fact::SessionResumed { session, server } => {
                info!(%session, %server, "session is here again");
            }
            Fact::SessionReplayed {
                session,
                lines,
                refused,
            } => info!(%session, lines, refused, "session's unfinished lines replayed"),
            Fact::SessionRouted { session, upstream } => {
                debug!(%session, %upstream, "session routed");
            }
            Fact::SessionClosed { session } => info!(%session, "session closed"),
            Fact::SessionCut { session, open } => {
                warn!(%session, open, "session does not read; what waited for it was dropped");
            }
            // As many as a client cares to cause: counted, and told only to those who look closely.
            Fact::SessionFault { session, fault } => debug!(%session, %fault, "no message"),
            Fact::Refused { session, refusal } => log_refusal(*session, refusal),
            Fact::UpstreamStarting {
                upstream,
                server,
                restarts,
            } => {
                self.servers.insert(*upstream, Arc::clone(server));
                info!(%upstream, %server, restarts, "server starting");
            }
            Fact::UpstreamInherited {
                upstream,
                server,
                sessions,
                is_ready,
            } => {
                self.servers.insert(*upstream, Arc::clone(server));
                info!(%upstream, %server, sessions, is_ready, "server taken over from an earlier daemon");
            }
            Fact::RecordUnreadable { upstream, why } => {
                warn!(%upstream, why, "what an earlier daemon left of a server cannot be read; it is stopped");
            }
            Fact::UpstreamRecalled { upstream, server } => {
                info!(%upstream, %server, "server not started yet; its sessions hear what it said last");
            }
            Fact::UpstreamStartFailed { upstream, .. }
            | Fact::UpstreamReady { upstream, .. }
            | Fact::UpstreamOfOtherEra { upstream, .. }
            | Fact::UpstreamGreetingFailed { upstream, .. }
            | Fact::UpstreamNarrowed { upstream }
            | Fact::ListOutdated { upstream, .. }
            | Fact::UpstreamUnresponsive { upstream, .. }
            | Fact::UpstreamResponsive { upstream }
            | Fact::UpstreamPrivate { upstream, .. }
            | Fact::UpstreamRetiring { upstream, .. }
            | Fact::MemoryLost { upstream, .. }
            | Fact::UpstreamStopping { upstream }
            | Fact::UpstreamExited { upstream, .. }
            | Fact::UpstreamFailed { upstream }
            | Fact::UpstreamFault { upstream, .. }
            | Fact::UpstreamDegraded { upstream, .. }
            | Fact::UpstreamSound { upstream }
            | Fact::Dropped { upstream, .. }
            | Fact::AskRefused { upstream, .. }
            | Fact::ToolSeparated { upstream, .. } => {
                log_upstream(*upstream, self.server(*upstream), fact);
                self.forget_if_over(*upstream, fact);
            }
            Fact::Contradiction { what } => error!(what, "the core contradicts itself"),
        }
    }
}

fn log_refusal(session: SessionId, refusal: &Refusal) {
    let reason = refusal.reason();
    if matches!(refusal, Refusal::Malformed { .. }) {
        debug!(%session, reason, "request refused");
    } else {
        info!(%session, reason, "request refused");
    }
}

fn log_refused_ask(upstream: UpstreamId, server: &str, method: &wire::Method, refusal: &Refusal) {
    // The server's own words: quoted, so that they cannot pass for a line of ours.
    let (method, reason) = (method.to_string(), refusal.reason());
    info!(%upstream, server, method, reason, "server's ask refused");
}

fn log_upstream(upstream: UpstreamId, server: &str, fact: &Fact) {
    match fact {
        Fact::UpstreamStartFailed { why, .. } => {
            warn!(%upstream, server, why, "server could not be started");
        }
        Fact::UpstreamReady { version, .. } => info!(%upstream, server, version, "server ready"),
        Fact::UpstreamGreetingFailed { why, .. } => {
            warn!(%upstream, server, why, "server did not return the greeting");
        }
        Fact::UpstreamNarrowed { .. } => {
            warn!(%upstream, server, "server offers less after its restart than before");
        }
        Fact::ListOutdated { list, .. } => info!(%upstream, server, list, "list has changed"),
        Fact::UpstreamUnresponsive { quiet, open, .. } => {
            let quiet = quiet.as_secs();
            warn!(%upstream, server, quiet, open, "server does not respond; what is new waits");
        }
        Fact::UpstreamResponsive { .. } => info!(%upstream, server, "server responds again"),
        Fact::UpstreamPrivate { why, .. } => info!(%upstream, server, why, "server is not shared"),
        Fact::UpstreamOfOtherEra { era, .. } => {
            info!(%upstream, server, era = era.name(), "server does not speak so; it is asked otherwise");
        }
        Fact::UpstreamRetiring { open, .. } => {
            info!(%upstream, server, open, "server is to be restarted when it has answered");
        }
        Fact::MemoryLost { sessions, .. } => {
            warn!(%upstream, server, sessions, "server may have forgotten what sessions did with it");
        }
        Fact::UpstreamStopping { .. } => info!(%upstream, server, "server stopping"),
        Fact::UpstreamExited {
            exit,
            expected: true,
            ..
        } => info!(%upstream, server, %exit, "server stopped"),
        Fact::UpstreamExited {
            exit,
            expected: false,
            open,
            ..
        } => warn!(%upstream, server, %exit, open, "server ended unasked"),
        Fact::UpstreamFailed { .. } => warn!(%upstream, server, "server keeps failing and rests"),
        Fact::UpstreamFault { fault, .. } => debug!(%upstream, server, %fault, "no message"),
        Fact::UpstreamDegraded { lines, .. } => {
            warn!(%upstream, server, lines, "server writes much that is no message; it is degraded");
        }
        Fact::UpstreamSound { .. } => info!(%upstream, server, "server is no longer degraded"),
        Fact::Dropped { reason, .. } => {
            debug!(%upstream, server, reason = reason.name(), "message dropped");
        }
        Fact::AskRefused {
            method, refusal, ..
        } => log_refused_ask(upstream, server, method, refusal),
        Fact::ToolSeparated { tool, .. } => {
            let tool = &**tool;
            info!(%upstream, server, tool, "tool asks or logs; its calls run apart now");
        }
        Fact::SessionOpened { .. }
        | Fact::SessionResumed { .. }
        | Fact::SessionReplayed { .. }
        | Fact::SessionRouted { .. }
        | Fact::SessionClosed { .. }
        | Fact::SessionCut { .. }
        | Fact::Refused { .. }
        | Fact::SessionFault { .. }
        | Fact::UpstreamInherited { .. }
        | Fact::RecordUnreadable { .. }
        | Fact::UpstreamStarting { .. }
        | Fact::UpstreamRecalled { .. }
        | Fact::Contradiction { .. } => {}
    }
}

/// A stable word for programs.
fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::SessionOpened { .. } => "session-opened",
        Fact::SessionResumed { .. } => "session-resumed",
        Fact::SessionReplayed { .. } => "session-replayed",
        Fact::SessionRouted { .. } => "session-routed",
        Fact::SessionClosed { .. } => "session-closed",
        Fact::SessionCut { .. } => "session-cut",
        Fact::Refused { .. } => "refused",
        Fact::SessionFault { .. } => "session-fault",
        Fact::UpstreamInherited { .. } => "upstream-inherited",
        Fact::RecordUnreadable { .. } => "record-unreadable",
        Fact::UpstreamStarting { .. } => "upstream-starting",
        Fact::UpstreamRecalled { .. } => "upstream-recalled",
        Fact::ListOutdated { .. } => "list-outdated",
        Fact::UpstreamStartFailed { .. } => "upstream-start-failed",
        Fact::UpstreamReady { .. } => "upstream-ready",
        Fact::UpstreamOfOtherEra { .. } => "upstream-of-other-era",
        Fact::UpstreamGreetingFailed { .. } => "upstream-greeting-failed",
        Fact::UpstreamNarrowed { .. } => "upstream-narrowed",
        Fact::UpstreamUnresponsive { .. } => "upstream-unresponsive",
        Fact::UpstreamResponsive { .. } => "upstream-responsive",
        Fact::UpstreamPrivate { .. } => "upstream-private",
        Fact::UpstreamRetiring { .. } => "upstream-retiring",
        Fact::MemoryLost { .. } => "memory-lost",
        Fact::UpstreamStopping { .. } => "upstream-stopping",
        Fact::UpstreamExited { .. } => "upstream-exited",
        Fact::UpstreamFailed { .. } => "upstream-failed",
        Fact::UpstreamFault { .. } => "upstream-fault",
        Fact::UpstreamDegraded { .. } => "upstream-degraded",
        Fact::UpstreamSound { .. } => "upstream-sound",
        Fact::Dropped { .. } => "dropped",
        Fact::AskRefused { .. } => "ask-refused",
        Fact::ToolSeparated { .. } => "tool-separated",
        Fact::Contradiction { .. } => "contradiction",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    use mux::UpstreamId;
    use wire::Method;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_server_calls_things_cannot_pass_for_lines_of_the_log() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let forged = "x\n2026-01-01T00:00:00Z ERROR forged \u{1b}[31m";
        let upstream = UpstreamId(1);
        tracing::subscriber::with_default(subscriber, || {
            let mut observer = Observer::default();
            observer.observe(&Fact::AskRefused {
                upstream,
                method: Method::from_name(forged),
                refusal: Refusal::NoSuchMethod {
                    method: Method::from_name(forged),
                },
            });
            observer.observe(&Fact::ToolSeparated {
                upstream,
                tool: forged.into(),
            });
        });
        let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(!log.contains('\u{1b}'), "{log}");
    }
}
