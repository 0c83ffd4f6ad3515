//! What goes to servers: requests of those who wait for them, once, and answers to what they asked.

use mux::{DropReason, Fact, SessionId, UpstreamId};
use wire::{Frame, Message as Wired, Method, Outgoing, RequestId};

use crate::{
    model::{Audience, Due, Line, Model, Sent},
    payload::{self, Ident, Mark, Message, Owner, Shape},
    peers::Process,
};

use super::{Broken, Held, ensure, named_request, reason};

impl Model {
    pub(super) fn check_sent_to_server(&mut self, id: UpstreamId, frame: &Outgoing) -> Held {
        let process = self.servers.get(&id).map(|server| server.process);
        ensure!(
            matches!(process, Some(Process::Running | Process::Stopping)),
            "{id} has no process and is sent something"
        );
        let text =
            String::from_utf8(frame.to_vec()).map_err(|_| Broken("half a character".to_owned()))?;
        let frame = Frame::parse(bytes::Bytes::from(text.clone())).map_err(|fault| {
            Broken(format!("{id} is sent what is no message ({fault}): {text}"))
        })?;
        let mark = payload::mark_of(&text);
        match (&frame.message, mark) {
            (Wired::Request { id: minted, .. }, mark) => {
                let Some(minted) = minted.as_number() else {
                    return Err(Broken(format!("{id} is asked under a foreign id: {text}")));
                };
                match mark {
                    Some(mark) => self.check_request(id, minted, mark, &text),
                    None => self.check_errand(id, minted, &frame),
                }
            }
            (Wired::Notification { method, params }, mark) => {
                if let Some(mark) = mark {
                    self.check_relayed(id, mark, &text)?;
                }
                if *method != Method::Cancelled {
                    return self.check_greeted(id, mark, method, &text);
                }
                let Some(minted) = named_request(params) else {
                    return Err(Broken(format!(
                        "{id} hears that nothing is cancelled: {text}"
                    )));
                };
                self.check_cancelled(id, minted, &text)
            }
            (
                Wired::Response {
                    id: Some(ask),
                    result,
                    error,
                    ..
                },
                mark,
            ) => {
                let ask = ask.clone();
                match (mark, result, error) {
                    (Some(mark), ..) => self.check_relayed(id, mark, &text)?,
                    (None, Some(result), _) => {
                        self.check_own_answer(id, &ask, frame.json(result))?;
                    }
                    (None, None, Some(error)) => {
                        let reason = reason(&frame, error)?;
                        self.check_ask_refused(id, &ask, &reason, &text)?;
                    }
                    (None, None, None) => {}
                }
                self.end_ask(id, &ask, &text)
            }
            (Wired::Response { id: None, .. }, _) => {
                Err(Broken(format!("{id} gets an answer without an id: {text}")))
            }
        }
    }

    /// All that the pooler tells a server on its own account is that the handshake is over.
    fn check_greeted(
        &mut self,
        id: UpstreamId,
        mark: Option<Mark>,
        method: &Method,
        text: &str,
    ) -> Held {
        let Some(server) = self.servers.get_mut(&id).filter(|_| mark.is_none()) else {
            return Ok(());
        };
        server.initialized += 1;
        let fits = *method == Method::Initialized && server.initialized == 1 && server.is_greeted;
        ensure!(fits, "{id} is told what nobody said: {text}");
        Ok(())
    }

