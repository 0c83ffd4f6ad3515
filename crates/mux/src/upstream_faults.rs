//! Lines of servers that are no message.
//!
//! Such a line may have been the answer that somebody waits for, and will not come again.
//!
//! **Invariant:** whoever may have been meant by it is answered, and a server that may still be at work for who was
//! not hears that nobody waits.

use alloc::{format, vec::Vec};

use wire::{Fault, Named, Purpose, RequestId};

use crate::{
    action::Outbox,
    exchange::{Errand, Exchange, MintedId, Owner},
    fact::{DropReason, Fact},
    from_session::cancellation,
    ids::UpstreamId,
    lanes::CallEnd,
    listen::Unheard,
    mux::Mux,
    refusal::Refusal,
    timers::Timer,
    verdict::Evidence,
};

/// Whether the answer that nobody can use was that of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// It was.
    Certain,
    /// It may have been: the server may still be at work on it.
    Possible,
}

impl Mux {
    /// A line of a server's that is no message. If it may have been an answer, nobody waits for it in vain.
    pub(crate) fn on_upstream_fault(
        &mut self,
        upstream_id: UpstreamId,
        fault: Fault,
        out: &mut Outbox,
    ) {
        self.note_noise(upstream_id, out);
        if !self.upstreams.contains_key(&upstream_id) {
            return;
        }
        out.tell(Fact::UpstreamFault {
            upstream: upstream_id,
            fault: fault.clone(),
        });
        match fault.about().purpose {
            Purpose::Noise => {}
            Purpose::Answer | Purpose::Either => self.on_useless_answer(upstream_id, &fault, out),
            // What it asks has ids of its own, which look like ours.
            Purpose::Question => {
                if let Some(id) = fault.id().cloned()
                    && !self.is_deaf(upstream_id, out)
                {
                    let refusal = Refusal::of_question(fault);
                    Mux::tell_upstream(upstream_id, refusal.to_response(Some(&id)), out);
                }
            }
        }
    }

    /// Ends every exchange that an answer at fault may have been for: it will not come again.
    fn on_useless_answer(&mut self, upstream_id: UpstreamId, fault: &Fault, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let meant: Vec<MintedId> = match &fault.about().named {
            Named::Nobody => Vec::new(),
            Named::One(id) => id.as_number().into_iter().collect(),
            Named::Several(ids) => ids.iter().filter_map(RequestId::as_number).collect(),
            // One of them was the one.
            Named::Unknown => upstream.exchanges.sent(),
        };
        if meant.is_empty() {
            self.drop_message(upstream_id, DropReason::UnknownResponse, out);
        }
        // One that was cancelled may have been meant, too, so that the only one open need not be.
        let blame = match fault.about().certain_id() {
            Some(_) => Blame::Certain,
            None => Blame::Possible,
        };
        for minted in meant {
            self.fail_exchange(upstream_id, (minted, blame), fault, out);
        }
    }

    /// Ends an exchange whose answer has come and is of no use.
    fn fail_exchange(
        &mut self,
        upstream_id: UpstreamId,
        (minted, blame): (MintedId, Blame),
        fault: &Fault,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_laid =
            blame == Blame::Certain && upstream.lanes.lay_ghost(minted, CallEnd::BrokenOff);
        let is_sent = upstream
            .exchanges
            .get(minted)
            .is_some_and(Exchange::is_sent);
        let exchange = is_sent.then(|| upstream.exchanges.close(minted)).flatten();
        match exchange.map(|exchange| exchange.owner) {
            None => {
                self.drop_message(upstream_id, DropReason::UnknownResponse, out);
                if is_laid {
                    self.after_exchange(upstream_id, out);
                }
            }
            Some(Owner::Ourselves(Errand::Greet)) => {
                let why = format!("its answer to `initialize` cannot be used: {fault}");
                self.timers.clear(Timer::Greeting(upstream_id));
                self.fail_greeting(upstream_id, Evidence::OtherAnswer, &why, out);
            }
            Some(Owner::Ourselves(Errand::Compare(listing, _))) => {
                self.on_list_lost(upstream_id, listing, out);
            }
            Some(Owner::Ourselves(Errand::Subscribe)) => {
                self.on_subscribed(upstream_id, minted, None, out);
            }
            Some(Owner::Ourselves(Errand::Unsubscribe | Errand::SetLevel | Errand::Ping)) => {}
            Some(Owner::Ourselves(Errand::Listen)) => {
                if blame == Blame::Possible {
                    // It may go on, and what it tells would come twice.
                    self.give_up(upstream_id, minted, out);
                }
                self.on_unheard(upstream_id, minted, Unheard::Ended, out);
            }
            Some(Owner::Session(claim)) => {
                self.give_up_effect(upstream_id, minted, &claim.effect, out);
                match blame {
                    Blame::Certain => self.end_call(upstream_id, minted),
                    Blame::Possible => self.give_up(upstream_id, minted, out),
                }
                let refusal = Refusal::of_answer(fault);
                self.refuse(claim.session, &claim.id, claim.line, refusal, out);
                self.after_exchange(upstream_id, out);
            }
        }
    }

    /// Nobody waits for a request any longer, and the server may still be at work on it.
    fn give_up(&mut self, upstream_id: UpstreamId, minted: MintedId, out: &mut Outbox) {
        self.haunt(upstream_id, minted);
        let words = cancellation(minted, "its answer may have been lost");
        Mux::tell_upstream(upstream_id, words, out);
    }
}
