//! One daemon after another, with the servers and the clients that outlive them.

use std::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;
use wire::Frame;

use super::{
    opening::opening,
    script::{Saying, Succession},
    stage::{Stage, upstream},
};
use crate::{
    Epoch, Event, Mux, Past, Record, Said, SessionId, UpstreamId, audit::Audit, record::Contents,
};

impl Stage {
    pub(super) fn succeed(&mut self, succession: &Succession) {
        match succession {
            Succession::DaemonDies => self.daemon_dies(),
            Succession::IsInherited { who, record } => self.inherit(upstream(who), record),
            Succession::ComesBack(who) => self.come_back(who),
            Succession::Replays { who, past, saying } => self.replay(who, *past, saying),
            Succession::IsReplayed(who) => {
                let session = self.session(who);
                self.handle(Event::SessionReplayEnded { session });
            }
        }
    }

    /// What the guardian has goes on; all else has ended.
    fn daemon_dies(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.mux = Mux::new(self.mux.limits.clone(), self.epoch);
        self.audit = Audit::default();
        for (upstream, record) in self.records.clone() {
            self.handle(Event::UpstreamInherited {
                upstream,
                record,
                is_ending: false,
            });
        }
    }

    fn inherit(&mut self, upstream: UpstreamId, record: &str) {
        let record = Record(Bytes::copy_from_slice(record.as_bytes()));
        self.records.insert(upstream, record.clone());
        self.handle(Event::UpstreamInherited {
            upstream,
            record,
            is_ending: false,
        });
    }

    /// Of a process that has ended the guardian has nothing.
    pub(super) fn note_end(&mut self, event: &Event) {
        if let Event::UpstreamExited { upstream, .. }
        | Event::UpstreamStartFailed { upstream, .. } = event
        {
            self.records.remove(upstream);
        }
    }

    fn come_back(&mut self, who: &str) {
        let session = self.session(who);
        let mut opening = opening(&self.sessions[who].words);
        opening.resumes = true;
        self.handle(Event::SessionOpened { session, opening });
    }

    fn replay(&mut self, who: &str, past: Past, saying: &Saying) {
        let text = match saying {
            Saying::Raw(text) | Saying::Message(text) => text,
            Saying::Greeting(_) | Saying::TooLong { .. } => panic!("no client said {saying:?}"),
        };
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let said = match Frame::parse_batch(&bytes, self.mux.limits.batch_messages) {
            Some(frames) => Said::Batch(frames),
            None => Said::One(Frame::parse(bytes).unwrap()),
        };
        let (session, line) = self.next_line(who);
        self.handle(Event::SessionReplayed {
            session,
            line,
            past,
            said,
        });
    }

    /// What the guardian is left with, if that is to be shown.
    pub(super) fn show_record(&self, upstream: UpstreamId, record: &Record) -> Option<String> {
        if !self.shows_records {
            return None;
        }
        let contents = Contents::read(record).unwrap();
        let name = |id: &SessionId| {
            let part = self.sessions.iter().find(|(_, part)| part.id == *id);
            part.map_or_else(|| id.to_string(), |(name, _)| name.clone())
        };
        let names = |ids: &[SessionId]| ids.iter().map(name).collect::<Vec<_>>().join(",");
        let asks: Vec<_> = contents.asks.iter().map(ToString::to_string).collect();
        let greeted = contents.handshake.map(|handshake| handshake.version);
        let members = [
            ("greeted", greeted.unwrap_or_default()),
            ("sessions", names(&contents.sessions)),
            ("ghosts", names(&contents.ghosts)),
            ("asks", asks.join(",")),
            (
                "level",
                contents.level.map_or("", |level| level.name()).to_string(),
            ),
            (
                "alone",
                contents.key.session.as_ref().map(name).unwrap_or_default(),
            ),
        ];
        let shown = members
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(member, value)| format!(" {member}={value}"));
        Some(format!("-> record {upstream}{}", shown.collect::<String>()))
    }
}
