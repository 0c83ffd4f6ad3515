//! Every error that the pooler answers on its own account. Words live here and nowhere else.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use wire::{Fault, Method, Outgoing, RequestId, quoted};

use crate::{
    class::{Capability, Class},
    era::SERVED_VERSIONS,
    event::Exit,
    terms::Lack,
};

/// A request that we answer ourselves, with "no".
///
/// Clients may branch on [`Refusal::reason`]; people read the text. `docs/errors.md` lists them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The configuration has no server of this name.
    NoSuchServer {
        /// The name asked for.
        server: Arc<str>,
        /// Names that there are and that look like it.
        similar: Vec<Arc<str>>,
    },
    /// The configuration, or what the client brought for it, does not do.
    BadConfiguration {
        /// What is wrong and how to mend it, with file, line and key.
        what: Arc<str>,
    },
    /// The server could not be started, or ended before it could be greeted.
    StartFailed {
        /// Which server.
        server: Arc<str>,
        /// What happened.
        why: String,
        /// The last lines of its standard error.
        last_words: Vec<String>,
        /// Variables that look like credentials and that it was not given.
        withheld: Vec<Arc<str>>,
    },
    /// The server has not answered the handshake yet; its start goes on.
    StillStarting {
        /// Which server.
        server: Arc<str>,
        /// How long the session has waited.
        after: Duration,
        /// The last lines of its standard error.
        last_words: Vec<String>,
        /// Variables that look like credentials and that it was not given.
        withheld: Vec<Arc<str>>,
    },
    /// The server keeps dying; it rests before the next attempt.
    StillFailing {
        /// Which server.
        server: Arc<str>,
        /// How long it still rests.
        retry_in: Duration,
    },
    /// The server's process ended before it answered.
    UpstreamExited {
        /// Which server.
        server: Arc<str>,
        /// How.
        exit: Exit,
        /// Whether the request may have had an effect: it had been sent, and is more than a question.
        maybe_executed: bool,
    },
    /// The server's process was stopped by its user before it answered.
    UpstreamStopped {
        /// Which server.
        server: Arc<str>,
        /// Whether the request may have had an effect: it had been sent, and is more than a question.
        maybe_executed: bool,
    },
    /// The server did not take the request in, or lost it on the way, and lives on.
    UpstreamRefused {
        /// Which server.
        server: Arc<str>,
        /// What it said, or what happened, and what can be done about it.
        why: String,
        /// Whether the request may have had an effect: it had been sent, and is more than a question.
        maybe_executed: bool,
        /// How long it wants to be left alone, if it has said that.
        retry_in: Option<Duration>,
    },
    /// The server was started again and may have forgotten what earlier calls of the session did; told once.
    StateLost {
        /// Which server.
        server: Arc<str>,
    },
    /// The server did not answer within the longest life of a request, told of no progress for too long, or did not
    /// say within half a minute whether it tells of a resource.
    TookTooLong {
        /// How long that was.
        after: Duration,
        /// What was waited for.
        lack: Lack,
    },
    /// The session did not read its answers; this one was dropped.
    TooSlow,
    /// Too much waits already.
    Overloaded,
    /// The answer was longer than a message may be.
    AnswerTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There was no room for the answer.
    AnswerDropped,
    /// The answer was no message.
    AnswerMalformed {
        /// What is wrong with it.
        fault: Fault,
    },
    /// The daemon is ending.
    ShuttingDown,
    /// The daemon died while it had the request, and another has taken over.
    DaemonRestarted {
        /// Whether the request may have had an effect: it had been sent, and is more than a question.
        maybe_executed: bool,
    },
    /// Nobody can tell which of several sessions this is for.
    OwnerUnclear {
        /// What the server asked.
        method: Method,
    },
    /// The session that this is for has gone.
    OwnerGone,
    /// The session that this is for cannot do it.
    NotCapable {
        /// What the server asked.
        method: Method,
    },
    /// The method does not exist here.
    NoSuchMethod {
        /// Which.
        method: Method,
    },
    /// The server was started again and no longer offers this.
    NoLongerOffered {
        /// Which server.
        server: Arc<str>,
        /// What was asked.
        method: Method,
    },
    /// A request of the modern era is of a version that is not spoken here (2026-07-28).
    UnsupportedVersion {
        /// The version that it names.
        requested: String,
    },
    /// A member of `_meta` that a request must have is missing, or is of another type (2026-07-28).
    BadMeta {
        /// Its name.
        name: &'static str,
    },
    /// Something in the parameters of a request is not as it must be.
    BadParameter {
        /// What is wrong.
        what: &'static str,
    },
    /// The server has a process for each session, and there is none (2026-07-28, over HTTP).
    NeedsSession {
        /// Which server.
        server: Arc<str>,
    },
    /// The answer is of a kind that the client's version of MCP does not have.
    AnswerUntranslatable {
        /// The kind, as the server calls it.
        kind: String,
    },
    /// The answer wants something of the client that the request has not declared.
    LacksCapability {
        /// What that is.
        capability: Capability,
    },
    /// The server has asked again and again before it answered.
    TooManyRounds,
    /// The client has refused to answer what the server wanted to know first.
    InputRefused,
    /// The client has not answered in time what the server wanted to know first.
    InputTookTooLong {
        /// How long that was.
        after: Duration,
    },
    /// A request before `initialize`.
    NotInitialized,
    /// A second `initialize` before the first is answered, with other capabilities, or in a batch.
    AlreadyInitialized,
    /// A request with the id of another that is still open.
    IdInUse,
    /// What came is no message.
    Malformed {
        /// What is wrong with it.
        fault: Fault,
    },
}

