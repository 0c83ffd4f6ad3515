//! What a client is given and brings back, where its request is answered with questions (2026-07-28,
//! multi-round-trip requests): the handle, by which the request is known again, the questions and the answers.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

use wire::{Frame, Message, Method, Outgoing, RequestId, quoted};

use crate::{class::Class, scales::Weighed};

/// What every handle begins with, so that it is known whose it is.
pub const HANDLE_PREFIX: &str = "mcpool.";

/// What a client asks, without what is different each time: the method, what it is about, and a sum over the
/// arguments.
pub(crate) fn request_of(frame: &Frame) -> Option<Box<str>> {
    let Message::Request { method, params, .. } = &frame.message else {
        return None;
    };
    let target = if *method == Method::ResourcesRead {
        &params.uri
    } else {
        &params.name
    };
    let target = target.as_ref().map(|span| frame.json(span));
    let place = params.at.as_ref();
    let arguments = place.and_then(|place| frame.member(place, "arguments"));
    let sum = sum_of(arguments.map_or("{}", |arguments| arguments.value));
    Some(format!("{method} {} {sum:x}", target.unwrap_or_default()).into())
}

/// A sum over a JSON text (FNV-1a), whatever white space stands in it. A client writes what it asks twice in the same
/// order twice.
fn sum_of(json: &str) -> u64 {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        if is_text {
            is_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            is_text = byte == b'"';
        }
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    sum
}

/// What a request says that its sender can do.
pub(crate) fn class_of(frame: &Frame) -> Option<Class> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    let declared = params.modern.as_ref()?.capabilities.as_ref()?;
    Some(Class::declared(frame.json(declared)))
}

/// The handle that a request brings along, if it is one of ours.
pub(crate) fn handle_of(frame: &Frame) -> Option<RequestId> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    let state = frame.member(params.at.as_ref()?, "requestState")?;
    let is_ours = frame.text(&state.at)?.starts_with(HANDLE_PREFIX);
    is_ours.then(|| RequestId::from_json(state.value))?
}

/// Whether a request brings along what a server wants to have back.
pub(crate) fn brings_state(frame: &Frame) -> bool {
    let Message::Request { method, params, .. } = &frame.message else {
        return false;
    };
    let place = params.at.as_ref().filter(|_| method.is_askable());
    place.is_some_and(|place| frame.member(place, "requestState").is_some())
}

/// The answers that a request brings along, as JSON.
pub(crate) fn answers_of(frame: &Frame) -> BTreeMap<String, String> {
    let Message::Request { params, .. } = &frame.message else {
        return BTreeMap::new();
    };
    let place = params.at.as_ref();
    let answers = place
        .and_then(|at| frame.member(at, "inputResponses"))
        .and_then(|answers| frame.members(&answers.at));
    let answers = answers.unwrap_or_default().into_iter();
    answers
        .map(|answer| (answer.name.into_owned(), String::from(answer.value)))
        .collect()
}

/// What a server asks, in the words of the modern era: there are no ids, and what is settled elsewhere is not
/// told.
pub(crate) fn question(frame: &Frame) -> Box<str> {
    let Message::Request { method, params, .. } = &frame.message else {
        return Box::default();
    };
    let params = match &params.at {
        Some(place) => frame.edited(place, &["elicitationId", "_meta"], &[]),
        None => None,
    };
    let params = params.unwrap_or_else(|| String::from("{}"));
    let method = quoted(method.name());
    format!(r#"{{"method":{method},"params":{params}}}"#).into()
}

/// An answer that asks a client, with the handle that it has to bring back.
pub(crate) fn input_required(
    id: &RequestId,
    questions: &BTreeMap<u64, Weighed<Box<str>>>,
    handle: &RequestId,
) -> Outgoing {
    let questions: Vec<String> = questions
        .iter()
        .map(|(shown, question)| format!(r#""{shown}":{}"#, **question))
        .collect();
    let questions = questions.join(",");
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"input_required","inputRequests":{{{questions}}},"requestState":{handle}}}}}"#
    ))
}

/// An answer under another id.
pub(crate) fn renamed(answer: &Outgoing, id: &RequestId) -> Outgoing {
    let Ok(frame) = Frame::parse(bytes::Bytes::from(answer.to_vec())) else {
        return answer.clone();
    };
    let Message::Response { id_span, .. } = &frame.message else {
        return answer.clone();
    };
    frame.rewrite(&mut [(id_span.clone(), id.as_bytes())])
}
