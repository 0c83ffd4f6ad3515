//! One session, as its client knows it.

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};
use wire::{Method, ProgressToken, RequestId};

use super::print::Print;
use crate::{Era, LineNumber, Route, UpstreamId};

#[derive(Debug, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them go together"
)]
pub(super) struct Client {
    pub(super) route: Route,
    /// Whether it has a server of its own.
    pub(super) is_alone: bool,
    /// Whether calls of its server's tools may be answered with results of other sessions.
    #[serde(default)]
    pub(super) may_repeat: bool,
    /// How it speaks, as far as it has said.
    #[serde(default)]
    pub(super) era: Era,
    /// The server that it was routed to.
    pub(super) upstream: Option<UpstreamId>,
    pub(super) speaks_batches: bool,
    /// Requests that have neither been answered nor cancelled.
    pub(super) open: BTreeMap<RequestId, Asking>,
    /// Requests of batches that it has cancelled, of which some may have had an answer that waits for the
    /// rest of the batch and comes with it.
    pub(super) excused: BTreeMap<RequestId, Asking>,
    /// Lines that its shim would answer by itself, as it was not told that they are done; `None` if it has
    /// none that keeps lines.
    #[serde(default)]
    pub(super) kept_lines: Option<BTreeSet<LineNumber>>,
    /// Requests that were answered with questions and that servers are still at, by the handles that it has.
    #[serde(default, with = "crate::frozen::forms::pairs")]
    pub(super) parked: BTreeMap<RequestId, Asking>,
    /// Lines that its shim was told wait here.
    pub(super) announced: BTreeMap<LineNumber, Announced>,
    /// What servers have asked it, by the id that it sees.
    pub(super) asks: BTreeMap<u64, (UpstreamId, RequestId)>,
    /// The highest of these ids that it has ever seen.
    pub(super) asks_shown: u64,
    /// Resources that it has asked to hear of.
    pub(super) uris: BTreeSet<Box<str>>,
    /// The line at fault that it was in the middle of when it was told of it, and whether as an answer.
    #[serde(default)]
    pub(super) overrun: Option<(LineNumber, bool)>,
    /// Whether the edge was told last to read no more of it.
    #[serde(default)]
    pub(super) is_paused: bool,
    #[serde(default)]
    pub(super) input: Input,
}

/// Whether a client may say more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Input {
    #[default]
    Open,
    /// It has closed it: there is nothing more to read.
    Ended,
}

/// A request without an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asking {
    /// Set if it is counted in a group: whatever era its server is of.
    pub(super) print: Option<Print>,
    /// What it is recognised by at a server of its own era.
    #[serde(default)]
    pub(super) exact: Option<Print>,
    /// Of a wish to be told of changes: what it names.
    #[serde(default)]
    pub(super) filter: Option<Box<str>>,
    pub(super) method: Method,
    pub(super) token: Option<ProgressToken>,
    pub(super) line: LineNumber,
    pub(super) in_batch: bool,
    /// Whether it has been acknowledged, if it is such a wish.
    #[serde(default)]
    pub(super) is_acknowledged: bool,
    /// Which of the resources that it names have changed before. Its client may hear of that then.
    #[serde(default)]
    pub(super) missed: BTreeSet<Box<str>>,
    /// What it is known again by when its client comes back for it.
    #[serde(default)]
    pub(super) target: Option<Box<str>>,
    pub(super) uri: Option<Box<str>>,
}

impl Asking {
    /// What it names, if it is a wish to be told of changes.
    fn filter(&self) -> Option<Filter> {
        serde_json::from_str(self.filter.as_deref()?).ok()
    }
}

/// What a shim was told of one of its lines.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Announced {
    /// How often it was to be told that the line goes.
    pub(super) issued: usize,
    /// How often that has left.
    pub(super) left: usize,
    /// How often that must have left before the line may go.
    pub(super) needed: usize,
}

