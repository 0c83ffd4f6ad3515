//! The few members of `params` that decide where a message goes.

use alloc::{borrow::Cow, boxed::Box};
use core::ops::Range;

use crate::{
    id::{ProgressToken, RequestId},
    meta_name,
    method::Method,
    skim::members,
};

/// Where a value stands in its frame, in bytes.
pub type Span = Range<usize>;

/// What a pooler reads of the parameters of a request or notification.
///
/// Every member is optional here; who needs one says so. Doubled members are refused, as a peer
/// might read the other one (CVE-2026-27896, GHSA-4gph-2hhr-5mwg).
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// Where they stand, if they are an object.
    pub at: Option<Span>,
    /// Where their `_meta` stands, if it is an object.
    pub meta: Option<Span>,
    /// `_meta.progressToken`: the sender wants progress.
    pub meta_token: Option<(ProgressToken, Span)>,
    /// `_meta["io.modelcontextprotocol/related-task"].taskId`, as JSON text.
    pub related_task: Option<RequestId>,
    /// What `_meta` says as messages of the modern era do; `None` if it names neither a version nor capabilities.
    pub modern: Option<Box<Modern>>,
    /// `progressToken` of `notifications/progress`.
    pub token: Option<(ProgressToken, Span)>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<(RequestId, Span)>,
    /// `name` of a tool or prompt.
    pub name: Option<Span>,
    /// `uri` of a resource.
    pub uri: Option<Span>,
    /// `level` of a log message or of `logging/setLevel`.
    pub level: Option<Span>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Span>,
    /// `capabilities` of `initialize`.
    pub capabilities: Option<Span>,
    /// `clientInfo` of `initialize`.
    pub client_info: Option<Span>,
    /// `elicitationId` of an elicitation by address.
    pub elicitation_id: Option<Span>,
    /// `mode` of an elicitation.
    pub mode: Option<Span>,
    /// Whether `tools` of a sampling request stands there.
    pub has_tools: bool,
}

/// What each request of the modern era says of its sender (2026-07-28, `_meta`).
///
/// Each member may be missing or be of the wrong type: who needs one says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modern {
    /// `io.modelcontextprotocol/protocolVersion`.
    pub version: Option<Span>,
    /// `io.modelcontextprotocol/clientCapabilities`.
    pub capabilities: Option<Span>,
    /// `io.modelcontextprotocol/clientInfo`.
    pub client_info: Option<Span>,
    /// `io.modelcontextprotocol/logLevel`: from which severity on log messages are wanted.
    pub log_level: Option<Span>,
}

/// A value, unless its name has come before.
type Member<'a> = Option<&'a str>;

/// Puts the members of an object into their slots.
fn sort<'a>(
    object: &'a str,
    slots: &mut [(&str, Member<'a>)],
    doubled: &'static str,
) -> Result<(), &'static str> {
    let mut is_doubled = false;
    let read = members(object, |name, value| {
        let name = name.text();
        let slot = slots
            .iter_mut()
            .find(|(known, _)| Some(*known) == name.as_deref());
        if let Some((_, member)) = slot {
            is_doubled |= member.replace(value).is_some();
        }
    });
    if is_doubled || read.is_err() {
        Err(doubled)
    } else {
        Ok(())
    }
}

/// What a slot holds; a `null` is as good as nothing.
fn present<'a>((_, member): (&str, Member<'a>)) -> Member<'a> {
    member.filter(|value| *value != "null")
}

impl Params {
    /// Reads the parameters that stand at `params` of `frame`. Anything but an object has none of ours.
    pub(crate) fn read(frame: &str, params: &str, method: &Method) -> Result<Self, &'static str> {
        if !params.starts_with('{') {
            return Ok(Params::default());
        }
        let mut slots = [
            ("_meta", None),
            ("progressToken", None),
            ("requestId", None),
            ("name", None),
            ("uri", None),
            ("level", None),
            ("protocolVersion", None),
            ("capabilities", None),
            ("clientInfo", None),
            ("elicitationId", None),
            ("mode", None),
            ("tools", None),
        ];
        sort(
            params,
            &mut slots,
            "a member of `params` stands there twice",
        )?;
        let [meta, token, request_id, rest @ ..] = slots.map(present);
        let at = |value: Member<'_>| value.map(|value| span(frame, value));
        let [
            name,
            uri,
            level,
            protocol_version,
            capabilities,
            client_info,
            elicitation_id,
            mode,
            tools,
        ] = rest.map(at);
        let mut read = Params {
            at: Some(span(frame, params)),
            // In other messages these names may mean anything.
            token: id_at(frame, token.filter(|_| *method == Method::Progress))?,
            request_id: id_at(frame, request_id.filter(|_| *method == Method::Cancelled))?,
            name,
            uri,
            level,
            protocol_version,
            capabilities,
            client_info,
            elicitation_id,
            mode,
            has_tools: tools.is_some(),
            ..Params::default()
        };
        if let Some(meta) = meta.filter(|meta| meta.starts_with('{')) {
            read.meta = Some(span(frame, meta));
            read.read_meta(frame, meta)?;
        }
        Ok(read)
    }

    fn read_meta(&mut self, frame: &str, meta: &str) -> Result<(), &'static str> {
        let mut slots = [
            (meta_name::PROGRESS_TOKEN, None),
            (meta_name::RELATED_TASK, None),
            (meta_name::VERSION, None),
            (meta_name::CAPABILITIES, None),
            (meta_name::CLIENT, None),
            (meta_name::LOG_LEVEL, None),
        ];
        sort(meta, &mut slots, "a member of `_meta` stands there twice")?;
        let [token, related_task, modern @ ..] = slots.map(present);
        self.meta_token = id_at(frame, token)?;
        let [version, capabilities, client_info, log_level] =
            modern.map(|value| value.map(|value| span(frame, value)));
        if version.is_some() || capabilities.is_some() {
            self.modern = Some(Box::new(Modern {
                version,
                capabilities,
                client_info,
                log_level,
            }));
        }
        if let Some(related_task) = related_task.filter(|task| task.starts_with('{')) {
            let mut slots = [("taskId", None)];
            sort(
                related_task,
                &mut slots,
                "a member of `related-task` stands there twice",
            )?;
            let [task_id] = slots.map(present);
            self.related_task = task_id.and_then(RequestId::from_json);
        }
        Ok(())
    }
}

/// The text of a JSON string, escapes resolved; `None` if it is no string or holds half a character.
pub(crate) fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    resolved(json, inner.contains('\\'))
}

/// The same where it is known whether there are escapes in it.
pub(crate) fn resolved(json: &str, has_escapes: bool) -> Option<Cow<'_, str>> {
    if has_escapes {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    Some(Cow::Borrowed(inner))
}

/// Where `part`, a slice of `whole`, begins and ends.
pub(crate) fn span(whole: &str, part: &str) -> Span {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn id_at(frame: &str, value: Option<&str>) -> Result<Option<(RequestId, Span)>, &'static str> {
    let Some(value) = value else { return Ok(None) };
    let id = RequestId::from_json(value)
        .ok_or("an id or token must be a string or a number of at most 1 KiB")?;
    Ok(Some((id, span(frame, value))))
}
