//! What must hold: each thing that the core does, held against the model, and the whole after each step.

use std::collections::BTreeMap;

use mux::{Action, Answered, LineNumber, Moment, Mux, Notice, SessionId, UpstreamId};
use serde::Deserialize;
use wire::{Frame, Message as Wired, Method, Outgoing, Params, RequestId};

use crate::{
    model::{Audience, Due, Line, Model, Sent},
    payload::{self, Ident, LISTS, Mark, Message, Owner, Shape, VERSIONS},
    peers::Process,
    tally::{Kind, Tally},
    wish::Wish,
};

/// A promise that was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    /// The words without names and numbers: what is broken, not by whom.
    pub fn kind(&self) -> String {
        let words = self.0.lines().next().unwrap_or_default();
        let words = words.split_once('{').map_or(words, |(before, _)| before);
        words.chars().filter(|letter| !letter.is_ascii_digit()).collect()
    }
}

macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(Broken(format!($($words)*)));
        }
    };
}
pub(crate) use ensure;

type Held = Result<(), Broken>;

/// The error that the pooler itself answers with.
#[derive(Deserialize)]
struct OwnError<'a> {
    #[serde(borrow)]
    data: OwnData<'a>,
}

#[derive(Deserialize)]
struct OwnData<'a> {
    source: &'a str,
    reason: &'a str,
}

fn reason(frame: &Frame, error: &wire::Span) -> Result<String, Broken> {
    let text = frame.json(error);
    match serde_json::from_str::<OwnError<'_>>(text) {
        Ok(OwnError { data: OwnData { source: "mcpool", reason } }) => Ok(reason.to_owned()),
        _foreign => Err(Broken(format!("an error that nobody sent: {text}"))),
    }
}

impl Model {
    /// The core wants something done: may it?
    pub fn check(&mut self, action: &Action) -> Held {
        match action {
            Action::SendToSession { session, frame, answered } => self.check_sent_to_session(*session, frame, answered.as_ref()),
            Action::Notify { session, notice } => match notice {
                Notice::Held(line) => self.advance(*session, *line, false),
                Notice::Done(lines) => lines.iter().try_for_each(|line| self.done(*session, *line)),
            },
            Action::Announce { session, line } => self.advance(*session, *line, true),
            Action::PauseSession { session } | Action::ResumeSession { session } => {
                ensure!(self.sessions.contains_key(session), "{session} is gone and is paused or resumed");
                Ok(())
            }
            Action::CloseSession { session } => {
                let known = self.sessions.get(session);
                ensure!(known.is_some(), "{session} is closed twice");
                let owed = known.into_iter().flat_map(|known| known.owed.values());
                let waits: Vec<Mark> = owed.filter(|owed| !owed.is_over).map(|owed| owed.message.mark).collect();
                ensure!(waits.is_empty(), "{session} is closed and waits for {waits:?}");
                self.gone(*session);
                Ok(())
            }
            Action::StartUpstream { upstream, on_behalf_of } => self.check_start(*upstream, *on_behalf_of),
            Action::SendToUpstream { upstream, frame } => self.check_sent_to_server(*upstream, frame),
            Action::StopUpstream { upstream } => {
                let process = self.servers.get_mut(upstream).map(|server| {
                    server.whole_since = None;
                    std::mem::replace(&mut server.process, Process::Stopping)
                });
                ensure!(matches!(process, Some(Process::Starting | Process::Running)), "{upstream} is stopped and is {process:?}");
                Ok(())
            }
            Action::AnswerAdmin { .. } => Ok(()),
        }
    }

    /// What had to come of an event has.
    pub fn check_due(&mut self) -> Held {
        // A batch is answered as a whole.
        let due = std::mem::take(&mut self.due);
        let missing = due.into_iter().find(|due| match due {
            Due::Cancel(upstream, _) | Due::AskAnswered(upstream, _) => self.servers.get(upstream).is_some_and(|server| server.process == Process::Running),
            Due::Hear(session, _) | Due::Answered(session, _) | Due::InUse(session, _) | Due::Malformed(session, _) | Due::Withdrawn(session, _) => {
                self.sessions.contains_key(session)
            }
        });
        match missing {
            Some(missing) => Err(Broken(format!("this did not happen: {missing:?}{}", self.words_of(&missing)))),
            None => Ok(()),
        }
    }

    fn words_of(&self, due: &Due) -> String {
        match due {
            Due::Hear(_, number) => format!(" {:?}", self.said[*number].message),
            _plain => String::new(),
        }
    }

