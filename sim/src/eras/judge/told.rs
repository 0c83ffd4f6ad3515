//! What clients hear that answers nothing: only what they asked for, each under the name of its own wish.

use mux::{Era, SessionId};
use wire::{Frame, Message, Method, Span};

use super::{Due, Judge, Question, Seen, bit_of};
use crate::{
    eras::words::{self, LEVELS, LISTS, SUBSCRIPTION, Shape},
    invariants::{Broken, ensure},
    payload::{Mark, mark_of},
    world::Held,
};

impl Judge {
    /// A client hears something that answers nothing.
    pub(super) fn check_told(
        &mut self,
        id: SessionId,
        (method, frame): (&Method, &Frame),
        text: &str,
    ) -> Held {
        let wish = frame_subscription(frame);
        let era = self.sessions.get(&id).and_then(|session| session.era);
        ensure!(
            era == Some(Era::Modern) || wish.is_none(),
            "{id} is of the legacy era and hears of a wish: {text}"
        );
        let changed = |(list, _): &(&str, &str)| {
            method.name() == format!("notifications/{list}/list_changed")
        };
        if let Some(list) = LISTS.iter().position(changed) {
            return self.check_news(id, list, wish.as_deref(), text);
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "servers say nothing else here"
        )]
        match method {
            Method::ListenAcknowledged => self.check_acknowledged(id, wish.as_deref(), frame, text),
            Method::ResourceUpdated => self.check_updated(id, wish, text),
            Method::Progress => {
                let Some(mark) = mark_of(text) else {
                    return Err(Broken(format!("{id} hears how far nobody is: {text}")));
                };
                let cause = self.said[mark.number].cause;
                let session = self.sessions.get(&id);
                let mut open = session.into_iter().flat_map(|it| it.open.values());
                let open = open.find(|open| Some(open.origin) == cause);
                let token = open.and_then(|open| open.request.token.clone());
                let is_its = token
                    .is_some_and(|token| text.contains(&format!(r#""progressToken":{token}"#)));
                ensure!(is_its, "{id} hears how far another request is: {text}");
                self.hears(id, mark, "", text)
            }
            Method::LogMessage => self.check_logged(id, text),
            Method::Cancelled => {
                let Message::Notification { params, .. } = &frame.message else {
                    return Ok(());
                };
                let shown = params
                    .request_id
                    .as_ref()
                    .and_then(|(shown, _)| shown.as_number());
                let is_due = shown.is_some_and(|shown| {
                    self.settle_due(&Due::Withdrawn(id, shown)) || self.gives_up_inquiry(id, shown)
                });
                ensure!(is_due, "{id} need not answer what it was not asked: {text}");
                Ok(())
            }
            _unknown => Err(Broken(format!("{id} hears what nobody said: {text}"))),
        }
    }

    /// A client need not answer what it was asked for a request: because that is refused, now.
    fn gives_up_inquiry(&mut self, id: SessionId, shown: u64) -> bool {
        let session = self.sessions.get_mut(&id);
        let question = session.and_then(|session| session.asked.remove(&shown));
        let Some(Question::Inquired(named, _)) = question else {
            return false;
        };
        let due = Due::Answered(id, named);
        if !self.due.contains(&due) {
            self.due.push(due);
        }
        true
    }

    fn hears(&mut self, id: SessionId, mark: Mark, wish: &str, text: &str) -> Held {
        let said = &mut self.said[mark.number];
        ensure!(
            said.heard.insert((id, wish.to_owned())),
            "{id} hears twice: {text}"
        );
        ensure!(
            text.contains(&said.words),
            "{id} does not hear {} but {text}",
            said.words
        );
        self.settle_due(&Due::Hears(id, mark.number, wish.to_owned()));
        Ok(())
    }

    fn check_acknowledged(
        &mut self,
        id: SessionId,
        wish: Option<&str>,
        frame: &Frame,
        text: &str,
    ) -> Held {
        let Message::Notification { params, .. } = &frame.message else {
            return Ok(());
        };
        let filter = params
            .at
            .as_ref()
            .and_then(|at| frame.member(at, "notifications"));
        let filter = filter.map_or("", |filter| filter.value);
        let session = self.sessions.get_mut(&id);
        let server = session
            .as_ref()
            .and_then(|it| self.servers.get(&it.upstream?));
        let changed_at = server.map(|server| server.changed_at);
        let open = session.and_then(|it| it.open.get_mut(wish?));
        let since = open.as_ref().map(|open| open.since);
        let is_late = since.is_some_and(|since| self.now >= since + self.limits.agreement_patience);
        let Some(open) = open.and_then(|open| open.wish.as_mut()) else {
            return Err(Broken(format!(
                "{id} does not wish for what is acknowledged: {text}"
            )));
        };
        for (list, changed_at) in changed_at.into_iter().flatten().enumerate() {
            // What has changed just now may be told with what follows.
            let window = self.limits.change_window;
            let is_fresh = changed_at.is_some_and(|at| since.is_some_and(|it| it <= at + window));
            open.news[list].0 += u32::from(is_fresh);
        }
        ensure!(
            open.acknowledged_at.replace(self.tick).is_none(),
            "{id} hears twice: {text}"
        );
        let wanted = open.bits;
        let names = |uri: &str| filter.contains(&format!(r#""{uri}""#));
        for (at, uri) in words::URIS.iter().enumerate() {
            if !names(uri) {
                open.bits &= !bit_of(at);
            }
        }
        let promised = words::filter(open.bits);
        let missing = wanted & !open.bits;
        ensure!(
            filter == promised,
            "{id} is promised {filter} and not {promised}"
        );
        let agreed = open.agreed;
        let behind = |uri| Due::HearsBehind(id, wish.unwrap_or_default().to_owned(), uri);
        self.due.extend(open.must_hear().map(behind));
        self.check_promised(id, (wanted, missing, agreed), is_late, text)?;
        self.saw(Seen::Listened);
        Ok(())
    }

    /// A client hears that a list has changed: it has, and a client of the modern era wants to know.
    fn check_news(&mut self, id: SessionId, list: usize, wish: Option<&str>, text: &str) -> Held {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        let may = if session.era == Some(Era::Modern) {
            let open = wish.and_then(|wish| session.open.get_mut(wish)?.wish.as_mut());
            let Some(open) =
                open.filter(|open| open.is_acknowledged() && open.bits >> list & 1 == 1)
            else {
                return Err(Broken(format!(
                    "{id} hears what it did not ask for: {text}"
                )));
            };
            open.news[list].1 = false;
            &mut open.news[list].0
        } else {
            &mut session.news[list]
        };
        ensure!(
            *may > 0,
            "{id} hears of more changes than there were: {text}"
        );
        *may -= 1;
        self.saw(Seen::HeardChange);
        Ok(())
    }

    fn check_updated(&mut self, id: SessionId, wish: Option<String>, text: &str) -> Held {
        let uri = words::URIS
            .iter()
            .position(|uri| text.contains(&format!(r#""uri":"{uri}""#)));
        let uri = uri.unwrap_or_default();
        let (Some(session), Some(mark)) = (self.sessions.get(&id), mark_of(text)) else {
            return self.check_missed(id, wish.as_deref(), uri, text);
        };
        let is_wanted = match &wish {
            Some(wish) => session.open.get(wish).is_some_and(|open| {
                let wish = open.wish.as_ref().filter(|wish| wish.is_acknowledged());
                wish.is_some_and(|wish| wish.wants(uri))
            }),
            None => {
                session.era == Some(Era::Legacy)
                    && words::wholes_of(uri).any(|at| session.topics.contains_key(words::URIS[at]))
                    || session
                        .open
                        .values()
                        .any(|open| matches!(open.request.shape, Shape::Subscribe(_)))
            }
        };
        ensure!(is_wanted, "{id} hears what it did not ask for: {text}");
        let is_early = wish.is_none() && session.open.values().any(|it| it.subscribes_to(uri));
        if is_early {
            self.saw(Seen::HeardBefore);
        }
        self.saw(Seen::HeardUpdate);
        self.hears(id, mark, &wish.unwrap_or_default(), text)
    }

    /// A client hears, behind the acknowledgement of its wish, that a resource has changed before: that one or a part
    /// of it has, and of each it hears once.
    fn check_missed(&mut self, id: SessionId, named: Option<&str>, uri: usize, text: &str) -> Held {
        let tick = self.tick;
        let is_part = |at: usize| words::wholes_of(at).any(|whole| whole == uri);
        let session = self.sessions.get_mut(&id);
        let open = named.and_then(|named| session?.open.get_mut(named));
        let wish = open.and_then(|open| open.wish.as_mut());
        let wish = wish.filter(|wish| wish.acknowledged_at == Some(tick));
        let is_rightly_told = wish.is_some_and(|wish| {
            let has_changed = wish.missed.keys().any(|at| is_part(*at));
            has_changed && wish.wants(uri) && wish.heard.insert(uri)
        });
        ensure!(is_rightly_told, "{id} hears what nobody said: {text}");
        self.due.retain(|due| {
            !matches!(due, Due::HearsBehind(to, of, at)
                if *to == id && Some(&**of) == named && is_part(*at))
        });
        self.saw(Seen::HeardBehind);
        Ok(())
    }

    /// A client of the modern era hears of a log only if a request of its own wants that.
    fn check_logged(&mut self, id: SessionId, text: &str) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let level = LEVELS
            .iter()
            .position(|level| text.contains(&format!(r#""level":"{level}""#)));
        let level = level.unwrap_or_default();
        if session.era == Some(Era::Modern) {
            let mut wanted = session.open.values().filter_map(|open| open.request.level);
            ensure!(
                wanted.any(|least| usize::from(least) <= level),
                "{id} hears of a log that none of its requests wants: {text}"
            );
        }
        let Some(mark) = mark_of(text) else {
            // A word of our own.
            ensure!(
                text.contains(r#""logger":"mcpool""#),
                "{id} hears what nobody said: {text}"
            );
            return Ok(());
        };
        self.saw(Seen::HeardLog);
        self.hears(id, mark, "", text)
    }
}

/// The wish that a notification names.
fn frame_subscription(frame: &Frame) -> Option<String> {
    let Message::Notification { params, .. } = &frame.message else {
        return None;
    };
    subscription(frame, params.at.as_ref()?)
}

pub(super) fn subscription(frame: &Frame, at: &Span) -> Option<String> {
    let meta = frame.member(at, "_meta")?;
    let named = frame.member(&meta.at, SUBSCRIPTION)?;
    Some(named.value.to_owned())
}
