//! The share key: what must be equal for two sessions to share an upstream.
//!
//! **Invariant:** the encoding is unambiguous. Keys are equal if and only if every part is: each part
//! stands there with its kind and its length.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use mux::Route;

/// The parts of a share key. Capability class and session are added by the core, where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareKey<'a> {
    /// The program, absolute.
    pub(crate) program: &'a Path,
    /// Its arguments, resolved, without the program.
    pub(crate) arguments: &'a [OsString],
    /// The environment that the configuration or the command line declares, resolved.
    pub(crate) declared: &'a BTreeMap<OsString, OsString>,
    /// Where the process starts.
    pub(crate) directory: &'a Path,
    /// The name, if the server is configured; that of an ad-hoc one is a label only.
    pub(crate) configured_name: Option<&'a str>,
    /// The workspace, if that is the scope.
    pub(crate) workspace: Option<&'a Path>,
}

/// The same of a server that runs already.
#[derive(Clone, Debug)]
pub(crate) struct RemoteKey<'a> {
    /// Where.
    pub(crate) url: &'a str,
    /// What it is told with each request.
    pub(crate) headers: &'a [(String, String)],
    /// Who vouches for it.
    pub(crate) ca_cert: Option<&'a Path>,
    pub(crate) configured_name: &'a str,
    /// The workspace, if that is the scope.
    pub(crate) workspace: Option<&'a Path>,
}

impl RemoteKey<'_> {
    pub(crate) fn encode(&self) -> Route {
        let mut key = Vec::new();
        // No other key begins so.
        put(&mut key, b'u', OsStr::new(self.url));
        for (name, value) in self.headers {
            put(&mut key, b'n', OsStr::new(name));
            put(&mut key, b'v', OsStr::new(value));
        }
        if let Some(ca_cert) = self.ca_cert {
            put(&mut key, b't', ca_cert.as_os_str());
        }
        put(&mut key, b'c', OsStr::new(self.configured_name));
        if let Some(workspace) = self.workspace {
            put(&mut key, b'w', workspace.as_os_str());
        }
        Route(key.into())
    }
}

/// One part, with its kind and its length.
fn put(key: &mut Vec<u8>, kind: u8, value: &OsStr) {
    key.push(kind);
    key.extend_from_slice(&(value.len() as u64).to_le_bytes());
    key.extend_from_slice(value.as_bytes());
}

