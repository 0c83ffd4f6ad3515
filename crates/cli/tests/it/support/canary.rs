//! What must never come out anywhere: I8 of `faults.md`, for every test.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// A secret in the environment of every shim and every verb. Nobody has asked for it to be passed on.
pub(crate) const SECRET: &str = "canary-of-the-environment-6c1f";

/// The variable that it is in; its name alone makes it one that is withheld.
pub(crate) const SECRET_NAME: &str = "UNASKED_API_KEY";

/// A secret that tests pass to a server. It comes out nowhere else.
pub(crate) const PASSED: &str = "canary-of-what-was-passed-b27d";

/// What every request and notification of a client carries, followed by the client's number and a dot. The
/// scripted server repeats it in what it says because of that, unless it says it to all.
pub(crate) const PAYLOAD: &str = "canary-of-a-payload-";

/// Where in a request it stands.
const MEMBER: &str = "it.mcpool/canary";

/// How many clients there have been in all tests.
static CLIENTS: AtomicU64 = AtomicU64::new(0);

/// The number of a new client: no other has it.
pub(crate) fn new_client() -> u64 {
    CLIENTS.fetch_add(1, Ordering::Relaxed)
}

/// The canary of one client.
pub(crate) fn of_client(client: u64) -> String {
    format!("{PAYLOAD}{client}.")
}

/// A member of `_meta`, as it is written, with the canary of one client.
pub(crate) fn member_of(client: u64) -> String {
    format!(r#""{MEMBER}":"{}""#, of_client(client))
}

/// A message with the client's canary, if it is a request or a notification that has parameters.
pub(crate) fn marked(mut message: Value, client: u64) -> Value {
    if message.get("method").is_some()
        && let Some(members) = message.get_mut("params").and_then(Value::as_object_mut)
    {
        let meta = members.entry("_meta").or_insert_with(|| json!({}));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert(MEMBER.to_owned(), of_client(client).into());
        }
    }
    message
}

/// The first of these that stands in a text.
pub(crate) fn found<'a>(text: &str, canaries: &[&'a str]) -> Option<&'a str> {
    canaries
        .iter()
        .copied()
        .find(|canary| text.contains(*canary))
}

/// Whether a session was sent what it must not see: a secret, or what another session has said.
fn is_foreign(line: &str, client: u64) -> bool {
    let own = of_client(client);
    line.contains(SECRET)
        || line.contains(PASSED)
        || line
            .match_indices(PAYLOAD)
            .any(|(at, _)| !line[at..].starts_with(&own))
}

/// I8 of `faults.md`: nobody sees a secret, or what another session has said.
#[track_caller]
pub(crate) fn must_be_own(line: &str, client: u64) {
    let is_foreign = is_foreign(line, client);
    assert!(!is_foreign, "I8: session {client} sees {line}");
}
