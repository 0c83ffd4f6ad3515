//! What a daemon that runs tells of itself in a file, for programs that look for its address.
//!
//! Nothing of ours depends on it: whether a daemon runs is told by its lock, and all else by `status`.
//!
//! **Invariant:** what can be read there is whole. It may be out of date only after a daemon was killed.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{admin::Http, files};

/// The name of the file in the folder of the state.
const NAME: &str = "run.json";

/// The version of what stands there; it grows when a member is taken away or changes its meaning.
const SCHEMA: u32 = 1;

/// The file, for as long as the daemon runs.
#[derive(Debug)]
pub(super) struct RunFile(PathBuf);

#[derive(Debug, Serialize)]
struct Said<'a> {
    schema: u32,
    pid: u32,
    version: &'static str,
    socket: &'a str,
    http: &'a Http,
}

impl RunFile {
    /// Writes it. Where that fails the daemon goes on without.
    pub(super) fn write(state: &Path, socket: &Path, http: &Http) -> RunFile {
        let said = Said {
            schema: SCHEMA,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            socket: &socket.to_string_lossy(),
            http,
        };
        let path = state.join(NAME);
        let text = serde_json::to_string_pretty(&said).unwrap_or_default() + "\n";
        if let Err(error) = files::replace(&path, text.as_bytes()) {
            tracing::debug!(%error, "the run file cannot be written");
        }
        RunFile(path)
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // The next daemon writes another.
        let _left = files::remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn it_says_where_the_daemon_is_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let http = Http {
            addresses: vec!["127.0.0.1:7665".to_owned()],
            ..Http::default()
        };
        let file = RunFile::write(folder.path(), Path::new("/run/mcpool.sock"), &http);
        let path = folder.path().join(NAME);
        let said: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(said["pid"], std::process::id());
        assert_eq!(said["socket"], "/run/mcpool.sock");
        assert_eq!(said["http"]["addresses"], json!(["127.0.0.1:7665"]));
        drop(file);
        assert!(!path.exists());
    }
}
