//! What a server's process gets of its session's environment.
//!
//! **Invariant:** a variable reaches a server only if it is on the list below, or if the user named
//! it; and only what the user named is part of the share key.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    sync::Arc,
};

use config::{EnvArgument, EnvPattern, looks_like_credential};

/// What every server gets, with the values of the session that starts it.
const AMBIENT: [&str; 24] = [
    "ALL_PROXY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "PATH",
    "SHELL",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "WAYLAND_DISPLAY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Beginnings of further names that every server gets.
const AMBIENT_FAMILIES: [&str; 2] = ["LC_", "XDG_"];

/// Names of withheld credentials that are told; more would hide them all.
const WITHHELD_MAX: usize = 20;

/// Whether every server gets this variable.
pub(crate) fn is_ambient(name: &OsStr) -> bool {
    let name = name.as_bytes();
    AMBIENT.iter().any(|ambient| ambient.as_bytes() == name)
        || AMBIENT_FAMILIES
            .iter()
            .any(|family| name.starts_with(family.as_bytes()))
}

/// Takes the ambient variables out of an environment. Of a doubled name the first counts, as for
/// `getenv`.
pub(crate) fn ambient(environment: &[(OsString, OsString)]) -> BTreeMap<OsString, OsString> {
    let mut ambient = BTreeMap::new();
    for (name, value) in environment {
        if is_ambient(name) {
            ambient.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    ambient
}

/// What is passed by name: patterns take from the session, `NAME=VALUE` sets.
pub(crate) fn passed<'a>(
    environment: &[(OsString, OsString)],
    patterns: &'a [EnvPattern],
    arguments: &'a [EnvArgument],
) -> BTreeMap<OsString, OsString> {
    let mut passed = BTreeMap::new();
    let from_arguments = arguments.iter().filter_map(|argument| match argument {
        EnvArgument::Pass(pattern) => Some(pattern),
        EnvArgument::Set { .. } => None,
    });
    for (name, value) in environment {
        let mut patterns = patterns.iter().chain(from_arguments.clone());
        if patterns.any(|pattern| pattern.matches(name)) {
            passed.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    for argument in arguments {
        match argument {
            EnvArgument::Pass(_) => {}
            EnvArgument::Set { name, value } => {
                passed.insert(name.into(), value.clone());
            }
        }
    }
    passed
}

/// The variables of a session that look like credentials and that its server does not get.
///
/// `known` are the names that the server gets or that its configuration makes use of.
pub(crate) fn withheld(
    environment: &[(OsString, OsString)],
    known: &BTreeSet<&OsStr>,
) -> Vec<Arc<str>> {
    let names: BTreeSet<&str> = environment
        .iter()
        .filter(|(name, value)| {
            !value.is_empty() && !is_ambient(name) && !known.contains(name.as_os_str())
        })
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| looks_like_credential(name))
        .collect();
    names
        .into_iter()
        .take(WITHHELD_MAX)
        .map(Arc::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn names(variables: &BTreeMap<OsString, OsString>) -> Vec<&str> {
        variables
            .keys()
            .map(|name| name.to_str().unwrap())
            .collect()
    }

    #[test]
    fn only_what_is_on_the_list_is_ambient() {
        let session = environment(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("XDG_RUNTIME_DIR", "/run"),
            ("https_proxy", "http://p"),
            ("GITHUB_TOKEN", "t"),
            ("CLAUDE_SESSION", "7"),
            ("PATHOLOGY", "x"),
            ("NODE_OPTIONS", "--x"),
            ("LD_PRELOAD", "x"),
            ("PATH", "/second"),
        ]);
        let ambient = ambient(&session);
        assert_eq!(
            names(&ambient),
            ["LC_ALL", "PATH", "XDG_RUNTIME_DIR", "https_proxy"]
        );
        assert_eq!(ambient[OsStr::new("PATH")], "/bin");
    }

    #[test]
    fn patterns_pass_what_the_session_has_and_settings_win() {
        let session = environment(&[("AWS_KEY", "k"), ("AWS_REGION", "r"), ("OTHER", "o")]);
        let configured: Vec<EnvPattern> =
            vec!["AWS_*".parse().unwrap(), "MISSING".parse().unwrap()];
        let arguments = [
            EnvArgument::parse(OsStr::new("AWS_REGION=mine")).unwrap(),
            EnvArgument::parse(OsStr::new("OTHER")).unwrap(),
        ];
        let passed = passed(&session, &configured, &arguments);
        assert_eq!(names(&passed), ["AWS_KEY", "AWS_REGION", "OTHER"]);
        assert_eq!(passed[OsStr::new("AWS_REGION")], "mine");
    }

    #[test]
    fn a_credential_that_is_neither_passed_nor_named_is_withheld_and_told() {
        let session = environment(&[
            ("GITHUB_TOKEN", "t"),
            ("OPENAI_API_KEY", "k"),
            ("EMPTY_TOKEN", ""),
            ("SSH_AUTH_SOCK", "/s"),
            ("EDITOR", "vi"),
        ]);
        let known = BTreeSet::from([OsStr::new("GITHUB_TOKEN")]);
        assert_eq!(withheld(&session, &known), [Arc::from("OPENAI_API_KEY")]);
    }
}
