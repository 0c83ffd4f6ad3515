//! What goes to sessions: answers to those who asked, and everything else to whom it concerns.

use mux::{Answered, LineNumber, SessionId, Then};
use wire::{Frame, Message as Wired, Method, Outgoing, Params, RequestId};

use crate::{
    model::{Audience, Due, Line, Model},
    payload::{self, Ident, LISTS, Mark, Message, Owner, Shape, VERSIONS},
    peers::Process,
    wish::Wish,
};

use super::{Broken, Held, ensure, named_request, reason};

impl Model {
    pub(super) fn check_sent_to_session(
        &mut self,
        id: SessionId,
        frame: &Outgoing,
        answered: Option<&Answered>,
    ) -> Held {
        ensure!(
            self.sessions.contains_key(&id),
            "{id} is gone and is sent something"
        );
        let text =
            String::from_utf8(frame.to_vec()).map_err(|_| Broken("half a character".to_owned()))?;
        let bytes = bytes::Bytes::from(text.clone());
        let frames: Vec<_> = match Frame::parse_batch(&bytes, usize::MAX) {
            Some(frames) => frames,
            None => vec![Frame::parse(bytes)],
        };
        let is_batch = text.starts_with('[');
        let mut said = Vec::new();
        for frame in frames {
            let frame = frame.map_err(|fault| {
                Broken(format!("{id} is sent what is no message ({fault}): {text}"))
            })?;
            said.extend(
                frame
                    .id()
                    .filter(|_| matches!(frame.message, Wired::Response { .. }))
                    .cloned(),
            );
            let text = String::from_utf8_lossy(&frame.unchanged().to_vec()).into_owned();
            self.check_heard(id, &frame, &text, answered.is_some() || is_batch)?;
        }
        if let Some(answered) = answered {
            let ids = [&answered.id].into_iter().chain(&answered.others);
            for named in ids {
                ensure!(
                    said.contains(named),
                    "{id} is told that {named:?} is answered, and it is not"
                );
            }
            if is_batch {
                self.end_batch(id, answered.line)?;
            }
            self.done(id, answered.line)?;
            if let (Then::Keep, Some(session)) = (answered.then, self.sessions.get_mut(&id)) {
                ensure!(
                    session.keeps,
                    "{id} has no shim that keeps {}",
                    answered.line
                );
                session.lines.insert(answered.line, Line::Kept);
            }
        }
        Ok(())
    }

    pub(super) fn end_batch(&mut self, id: SessionId, line: LineNumber) -> Held {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        let left: Vec<_> = session
            .owed
            .extract_if(.., |_, owed| owed.line == line)
            .map(|(_, owed)| owed)
            .collect();
        let lost = left.iter().find(|owed| !owed.is_over);
        ensure!(
            lost.is_none(),
            "{id} gets a batch without the answer to {lost:?}"
        );
        Ok(())
    }

    /// One message reaches a session.
    pub(super) fn check_heard(
        &mut self,
        id: SessionId,
        frame: &Frame,
        text: &str,
        is_answer: bool,
    ) -> Held {
        let mark = payload::mark_of(text);
        let said = mark.and_then(|mark| self.said.get(mark.number));
        // Of a server that lies about the cause nobody can know it.
        let is_lie = said.is_some_and(|said| matches!(said.audience, Audience::Anyone(_)));
        let mut causes = payload::causes(text)
            .filter(|cause| matches!(cause.owner, Owner::Session(owner) if owner != id));
        let foreign = causes.next().filter(|_| !is_lie);
        ensure!(
            foreign.is_none(),
            "{id} hears what belongs to {foreign:?}: {text}"
        );
        match &frame.message {
            Wired::Response { id: None, .. } => {
                ensure!(mark.is_none(), "{id} gets an answer without an id: {text}");
                let is_due = is_answer || self.settle_due(&Due::Malformed(id, None));
                ensure!(is_due, "{id} is told of a fault that was none: {text}");
                Ok(())
            }
            Wired::Response {
                id: Some(named),
                result,
                error,
                ..
            } => {
                let named = named.clone();
                // A refusal may quote a server.
                let reason = error.as_ref().map(|error| reason(frame, error));
                match (mark, reason) {
                    (_, Some(Ok(reason))) => self.check_refusal(id, &named, &reason, text),
                    (Some(mark), _) => self.check_answer(id, &named, mark, text),
                    (None, Some(Err(foreign))) => Err(foreign),
                    (None, None) => {
                        let result = result.as_ref().map_or("", |span| frame.json(span));
                        let owed = self.sessions[&id].owed.get(&named);
                        let is_ours =
                            owed.is_some_and(|owed| owed.message.shape.is_answered_here());
                        ensure!(
                            is_ours && result == "{}",
                            "{id} gets an answer of nobody: {text}"
                        );
                        self.end_request(id, &named, true);
                        Ok(())
                    }
                }
            }
            Wired::Request { id: shown, .. } => self.check_asked(id, shown.as_number(), mark, text),
            Wired::Notification { method, params } => match mark {
                Some(mark) => self.check_told(id, mark, text),
                None => self.check_notified(id, (method, params), text),
            },
        }
    }

