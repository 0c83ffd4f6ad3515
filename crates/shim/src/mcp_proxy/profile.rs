//! A profile of mcp-proxy, as the program says it that can read its file.
//!
//! We read no TOML: `mcpoold` does, and says what it has found in fields of `key=value`, as in a preface.

use std::{error, fmt, os::unix::ffi::OsStrExt, path::PathBuf, process::Command, str};

use crate::{
    fields::{self, os_string},
    sibling,
};

/// With this word before the name of a profile, `mcpoold` says what is in it; an error is on its stderr. No
/// person says that.
pub const VERB: &str = "mcp-proxy-profile";

/// How a daemon is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Where it is.
    pub url: Option<String>,
    /// What it is told when it is reached; secrets.
    pub headers: Vec<(String, String)>,
    /// A file of certificates that alone vouch for it.
    pub ca_cert: Option<PathBuf>,
}

impl fmt::Debug for Profile {
    /// All of it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

/// It is no profile, or cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadProfile;

impl fmt::Display for BadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the profile has something in it that cannot be told")
    }
}

impl error::Error for BadProfile {}

impl Profile {
    /// All of it in one piece.
    ///
    /// Errors if a value contains a NUL.
    pub fn encode(&self) -> Result<Vec<u8>, BadProfile> {
        let mut said = Vec::new();
        let mut field = |key: &str, parts: &[&[u8]]| {
            fields::write(&mut said, key, parts).map_err(|_| BadProfile)
        };
        if let Some(url) = &self.url {
            field("url", &[url.as_bytes()])?;
        }
        for (name, value) in &self.headers {
            field("header", &[name.as_bytes(), b"=", value.as_bytes()])?;
        }
        if let Some(file) = &self.ca_cert {
            field("ca_cert", &[file.as_os_str().as_bytes()])?;
        }
        // By which it is known that nothing is cut off.
        field("end", &[])?;
        Ok(said)
    }

    /// Reads all of it.
    pub fn decode(said: &[u8]) -> Result<Self, BadProfile> {
        let whole = said.strip_suffix(b"end=\0").ok_or(BadProfile)?;
        let mut profile = Profile::default();
        let Some(whole) = whole.strip_suffix(b"\0") else {
            return if whole.is_empty() {
                Ok(profile)
            } else {
                Err(BadProfile)
            };
        };
        let text = |bytes| {
            str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| BadProfile)
        };
        for field in fields::read(whole) {
            match field.ok_or(BadProfile)? {
                (b"url", value) => profile.url = Some(text(value)?),
                (b"header", value) => {
                    let (name, value) = fields::halves(value).ok_or(BadProfile)?;
                    profile.headers.push((text(name)?, text(value)?));
                }
                (b"ca_cert", value) => profile.ca_cert = Some(os_string(value).into()),
                _ => {}
            }
        }
        Ok(profile)
    }
}

/// What is in the profile of this name; the error is for a person.
pub(super) fn read(name: &str) -> Result<Profile, String> {
    let program = sibling::path(sibling::DAEMON).map_err(|error| error.to_string())?;
    let said = Command::new(&program).args([VERB, name]).output();
    let said = said.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr);
        return Err(why.trim().trim_start_matches("mcpool: ").to_owned());
    }
    Profile::decode(&said.stdout).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_told_in_one_form_for_ever() {
        let profile = Profile {
            url: Some("wss://h:8420/mcp".into()),
            headers: vec![("Authorization".into(), "Bearer a=b".into())],
            ca_cert: Some("/home/ada/ca.crt".into()),
        };
        let told = b"url=wss://h:8420/mcp\0header=Authorization=Bearer a=b\0ca_cert=/home/ada/ca.crt\0end=\0";
        assert_eq!(profile.encode().unwrap(), told);
        assert_eq!(Profile::decode(told), Ok(profile));
        let nothing = Profile::default();
        assert_eq!(Profile::decode(&nothing.encode().unwrap()), Ok(nothing));
    }

    #[test]
    fn what_is_cut_off_or_broken_is_none() {
        for told in [
            &b""[..],
            b"url=x\0",
            b"url\0end=\0",
            b"header=x\0end=\0",
            b"url=\xff\0end=\0",
        ] {
            assert_eq!(Profile::decode(told), Err(BadProfile), "{told:?}");
        }
    }
}
