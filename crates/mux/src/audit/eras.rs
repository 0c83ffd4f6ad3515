//! What only one era says, entered into the books: who speaks how, and what is asked in more rounds than one.

use std::{boxed::Box, vec::Vec};

use wire::{Frame, Message, Method, Params, RequestId, Span};

use super::{Asking, Audit, OfAsk, print::Print};
use crate::{
    Era, SessionId,
    bridge::wants_input,
    handles::{HANDLE_PREFIX, answers_of, handle_of},
};

impl Audit {
    /// What a client has answered that its server has asked in place of an answer, nobody else waits for.
    pub(super) fn is_inquired(&mut self, session: SessionId, shown: u64) {
        if let Some(client) = self.clients.get_mut(&session) {
            client
                .asks
                .extract_if(shown..=shown, |_, (_, asked)| *asked == inquiry())
                .for_each(drop);
        }
    }

    /// A client comes back for a request that it was answered with questions: it is the same, and not yet done.
    pub(super) fn come_back(
        &mut self,
        session: SessionId,
        frame: &Frame,
        asking: Asking,
    ) -> Asking {
        let client = self.clients.get_mut(&session);
        let found = client.and_then(|client| {
            let handle = handle_of(frame)?;
            let parked = client.parked.get(&handle)?;
            let is_same = parked.method == asking.method && parked.target == asking.target;
            let parked = is_same.then(|| client.parked.remove(&handle))??;
            Some((handle, parked))
        });
        let Some((handle, parked)) = found else {
            return asking;
        };
        if let Some(print) = parked.print
            && let Some(group) = self.groups.get_mut(&print)
        {
            group.leave(&(session, handle), true);
        }
        for (shown, answer) in answers_of(frame) {
            let words = std::format!(r#"{{"jsonrpc":"2.0","id":0,"result":{answer}}}"#);
            if let (Ok(shown), Ok(said)) = (shown.parse(), Frame::parse(words.into())) {
                let print = Print::of(&said);
                self.step.ask_answers.push(OfAsk {
                    session,
                    shown,
                    print,
                });
            }
        }
        Asking {
            print: parked.print,
            exact: parked.exact,
            ..asking
        }
    }

    /// A client is of the modern era from its first request of that on, unless it says `initialize`.
    pub(super) fn hear_era(&mut self, session: SessionId, method: &Method, params: &Params) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        if params.modern.is_some() && client.upstream.is_none() {
            client.era = Era::Modern;
        } else if *method == Method::Initialize && params.modern.is_none() {
            let before = core::mem::replace(&mut client.era, Era::Legacy);
            self.step.turning = (before == Era::Modern).then_some(session);
        }
    }

    /// A client that said `initialize` stays as it was: it has to do with its server already.
    pub(super) fn stay_modern(&mut self, session: SessionId) {
        if self.step.turning == Some(session)
            && let Some(client) = self.clients.get_mut(&session)
        {
            client.era = Era::Modern;
        }
    }
}

/// What a wish to be told of changes names.
pub(super) fn filter_of(method: &Method, params: &Params, frame: &Frame) -> Option<Box<str>> {
    if *method != Method::Listen {
        return None;
    }
    let members = frame.members(params.at.as_ref()?)?;
    let mut filters = members
        .iter()
        .filter(|member| member.name == "notifications");
    filters.next().map(|filter| filter.value.into())
}

/// What a server of the modern era asks in place of an answer.
pub(super) fn questions_in(frame: &Frame, result: &Span) -> Option<Vec<(Method, Box<str>)>> {
    if !wants_input(frame, result) {
        return None;
    }
    let members = frame.members(result)?;
    let asked = members.iter().find(|member| member.name == "inputRequests");
    let asked = asked.and_then(|asked| frame.members(&asked.at));
    let questions = asked.unwrap_or_default().into_iter().filter_map(|asked| {
        let members = frame.members(&asked.at)?;
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let method = frame.text(&find("method")?.at)?;
        let params = find("params").map_or("{}", |params| params.value);
        Some((Method::from_name(&method), params.into()))
    });
    Some(questions.collect())
}

/// The number of a question and its words.
pub(super) type Question = (u64, Box<str>);

/// What an answer of ours asks, with the handle that a client has to bring back.
pub(super) fn questions_of(frame: &Frame) -> Option<(RequestId, Vec<Question>)> {
    let Message::Response {
        result: Some(result),
        ..
    } = &frame.message
    else {
        return None;
    };
    let members = frame.members(result)?;
    let find = |name: &str| members.iter().find(|member| member.name == name);
    let handle = find("requestState")?;
    if !frame.text(&handle.at)?.starts_with(HANDLE_PREFIX) {
        return None;
    }
    let questions = frame.members(&find("inputRequests")?.at)?;
    let questions = questions.iter().map(|question| {
        let shown = question.name.parse().ok()?;
        Some((shown, Box::from(question.value)))
    });
    Some((
        RequestId::from_json(handle.value)?,
        questions.collect::<Option<_>>()?,
    ))
}

/// What stands for the id of a question that has none at its server.
pub(super) fn inquiry() -> RequestId {
    let name = RequestId::from_json("\"inquiry\"");
    name.unwrap_or(RequestId::from(0))
}