    /// A notification of nobody's reaches a session.
    fn check_notified(
        &mut self,
        id: SessionId,
        (method, params): (&Method, &Params),
        text: &str,
    ) -> Held {
        let changed = |list: &&str| method.name() == format!("notifications/{list}/list_changed");
        if let Some(list) = LISTS.iter().position(changed) {
            let expected = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
            ensure!(text == expected, "{id} hears what nobody said: {text}");
            return self.check_news(id, list, text);
        }
        if *method == Method::LogMessage && text.contains(r#""logger":"mcpool""#) {
            let is_promised = self.sessions[&id].promised.is_some_and(|made| made != 1);
            let has_asked = self.said.iter().any(|said| {
                said.message.mark.owner == Owner::Session(id)
                    && matches!(said.message.shape, Shape::SetLevel(_))
            });
            ensure!(
                is_promised || has_asked,
                "{id} hears of a log that it was not promised"
            );
            return Ok(());
        }
        let shown = named_request(params);
        let is_due = *method == Method::Cancelled
            && shown.is_some_and(|shown| self.settle_due(&Due::Withdrawn(id, shown)));
        ensure!(is_due, "{id} hears what nobody said: {text}");
        Ok(())
    }

    pub(super) fn check_answer(
        &mut self,
        id: SessionId,
        named: &RequestId,
        mark: Mark,
        text: &str,
    ) -> Held {
        let session = &self.sessions[&id];
        let Some(owed) = session.owed.get(named) else {
            return Err(Broken(format!(
                "{id} gets an answer that it is not owed: {text}"
            )));
        };
        let said = self
            .said
            .get(mark.number)
            .ok_or_else(|| Broken(format!("nobody said {text}")))?;
        if let Shape::Hello { version, .. } = owed.message.shape {
            let server = session
                .upstream
                .and_then(|upstream| self.servers.get(&upstream));
            let own = server.and_then(|server| server.handshake);
            ensure!(
                own == Some(said.message),
                "{id} is greeted by another server: {text}"
            );
            let spoken = answered_version(version, &said.message);
            let expected = format!(
                r#"{{"jsonrpc":"2.0","id":{named},"result":{}}}"#,
                said.message.greeting(spoken)
            );
            if let Some(session) = self.sessions.get_mut(&id) {
                session.spoken = Some(spoken);
                session.promised = said.message.declares();
            }
            ensure!(
                text == expected,
                "{id} is greeted with\n  {text} and not with\n  {expected}"
            );
        } else {
            let is_its =
                said.audience == Audience::Session(id) && said.answers == Some(owed.message.mark);
            ensure!(
                is_its,
                "{id} gets the answer to another request, or one too many: {text}"
            );
            self.heard(id, mark, text)?;
        }
        let is_success = !matches!(
            self.said[mark.number].message.shape,
            Shape::Error | Shape::UrlError
        );
        self.end_request(id, named, is_success);
        Ok(())
    }

