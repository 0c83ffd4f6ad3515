//! One message: what is accepted, what is found in it, and what an edit changes.
//!
//! The oracle is `reference`: the rules of JSON-RPC and of our limits, written down a second time over
//! a parser that shares nothing with ours, which a third parser watches.

use std::{ops::Range, str};

use bytes::Bytes;
use wire::{Fault, Frame, Kind, Message, Method, Named, Params, Purpose, RequestId, Span};

use crate::{choices::Choices, json};
use reference::{Expected, Place, Sound};

mod reference;

/// As many blanks as make a message too long to be copied in one piece.
const PADDING: usize = 5000;

/// Few enough for inputs with more to be found.
const BATCH_MAX: usize = 8;

/// Checks one line as a message and as a batch.
pub fn check(line: &[u8]) {
    let bytes = Bytes::copy_from_slice(line);
    let outcome = Frame::parse(bytes.clone());
    let Ok(text) = str::from_utf8(line) else {
        assert!(matches!(outcome, Err(Fault::NotUtf8 { .. })));
        assert!(Frame::parse_batch(&bytes, BATCH_MAX).is_none());
        return;
    };
    let text = text.trim_matches(json::BLANKS);
    check_outcome(text, outcome.as_ref());
    check_batch(text, Frame::parse_batch(&bytes, BATCH_MAX));
    if let Ok(frame) = outcome {
        assert_eq!(frame.unchanged().to_vec(), text.as_bytes());
        check_edits(text, &frame, &mut Choices::of(line));
        check_padded(text, &mut Choices::of(line));
        check_spoilt(text, &frame);
    }
}

/// What we make of the text is what the reference makes of it.
fn check_outcome(text: &str, outcome: Result<&Frame, &Fault>) {
    match (reference::read(text), outcome) {
        (Expected::NotJson, Err(Fault::NotJson { .. }))
        | (Expected::NotAnObject, Err(Fault::NotAnObject)) => {}
        (Expected::Refused(about), Err(Fault::NotJsonRpc { about: found, .. })) => {
            assert_eq!(*found, about, "what is known of it");
        }
        (Expected::Sound(sound), Ok(frame)) => check_sound(text, &sound, frame),
        (expected, outcome) => panic!(
            "expected {expected:?}, but it is {:?}",
            outcome.map(|frame| &frame.message)
        ),
    }
}

fn check_sound(text: &str, sound: &Sound, frame: &Frame) {
    assert_eq!(frame.kind(), sound.kind);
    assert_eq!(frame.method().map(Method::name), sound.method.as_deref());
    assert_eq!(places(frame), sound.places, "where things stand");
    let id = sound.at(Place::Id).map(|range| &text[range]);
    let id = id.filter(|id| *id != "null");
    assert_eq!(
        frame.id().map(RequestId::as_bytes),
        id.map(str::as_bytes),
        "the id as it was written"
    );
    if let Some(params) = params(frame) {
        assert_eq!(params.modern.is_some(), sound.is_modern);
        assert_eq!(params.has_tools, sound.has_tools);
        let task = params.related_task.as_ref().map(RequestId::as_bytes);
        assert_eq!(task, sound.related_task.as_deref().map(str::as_bytes));
    }
}

fn params(frame: &Frame) -> Option<&Params> {
    match &frame.message {
        Message::Request { params, .. } | Message::Notification { params, .. } => Some(params),
        Message::Response { .. } => None,
    }
}

/// Everything that the frame says about places, in the order of [`Place`].
fn places(frame: &Frame) -> Vec<(Place, Range<usize>)> {
    let mut found = Vec::new();
    let mut note =
        |place, span: Option<&Span>| found.extend(span.map(|span| (place, span.clone())));
    match &frame.message {
        Message::Request { id_span, .. } => note(Place::Id, Some(id_span)),
        Message::Notification { .. } => {}
        Message::Response {
            id_span,
            result,
            error,
            ..
        } => {
            note(Place::Id, Some(id_span));
            note(Place::Result, result.as_ref());
            note(Place::Error, error.as_ref());
        }
    }
    if let Some(params) = params(frame) {
        let [meta_token, token, request_id] =
            [&params.meta_token, &params.token, &params.request_id];
        for (place, found) in [
            (Place::MetaToken, meta_token),
            (Place::Token, token),
            (Place::RequestId, request_id),
        ] {
            if let Some((id, span)) = found {
                assert_eq!(id.as_bytes(), frame.json(span).as_bytes());
                note(place, Some(span));
            }
        }
        note(Place::Name, params.name.as_ref());
        note(Place::Uri, params.uri.as_ref());
        note(Place::Level, params.level.as_ref());
        note(Place::ProtocolVersion, params.protocol_version.as_ref());
        note(Place::Capabilities, params.capabilities.as_ref());
        note(Place::ClientInfo, params.client_info.as_ref());
        note(Place::ElicitationId, params.elicitation_id.as_ref());
        note(Place::Mode, params.mode.as_ref());
    }
    found
}

