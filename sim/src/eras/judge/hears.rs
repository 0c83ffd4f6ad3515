//! What reaches the core, and what must come of it at once.

use mux::{Era, SessionId, UpstreamId};

use super::{Due, Inquiry, Judge, Kind, Open, Outcome, Process, Question, Seen, Told, Wish};
use crate::{
    eras::words::{self, Asks, Hints, Request, Shape},
    payload::Mark,
};

/// What a server says in answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) minted: u64,
    pub(crate) mark: Mark,
    pub(crate) kind: Kind,
    /// As JSON, and with a number for each question, if it is questions.
    pub(crate) state: String,
    pub(crate) asks: Vec<(String, Mark, Asks)>,
}

impl Judge {
    /// A client asks something.
    pub(crate) fn client_asks(&mut self, id: SessionId, request: &Request) {
        let is_bad = self.has_bad_handle(id, request);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut open = Open {
            request: request.clone(),
            origin: request.mark,
            first: None,
            tick: self.tick,
            since: self.now,
            sent: None,
            writes: 0,
            rounds: 0,
            unanswered: 0,
            inquiry: None,
            answer: None,
            overlaps: false,
            has_bad_handle: is_bad,
            wish: None,
        };
        if request.era == Era::Modern && session.era.is_none() {
            session.era = Some(Era::Modern);
            session.class = request.class;
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
        match request.shape {
            Shape::Hello if session.era == Some(Era::Modern) => {
                session.turning = Some(request.id.clone());
            }
            Shape::Hello => {
                session.era = Some(Era::Legacy);
                session.class = request.class;
            }
            Shape::Listen(bits) => {
                let bits = words::honoured(bits);
                open.wish = Some(Wish {
                    bits,
                    ..Wish::default()
                });
            }
            Shape::Subscribe(_) | Shape::Unsubscribe(_) | Shape::SetLevel(_) => {
                let is_level = matches!(request.shape, Shape::SetLevel(_));
                let open_now = session.open.values_mut();
                let others = open_now.filter(|open| match open.request.shape {
                    Shape::SetLevel(_) => is_level,
                    _other => !is_level && open.changes_topics(),
                });
                for other in others {
                    (other.overlaps, open.overlaps) = (true, true);
                }
            }
            _other => {}
        }
        session.open.insert(request.id.clone(), open);
        if !is_bad && request.back.is_some() {
            self.comes_back(id, request);
        }
    }

    /// A client no longer wants an answer.
    pub(crate) fn client_cancels(&mut self, id: SessionId, named: &str) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let open = session.open.remove(named)?;
        if open.request.shape == Shape::Hello {
            session.open.insert(named.to_owned(), open);
            return None;
        }
        session.forgets(open.request.shape);
        if open.wish.is_some() {
            self.saw(Seen::ListenCancelled);
        }
        if let Some((upstream, minted)) = open.sent.filter(|_| open.answer.is_none()) {
            self.due.push(Due::Cancelled(upstream, minted));
        }
        self.withdraw_inquiry(id, named);
        Some(())
    }

