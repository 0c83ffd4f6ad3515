//! What every request must say of its client.

use serde_json::{Map, Value, json};

use crate::{
    deed,
    message::{Fault, text},
};

/// The only version that this flavour speaks.
pub(crate) const VERSION: &str = "2026-07-28";

/// A request's word of who makes it.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) capabilities: &'a Map<String, Value>,
    /// From which level on log messages are wanted; none are without one.
    pub(crate) level: Option<&'static str>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn open(
        method: &str,
        params: &'a Map<String, Value>,
    ) -> Result<Envelope<'a>, Fault> {
        let key = |name: &str| format!("io.modelcontextprotocol/{name}");
        let missing = |name: &str| Fault::invalid_params(format_args!("`_meta` has no `{name}`"));
        let meta = params.get("_meta").and_then(Value::as_object);
        let version = meta.and_then(|meta| meta.get(&key("protocolVersion")));
        if method == "initialize" && version.is_none() {
            // A client of another era is told which one this is.
            return Err(unsupported(text(params, "protocolVersion")));
        }
        let version = version.and_then(Value::as_str);
        let version = version.ok_or_else(|| missing("protocolVersion"))?;
        if version != VERSION {
            return Err(unsupported(version));
        }
        let capabilities = meta.and_then(|meta| meta.get(&key("clientCapabilities")));
        let capabilities = capabilities.and_then(Value::as_object);
        let level = meta.and_then(|meta| meta.get(&key("logLevel")));
        Ok(Envelope {
            capabilities: capabilities.ok_or_else(|| missing("clientCapabilities"))?,
            level: level.and_then(Value::as_str).and_then(deed::level),
        })
    }
}

fn unsupported(requested: &str) -> Fault {
    let words = format_args!("version `{requested}` is not supported");
    Fault::new(-32022, words).with(json!({"supported": [VERSION], "requested": requested}))
}
