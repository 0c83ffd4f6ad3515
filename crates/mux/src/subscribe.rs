//! Subscriptions: the upstream sees the union, each session its own.
//!
//! **Invariant:** the upstream is asked to unsubscribe only when no session holds the subscription
//! and none is about to.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::{exchange::MintedId, ids::SessionId};

/// Who wants to hear of which resource of one upstream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Subscriptions {
    by_uri: BTreeMap<Box<str>, Subscription>,
    /// How many each session holds.
    held: BTreeMap<SessionId, usize>,
    /// Requests of ours that the upstream has not answered, by what they are about.
    #[serde(default)]
    errands: BTreeMap<MintedId, Box<str>>,
    /// Set while the upstream is asked for one new resource at a time: it has refused several together.
    #[serde(default)]
    singly: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Subscription {
    sessions: BTreeSet<SessionId>,
    /// Requests that the upstream has not answered. Until it has agreed to one, every subscriber asks for itself.
    asking: BTreeMap<MintedId, SessionId>,
    /// Whether its process has said that it tells of it.
    agreed: bool,
    /// Whether its process has said that it does not: it is asked again only for who has not heard that.
    #[serde(default)]
    refused: bool,
    /// Set when nobody waits for an answer any more: the upstream may agree, and nobody will hear of it.
    may_have_agreed: bool,
    /// Who is to be told whether it agrees, without a request of their own at the upstream.
    #[serde(default)]
    awaiting: BTreeSet<SessionId>,
    /// The request of ours that asks for them.
    #[serde(default)]
    errand: Option<MintedId>,
}

