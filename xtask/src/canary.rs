//! What must never come out anywhere, in soaks and rows of faults: no file of an installation has a secret in
//! it that nobody asked to be passed on, nor what sessions say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A secret in the environment of every shim and every verb. Nobody has asked for it to be passed on.
const SECRET: &str = "canary-of-the-environment-3e90";

/// The variable that it is in; its name alone makes it one that is withheld.
const SECRET_NAME: &str = "UNASKED_API_KEY";

/// What stands in all that sessions and soak servers say, as it is and as it would be quoted in a log.
const PAYLOADS: [&str; 2] = [r#""mark":["#, r#"\"mark\":["#];

/// Gives a command the secret.
pub(crate) fn put_into(command: &mut Command) {
    command.env(SECRET_NAME, SECRET);
}

/// The files of an installation in which a secret stands, or what sessions have said, with a word on each.
/// The log of a server holds what that server wrote, payload or not.
pub(crate) fn found_in(pool: &Path) -> Vec<String> {
    let logs = pool.join("logs");
    let found = files_under(pool).into_iter().filter_map(|file| {
        let name = file.file_name()?.to_str()?;
        let is_servers_log = file.starts_with(&logs) && !name.starts_with("daemon.log");
        let payloads = if is_servers_log { &[][..] } else { &PAYLOADS };
        let bytes = fs::read(&file).ok()?;
        // Files may hold anything; what is looked for is text.
        let text = String::from_utf8_lossy(&bytes);
        let mut canaries = payloads.iter().copied().chain([SECRET]);
        let canary = canaries.find(|canary| text.contains(canary))?;
        Some(format!("I8: {canary} stands in {}", file.display()))
    });
    found.collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What has gone meanwhile holds nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_any_file_and_a_payload_in_all_but_the_log_of_a_server() {
        let pool = tempfile::tempdir().unwrap();
        let payload = r#"{"params":{"mark":[1,0,7]}}"#;
        let quoted = format!("INFO it said {payload:?}");
        for (name, text, is_found) in [
            ("logs/daemon.log", "INFO listening", false),
            ("logs/daemon.log.1", &quoted, true),
            ("logs/fake.log", payload, false),
            ("logs/fake.log", SECRET, true),
            ("state/words/one", payload, true),
            ("state/words/one", SECRET, true),
        ] {
            let file = pool.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let found = found_in(pool.path());
            assert_eq!(found.len(), usize::from(is_found), "{name}: {found:?}");
            fs::remove_file(file).unwrap();
        }
    }
}
