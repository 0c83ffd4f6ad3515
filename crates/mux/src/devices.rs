//! Who uses what only one call at a time may use, and who is next.
//!
//! A device has a name, and servers whose configuration has the same name share it. It is taken when a call
//! is sent, and free again when nobody waits for the answer any longer: it has come, or the call was
//! cancelled, or its process has ended. Then sessions are offered it in the order in which they were turned
//! away; one that cannot go at that moment keeps its place, and does not keep it from others.
//!
//! **Invariant:** of the calls that use a device, at most one is open at any server.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    action::Outbox,
    askable::Call,
    exchange::MintedId,
    ids::{SessionId, UpstreamId},
    mux::Mux,
};

/// The devices that somebody uses, or waits for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Devices {
    known: BTreeMap<Arc<str>, Line>,
}

/// The line for one device.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    /// The call that uses it.
    user: Option<(UpstreamId, MintedId)>,
    /// The sessions that were turned away, the first of them first.
    waiting: VecDeque<SessionId>,
    /// Whose turn it is: nobody else may take it while that is tried.
    #[serde(skip)]
    offered: Option<SessionId>,
}

impl Devices {
    /// Whether a session may take a device now; if not, it is in the line.
    pub(crate) fn admit(&mut self, device: &Arc<str>, session: SessionId) -> bool {
        let Some(line) = self.known.get_mut(device) else {
            return true;
        };
        let is_free = line.user.is_none();
        if is_free && line.offered.is_none_or(|offered| offered == session) {
            return true;
        }
        if !line.waiting.contains(&session) {
            line.waiting.push_back(session);
        }
        false
    }

    /// A session has gone: it waits for nothing.
    pub(crate) fn forget(&mut self, session: SessionId) {
        for line in self.known.values_mut() {
            line.waiting.retain(|waiting| *waiting != session);
        }
    }

    /// A call of the session uses it from now on.
    pub(crate) fn take(
        &mut self,
        device: Arc<str>,
        session: SessionId,
        call: (UpstreamId, MintedId),
    ) {
        let line = self.known.entry(device).or_default();
        line.user = Some(call);
        line.waiting.retain(|waiting| *waiting != session);
    }

    fn line(&mut self, device: &str) -> Option<&mut Line> {
        self.known.get_mut(device)
    }
}

impl Mux {
    /// Lets go of the devices whose calls are over, and offers them to those who wait.
    pub(crate) fn pass_devices_on(&mut self, out: &mut Outbox) {
        if self.devices.known.is_empty() {
            return;
        }
        let free: Vec<Arc<str>> = self
            .devices
            .known
            .iter()
            .filter(|(_, line)| !line.user.is_some_and(|call| self.is_open(call)))
            .map(|(device, _)| device.clone())
            .collect();
        for device in free {
            if let Some(line) = self.devices.line(&device)
                && line.user.take().is_some()
            {
                self.offer(&device, out);
            }
            self.forget_if_unused(&device);
        }
    }

    fn is_open(&self, (upstream, minted): (UpstreamId, MintedId)) -> bool {
        let upstream = self.upstreams.get(&upstream);
        upstream.is_some_and(|upstream| upstream.exchanges.get(minted).is_some())
    }

    /// Offers a free device to each who waits for it, until somebody takes it.
    fn offer(&mut self, device: &str, out: &mut Outbox) {
        let Some(line) = self.devices.line(device) else {
            return;
        };
        for session in line.waiting.clone() {
            let upstream = self.waits_for(session, device);
            let Some(line) = self.devices.line(device) else {
                return;
            };
            let Some(upstream) = upstream else {
                // Its call was cancelled, or refused.
                line.waiting.retain(|waiting| *waiting != session);
                continue;
            };
            line.offered = Some(session);
            self.release(upstream, out);
            let Some(line) = self.devices.line(device) else {
                return;
            };
            line.offered = None;
            if line.user.is_some() {
                return;
            }
        }
    }

    /// Where a session is served, if its next call uses this device.
    fn waits_for(&self, session_id: SessionId, device: &str) -> Option<UpstreamId> {
        let session = self.sessions.get(&session_id)?;
        let next = session.queue.calls.front()?;
        let uses = Call::of(&next.frame, &session.opening.rules)?.device?;
        session.upstream().filter(|_| *uses == *device)
    }

    fn forget_if_unused(&mut self, device: &str) {
        let Some(line) = self.devices.line(device) else {
            return;
        };
        if line.user.is_some() {
            return;
        }
        let sessions = &self.sessions;
        let waits = |session: &SessionId| {
            let session = sessions.get(session);
            session.is_some_and(|session| session.queue.has_call())
        };
        line.waiting.retain(waits);
        if line.waiting.is_empty() {
            self.devices.known.remove(device);
        }
    }
}
