//! Subscriptions: the upstream sees the union, each session its own.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::ids::SessionId;

/// Who wants to hear of which resource of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_uri: BTreeMap<Box<str>, Subscription>,
}

#[derive(Debug, Default)]
struct Subscription {
    sessions: BTreeSet<SessionId>,
    /// Whether the upstream has agreed. Until then every subscriber asks it for itself.
    agreed: bool,
}

/// What a session's wish means for the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// It must hear of it.
    Yes,
    /// It has heard of it already, or need not.
    No,
}

impl Subscriptions {
    pub(crate) fn subscribe(&mut self, uri: &str, session: SessionId) -> Forward {
        let subscription = self.by_uri.entry(uri.into()).or_default();
        if subscription.agreed {
            subscription.sessions.insert(session);
            Forward::No
        } else {
            Forward::Yes
        }
    }

    /// The upstream has agreed to a session's subscription.
    pub(crate) fn agreed(&mut self, uri: &str, session: SessionId) {
        let subscription = self.by_uri.entry(uri.into()).or_default();
        subscription.agreed = true;
        subscription.sessions.insert(session);
    }

    /// A session's subscription was refused or given up before the upstream answered.
    pub(crate) fn forget_if_unused(&mut self, uri: &str) {
        if self
            .by_uri
            .get(uri)
            .is_some_and(|subscription| subscription.sessions.is_empty())
        {
            self.by_uri.remove(uri);
        }
    }

    pub(crate) fn unsubscribe(&mut self, uri: &str, session: SessionId) -> Forward {
        let Some(subscription) = self.by_uri.get_mut(uri) else {
            return Forward::Yes;
        };
        let was_there = subscription.sessions.remove(&session);
        if subscription.sessions.is_empty() {
            self.by_uri.remove(uri);
            return Forward::Yes;
        }
        if was_there { Forward::No } else { Forward::Yes }
    }

    /// Releases all that a session held, and names what nobody wants any longer.
    pub(crate) fn release(&mut self, session: SessionId) -> Vec<Box<str>> {
        let mut orphaned = Vec::new();
        self.by_uri.retain(|uri, subscription| {
            let was_last =
                subscription.sessions.remove(&session) && subscription.sessions.is_empty();
            if was_last {
                orphaned.push(uri.clone());
            }
            !was_last
        });
        orphaned
    }

    /// Who hears that a resource changed. A server may name a part of what was subscribed to.
    pub(crate) fn subscribers(&self, uri: &str) -> BTreeSet<SessionId> {
        if let Some(subscription) = self.by_uri.get(uri) {
            return subscription.sessions.clone();
        }
        let contains = |whole: &str| {
            let rest = uri.strip_prefix(whole);
            rest.is_some_and(|rest| whole.ends_with('/') || rest.starts_with(['/', '#', '?']))
        };
        let parts = self.by_uri.iter().filter(|(whole, _)| contains(whole));
        parts
            .flat_map(|(_, subscription)| subscription.sessions.iter().copied())
            .collect()
    }

    pub(crate) fn count_of(&self, session: SessionId) -> usize {
        self.by_uri
            .values()
            .filter(|subscription| subscription.sessions.contains(&session))
            .count()
    }

    /// All that a new process of the upstream must hear of.
    pub(crate) fn uris(&self) -> Vec<Box<str>> {
        self.by_uri
            .iter()
            .filter(|(_, subscription)| subscription.agreed)
            .map(|(uri, _)| uri.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId(1);
    const BOB: SessionId = SessionId(2);

    #[test]
    fn the_upstream_hears_of_the_first_and_of_the_last() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.subscribe("a:b", ALICE), Forward::Yes);
        subscriptions.agreed("a:b", ALICE);
        assert_eq!(subscriptions.subscribe("a:b", BOB), Forward::No);
        assert_eq!(subscriptions.unsubscribe("a:b", ALICE), Forward::No);
        assert_eq!(subscriptions.unsubscribe("a:b", BOB), Forward::Yes);
        assert!(subscriptions.by_uri.is_empty());
    }

    #[test]
    fn who_leaves_leaves_nothing() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.agreed("a:1", ALICE);
        subscriptions.agreed("a:2", ALICE);
        subscriptions.agreed("a:2", BOB);
        assert_eq!(subscriptions.release(ALICE), ["a:1".into()]);
        assert_eq!(subscriptions.subscribers("a:2"), BTreeSet::from([BOB]));
    }

    #[test]
    fn a_change_of_a_part_is_a_change_of_the_whole() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.agreed("file:///a", ALICE);
        subscriptions.agreed("file:///ab", BOB);
        assert_eq!(
            subscriptions.subscribers("file:///a/x"),
            BTreeSet::from([ALICE])
        );
        assert_eq!(subscriptions.subscribers("file:///abc"), BTreeSet::new());
    }
}