    /// What a client said reaches its server, as it was said.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn check_relayed(&mut self, id: UpstreamId, mark: Mark, text: &str) -> Held {
        let Owner::Session(owner) = mark.owner else {
            return Err(Broken(format!("{id} hears itself: {text}")));
        };
        let at = self
            .sessions
            .get(&owner)
            .and_then(|session| session.upstream);
        let Some(said) = self.said.get_mut(mark.number) else {
            return Err(Broken(format!("nobody said {text}")));
        };
        let is_its = match &said.audience {
            Audience::ItsServer => at == Some(id),
            Audience::Server(server) => *server == id,
            _nobody => false,
        };
        ensure!(is_its, "{id} hears what is not for it, or twice: {text}");
        let expected = said.message.renamed(said.id, said.token).render();
        ensure!(
            text == expected,
            "{id} hears\n  {text} and not\n  {expected}"
        );
        said.audience = Audience::Nobody;
        self.settle_due(&Due::Relayed(id, mark.number));
        Ok(())
    }

    pub(super) fn check_request(
        &mut self,
        id: UpstreamId,
        minted: u64,
        mark: Mark,
        text: &str,
    ) -> Held {
        let Owner::Session(owner) = mark.owner else {
            return Err(Broken(format!("{id} is asked by a server: {text}")));
        };
        let Some(session) = self.sessions.get_mut(&owner) else {
            return Err(Broken(format!(
                "{id} is asked by {owner}, which is gone: {text}"
            )));
        };
        ensure!(
            session.is_at(id),
            "{id} is asked by {owner}, which is not at it: {text}"
        );
        let message = self.said.get(mark.number).map(|said| said.message);
        let key = message.and_then(|message| message.id.id());
        let owed = key
            .and_then(|key| session.owed.get_mut(&key))
            .filter(|owed| owed.message.mark == mark && !owed.is_over);
        let Some(owed) = owed else {
            return Err(Broken(format!(
                "{id} is asked what nobody waits for: {text}"
            )));
        };
        let expected = owed
            .message
            .renamed(Ident::Number(minted), Ident::Number(minted))
            .render();
        ensure!(
            text == expected,
            "{id} hears\n  {text} and not\n  {expected}"
        );
        let shape = owed.message.shape;
        ensure!(owed.minted.is_none(), "{id} is asked twice: {text}");
        ensure!(
            owed.writes == 0 || (owed.writes == 1 && shape.is_read_only()),
            "{id} is asked again what may not be repeated: {text}"
        );
        let line = session.lines.get(&owed.line).copied();
        let may_repeat = shape.is_read_only() || shape.is_answered_here();
        let is_announced = may_repeat
            || owed.in_batch
            || !matches!(line, Some(Line::Held(_) | Line::Announcing(_)));
        ensure!(
            is_announced,
            "{id} is asked before the shim of {owner} knows: {text}"
        );
        owed.minted = Some((id, minted));
        owed.writes += 1;
        self.servers
            .get_mut(&id)
            .map(|server| server.users.insert(owner));
        let in_flight = self.in_flight(owner);
        ensure!(
            in_flight <= self.limits.session_in_flight,
            "{owner} has {in_flight} requests at {id}"
        );
        self.mint(
            id,
            minted,
            Sent {
                claim: Some((owner, mark)),
                shape: Some(shape),
                cancelled: None,
                is_over: false,
            },
        )
    }

    pub(super) fn mint(&mut self, id: UpstreamId, minted: u64, sent: Sent) -> Held {
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        ensure!(
            server.initialized == 1 || matches!(sent.shape, Some(Shape::Hello { .. })),
            "{id} is asked before it is initialized"
        );
        ensure!(
            server.sent.insert(minted, sent).is_none(),
            "{id} sees {minted} twice"
        );
        Ok(())
    }

    /// The pooler asks on its own account.
    pub(super) fn check_errand(&mut self, id: UpstreamId, minted: u64, frame: &Frame) -> Held {
        let Wired::Request { method, params, .. } = &frame.message else {
            return Ok(());
        };
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
            ensure!(
                server.sent.values().all(|sent| sent.is_over),
                "{id} is greeted late, or twice"
            );
            Some(Shape::Hello {
                version: 0,
                class: 0,
            })
        } else if *method == Method::ResourcesSubscribe {
            let known = |session: &crate::model::Session| !session.topics.is_empty();
            ensure!(here.any(known), "{id} is subscribed for nobody");
            None
        } else if *method == Method::ResourcesUnsubscribe {
            ensure!(
                !here.any(certain(true)),
                "{id} is unsubscribed, and somebody listens"
            );
            None
        } else {
            ensure!(
                matches!(method, Method::SetLevel | Method::Ping),
                "{id} is asked {method} by nobody"
            );
            None
        };
        self.mint(
            id,
            minted,
            Sent {
                claim: None,
                shape,
                cancelled: None,
                is_over: false,
            },
        )
    }

    /// How many requests of a session servers are at. What one was told to cancel of a batch was refused,
    /// and that waits for the rest of the batch.
    fn in_flight(&self, owner: SessionId) -> usize {
        let is_at_work = |(id, minted): (UpstreamId, u64)| {
            let server = self.servers.get(&id);
            let sent = server.and_then(|server| server.sent.get(&minted));
            sent.is_none_or(|sent| sent.cancelled.is_none())
        };
        let owed = self.sessions.get(&owner).into_iter();
        owed.flat_map(|session| session.owed.values())
            .filter(|owed| owed.minted.is_some_and(is_at_work) && !owed.is_over)
            .count()
    }

    pub(super) fn check_cancelled(&mut self, id: UpstreamId, minted: u64, text: &str) -> Held {
        let now = self.now;
        let server = self.servers.get_mut(&id);
        let sent = server.and_then(|server| server.sent.get_mut(&minted));
        let Some(sent) = sent.filter(|sent| sent.claim.is_some()) else {
            return Err(Broken(format!("{id} never saw what is cancelled: {text}")));
        };
        ensure!(
            sent.cancelled.is_none(),
            "{id} hears twice of a cancellation: {text}"
        );
        ensure!(
            !sent.is_over,
            "{id} hears of the cancellation of what is over: {text}"
        );
        sent.cancelled = Some(now);
        self.settle_due(&Due::Cancel(id, minted));
        self.abandoned.push((id, minted));
        Ok(())
    }

    /// Whoever was said not to wait any longer does not.
    pub(crate) fn check_abandoned(&mut self) -> Held {
        for (id, minted) in std::mem::take(&mut self.abandoned) {
            let owed = self
                .sessions
                .values()
                .flat_map(|session| session.owed.values());
            // One of a batch may have been refused, and that waits for the rest of it.
            let waits = owed.filter(|owed| owed.minted == Some((id, minted)) && !owed.in_batch);
            let waits: Vec<Mark> = waits.map(|owed| owed.message.mark).collect();
            ensure!(
                waits.is_empty(),
                "{id} was told to cancel {waits:?}, which somebody waits for"
            );
        }
        Ok(())
    }

    pub(crate) fn end_ask(&mut self, id: UpstreamId, ask: &RequestId, text: &str) -> Held {
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        // One under an id in use is refused at once, so that the last is meant whenever there are several.
        let Some(number) = server.unask(ask) else {
            return Err(Broken(format!(
                "{id} gets an answer to what it did not ask: {text}"
            )));
        };
        if let Some(said) = self.said.get_mut(number) {
            said.audience = Audience::Nobody;
        }
        let is_it = |(_, asked): &(UpstreamId, Message)| asked.mark.number == number;
        let mut sessions = self.sessions.iter();
        let waits = sessions.find(|(_, session)| session.asked.values().any(is_it));
        let waits = waits.map(|(session, _)| session);
        ensure!(
            waits.is_none(),
            "{id} has an answer to what {waits:?} has not answered: {text}"
        );
        self.settle_due(&Due::AskAnswered(id, ask.clone()));
        self.settle_due(&Due::Decided(id, number));
        Ok(())
    }

    /// A server that does not read gets no answer to what it asks besides, and hears of no progress.
    pub(crate) fn check_dropped(&mut self, fact: &Fact) -> Held {
        let Fact::Dropped {
            upstream,
            reason: DropReason::NotRead,
        } = fact
        else {
            return Ok(());
        };
        let server = self.servers.get(upstream);
        ensure!(
            server.is_some_and(|server| server.is_blocked),
            "{upstream} reads, and something is dropped because it does not"
        );
        let said = &self.said;
        self.due.retain(|due| {
            let is_progress = |number: &usize| said[*number].message.shape == Shape::Progress;
            !matches!(due, Due::Relayed(at, number) if at == upstream && is_progress(number))
        });
        match self.asking.take() {
            Some((id, ask)) => self.end_ask(id, &ask, "nothing"),
            None => Ok(()),
        }
    }

    /// What the pooler itself knows: that it is there, and folders.
    pub(super) fn check_own_answer(&self, id: UpstreamId, ask: &RequestId, result: &str) -> Held {
        let Some(server) = self.servers.get(&id) else {
            return Ok(());
        };
        let asks = server.asks.get(ask).into_iter().flatten();
        let asked: Vec<Message> = asks
            .filter_map(|number| Some(self.said.get(*number)?.message))
            .collect();
        if result == "{}" {
            ensure!(
                asked.iter().any(|message| message.shape == Shape::Ping),
                "{id} gets {result} to {asked:?}"
            );
            return Ok(());
        }
        let folders: Vec<&str> = result
            .split(r#""uri":"file://"#)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let roots = asked.iter().find(|message| message.shape == Shape::Roots);
        ensure!(
            roots.is_some() && folders.len() <= 1,
            "{id} gets {result} to {asked:?}"
        );
        let bound = server.key.as_ref().and_then(|key| key.bound.as_deref());
        let cause = roots.map(|message| self.cause(id, message));
        let mut allowed = self
            .sessions
            .iter()
            .filter(|(session, known)| match &cause {
                Some(Audience::Session(owner)) => owner == *session,
                _unclear => {
                    known.is_at(id) || (known.upstream == Some(id) && self.is_private(&known.key))
                }
            });
        let fits = match bound {
            Some(bound) => folders == [bound],
            None => folders.first().is_none_or(|folder| {
                allowed.any(|(_, session)| session.key.folder.as_deref() == Some(*folder))
            }),
        };
        ensure!(
            fits,
            "{id} is told of folders that are not its business: {result}"
        );
        Ok(())
    }
}
