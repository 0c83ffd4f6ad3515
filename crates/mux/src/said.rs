//! What a request of the modern era must say (2026-07-28), for whoever looks at it first: an edge that compares it with
//! headers, or the core.

use alloc::boxed::Box;

use wire::{Frame, Method, Params, Span, meta_name};

use crate::refusal::Refusal;

/// The version that a request says it is of.
pub fn said_version(frame: &Frame, params: &Params) -> Result<Box<str>, Refusal> {
    let said = params.modern.as_ref();
    let version = said.and_then(|said| said.version.as_ref());
    let version = version.and_then(|span| frame.text(span));
    let version = version.ok_or(missing(meta_name::VERSION))?;
    Ok(version.into())
}

/// Whether a request of the version that is spoken here says all that it must say of its sender.
pub fn check_sender(frame: &Frame, params: &Params) -> Result<(), Refusal> {
    let Some(said) = params.modern.as_ref() else {
        return Err(missing(meta_name::VERSION));
    };
    let is_object = |span: &Span| frame.json(span).starts_with('{');
    let is_text = |span: &Span| frame.text(span).is_some();
    if !said.capabilities.as_ref().is_some_and(is_object) {
        return Err(missing(meta_name::CAPABILITIES));
    }
    if !said.client_info.as_ref().is_none_or(is_object) {
        return Err(missing(meta_name::CLIENT));
    }
    if !said.log_level.as_ref().is_none_or(is_text) {
        return Err(missing(meta_name::LOG_LEVEL));
    }
    Ok(())
}

/// Refuses what older versions have and this one has no more: a server of an older one would do something.
pub fn check_method(method: &Method) -> Result<(), Refusal> {
    let is_gone = matches!(
        method,
        Method::Initialize
            | Method::Ping
            | Method::SetLevel
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
    );
    if is_gone {
        let method = method.clone();
        return Err(Refusal::NoSuchMethod { method });
    }
    Ok(())
}

fn missing(name: &'static str) -> Refusal {
    Refusal::BadMeta { name }
}
