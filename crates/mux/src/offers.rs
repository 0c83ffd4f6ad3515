//! What a server declared that it can do, as far as it matters here.
//!
//! A session believes what it was told when it came. A later process of its server may offer less;
//! then what is affected is refused in words, so that nobody is left to wonder.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use wire::{Frame, Method, RequestId};

use crate::{
    action::Outbox,
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
    refusal::Refusal,
};

/// One thing that a server may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Offer {
    Tools,
    /// To tell when its tools change.
    ToolChanges,
    Prompts,
    PromptChanges,
    Resources,
    ResourceChanges,
    /// To tell when one resource changes.
    Subscriptions,
    Completions,
    Logging,
    /// To run tasks, which it would mix up between sessions.
    Tasks,
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offers(u16);

impl Offer {
    /// Where each stands in a handshake: the capability, and the member of it that has to be `true`.
    const ALL: [(Offer, &'static str, Option<&'static str>); 10] = [
        (Offer::Tools, "tools", None),
        (Offer::ToolChanges, "tools", Some("listChanged")),
        (Offer::Prompts, "prompts", None),
        (Offer::PromptChanges, "prompts", Some("listChanged")),
        (Offer::Resources, "resources", None),
        (Offer::ResourceChanges, "resources", Some("listChanged")),
        (Offer::Subscriptions, "resources", Some("subscribe")),
        (Offer::Completions, "completions", None),
        (Offer::Logging, "logging", None),
        (Offer::Tasks, "tasks", None),
    ];

    fn bit(self) -> u16 {
        1 << (self as u16)
    }

    /// What a server has to offer to be asked this.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others need nothing")]
    fn needed(method: &Method) -> Option<Self> {
        match method {
            Method::ToolsList | Method::ToolsCall => Some(Offer::Tools),
            Method::PromptsList | Method::PromptsGet => Some(Offer::Prompts),
            Method::ResourcesList | Method::ResourceTemplatesList | Method::ResourcesRead => {
                Some(Offer::Resources)
            }
            Method::ResourcesSubscribe => Some(Offer::Subscriptions),
            Method::CompletionComplete => Some(Offer::Completions),
            Method::SetLevel => Some(Offer::Logging),
            _needs_nothing => None,
        }
    }
}

impl Offers {
    /// Reads the `capabilities` of a handshake; what is malformed counts as not offered.
    pub(crate) fn declared(capabilities: &str) -> Self {
        let capabilities: BTreeMap<String, &RawValue> =
            serde_json::from_str(capabilities).unwrap_or_default();
        let is_declared = |capability: &str, member: Option<&str>| {
            let Some(said) = capabilities.get(capability).map(|said| said.get()) else {
                return false;
            };
            match member {
                None => matches!(
                    serde_json::from_str::<Option<IgnoredAny>>(said),
                    Ok(Some(_))
                ),
                Some(member) => serde_json::from_str::<BTreeMap<String, &RawValue>>(said)
                    .is_ok_and(|members| {
                        members.get(member).is_some_and(|yes| yes.get() == "true")
                    }),
            }
        };
        let declared = Offer::ALL
            .into_iter()
            .filter(|(_, capability, member)| is_declared(capability, *member));
        Offers(declared.fold(0, |bits, (offer, _, _)| bits | offer.bit()))
    }

    pub(crate) fn has(self, offer: Offer) -> bool {
        self.0 & offer.bit() != 0
    }

    /// Whether a session that was offered `before` believes in vain that it may ask this.
    pub(crate) fn have_lost(self, before: Offers, method: &Method) -> bool {
        Offer::needed(method).is_some_and(|needed| before.has(needed) && !self.has(needed))
    }

    /// Whether everything that `before` had is still here.
    pub(crate) fn include(self, before: Offers) -> bool {
        before.0 & !self.0 == 0
    }
}

impl Mux {
    /// A new process has said what it offers: what waits in vain does so no longer.
    pub(crate) fn refuse_what_is_lost(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        for session_id in upstream.attached.clone() {
            let waiting = self.sessions.get(&session_id).map(|session| {
                let queue = &session.queue;
                queue.calls.iter().chain(&queue.others)
            });
            let lost: Vec<(LineNumber, RequestId, Refusal)> = waiting
                .into_iter()
                .flatten()
                .filter_map(|held| {
                    let refusal = self.refusal_of_lost((session_id, upstream_id), &held.frame)?;
                    Some((held.line, held.frame.id()?.clone(), refusal))
                })
                .collect();
            for (line, id, refusal) in lost {
                let Some(session) = self.sessions.get_mut(&session_id) else {
                    break;
                };
                let held = session.queue.take_line(line, &id);
                self.uncount_waiting(held.as_ref());
                self.refuse(session_id, &id, line, refusal, out);
            }
            self.give_up_turn(session_id);
            self.resume_if_room(session_id, out);
        }
    }

    /// Why a request need not go, though the session was told that it might: an earlier process of its
    /// server offered what this one does not.
    pub(crate) fn refusal_of_lost(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        frame: &Frame,
    ) -> Option<Refusal> {
        let session = self.sessions.get(&session_id)?;
        let upstream = self.upstreams.get(&upstream_id)?;
        // What was offered last may be offered again by the process that comes next.
        if !upstream.is_ready() {
            return None;
        }
        let offers = upstream.handshake.as_ref()?.offers;
        let method = frame.method()?;
        offers
            .have_lost(session.offers, method)
            .then(|| Refusal::NoLongerOffered {
                server: upstream.server.clone(),
                method: method.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_offered_and_what_is_malformed_is_not() {
        let offers = Offers::declared(
            r#"{"tools":{"listChanged":true},"prompts":{"listChanged":false},"resources":7,"logging":null,"tasks":{"x":[{}]},"x":{"listChanged":true}}"#,
        );
        let offered: Vec<Offer> = Offer::ALL
            .into_iter()
            .map(|(offer, _, _)| offer)
            .filter(|offer| offers.has(*offer))
            .collect();
        assert_eq!(
            offered,
            [
                Offer::Tools,
                Offer::ToolChanges,
                Offer::Prompts,
                Offer::Resources,
                Offer::Tasks
            ]
        );
        assert_eq!(Offers::declared("[]"), Offers::default());
    }

    #[test]
    fn only_what_was_there_can_be_lost() {
        let before = Offers::declared(r#"{"tools":{},"logging":{}}"#);
        let after = Offers::declared(r#"{"tools":{},"prompts":{}}"#);
        assert!(!after.include(before) && before.include(before));
        assert!(after.have_lost(before, &Method::SetLevel));
        for method in [
            Method::ToolsCall,
            Method::PromptsGet,
            Method::ResourcesList,
            Method::Ping,
        ] {
            assert!(!after.have_lost(before, &method), "{method}");
        }
    }
}
