//! The mark of a request: whatever is said because of it carries it, too.
//!
//! A test puts it into the `_meta` of what it asks. If an answer, a question or a notification then comes
//! out at another client, that client sees whose it is.
//!
//! **Invariant:** a message carries the mark of the request that its thread is at work on, or none.

use std::cell::RefCell;

use serde_json::{Value, json};

/// Where it stands in `_meta`, and in the data of an error, which has no `_meta`.
const MEMBER: &str = "it.mcpool/canary";

/// What mcpool asks for all of its sessions at once, or answers itself.
const FOR_ALL: [&str; 5] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

thread_local! {
    static MARK: RefCell<Option<Value>> = const { RefCell::new(None) };
}

/// From now on this thread is at work on a request with these parameters.
pub(crate) fn begin(method: &str, params: &Value) {
    // What a server offers is the same for all, and mcpool keeps it for others.
    let is_for_all = FOR_ALL.contains(&method) || method.ends_with("/list");
    let mark = params.get("_meta").and_then(|meta| meta.get(MEMBER));
    MARK.set(mark.filter(|_| !is_for_all).cloned());
}

/// Parameters or a result with the mark.
pub(crate) fn added(part: &Value) -> Value {
    let mut part = part.clone();
    if let Some(mark) = MARK.with_borrow(Option::clone) {
        part["_meta"][MEMBER] = mark;
    }
    part
}

/// What an error says besides, if there is a mark.
pub(crate) fn data() -> Option<Value> {
    let mark = MARK.with_borrow(Option::clone)?;
    Some(json!({MEMBER: mark}))
}
