//! Messages, errors and actions in the short form of the transcripts.

use std::{
    fmt::Write,
    format,
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Frame, Message, Outgoing, Params};

use crate::{
    Action, AdminAnswer, Class, Era, KeptWords, LineNumber, Notice, SessionId, Then,
    tests::script::NOTIFICATIONS,
};

/// Longest result that is shown, in bytes.
const SHOWN_MAX: usize = 100;

/// How much of a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Short,
    /// With the text of errors.
    Words,
    /// As it is.
    Raw,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    reason: String,
    #[serde(rename = "maybeExecuted")]
    maybe_executed: Option<bool>,
}

#[derive(Deserialize)]
struct Discovered {
    #[serde(rename = "supportedVersions")]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Greeted<'a> {
    #[serde(rename = "protocolVersion")]
    version: String,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
}

/// What is kept of a server, with the number of pages where there are several.
pub(super) fn kept(words: &KeptWords) -> String {
    let lists = words.lists.iter().map(|(listing, pages)| {
        let name = listing.name();
        match pages.len() {
            1 => format!(" {name}"),
            several => format!(" {name}*{several}"),
        }
    });
    let refused = words
        .refused
        .map(|found| format!(" not={}", found.refused.name()));
    let refused = refused.unwrap_or_default();
    let greeting = match words.era {
        Era::Legacy => "initialize",
        Era::Modern => "server/discover",
    };
    format!("{greeting}{}{refused}", lists.collect::<String>())
}

/// The frames of a message, of which a batch has several.
pub(super) fn frames_of(message: &Outgoing) -> Vec<Frame> {
    let bytes = Bytes::from(message.to_vec());
    match Frame::parse_batch(&bytes, usize::MAX) {
        Some(batch) => batch.into_iter().map(Result::unwrap).collect(),
        None => std::vec![Frame::parse(bytes).unwrap()],
    }
}

pub(super) fn message(message: &Outgoing, detail: Detail) -> String {
    if detail == Detail::Raw {
        return format!("raw {}", String::from_utf8(message.to_vec()).unwrap());
    }
    let frames: Vec<String> = frames_of(message)
        .iter()
        .map(|item| frame(item, detail))
        .collect();
    if message.to_vec().first() == Some(&b'[') {
        format!("[{}]", frames.join(", "))
    } else {
        frames.join("")
    }
}

fn frame(frame: &Frame, detail: Detail) -> String {
    match &frame.message {
        Message::Request {
            id, method, params, ..
        } => format!("{method} #{id}{}", params_of(frame, params)),
        Message::Notification { method, params } => {
            let short = method.name().strip_prefix("notifications/");
            let short = short.filter(|name| NOTIFICATIONS.contains(name));
            let name = short.unwrap_or(method.name());
            format!("{name}{}", params_of(frame, params))
        }
        Message::Response {
            id, result, error, ..
        } => {
            let id = id.as_ref().map_or("null".to_string(), ToString::to_string);
            match (result, error) {
                (Some(result), _) => format!("result #{id}{}", result_of(frame.json(result))),
                (None, Some(error)) => {
                    format!("error #{id} {}", error_of(frame.json(error), detail))
                }
                (None, None) => panic!("a response without result and error"),
            }
        }
    }
}

fn params_of(frame: &Frame, params: &Params) -> String {
    let mut shown = String::new();
    if let Some((id, _)) = &params.request_id {
        write!(shown, " #{id}").unwrap();
    }
    for (token, _) in params.meta_token.iter().chain(&params.token) {
        write!(shown, " token={token}").unwrap();
    }
    if let Some(modern) = &params.modern {
        shown += " modern";
        let class = modern.capabilities.as_ref();
        let class = class.map(|span| Class::declared(frame.json(span)));
        if let Some(class) = class.filter(|class| *class != Class::default()) {
            write!(shown, " caps={class}").unwrap();
        }
        if let Some(level) = &modern.log_level {
            write!(shown, " log={}", frame.text(level).unwrap()).unwrap();
        }
    }
    let meta = params.meta.as_ref();
    let meta = meta
        .and_then(|meta| frame.members(meta))
        .unwrap_or_default();
    for member in meta {
        if member.name == "io.modelcontextprotocol/subscriptionId" {
            write!(shown, " of #{}", member.value).unwrap();
        }
    }
    let members = params.at.as_ref().and_then(|at| frame.members(at));
    for member in members.unwrap_or_default() {
        if member.name == "notifications" {
            write!(shown, " {}", member.value).unwrap();
        }
    }
    for (name, span) in [("uri", &params.uri), ("level", &params.level)] {
        if let Some(span) = span {
            write!(shown, " {name}={}", frame.text(span).unwrap()).unwrap();
        }
    }
    if let Some(span) = &params.capabilities {
        let class = Class::declared(frame.json(span));
        if class != Class::default() {
            write!(shown, " caps={class}").unwrap();
        }
    }
    shown
}