impl Refusal {
    /// What whoever waits for an answer is told, if what is at fault was that.
    pub(crate) fn of_answer(fault: &Fault) -> Self {
        match fault {
            Fault::TooLong { limit, .. } => Refusal::AnswerTooLong { limit: *limit },
            Fault::NoRoom { .. } => Refusal::AnswerDropped,
            Fault::NotUtf8 { .. }
            | Fault::NotJson { .. }
            | Fault::NotAnObject
            | Fault::TooMany { .. }
            | Fault::NotJsonRpc { .. } => Refusal::AnswerMalformed {
                fault: fault.clone(),
            },
        }
    }

    /// What whoever wrote it is told.
    pub(crate) fn of_question(fault: Fault) -> Self {
        if matches!(fault, Fault::NoRoom { .. }) {
            Refusal::Overloaded
        } else {
            Refusal::Malformed { fault }
        }
    }

    /// A stable word for programs. Never change one; add another.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NoSuchServer { .. } => "no-such-server",
            Refusal::BadConfiguration { .. } => "bad-configuration",
            Refusal::StartFailed { .. } => "start-failed",
            Refusal::StillStarting { .. } => "still-starting",
            Refusal::StillFailing { .. } => "still-failing",
            Refusal::UpstreamExited { .. } => "upstream-exited",
            Refusal::UpstreamStopped { .. } => "upstream-stopped",
            Refusal::UpstreamRefused { .. } => "upstream-refused",
            Refusal::StateLost { .. } => "state-lost",
            Refusal::TookTooLong { .. } => "took-too-long",
            Refusal::TooSlow => "too-slow",
            Refusal::Overloaded => "overloaded",
            Refusal::AnswerTooLong { .. } => "answer-too-long",
            Refusal::AnswerDropped => "answer-dropped",
            Refusal::AnswerMalformed { .. } => "answer-malformed",
            Refusal::ShuttingDown => "shutting-down",
            Refusal::DaemonRestarted { .. } => "daemon-restarted",
            Refusal::OwnerUnclear { .. } => "owner-unclear",
            Refusal::OwnerGone => "owner-gone",
            Refusal::NotCapable { .. } => "not-capable",
            Refusal::NoSuchMethod { .. } => "no-such-method",
            Refusal::NoLongerOffered { .. } => "no-longer-offered",
            Refusal::UnsupportedVersion { .. } => "unsupported-version",
            Refusal::BadMeta { .. } => "bad-meta",
            Refusal::BadParameter { .. } => "bad-parameter",
            Refusal::NeedsSession { .. } => "needs-session",
            Refusal::AnswerUntranslatable { .. } => "answer-untranslatable",
            Refusal::LacksCapability { .. } => "lacks-capability",
            Refusal::TooManyRounds => "too-many-rounds",
            Refusal::InputRefused => "input-refused",
            Refusal::InputTookTooLong { .. } => "input-took-too-long",
            Refusal::NotInitialized => "not-initialized",
            Refusal::AlreadyInitialized => "already-initialized",
            Refusal::IdInUse => "id-in-use",
            Refusal::Malformed { .. } => "malformed",
        }
    }

    /// The JSON-RPC error code: the specification's where it has one, else -32603.
    pub fn code(&self) -> i32 {
        match self {
            Refusal::NotCapable { .. }
            | Refusal::NoSuchMethod { .. }
            | Refusal::NoLongerOffered { .. } => -32601,
            Refusal::NotInitialized | Refusal::AlreadyInitialized | Refusal::IdInUse => -32600,
            Refusal::UnsupportedVersion { .. } => -32022,
            Refusal::LacksCapability { .. } => -32021,
            Refusal::BadMeta { .. } | Refusal::BadParameter { .. } => -32602,
            Refusal::Malformed { fault } => fault.code(),
            Refusal::NoSuchServer { .. }
            | Refusal::BadConfiguration { .. }
            | Refusal::StartFailed { .. }
            | Refusal::StillStarting { .. }
            | Refusal::StillFailing { .. }
            | Refusal::UpstreamExited { .. }
            | Refusal::UpstreamStopped { .. }
            | Refusal::UpstreamRefused { .. }
            | Refusal::StateLost { .. }
            | Refusal::TookTooLong { .. }
            | Refusal::TooSlow
            | Refusal::Overloaded
            | Refusal::AnswerTooLong { .. }
            | Refusal::AnswerDropped
            | Refusal::AnswerMalformed { .. }
            | Refusal::ShuttingDown
            | Refusal::DaemonRestarted { .. }
            | Refusal::OwnerUnclear { .. }
            | Refusal::NeedsSession { .. }
            | Refusal::AnswerUntranslatable { .. }
            | Refusal::TooManyRounds
            | Refusal::InputRefused
            | Refusal::InputTookTooLong { .. }
            | Refusal::OwnerGone => -32603,
        }
    }

    /// Whether the same request may do better a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Refusal::StillStarting { .. }
            | Refusal::StillFailing { .. }
            | Refusal::UpstreamExited { .. }
            | Refusal::UpstreamStopped { .. }
            | Refusal::UpstreamRefused { .. }
            | Refusal::StateLost { .. }
            | Refusal::TooSlow
            | Refusal::Overloaded
            | Refusal::AnswerDropped
            | Refusal::ShuttingDown => true,
            Refusal::NoSuchServer { .. }
            | Refusal::BadConfiguration { .. }
            | Refusal::StartFailed { .. }
            | Refusal::TookTooLong { .. }
            | Refusal::AnswerTooLong { .. }
            | Refusal::AnswerMalformed { .. }
            | Refusal::OwnerUnclear { .. }
            | Refusal::OwnerGone
            | Refusal::NotCapable { .. }
            | Refusal::NoSuchMethod { .. }
            | Refusal::NoLongerOffered { .. }
            | Refusal::UnsupportedVersion { .. }
            | Refusal::BadMeta { .. }
            | Refusal::BadParameter { .. }
            | Refusal::NeedsSession { .. }
            | Refusal::AnswerUntranslatable { .. }
            | Refusal::LacksCapability { .. }
            | Refusal::TooManyRounds
            | Refusal::InputRefused
            | Refusal::InputTookTooLong { .. }
            | Refusal::NotInitialized
            | Refusal::AlreadyInitialized
            | Refusal::IdInUse
            | Refusal::Malformed { .. } => false,
            Refusal::DaemonRestarted { maybe_executed } => !maybe_executed,
        }
    }

    /// Whether the request may have had its effect, where that is in doubt.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are certain")]
    fn maybe_executed(&self) -> Option<bool> {
        match self {
            Refusal::UpstreamExited { maybe_executed, .. }
            | Refusal::UpstreamStopped { maybe_executed, .. }
            | Refusal::UpstreamRefused { maybe_executed, .. }
            | Refusal::DaemonRestarted { maybe_executed } => Some(*maybe_executed),
            Refusal::TookTooLong { .. }
            | Refusal::TooSlow
            | Refusal::AnswerTooLong { .. }
            | Refusal::AnswerDropped
            | Refusal::AnswerMalformed { .. }
            | Refusal::AnswerUntranslatable { .. } => Some(true),
            _certain => None,
        }
    }

    /// The error response to the request with this id, or to a message whose id could not be read.
    pub fn to_response(&self, id: Option<&RequestId>) -> Outgoing {
        let id = id.map_or_else(|| String::from("null"), |id| format!("{id}"));
        let message = quoted(&format!("{self}"));
        let mut data = Vec::from([
            String::from(r#""source":"mcpool""#),
            format!(r#""reason":"{}""#, self.reason()),
            format!(r#""retryable":{}"#, self.is_retryable()),
        ]);
        if let Some(maybe) = self.maybe_executed() {
            data.push(format!(r#""maybeExecuted":{maybe}"#));
        }
        if let Refusal::StillFailing { retry_in, .. }
        | Refusal::UpstreamRefused {
            retry_in: Some(retry_in),
            ..
        } = self
        {
            data.push(format!(r#""retryAfterMs":{}"#, retry_in.as_millis()));
        }
        if let Refusal::UnsupportedVersion { requested } = self {
            let supported = SERVED_VERSIONS.map(quoted).join(",");
            data.push(format!(r#""supported":[{supported}]"#));
            data.push(format!(r#""requested":{}"#, quoted(requested)));
        }
        if let Refusal::LacksCapability { capability } = self {
            let required = Class::of([*capability]).to_json();
            data.push(format!(r#""requiredCapabilities":{required}"#));
        }
        if let Some(server) = self.server() {
            data.push(format!(r#""server":{}"#, quoted(server)));
        }
        let code = self.code();
        let data = data.join(",");
        Outgoing::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":{{{data}}}}}}}"#
        ))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others name no server")]
    fn server(&self) -> Option<&str> {
        match self {
            Refusal::NoSuchServer { server, .. }
            | Refusal::StartFailed { server, .. }
            | Refusal::StillStarting { server, .. }
            | Refusal::StillFailing { server, .. }
            | Refusal::UpstreamExited { server, .. }
            | Refusal::UpstreamStopped { server, .. }
            | Refusal::UpstreamRefused { server, .. }
            | Refusal::StateLost { server }
            | Refusal::NeedsSession { server }
            | Refusal::NoLongerOffered { server, .. } => Some(server),
            _unnamed => None,
        }
    }
}

impl fmt::Display for Refusal {
    #[expect(clippy::too_many_lines, reason = "one arm per refusal reads better")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoSuchServer { server, similar } => {
                write!(f, "no server named `{server}` is configured")?;
                if let [first, ..] = similar.as_slice() {
                    write!(f, " (did you mean `{first}`?)")?;
                }
                f.write_str("; `mcpool list` shows those that are, `mcpool add` adds one")
            }
            Refusal::BadConfiguration { what } => f.write_str(what),
            Refusal::StartFailed {
                server,
                why,
                last_words,
                withheld,
            } => {
                write!(f, "`{server}` did not start: {why}")?;
                fmt_last_words(f, server, last_words)?;
                fmt_withheld(f, withheld)
            }
            Refusal::StillStarting {
                server,
                after,
                last_words,
                withheld,
            } => {
                write!(
                    f,
                    "`{server}` has not answered within {} s; its start goes on, so try again",
                    after.as_secs()
                )?;
                fmt_last_words(f, server, last_words)?;
                fmt_withheld(f, withheld)
            }
            Refusal::StillFailing { server, retry_in } => {
                let seconds = retry_in.as_millis().div_ceil(1000);
                write!(
                    f,
                    "`{server}` keeps failing; next attempt in {seconds} s; see `mcpool logs {server}`"
                )
            }
            Refusal::UpstreamExited {
                server,
                exit,
                maybe_executed,
            } => {
                write!(f, "`{server}` {exit} before it answered")?;
                if exit.may_be_for_want_of_memory() {
                    f.write_str(", by somebody or by the system for want of memory")?;
                }
                fmt_maybe_executed(f, *maybe_executed)?;
                write!(f, "; see `mcpool logs {server}`")
            }
            Refusal::UpstreamStopped {
                server,
                maybe_executed,
            } => {
                write!(f, "`{server}` was stopped before it answered")?;
                fmt_maybe_executed(f, *maybe_executed)
            }
            Refusal::UpstreamRefused {
                server,
                why,
                maybe_executed,
                retry_in: _in_the_words,
            } => {
                write!(f, "`{server}`: {why}")?;
                fmt_maybe_executed(f, *maybe_executed)
            }
            Refusal::StateLost { server } => write!(
                f,
                "`{server}` was started again and may have forgotten what earlier calls did; this one was not sent: \
                 do again what it builds on, then call again"
            ),
            Refusal::TookTooLong { after, lack } => {
                let seconds = after.as_millis().div_ceil(1000);
                match lack {
                    Lack::Answer => write!(f, "no answer within {seconds} s"),
                    Lack::Progress => {
                        write!(f, "neither an answer nor any progress within {seconds} s")
                    }
                }
            }
            Refusal::TooSlow => {
                f.write_str("the client did not read its answers in time and this one was dropped")
            }
            Refusal::Overloaded => f.write_str("too many requests wait already"),
            Refusal::AnswerDropped => f.write_str("there was no room for the answer"),
            Refusal::AnswerMalformed { fault } => write!(f, "the answer cannot be used: {fault}"),
            Refusal::AnswerTooLong { limit } => {
                write!(f, "the answer was longer than {limit} bytes")
            }
            Refusal::ShuttingDown => f.write_str("mcpool is stopping"),
            Refusal::DaemonRestarted { maybe_executed } => {
                f.write_str("mcpool was started again before the answer came")?;
                fmt_maybe_executed(f, *maybe_executed)
            }
            Refusal::OwnerUnclear { method } => {
                write!(f, "cannot tell which of several sessions `{method}` is for")
            }
            Refusal::OwnerGone => f.write_str("the session that this is for has ended"),
            Refusal::NotCapable { method } => write!(f, "the client does not support `{method}`"),
            Refusal::NoSuchMethod { method } => write!(f, "method not found: {method}"),
            Refusal::NoLongerOffered { server, method } => write!(
                f,
                "`{server}` was started again and no longer offers `{method}`; a new session sees what it offers now"
            ),
            Refusal::UnsupportedVersion { requested } => {
                write!(
                    f,
                    "version `{requested}` of the protocol is not spoken here"
                )
            }
            Refusal::BadMeta { name } => write!(f, "`_meta` must have a valid `{name}`"),
            Refusal::BadParameter { what } => f.write_str(what),
            Refusal::NeedsSession { server } => write!(
                f,
                "`{server}` runs once for each session, and requests of 2026-07-28 over HTTP have none: \
                 begin one with `initialize`, or use stdio"
            ),
            Refusal::AnswerUntranslatable { kind } => write!(
                f,
                "the answer is of the kind `{kind}`, which the client's version of MCP does not have"
            ),
            Refusal::LacksCapability { capability } => write!(
                f,
                "the answer needs a client that can do `{}`, and the request has not declared that",
                capability.name()
            ),
            Refusal::TooManyRounds => {
                f.write_str("the server asks again and again before it answers")
            }
            Refusal::InputRefused => {
                f.write_str("the client did not answer what the server asked before it could go on")
            }
            Refusal::InputTookTooLong { after } => write!(
                f,
                "the client did not answer within {} s what the server asked before it could go on",
                after.as_secs()
            ),
            Refusal::NotInitialized => {
                f.write_str("the first request of a session must be `initialize`")
            }
            Refusal::AlreadyInitialized => f.write_str("this session is initialized already"),
            Refusal::IdInUse => f.write_str("another request with this id is still open"),
            Refusal::Malformed { fault } => write!(f, "{fault}"),
        }
    }
}

fn fmt_last_words(f: &mut fmt::Formatter<'_>, server: &str, last_words: &[String]) -> fmt::Result {
    if last_words.is_empty() {
        return write!(f, "; see `mcpool logs {server}`");
    }
    f.write_str("; its last words:")?;
    last_words
        .iter()
        .try_for_each(|line| write!(f, "\n  {line}"))
}

fn fmt_withheld(f: &mut fmt::Formatter<'_>, withheld: &[Arc<str>]) -> fmt::Result {
    if let [first, ..] = withheld {
        write!(
            f,
            "\nnot passed to it, though the client has it: {}; if it needs that, say `--env {first}` or put it into `env_pass`",
            withheld.join(", ")
        )?;
    }
    Ok(())
}

fn fmt_maybe_executed(f: &mut fmt::Formatter<'_>, maybe_executed: bool) -> fmt::Result {
    f.write_str(if maybe_executed {
        "; the request may have been carried out"
    } else {
        "; the request had no effect"
    })
}
