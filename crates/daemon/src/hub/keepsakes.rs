//! What a session over HTTP has said that the next daemon must hear: nobody beside its client keeps it, so we do.
//!
//! Lines whose effects hold stay, as the core says ([`Then::Keep`]), and so do those whose answer a client may come
//! back for, without what they ask for: it is not asked for again.
//!
//! **Invariant:** a session is known by its key to nobody before its first row was handed to the disk, and has no row
//! when it has ended.

use std::{collections::BTreeMap, mem, path::PathBuf, sync::Arc, time::Duration};

use mux::{Answered, LineNumber, Moment, Said, SessionId, Then};
use serde::{Deserialize, Serialize};
use wire::{Kind, Method, RequestId};

use super::{http::Visited, world::World};
use crate::{
    kept_sessions::{KeptLine, Row, Was, Written},
    link::WayOut,
};

/// Bytes of lines that are kept beside the first; what is more does not outlive its daemon.
const BYTES_MAX: usize = 64 << 10;

/// Bytes of the first. A session that begins with more ends with its daemon.
const FIRST_BYTES_MAX: usize = 256 << 10;

/// The line that a session begins with.
const FIRST: LineNumber = LineNumber(1);

/// A row is dated anew when so much of the silence that it may keep has passed, or after a while.
const DATE_SHARE: u32 = 32;
const DATE_AGE: Duration = Duration::from_mins(1);

/// The lines that are kept of one session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Keepsakes {
    /// Its server by name.
    server: Arc<str>,
    /// Its workspace, canonical.
    workspace: Option<PathBuf>,
    /// Lines without an answer that may stay with it.
    candidates: BTreeMap<LineNumber, Arc<str>>,
    #[serde(default)]
    candidate_bytes: usize,
    lines: BTreeMap<LineNumber, KeptLine>,
    bytes: usize,
    /// Whether there is a row.
    has_row: bool,
    /// When that was dated last.
    #[serde(skip)]
    dated: Moment,
}

impl Keepsakes {
    pub(super) fn new(server: &str, workspace: Option<PathBuf>) -> Self {
        Keepsakes {
            server: server.into(),
            workspace,
            candidates: BTreeMap::new(),
            candidate_bytes: 0,
            lines: BTreeMap::new(),
            bytes: 0,
            has_row: false,
            dated: Moment::default(),
        }
    }

    /// Those of a session of an earlier daemon.
    pub(super) fn revived(row: &Row) -> Self {
        Keepsakes {
            has_row: true,
            ..Keepsakes::new(&row.server, row.workspace.clone())
        }
    }

    /// A line was said, which may stay.
    pub(super) fn hear(&mut self, line: LineNumber, said: &Said) {
        let Said::One(frame) = said else {
            return;
        };
        // Of all others nothing holds.
        let may_stay = matches!(
            frame.method(),
            Some(Method::Initialize | Method::SetLevel | Method::ResourcesSubscribe)
        );
        if !may_stay || frame.kind() != Kind::Request {
            return;
        }
        let text = frame.unchanged();
        let bytes_max = if line == FIRST {
            FIRST_BYTES_MAX
        } else {
            BYTES_MAX
        };
        if self.candidate_bytes + text.len() <= bytes_max
            && let Ok(text) = String::from_utf8(text.to_vec())
        {
            self.candidate_bytes += text.len();
            self.candidates.insert(line, text.into());
        }
    }

    fn take_candidate(&mut self, line: LineNumber) -> Option<Arc<str>> {
        let text = self.candidates.remove(&line)?;
        self.candidate_bytes = self.candidate_bytes.saturating_sub(text.len());
        Some(text)
    }

    /// A line of a row is a line of ours.
    pub(super) fn take_up(&mut self, kept: KeptLine) {
        self.bytes += kept.text.len();
        self.lines.insert(LineNumber(kept.line), kept);
    }

    fn keep(&mut self, line: LineNumber, was: Was, text: Arc<str>) -> bool {
        let has_room = match self.lines.first_key_value() {
            // Without the first there is nothing that others could be said behind.
            None => line == FIRST,
            Some((_, first)) => self.bytes - first.text.len() + text.len() <= BYTES_MAX,
        };
        if !has_room {
            return false;
        }
        self.take_up(KeptLine {
            line: line.0,
            was,
            text,
        });
        true
    }

    /// Nothing more comes of a line; says whether it was kept.
    fn forget(&mut self, line: LineNumber) -> bool {
        let _of_no_use = self.take_candidate(line);
        let kept = self.lines.remove(&line);
        if let Some(kept) = &kept {
            self.bytes -= kept.text.len();
        }
        kept.is_some()
    }

    /// A line is answered; says whether the row is another by that.
    fn on_answered(&mut self, answered: &Answered) -> bool {
        let line = answered.line;
        match (answered.then, self.take_candidate(line)) {
            (Then::Keep, Some(text)) => self.keep(line, Was::Kept, text),
            // It was replayed, and stays what it was.
            (Then::Keep, None) => false,
            (Then::Done, _) => self.forget(line),
        }
    }
}

impl Visited {
    fn row(&self, id: SessionId) -> Row {
        let kept = &self.keepsakes;
        Row {
            session: id.0,
            server: Arc::clone(&kept.server),
            place: self.place.clone(),
            caller: self.caller,
            workspace: kept.workspace.clone(),
            lines: kept.lines.values().cloned().collect(),
        }
    }
}

