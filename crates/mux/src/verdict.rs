//! In which era a server was found not to speak, and what follows from that.
//!
//! A server is asked in the era of the client that has come. Where it does not answer as that era wants it,
//! its process is stopped, and once that has ended, whoever waits for it waits at another process, which is
//! asked in the other era: two processes of one server may fight for a lock. Only when that one has answered,
//! too, the verdict on the server is more than a guess.
//!
//! What was found counts for the program that it was found of. Another one that has taken its place is still asked as
//! was found, since most speak as the one before; but nothing that it says is held to have another cause because of
//! that, and once it has spoken it is open how it speaks otherwise.
//!
//! **Invariant:** of a server at most one era is refused; one that speaks neither is none. A verdict is
//! believed for a day, or as long as a process speaks to us as it says.

use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, Outbox},
    era::Era,
    event::{Exit, Opening, Program, Route},
    fact::Fact,
    ids::{SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
    recall::Known,
    routing::RouteKey,
    upstream::{State, StopCause, Upstream},
};

/// What was found of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "crate::frozen::forms::verdict::Form")]
pub(crate) struct Verdict {
    /// The era in which it does not speak; `None` if what was kept of that has turned out wrong.
    pub(crate) refused: Option<Era>,
    pub(crate) until: Moment,
    pub(crate) proof: Proof,
    /// Of what that was found, if it is known.
    pub(crate) program: Option<Program>,
    /// What its process did when it was asked in that era, for a person; until another one has answered.
    pub(crate) words: Option<Arc<str>>,
}

impl Verdict {
    /// Whether it was found of another program than the one that is asked now. What was found just before, as its
    /// server was asked in the other era, counts for both.
    fn is_outdated(&self, asked: &Asked) -> bool {
        are_different(self.program, asked.program)
            && (self.proof == Proof::Whole || asked.has_changed)
    }
}

/// Whom a process speaks for that is asked in some era.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    route: Route,
    era: Era,
    program: Option<Program>,
    /// Whether the process before it had spoken so and was started from another program.
    has_changed: bool,
    /// What it did in place of an answer, for a person.
    words: Option<Arc<str>>,
}

/// Whether a server has spoken before in the era in which it does not answer now, as far as that counts against this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    /// It never has, or another program has and this one says that it does not.
    Never,
    /// It never has, and whoever is here without having heard of it has come from elsewhere, and is not sent to and
    /// fro.
    NeverToRefugees,
    /// It has at an earlier start, and its sessions are served from what it said then.
    AtEarlierStart,
    Yes,
}

impl Upstream {
    fn spoken(&self, evidence: Evidence) -> Spoken {
        if !self.is_greeted() {
            return if self.attached.is_empty() {
                Spoken::Never
            } else {
                Spoken::NeverToRefugees
            };
        }
        // Another program than the one that has spoken so has to say that it does not: one that ends or is silent may
        // be there in part only, and comes back as it was.
        let is_another = self.has_changed() && evidence.is_said();
        let known = self.known.as_ref();
        if known.is_some_and(Known::is_of_earlier_start) {
            Spoken::AtEarlierStart
        } else if is_another {
            Spoken::Never
        } else {
            Spoken::Yes
        }
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            route: self.key.route.clone(),
            era: self.key.era,
            program: self.program,
            has_changed: self.has_changed(),
            words: self.ungreeted.clone(),
        }
    }
}

/// What was found of a server before this daemon was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The era in which it does not speak.
    pub refused: Era,
    /// How long that is to be believed yet.
    pub life: Duration,
}

impl Finding {
    /// What is left of it when that much time has passed, if anything is.
    pub(crate) fn after(self, age: Duration) -> Option<Self> {
        let life = self.life.checked_sub(age).filter(|life| !life.is_zero())?;
        Some(Finding { life, ..self })
    }
}

/// How sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proof {
    /// It has said nothing, and may only have been slow. That is never kept.
    Silence,
    /// It has said so or ended, and has not answered in the other era yet.
    Half,
    /// It has answered in the other era, too, or had at an earlier start.
    Whole,
}

/// What a server did in place of an answer to our greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It has said that there is no such method or version.
    Refusal,
    /// It has said something else.
    OtherAnswer,
    /// It has said nothing for as long as it was waited for.
    Silence,
    /// Its process has ended.
    End(Exit),
}

impl Evidence {
    /// Whether it is the server's own word.
    fn is_said(self) -> bool {
        matches!(self, Evidence::Refusal | Evidence::OtherAnswer)
    }

    /// What it shows of a server that was asked in this era. The specification of the modern era (2026-07-28)
    /// takes whatever is no answer for a sign of the legacy one, and some servers end at any other request
    /// than `initialize`; what was killed or lost says nothing.
    fn proof(self, era: Era) -> Option<Proof> {
        match (era, self) {
            (_, Evidence::Refusal)
            | (Era::Modern, Evidence::OtherAnswer | Evidence::End(Exit::Code(_))) => {
                Some(Proof::Half)
            }
            (Era::Modern, Evidence::Silence) => Some(Proof::Silence),
            // What does not come up says nothing of how it would have spoken.
            (Era::Modern | Era::Legacy, _) => None,
        }
    }
}

