//! A corpus of envelopes, of which others read no more and nothing else than we do.

use std::fmt::Write as _;

use bytes::Bytes;
use expect_test::expect_file;
use wire::{Fault, Frame, Message, Named, Params, Span};

/// The fewest cases that the corpus may have.
const CASES_MIN: usize = 60;

#[test]
fn envelopes_are_read_or_refused_as_the_corpus_says() {
    let corpus = expect_file!["envelopes.txt"];
    let text = corpus.data();
    let mut read = String::new();
    let mut cases = 0;
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(said) if said.starts_with("except ") => writeln!(read, "{line}").unwrap(),
            Some(_told_before) => {}
            None if line.is_empty() || line.starts_with('#') => writeln!(read, "{line}").unwrap(),
            None => {
                cases += 1;
                writeln!(read, "{line}\n    {}", told(line)).unwrap();
            }
        }
    }
    assert!(cases >= CASES_MIN, "only {cases} cases");
    corpus.assert_eq(&read);
}

/// What is made of a line, in words.
fn told(line: &str) -> String {
    match Frame::parse(Bytes::copy_from_slice(line.as_bytes())) {
        Ok(frame) => told_message(&frame),
        Err(fault) => told_fault(&fault),
    }
}

fn told_message(frame: &Frame) -> String {
    let id = |span: &Span| frame.json(span);
    match &frame.message {
        Message::Request {
            id_span,
            method,
            params,
            ..
        } => {
            format!(
                "request {} {method}{}",
                id(id_span),
                told_params(frame, params)
            )
        }
        Message::Notification { method, params } => {
            format!("notification {method}{}", told_params(frame, params))
        }
        Message::Response {
            id_span,
            result,
            error,
            ..
        } => match (result, error) {
            (Some(_), _) => format!("result {}", id(id_span)),
            (None, Some(_)) => format!("error {}", id(id_span)),
            (None, None) => format!("neither {}", id(id_span)),
        },
    }
}

fn told_params(frame: &Frame, params: &Params) -> String {
    let token = params.meta_token.as_ref().or(params.token.as_ref());
    let spans = [
        ("name", params.name.as_ref()),
        ("uri", params.uri.as_ref()),
        ("level", params.level.as_ref()),
        ("token", token.map(|(_, span)| span)),
        ("of", params.request_id.as_ref().map(|(_, span)| span)),
    ];
    let there = spans
        .into_iter()
        .filter_map(|(name, span)| Some((name, span?)));
    let told: Vec<String> = there
        .map(|(name, span)| format!(" {name}={}", frame.json(span)))
        .collect();
    told.concat()
}

fn told_fault(fault: &Fault) -> String {
    let about = fault.about();
    let whom = match &about.named {
        Named::Nobody => "nobody".to_owned(),
        Named::One(id) => format!("{id}"),
        Named::Several(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("each of {}", ids.join(" "))
        }
        Named::Unknown => "anybody".to_owned(),
    };
    let purpose = format!("{:?}", about.purpose).to_lowercase();
    format!("{} {purpose} of {whom}: {fault}", fault.code())
}