impl ShareKey<'_> {
    pub(crate) fn encode(&self) -> Route {
        let mut key = Vec::new();
        let mut put = |kind: u8, value: &OsStr| put(&mut key, kind, value);
        put(b'p', self.program.as_os_str());
        for argument in self.arguments {
            put(b'a', argument);
        }
        for (name, value) in self.declared {
            put(b'n', name);
            put(b'v', value);
        }
        put(b'd', self.directory.as_os_str());
        if let Some(name) = self.configured_name {
            put(b'c', OsStr::new(name));
        }
        if let Some(workspace) = self.workspace {
            put(b'w', workspace.as_os_str());
        }
        Route(key.into())
    }

    /// The key without what depends on where one looks, the program's path and the folder: a session that runs
    /// its server itself looks for the program in its own `PATH`, and a daemon that comes later may do so in
    /// another, on behalf of the same session.
    pub(crate) fn without_found(&self) -> Self {
        ShareKey {
            program: Path::new(""),
            directory: Path::new(""),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::ffi::OsStringExt, path::PathBuf};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Parts {
        program: PathBuf,
        arguments: Vec<OsString>,
        declared: BTreeMap<OsString, OsString>,
        directory: PathBuf,
        configured_name: Option<String>,
        workspace: Option<PathBuf>,
    }

    impl Parts {
        fn key(&self) -> ShareKey<'_> {
            ShareKey {
                program: &self.program,
                arguments: &self.arguments,
                declared: &self.declared,
                directory: &self.directory,
                configured_name: self.configured_name.as_deref(),
                workspace: self.workspace.as_deref(),
            }
        }

        fn encode(&self) -> Route {
            self.key().encode()
        }

        /// The same, found elsewhere.
        fn elsewhere(&self) -> Self {
            Parts {
                program: "/elsewhere/server".into(),
                directory: "/elsewhere".into(),
                ..self.clone()
            }
        }
    }

    #[test]
    fn a_key_without_what_was_found_is_encoded_in_one_form_for_ever() {
        let parts = Parts {
            program: "/bin/echo-server".into(),
            arguments: vec!["-x".into()],
            declared: BTreeMap::from([("A".into(), "b".into())]),
            directory: "/w".into(),
            configured_name: Some("echo".into()),
            workspace: Some("/w".into()),
        };
        let expected =
            b"p\0\0\0\0\0\0\0\0a\x02\0\0\0\0\0\0\0-xn\x01\0\0\0\0\0\0\0Av\x01\0\0\0\0\0\0\0b\
            d\0\0\0\0\0\0\0\0c\x04\0\0\0\0\0\0\0echow\x02\0\0\0\0\0\0\0/w";
        assert_eq!(&*parts.key().without_found().encode().0, expected);
    }

    impl Parts {
        /// Every text of it, in a fixed order, but for the names of variables: two of them may become one.
        fn texts(&self) -> impl Iterator<Item = &OsStr> {
            let paths = [self.program.as_os_str(), self.directory.as_os_str()];
            let workspace = self.workspace.as_deref().map(Path::as_os_str);
            let texts = self.arguments.iter().chain(self.declared.values());
            paths
                .into_iter()
                .chain(workspace)
                .chain(texts.map(OsString::as_os_str))
        }

        /// The same with some bits of one byte turned over.
        fn altered(mut self, mut at: usize, bits: u8) -> Self {
            let paths = [&mut self.program, &mut self.directory].into_iter();
            let paths = paths
                .chain(self.workspace.as_mut())
                .map(PathBuf::as_mut_os_string);
            let texts = self.arguments.iter_mut().chain(self.declared.values_mut());
            for text in paths.chain(texts) {
                let mut bytes = std::mem::take(text).into_vec();
                let len = bytes.len();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                    at = usize::MAX;
                } else {
                    at = at.saturating_sub(len);
                }
                *text = OsString::from_vec(bytes);
            }
            self
        }
    }

    /// Short texts over few bytes, the kinds among them, so that collisions would be found.
    fn text() -> impl Strategy<Value = OsString> {
        proptest::collection::vec(
            prop_oneof![Just(b'a'), Just(b'p'), Just(0xFF_u8), Just(1), any::<u8>()],
            0..4,
        )
        .prop_map(OsString::from_vec)
    }

    fn parts() -> impl Strategy<Value = Parts> {
        (
            text(),
            proptest::collection::vec(text(), 0..3),
            proptest::collection::btree_map(text(), text(), 0..3),
            text(),
            proptest::option::of("[ac]{0,3}"),
            proptest::option::of(text()),
        )
            .prop_map(
                |(program, arguments, declared, directory, name, workspace)| Parts {
                    program: program.into(),
                    arguments,
                    declared,
                    directory: directory.into(),
                    configured_name: name,
                    workspace: workspace.map(PathBuf::from),
                },
            )
    }

    proptest! {
        #[test]
        fn keys_are_equal_exactly_when_all_parts_are(one in parts(), other in parts()) {
            // Paths compare by components; keys by bytes.
            let bytes_equal = one == other
                && one.program.as_os_str() == other.program.as_os_str()
                && one.directory.as_os_str() == other.directory.as_os_str()
                && one.workspace.as_ref().map(|path| path.as_os_str()) == other.workspace.as_ref().map(|path| path.as_os_str());
            prop_assert_eq!(one.encode() == other.encode(), bytes_equal);
            prop_assert_eq!(one.encode(), one.clone().encode());
        }

        #[test]
        fn without_what_was_found_keys_are_equal_exactly_when_all_else_is(one in parts(), other in parts()) {
            let said = |parts: &Parts| parts.key().without_found().encode();
            prop_assert_eq!(said(&one), said(&one.elsewhere()));
            let is_one_key = one.elsewhere().encode() == other.elsewhere().encode();
            prop_assert_eq!(said(&one) == said(&other), is_one_key);
        }

        #[test]
        fn another_byte_anywhere_is_another_key(one in parts(), at in any::<prop::sample::Index>(), bits in 1_u8..) {
            let bytes = one.texts().map(OsStr::len).sum::<usize>();
            prop_assume!(bytes > 0);
            let other = one.clone().altered(at.index(bytes), bits);
            prop_assert_ne!(one.encode(), other.encode());
        }

        #[test]
        fn one_byte_more_anywhere_is_another_key(one in parts(), which in 0_usize..6) {
            let mut other = one.clone();
            match which {
                0 => other.program.as_mut_os_string().push("x"),
                1 => other.arguments.push("".into()),
                2 => { other.declared.insert("NEW".into(), "".into()); }
                3 => other.directory.as_mut_os_string().push("x"),
                4 => other.configured_name = Some(one.configured_name.clone().unwrap_or_default() + "x"),
                _ => other.workspace = Some(PathBuf::from("/elsewhere")),
            }
            prop_assert_ne!(one.encode(), other.encode());
        }
    }
}
