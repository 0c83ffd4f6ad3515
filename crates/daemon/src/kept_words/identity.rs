//! By what it is known that a program is still the one that it was.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::{Duration, SystemTime},
};

use hmac::{Hmac, KeyInit, Mac};
use mux::Program;
use sha2::{Digest, Sha256};

use crate::launch::LaunchSpec;

/// The program and the files among its arguments, as they are at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Equal if and only if each is the same file and was not written to.
    facts: Vec<u8>,
    /// When one of them was changed last, or put in its place.
    changed: SystemTime,
}

impl Identity {
    /// What it is now; `None` if there is no such program.
    pub(super) fn of(spec: &LaunchSpec) -> Option<Self> {
        let mut known = Vec::new();
        let mut changed = SystemTime::UNIX_EPOCH;
        let mut add = |at: usize, file: &Metadata| {
            let facts = [
                u64::try_from(at).unwrap_or(u64::MAX).to_le_bytes(),
                file.dev().to_le_bytes(),
                file.ino().to_le_bytes(),
                file.size().to_le_bytes(),
                file.mtime().to_le_bytes(),
                file.mtime_nsec().to_le_bytes(),
            ];
            known.extend_from_slice(facts.as_flattened());
            let written = moment(file.mtime(), file.mtime_nsec());
            let placed = moment(file.ctime(), file.ctime_nsec());
            changed = changed.max(written).max(placed);
        };
        add(0, &fs::metadata(&spec.program).ok()?);
        for (at, argument) in spec.arguments.iter().enumerate().skip(1) {
            if let Some(file) = named_file(argument, &spec.directory) {
                add(at, &file);
            }
        }
        Some(Identity {
            facts: known,
            changed,
        })
    }

    /// What stands for it on disk, where nothing can be read of it.
    pub(super) fn sum(&self, key: &[u8]) -> Option<String> {
        let mut sum = Hmac::<Sha256>::new_from_slice(key).ok()?;
        sum.update(b"identity");
        sum.update(&self.facts);
        Some(super::file::hex(&sum.finalize().into_bytes()))
    }

    /// What stands for it in the core.
    pub(super) fn program(&self) -> Program {
        Program(Sha256::digest(&self.facts).into())
    }

    /// Whether it surely was the same at that moment.
    pub(super) fn was_so_at(&self, moment: SystemTime) -> bool {
        self.changed <= moment
    }
}

/// The file that an argument names: `server.js`, or `--config=server.toml`.
fn named_file(argument: &OsStr, directory: &Path) -> Option<Metadata> {
    let bytes = argument.as_bytes();
    let value = bytes.iter().position(|byte| *byte == b'=');
    let value = value.and_then(|at| bytes.get(at + 1..));
    [Some(bytes), value]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .filter_map(|name| fs::metadata(directory.join(OsStr::from_bytes(name))).ok())
        .find(Metadata::is_file)
}

fn moment(seconds: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
    match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + nanos,
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}
