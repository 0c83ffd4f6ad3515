//! Lines of clients that are no message.
//!
//! Each is an error to its client, and a session is never closed for it. One that is too long is found
//! before its end, which may never come.
//!
//! **Invariant:** no line has two answers under one id, and none has one under the id of a request that is
//! open.

use wire::{About, Fault, Named, Purpose, RequestId};

use crate::{
    action::Outbox,
    fact::Fact,
    ids::{LineNumber, SessionId},
    inquiry::Inquiry,
    mux::Mux,
    refusal::Refusal,
    session::{Overrun, Session, ToldOfOverrun},
};

impl Mux {
    /// A line that is no message, whatever comes of it. Its client must hear of it now: the end may never
    /// come.
    ///
    /// Only what is a request beyond doubt is answered under its id; of anything else the end may tell more.
    pub(crate) fn on_session_overrun(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        fault: Fault,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let About { named, purpose } = fault.about();
        // Nobody waits for a word about an answer but the server.
        if let (Purpose::Answer, Named::One(shown)) = (purpose, named) {
            return self.end_asked(session_id, shown, &Refusal::of_answer(&fault), out);
        }
        let id = session.free_id(&fault).cloned();
        let id = id.filter(|_| *purpose == Purpose::Question);
        let told = match id {
            Some(_) => ToldOfOverrun::AsItsAnswer,
            None => ToldOfOverrun::WithoutId,
        };
        session.overrun = Some(Overrun { line, told });
        self.count_heard(session_id, out);
        out.tell(Fact::SessionFault {
            session: session_id,
            fault: fault.clone(),
        });
        self.pause_if_enough(session_id, out);
        let refusal = Refusal::of_question(fault);
        match id {
            // Its line is done with that: its shim keeps no more of it, for no daemon.
            Some(id) => self.refuse(session_id, &id, line, refusal, out),
            None => self.tell_with(session_id, Some(line), refusal.to_response(None), out),
        }
    }

    /// A line that is no message. A session is never closed for it.
    pub(crate) fn on_session_fault(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        fault: Fault,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let overrun = session.overrun.take_if(|overrun| overrun.line == line);
        let told = overrun.map(|overrun| overrun.told);
        self.count_heard(session_id, out);
        if told.is_none() {
            out.tell(Fact::SessionFault {
                session: session_id,
                fault: fault.clone(),
            });
        }
        let is_nothing_else = self.on_useless_ask_answer(session_id, &fault, out);
        self.pause_if_enough(session_id, out);
        if is_nothing_else || told == Some(ToldOfOverrun::AsItsAnswer) {
            self.end_unanswered(session_id, line, out);
            return;
        }
        let session = self.sessions.get(&session_id);
        let id = session.and_then(|session| session.free_id(&fault)).cloned();
        let is_in_batch = session.is_some_and(|session| session.batches.contains_key(&line));
        let refusal = Refusal::of_question(fault);
        match id {
            Some(id) => self.refuse(session_id, &id, line, refusal, out),
            None if is_in_batch => {
                self.answer_in_batch(session_id, None, line, refusal.to_response(None), out);
            }
            None if told.is_some() => self.line_is_done(session_id, line, out),
            None => {
                self.tell_with(session_id, Some(line), refusal.to_response(None), out);
                self.line_is_done(session_id, line, out);
            }
        }
    }

    /// Ends every ask that an answer at fault may have been for. Says whether the line was nothing else.
    fn on_useless_ask_answer(
        &mut self,
        session_id: SessionId,
        fault: &Fault,
        out: &mut Outbox,
    ) -> bool {
        let About { named, purpose } = fault.about();
        match purpose {
            Purpose::Question | Purpose::Noise => return false,
            Purpose::Answer | Purpose::Either => {}
        }
        let refusal = Refusal::of_answer(fault);
        match named {
            Named::Nobody => return false,
            Named::One(id) => self.end_asked(session_id, id, &refusal, out),
            Named::Several(ids) => {
                for id in ids {
                    self.end_asked(session_id, id, &refusal, out);
                }
            }
            Named::Unknown => {
                self.end_asks_of(session_id, &refusal, out);
                self.end_inquiries(session_id, Inquiry::waits, &refusal, out);
            }
        }
        *purpose == Purpose::Answer && *named != Named::Unknown
    }

    /// Nothing will come of what a session was asked under this id, whoever asked it.
    fn end_asked(
        &mut self,
        session_id: SessionId,
        shown: &RequestId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        self.end_ask(session_id, shown, refusal, out);
        self.end_inquiry_by(session_id, shown, refusal, out);
    }
}

impl Session {
    /// The id that a line at fault names beyond doubt, unless a request under it is still open: an error
    /// would be taken for its answer.
    fn free_id<'a>(&self, fault: &'a Fault) -> Option<&'a RequestId> {
        fault.id().filter(|id| !self.open.contains_key(*id))
    }
}