/// Edits one place, then all that are ever edited: no other byte changes, and the result says just that.
fn check_edits(text: &str, frame: &Frame, choices: &mut Choices) {
    let long = format!("\"{}\"", "i".repeat(1024));
    let ids = ["7", "\"7\"", "18446744073709551615", "\"\\u0022,}\"", &long];
    let editable: Vec<(Place, Span)> = places(frame)
        .into_iter()
        .filter(|(place, _)| place.is_edited())
        .collect();
    let replacement = |choices: &mut Choices| (*choices.one_of(&ids)).to_owned();
    for (place, span) in &editable {
        check_edit(text, frame, &[(*place, span.clone(), replacement(choices))]);
    }
    let mut all: Vec<(Place, Span, String)> = editable
        .into_iter()
        .map(|(place, span)| (place, span, replacement(choices)))
        .collect();
    if !all.is_empty() {
        let middle = choices.below(all.len());
        all.rotate_left(middle);
    }
    check_edit(text, frame, &all);
}

fn check_edit(text: &str, frame: &Frame, edits: &[(Place, Span, String)]) {
    let mut handed: Vec<(Span, &[u8])> = edits
        .iter()
        .map(|(_, span, with)| (span.clone(), with.as_bytes()))
        .collect();
    let outgoing = frame.rewrite(&mut handed);
    let edited = outgoing.to_vec();
    assert_eq!(edited.len(), outgoing.len());

    let mut expected = text.to_owned();
    let mut from_behind: Vec<_> = edits.iter().collect();
    from_behind.sort_by_key(|(_, span, _)| std::cmp::Reverse(span.start));
    for (_, span, with) in from_behind {
        expected.replace_range(span.clone(), with);
    }
    assert_eq!(
        str::from_utf8(&edited),
        Ok(expected.as_str()),
        "only the edits"
    );

    let again = match Frame::parse(Bytes::from(edited)) {
        Ok(again) => again,
        Err(fault) => panic!("an edit made {expected:?}: {fault}"),
    };
    assert_eq!(again.kind(), frame.kind());
    assert_eq!(again.method(), frame.method());
    for ((place, span), (again_place, again_span)) in places(frame).into_iter().zip(places(&again))
    {
        assert_eq!(place, again_place);
        let edit = edits.iter().find(|(edited, _, _)| *edited == place);
        let expected = edit.map_or_else(|| frame.json(&span), |(_, _, with)| with);
        assert_eq!(again.json(&again_span), expected, "the value of {place:?}");
    }
}

/// The same message with many blanks in it: the same places, further on, and the same edits.
fn check_padded(text: &str, choices: &mut Choices) {
    let mut padded = text.to_owned();
    padded.insert_str(1, &" ".repeat(PADDING));
    let frame = match Frame::parse(Bytes::from(padded.clone())) {
        Ok(frame) => frame,
        Err(fault) => panic!("blanks made it {fault}"),
    };
    check_edits(&padded, &frame, choices);
}

/// A message of which one byte is wrong is none, but whose it was is still known.
fn check_spoilt(text: &str, frame: &Frame) {
    let mut no_json = text.as_bytes().to_vec();
    no_json.push(b'}');
    let mut no_text = text.as_bytes().to_vec();
    // Behind a blank, or it would be a part of an id that comes last.
    no_text.splice(text.len() - 1..text.len() - 1, [b' ', 0xff]);
    for spoilt in [no_json, no_text] {
        let about = match Frame::parse(Bytes::from(spoilt)) {
            Err(Fault::NotJson { about } | Fault::NotUtf8 { about }) => about,
            outcome => panic!("a spoilt message is {outcome:?}"),
        };
        let named = frame.id().cloned().map_or(Named::Nobody, Named::One);
        assert_eq!(about.named, named, "whose it was");
        let is_plausible = match frame.kind() {
            // What else it holds may look like a question.
            Kind::Response => matches!(about.purpose, Purpose::Answer | Purpose::Either),
            Kind::Request | Kind::Notification => about.purpose == Purpose::Question,
        };
        assert!(is_plausible, "{:?} is what it was to be", about.purpose);
    }
}

/// A batch is its elements, each as if it had come alone.
fn check_batch(text: &str, batch: Option<Vec<Result<Frame, Fault>>>) {
    if !text.starts_with('[') {
        assert!(batch.is_none(), "a batch is an array");
        return;
    }
    let Some(batch) = batch else {
        panic!("an array is a batch, whatever is in it")
    };
    let Some(elements) = json::elements(text) else {
        assert!(matches!(batch.as_slice(), [Err(Fault::NotJson { .. })]));
        return;
    };
    if elements.is_empty() {
        assert!(matches!(batch.as_slice(), [Err(Fault::NotAnObject)]));
        return;
    }
    if elements.len() > BATCH_MAX {
        assert!(matches!(batch.as_slice(), [Err(Fault::TooMany { .. })]));
        return;
    }
    assert_eq!(batch.len(), elements.len());
    for (message, element) in batch.iter().zip(elements) {
        let element = &text[element];
        check_outcome(element, message.as_ref());
        if let Ok(frame) = message {
            assert_eq!(frame.unchanged().to_vec(), element.as_bytes());
        }
    }
}
