//! A request that its upstream may answer with an ask: what is known of it before it goes.

use alloc::sync::Arc;

use wire::{Frame, Message, Method};

use crate::{
    event::CallRules,
    lanes::{Manner, Tool, tool_key},
    once::OnceCall,
    wishes::log_level_of,
};

/// A call that its upstream may answer with an ask, and how it has to run.
pub(crate) struct Askable {
    pub(crate) tool: Tool,
    pub(crate) manner: Manner,
    /// What it uses that no other call may use at the same time.
    pub(crate) device: Option<Arc<str>>,
    /// By what its repeats are known.
    pub(crate) once: Option<OnceCall>,
}

/// A request that its upstream may answer with an ask, before it is known how it has to run.
pub(crate) struct Call {
    pub(crate) tool: Tool,
    /// Whether it says itself that it wants log messages (2026-07-28).
    pub(crate) wants_log: bool,
    /// What it uses that no other call may use at the same time.
    pub(crate) device: Option<Arc<str>>,
    /// By what it and its repeats are known.
    pub(crate) once: Option<OnceCall>,
}

impl Call {
    /// What the upstream may ask because of this request, if it is a call at all, and what the configuration
    /// has to say of it.
    pub(crate) fn of(frame: &Frame, rules: &CallRules) -> Option<Self> {
        let Message::Request { method, params, .. } = &frame.message else {
            return None;
        };
        if !method.is_askable() {
            return None;
        }
        // Resources are many and alike; one conduct serves all.
        let named = params
            .name
            .as_ref()
            .filter(|_| *method != Method::ResourcesRead);
        let name = named.and_then(|span| frame.text(span));
        let mut call = Call {
            tool: tool_key(method, name.as_deref().unwrap_or_default()),
            wants_log: log_level_of(frame).is_some(),
            device: None,
            once: None,
        };
        if *method == Method::ToolsCall {
            let device = rules.device.as_ref();
            let device = device.filter(|device| device.is_used_by(&call.tool));
            call.device = device.map(|device| device.name.clone());
            let once = rules.once.as_ref();
            call.once = once.and_then(|rule| rule.call(&call.tool, frame, params));
        }
        Some(call)
    }
}