    fn settle_due(&mut self, due: &Due) -> bool {
        let at = self.due.iter().position(|known| known == due);
        at.map(|at| self.due.swap_remove(at)).is_some()
    }

    fn advance(&mut self, id: SessionId, line: LineNumber, is_announcement: bool) -> Held {
        let session = self.sessions.get_mut(&id).ok_or_else(|| Broken(format!("{id} is gone and hears of {line}")))?;
        let from = session.lines.get(&line).copied();
        let to = match (is_announcement, from) {
            (false, Some(Line::Said | Line::Announced)) => Some(Line::Held(0)),
            (false, Some(Line::Announcing(left))) => Some(Line::Held(left)),
            (true, Some(Line::Held(left))) => Some(Line::Announcing(left + 1)),
            _other => None,
        };
        let Some(to) = to.filter(|_| session.keeps) else {
            return Err(Broken(format!("{id} hears that {line} waits or goes ({is_announcement}), and it is {from:?}")));
        };
        session.lines.insert(line, to);
        Ok(())
    }

    fn done(&mut self, id: SessionId, line: LineNumber) -> Held {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let was = session.lines.remove(&line);
        ensure!(was.is_some() || !session.keeps, "{id} hears twice that {line} is done");
        let open = session.owed.values().any(|owed| owed.line == line && !owed.is_over);
        ensure!(!open, "{id} hears that {line} is done, and waits for its answer");
        Ok(())
    }

    fn check_start(&mut self, id: UpstreamId, on_behalf_of: SessionId) -> Held {
        let Some(session) = self.sessions.get(&on_behalf_of) else {
            return Err(Broken(format!("{id} is started for {on_behalf_of}, which is gone")));
        };
        let key = session.key.clone();
        let twin = self.servers.iter().find(|(other, server)| {
            let same = server.key.as_ref().is_some_and(|known| known.name == key.name && known.workspace == key.workspace && known.class == key.class && known.alone == key.alone);
            **other != id && same && server.process != Process::None
        });
        if let Some((twin, _)) = twin && !self.is_private(&key) {
            return Err(Broken(format!("{id} is started beside {twin}, which is the same")));
        }
        let server = self.servers.entry(id).or_default();
        ensure!(server.process == Process::None, "{id} is started twice");
        server.process = Process::Starting;
        server.key.get_or_insert(key);
        Ok(())
    }

    fn check_sent_to_session(&mut self, id: SessionId, frame: &Outgoing, answered: Option<&Answered>) -> Held {
        ensure!(self.sessions.contains_key(&id), "{id} is gone and is sent something");
        let text = String::from_utf8(frame.to_vec()).map_err(|_| Broken("half a character".to_owned()))?;
        let bytes = bytes::Bytes::from(text.clone());
        let frames: Vec<_> = match Frame::parse_batch(&bytes) {
            Some(frames) => frames,
            None => vec![Frame::parse(bytes)],
        };
        let is_batch = text.starts_with('[');
        let mut said = Vec::new();
        for frame in frames {
            let frame = frame.map_err(|fault| Broken(format!("{id} is sent what is no message ({fault}): {text}")))?;
            said.extend(frame.id().filter(|_| matches!(frame.message, Wired::Response { .. })).cloned());
            let text = String::from_utf8_lossy(&frame.unchanged().to_vec()).into_owned();
            self.check_heard(id, &frame, &text, answered.is_some() || is_batch)?;
        }
        if let Some(answered) = answered {
            let ids = [&answered.id].into_iter().chain(&answered.others);
            for named in ids {
                ensure!(said.contains(named), "{id} is told that {named:?} is answered, and it is not");
            }
            if is_batch {
                self.end_batch(id, answered.line)?;
            }
            self.done(id, answered.line)?;
        }
        Ok(())
    }

    fn end_batch(&mut self, id: SessionId, line: LineNumber) -> Held {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let left: Vec<_> = session.owed.extract_if(.., |_, owed| owed.line == line).map(|(_, owed)| owed).collect();
        let lost = left.iter().find(|owed| !owed.is_over);
        ensure!(lost.is_none(), "{id} gets a batch without the answer to {lost:?}");
        Ok(())
    }

