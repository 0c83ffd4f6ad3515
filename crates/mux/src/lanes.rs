//! Which calls may run side by side, so that it stays clear whom a server means when it asks.
//!
//! A server over stdio does not say which call made it ask. Calls are therefore readers and writers:
//! a tool that has been seen to ask runs apart from other sessions' calls, and so does, for a short
//! time, the first call of a tool that nobody has seen before. All others run together.
//!
//! **Invariant:** while a call runs apart, every open askable call is of its session.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
};

use serde::{Deserialize, Serialize};

use crate::{
    exchange::MintedId,
    ghosts::{Ghosts, Haunting, Spell},
    ids::SessionId,
    moment::Moment,
};

/// A tool, a prompt, or the reading of resources: what conduct is remembered of.
pub(crate) type Tool = Box<str>;

/// Longest name of a tool whose conduct is remembered, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What has been seen of a server's tools. Outlives the server's process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conduct {
    seen: BTreeMap<Tool, Seen>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Seen {
    asks: bool,
    logs: bool,
}

/// How a call has to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Beside any others.
    Together,
    /// Apart from other sessions' calls for a short time: nobody knows yet whether it asks.
    Probation,
    /// Apart from other sessions' calls: it has been seen to ask.
    Apart,
}

/// What makes the manner of a call matter at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// Whether the server may ask its sessions anything.
    pub(crate) can_be_asked: bool,
    /// Whether a session has set a log level.
    pub(crate) is_logging: bool,
}

impl Conduct {
    pub(crate) fn manner(&self, tool: &str, circumstances: Circumstances) -> Manner {
        match self.seen.get(tool) {
            Some(seen) if seen.asks && circumstances.can_be_asked => Manner::Apart,
            Some(seen) if seen.logs && circumstances.is_logging => Manner::Apart,
            Some(_) => Manner::Together,
            None if circumstances.can_be_asked => Manner::Probation,
            None => Manner::Together,
        }
    }

    /// A call has shown what it does, or has had the time to.
    pub(crate) fn saw(&mut self, tool: &str, remembered_max: usize) {
        self.note(tool, remembered_max, |_| {});
    }

    /// Whether this is news.
    pub(crate) fn saw_ask(&mut self, tool: &str, remembered_max: usize) -> bool {
        self.note(tool, remembered_max, |seen| seen.asks = true)
    }

    /// Whether this is news.
    pub(crate) fn saw_log(&mut self, tool: &str, remembered_max: usize) -> bool {
        self.note(tool, remembered_max, |seen| seen.logs = true)
    }

    fn note(&mut self, tool: &str, remembered_max: usize, change: impl FnOnce(&mut Seen)) -> bool {
        if !self.seen.contains_key(tool) && self.seen.len() >= remembered_max {
            return false;
        }
        let seen = self.seen.entry(tool.into()).or_default();
        let before = (seen.asks, seen.logs);
        change(seen);
        before != (seen.asks, seen.logs)
    }
}

/// The askable calls that are open at one upstream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lanes {
    open: BTreeMap<MintedId, Call>,
    /// Calls of each session, so that the common questions need no walk.
    callers: BTreeMap<SessionId, usize>,
    /// Those of `open` that run apart. All are of one session.
    apart: BTreeSet<MintedId>,
    ghosts: Ghosts,
    /// The session whose call is next to run apart: until it has begun, other sessions' wait.
    next_apart: Option<SessionId>,
    /// Sessions that a call apart has turned away, and that have begun nothing since.
    turned_away: BTreeSet<SessionId>,
    /// Set while an ask waits for its owner to become clear: nothing new may begin.
    pub(crate) is_undecided: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Call {
    session: SessionId,
    tool: Tool,
    /// When probation ends, for a call that runs apart only so long.
    probation_until: Option<Moment>,
}

/// Who may have made a server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody has a call open.
    Nobody,
    /// Only this session has.
    Session(SessionId),
    /// Only a call that was cancelled, or whose session has left.
    Ghost,
    /// Several.
    Unclear,
}

/// How a cancelled call ended at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// With a result, as if nobody had cancelled it.
    Completed,
    /// With an error, or with what is no answer.
    BrokenOff,
}

impl Lanes {
    /// Whether no call of a session may begin now, whatever it is.
    pub(crate) fn is_closed_to(&self, session: SessionId) -> bool {
        self.is_undecided
            || self.runs_apart().is_some_and(|apart| apart != session)
            || self.next_apart.is_some_and(|next| next != session)
    }

    /// Whether a call may begin now; if not, whether it is to be the next.
    pub(crate) fn admits(&mut self, session: SessionId, manner: Manner, now: Moment) -> bool {
        if self.is_closed_to(session) {
            self.turned_away.insert(session);
            return false;
        }
        if manner == Manner::Together {
            return true;
        }
        if self.runs_apart().is_some() {
            // Its own calls may run beside it, but not so that nobody else's ever can.
            return !self.turned_away.iter().any(|waits| *waits != session);
        }
        if self.callers.keys().any(|caller| *caller != session) {
            self.next_apart = Some(session);
            return false;
        }
        // What it makes the server ask could be of a cancelled call that the server is still at. Nobody
        // else is kept waiting for that.
        !self.ghosts.are_awaited_beside(session, now)
    }

