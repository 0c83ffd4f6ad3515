//! How far an inquiry has come, in the client's keeping.
//!
//! **Invariant:** what was changed on the way, or belongs to another tool, is not opened.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{inquiry::Answers, message::Fault};

/// No secret: it has to be the same for the process that comes after this one.
const KEY: &[u8] = b"mcpool conformance server";

/// What was answered so far.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    /// The round that is open.
    pub(crate) round: usize,
    pub(crate) answers: Answers,
}

impl Progress {
    pub(crate) fn sealed(&self, name: &str) -> String {
        // Numbers and texts always have a form in JSON.
        let open = serde_json::to_vec(self).unwrap_or_default();
        let sum = seal(name, &open).map(|seal| seal.finalize().into_bytes());
        let sum = sum
            .map(|sum| URL_SAFE_NO_PAD.encode(sum))
            .unwrap_or_default();
        format!("{}.{sum}", URL_SAFE_NO_PAD.encode(open))
    }

    pub(crate) fn unsealed(sealed: &str, name: &str) -> Result<Progress, Fault> {
        let opened = || {
            let (open, sum) = sealed.split_once('.')?;
            let open = URL_SAFE_NO_PAD.decode(open).ok()?;
            let sum = URL_SAFE_NO_PAD.decode(sum).ok()?;
            seal(name, &open)?.verify_slice(&sum).ok()?;
            serde_json::from_slice(&open).ok()
        };
        opened().ok_or_else(|| Fault::invalid_params("`requestState` is not what was given out"))
    }
}

fn seal(name: &str, open: &[u8]) -> Option<Hmac<Sha256>> {
    let mut seal = Hmac::<Sha256>::new_from_slice(KEY).ok()?;
    seal.update(name.as_bytes());
    seal.update(b"\0");
    seal.update(open);
    Some(seal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_out_is_opened_for_the_same_tool_and_nothing_else_is() {
        let answers = json!({"a": 1}).as_object().unwrap().clone();
        let sealed = Progress { round: 1, answers }.sealed("tool");
        let opened = Progress::unsealed(&sealed, "tool").unwrap();
        assert_eq!((opened.round, &opened.answers["a"]), (1, &json!(1)));
        assert!(Progress::unsealed(&sealed, "other").is_err());
        assert!(Progress::unsealed(&format!("{sealed}-TAMPERED"), "tool").is_err());
        let forged = URL_SAFE_NO_PAD.encode(br#"{"round":2,"answers":{}}"#);
        let (_open, sum) = sealed.split_once('.').unwrap();
        assert!(Progress::unsealed(&format!("{forged}.{sum}"), "tool").is_err());
    }
}
