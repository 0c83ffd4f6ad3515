//! What goes to sessions: every answer leaves through here, so each request gets exactly one.

use alloc::{format, string::String, vec::Vec};

use wire::{Outgoing, RequestId};

use crate::{
    action::{Action, Answered, Notice, Outbox, Then},
    event::Link,
    exchange::Owner,
    fact::Fact,
    ids::{LineNumber, SessionId},
    mux::Mux,
    refusal::Refusal,
    session::Whereabouts,
};

impl Mux {
    /// Gives a session the answer to one of its requests, and forgets the request.
    ///
    /// Called once for each request: whoever calls has found it open.
    pub(crate) fn answer(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        line: LineNumber,
        frame: Outgoing,
        out: &mut Outbox,
    ) {
        self.answer_and_then(session_id, (id, line), frame, Then::Done, out);
    }

    /// The same, and says what becomes of the line.
    pub(crate) fn answer_and_then(
        &mut self,
        session_id: SessionId,
        (id, line): (&RequestId, LineNumber),
        frame: Outgoing,
        then: Then,
        out: &mut Outbox,
    ) {
        if self.keep_outcome(session_id, id, &frame) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.open.remove(id);
        session.inquiries.remove(id);
        if session.batches.contains_key(&line) {
            self.answer_in_batch(session_id, Some(id), line, frame, out);
        } else {
            self.send_answer(
                session_id,
                frame,
                Answered {
                    line,
                    id: id.clone(),
                    others: Vec::new(),
                    then,
                },
                out,
            );
        }
        self.resume_if_room(session_id, out);
        self.close_if_drained(session_id, out);
    }

    /// Answers a request with "no".
    pub(crate) fn refuse(
        &mut self,
        session: SessionId,
        id: &RequestId,
        line: LineNumber,
        refusal: Refusal,
        out: &mut Outbox,
    ) {
        let frame = refusal.to_response(Some(id));
        out.tell(Fact::Refused { session, refusal });
        self.answer(session, id, line, frame, out);
    }

    /// Answers with an empty result what needs nobody else.
    pub(crate) fn answer_empty(
        &mut self,
        session: SessionId,
        id: &RequestId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        self.answer(session, id, line, empty_result(id), out);
    }

    /// Takes note that nothing will come of a line: a notification, a response, a cancelled request.
    ///
    /// The shim hears of it with the next answer, or when many have gathered. A batch is done when all
    /// of its messages are.
    pub(crate) fn line_is_done(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        let untold_max = self.limits.untold_lines;
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        if session.batches.contains_key(&line) {
            self.unanswered_in_batch(session_id, line, out);
            return;
        }
        match session.opening.link {
            Link::Plain => {}
            Link::Keeping => {
                session.untold.push(line);
                if session.untold.len() >= untold_max {
                    self.tell_done(session_id, out);
                }
            }
            Link::Posts => out.act(Action::Notify {
                session: session_id,
                notice: Notice::Done(Vec::from([line])),
            }),
        }
    }

    /// Tells a shim of the lines that are done, without waiting for a reply to go along with.
    pub(crate) fn tell_done(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && !session.untold.is_empty()
        {
            let lines = core::mem::take(&mut session.untold);
            out.act(Action::Notify {
                session: session_id,
                notice: Notice::Done(lines),
            });
        }
    }

    /// A request of a batch will get no answer: it was cancelled.
    pub(crate) fn unanswered_in_batch(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        self.answer_in_batch(session_id, None, line, Outgoing::default(), out);
    }

