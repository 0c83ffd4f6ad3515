//! How a session runs a configured server itself, as the program says that reads the configuration.
//!
//! The shim reads none: it asks `mcpoold`, which finds out what a daemon would have found out for this very
//! session, and says it on its stdout. That is fields of `key=value`, each ended by a NUL, as in a
//! preface; values are raw bytes. Keys that a version does not know are passed over: the two programs may
//! be of different versions.
//!
//! The file mode creation mask is not said: it is the session's own, which its server inherits.
//!
//! **Invariant:** what is cut off is no recipe: the last field must be there, and has an end.

use std::{error, ffi::OsString, fmt, os::unix::ffi::OsStrExt, path::PathBuf};

use crate::{
    direct::LockName,
    fields::{self, os_string, variable},
};

/// With this word before those that follow `mcpool connect`, `mcpoold` says the recipe; an error is one
/// line on its stderr. It starts, locks and writes nothing. No person says that.
pub const VERB: &str = "recipe-of";

/// All that a configured server is started with by a session that runs it itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The lock that a session must have which does so; `None` if the server is shared with nobody.
    pub lock: Option<LockName>,
    /// Absolute.
    pub program: PathBuf,
    /// The whole argument vector, the program's name for itself first.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Absolute.
    pub directory: PathBuf,
}

impl fmt::Debug for Recipe {
    /// Arguments and environment may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("lock", &self.lock)
            .field("program", &self.program)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// It is no recipe, or cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRecipe {
    /// The field that is missing or wrong.
    pub key: &'static str,
}

impl fmt::Display for NoRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "how to run it is told without a usable `{}`", self.key)
    }
}

impl error::Error for NoRecipe {}

impl Recipe {
    /// All of it in one piece.
    ///
    /// Errors if a value contains a NUL, which no program can be started with.
    pub fn encode(&self) -> Result<Vec<u8>, NoRecipe> {
        let mut said = Vec::new();
        if let Some(lock) = &self.lock {
            field(&mut said, "lock", &[lock.as_str().as_bytes()])?;
        }
        field(&mut said, "program", &[self.program.as_os_str().as_bytes()])?;
        for argument in &self.arguments {
            field(&mut said, "arg", &[argument.as_bytes()])?;
        }
        for (name, value) in &self.environment {
            field(&mut said, "env", &[name.as_bytes(), b"=", value.as_bytes()])?;
        }
        // The last one.
        field(&mut said, "cwd", &[self.directory.as_os_str().as_bytes()])?;
        Ok(said)
    }

    /// Reads all of it.
    pub fn decode(said: &[u8]) -> Result<Self, NoRecipe> {
        let (mut lock, mut program, mut directory) = (None, None, None);
        let (mut arguments, mut environment) = (Vec::new(), Vec::new());
        let whole = said.strip_suffix(b"\0").ok_or(NoRecipe { key: "end" })?;
        for field in fields::read(whole) {
            let (key, value) = field.ok_or(NoRecipe { key: "field" })?;
            match key {
                b"lock" => lock = Some(LockName::said(value).ok_or(NoRecipe { key: "lock" })?),
                b"program" => program = Some(os_string(value).into()),
                b"arg" => arguments.push(os_string(value)),
                b"env" => {
                    environment.push(variable(value).ok_or(NoRecipe { key: "env" })?);
                }
                b"cwd" => directory = Some(os_string(value).into()),
                _ => {}
            }
        }
        if arguments.is_empty() {
            return Err(NoRecipe { key: "arg" });
        }
        Ok(Recipe {
            lock,
            program: program.ok_or(NoRecipe { key: "program" })?,
            arguments,
            environment,
            directory: directory.ok_or(NoRecipe { key: "cwd" })?,
        })
    }
}

fn field(said: &mut Vec<u8>, key: &'static str, parts: &[&[u8]]) -> Result<(), NoRecipe> {
    fields::write(said, key, parts).map_err(|_| NoRecipe { key })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            lock: Some(LockName::of_configured(b"key")),
            program: "/bin/echo".into(),
            arguments: ["echo", "", "a=b\n"].map(OsString::from).to_vec(),
            environment: vec![
                ("EMPTY".into(), "".into()),
                ("RAW".into(), OsString::from_vec(b"\xfe==".to_vec())),
            ],
            directory: "/w".into(),
        }
    }

    #[test]
    fn it_is_told_in_one_form_for_ever() {
        let lock = LockName::of_configured(b"key");
        let told = [
            b"lock=",
            lock.as_str().as_bytes(),
            b"\0program=/bin/echo\0arg=echo\0arg=\0arg=a=b\n\0env=EMPTY=\0env=RAW=\xfe==\0cwd=/w\0",
        ]
        .concat();
        assert_eq!(recipe().encode(), Ok(told.clone()));
        let newer = [b"umask=022\0".as_slice(), &told].concat();
        assert_eq!(Recipe::decode(&newer), Ok(recipe()));
    }

    #[test]
    fn a_name_that_begins_as_the_system_allows_comes_back() {
        let mut recipe = recipe();
        recipe.environment.push(("=C:".into(), "=".into()));
        assert_eq!(Recipe::decode(&recipe.encode().unwrap()), Ok(recipe));
    }

    #[test]
    fn what_is_cut_off_anywhere_is_none() {
        let told = recipe().encode().unwrap();
        for len in 0..told.len() {
            assert!(Recipe::decode(&told[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (told, key) in [
            (&b""[..], "end"),
            (b"\0", "field"),
            (b"x\0cwd=/\0", "field"),
            (b"lock=../x\0", "lock"),
            (b"env=X\0", "env"),
            (b"program=/x\0cwd=/\0", "arg"),
            (b"arg=x\0cwd=/\0", "program"),
            (b"program=/x\0arg=x\0", "cwd"),
        ] {
            assert_eq!(Recipe::decode(told), Err(NoRecipe { key }), "{told:?}");
        }
        let mut recipe = recipe();
        recipe.arguments.push("a\0b".into());
        assert_eq!(recipe.encode(), Err(NoRecipe { key: "arg" }));
    }

    #[test]
    fn nothing_secret_is_in_what_is_logged_of_it() {
        let mut recipe = recipe();
        recipe.arguments.push("secret".into());
        recipe.environment.push(("TOKEN".into(), "secret".into()));
        assert!(!format!("{recipe:?}").contains("secret"));
    }

    fn value() -> impl Strategy<Value = OsString> {
        proptest::collection::vec(1_u8.., 0..6).prop_map(OsString::from_vec)
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_heard(
            key in proptest::option::of(any::<[u8; 4]>()),
            (program, directory) in (value(), value()),
            arguments in proptest::collection::vec(value(), 1..4),
            environment in proptest::collection::vec(("[A-Z]{1,3}", value()), 0..4),
        ) {
            let recipe = Recipe {
                lock: key.map(|key| LockName::of_configured(&key)),
                program: program.into(),
                arguments,
                environment: environment.into_iter().map(|(name, value)| (name.into(), value)).collect(),
                directory: directory.into(),
            };
            prop_assert_eq!(Recipe::decode(&recipe.encode().unwrap()), Ok(recipe));
        }
    }
}
