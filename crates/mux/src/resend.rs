//! What becomes of the requests that a process owed when it ended.
//!
//! What the process never saw, and what changes nothing when it is done twice, goes to the next
//! process: the former whenever that may be, the latter once. Everything else is answered at once, as
//! it may have been carried out.
//!
//! What a process never saw is what its session's shim had not been told of yet, and what the edge was
//! given and had not written a byte of when the process ended: the edge hands that back.
//!
//! **Invariant:** no `tools/call` that was written to a process is ever written to another.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use bytes::Bytes;
use wire::Frame;

use crate::{
    action::{Action, Notice, Outbox},
    bridge,
    event::Exit,
    exchange::{Claim, Effect, Exchange, Kept, MintedId, Owner},
    ids::UpstreamId,
    mux::Mux,
    refusal::Refusal,
    scales::Weighed,
    sending::may_be_repeated,
    session::{Held, Stage, Whereabouts},
};

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// We had asked it to.
    Expected,
    /// By itself.
    Unexpected(Exit),
}

/// A request that a process took with it.
struct Lost {
    minted: MintedId,
    claim: Claim,
    was_sent: bool,
}

impl Mux {
    /// Keeps what may go to the next process, and answers the rest. What is `unwritten` is as good as not
    /// sent.
    pub(crate) fn settle_open(
        &mut self,
        upstream_id: UpstreamId,
        open: Vec<(MintedId, Exchange)>,
        unwritten: Vec<Frame>,
        end: End,
        out: &mut Outbox,
    ) {
        let mut unwritten = by_minted_id(unwritten);
        let mut lost = Vec::new();
        // Each goes before what waits already, so the last goes first.
        for (minted, exchange) in open.into_iter().rev() {
            let returned = unwritten.remove(&minted);
            let was_sent = exchange.is_sent() && returned.is_none();
            let Owner::Session(claim) = exchange.owner else {
                continue;
            };
            let kept = match (exchange.kept, returned) {
                (Kept::Nothing, None) => None,
                (Kept::Nothing, Some(frame)) => self.weigh_returned(upstream_id, &claim, &frame),
                (Kept::Unsent(frame), _) | (Kept::Repeatable(frame), Some(_)) => {
                    Some((*frame, Stage::Fresh))
                }
                (Kept::Repeatable(frame), None) => Some((*frame, Stage::Repeated)),
            };
            let held = kept.map(|(frame, stage)| Held {
                line: claim.line,
                frame,
                since: self.now,
                stage,
            });
            match held {
                Some(held) if !self.is_full() && !self.is_parked(&claim) => {
                    self.take_back(upstream_id, *claim, held, out);
                }
                Some(_) | None => lost.push(Lost {
                    minted,
                    claim: *claim,
                    was_sent,
                }),
            }
        }
        for lost in lost.into_iter().rev() {
            self.refuse_lost(upstream_id, lost, end, out);
        }
    }

    /// A request of which nothing is kept, as its session had said it, and how far it has been.
    ///
    /// What changes books of ours is not among them: the books would have to be put back, too.
    fn weigh_returned(
        &self,
        upstream_id: UpstreamId,
        claim: &Claim,
        frame: &Frame,
    ) -> Option<(Weighed<Frame>, Stage)> {
        if claim.effect != Effect::Nothing {
            return None;
        }
        let session = self.sessions.get(&claim.session)?;
        let server = self.upstreams.get(&upstream_id)?.key.era;
        let said = bridge::as_said(frame, claim, server);
        let said = Frame::parse(Bytes::from(said.to_vec())).ok()?;
        // An earlier process may have had what only reads.
        let stage = if claim.method.is_read_only() {
            Stage::Repeated
        } else {
            Stage::Fresh
        };
        Some((session.scales.weigh(said), stage))
    }

    /// Puts a request back to where it came from, before all that its session has said since.
    fn take_back(&mut self, upstream_id: UpstreamId, claim: Claim, held: Held, out: &mut Outbox) {
        let line = held.line;
        let Some(session) = self.sessions.get_mut(&claim.session) else {
            return;
        };
        session.open.insert(claim.id, Whereabouts::Held(line));
        session.queue.push_front(held);
        if let Some(announcing) = session.announcing.get_mut(&line) {
            announcing.minted = None;
        }
        // What may be done twice the next daemon may send again whatever it hears of it.
        let must_tell = !may_be_repeated(&claim.method)
            && session.keeps_lines()
            && !session.batches.contains_key(&line);
        if must_tell {
            out.act(Action::Notify {
                session: claim.session,
                notice: Notice::Held(line),
            });
        }
        self.count_waiting(claim.session, out);
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.turns.queue_up(claim.session);
        }
    }

    fn refuse_lost(&mut self, upstream_id: UpstreamId, lost: Lost, end: End, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let server: Arc<str> = upstream.server.clone();
        let Lost {
            minted,
            claim,
            was_sent,
        } = lost;
        self.give_up_effect(upstream_id, minted, &claim.effect, out);
        let maybe_executed = was_sent && !claim.method.is_read_only();
        let refusal = match end {
            End::Expected => Refusal::UpstreamStopped {
                server,
                maybe_executed,
            },
            End::Unexpected(exit) => Refusal::UpstreamExited {
                server,
                exit,
                maybe_executed,
            },
        };
        if let Some(session) = self.sessions.get_mut(&claim.session) {
            session.announcing.remove(&claim.line);
        }
        self.refuse(claim.session, &claim.id, claim.line, refusal, out);
    }
}

fn by_minted_id(requests: Vec<Frame>) -> BTreeMap<MintedId, Frame> {
    let with_id = |frame: Frame| Some((frame.id()?.as_number()?, frame));
    requests.into_iter().filter_map(with_id).collect()
}
