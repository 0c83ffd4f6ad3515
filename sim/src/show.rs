//! Events and actions in words, for whoever reads a trace.

use mux::{Action, Event, Timer};
use wire::{Frame, Outgoing};

fn words(frame: &Outgoing) -> String {
    String::from_utf8_lossy(&frame.to_vec()).into_owned()
}

fn text(frame: &Frame) -> String {
    words(&frame.unchanged())
}

pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::SessionOpened { session, opening } => format!(
            "{session} opens for {} ({:?}, {:?})",
            opening.server, opening.scope, opening.link
        ),
        Event::SessionFrame {
            session,
            line,
            frame,
        } => format!("{session}, {line}: {}", text(frame)),
        Event::SessionBatch {
            session,
            line,
            frames,
        } => {
            let frames: Vec<String> = frames
                .iter()
                .map(|frame| frame.as_ref().map_or_else(ToString::to_string, text))
                .collect();
            format!("{session}, {line}: [{}]", frames.join(", "))
        }
        Event::UpstreamFrame {
            upstream, frame, ..
        } => format!("{upstream}: {}", text(frame)),
        Event::SessionOverrun { .. }
        | Event::SessionFault { .. }
        | Event::SessionReplayed { .. }
        | Event::SessionReplayEnded { .. }
        | Event::UpstreamInherited { .. }
        | Event::SessionEnding { .. }
        | Event::SessionClosed { .. }
        | Event::SessionCut { .. }
        | Event::SessionListens { .. }
        | Event::SessionBlocked { .. }
        | Event::SessionWritable { .. }
        | Event::Announced { .. }
        | Event::UpstreamStarted { .. }
        | Event::UpstreamStartFailed { .. }
        | Event::UpstreamFault { .. }
        | Event::UpstreamComplained { .. }
        | Event::UpstreamBlocked { .. }
        | Event::UpstreamWritable { .. }
        | Event::UpstreamExited { .. }
        | Event::AdminAsked { .. }
        | Event::Buffered { .. }
        | Event::DeadlineReached
        | Event::Shutdown => format!("{event:?}"),
    }
}

pub(crate) fn action(action: &Action) -> String {
    match action {
        Action::SendToSession {
            session,
            frame,
            answered,
            part_of: _,
        } => {
            let line = answered.as_ref().map_or(String::new(), |answered| {
                format!(" ({} is done)", answered.line)
            });
            format!("{session}: {}{line}", words(frame))
        }
        Action::SendToUpstream { upstream, frame } => format!("{upstream}: {}", words(frame)),
        Action::Notify { .. }
        | Action::Announce { .. }
        | Action::PauseSession { .. }
        | Action::ResumeSession { .. }
        | Action::CloseSession { .. }
        | Action::StartUpstream { .. }
        | Action::StopUpstream { .. }
        | Action::Record { .. }
        | Action::EndDaemon
        | Action::KeepWords { .. }
        | Action::KeepFinding { .. }
        | Action::AnswerAdmin { .. } => format!("{action:?}"),
    }
}

pub(crate) fn timer(timer: Timer) -> &'static str {
    match timer {
        Timer::StartPatience(_) => "start-patience",
        Timer::DrainPatience(_) => "drain-patience",
        Timer::RoundPatience(_) => "round-patience",
        Timer::Inquiry(_) => "inquiry",
        Timer::Silence(_) => "silence",
        Timer::Greeting(_) => "greeting",
        Timer::Idle(_) => "idle",
        Timer::Rested(_) => "rested",
        Timer::Listen(_) => "listen",
        Timer::AgreementPatience(_) => "agreement",
        Timer::LastOfOneRequest(_) => "last-of-one-request",
        Timer::Probation(_) => "probation",
        Timer::OwnerPatience(_) => "owner-patience",
        Timer::Pulse(_) => "pulse",
        Timer::Noise(_) => "noise",
        Timer::ChangeWindow(_) => "change-window",
        Timer::RequestTimeout(_) => "request-timeout",
        Timer::RestartPatience(_) => "restart-patience",
        Timer::Deserted => "deserted",
    }
}