/// What came of a question of ours, and who waited for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) waited: BTreeSet<SessionId>,
    /// Whether the upstream may now be subscribed for nobody.
    pub(crate) is_orphaned: bool,
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
        match self.by_uri.get_mut(uri) {
            Some(subscription) if subscription.agreed => {
                subscription.take_in(session, &mut self.held);
                Forward::No
            }
            Some(_) | None => Forward::Yes,
        }
    }

    /// A session's own request is on its way to the upstream.
    pub(crate) fn asked(&mut self, uri: &str, session: SessionId, minted: MintedId) {
        let subscription = self.by_uri.entry(uri.into()).or_default();
        subscription.asking.insert(minted, session);
    }

    /// The upstream has agreed to a request, whose session may have thought better of it.
    pub(crate) fn agreed(&mut self, uri: &str, minted: MintedId) {
        if let Some(subscription) = self.by_uri.get_mut(uri)
            && let Some(session) = subscription.asking.remove(&minted)
        {
            subscription.agreed = true;
            subscription.refused = false;
            subscription.take_in(session, &mut self.held);
        }
    }

    /// The upstream has refused a request. Says whether it is now subscribed for nobody.
    pub(crate) fn refused(&mut self, uri: &str, minted: MintedId) -> bool {
        let had_agreed = self
            .by_uri
            .get(uri)
            .is_some_and(|known| known.agreed || known.may_have_agreed);
        self.end_asking(uri, minted) && had_agreed
    }

    /// Nobody will learn of the answer. Says whether the upstream may now be subscribed for nobody.
    pub(crate) fn given_up(&mut self, uri: &str, minted: MintedId) -> bool {
        if let Some(subscription) = self.by_uri.get_mut(uri) {
            subscription.may_have_agreed = true;
        }
        self.end_asking(uri, minted)
    }

    /// A session wants what the upstream is asked for on behalf of all. Says whether it has agreed to that already;
    /// if not, the session waits for [`Subscriptions::judge`].
    pub(crate) fn want(&mut self, uri: &str, session: SessionId) -> bool {
        let subscription = self.by_uri.entry(uri.into()).or_default();
        if !subscription.agreed {
            subscription.awaiting.insert(session);
            return false;
        }
        subscription.take_in(session, &mut self.held);
        true
    }

    /// Whether the upstream has yet to be asked for what sessions wait for.
    pub(crate) fn is_unasked(&self, uri: &str) -> bool {
        let known = self.by_uri.get(uri);
        known.is_some_and(|subscription| subscription.errand.is_none() && !subscription.agreed)
    }

    /// A request of ours is on its way to the upstream.
    pub(crate) fn note_errand(&mut self, uri: &str, minted: MintedId) {
        if let Some(subscription) = self.by_uri.get_mut(uri) {
            subscription.errand = Some(minted);
            self.errands.insert(minted, uri.into());
        }
    }

    /// What a request of ours was about that has been answered, if anybody may still wait for that.
    pub(crate) fn take_errand(&mut self, minted: MintedId) -> Option<Box<str>> {
        let uri = self.errands.remove(&minted)?;
        let subscription = self.by_uri.get_mut(&uri)?;
        subscription.errand.take_if(|errand| *errand == minted)?;
        Some(uri)
    }

    /// The upstream has said whether it agrees to what was asked for on behalf of all.
    pub(crate) fn judge(&mut self, uri: &str, agrees: bool) -> Judged {
        let Some(subscription) = self.by_uri.get_mut(uri) else {
            return Judged {
                waited: BTreeSet::new(),
                is_orphaned: false,
            };
        };
        let waited = core::mem::take(&mut subscription.awaiting);
        let may_have_agreed = agrees || subscription.agreed || subscription.may_have_agreed;
        (subscription.agreed, subscription.refused) = (agrees, !agrees);
        if agrees {
            for session in &waited {
                subscription.take_in(*session, &mut self.held);
            }
        }
        let is_wanted = subscription.is_wanted();
        if !is_wanted {
            self.by_uri.remove(uri);
        }
        Judged {
            waited,
            is_orphaned: !is_wanted && may_have_agreed,
        }
    }

    /// The upstream may have agreed in an answer that cannot be read.
    pub(crate) fn may_have_agreed(&mut self, uri: &str) {
        if let Some(subscription) = self.by_uri.get_mut(uri) {
            subscription.may_have_agreed = true;
        }
    }

    /// All of which a session does not know yet whether the upstream agrees to it.
    #[cfg(test)]
    pub(crate) fn awaited_by(&self, session: SessionId) -> Vec<Box<str>> {
        let awaited = self
            .by_uri
            .iter()
            .filter(|(_, subscription)| subscription.awaiting.contains(&session));
        awaited.map(|(uri, _)| uri.clone()).collect()
    }

    /// Whether the upstream has said that it tells of it.
    pub(crate) fn is_agreed(&self, uri: &str) -> bool {
        let known = self.by_uri.get(uri);
        known.is_some_and(|subscription| subscription.agreed)
    }

    /// A request has no answer to come. Says whether nobody wants the subscription any longer.
    fn end_asking(&mut self, uri: &str, minted: MintedId) -> bool {
        let Some(subscription) = self.by_uri.get_mut(uri) else {
            return false;
        };
        subscription.asking.remove(&minted);
        if subscription.is_wanted() {
            return false;
        }
        self.by_uri.remove(uri);
        true
    }

    pub(crate) fn unsubscribe(&mut self, uri: &str, session: SessionId) -> Forward {
        let Some(subscription) = self.by_uri.get_mut(uri) else {
            return Forward::Yes;
        };
        let held = subscription.leave(session);
        let is_wanted = subscription.is_wanted();
        if held {
            self.count_down(session);
        }
        if is_wanted {
            return Forward::No;
        }
        self.by_uri.remove(uri);
        Forward::Yes
    }

    /// A session does not wait for word any longer; what it has been promised before stays.
    pub(crate) fn withdraw(&mut self, uri: &str, session: SessionId) -> Forward {
        match self.by_uri.get_mut(uri) {
            Some(subscription) if subscription.sessions.contains(&session) => {
                subscription.awaiting.remove(&session);
                Forward::No
            }
            Some(_) | None => self.unsubscribe(uri, session),
        }
    }

    /// Nobody knows any longer whether the upstream tells of these.
    pub(crate) fn doubt(&mut self, uris: &[Box<str>]) {
        for uri in uris {
            if let Some(subscription) = self.by_uri.get_mut(uri) {
                subscription.agreed = false;
            }
        }
    }

    /// Releases all that a session held or asked for, and names what nobody wants any longer.
    pub(crate) fn release(&mut self, session: SessionId) -> Vec<Box<str>> {
        self.held.remove(&session);
        let mut orphaned = Vec::new();
        self.by_uri.retain(|uri, subscription| {
            subscription.leave(session);
            if !subscription.is_wanted() {
                orphaned.push(uri.clone());
            }
            subscription.is_wanted()
        });
        orphaned
    }

    /// All that a session is subscribed to.
    pub(crate) fn of(&self, session: SessionId) -> Vec<Box<str>> {
        let of_session = self
            .by_uri
            .iter()
            .filter(|(_, subscription)| subscription.sessions.contains(&session));
        of_session.map(|(uri, _)| uri.clone()).collect()
    }

    /// The process is gone, and with it what it was asked and had not agreed to.
    pub(crate) fn forget_asking(&mut self) {
        self.errands.clear();
        self.singly = false;
        self.by_uri.retain(|_, subscription| {
            subscription.asking.clear();
            subscription.errand = None;
            subscription.agreed = false;
            subscription.refused = false;
            subscription.may_have_agreed = false;
            subscription.is_wanted()
        });
    }

    /// Who hears that a resource changed: each once, whether it has subscribed to it, to what it is a part of, or to
    /// both. A server may name a part of what was subscribed to, and may tell of it before it answers.
    pub(crate) fn subscribers(&self, uri: &str) -> BTreeSet<SessionId> {
        self.wholes(uri)
            .flat_map(|it| it.sessions.iter().chain(it.asking.values()).copied())
            .collect()
    }

    /// Who waits to hear whether the upstream tells of it, or of what it is a part of.
    pub(crate) fn waiting<'a>(&'a self, uri: &'a str) -> impl Iterator<Item = SessionId> {
        self.wholes(uri)
            .flat_map(|subscription| subscription.awaiting.iter().copied())
    }

    /// What is known of a resource, and of all that it is a part of. Its neighbours are passed over, however many
    /// there are: a server may tell of each of them.
    ///
    /// A server tells of what somebody has asked it to. What that named in words of its own is not told to others.
    fn wholes<'a>(&'a self, uri: &'a str) -> impl Iterator<Item = &'a Subscription> {
        let mut end = Bound::Included(uri);
        let beginnings = core::iter::from_fn(move || {
            loop {
                let mut up_to_end = self.by_uri.range::<str, _>((Bound::Unbounded, end));
                let (known, subscription) = up_to_end.next_back()?;
                let shared = shared_beginning(known, uri);
                if shared.len() == known.len() {
                    end = Bound::Excluded(&**known);
                    return Some((known, subscription));
                }
                // What the resource begins with comes before whatever leaves it there.
                end = Bound::Included(shared);
            }
        });
        let is_named = self.by_uri.contains_key(uri);
        let wholes = beginnings.filter(move |(known, _)| {
            covers(known, uri) && !(is_named && is_in_own_words(known, uri))
        });
        wholes.map(|(_, subscription)| subscription)
    }

    /// A session has been told that it is subscribed, by another process or by another daemon.
    pub(crate) fn reinstate(&mut self, uri: &str, session: SessionId) {
        let subscription = self.by_uri.entry(uri.into()).or_default();
        subscription.take_in(session, &mut self.held);
    }

    pub(crate) fn has(&self, uri: &str, session: SessionId) -> bool {
        self.by_uri
            .get(uri)
            .is_some_and(|subscription| subscription.sessions.contains(&session))
    }

    pub(crate) fn count_of(&self, session: SessionId) -> usize {
        self.held.get(&session).copied().unwrap_or_default()
    }

    /// All that the upstream is asked for on behalf of all.
    pub(crate) fn uris(&self) -> Vec<Box<str>> {
        self.by_uri
            .iter()
            .filter(|(_, subscription)| subscription.is_asked_for())
            .map(|(uri, _)| uri.clone())
            .collect()
    }

    /// The upstream is to be asked for new resources one by one, as long as there are any.
    pub(crate) fn ask_singly(&mut self) {
        self.singly = true;
    }

    /// All that the upstream is to be asked for now, if it is asked for all at once.
    pub(crate) fn uris_to_ask_for(&mut self) -> Vec<Box<str>> {
        let mut new = 0_usize;
        let mut uris = self.uris();
        uris.retain(|uri| {
            let is_new = !self.is_agreed(uri);
            new += usize::from(is_new);
            !is_new || new == 1 || !self.singly
        });
        self.singly &= new > 0;
        uris
    }

    fn count_down(&mut self, session: SessionId) {
        if let Some(count) = self.held.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&session);
            }
        }
    }
}