fn result_of(json: &str) -> String {
    if let Ok(greeted) = serde_json::from_str::<Greeted<'_>>(json) {
        assert!(greeted.capabilities.is_some(), "{json}");
        return format!(" version={}", greeted.version);
    }
    if let Ok(discovered) = serde_json::from_str::<Discovered>(json) {
        return format!(" versions={}", discovered.versions.join(","));
    }
    if json == "{}" || json.len() > SHOWN_MAX {
        return String::new();
    }
    format!(" {json}")
}

fn error_of(json: &str, detail: Detail) -> String {
    let error: ErrorObject = serde_json::from_str(json).unwrap();
    let mut shown = error.code.to_string();
    if let Some(data) = &error.data {
        write!(shown, " {}", data.reason).unwrap();
        shown += match data.maybe_executed {
            None => "",
            Some(true) => " maybe-executed",
            Some(false) => " not-executed",
        };
    }
    if detail == Detail::Words {
        write!(shown, " {:?}", error.message).unwrap();
    }
    shown
}

/// What the core wants done, in the words of scripts.
pub(super) fn action(
    action: &Action,
    detail: Detail,
    name: impl Fn(&SessionId) -> String,
) -> String {
    match action {
        Action::SendToSession {
            session,
            frame,
            answered,
            part_of,
        } => {
            let part_of = part_of.map(|line| format!(", with {line}"));
            let stays = answered
                .as_ref()
                .is_some_and(|answered| answered.then == Then::Keep);
            format!(
                "-> {}: {}{}{}",
                name(session),
                message(frame, detail),
                if stays { ", kept" } else { "" },
                part_of.unwrap_or_default()
            )
        }
        Action::Notify { session, notice } => match notice {
            Notice::Held(LineNumber(line)) => format!("-> {}: held {line}", name(session)),
            Notice::Done(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| line.0.to_string()).collect();
                format!("-> {}: done {}", name(session), lines.join(" "))
            }
        },
        Action::Announce { session, line } => format!("-> {}: sent {}", name(session), line.0),
        Action::PauseSession { session } => format!("-> pause {}", name(session)),
        Action::ResumeSession { session } => format!("-> resume {}", name(session)),
        Action::CloseSession { session } => format!("-> close {}", name(session)),
        Action::StartUpstream {
            upstream,
            on_behalf_of,
        } => format!("-> start {upstream} for {}", name(on_behalf_of)),
        Action::SendToUpstream { upstream, frame } => {
            format!("-> {upstream}: {}", message(frame, detail))
        }
        Action::StopUpstream { upstream } => format!("-> stop {upstream}"),
        Action::Record { upstream, record } => format!("-> record {upstream}: {record:?}"),
        Action::EndDaemon => "-> end the daemon".to_string(),
        Action::KeepWords {
            upstream,
            words: None,
            ..
        } => format!("-> keep {upstream}: nothing"),
        Action::KeepWords {
            upstream,
            words: Some(words),
            ..
        } => {
            format!("-> keep {upstream}: {}", kept(words))
        }
        Action::KeepFinding {
            upstream,
            refused: Some(refused),
        } => format!("-> found of {upstream}: not={}", refused.name()),
        Action::KeepFinding {
            upstream,
            refused: None,
        } => format!("-> found of {upstream}: nothing"),
        Action::AnswerAdmin { answer, .. } => match answer {
            AdminAnswer::Restarted { upstreams } => format!("-> admin: restarted {upstreams}"),
            AdminAnswer::NothingRuns => "-> admin: nothing runs".to_string(),
            AdminAnswer::Failed { why } => format!("-> admin: failed, {why}"),
        },
    }
}