impl Client {
    /// A line was heard that its shim would answer by itself, if it has one.
    pub(super) fn keep(&mut self, line: LineNumber) {
        if let Some(kept) = &mut self.kept_lines {
            kept.insert(line);
        }
    }

    /// Its shim hears that a line is done, or that it is kept for the next daemon alone.
    pub(super) fn is_done(&mut self, line: LineNumber) {
        if let Some(kept) = &mut self.kept_lines {
            kept.remove(&line);
        }
    }

    /// Whether the server may be given the line now.
    pub(super) fn may_go(&self, line: LineNumber) -> bool {
        let announced = self.announced.get(&line);
        announced.is_none_or(|announced| announced.left >= announced.needed)
    }

    /// Whether it has subscribed to a resource, or to one that this is a part of.
    pub(super) fn has_asked_for(&self, uri: &str) -> bool {
        self.uris.iter().any(|whole| covers(whole, uri))
    }

    /// Whether it has a wish open under this name that covers such a change.
    pub(super) fn listens(&self, wish: &str, list: Option<&str>, uri: Option<&str>) -> bool {
        let wish = RequestId::from_json(wish).and_then(|id| self.open.get(&id));
        let Some(filter) = wish.and_then(Asking::filter) else {
            return false;
        };
        let wants_list = |list: &str| filter.lists.get(list).is_some_and(|it| *it == true);
        let wants_uri = |uri: &str| filter.uris.iter().any(|whole| covers(whole, uri));
        list.is_none_or(wants_list) && uri.is_none_or(wants_uri)
    }

    /// A server tells that a resource has changed.
    pub(super) fn may_miss(&mut self, uri: &str) {
        let open = self.open.values_mut();
        for asking in open.filter(|asking| !asking.is_acknowledged) {
            let uris = asking.filter().map(|filter| filter.uris);
            let wholes = uris.into_iter().flatten();
            asking.missed.extend(wholes.filter(|it| covers(it, uri)));
        }
    }

    /// A wish under this name is acknowledged: what may be told behind that.
    pub(super) fn acknowledge(&mut self, wish: &str) -> BTreeSet<Box<str>> {
        let wish = RequestId::from_json(wish).and_then(|id| self.open.get_mut(&id));
        wish.map_or_else(BTreeSet::new, |wish| {
            wish.is_acknowledged = true;
            std::mem::take(&mut wish.missed)
        })
    }

    /// Whether a server may ask something because of it.
    pub(super) fn has_askable(&self) -> bool {
        let mut open = self.open.values().chain(self.parked.values());
        open.any(|asking| asking.method.is_askable())
    }
}

/// What a wish to be told of changes names.
#[derive(serde::Deserialize)]
struct Filter {
    #[serde(default, rename = "resourceSubscriptions")]
    uris: std::vec::Vec<Box<str>>,
    #[serde(flatten)]
    lists: BTreeMap<std::string::String, serde_json::Value>,
}

/// Whether only servers answer it and only sessions ask it, so that its way can be followed.
pub(super) fn is_grouped(method: &Method) -> bool {
    !matches!(
        method,
        Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::Listen
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::SetLevel
    )
}

/// Whether one resource is the other, or a part of it.
pub(super) fn covers(whole: &str, uri: &str) -> bool {
    let rest = uri.strip_prefix(whole);
    rest.is_some_and(|rest| {
        rest.is_empty() || whole.ends_with('/') || rest.starts_with(['/', '#', '?'])
    })
}

/// What would have been a request.
pub(super) fn of_fault(line: LineNumber, in_batch: bool) -> Asking {
    Asking {
        print: None,
        exact: None,
        filter: None,
        is_acknowledged: false,
        missed: BTreeSet::new(),
        method: unknown(),
        token: None,
        line,
        in_batch,
        target: None,
        uri: None,
    }
}

/// The method of what could not be read.
pub(super) fn unknown() -> Method {
    Method::Other(Box::from(""))
}
