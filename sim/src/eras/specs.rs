//! The servers that there are in worlds of both eras, as they are configured.

use std::time::Duration;

use mux::{Era, Scope};

use super::words::Shape;

/// A server as it is configured.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) speaks: Speaks,
    /// The era in which it is spoken to, where the configuration says so.
    pub(super) era: Option<Era>,
    pub(super) scope: Scope,
    /// Whether it has a question in place of every answer.
    pub(super) insists: bool,
    /// Whether it says what belongs to a request on a stream of that, as over HTTP.
    pub(super) streams: bool,
    /// Whether its tool of this place uses what one call at a time may use, whoever makes it.
    pub(super) device: Option<u8>,
    /// Whether its tool of this place is carried out once for all who call it.
    pub(super) once: Option<u8>,
    /// Whether it does not tell of the resource of this place.
    pub(super) keeps_to_itself: Option<u8>,
    /// Whether it refuses to be listened to at all by who wants to be told of that, if it is of the modern era.
    pub(super) is_strict: bool,
}

/// How long a result counts for others who call the same.
pub(super) const ONCE_TTL: Duration = Duration::from_secs(5);

impl Spec {
    /// Whether a request may be answered with what another was answered with.
    pub(super) fn repeats(&self, shape: Shape) -> bool {
        matches!(shape, Shape::Call(at) if Some(at) == self.once)
    }

    /// Whether it tells of the resource of this place.
    pub(super) fn tells_of(&self, uri: usize) -> bool {
        self.keeps_to_itself.is_none_or(|at| usize::from(at) != uri)
    }

    /// Whether a request is a subscription to what it does not tell of.
    pub(super) fn refuses(&self, shape: Shape) -> bool {
        matches!(shape, Shape::Subscribe(at) if Some(at) == self.keeps_to_itself)
    }

    /// Whether a request uses the device.
    pub(super) fn uses_device(&self, shape: Shape) -> bool {
        matches!(shape, Shape::Call(at) if Some(at) == self.device)
    }
}

/// The server of this name.
pub(super) fn spec_of(name: &str) -> &'static Spec {
    let known = SPECS.iter().find(|spec| spec.name == name);
    known.unwrap_or(&SPECS[0])
}

/// How a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// With a handshake; what it does when it is asked `server/discover` first.
    Legacy(Discovery),
    /// Without one.
    Modern,
    /// As it is spoken to first.
    Both,
}

/// What a server of the legacy era does about `server/discover`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// It answers with an error.
    Refuses,
    /// It says nothing.
    Ignores,
    /// It ends.
    Ends,
}

const fn spec(name: &'static str, speaks: Speaks) -> Spec {
    Spec {
        name,
        speaks,
        era: None,
        scope: Scope::Global,
        insists: false,
        streams: false,
        device: None,
        once: None,
        keeps_to_itself: None,
        is_strict: false,
    }
}

/// The servers that there are.
pub(super) const SPECS: [Spec; 18] = [
    spec("refuses", Speaks::Legacy(Discovery::Refuses)),
    spec("modern", Speaks::Modern),
    spec("both", Speaks::Both),
    spec("ignores", Speaks::Legacy(Discovery::Ignores)),
    spec("ends", Speaks::Legacy(Discovery::Ends)),
    Spec {
        era: Some(Era::Legacy),
        ..spec("set legacy", Speaks::Both)
    },
    Spec {
        era: Some(Era::Modern),
        ..spec("set modern", Speaks::Modern)
    },
    Spec {
        scope: Scope::Session,
        ..spec("alone", Speaks::Both)
    },
    Spec {
        insists: true,
        ..spec("insists", Speaks::Modern)
    },
    Spec {
        streams: true,
        ..spec("streams", Speaks::Legacy(Discovery::Refuses))
    },
    Spec {
        streams: true,
        ..spec("modern streams", Speaks::Modern)
    },
    Spec {
        device: Some(0),
        ..spec("device", Speaks::Legacy(Discovery::Refuses))
    },
    Spec {
        device: Some(1),
        ..spec("same device", Speaks::Modern)
    },
    Spec {
        once: Some(2),
        ..spec("once", Speaks::Legacy(Discovery::Refuses))
    },
    Spec {
        once: Some(2),
        ..spec("modern once", Speaks::Modern)
    },
    Spec {
        keeps_to_itself: Some(2),
        ..spec("silent", Speaks::Legacy(Discovery::Refuses))
    },
    Spec {
        keeps_to_itself: Some(1),
        ..spec("modern silent", Speaks::Modern)
    },
    Spec {
        keeps_to_itself: Some(2),
        is_strict: true,
        ..spec("strict", Speaks::Modern)
    },
];

/// Those that use the same device, by place.
pub(super) const OF_ONE_DEVICE: [u8; 2] = [11, 12];
