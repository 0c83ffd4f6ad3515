//! The few members of `params` that decide where a message goes.

use alloc::borrow::Cow;
use core::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::{ProgressToken, RequestId};

/// Where a value stands in its frame, in bytes.
pub type Span = Range<usize>;

/// What a pooler reads of the parameters of a request or notification.
///
/// Every member is optional here; who needs one says so. Doubled members are refused, as a peer
/// might read the other one (CVE-2026-27896, GHSA-4gph-2hhr-5mwg).
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// `_meta.progressToken`: the sender wants progress.
    pub meta_token: Option<(ProgressToken, Span)>,
    /// `_meta["io.modelcontextprotocol/related-task"].taskId`, as JSON text.
    pub related_task: Option<RequestId>,
    /// Whether `_meta` carries a modern protocol version: the message claims to be of the modern era.
    pub modern: bool,
    /// `progressToken` of `notifications/progress`.
    pub token: Option<(ProgressToken, Span)>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<(RequestId, Span)>,
    /// `name`, `uri`, `level`, `protocolVersion` and the like, where they stand.
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

#[derive(Deserialize)]
struct RawParams<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    level: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "protocolVersion")]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "clientInfo")]
    client_info: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "elicitationId")]
    elicitation_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mode: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawMeta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/related-task")]
    related_task: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawRelatedTask<'a> {
    #[serde(borrow, default, rename = "taskId")]
    task_id: Option<&'a RawValue>,
}

impl Params {
    /// Reads the parameters that stand at `params` of `frame`. Anything but an object has none of ours.
    pub(crate) fn read(frame: &str, params: &str) -> Result<Self, &'static str> {
        if !params.starts_with('{') {
            return Ok(Params::default());
        }
        let raw: RawParams<'_> = serde_json::from_str(params)
            .map_err(|_doubled| "a member of `params` stands there twice")?;
        let at = |value: Option<&RawValue>| value.map(|value| span(frame, value.get()));
        let mut read = Params {
            token: id_at(frame, raw.token)?,
            request_id: id_at(frame, raw.request_id)?,
            name: at(raw.name),
            uri: at(raw.uri),
            level: at(raw.level),
            protocol_version: at(raw.protocol_version),
            capabilities: at(raw.capabilities),
            client_info: at(raw.client_info),
            elicitation_id: at(raw.elicitation_id),
            mode: at(raw.mode),
            has_tools: raw.tools.is_some(),
            ..Params::default()
        };
        if let Some(meta) = raw
            .meta
            .map(RawValue::get)
            .filter(|meta| meta.starts_with('{'))
        {
            read.read_meta(frame, meta)?;
        }
        Ok(read)
    }

    fn read_meta(&mut self, frame: &str, meta: &str) -> Result<(), &'static str> {
        let raw: RawMeta<'_> = serde_json::from_str(meta)
            .map_err(|_doubled| "a member of `_meta` stands there twice")?;
        self.meta_token = id_at(frame, raw.token)?;
        self.modern = raw.protocol_version.is_some();
        let related = raw
            .related_task
            .map(RawValue::get)
            .filter(|task| task.starts_with('{'));
        if let Some(related) = related {
            let related: RawRelatedTask<'_> = serde_json::from_str(related)
                .map_err(|_doubled| "a member of `related-task` stands there twice")?;
            self.related_task = related
                .task_id
                .and_then(|id| RequestId::from_json(id.get()));
        }
        Ok(())
    }
}

/// The text of a JSON string, escapes resolved; `None` if it is no string or holds half a character.
pub(crate) fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// Where `part`, a slice of `whole`, begins and ends.
pub(crate) fn span(whole: &str, part: &str) -> Span {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn id_at(frame: &str, value: Option<&RawValue>) -> Result<Option<(RequestId, Span)>, &'static str> {
    let Some(value) = value else { return Ok(None) };
    let id = RequestId::from_json(value.get())
        .ok_or("an id or token must be a string or a number of at most 1 KiB")?;
    Ok(Some((id, span(frame, value.get()))))
}
