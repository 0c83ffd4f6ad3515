//! What every test asks of its daemons when it is over: see `mux::audit`, and `faults.md` for the numbers.
//!
//! The daemons of tests keep books of what their cores do. Whatever these found stands in the log, and
//! so does, at the end of each daemon that ended in good order, that they were kept at all.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
};

use super::canary;

const NO_LAST_WORD: &str = "the last daemon ended without a word of its books";

/// What the daemons of a folder are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Books {
    /// To keep books.
    Kept,
    /// To keep none, as those of users.
    None,
}

/// Lines of a log that are quoted.
const SHOWN_MAX: usize = 20;

/// What is wrong in what the daemons of this folder have left behind; empty if nothing is.
pub(crate) fn complaints(pool: &Path, books: Books) -> Vec<String> {
    let mut complaints = of_books(&pool.join("logs"), books);
    complaints.truncate(SHOWN_MAX);
    complaints.extend(leaks(pool));
    complaints
}

/// What stands in files and must not.
pub(crate) fn leaks(pool: &Path) -> Vec<String> {
    let files = files_under(pool);
    files
        .iter()
        .filter_map(|file| of_file(file, pool))
        .collect()
}

/// What the books of all daemons say, from the oldest log on.
fn of_books(logs: &Path, books: Books) -> Vec<String> {
    let mut files = files_under(logs);
    files.retain(|file| name_of(file).starts_with("daemon.log"));
    // `daemon.log.2` is older than `daemon.log.1`, and that older than `daemon.log`.
    files.sort_by_key(|file| Reverse((name_of(file).len(), name_of(file).to_owned())));
    let text: String = files.iter().map(|file| text_of(file)).collect();
    let mut complaints = Vec::new();
    let mut is_owed = false;
    for line in text.lines() {
        let is_verdict = line.contains("audit: ");
        if is_verdict && (books == Books::None || !is_clean(line)) {
            complaints.push(line.to_owned());
        }
        if line.contains("the core contradicts itself") || line.contains("a task panicked") {
            complaints.push(line.to_owned());
        }
        if is_verdict {
            is_owed = false;
        } else if line.contains(" ending why=") {
            is_owed = books == Books::Kept;
        } else if line.contains(" listening ") && is_owed {
            complaints.push("a daemon ended without a word of its books".to_owned());
            is_owed = false;
        }
    }
    if is_owed {
        complaints.push(NO_LAST_WORD.to_owned());
    }
    complaints
}

/// Whether the books have seen something, and nothing wrong. Every daemon sees at least its end.
fn is_clean(verdict: &str) -> bool {
    verdict.contains(", clean")
        && !verdict.contains("ERROR")
        && !verdict.contains("audit: 0 events")
}

/// Whether the last daemon may still be about to say what its books say: it gives up its lock before.
pub(crate) fn is_awaited(complaints: &[String]) -> bool {
    complaints.iter().any(|complaint| complaint == NO_LAST_WORD)
}

/// No secret, and nothing of what sessions say, is in any file; the log of a server holds what it
/// wrote itself, and the configuration what the user wrote.
fn of_file(file: &Path, pool: &Path) -> Option<String> {
    let is_servers_log =
        file.starts_with(pool.join("logs")) && !name_of(file).starts_with("daemon.log");
    let canaries: &[&str] = if is_servers_log {
        &[canary::SECRET, canary::PASSED]
    } else if file == pool.join("config.toml") {
        &[canary::SECRET, canary::PAYLOAD]
    } else {
        &[canary::SECRET, canary::PASSED, canary::PAYLOAD]
    };
    let found = canary::found(&text_of(file), canaries)?;
    Some(format!("I8: {found} stands in {}", file.display()))
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    found
}

fn name_of(file: &Path) -> &str {
    file.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn text_of(file: &Path) -> String {
    // One that a daemon has taken away meanwhile holds nothing.
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: &str = "INFO listening on=/pool\n";
    const ENDED: &str = "INFO ending why=asked\n";
    const AUDITED: &str = "INFO audit: 7 events, 9 messages, clean\n";

    /// What is said of a daemon with this log.
    fn said(books: Books, log: &[&str]) -> Vec<String> {
        let pool = tempfile::tempdir().unwrap();
        let logs = pool.path().join("logs");
        fs::create_dir(&logs).unwrap();
        fs::write(logs.join("daemon.log"), log.concat()).unwrap();
        complaints(pool.path(), books)
    }

    #[test]
    fn a_daemon_that_ends_owes_a_word_of_books_that_have_seen_something() {
        let nothing: [String; 0] = [];
        assert_eq!(said(Books::Kept, &[BEGUN, ENDED, AUDITED]), nothing);
        // It was killed.
        assert_eq!(said(Books::Kept, &[BEGUN]), nothing);
        assert_eq!(said(Books::Kept, &[BEGUN, ENDED]), [NO_LAST_WORD]);
        let earlier = said(Books::Kept, &[BEGUN, ENDED, BEGUN, ENDED, AUDITED]);
        assert_eq!(earlier, ["a daemon ended without a word of its books"]);
        for verdict in [
            "INFO audit: 0 events, 0 messages, clean\n",
            "ERROR audit: 1 violations\n",
            "ERROR audit: I2: s1 is told what is not for it\n",
        ] {
            let said = said(Books::Kept, &[BEGUN, ENDED, verdict]);
            assert_eq!(said, [verdict.trim_end()]);
        }
    }

    #[test]
    fn a_daemon_without_books_says_nothing_of_them() {
        let nothing: [String; 0] = [];
        assert_eq!(said(Books::None, &[BEGUN, ENDED]), nothing);
        let audited = said(Books::None, &[BEGUN, ENDED, AUDITED]);
        assert_eq!(audited, [AUDITED.trim_end()]);
    }
}
