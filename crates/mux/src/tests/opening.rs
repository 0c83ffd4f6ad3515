//! What the edge knows of a session in a transcript, from the words behind its coming.

use std::{boxed::Box, collections::BTreeSet, format, sync::Arc, time::Duration, vec::Vec};

use super::script::{Words, class};
use crate::{
    Asks, CallRules, Device, Era, Event, Finding, Front, IdleTimeout, Joins, KeptWords, Link,
    Moment, OnRestart, OnceRule, Opening, Program, Refusal, Route, Scope, Start, UpstreamId,
};

pub(super) fn opening(words: &Words) -> Opening {
    let server = words.get("server").unwrap_or("echo");
    let scope = match words.get("scope").unwrap_or("workspace") {
        "global" => Scope::Global,
        "workspace" => Scope::Workspace,
        "session" => Scope::Session,
        other => panic!("no scope: {other}"),
    };
    let workspace = words.get("workspace").unwrap_or("/w");
    let route = words.get("route").unwrap_or_default();
    let route = match scope {
        Scope::Workspace => format!("{server} {route} {workspace}"),
        Scope::Global | Scope::Session => format!("{server} {route}"),
    };
    let seconds = |text: &str| Duration::from_secs(text.parse().unwrap());
    let timeout = |text| match text {
        "never" => IdleTimeout::Never,
        text => IdleTimeout::After(seconds(text)),
    };
    let idle_timeout = words.get("idle").map(timeout);
    let withheld = words.get("withheld").unwrap_or_default().split(',');
    Opening {
        server: server.into(),
        front: Front::Stdio,
        link: if words.has("posts") {
            Link::Posts
        } else if words.has("keeps") || words.has("slow") {
            Link::Keeping
        } else {
            Link::Plain
        },
        refused: words.get("refused").map(|server| Refusal::NoSuchServer {
            server: server.into(),
            similar: Vec::new(),
        }),
        route: Route(route.as_bytes().into()),
        scope,
        scope_reason: "the test says so".into(),
        modern_scope: words.has("modern-global").then_some(Scope::Global),
        workspace: (workspace != "none").then(|| workspace.into()),
        asks: match words.get("asks") {
            Some("session") => Asks::Session,
            _shared => Asks::Shared,
        },
        fixed_class: words.get("fixed").map(class),
        idle_timeout: idle_timeout.unwrap_or(IdleTimeout::After(Duration::from_mins(10))),
        request_timeout: words.get("request").map(seconds),
        request_idle_timeout: words.get("request-idle").map(timeout),
        on_restart: match words.get("on-restart") {
            Some("error") => OnRestart::Error,
            _continue => OnRestart::Continue,
        },
        kept: None,
        found: found(words),
        waited: words.get("waited").map(seconds).unwrap_or_default(),
        start: start(words),
        joins: if words.has("joins") {
            Joins::AnyRunning
        } else {
            Joins::OwnRoute
        },
        withheld: withheld
            .filter(|name| !name.is_empty())
            .map(Into::into)
            .collect(),
        resumes: false,
        silence_max: words.get("silence").map(seconds),
        era: words.get("era").map(era),
        handle: words.get("handle").map(Into::into),
        rules: Arc::new(rules(words)),
    }
}

fn rules(words: &Words) -> CallRules {
    CallRules {
        device: words.get("device").map(|name| Device {
            name: name.into(),
            tools: tools(words.get("device-tools")),
        }),
        once: tools(words.get("once")).map(|tools| OnceRule {
            tools,
            key: words
                .get("once-key")
                .map(|names| names.split(',').map(Into::into).collect()),
            ttl: Duration::from_secs(5),
        }),
    }
}

fn tools(names: Option<&str>) -> Option<BTreeSet<Box<str>>> {
    names.map(|names| names.split(',').map(Into::into).collect())
}

fn found(words: &Words) -> Option<Finding> {
    let seconds = |text: &str| Duration::from_secs(text.parse().unwrap());
    Some(Finding {
        refused: era(words.get("found")?),
        life: words
            .get("found-life")
            .map_or(Duration::from_hours(1), seconds),
    })
}

/// A process has been started, from the program that is named, if one is.
pub(super) fn started(upstream: UpstreamId, words: &Words) -> Event {
    let program = words.get("program").map(|name| {
        let mut program = [0; 32];
        program[..name.len()].copy_from_slice(name.as_bytes());
        Program(program)
    });
    Event::UpstreamStarted { upstream, program }
}

fn era(name: &str) -> Era {
    match name {
        "legacy" => Era::Legacy,
        "modern" => Era::Modern,
        other => panic!("no era: {other}"),
    }
}

fn start(words: &Words) -> Start {
    if words.has("warm") {
        Start::WithSession
    } else {
        Start::OnDemand
    }
}

/// What was kept at some moments, as it is handed over at a later one. Of another program nothing is.
pub(super) fn recalled(
    words: &Words,
    kept: Option<&Vec<(Moment, Arc<KeptWords>)>>,
    now: Moment,
) -> Vec<Arc<KeptWords>> {
    let kept = kept.filter(|_| !words.has("another-program"));
    let aged = |(at, words): &(Moment, Arc<KeptWords>)| Arc::clone(words).aged(now - *at);
    kept.into_iter().flatten().map(aged).collect()
}