/// Whether whoever wants to hear of one resource hears of the other: it is the same, or a part of it.
pub(crate) fn covers(whole: &str, uri: &str) -> bool {
    let rest = uri.strip_prefix(whole);
    rest.is_some_and(|rest| {
        rest.is_empty() || whole.ends_with('/') || rest.starts_with(['/', '#', '?'])
    })
}

/// Whether a part is named in words of whoever wants just that: what is asked (`?`) or pointed at (`#`). These are
/// for nobody else, where somebody has used them; behind a `/` there is another resource.
pub(crate) fn is_in_own_words(whole: &str, part: &str) -> bool {
    let rest = part.strip_prefix(whole);
    rest.is_some_and(|rest| rest.contains(['?', '#']))
}

/// What one begins with as the other does.
fn shared_beginning<'a>(other: &str, one: &'a str) -> &'a str {
    let mut same = one.char_indices().zip(other.chars());
    let end = same.find(|((_, ours), theirs)| ours != theirs);
    let end = end.map_or(one.len().min(other.len()), |((at, _), _)| at);
    one.get(..end).unwrap_or_default()
}

impl Subscription {
    fn is_wanted(&self) -> bool {
        !self.sessions.is_empty() || !self.asking.is_empty() || !self.awaiting.is_empty()
    }