    /// A message arrives as it was said, but for the id and the token.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn heard(&mut self, id: SessionId, mark: Mark, text: &str) -> Held {
        let said = &mut self.said[mark.number];
        let expected = said.message.renamed(said.id, said.token).render();
        ensure!(
            text == expected,
            "{id} hears\n  {text} and not\n  {expected}"
        );
        match &mut said.audience {
            Audience::Sharers(_) => {}
            Audience::Each(sessions) => drop(sessions.remove(&id)),
            once => *once = Audience::Nobody,
        }
        self.settle_due(&Due::Hear(id, mark.number));
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn end_request(&mut self, id: SessionId, named: &RequestId, is_success: bool) {
        self.settle_due(&Due::Answered(id, named.clone()));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(owed) = session.owed.remove(named) else {
            return;
        };
        let server = session
            .upstream
            .and_then(|upstream| self.servers.get(&upstream));
        let takes_levels = server
            .and_then(|server| server.handshake?.declares())
            .is_some_and(|declares| declares != 1);
        match owed.message.shape {
            _any if owed.is_cancelled => {}
            Shape::Hello { .. } if is_success && !session.is_served => {
                session.is_served = true;
                // What has changed just now it may hear of with the others.
                session.news = [(1, false); 3];
            }
            // Of a server that tells no changes it has not missed any.
            Shape::Hello { .. } if is_success && session.promised != Some(0) => {
                session.news.iter_mut().for_each(|(_, must)| *must = false);
            }
            shape @ Shape::Subscribe(_) => {
                session.wish(shape, |wish| wish.end(is_success.then_some(true)), |_| {});
            }
            // One that failed may have been carried out nevertheless.
            shape @ Shape::Unsubscribe(_) if is_success => {
                session.wish(shape, |wish| wish.end(Some(false)), |_| {});
            }
            shape @ Shape::Unsubscribe(_) => session.wish(shape, Wish::lose, |_| {}),
            shape @ Shape::SetLevel(level) if is_success && takes_levels => {
                session.wish(shape, |_| {}, |wish| wish.end(Some(level)));
            }
            shape @ Shape::SetLevel(_) => session.wish(shape, |_| {}, Wish::lose),
            _other => {}
        }
    }

