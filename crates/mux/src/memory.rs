//! What a process may remember of its sessions, and what they hear when it is lost.
//!
//! A server may keep a counter, a folder or a login from one call to the next. A new process has
//! nothing of that, and nobody but the session knows whether it mattered: so those that had called the
//! last one are told, by a warning or by an error to their next call, as the configuration says.
//!
//! Of a process that an earlier daemon had started it is not known who had called it: all that it served
//! count as if they had.
//!
//! **Invariant:** who never called a process that ended hears nothing of its end, as far as that is known,
//! and nobody hears of it twice.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
};

use serde::{Deserialize, Serialize};
use wire::{Frame, Method, Outgoing, RequestId, quoted};

use crate::{
    action::Outbox,
    era::Era,
    event::OnRestart,
    exchange::{Effect, Owner},
    fact::Fact,
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
    offers::Offer,
    refusal::Refusal,
    upstream::Origin,
    verbosity::Level,
};

/// Under which name a warning of ours stands among the messages of a server.
pub(crate) const LOGGER: &str = "mcpool";

/// Which sessions the processes of an upstream know something of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Those that have called the process that runs, and how often.
    callers: BTreeMap<SessionId, u64>,
    /// Those that had called one that is gone, and have not been told.
    forgotten: BTreeSet<SessionId>,
    /// Those that have left the process that runs, the last ones, and how often they had called it: the link
    /// of one may have broken, and then it comes back.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    left: VecDeque<(SessionId, u64)>,
}

/// Sessions that have left and are still known.
const LEFT_MAX: usize = 64;

impl Memory {
    pub(crate) fn note_call(&mut self, session: SessionId) {
        *self.callers.entry(session).or_default() += 1;
    }

    /// A call did not reach the process after all.
    fn take_back_call(&mut self, session: SessionId) {
        if let Some(calls) = self.callers.get_mut(&session) {
            *calls -= 1;
            if *calls == 0 {
                self.callers.remove(&session);
            }
        }
    }

    /// The process is gone.
    pub(crate) fn lose(&mut self) {
        let callers = core::mem::take(&mut self.callers);
        self.forgotten.extend(callers.into_keys());
        self.left.clear();
    }

    /// The session is gone. Says whether it was to hear that something is lost.
    pub(crate) fn forget(&mut self, session: SessionId) -> bool {
        let calls = self.callers.remove(&session).unwrap_or_default();
        if self.forgotten.remove(&session) {
            return true;
        }
        if self.left.len() >= LEFT_MAX {
            self.left.pop_front();
        }
        self.left.push_back((session, calls));
        false
    }

    /// The session is here again; says whether the process knows it.
    fn remember(&mut self, session: SessionId) -> bool {
        let Some(at) = self.left.iter().position(|(left, _)| *left == session) else {
            return self.callers.contains_key(&session);
        };
        if let Some((_, calls)) = self.left.remove(at)
            && calls > 0
        {
            self.callers.insert(session, calls);
        }
        true
    }
}

impl Mux {
    /// A process ends of which these requests are still `unwritten`: of them it remembers nothing.
    pub(crate) fn take_back_unwritten(&mut self, upstream_id: UpstreamId, unwritten: &[Frame]) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let calls = unwritten
            .iter()
            .filter(|frame| frame.method() == Some(&Method::ToolsCall));
        for minted in calls.filter_map(Frame::id).filter_map(RequestId::as_number) {
            if let Some(Owner::Session(claim)) = upstream
                .exchanges
                .get(minted)
                .map(|exchange| &exchange.owner)
            {
                upstream.memory.take_back_call(claim.session);
            }
        }
    }

    /// A session that was greeted before has its place here. Unless its process was taken over from an
    /// earlier daemon, or has run here since, that has been lost, and what it knew of the session with it.
    pub(crate) fn miss_memory(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.memory.remember(session_id) || upstream.origin == Origin::EarlierDaemon {
            return;
        }
        upstream.memory.forgotten.insert(session_id);
        if upstream.is_ready() {
            self.tell_what_is_forgotten(upstream_id, out);
        }
    }

    /// A new process serves: those who had called the last one are told, unless it is for their next
    /// call to do so.
    pub(crate) fn tell_what_is_forgotten(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.memory.forgotten.is_empty() {
            return;
        }
        out.tell(Fact::MemoryLost {
            upstream: upstream_id,
            sessions: upstream.memory.forgotten.len(),
        });
        match upstream.on_restart {
            OnRestart::Error => {}
            OnRestart::Continue => {
                let warning = warning(&upstream.server);
                for session in core::mem::take(&mut upstream.memory.forgotten) {
                    self.warn(session, &warning, out);
                }
            }
        }
    }

    /// Tells a client that is prepared for messages of a log: it was promised some, or has asked for them. In the
    /// modern era only a request can have.
    fn warn(&self, session_id: SessionId, warning: &Outgoing, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        match session.era {
            Era::Legacy => {
                let is_promised = session.offers.has(Offer::Logging);
                let level = session.level;
                if level.map_or(is_promised, |least| least <= Level::Warning) {
                    Mux::tell_session(session_id, warning.clone(), out);
                }
            }
            Era::Modern => {
                let line = session.queue.line_that_hears(Level::Warning);
                if line.is_some() {
                    self.tell_with(session_id, line, warning.clone(), out);
                }
            }
        }
    }

    /// Refuses a call that may build on what the process has forgotten; the next one goes.
    pub(crate) fn weigh_call(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        line: LineNumber,
        out: &mut Outbox,
    ) -> Option<Effect> {
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        if !upstream.memory.forgotten.remove(&session_id) {
            return Some(Effect::Nothing);
        }
        let server = upstream.server.clone();
        // Others may have been kept from going for this one.
        self.give_up_turn(session_id);
        self.refuse(session_id, id, line, Refusal::StateLost { server }, out);
        None
    }
}

fn warning(server: &str) -> Outgoing {
    let words = quoted(&format!(
        "`{server}` was started again and may have forgotten what earlier calls did"
    ));
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"warning","logger":"{LOGGER}","data":{words}}}}}"#
    ))
}