    fn is_asked_for(&self) -> bool {
        !self.awaiting.is_empty() || !self.sessions.is_empty() && !self.refused
    }

    /// The session holds it from now on, which counts once.
    fn take_in(&mut self, session: SessionId, held: &mut BTreeMap<SessionId, usize>) {
        if self.sessions.insert(session) {
            *held.entry(session).or_default() += 1;
        }
    }

    /// Says whether the session held it.
    fn leave(&mut self, session: SessionId) -> bool {
        let given_up = self.asking.extract_if(.., |_, asking| *asking == session);
        self.may_have_agreed |= given_up.count() > 0;
        self.may_have_agreed |= self.awaiting.remove(&session) && self.errand.is_some();
        self.sessions.remove(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId(1);
    const BOB: SessionId = SessionId(2);

    fn subscribed(uris: &[(&str, SessionId)]) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        for (at, (uri, session)) in uris.iter().enumerate() {
            let minted = at as MintedId;
            subscriptions.asked(uri, *session, minted);
            subscriptions.agreed(uri, minted);
        }
        subscriptions
    }

    #[test]
    fn the_upstream_hears_of_the_first_and_of_the_last() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.subscribe("a:b", ALICE), Forward::Yes);
        subscriptions.asked("a:b", ALICE, 1);
        subscriptions.agreed("a:b", 1);
        assert_eq!(subscriptions.subscribe("a:b", BOB), Forward::No);
        assert_eq!(subscriptions.count_of(BOB), 1);
        assert_eq!(subscriptions.unsubscribe("a:b", ALICE), Forward::No);
        assert_eq!(subscriptions.unsubscribe("a:b", BOB), Forward::Yes);
        assert!(subscriptions.by_uri.is_empty() && subscriptions.held.is_empty());
    }

    #[test]
    fn who_holds_nothing_takes_nothing_from_others() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.asked("a:b", ALICE, 1);
        assert_eq!(subscriptions.unsubscribe("a:b", BOB), Forward::No);
        subscriptions.agreed("a:b", 1);
        assert_eq!(subscriptions.unsubscribe("a:b", BOB), Forward::No);
        assert_eq!(subscriptions.subscribers("a:b"), BTreeSet::from([ALICE]));
    }

    #[test]
    fn who_unsubscribes_before_the_answer_is_not_subscribed_by_it() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.asked("a:b", ALICE, 1);
        assert_eq!(subscriptions.unsubscribe("a:b", ALICE), Forward::Yes);
        subscriptions.agreed("a:b", 1);
        assert_eq!(subscriptions.subscribers("a:b"), BTreeSet::new());
    }

    #[test]
    fn what_the_upstream_may_have_agreed_to_unheard_is_taken_back_when_the_last_is_refused() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.asked("a:b", ALICE, 1);
        assert!(
            !subscriptions.refused("a:b", 1),
            "nobody was ever subscribed"
        );
        for is_leaving in [false, true] {
            subscriptions.asked("a:b", ALICE, 2);
            subscriptions.asked("a:b", BOB, 3);
            if is_leaving {
                assert!(subscriptions.release(BOB).is_empty());
            } else {
                assert!(!subscriptions.given_up("a:b", 3));
            }
            assert!(subscriptions.refused("a:b", 2));
        }
    }

    #[test]
    fn who_leaves_leaves_nothing() {
        let mut subscriptions = subscribed(&[("a:1", ALICE), ("a:2", ALICE), ("a:2", BOB)]);
        assert_eq!(subscriptions.release(ALICE), ["a:1".into()]);
        assert_eq!(subscriptions.subscribers("a:2"), BTreeSet::from([BOB]));
    }

    #[test]
    fn a_change_of_a_part_is_a_change_of_the_whole() {
        let subscriptions = subscribed(&[("file:///a", ALICE), ("file:///ab", BOB)]);
        assert_eq!(
            subscriptions.subscribers("file:///a/x"),
            BTreeSet::from([ALICE])
        );
        assert_eq!(subscriptions.subscribers("file:///abc"), BTreeSet::new());
    }

    #[test]
    fn who_watches_a_part_takes_nothing_from_who_watches_the_whole() {
        let subscriptions = subscribed(&[
            ("file:///a", ALICE),
            ("file:///a/x", BOB),
            ("file:///a/x", ALICE),
        ]);
        let both = BTreeSet::from([ALICE, BOB]);
        assert_eq!(subscriptions.subscribers("file:///a/x"), both);
        assert_eq!(
            subscriptions.subscribers("file:///a"),
            BTreeSet::from([ALICE])
        );
    }

    #[test]
    fn whoever_wants_what_a_resource_is_a_part_of_is_found_among_its_neighbours() {
        let uris = [
            "",
            "a",
            "a:",
            "a:/",
            "a://",
            "a:///b",
            "a:///b/",
            "a:///b/c",
            "a:///b/c#d",
            "a:///b/ç",
            "a:///b/c?",
            "a:///b!",
            "a:///bc",
            "a:///b/c/d/e",
            "b",
        ];
        let mut subscriptions = Subscriptions::default();
        for (number, uri) in (1..).zip(uris) {
            subscriptions.reinstate(uri, SessionId(number));
        }
        for about in uris.into_iter().chain([
            "a:///b/c/d",
            "a:///b/çd",
            "a:///b/è",
            "a:///b/c#e",
            "/",
            "c",
        ]) {
            let is_told = |whole: &str| {
                let rest = about.strip_prefix(whole).unwrap_or_default();
                covers(whole, about) && !(uris.contains(&about) && rest.contains(['?', '#']))
            };
            let named = (1..).zip(uris).filter(|(_, whole)| is_told(whole));
            let expected: BTreeSet<_> = named.map(|(number, _)| SessionId(number)).collect();
            assert_eq!(subscriptions.subscribers(about), expected, "{about}");
        }
    }

    #[test]
    fn who_wants_the_whole_hears_nothing_of_what_another_has_asked_it() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.reinstate("db://t", ALICE);
        assert_eq!(
            subscriptions.subscribers("db://t?user=bob"),
            BTreeSet::from([ALICE])
        );
        subscriptions.reinstate("db://t?user=bob", BOB);
        subscriptions.reinstate("db://t/rows?of=bob", BOB);
        for asked in ["db://t?user=bob", "db://t/rows?of=bob"] {
            assert_eq!(
                subscriptions.subscribers(asked),
                BTreeSet::from([BOB]),
                "{asked}"
            );
        }
        assert_eq!(subscriptions.subscribers("db://t"), BTreeSet::from([ALICE]));
    }
}