    /// The session whose calls run apart, if any do.
    fn runs_apart(&self) -> Option<SessionId> {
        let first = self.apart.first()?;
        self.open.get(first).map(|call| call.session)
    }

    /// Takes note that a call has begun.
    pub(crate) fn begin(
        &mut self,
        id: MintedId,
        session: SessionId,
        tool: Tool,
        manner: Manner,
        probation_until: Moment,
    ) {
        self.give_up_next(session);
        let probation_until = (manner == Manner::Probation).then_some(probation_until);
        if manner != Manner::Together {
            self.apart.insert(id);
        }
        *self.callers.entry(session).or_default() += 1;
        self.open.insert(
            id,
            Call {
                session,
                tool,
                probation_until,
            },
        );
    }

    /// Takes note that a call is over. Names its tool.
    pub(crate) fn end(&mut self, id: MintedId) -> Option<Tool> {
        self.close(id).map(|call| call.tool)
    }

    /// Takes note that a call was cancelled: until then the server may work on, and ask. Says whether it is
    /// the only one of its session's.
    pub(crate) fn haunt(&mut self, id: MintedId, now: Moment, spell: Spell) -> bool {
        let Some(call) = self.close(id) else {
            return false;
        };
        let is_first = !self.ghosts.has_any_of(call.session);
        self.ghosts.appear(id, call.session, now, spell);
        is_first
    }

    /// Calls of before this daemon may be at work, whose sessions it may never see.
    pub(crate) fn inherit(&mut self, haunting: &Haunting, cancelled_until: Moment, until: Moment) {
        for session in &haunting.cancelled {
            self.ghosts.appear_unnamed(*session, cancelled_until);
        }
        for session in &haunting.abandoned {
            self.ghosts.abandon(*session, until);
        }
    }

    /// A session of before this daemon has no call at work. Says whether that is news.
    pub(crate) fn return_from(&mut self, session: SessionId) -> bool {
        self.ghosts.return_from(session)
    }

    /// Whose calls may be at work though nobody waits for them.
    pub(crate) fn haunting(&mut self, now: Moment) -> Haunting {
        self.ghosts.haunting(now)
    }

    fn close(&mut self, id: MintedId) -> Option<Call> {
        let call = self.open.remove(&id)?;
        self.apart.remove(&id);
        if let Some(count) = self.callers.get_mut(&call.session) {
            *count -= 1;
            if *count == 0 {
                self.callers.remove(&call.session);
            }
        }
        Some(call)
    }

    /// A late answer to a cancelled call: the server no longer works on it. Says whether that is news.
    ///
    /// An ask that waits came before that. A call that came to its end waits for none of its own, but a
    /// server that breaks one off need not withdraw what it has asked because of it: then the ghost
    /// stays until the asks that wait are decided.
    pub(crate) fn lay_ghost(&mut self, id: MintedId, end: CallEnd) -> bool {
        match end {
            CallEnd::BrokenOff if self.is_undecided => {
                self.ghosts.lay_later(id);
                false
            }
            CallEnd::BrokenOff | CallEnd::Completed => self.ghosts.lay(id),
        }
    }

    /// No ask waits any longer.
    pub(crate) fn all_is_decided(&mut self) {
        self.is_undecided = false;
        self.ghosts.lay_the_answered();
    }

    /// The session will not begin what it wanted to run apart.
    pub(crate) fn give_up_next(&mut self, session: SessionId) {
        self.turned_away.remove(&session);
        if self.next_apart == Some(session) {
            self.next_apart = None;
        }
    }

    /// Lets calls whose probation is over run together with others; names their tools.
    pub(crate) fn end_probation(&mut self, now: Moment) -> BTreeSet<Tool> {
        let mut tools = BTreeSet::new();
        for (id, call) in &mut self.open {
            if call.probation_until.is_some_and(|until| until <= now) {
                call.probation_until = None;
                self.apart.remove(id);
                tools.insert(call.tool.clone());
            }
        }
        tools
    }

    /// A call that runs apart has done so for long enough: others may run beside it.
    pub(crate) fn end_apart(&mut self, id: MintedId) {
        if let Some(call) = self.open.get_mut(&id) {
            call.probation_until = None;
        }
        self.apart.remove(&id);
    }

    /// When the next probation ends.
    pub(crate) fn next_probation(&self) -> Option<Moment> {
        self.apart
            .iter()
            .filter_map(|id| self.open.get(id)?.probation_until)
            .min()
    }

    /// When something that waits for the answers to cancelled calls need not any longer.
    pub(crate) fn next_unawaited(&self, now: Moment) -> Option<Moment> {
        self.ghosts.next_unawaited(now)
    }

