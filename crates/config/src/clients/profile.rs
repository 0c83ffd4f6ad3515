//! A profile of mcp-proxy: a table by its name, with where a daemon is and what it is told.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

use super::{
    grammar::{Grammar, Unreadable},
    tree::{Node, Value},
};

/// One profile; what it does not say is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Where the daemon is.
    pub url: Option<String>,
    /// What it is told; secrets.
    pub headers: BTreeMap<String, String>,
    /// A file of certificates that alone vouch for it.
    pub ca_cert: Option<String>,
}

impl fmt::Debug for Profile {
    /// All of it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

/// Why a text has no such profile in it.
#[derive(Debug, Error)]
pub enum BadProfile {
    /// It is no TOML.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A value of another type.
    #[error("`{key}` must be {expected}")]
    WrongType {
        /// Where it stands.
        key: String,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The profile of this name, as far as the text has one.
pub fn profile(text: &str, name: &str) -> Result<Profile, BadProfile> {
    let tree = Grammar::Toml.read(text)?;
    let Some(table) = tree.get(name) else {
        return Ok(Profile::default());
    };
    let headers = table.get("headers");
    let headers = headers.map(|headers| match &headers.value {
        Value::Map(members) => members
            .iter()
            .map(|member| {
                let key = format!("{name}.headers.{}", member.key);
                Ok((member.key.clone(), string(&member.node, key)?))
            })
            .collect(),
        Value::Text(_) | Value::Other(_) | Value::List(_) => Err(BadProfile::WrongType {
            key: format!("{name}.headers"),
            expected: "a table",
        }),
    });
    let text = |key: &str| {
        let node = table.get(key);
        node.map(|node| string(node, format!("{name}.{key}")))
            .transpose()
    };
    Ok(Profile {
        url: text("url")?.filter(|url| !url.is_empty()),
        headers: headers.transpose()?.unwrap_or_default(),
        ca_cert: text("ca_cert")?.filter(|file| !file.is_empty()),
    })
}

fn string(node: &Node, key: String) -> Result<String, BadProfile> {
    match node.text() {
        Some(text) => Ok(text.to_owned()),
        None => Err(BadProfile::WrongType {
            key,
            expected: "a string",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        [quarry]\nurl = \"wss://q.example:8420/mcp\"\nca_cert = \"/home/ada/ca.crt\"\n\
        [quarry.headers]\nAuthorization = \"Bearer ${x}\"\n\
        [headers-only.headers]\nX-Key = \"1\"\n";

    #[test]
    fn a_profile_is_what_stands_under_its_name() {
        let quarry = profile(TEXT, "quarry").unwrap();
        assert_eq!(quarry.url.as_deref(), Some("wss://q.example:8420/mcp"));
        assert_eq!(quarry.ca_cert.as_deref(), Some("/home/ada/ca.crt"));
        // Nothing is filled in.
        assert_eq!(quarry.headers["Authorization"], "Bearer ${x}");
        let other = profile(TEXT, "headers-only").unwrap();
        assert_eq!((other.url, other.headers.len()), (None, 1));
        assert!(profile(TEXT, "nothing").unwrap() == Profile::default());
        assert!(profile("", "quarry").unwrap() == Profile::default());
    }

    #[test]
    fn what_is_no_profile_is_told_with_its_key() {
        for (text, key) in [
            ("[q]\nurl = 1\n", "`q.url`"),
            ("[q]\nheaders = \"x\"\n", "`q.headers`"),
            ("[q.headers]\nA = 1\n", "`q.headers.A`"),
        ] {
            let error = profile(text, "q").err().unwrap().to_string();
            assert!(error.contains(key), "{error}");
        }
        assert!(matches!(profile("[q", "q"), Err(BadProfile::Unreadable(_))));
    }
}
