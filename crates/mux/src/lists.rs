//! Lists that change: told at once, and then not more often than anybody can read them.
//!
//! **Invariant:** the last change of a list is always told, and not later than a window after it.

use alloc::{collections::BTreeMap, format, vec::Vec};

use serde::{Deserialize, Serialize};
use wire::{Frame, Method, Outgoing};

use crate::{
    action::Outbox,
    era::Era,
    fact::DropReason,
    ids::{SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
    offers::Offer,
    recall::Known,
    timers::Timer,
    upstream::{Origin, Upstream},
};

/// A kind of list that a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum List {
    Tools,
    Prompts,
    Resources,
}

/// Changes of one upstream's lists that were told lately, or wait for that.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    windows: BTreeMap<List, Window>,
}

/// The time after a change was told, in which further ones become one.
#[derive(Debug, Serialize, Deserialize)]
struct Window {
    ends: Moment,
    /// The last of those that came meanwhile.
    held: Option<Outgoing>,
}

impl List {
    pub(crate) const ALL: [List; 3] = [List::Tools, List::Prompts, List::Resources];

    /// What a server offers that tells of changes.
    pub(crate) fn offer(self) -> Offer {
        match self {
            List::Tools => Offer::ToolChanges,
            List::Prompts => Offer::PromptChanges,
            List::Resources => Offer::ResourceChanges,
        }
    }

    pub(crate) fn notification(self) -> Method {
        match self {
            List::Tools => Method::ToolsListChanged,
            List::Prompts => Method::PromptsListChanged,
            List::Resources => Method::ResourcesListChanged,
        }
    }
}

impl Upstream {
    /// Whether a list may be another than a session knows it that comes from elsewhere. Of a process that it never saw
    /// each is.
    pub(crate) fn may_have_changed(&self, list: List) -> bool {
        self.origin == Origin::Here || self.changes.windows.contains_key(&list)
    }
}

impl Changes {
    /// When the next window ends that somebody waits for.
    fn next_end(&self) -> Option<Moment> {
        let waiting = self.windows.values().filter(|window| window.held.is_some());
        waiting.map(|window| window.ends).min()
    }
}

impl Mux {
    /// A server says that one of its lists has changed.
    pub(crate) fn on_list_changed(
        &mut self,
        upstream_id: UpstreamId,
        list: List,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        self.forget_list(upstream_id, list, out);
        let ends = self.now + self.limits.change_window;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let words = match upstream.key.era {
            Era::Legacy => frame.unchanged(),
            // It names our own request.
            Era::Modern => change_of(list),
        };
        let windows = &mut upstream.changes.windows;
        match windows.get_mut(&list) {
            Some(window) if window.ends > self.now => {
                if window.held.replace(words).is_some() {
                    self.drop_message(upstream_id, DropReason::Merged, out);
                }
                self.watch_changes(upstream_id);
            }
            Some(_) | None => {
                self.open_window(upstream_id, list, ends, out);
                self.tell_attached(upstream_id, list, &words, out);
            }
        }
    }

    /// A change is being told now; one that still waited is told with it.
    fn open_window(&mut self, upstream_id: UpstreamId, list: List, ends: Moment, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let window = Window { ends, held: None };
        let before = upstream.changes.windows.insert(list, window);
        if before.is_some_and(|before| before.held.is_some()) {
            self.drop_message(upstream_id, DropReason::Merged, out);
            self.watch_changes(upstream_id);
        }
    }

    /// A window has ended in which there were further changes.
    pub(crate) fn on_window_ended(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let now = self.now;
        let ends = now + self.limits.change_window;
        for list in List::ALL {
            let held = self
                .upstreams
                .get_mut(&upstream_id)
                .and_then(|upstream| upstream.changes.windows.get_mut(&list))
                .filter(|window| window.ends <= now)
                .and_then(|window| {
                    let held = window.held.take()?;
                    window.ends = ends;
                    Some(held)
                });
            if let Some(frame) = held {
                self.tell_attached(upstream_id, list, &frame, out);
            }
        }
        self.watch_changes(upstream_id);
    }

    /// Another process serves the same sessions: its lists may be others, and those are told who were
    /// promised to hear of changes.
    pub(crate) fn tell_lists_of_new_process(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        for list in List::ALL {
            self.tell_list_of_new_process(upstream_id, list, out);
        }
    }

    /// The same of one list.
    pub(crate) fn tell_list_of_new_process(
        &mut self,
        upstream_id: UpstreamId,
        list: List,
        out: &mut Outbox,
    ) {
        let ends = self.now + self.limits.change_window;
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let was_promised = |id: &SessionId| {
            let session = self.sessions.get(id);
            session.is_some_and(|session| session.offers.has(list.offer()))
        };
        let promised: Vec<SessionId> = upstream
            .attached
            .iter()
            .copied()
            .filter(was_promised)
            .collect();
        if promised.is_empty() {
            return;
        }
        // What the last process said at its end is told with this.
        self.open_window(upstream_id, list, ends, out);
        let frame = change_of(list);
        for session in promised {
            self.tell_change(session, list, &frame, out);
        }
    }

    /// A session comes from elsewhere whose lists may have changed since it last heard of them.
    pub(crate) fn tell_missed_changes(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        let (Some(session), Some(upstream)) = (
            self.sessions.get(&session_id),
            self.upstreams.get(&upstream_id),
        ) else {
            return;
        };
        let known = upstream.known.as_ref();
        if !upstream.is_ready() && !known.is_some_and(Known::is_in_force) {
            // It will be told with the others.
            return;
        }
        let missed = List::ALL
            .into_iter()
            .filter(|list| upstream.may_have_changed(*list) && session.offers.has(list.offer()));
        let missed: Vec<List> = missed.collect();
        for list in missed {
            self.tell_change(session_id, list, &change_of(list), out);
        }
    }

    fn watch_changes(&mut self, upstream_id: UpstreamId) {
        let upstream = self.upstreams.get(&upstream_id);
        let timer = Timer::ChangeWindow(upstream_id);
        match upstream.and_then(|upstream| upstream.changes.next_end()) {
            Some(end) => self.timers.set(timer, end),
            None => self.timers.clear(timer),
        }
    }

    fn tell_attached(
        &mut self,
        upstream_id: UpstreamId,
        list: List,
        frame: &Outgoing,
        out: &mut Outbox,
    ) {
        let upstream = self.upstreams.get(&upstream_id);
        let attached = upstream.into_iter().flat_map(|upstream| &upstream.attached);
        let attached: Vec<SessionId> = attached.copied().collect();
        for session in attached {
            self.tell_change(session, list, frame, out);
        }
    }

    /// Tells a session that a list has changed; one of the modern era only if it asked for that.
    fn tell_change(
        &mut self,
        session_id: SessionId,
        list: List,
        frame: &Outgoing,
        out: &mut Outbox,
    ) {
        match self.sessions.get(&session_id) {
            Some(session) if session.era == Era::Modern => {
                self.tell_listening(session_id, list, out);
            }
            Some(_) | None => Mux::tell_session(session_id, frame.clone(), out),
        }
    }
}

/// Our own word that a list has changed.
fn change_of(list: List) -> Outgoing {
    let notification = list.notification();
    Outgoing::from(format!(r#"{{"jsonrpc":"2.0","method":"{notification}"}}"#))
}