/// The era in which a server is spoken to for a client of this one.
pub(crate) fn spoken_for(client: Era, refused: Option<Era>) -> Era {
    if refused == Some(client) {
        client.other()
    } else {
        client
    }
}

impl Mux {
    /// The era in which the server of a route was found not to speak.
    pub(crate) fn refused_era(&self, route: &Route) -> Option<Era> {
        let verdict = self.verdicts.get(route)?;
        let refused = verdict.refused?;
        // What speaks to us was not changed since, and another process of it need not be disturbed by a trial.
        let speaks = |era: Era| {
            let mut upstreams = self.upstreams.values();
            upstreams
                .any(|it| it.key.era == era && it.handshake.is_some() && it.key.route == *route)
        };
        (verdict.until > self.now || speaks(refused.other())).then_some(refused)
    }

    /// The same, if it was found of what is asked like this.
    pub(crate) fn refused_era_for(&self, asked: &Asked) -> Option<Era> {
        let verdict = self.verdicts.get(&asked.route)?;
        let refused = self.refused_era(&asked.route)?;
        (!verdict.is_outdated(asked)).then_some(refused)
    }

    /// Takes in what a session has brought along of what was found at earlier starts of its server, unless
    /// something was found since.
    pub(crate) fn learn_verdict(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let opening = &session.opening;
        let known = self.verdicts.get(&opening.route);
        if known.is_some_and(|verdict| verdict.until > self.now) {
            return;
        }
        // Of what runs elsewhere nobody knows what it was started from.
        let found = opening.found.map(|found| (found, None));
        let Some((found, program)) = kept_verdict(opening).or(found) else {
            return;
        };
        // The client may have taken its time.
        let age = self.now - session.since;
        if let Some(Finding { refused, life }) = found.after(age) {
            let verdict = Verdict {
                refused: Some(refused),
                until: self.now + life,
                proof: Proof::Whole,
                program,
                words: None,
            };
            let route = opening.route.clone();
            self.verdicts.insert(route.clone(), verdict);
            self.touch_records_of(&route);
        }
    }

    /// Whether the server of a process that speaks so was found to speak in no other era.
    pub(crate) fn is_of_one_era(&self, key: &RouteKey) -> bool {
        let verdict = self.verdicts.get(&key.route);
        verdict.is_some_and(|verdict| {
            verdict.proof == Proof::Whole && verdict.refused == Some(key.era.other())
        })
    }

    /// An earlier daemon has found that of the server of a process which it has left. It is believed for as long as
    /// that speaks.
    pub(crate) fn inherit_verdict(&mut self, route: Route, era: Era, program: Option<Program>) {
        let verdict = Verdict {
            refused: Some(era.other()),
            until: self.now,
            proof: Proof::Whole,
            program,
            words: None,
        };
        self.verdicts.insert(route, verdict);
    }

    /// What was found of a server may be in the record of any of its processes.
    fn touch_records_of(&mut self, route: &Route) {
        let upstreams = self.upstreams.iter();
        let of_route = upstreams.filter(|(_, upstream)| upstream.key.route == *route);
        self.unrecorded.extend(of_route.map(|(id, _)| *id));
    }

    fn find_refused(&mut self, asked: Asked, proof: Proof) {
        let life = match proof {
            // The other era is given as long to prove itself, and then only its process can.
            Proof::Silence => self.limits.greeting_timeout,
            Proof::Half | Proof::Whole => self.limits.verdict_life,
        };
        let verdict = Verdict {
            refused: Some(asked.era),
            until: self.now + life,
            proof,
            program: asked.program,
            words: asked.words,
        };
        self.verdicts.insert(asked.route.clone(), verdict);
        self.touch_records_of(&asked.route);
    }

    /// A server that was asked like this has answered.
    pub(crate) fn prove_era(&mut self, upstream_id: UpstreamId, asked: &Asked, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        // Who keeps what it says keeps that with it.
        let is_kept_with_words = upstream.known.is_some();
        let Some(verdict) = self.verdicts.get_mut(&asked.route) else {
            return;
        };
        if verdict.refused == Some(asked.era) || verdict.is_outdated(asked) {
            // It does speak so, or nobody knows how this one speaks in the other era.
            verdict.refused = None;
        } else if verdict.proof == Proof::Half {
            verdict.proof = Proof::Whole;
            verdict.program = asked.program;
            verdict.words = None;
        } else {
            return;
        }
        let refused = verdict.refused;
        self.touch_records_of(&asked.route);
        if !is_kept_with_words {
            out.act(Action::KeepFinding {
                upstream: upstream_id,
                refused,
            });
        }
    }

    /// What there is to be kept of what was found of the server of a route.
    pub(crate) fn verdict_to_keep(&self, route: &Route) -> Option<Finding> {
        let verdict = self.verdicts.get(route)?;
        let life = verdict.until - self.now;
        let is_good = verdict.proof == Proof::Whole && !life.is_zero();
        let refused = verdict.refused.filter(|_| is_good)?;
        Some(Finding { refused, life })
    }