    /// What a client was asked for a request is not needed any more.
    fn withdraw_inquiry(&mut self, id: SessionId, named: &str) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is_its = |_: &u64, question: &mut Question| matches!(question, Question::Inquired(of, _) if of == named);
        let withdrawn: Vec<u64> = session
            .asked
            .extract_if(.., is_its)
            .map(|(shown, _)| shown)
            .collect();
        for shown in withdrawn {
            self.due.push(Due::Withdrawn(id, shown));
            self.saw(Seen::InquiryCancelled);
        }
    }

    /// A client of the legacy era answers what it was asked, or says that it does not.
    pub(crate) fn client_replies(
        &mut self,
        id: SessionId,
        shown: u64,
        answer: Option<(&str, Mark)>,
    ) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        match session.asked.remove(&shown)? {
            Question::Asked(upstream, ask) => {
                let server = self.servers.get_mut(&upstream)?;
                let known = server.asks.get_mut(&ask)?;
                known.reply = answer.map(|(_, mark)| mark.number);
                known.is_refused = answer.is_none();
                self.due.push(Due::AskAnswered(upstream, ask));
            }
            Question::Inquired(named, name) => {
                let inquiry = session.open.get_mut(&named)?.inquiry.as_mut()?;
                let (_, asks, _) = inquiry.asks.get(&name)?;
                let is_elicitation = matches!(asks, Asks::Form | Asks::Address);
                match answer {
                    Some((answer, _)) => drop(inquiry.answers.insert(name, answer.to_owned())),
                    None if is_elicitation => {
                        drop(
                            inquiry
                                .answers
                                .insert(name, r#"{"action":"cancel"}"#.to_owned()),
                        );
                    }
                    None => {
                        inquiry.is_refused = true;
                        self.due.push(Due::Answered(id, named.clone()));
                        self.withdraw_inquiry(id, &named);
                        self.saw(Seen::InquiryRefused);
                    }
                }
            }
        }
        Some(())
    }

    /// A client says no more, but listens.
    pub(crate) fn client_ends(&mut self, id: SessionId) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        (session.is_ending, session.ending_since) = (true, Some(self.now));
        let listens = session.open.iter().filter(|(_, open)| {
            let may_be_refused = open.inquiry.as_ref().is_some_and(Inquiry::waits);
            open.wish.as_ref().is_some_and(Wish::is_acknowledged) || may_be_refused
        });
        let over: Vec<String> = listens.map(|(named, _)| named.clone()).collect();
        for named in over {
            self.due.push(Due::Answered(id, named.clone()));
            if let Some(inquiry) = self
                .sessions
                .get_mut(&id)
                .and_then(|it| it.open.get_mut(&named)?.inquiry.as_mut())
            {
                inquiry.is_refused = true;
            }
            self.withdraw_inquiry(id, &named);
        }
        self.cannot_answer(id)
    }

    /// A client answers nothing more, nor comes back.
    fn cannot_answer(&mut self, id: SessionId) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let parked = std::mem::take(&mut session.parked).into_values();
        for parked in parked.filter(|parked| parked.outcome == Outcome::Open) {
            self.due
                .push(Due::Cancelled(parked.upstream, parked.minted));
        }
        for (upstream, server) in &self.servers {
            for (named, ask) in &server.asks {
                if ask.put == Some(id) && ask.reply.is_none() {
                    self.due.push(Due::AskAnswered(*upstream, named.clone()));
                }
            }
        }
        let session = self.sessions.get_mut(&id)?;
        session
            .asked
            .retain(|_, question| matches!(question, Question::Inquired(..)));
        Some(())
    }

    /// A client does not read, and what waited for it is lost: so is what it waits for, but for its wishes.
    pub(crate) fn client_is_cut(&mut self, id: SessionId) -> Option<()> {
        let parked = std::mem::take(&mut self.sessions.get_mut(&id)?.parked);
        self.cannot_answer(id);
        let session = self.sessions.get_mut(&id)?;
        session.parked = parked;
        session.cut_at = Some(self.tick + 1);
        let is_wish = |open: &&Open| open.wish.as_ref().is_some_and(Wish::is_acknowledged);
        let open = session.open.iter().filter(|(_, open)| !is_wish(open));
        let over: Vec<String> = open.map(|(named, _)| named.clone()).collect();
        for named in over {
            self.due.push(Due::Answered(id, named.clone()));
            self.withdraw_inquiry(id, &named);
        }
        self.saw(Seen::ClientCut);
        Some(())
    }

    /// A session is gone, by its own wish or the core's.
    pub(crate) fn gone(&mut self, id: SessionId) -> Option<()> {
        self.cannot_answer(id);
        let session = self.sessions.remove(&id)?;
        if session.is_post && !session.open.is_empty() {
            self.saw(Seen::PostClosedEarly);
        }
        let open = session
            .open
            .into_values()
            .filter(|open| open.answer.is_none());
        for (upstream, minted) in open.filter_map(|open| open.sent) {
            self.due.push(Due::Cancelled(upstream, minted));
        }
        Some(())
    }

    /// A server says what it is.
    pub(crate) fn server_greets(&mut self, id: UpstreamId, mark: Mark, hints: Option<Hints>) {
        let tick = self.tick;
        let Some(server) = self
            .servers
            .get_mut(&id)
            .filter(|it| it.process == Process::Running)
        else {
            return;
        };
        (server.greeted_at, server.greeting) = (Some(tick), mark.number);
        server.has_spoken = true;
        for given in server
            .given
            .values_mut()
            .filter(|given| given.claim.is_none())
        {
            given.is_over = true;
        }
        self.server_tells(id, Told::Greeting, mark, hints);
        // Another process may have other lists.
        for list in 0..3 {
            self.list_changes(id, list, true);
        }
    }

    /// A server answers a request.
    pub(crate) fn server_answers(&mut self, id: UpstreamId, answer: Answer) -> Option<()> {
        let given = self.servers.get_mut(&id)?.given.get_mut(&answer.minted)?;
        if std::mem::replace(&mut given.is_over, true) || given.cancelled.is_some() {
            return None;
        }
        let (session, _) = given.claim?;
        let place = (id, answer.minted);
        let what = (answer.mark.number, answer.kind);
        let era = self.servers[&id].era;
        let session = self.sessions.get_mut(&session)?;
        let waits = session
            .open
            .values_mut()
            .find(|open| open.sent == Some(place));
        let Some(open) = waits else {
            let mut parked = session.parked.values_mut();
            parked
                .find(|parked| (parked.upstream, parked.minted) == place)?
                .outcome = Outcome::Answered(what.0, what.1);
            return None;
        };
        let named = open.request.id.clone();
        let is_bridged = open.request.era == Era::Legacy && era == Some(Era::Modern);
        if answer.kind == Kind::Questions && is_bridged {
            open.sent = None;
            open.rounds += 1;
            let asks = answer.asks.into_iter();
            let asks = asks.map(|(name, mark, asks)| (name, (mark.number, asks, false)));
            open.inquiry = Some(Inquiry {
                state: answer.state,
                asks: asks.collect(),
                ..Inquiry::default()
            });
            // Where only we are asked it may have to wait for its turn again.
            if asks_client(open.inquiry.as_ref()) {
                self.due.push(Due::Goes(session.id, named));
            }
        } else {
            open.answer = Some(what);
            self.due.push(Due::Answered(session.id, named));
        }
        Some(())
    }

    /// A server no longer wants to know.
    pub(crate) fn server_withdraws(&mut self, id: UpstreamId, ask: &str) -> Option<()> {
        let known = self.servers.get_mut(&id)?.asks.remove(ask)?;
        // Whoever comes back for it does not answer what is asked under its id from now on.
        let parked = self
            .sessions
            .values_mut()
            .flat_map(|it| it.parked.values_mut());
        for parked in parked.filter(|parked| parked.upstream == id) {
            parked.asks.retain(|_, named| named != ask);
        }
        let session = self.sessions.get_mut(&known.put?)?;
        let is_it = |_: &u64, question: &mut Question| matches!(question, Question::Asked(at, named) if *at == id && named == ask);
        let shown = session
            .asked
            .extract_if(.., is_it)
            .map(|(shown, _)| shown)
            .next()?;
        self.due.push(Due::Withdrawn(known.put?, shown));
        Some(())
    }

    /// A server tells how far it is with a request.
    pub(crate) fn server_reports(&mut self, id: UpstreamId, minted: u64, mark: Mark) -> Option<()> {
        let given = self.servers.get(&id)?.given.get(&minted)?;
        let (session, _) = given
            .claim
            .filter(|_| !given.is_over && given.cancelled.is_none())?;
        let open = self.sessions.get(&session)?.open.values();
        let mut open =
            open.filter(|open| open.sent == Some((id, minted)) && open.request.token.is_some());
        open.next()?;
        self.due
            .push(Due::Hears(session, mark.number, String::new()));
        Some(())
    }

    /// A server logs on the stream of a request: whoever waits for that hears of it, if it wants to.
    pub(crate) fn server_logs(
        &mut self,
        id: UpstreamId,
        minted: u64,
        (level, mark): (u8, Mark),
    ) -> Option<()> {
        let given = self.servers.get(&id)?.given.get(&minted)?;
        let (session, _) = given
            .claim
            .filter(|_| !given.is_over && given.cancelled.is_none())?;
        let session = self.sessions.get(&session)?;
        let mut open = session.open.values();
        let open = open.find(|open| open.sent == Some((id, minted)))?;
        let least = match open.request.era {
            Era::Modern => open.request.level,
            Era::Legacy => session.level,
        };
        if !session.may_want_other_level() && least.is_some_and(|least| least <= level) {
            let due = Due::Hears(session.id, mark.number, String::new());
            self.due.push(due);
            self.saw(Seen::LoggedWithin);
        }
        Some(())
    }

    /// A list of a server has changed, or may have because it is another process.
    pub(crate) fn list_changes(&mut self, id: UpstreamId, list: usize, is_guess: bool) {
        let now = self.now;
        let Some(server) = self
            .servers
            .get_mut(&id)
            .filter(|it| it.greeted_at.is_some())
        else {
            return;
        };
        server.changed_at[list] = Some(now);
        if !is_guess {
            self.is_told_no_longer(id, list);
        }
        for session in self
            .sessions
            .values_mut()
            .filter(|it| it.upstream == Some(id))
        {
            session.news[list] += 1;
            let wishes = session
                .open
                .values_mut()
                .filter_map(|open| open.wish.as_mut());
            for wish in wishes.filter(|wish| wish.bits >> list & 1 == 1) {
                let is_due = !is_guess && wish.is_acknowledged();
                let (may, must) = &mut wish.news[list];
                (*may, *must) = (*may + 1, *must || is_due);
            }
        }
    }

    /// A resource of a server has changed: who wants to know hears of it now.
    pub(crate) fn resource_changes(&mut self, id: UpstreamId, uri: usize, mark: Mark) {
        if self
            .servers
            .get(&id)
            .is_none_or(|server| server.greeted_at.is_none())
        {
            return;
        }
        let here = self.sessions.values_mut();
        for session in here.filter(|it| it.upstream == Some(id)) {
            let is_subscribed = session.is_greeted
                && words::wholes_of(uri)
                    .any(|at| session.topics.get(words::URIS[at]) == Some(&Some(true)));
            // One that is being changed may be either, but for one that its server has been asked for and nothing else.
            let mut changing = session.open.values().filter(|it| it.changes_topics());
            let is_due = match (changing.next(), changing.next()) {
                (None, _) => is_subscribed,
                (Some(only), None) => {
                    !only.overlaps && only.is_at_server(id) && only.subscribes_to(uri)
                }
                (Some(_), Some(_)) => false,
            };
            if is_due {
                self.due
                    .push(Due::Hears(session.id, mark.number, String::new()));
            }
            for (named, open) in &mut session.open {
                match &mut open.wish {
                    Some(wish) if !wish.is_acknowledged() => wish.misses(uri),
                    Some(wish) if wish.wants(uri) => {
                        self.due
                            .push(Due::Hears(session.id, mark.number, named.clone()));
                    }
                    Some(_) | None => {}
                }
            }
        }
    }

    /// A process is gone. What it was given and may not be given twice is answered now, but for what was never
    /// written to it.
    pub(crate) fn exited(&mut self, id: UpstreamId, unwritten: &[u64]) -> Option<()> {
        self.is_troubled(id);
        self.compares_anew(id);
        self.wishes_are_agreed_to(id);
        let server = self.servers.get_mut(&id)?;
        server.process = Process::None;
        server.is_stalled = false;
        (server.greeted_at, server.initialized, server.era) = (None, 0, None);
        (server.asks, server.listens, server.tells) = Default::default();
        for given in server.given.values_mut() {
            given.is_over = true;
        }
        let mut seen = Vec::new();
        for session in self.sessions.values_mut() {
            let is_its = |_: &u64, question: &mut Question| matches!(question, Question::Asked(at, _) if *at == id);
            let asked = session.asked.extract_if(.., is_its);
            self.due
                .extend(asked.map(|(shown, _)| Due::Withdrawn(session.id, shown)));
            for (named, open) in &mut session.open {
                if open.inquiry.is_some() && open.sent.is_none() && session.upstream == Some(id) {
                    seen.push(Seen::InquiryAtDeath);
                }
                let Some((_, minted)) = open.sent.take_if(|(at, _)| *at == id) else {
                    continue;
                };
                let came_back = open.origin != open.request.mark;
                if unwritten.contains(&minted) {
                    open.writes -= 1;
                } else if came_back
                    || !open.request.shape.is_read_only()
                    || open.writes > open.rounds + 1
                {
                    self.due.push(Due::Answered(session.id, named.clone()));
                }
            }
            let parked = session.parked.values_mut();
            for parked in parked.filter(|it| it.upstream == id && it.outcome == Outcome::Open) {
                parked.outcome = Outcome::Lost;
                // Another process may ask under the same ids.
                parked.asks.clear();
                seen.push(Seen::ParkedAtDeath);
            }
        }
        self.seen.append(&mut seen);
        Some(())
    }

    /// Time has passed: who has not come back in time need not come any more.
    pub(crate) fn time_passes(&mut self) {
        let now = self.now;
        let mut over = Vec::new();
        for session in self.sessions.values_mut() {
            let late = session
                .parked
                .extract_if(.., |_, parked| parked.until <= now);
            over.extend(late.map(|(_, parked)| parked));
        }
        for parked in over
            .into_iter()
            .filter(|parked| parked.outcome == Outcome::Open)
        {
            self.due
                .push(Due::Cancelled(parked.upstream, parked.minted));
            for ask in parked.asks.into_values() {
                let is_open = self
                    .servers
                    .get(&parked.upstream)
                    .is_some_and(|it| it.asks.contains_key(&ask));
                if is_open {
                    self.due.push(Due::AskAnswered(parked.upstream, ask));
                }
            }
        }
    }
}

/// Whether a client is asked anything.
fn asks_client(inquiry: Option<&Inquiry>) -> bool {
    let asks = inquiry
        .into_iter()
        .flat_map(|inquiry| inquiry.asks.values());
    asks.map(|(_, asks, _)| asks)
        .any(|asks| asks.is_for_clients())
}