    /// Whose call made the server speak, as far as the open calls tell.
    pub(crate) fn cause(&mut self, now: Moment) -> Cause {
        self.ghosts.fade(now);
        let mut callers = self.callers.keys();
        match (callers.next(), callers.next()) {
            (None, _) if self.ghosts.are_of_none() => Cause::Nobody,
            (None, _) => Cause::Ghost,
            (Some(only), None) if self.ghosts.are_all_of(*only) => Cause::Session(*only),
            _several => Cause::Unclear,
        }
    }

    /// The sessions that have calls open.
    pub(crate) fn callers(&self) -> impl Iterator<Item = SessionId> {
        self.callers.keys().copied()
    }

    #[cfg(test)]
    pub(crate) fn calls(&self) -> impl Iterator<Item = (MintedId, SessionId)> {
        self.open.iter().map(|(id, call)| (*id, call.session))
    }

    /// The tools of the calls that are open, of one session or of all.
    pub(crate) fn tools_open(&self, of: Option<SessionId>) -> BTreeSet<Tool> {
        let calls = self
            .open
            .values()
            .filter(|call| of.is_none_or(|session| call.session == session));
        calls.map(|call| call.tool.clone()).collect()
    }
}

/// What conduct is remembered under: prompts and tools may have the same name, and names that
/// nobody would give a tool have one key together.
pub(crate) fn tool_key(method: &wire::Method, name: &str) -> Tool {
    let name = if name.len() > NAME_BYTES_MAX {
        "…"
    } else {
        name
    };
    if *method == wire::Method::ToolsCall {
        return name.into();
    }
    let mut key = String::from(method.name());
    key.push(' ');
    key.push_str(name);
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId(1);
    const BOB: SessionId = SessionId(2);
    const LATER: Moment = Moment(1_000);

    fn begin(lanes: &mut Lanes, id: MintedId, session: SessionId, manner: Manner) -> bool {
        let admitted = lanes.admits(session, manner, Moment(0));
        if admitted {
            lanes.begin(id, session, "tool".into(), manner, LATER);
        }
        admitted
    }

    fn end(lanes: &mut Lanes, id: MintedId) {
        assert!(lanes.end(id).is_some(), "{id} was open");
    }

    #[test]
    fn quiet_tools_of_several_sessions_run_together() {
        let mut lanes = Lanes::default();
        assert!(begin(&mut lanes, 1, ALICE, Manner::Together));
        assert!(begin(&mut lanes, 2, BOB, Manner::Together));
        assert_eq!(lanes.cause(Moment(0)), Cause::Unclear);
        end(&mut lanes, 1);
        assert_eq!(lanes.cause(Moment(0)), Cause::Session(BOB));
    }

    #[test]
    fn who_waits_to_run_apart_is_not_passed_by() {
        let mut lanes = Lanes::default();
        assert!(begin(&mut lanes, 1, ALICE, Manner::Together));
        assert!(!begin(&mut lanes, 2, BOB, Manner::Apart));
        assert!(!begin(&mut lanes, 3, ALICE, Manner::Together));
        end(&mut lanes, 1);
        assert!(!begin(&mut lanes, 3, ALICE, Manner::Together));
        assert!(begin(&mut lanes, 2, BOB, Manner::Apart));
        assert!(
            begin(&mut lanes, 4, BOB, Manner::Together),
            "its own calls run beside it"
        );
        assert!(!begin(&mut lanes, 5, ALICE, Manner::Together));
    }

    #[test]
    fn who_runs_apart_again_and_again_lets_others_go_in_between() {
        let mut lanes = Lanes::default();
        assert!(begin(&mut lanes, 1, ALICE, Manner::Apart));
        assert!(begin(&mut lanes, 2, ALICE, Manner::Apart));
        assert!(!begin(&mut lanes, 3, BOB, Manner::Together));
        assert!(!begin(&mut lanes, 4, ALICE, Manner::Apart));
        end(&mut lanes, 1);
        end(&mut lanes, 2);
        assert!(begin(&mut lanes, 3, BOB, Manner::Together));
    }

    #[test]
    fn probation_ends_with_its_time() {
        let mut lanes = Lanes::default();
        assert!(begin(&mut lanes, 1, ALICE, Manner::Probation));
        assert!(!begin(&mut lanes, 2, BOB, Manner::Together));
        assert_eq!(lanes.next_probation(), Some(LATER));
        assert_eq!(lanes.end_probation(LATER).len(), 1);
        assert!(begin(&mut lanes, 2, BOB, Manner::Together));
    }

    #[test]
    fn a_cancelled_call_may_still_be_the_cause() {
        let mut lanes = Lanes::default();
        begin(&mut lanes, 1, ALICE, Manner::Together);
        let spell = Spell {
            until: LATER,
            awaited_until: Moment(0),
        };
        lanes.haunt(1, Moment(0), spell);
        assert_eq!(lanes.cause(Moment(0)), Cause::Ghost);
        begin(&mut lanes, 2, BOB, Manner::Together);
        assert_eq!(lanes.cause(Moment(0)), Cause::Unclear);
        assert_eq!(lanes.cause(LATER), Cause::Session(BOB));
    }
}