    /// A server does not answer as the era wants it in which it was asked: what that proves, if whoever wants it is
    /// to be served in the other era.
    pub(crate) fn judge(
        &mut self,
        upstream_id: UpstreamId,
        evidence: Evidence,
        out: &mut Outbox,
    ) -> Option<Proof> {
        let upstream = self.upstreams.get(&upstream_id)?;
        let asked = upstream.asked();
        let may_turn = !upstream.has_fixed_era(&self.sessions);
        let spoken = upstream.spoken(evidence);
        let verdict = self.verdicts.get(&asked.route);
        let is_found = verdict.is_some_and(|verdict| verdict.until > self.now);
        let proof = evidence.proof(asked.era);
        match spoken {
            Spoken::Yes => return None,
            Spoken::AtEarlierStart if proof.is_some() => self.take_back_words(upstream_id, out),
            Spoken::AtEarlierStart | Spoken::Never | Spoken::NeverToRefugees => {}
        }
        let proof = proof.filter(|_| may_turn);
        // Of what was found before nothing is left, also where nobody is sent back for it.
        let route = asked.route.clone();
        let proof = self.hold_against_verdict(upstream_id, asked, evidence, proof);
        self.touch_records_of(&route);
        proof.filter(|_| !(spoken == Spoken::NeverToRefugees && is_found))
    }

    /// What is left of a proof that a server does not speak in an era, when it was found before not to speak in the
    /// other.
    fn hold_against_verdict(
        &mut self,
        upstream_id: UpstreamId,
        asked: Asked,
        evidence: Evidence,
        proof: Option<Proof>,
    ) -> Option<Proof> {
        let before = self.verdicts.get_mut(&asked.route);
        let other = Some(asked.era.other());
        let Some(before) = before.filter(|before| before.refused == other) else {
            return proof;
        };
        if before.is_outdated(&asked) {
            before.refused = None;
            return proof;
        }
        if before.proof == Proof::Whole {
            // It has spoken so before. What may have any other cause does not count against that.
            return proof.filter(|_| evidence.is_said());
        }
        // It speaks in neither, or was slow when it was asked first. If it says now that it does not understand
        // this, whoever comes next has it asked in the other era again, with more patience.
        before.refused = None;
        let words = before.words.take();
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.ungreeted_before = words;
        }
        if asked.era == Era::Legacy && proof.is_some() {
            self.find_refused(asked, Proof::Half);
        }
        None
    }

    /// Stops a process that is to be followed by one of the other era.
    pub(crate) fn stop_for_other_era(
        &mut self,
        upstream_id: UpstreamId,
        proof: Proof,
        out: &mut Outbox,
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.state = State::Draining {
                cause: StopCause::OtherEra(proof),
            };
            out.act(Action::StopUpstream {
                upstream: upstream_id,
            });
        }
    }

    /// What the end of this process makes a verdict of, if it does.
    pub(crate) fn verdict_of_end(
        &mut self,
        upstream_id: UpstreamId,
        exit: Exit,
        out: &mut Outbox,
    ) -> Option<Proof> {
        match self.upstreams.get(&upstream_id)?.state {
            State::Draining {
                cause: StopCause::OtherEra(proof),
            } => Some(proof),
            State::Initializing => self.judge(upstream_id, Evidence::End(exit), out),
            State::Draining { .. }
            | State::Stopped
            | State::Starting
            | State::Ready { .. }
            | State::Backoff
            | State::Rested
            | State::Failed { .. } => None,
        }
    }

    /// A process has ended that did not speak in its era: whoever waits for it waits for one of the other, and
    /// whoever was served from what it had said at an earlier start is served by that.
    pub(crate) fn turn_to_other_era(
        &mut self,
        upstream_id: UpstreamId,
        proof: Proof,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let asked = upstream.asked();
        let era = asked.era;
        let attached: Vec<SessionId> = upstream.attached.iter().copied().collect();
        let waiting: Vec<SessionId> = upstream.waiting.drain(..).collect();
        for session in &waiting {
            upstream.turns.remove(*session);
        }
        self.find_refused(asked, proof);
        out.tell(Fact::UpstreamOfOtherEra {
            upstream: upstream_id,
            era,
        });
        for session in attached {
            if !self.turn_away_without_session(session, era.other(), out) {
                self.seat_elsewhere(session, upstream_id, out);
            }
        }
        for session in waiting {
            if !self.turn_away_without_session(session, era.other(), out) {
                self.route_again(session, out);
            }
        }
        self.after_restart(upstream_id, None, out);
    }
}

/// What was found at earlier starts of a session's server, and of what. It has changed since if it has spoken so, too.
fn kept_verdict(opening: &Opening) -> Option<(Finding, Option<Program>)> {
    let kept = || opening.kept.iter().flatten();
    // Words are kept of who has answered.
    let speaks = |era: Era| kept().any(|words| words.era == era);
    let mut refused = kept().filter_map(|words| Some((words.refused?, words.program)));
    refused.find(|(found, _)| !speaks(found.refused))
}

/// Whether these two are surely not the same.
pub(crate) fn are_different(one: Option<Program>, other: Option<Program>) -> bool {
    one.is_some() && other.is_some() && one != other
}