    pub(super) fn check_refusal(
        &mut self,
        id: SessionId,
        named: &RequestId,
        reason: &str,
        text: &str,
    ) -> Held {
        if reason == "id-in-use" {
            ensure!(
                self.settle_due(&Due::InUse(id, named.clone())),
                "{id} may use this id: {text}"
            );
            return Ok(());
        }
        if reason == "malformed" && self.settle_due(&Due::Malformed(id, Some(named.clone()))) {
            return Ok(());
        }
        let session = &self.sessions[&id];
        let Some(owed) = session.owed.get(named) else {
            return Err(Broken(format!(
                "{id} is refused what it did not ask: {text}"
            )));
        };
        let server = session
            .upstream
            .and_then(|upstream| self.servers.get(&upstream));
        // Nothing has been wrong with its server since it asked.
        let was_well = session.is_served
            && server
                .is_some_and(|server| server.whole_since.is_some_and(|since| since <= owed.tick));
        let age = self.now - owed.since;
        let allowed = match reason {
            "start-failed" | "still-starting" | "still-failing" | "upstream-exited" => !was_well,
            "upstream-stopped" => !was_well || self.is_shutting_down,
            "took-too-long" => {
                age >= self.limits.request_timeout
                    || session
                        .ending_since
                        .is_some_and(|since| self.now >= since + self.limits.drain_patience)
            }
            "too-slow" => session.cut_at.is_some_and(|cut_at| {
                cut_at == self.tick || (owed.in_batch && cut_at >= owed.tick)
            }),
            "overloaded" if owed.in_batch => owed.is_too_much,
            "overloaded" => self.may_be_too_much(id, owed.message.shape),
            "answer-too-long" | "answer-malformed" => owed.is_spoilt,
            "shutting-down" => self.is_shutting_down,
            "no-such-method" => owed.message.shape == Shape::Discover,
            "not-initialized" => !session.is_served,
            "already-initialized" => matches!(owed.message.shape, Shape::Hello { .. }),
            "no-longer-offered" => {
                owed.in_batch
                    || server.and_then(|server| server.handshake?.declares()) != session.promised
            }
            "bad-configuration" => session.key.is_refused,
            _never => false,
        };
        ensure!(allowed, "{id} is refused without a reason: {text}");
        let minted = owed
            .minted
            .filter(|_| matches!(reason, "took-too-long" | "too-slow"));
        if let Some((upstream, minted)) = minted
            && !owed.is_over
        {
            let sent = &self.servers[&upstream].sent[&minted];
            ensure!(
                sent.cancelled.is_some() || self.servers[&upstream].process != Process::Running,
                "{upstream} works on {named:?} of {id} for nobody"
            );
        }
        self.end_request(id, named, false);
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn check_asked(
        &mut self,
        id: SessionId,
        shown: Option<u64>,
        mark: Option<Mark>,
        text: &str,
    ) -> Held {
        let (Some(mark), Some(shown)) = (mark, shown) else {
            return Err(Broken(format!("{id} is asked what nobody asked: {text}")));
        };
        let Some(said) = self.said.get_mut(mark.number) else {
            return Err(Broken(format!("nobody said {text}")));
        };
        said.id = Ident::Number(shown);
        said.token = Ident::Number(shown);
        let (own, Owner::Server(upstream)) = (said.message, mark.owner) else {
            return Err(Broken(format!("{id} is asked by a client: {text}")));
        };
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| Broken(format!("{id} is gone")))?;
        let is_its = match &said.audience {
            Audience::Session(owner) => *owner == id && session.is_at(upstream),
            Audience::Anyone(at) => session.is_at(*at),
            _nobody => false,
        };
        ensure!(is_its, "{id} is asked what is not its business: {text}");
        ensure!(
            session.ending_since.is_none(),
            "{id} has ended and is asked: {text}"
        );
        ensure!(
            shown > session.shown_last,
            "{id} is asked under an id that it has seen: {text}"
        );
        session.shown_last = shown;
        let Some(key) = own.id.id() else {
            return Ok(());
        };
        session.asked.insert(shown, (upstream, own));
        ensure!(
            session.asked.len() <= self.limits.session_asks,
            "{id} is asked too much at once"
        );
        said.put_to = Some((id, upstream));
        let server = self.servers.get(&upstream);
        let asks = server.and_then(|server| server.asks.get(&key));
        ensure!(
            asks.is_some_and(|asks| asks.contains(&mark.number)),
            "{id} is asked what nobody wants to know any longer: {text}"
        );
        self.settle_due(&Due::Decided(upstream, mark.number));
        self.heard(id, mark, text)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn check_told(&mut self, id: SessionId, mark: Mark, text: &str) -> Held {
        let Some(said) = self.said.get(mark.number) else {
            return Err(Broken(format!("nobody said {text}")));
        };
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| Broken(format!("{id} is gone")))?;
        let is_its = match &said.audience {
            Audience::Session(owner) => *owner == id,
            Audience::Anyone(at) | Audience::Sharers(at) => session.is_at(*at),
            Audience::Each(sessions) => sessions.contains(&id),
            Audience::Nobody | Audience::ItsServer | Audience::Server(_) => false,
        };
        ensure!(
            is_its,
            "{id} hears what is not its business, or twice: {text}"
        );
        match said.message.shape {
            Shape::Log(level) => {
                // A server that takes no levels is not held to any.
                let server = session
                    .upstream
                    .and_then(|upstream| self.servers.get(&upstream));
                let takes_levels = server
                    .and_then(|server| server.handshake?.declares())
                    .is_some_and(|declares| declares != 1);
                let least = session.level.now().filter(|_| takes_levels);
                ensure!(
                    least.is_none_or(|least| level >= least),
                    "{id} hears of less than it wants: {text}"
                );
            }
            Shape::ListChanged(list) => self.check_news(id, usize::from(list), text)?,
            _other => {}
        }
        self.heard(id, mark, text)
    }

    pub(super) fn check_news(&mut self, id: SessionId, list: usize, text: &str) -> Held {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| Broken(format!("{id} is gone")))?;
        let (may, must) = &mut session.news[list];
        ensure!(
            *may > 0,
            "{id} hears of more changes than there were: {text}"
        );
        (*may, *must) = (*may - 1, false);
        Ok(())
    }
}

/// The version that a client is answered in: its own, unless the server's is older or nobody knows it.
fn answered_version(asked: u8, greeting: &Message) -> &'static str {
    let Shape::Greeting {
        version: spoken, ..
    } = greeting.shape
    else {
        return "";
    };
    let spoken = VERSIONS[usize::from(spoken)];
    match VERSIONS[usize::from(asked)] {
        asked if asked != "1999-01-01" && asked <= spoken => asked,
        _unknown => spoken,
    }
}