impl World {
    /// A session is answered; it is about to hear of that.
    pub(super) fn note_answered(&mut self, id: SessionId, answered: &Answered) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(visited) = &mut session.visited else {
            return;
        };
        if !visited.keepsakes.on_answered(answered) {
            return;
        }
        if visited.keepsakes.has_row {
            return self.save_row(id);
        }
        visited.keepsakes.has_row = true;
        let written = self.around.rows.begin(visited.key, visited.row(id));
        if let WayOut::Posts(streams) = &mut session.outlet {
            streams.begins_when(written);
        }
    }

    /// The core is done with these lines of a session.
    pub(super) fn note_done(&mut self, id: SessionId, lines: &[LineNumber]) {
        let session = self.sessions.get_mut(&id);
        let Some(visited) = session.and_then(|it| it.visited.as_mut()) else {
            return;
        };
        let kept = lines.iter().filter(|line| visited.keepsakes.forget(**line));
        if kept.count() > 0 {
            self.save_row(id);
        }
    }

    /// The client of this request knows where it can go on, should its response be cut.
    pub(super) fn note_open(
        &mut self,
        id: SessionId,
        line: LineNumber,
        (request, method): (RequestId, Method),
    ) {
        let session = self.sessions.get_mut(&id);
        let Some(visited) = session.and_then(|it| it.visited.as_mut()) else {
            return;
        };
        let method = wire::quoted(method.name());
        let text = format!(r#"{{"jsonrpc":"2.0","id":{request},"method":{method}}}"#);
        if visited.keepsakes.keep(line, Was::Open, text.into()) {
            self.save_row(id);
        }
    }

    /// Has the row of a session written as it is now.
    pub(super) fn save_row(&mut self, id: SessionId) {
        let session = self.sessions.get(&id);
        if let Some(visited) = session.and_then(|it| it.visited.as_ref())
            && visited.keepsakes.has_row
        {
            self.around.rows.put(visited.key, visited.row(id));
        }
    }

    /// A session was heard: its row is dated, unless that was done lately.
    pub(super) fn note_heard(&mut self, now: Moment, id: SessionId) {
        let most = self.around.launcher.silence_max();
        let after = most.map_or(DATE_AGE, |most| DATE_AGE.min(most / DATE_SHARE));
        let session = self.sessions.get_mut(&id);
        if let Some(visited) = session.and_then(|it| it.visited.as_mut())
            && visited.keepsakes.has_row
            && now >= visited.keepsakes.dated + after
        {
            visited.keepsakes.dated = now;
            self.around.rows.date(visited.key);
        }
    }

    /// A session over HTTP is over.
    pub(super) fn end_row(&mut self, visited: &Visited) {
        // Those that end with the daemon go on at the next.
        if visited.keepsakes.has_row && !self.is_ending {
            let _nobody_waits = self.around.rows.remove(visited.key);
        }
    }

    /// A session is over because its client says so, who hears of it when no daemon will go on with it.
    pub(super) fn take_row(&mut self, id: SessionId) -> Option<Written> {
        let visited = self.sessions.get_mut(&id)?.visited.as_mut()?;
        let had_row = mem::take(&mut visited.keepsakes.has_row);
        had_row.then(|| self.around.rows.remove(visited.key))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Frame;

    use super::*;

    fn said(method: &str, bytes: usize) -> Said {
        let padding = "x".repeat(bytes);
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"padding":"{padding}"}}}}"#
        );
        Said::One(Frame::parse(Bytes::from(text)).unwrap())
    }

    fn answered(line: u64) -> Answered {
        Answered {
            line: LineNumber(line),
            id: line.into(),
            others: Vec::new(),
            then: Then::Keep,
        }
    }

    #[test]
    fn no_more_is_kept_than_a_row_can_hold_whatever_a_session_begins_with() {
        let subscribe = "resources/subscribe";
        for (first, is_kept) in [(FIRST_BYTES_MAX / 2, true), (FIRST_BYTES_MAX, false)] {
            let mut keepsakes = Keepsakes::new("s", None);
            keepsakes.hear(FIRST, &said("initialize", first));
            assert_eq!(keepsakes.on_answered(&answered(1)), is_kept);
            let mut kept = 0;
            for line in 2..100 {
                keepsakes.hear(LineNumber(line), &said(subscribe, BYTES_MAX / 8));
                kept += u32::from(keepsakes.on_answered(&answered(line)));
            }
            assert_eq!(kept, if is_kept { 7 } else { 0 });
            assert_eq!(keepsakes.candidate_bytes, 0);
        }
    }

    #[test]
    fn no_more_waits_to_be_kept_either() {
        let mut keepsakes = Keepsakes::new("s", None);
        for line in 2..100 {
            keepsakes.hear(LineNumber(line), &said("logging/setLevel", BYTES_MAX / 8));
        }
        assert_eq!(keepsakes.candidates.len(), 7);
        for line in 2..100 {
            assert!(!keepsakes.forget(LineNumber(line)));
        }
        assert_eq!(
            (keepsakes.candidates.len(), keepsakes.candidate_bytes),
            (0, 0)
        );
    }
}