    /// Puts an answer into its batch, which leaves with the last one. Without an id nobody waits for it.
    pub(crate) fn answer_in_batch(
        &mut self,
        session_id: SessionId,
        id: Option<&RequestId>,
        line: LineNumber,
        frame: Outgoing,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(batch) = session.batches.get_mut(&line) else {
            return;
        };
        // All answers of a batch are one message, and may be no longer than one.
        let limit = self.limits.message_bytes;
        let frame = match id {
            Some(_) if session.batched_bytes + frame.len() > limit => {
                Refusal::AnswerTooLong { limit }.to_response(id)
            }
            Some(_) | None => frame,
        };
        batch.left = batch.left.saturating_sub(1);
        if !frame.is_empty() {
            session.batched_bytes += frame.len();
            batch.answers.push(session.scales.weigh(frame));
        }
        batch.ids.extend(id.cloned());
        session.batched_ids.extend(id.cloned());
        if batch.left > 0 {
            self.pause_if_enough(session_id, out);
            return;
        }
        let Some(mut batch) = session.batches.remove(&line) else {
            return;
        };
        session.batched_bytes -= batch
            .answers
            .iter()
            .map(|answer| answer.len())
            .sum::<usize>();
        for id in &batch.ids {
            session.batched_ids.remove(id);
        }
        let answers: Vec<String> = core::mem::take(&mut batch.answers)
            .into_iter()
            .map(|answer| String::from_utf8(answer.to_vec()).unwrap_or_default())
            .collect();
        self.resume_if_room(session_id, out);
        if answers.is_empty() {
            self.line_is_done(session_id, line, out);
            return;
        }
        let frame = Outgoing::from(format!("[{}]", answers.join(",")));
        if let Some(last) = batch.ids.pop() {
            self.send_answer(
                session_id,
                frame,
                Answered {
                    line,
                    id: last,
                    others: batch.ids,
                    then: Then::Done,
                },
                out,
            );
        } else {
            self.tell_with(session_id, Some(line), frame, out);
            self.line_is_done(session_id, line, out);
        }
    }

    fn send_answer(
        &mut self,
        session_id: SessionId,
        frame: Outgoing,
        answered: Answered,
        out: &mut Outbox,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && !session.untold.is_empty()
        {
            let lines = core::mem::take(&mut session.untold);
            out.act(Action::Notify {
                session: session_id,
                notice: Notice::Done(lines),
            });
        }
        out.act(Action::SendToSession {
            session: session_id,
            frame,
            answered: Some(answered),
            part_of: None,
        });
    }

    /// Gives a session a message that answers nothing and belongs to nothing that it asked.
    pub(crate) fn tell_session(session: SessionId, frame: Outgoing, out: &mut Outbox) {
        out.act(Action::SendToSession {
            session,
            frame,
            answered: None,
            part_of: None,
        });
    }

    /// Gives a session a message that answers nothing, with what goes for this line if that is a way of its own.
    pub(crate) fn tell_with(
        &self,
        session_id: SessionId,
        line: Option<LineNumber>,
        frame: Outgoing,
        out: &mut Outbox,
    ) {
        let has_ways = self
            .sessions
            .get(&session_id)
            .is_some_and(|session| session.opening.link == Link::Posts);
        out.act(Action::SendToSession {
            session: session_id,
            frame,
            answered: None,
            part_of: line.filter(|_| has_ways),
        });
    }

    /// The line of the session's own that a message is most likely about which has no reference: that of its
    /// oldest call at the server, or of its oldest request there.
    pub(crate) fn line_at_work(&self, session_id: SessionId) -> Option<LineNumber> {
        let session = self.sessions.get(&session_id)?;
        if session.opening.link != Link::Posts {
            return None;
        }
        let upstream = self.upstreams.get(&session.upstream()?)?;
        let at_server = session.open.values().filter_map(|whereabouts| {
            let Whereabouts::Upstream(minted) = whereabouts else {
                return None;
            };
            let Owner::Session(claim) = &upstream.exchanges.get(*minted)?.owner else {
                return None;
            };
            Some((!claim.method.is_askable(), *minted, claim.line))
        });
        at_server.min().map(|(_, _, line)| line)
    }

    /// Closes a session that said that it would say no more, or that could not begin, once it is owed nothing.
    pub(crate) fn close_if_drained(&mut self, session_id: SessionId, out: &mut Outbox) {
        let is_drained = self.sessions.get(&session_id).is_some_and(|session| {
            let is_over =
                session.is_ending || session.is_stillborn() || session.is_of_one_request();
            is_over && session.is_settled()
        });
        if is_drained {
            self.close(session_id, out);
        }
    }
}

/// The answer to what was done and has nothing to tell.
pub(crate) fn empty_result(id: &RequestId) -> Outgoing {
    Outgoing::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))
}
