//! Resources that change at a process that has outlived its daemon, while sessions are not back yet: each session is
//! told when it comes.
//!
//! **Invariant:** a session that comes back hears of every resource that it was promised to hear of and that its
//! process, while it lived, has told this daemon of since it was taken over, at least once.

use alloc::{boxed::Box, collections::BTreeSet, format};

use serde::{Deserialize, Serialize};
use wire::{Outgoing, quoted};

use crate::{
    action::Outbox,
    ids::{SessionId, UpstreamId},
    mux::Mux,
    subscribe::{covers, is_in_own_words},
};

/// The most resources that are remembered, and the most bytes of an address. Where there is more, every one may have
/// changed.
pub(crate) const RESOURCES_MAX: usize = 256;
pub(crate) const ADDRESS_MAX: usize = 4 << 10;

/// What a process has told of since it was taken over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Missed {
    resources: BTreeSet<Box<str>>,
    /// Whether there was more than is remembered.
    is_full: bool,
}

impl Missed {
    pub(crate) fn note(&mut self, uri: &str) {
        if self.is_full || self.resources.contains(uri) {
            return;
        }
        if self.resources.len() == RESOURCES_MAX || uri.len() > ADDRESS_MAX {
            self.resources.clear();
            self.is_full = true;
        } else {
            self.resources.insert(uri.into());
        }
    }

    /// What of a resource has changed: itself, or parts of it. What somebody may have asked it with is not told to
    /// others: for them it is the resource.
    pub(crate) fn of<'a>(&'a self, whole: &'a str) -> BTreeSet<&'a str> {
        let parts = self.resources.iter().map(|part| &**part);
        let parts = parts.filter(|part| covers(whole, part));
        let told = parts.map(|part| {
            if is_in_own_words(whole, part) {
                whole
            } else {
                part
            }
        });
        told.chain(self.is_full.then_some(whole)).collect()
    }
}

impl Mux {
    /// A legacy client is back that was subscribed to a resource.
    pub(crate) fn tell_missed_updates(
        &self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        uri: &str,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        for part in upstream.missed.of(uri) {
            Mux::tell_session(session_id, update_of(part), out);
        }
    }
}

/// Our own word that a resource has changed.
fn update_of(uri: &str) -> Outgoing {
    let uri = quoted(uri);
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn told(missed: &Missed, whole: &str) -> Vec<Box<str>> {
        missed.of(whole).into_iter().map(Box::from).collect()
    }

    #[test]
    fn of_a_resource_its_parts_are_told_and_no_neighbours() {
        let mut missed = Missed::default();
        for uri in ["a:1", "a:1/part", "a:12", "b:1"] {
            missed.note(uri);
            missed.note(uri);
        }
        assert_eq!(told(&missed, "a:1"), ["a:1".into(), "a:1/part".into()]);
        assert_eq!(told(&missed, "b:2"), []);
    }

    #[test]
    fn what_a_resource_was_asked_with_is_told_to_who_has_asked_so() {
        let mut missed = Missed::default();
        for uri in ["a:1?name=x", "a:1/part#top"] {
            missed.note(uri);
        }
        assert_eq!(told(&missed, "a:1"), ["a:1".into()]);
        assert_eq!(told(&missed, "a:1?name=x"), ["a:1?name=x".into()]);
        assert_eq!(told(&missed, "a:1/part"), ["a:1/part".into()]);
    }

    #[test]
    fn where_more_has_changed_than_is_remembered_everything_may_have() {
        let mut missed = Missed::default();
        for number in 0..RESOURCES_MAX {
            missed.note(&format!("a:{number}"));
        }
        assert_eq!(told(&missed, "b:1"), []);
        missed.note("a:more");
        assert_eq!(told(&missed, "b:1"), ["b:1".into()]);
        assert!(missed.resources.is_empty(), "they need no room any more");
        let mut missed = Missed::default();
        missed.note(&"a".repeat(ADDRESS_MAX + 1));
        assert_eq!(told(&missed, "b:1"), ["b:1".into()]);
    }
}
