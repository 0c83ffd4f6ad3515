//! What a line is, by the rules: a message with things in known places, or a fault.
//!
//! Slow and plain on purpose: lists of members, looked through by name.

use std::ops::Range;

use wire::{About, Kind, Named, Purpose, RequestId};

use crate::json::{self, Member};

/// Longest id or token, in bytes, quotes included.
const ID_BYTES_MAX: usize = 1026;

/// Deepest message.
const DEPTH_MAX: usize = 127;

/// Different ids that a line at fault may name before it names nobody in particular.
const IDS_MAX: usize = 8;

/// What is to be made of a text.
#[derive(Debug)]
pub(super) enum Expected {
    NotJson,
    NotAnObject,
    /// JSON-RPC calls it an invalid request.
    Refused(About),
    Sound(Sound),
}

/// What is to be found in a message.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) kind: Kind,
    pub(super) method: Option<String>,
    /// In the order of [`Place`].
    pub(super) places: Vec<(Place, Range<usize>)>,
    pub(super) is_modern: bool,
    pub(super) has_tools: bool,
    pub(super) related_task: Option<String>,
}

/// A thing that we look for in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Id,
    Result,
    Error,
    MetaToken,
    Token,
    RequestId,
    Name,
    Uri,
    Level,
    ProtocolVersion,
    Capabilities,
    ClientInfo,
    ElicitationId,
    Mode,
}

/// What `params` may hold for us, by name, but for `_meta` and `tools`.
const IN_PARAMS: [(&str, Place); 10] = [
    ("progressToken", Place::Token),
    ("requestId", Place::RequestId),
    ("name", Place::Name),
    ("uri", Place::Uri),
    ("level", Place::Level),
    ("protocolVersion", Place::ProtocolVersion),
    ("capabilities", Place::Capabilities),
    ("clientInfo", Place::ClientInfo),
    ("elicitationId", Place::ElicitationId),
    ("mode", Place::Mode),
];

impl Place {
    /// Whether a pooler ever writes another value there.
    pub(super) fn is_edited(self) -> bool {
        match self {
            Place::Id
            | Place::MetaToken
            | Place::Token
            | Place::RequestId
            | Place::ProtocolVersion => true,
            Place::Result
            | Place::Error
            | Place::Name
            | Place::Uri
            | Place::Level
            | Place::Capabilities
            | Place::ClientInfo
            | Place::ElicitationId
            | Place::Mode => false,
        }
    }
}

impl Sound {
    pub(super) fn at(&self, wanted: Place) -> Option<Range<usize>> {
        let found = self.places.iter().find(|(place, _)| *place == wanted);
        found.map(|(_, range)| range.clone())
    }
}

/// An object within a text, by its members.
struct Object<'a> {
    text: &'a str,
    members: Vec<Member>,
}

impl<'a> Object<'a> {
    /// The object that stands at a place, if one does.
    fn at(text: &'a str, place: Range<usize>) -> Option<Self> {
        let mut members = json::members(&text[place.clone()])?;
        for (_, value) in &mut members {
            *value = value.start + place.start..value.end + place.start;
        }
        Some(Object { text, members })
    }

    fn is_doubled(&self, names: &[&str]) -> bool {
        let count = |name: &str| {
            self.members
                .iter()
                .filter(|(known, _)| known == name)
                .count()
        };
        names.iter().any(|name| count(name) > 1)
    }

    fn place(&self, name: &str) -> Option<Range<usize>> {
        let found = self.members.iter().find(|(known, _)| known == name);
        found.map(|(_, place)| place.clone())
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.place(name).map(|place| &self.text[place])
    }

    /// The place of a value that is not `null`.
    fn present(&self, name: &str) -> Option<Range<usize>> {
        self.place(name)
            .filter(|place| &self.text[place.clone()] != "null")
    }
}

pub(super) fn read(text: &str) -> Expected {
    if !json::is_json(text) {
        return Expected::NotJson;
    }
    let Some(envelope) = Object::at(text, 0..text.len()) else {
        return Expected::NotAnObject;
    };
    let is_there = |name| envelope.value(name).is_some();
    let is_doubled = envelope.is_doubled(&["jsonrpc", "id", "method", "params", "result", "error"]);
    let version = envelope.value("jsonrpc").and_then(json::string);
    let is_refused =
        is_doubled || version.as_deref() != Some("2.0") || json::depth(text) > DEPTH_MAX;
    if is_refused {
        return Expected::Refused(about(&envelope));
    }
    let sound = match (is_there("method"), is_there("result"), is_there("error")) {
        (true, false, false) => request(&envelope),
        (false, _, _) => response(&envelope),
        (true, _, _) => None,
    };
    match sound {
        Some(sound) => Expected::Sound(sound),
        None => Expected::Refused(about(&envelope)),
    }
}