    /// One message reaches a session.
    fn check_heard(&mut self, id: SessionId, frame: &Frame, text: &str, is_answer: bool) -> Held {
        let mark = payload::mark_of(text);
        let said = mark.and_then(|mark| self.said.get(mark.number));
        // Of a server that lies about the cause nobody can know it.
        let is_lie = said.is_some_and(|said| matches!(said.audience, Audience::Anyone(_)));
        let mut causes = payload::causes(text).filter(|cause| matches!(cause.owner, Owner::Session(owner) if owner != id));
        let foreign = causes.next().filter(|_| !is_lie);
        ensure!(foreign.is_none(), "{id} hears what belongs to {foreign:?}: {text}");
        match &frame.message {
            Wired::Response { id: None, .. } => {
                ensure!(mark.is_none(), "{id} gets an answer without an id: {text}");
                let is_due = is_answer || self.settle_due(&Due::Malformed(id, None));
                ensure!(is_due, "{id} is told of a fault that was none: {text}");
                Ok(())
            }
            Wired::Response { id: Some(named), result, error, .. } => {
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
                        let is_ours = owed.is_some_and(|owed| owed.message.shape.is_answered_here());
                        ensure!(is_ours && result == "{}", "{id} gets an answer of nobody: {text}");
                        self.end_request(id, &named, true);
                        Ok(())
                    }
                }
            }
            Wired::Request { id: shown, .. } => self.check_asked(id, shown.as_number(), mark, text),
            Wired::Notification { method, params } => match mark {
                Some(mark) => self.check_told(id, mark, text),
                None => {
                    if let Some(list) = LISTS.iter().position(|list| method.name() == format!("notifications/{list}/list_changed")) {
                        let expected = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
                        ensure!(text == expected, "{id} hears what nobody said: {text}");
                        return self.check_news(id, list, text);
                    }
                    let shown = named_request(params);
                    let is_due = *method == Method::Cancelled && shown.is_some_and(|shown| self.settle_due(&Due::Withdrawn(id, shown)));
                    ensure!(is_due, "{id} hears what nobody said: {text}");
                    Ok(())
                }
            },
        }
    }

    fn check_answer(&mut self, id: SessionId, named: &RequestId, mark: Mark, text: &str) -> Held {
        let session = &self.sessions[&id];
        let Some(owed) = session.owed.get(named) else {
            return Err(Broken(format!("{id} gets an answer that it is not owed: {text}")));
        };
        let said = self.said.get(mark.number).ok_or_else(|| Broken(format!("nobody said {text}")))?;
        if let Shape::Hello { version, .. } = owed.message.shape {
            let server = session.upstream.and_then(|upstream| self.servers.get(&upstream));
            let own = server.and_then(|server| server.handshake);
            ensure!(own == Some(said.message), "{id} is greeted by another server: {text}");
            let spoken = answered_version(version, &said.message);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{named},"result":{}}}"#, said.message.greeting(spoken));
            self.sessions.get_mut(&id).into_iter().for_each(|session| {
                session.spoken = Some(spoken);
                session.promised = said.message.declares();
            });
            ensure!(text == expected, "{id} is greeted with\n  {text} and not with\n  {expected}");
        } else {
            let is_its = said.audience == Audience::Session(id) && said.answers == Some(owed.message.mark);
            ensure!(is_its, "{id} gets the answer to another request, or one too many: {text}");
            self.heard(id, mark, text)?;
        }
        let is_success = !matches!(self.said[mark.number].message.shape, Shape::Error | Shape::UrlError);
        self.end_request(id, named, is_success);
        Ok(())
    }

    /// A message arrives as it was said, but for the id and the token.
    fn heard(&mut self, id: SessionId, mark: Mark, text: &str) -> Held {
        let said = &mut self.said[mark.number];
        let expected = said.message.renamed(said.id, said.token).render();
        ensure!(text == expected, "{id} hears\n  {text} and not\n  {expected}");
        match &mut said.audience {
            Audience::Sharers(_) => {}
            Audience::Each(sessions) => drop(sessions.remove(&id)),
            once => *once = Audience::Nobody,
        }
        self.settle_due(&Due::Hear(id, mark.number));
        Ok(())
    }

    fn end_request(&mut self, id: SessionId, named: &RequestId, is_success: bool) {
        self.settle_due(&Due::Answered(id, named.clone()));
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(owed) = session.owed.remove(named) else { return };
        match owed.message.shape {
            Shape::Hello { .. } if is_success && !session.is_served => {
                session.is_served = true;
                // What has changed just now it may hear of with the others.
                session.news = [(1, false); 3];
            }
            shape @ Shape::Subscribe(_) => session.wish(shape, |wish| wish.end(is_success.then_some(true)), |_| {}),
            // One that failed may have been carried out nevertheless.
            shape @ Shape::Unsubscribe(_) if is_success => session.wish(shape, |wish| wish.end(Some(false)), |_| {}),
            shape @ Shape::Unsubscribe(_) => session.wish(shape, Wish::lose, |_| {}),
            shape @ Shape::SetLevel(level) => session.wish(shape, |_| {}, |wish| wish.end(is_success.then_some(level))),
            _other => {}
        }
    }

    fn check_refusal(&mut self, id: SessionId, named: &RequestId, reason: &str, text: &str) -> Held {
        if reason == "id-in-use" {
            ensure!(self.settle_due(&Due::InUse(id, named.clone())), "{id} may use this id: {text}");
            return Ok(());
        }
        if reason == "malformed" && self.settle_due(&Due::Malformed(id, Some(named.clone()))) {
            return Ok(());
        }
        let session = &self.sessions[&id];
        let Some(owed) = session.owed.get(named) else {
            return Err(Broken(format!("{id} is refused what it did not ask: {text}")));
        };
        let server = session.upstream.and_then(|upstream| self.servers.get(&upstream));
        // Nothing has been wrong with its server since it asked.
        let was_well = session.is_served && server.is_some_and(|server| server.whole_since.is_some_and(|since| since <= owed.tick));
        let age = self.now - owed.since;
        let allowed = match reason {
            "start-failed" | "still-starting" | "still-failing" | "upstream-exited" => !was_well,
            "upstream-stopped" => !was_well || self.is_shutting_down,
            "took-too-long" => age >= self.limits.request_timeout || session.ending_since.is_some_and(|since| self.now >= since + self.limits.drain_patience),
            "too-slow" => session.cut_at.is_some_and(|cut_at| cut_at == self.tick || (owed.in_batch && cut_at >= owed.tick)),
            "overloaded" => self.limits.waiting < 100,
            "answer-too-long" | "answer-malformed" => owed.is_spoilt,
            "shutting-down" => self.is_shutting_down,
            "no-such-method" => owed.message.shape == Shape::Discover,
            "not-initialized" => !session.is_served,
            "already-initialized" => matches!(owed.message.shape, Shape::Hello { .. }),
            "no-longer-offered" => server.and_then(|server| server.handshake?.declares()) != session.promised,
            "bad-configuration" => session.key.is_refused,
            _never => false,
        };
        ensure!(allowed, "{id} is refused without a reason: {text}");
        let minted = owed.minted.filter(|_| matches!(reason, "took-too-long" | "too-slow"));
        if let Some((upstream, minted)) = minted && !owed.is_over {
            let sent = &self.servers[&upstream].sent[&minted];
            ensure!(sent.cancelled.is_some() || self.servers[&upstream].process != Process::Running, "{upstream} works on {named:?} of {id} for nobody");
        }
        self.end_request(id, named, false);
        Ok(())
    }

    fn check_asked(&mut self, id: SessionId, shown: Option<u64>, mark: Option<Mark>, text: &str) -> Held {
        let (Some(mark), Some(shown)) = (mark, shown) else {
            return Err(Broken(format!("{id} is asked what nobody asked: {text}")));
        };
        let Some(said) = self.said.get_mut(mark.number) else { return Err(Broken(format!("nobody said {text}"))) };
        said.id = Ident::Number(shown);
        said.token = Ident::Number(shown);
        let (own, Owner::Server(upstream)) = (said.message, mark.owner) else {
            return Err(Broken(format!("{id} is asked by a client: {text}")));
        };
        let session = self.sessions.get_mut(&id).ok_or_else(|| Broken(format!("{id} is gone")))?;
        let is_its = match &said.audience {
            Audience::Session(owner) => *owner == id && session.is_at(upstream),
            Audience::Anyone(at) => session.is_at(*at),
            _nobody => false,
        };
        ensure!(is_its, "{id} is asked what is not its business: {text}");
        ensure!(session.ending_since.is_none(), "{id} has ended and is asked: {text}");
        ensure!(shown > session.shown_last, "{id} is asked under an id that it has seen: {text}");
        session.shown_last = shown;
        let Some(key) = own.id.id() else { return Ok(()) };
        session.asked.insert(shown, (upstream, key.clone(), own.token));
        ensure!(session.asked.len() <= self.limits.session_asks, "{id} is asked too much at once");
        let server = self.servers.get_mut(&upstream);
        let asks = server.and_then(|server| {
            server.questions.insert(mark.number, id);
            server.asks.get_mut(&key)
        });
        let ask = asks.and_then(|asks| asks.iter_mut().find(|(number, _)| *number == mark.number));
        let Some((_, to)) = ask else { return Err(Broken(format!("{id} is asked what nobody wants to know any longer: {text}"))) };
        *to = Some((id, shown));
        self.heard(id, mark, text)
    }

    fn check_told(&mut self, id: SessionId, mark: Mark, text: &str) -> Held {
        let Some(said) = self.said.get(mark.number) else { return Err(Broken(format!("nobody said {text}"))) };
        let session = self.sessions.get_mut(&id).ok_or_else(|| Broken(format!("{id} is gone")))?;
        let is_its = match &said.audience {
            Audience::Session(owner) => *owner == id,
            Audience::Anyone(at) | Audience::Sharers(at) => session.is_at(*at),
            Audience::Each(sessions) => sessions.contains(&id),
            Audience::Nobody | Audience::ItsServer | Audience::Server(_) => false,
        };
        ensure!(is_its, "{id} hears what is not its business, or twice: {text}");
        match said.message.shape {
            Shape::Log(level) => {
                // A server that takes no levels is not held to any.
                let server = session.upstream.and_then(|upstream| self.servers.get(&upstream));
                let takes_levels = server.and_then(|server| server.handshake?.declares()).is_some_and(|declares| declares != 1);
                let least = session.level.now().filter(|_| takes_levels);
                ensure!(least.is_none_or(|least| level >= least), "{id} hears of less than it wants: {text}");
            }
            Shape::ListChanged(list) => self.check_news(id, usize::from(list), text)?,
            _other => {}
        }
        self.heard(id, mark, text)
    }

    fn check_news(&mut self, id: SessionId, list: usize, text: &str) -> Held {
        let session = self.sessions.get_mut(&id).ok_or_else(|| Broken(format!("{id} is gone")))?;
        let (may, must) = &mut session.news[list];
        ensure!(*may > 0, "{id} hears of more changes than there were: {text}");
        (*may, *must) = (*may - 1, false);
        Ok(())
    }

    fn check_sent_to_server(&mut self, id: UpstreamId, frame: &Outgoing) -> Held {
        let process = self.servers.get(&id).map(|server| server.process);
        ensure!(matches!(process, Some(Process::Running | Process::Stopping)), "{id} has no process and is sent something");
        let text = String::from_utf8(frame.to_vec()).map_err(|_| Broken("half a character".to_owned()))?;
        let frame = Frame::parse(bytes::Bytes::from(text.clone())).map_err(|fault| Broken(format!("{id} is sent what is no message ({fault}): {text}")))?;
        let mark = payload::mark_of(&text);
        match (&frame.message, mark) {
            (Wired::Request { id: minted, method, params, .. }, mark) => {
                let Some(minted) = minted.as_number() else { return Err(Broken(format!("{id} is asked under a foreign id: {text}"))) };
                match mark {
                    Some(mark) => self.check_request(id, minted, mark, &text)?,
                    None => self.check_errand(id, minted, method, params, &frame)?,
                }
            }
            (Wired::Notification { method: Method::Cancelled, params }, mark) => {
                let minted = named_request(params);
                ensure!(minted.is_some(), "{id} hears of a cancellation of nothing: {text}");
                if let Some(mark) = mark {
                    self.check_relayed(id, mark, &text)?;
                }
                minted.map_or(Ok(()), |minted| self.check_cancelled(id, minted, &text))?;
            }
            (Wired::Notification { .. }, Some(mark)) => self.check_relayed(id, mark, &text)?,
            (Wired::Notification { method, .. }, None) => {
                let Some(server) = self.servers.get_mut(&id) else { return Ok(()) };
                server.initialized += 1;
                let fits = *method == Method::Initialized && server.initialized == 1 && server.greeting.is_some();
                ensure!(fits, "{id} is told what nobody said: {text}");
            }
            (Wired::Response { id: Some(ask), result, error, .. }, mark) => {
                let ask = ask.clone();
                if let Some(mark) = mark {
                    self.check_relayed(id, mark, &text)?;
                    return self.end_ask(id, &ask, &text);
                }
                error.as_ref().map(|error| reason(&frame, error)).transpose()?;
                if let Some(result) = result {
                    self.check_own_answer(id, &ask, frame.json(result))?;
                }
                self.end_ask(id, &ask, &text)?;
            }
            (Wired::Response { id: None, .. }, _) => return Err(Broken(format!("{id} gets an answer without an id: {text}"))),
        }
        Ok(())
    }

    /// What a client said reaches its server, as it was said.
    fn check_relayed(&mut self, id: UpstreamId, mark: Mark, text: &str) -> Held {
        let Owner::Session(owner) = mark.owner else { return Err(Broken(format!("{id} hears itself: {text}"))) };
        let at = self.sessions.get(&owner).and_then(|session| session.upstream);
        let Some(said) = self.said.get_mut(mark.number) else { return Err(Broken(format!("nobody said {text}"))) };
        let is_its = match &said.audience {
            Audience::ItsServer => at == Some(id),
            Audience::Server(server) => *server == id,
            _nobody => false,
        };
        ensure!(is_its, "{id} hears what is not for it, or twice: {text}");
        let expected = said.message.renamed(said.id, said.token).render();
        ensure!(text == expected, "{id} hears\n  {text} and not\n  {expected}");
        said.audience = Audience::Nobody;
        Ok(())
    }

    fn check_request(&mut self, id: UpstreamId, minted: u64, mark: Mark, text: &str) -> Held {
        let Owner::Session(owner) = mark.owner else { return Err(Broken(format!("{id} is asked by a server: {text}"))) };
        let Some(session) = self.sessions.get_mut(&owner) else { return Err(Broken(format!("{id} is asked by {owner}, which is gone: {text}"))) };
        ensure!(session.is_at(id), "{id} is asked by {owner}, which is not at it: {text}");
        let message = self.said.get(mark.number).map(|said| said.message);
        let key = message.and_then(|message| message.id.id());
        let owed = key.and_then(|key| session.owed.get_mut(&key)).filter(|owed| owed.message.mark == mark && !owed.is_over);
        let Some(owed) = owed else { return Err(Broken(format!("{id} is asked what nobody waits for: {text}"))) };
        let expected = owed.message.renamed(Ident::Number(minted), Ident::Number(minted)).render();
        ensure!(text == expected, "{id} hears\n  {text} and not\n  {expected}");
        let shape = owed.message.shape;
        ensure!(owed.minted.is_none(), "{id} is asked twice: {text}");
        ensure!(owed.writes == 0 || (owed.writes == 1 && shape.is_read_only()), "{id} is asked again what may not be repeated: {text}");
        let line = session.lines.get(&owed.line).copied();
        let may_repeat = shape.is_read_only() || shape.is_answered_here();
        let is_announced = may_repeat || owed.in_batch || !matches!(line, Some(Line::Held(_) | Line::Announcing(_)));
        ensure!(is_announced, "{id} is asked before the shim of {owner} knows: {text}");
        owed.minted = Some((id, minted));
        owed.writes += 1;
        let in_flight = session.owed.values().filter(|owed| owed.minted.is_some() && !owed.is_over).count();
        ensure!(in_flight <= self.limits.session_in_flight, "{owner} has {in_flight} requests at {id}");
        self.mint(id, minted, Sent { claim: Some((owner, mark)), shape: Some(shape), cancelled: None, is_over: false })
    }

    fn mint(&mut self, id: UpstreamId, minted: u64, sent: Sent) -> Held {
        let Some(server) = self.servers.get_mut(&id) else { return Ok(()) };
        ensure!(server.initialized == 1 || matches!(sent.shape, Some(Shape::Hello { .. })), "{id} is asked before it is initialized");
        ensure!(server.sent.insert(minted, sent).is_none(), "{id} sees {minted} twice");
        Ok(())
    }

    /// The pooler asks on its own account.
    fn check_errand(&mut self, id: UpstreamId, minted: u64, method: &Method, params: &Params, frame: &Frame) -> Held {
        let uri = params.uri.as_ref().and_then(|span| frame.text(span));
        let mut here = self.sessions.values().filter(|session| session.is_at(id));
        let certain = |certain| {
            move |session: &crate::model::Session| {
                let wish = uri.as_deref().and_then(|uri| session.topics.get(uri));
                wish.is_some_and(|wish| wish.now() == Some(certain))
            }
        };
        let shape = if *method == Method::Initialize {
            let server = &self.servers[&id];
            ensure!(server.sent.values().all(|sent| sent.is_over), "{id} is greeted late, or twice");
            Some(Shape::Hello { version: 0, class: 0 })
        } else if *method == Method::ResourcesSubscribe {
            let known = |session: &crate::model::Session| !session.topics.is_empty();
            ensure!(here.any(known), "{id} is subscribed for nobody");
            None
        } else if *method == Method::ResourcesUnsubscribe {
            ensure!(!here.any(certain(true)), "{id} is unsubscribed, and somebody listens");
            None
        } else {
            ensure!(matches!(method, Method::SetLevel | Method::Ping), "{id} is asked {method} by nobody");
            None
        };
        self.mint(id, minted, Sent { claim: None, shape, cancelled: None, is_over: false })
    }

    fn check_cancelled(&mut self, id: UpstreamId, minted: u64, text: &str) -> Held {
        let now = self.now;
        let server = self.servers.get_mut(&id);
        let sent = server.and_then(|server| server.sent.get_mut(&minted));
        let Some(sent) = sent.filter(|sent| sent.claim.is_some()) else { return Err(Broken(format!("{id} never saw what is cancelled: {text}"))) };
        ensure!(sent.cancelled.is_none(), "{id} hears twice of a cancellation: {text}");
        ensure!(!sent.is_over, "{id} hears of the cancellation of what is over: {text}");
        sent.cancelled = Some(now);
        self.settle_due(&Due::Cancel(id, minted));
        self.abandoned.push((id, minted));
        Ok(())
    }

    /// Whoever was said not to wait any longer does not.
    pub fn check_abandoned(&mut self) -> Held {
        for (id, minted) in std::mem::take(&mut self.abandoned) {
            let owed = self.sessions.values().flat_map(|session| session.owed.values());
            let waits = owed.filter(|owed| owed.minted == Some((id, minted)) && !owed.is_over);
            let waits: Vec<Mark> = waits.map(|owed| owed.message.mark).collect();
            ensure!(waits.is_empty(), "{id} was told to cancel {waits:?}, which somebody waits for");
        }
        Ok(())
    }

    fn end_ask(&mut self, id: UpstreamId, ask: &RequestId, text: &str) -> Held {
        let Some(server) = self.servers.get_mut(&id) else { return Ok(()) };
        // One under an id in use is refused at once, so that the last is meant whenever there are several.
        let last = server.asks.get_mut(ask).and_then(Vec::pop);
        let Some((number, shown)) = last else {
            return Err(Broken(format!("{id} gets an answer to what it did not ask: {text}")));
        };
        server.asks.retain(|_, asks| !asks.is_empty());
        if let Some(said) = self.said.get_mut(number) {
            said.audience = Audience::Nobody;
        }
        if let Some((session, shown)) = shown {
            let waits = self.sessions.get(&session).is_some_and(|session| session.asked.contains_key(&shown));
            ensure!(!waits, "{id} has an answer to what {session} has not answered: {text}");
        }
        self.settle_due(&Due::AskAnswered(id, ask.clone()));
        Ok(())
    }

    /// What the pooler itself knows: that it is there, and folders.
    fn check_own_answer(&self, id: UpstreamId, ask: &RequestId, result: &str) -> Held {
        let Some(server) = self.servers.get(&id) else { return Ok(()) };
        let asks = server.asks.get(ask).into_iter().flatten();
        let asked: Vec<Message> = asks.filter_map(|(number, _)| Some(self.said.get(*number)?.message)).collect();
        if result == "{}" {
            ensure!(asked.iter().any(|message| message.shape == Shape::Ping), "{id} gets {result} to {asked:?}");
            return Ok(());
        }
        let folders: Vec<&str> = result.split(r#""uri":"file://"#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let roots = asked.iter().find(|message| message.shape == Shape::Roots);
        ensure!(roots.is_some() && folders.len() <= 1, "{id} gets {result} to {asked:?}");
        let bound = server.key.as_ref().and_then(|key| key.bound.as_deref());
        let cause = roots.map(|message| self.cause(id, message));
        let mut allowed = self.sessions.iter().filter(|(session, known)| match &cause {
            Some(Audience::Session(owner)) => owner == *session,
            _unclear => known.is_at(id),
        });
        let fits = match bound {
            Some(bound) => folders == [bound],
            None => folders.first().is_none_or(|folder| allowed.any(|(_, session)| session.key.folder.as_deref() == Some(*folder))),
        };
        ensure!(fits, "{id} is told of folders that are not its business: {result}");
        Ok(())
    }

    /// The whole, after a step.
    pub fn check_whole(&self, mux: &Mux, tally: &mut Tally) -> Held {
        let snapshot = mux.snapshot();
        let known: Vec<SessionId> = snapshot.sessions.iter().map(|session| session.id).collect();
        ensure!(known.iter().eq(self.sessions.keys()), "there are {known:?}, and not {:?}", self.sessions.keys());
        let mut waiting = 0;
        let mut at = BTreeMap::new();
        for session in &snapshot.sessions {
            let model = &self.sessions[&session.id];
            let owed = model.owed.len();
            let has_batch = model.owed.values().any(|owed| owed.in_batch);
            let fits = if has_batch { session.in_flight <= owed } else { session.in_flight == owed };
            ensure!(fits, "{} waits for {owed} answers, and the core knows of {}", session.id, session.in_flight);
            ensure!(!model.is_served || session.upstream == model.upstream, "{} is at {:?}, and not at {:?}", session.id, session.upstream, model.upstream);
            let most = self.limits.session_in_flight + self.limits.session_queue + 16;
            ensure!(session.in_flight <= most, "{} has {} requests open", session.id, session.in_flight);
            waiting += session.in_flight;
            session.upstream.into_iter().for_each(|upstream| *at.entry(upstream).or_insert(0) += 1);
        }
        for upstream in &snapshot.upstreams {
            let server = self.servers.get(&upstream.id);
            let process = server.map_or(Process::None, |server| server.process);
            let fits = match process {
                Process::None => matches!(upstream.state, "stopped" | "backoff" | "failed"),
                Process::Starting => upstream.state == "starting",
                Process::Running => !matches!(upstream.state, "stopped" | "backoff" | "failed" | "draining" | "starting"),
                Process::Stopping => upstream.state == "draining",
            };
            ensure!(fits, "{} is {}, and its process is {process:?}", upstream.id, upstream.state);
            tally.saw(Kind::State, upstream.state);
            let users = at.get(&upstream.id).copied().unwrap_or_default();
            ensure!(upstream.sessions == users, "{} has {} sessions, and not {users}", upstream.id, upstream.sessions);
            waiting -= upstream.in_flight.min(waiting);
        }
        let most = self.limits.waiting + snapshot.sessions.len() + 1;
        ensure!(waiting <= most, "{waiting} requests wait");
        let live = self.servers.iter().filter(|(_, server)| server.process != Process::None);
        let lost = live.map(|(id, _)| id).find(|id| !snapshot.upstreams.iter().any(|upstream| upstream.id == **id));
        ensure!(lost.is_none(), "{lost:?} has a process, and the core has forgotten it");
        Ok(())
    }

    /// Whoever shares a server may, and whoever may does.
    pub fn check_sharing(&self, id: SessionId) -> Held {
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        let Some(upstream) = session.upstream else { return Ok(()) };
        let others = self.sessions.iter().filter(|(other, _)| **other != id);
        let attached = others.filter(|(_, other)| other.upstream.is_some() && (other.is_served || other.owed.values().any(|owed| owed.message.is_hello())));
        for (other_id, other) in attached {
            if session.key.joins || other.key.joins {
                let same_name = session.key.name == other.key.name || other.upstream != Some(upstream);
                ensure!(same_name, "{id} and {other_id} share {upstream}");
                continue;
            }
            let may_share = session.key.shares_with(&other.key);
            let does_share = other.upstream == Some(upstream);
            ensure!(may_share || !does_share, "{id} and {other_id} share {upstream}");
            let must = may_share && !self.is_private(&session.key);
            ensure!(does_share || !must, "{id} is at {upstream}, and {other_id} at {:?}", other.upstream);
        }
        Ok(())
    }

    /// A server at rest is subscribed to what its sessions are, and to nothing else.
    pub fn check_topics(&self, _id: UpstreamId, _server: &crate::model::Server) -> Held {
        Ok(())
    }

    /// Time is not lost: the next deadline lies ahead.
    pub fn check_deadline(&self, next: Option<Moment>) -> Held {
        ensure!(next.is_none_or(|next| next >= self.now), "a deadline has passed unseen");
        Ok(())
    }
}

fn named_request(params: &Params) -> Option<u64> {
    params.request_id.as_ref().and_then(|(id, _)| id.as_number())
}

/// The version that a client is answered in: its own, unless the server's is older or nobody knows it.
fn answered_version(asked: u8, greeting: &Message) -> &'static str {
    let Shape::Greeting { version: spoken, .. } = greeting.shape else { return "" };
    let spoken = VERSIONS[usize::from(spoken)];
    match VERSIONS[usize::from(asked)] {
        asked if asked != "1999-01-01" && asked <= spoken => asked,
        _unknown => spoken,
    }
}