/// What a refused object says of itself at its top level.
fn about(envelope: &Object<'_>) -> About {
    let is_there = |name| envelope.value(name).is_some();
    let all = envelope.members.iter().filter(|(name, _)| name == "id");
    let values: Vec<&str> = all
        .map(|(_, place)| &envelope.text[place.clone()])
        .collect();
    let mut ids: Vec<&str> = values.iter().copied().filter(|id| is_id(id)).collect();
    let has_others = ids.len() < values.len();
    let mut seen = Vec::new();
    ids.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    let ids: Vec<RequestId> = ids.into_iter().filter_map(RequestId::from_json).collect();
    let named = match ids.len() {
        0 => Named::Nobody,
        1 if !has_others => Named::One(ids[0].clone()),
        many if many > IDS_MAX => Named::Unknown,
        _some => Named::Several(ids),
    };
    let asks = is_there("method") || is_there("params");
    let answers = is_there("result") || is_there("error");
    let purpose = match (asks, answers) {
        (true, true) => Purpose::Either,
        (true, false) => Purpose::Question,
        (false, true) => Purpose::Answer,
        (false, false) if is_there("jsonrpc") => Purpose::Either,
        (false, false) => Purpose::Noise,
    };
    About { named, purpose }
}

fn is_id(text: &str) -> bool {
    let is_scalar =
        text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    is_scalar && text.len() <= ID_BYTES_MAX
}

/// One of result and error, and an id, which may be `null`. An empty one of the two does not count.
fn response(envelope: &Object<'_>) -> Option<Sound> {
    let (result, error) = match (envelope.place("result"), envelope.place("error")) {
        (Some(result), Some(error)) => match (envelope.value("result"), envelope.value("error")) {
            (_, Some("null")) => (Some(result), None),
            (Some("null"), _) => (None, Some(error)),
            _both => return None,
        },
        (None, None) => return None,
        one => one,
    };
    let id = envelope.value("id")?;
    if id != "null" && !is_id(id) {
        return None;
    }
    let places = [
        (Place::Id, envelope.place("id")),
        (Place::Result, result),
        (Place::Error, error),
    ];
    Some(Sound {
        kind: Kind::Response,
        method: None,
        places: there(places),
        is_modern: false,
        has_tools: false,
        related_task: None,
    })
}

fn request(envelope: &Object<'_>) -> Option<Sound> {
    let method = envelope.value("method").and_then(json::string)?;
    let id = envelope.value("id");
    if id.is_some_and(|id| !is_id(id)) {
        return None;
    }
    let mut sound = Sound {
        kind: if id.is_some() {
            Kind::Request
        } else {
            Kind::Notification
        },
        method: Some(method),
        places: there([(Place::Id, envelope.place("id"))]),
        is_modern: false,
        has_tools: false,
        related_task: None,
    };
    let params = envelope.place("params");
    if let Some(params) = params.and_then(|params| Object::at(envelope.text, params)) {
        read_params(&params, &mut sound)?;
    }
    Some(sound)
}

fn read_params(params: &Object<'_>, sound: &mut Sound) -> Option<()> {
    let names: Vec<&str> = IN_PARAMS.iter().map(|(name, _)| *name).collect();
    if params.is_doubled(&names) || params.is_doubled(&["_meta", "tools"]) {
        return None;
    }
    sound.has_tools = params.present("tools").is_some();
    let meta = params
        .place("_meta")
        .and_then(|meta| Object::at(params.text, meta));
    if let Some(meta) = meta {
        read_meta(&meta, sound)?;
    }
    let places = IN_PARAMS.map(|(name, place)| {
        let method_of_it = [
            (Place::Token, "notifications/progress"),
            (Place::RequestId, "notifications/cancelled"),
        ];
        let is_meant = method_of_it
            .iter()
            .all(|(known, method)| *known != place || sound.method.as_deref() == Some(method));
        (place, params.present(name).filter(|_| is_meant))
    });
    sound.places.extend(there(places));
    let mut ids = sound
        .places
        .iter()
        .filter(|(place, _)| matches!(place, Place::MetaToken | Place::Token | Place::RequestId));
    ids.all(|(_, range)| is_id(&params.text[range.clone()]))
        .then_some(())
}

fn read_meta(meta: &Object<'_>, sound: &mut Sound) -> Option<()> {
    let [token, task, version, capabilities] = [
        "progressToken",
        "io.modelcontextprotocol/related-task",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
    ];
    let others = [
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/logLevel",
    ];
    if meta.is_doubled(&[token, task, version, capabilities]) || meta.is_doubled(&others) {
        return None;
    }
    sound
        .places
        .extend(there([(Place::MetaToken, meta.present(token))]));
    sound.is_modern = meta.present(version).is_some() || meta.present(capabilities).is_some();
    if let Some(task) = meta
        .place(task)
        .and_then(|task| Object::at(meta.text, task))
    {
        if task.is_doubled(&["taskId"]) {
            return None;
        }
        let id = task.value("taskId").filter(|id| is_id(id));
        sound.related_task = id.map(str::to_owned);
    }
    Some(())
}

/// Those that are there.
fn there<const N: usize>(places: [(Place, Option<Range<usize>>); N]) -> Vec<(Place, Range<usize>)> {
    let places = places.into_iter();
    places
        .filter_map(|(place, range)| Some((place, range?)))
        .collect()
}
