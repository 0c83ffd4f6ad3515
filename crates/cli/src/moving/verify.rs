//! Asking a client what it makes of its file, by its own command.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use config::clients::Client;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

/// How long a client may take: some of them start every server to list it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take before anything is changed, when its answer is only to be compared with.
pub(crate) const PATIENCE_BEFORE: Duration = Duration::from_secs(30);

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What a client's own list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It has no such command, or is not installed here.
    NotAsked,
    /// It names all servers.
    AllThere,
    /// It does not name these.
    Missing(Vec<String>),
    /// It names all, and says of these that they do not work.
    Failing(Vec<String>),
    /// It has ended with an error, or not in time.
    NoAnswer,
}

/// Has a client list its servers in this folder, if it can. It may start all that it has there.
pub(crate) fn ask(client: &Client, folder: &Path, patience: Duration) -> Said {
    let Some([program, arguments @ ..]) = client.list_command else {
        return Said::NotThere;
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    said(command, patience)
}

impl Said {
    /// What was said of these servers.
    pub(crate) fn verdict(&self, servers: &[&str]) -> Verdict {
        match self {
            _ if servers.is_empty() => Verdict::NotAsked,
            Said::NotThere => Verdict::NotAsked,
            Said::Nothing => Verdict::NoAnswer,
            Said::Text(text) => verdict(text, servers),
        }
    }

    /// The servers that are in this list, and were in none before.
    ///
    /// A client that hides a server because another one starts the same shows it again when that
    /// starts otherwise.
    pub(crate) fn appeared_since(&self, before: &Said) -> Vec<String> {
        let (Said::Text(before), Said::Text(now)) = (before, self) else {
            return Vec::new();
        };
        let before = names(before);
        let now = names(now).into_iter();
        now.filter(|name| !before.contains(name)).collect()
    }
}

/// The names in a list, where they can be told: in JSON, or before what a line says of a server.
fn names(text: &str) -> BTreeSet<String> {
    if let Ok(serde_json::Value::Array(servers)) = serde_json::from_str(text) {
        let names = servers.iter().filter_map(|server| server["name"].as_str());
        return names.map(str::to_owned).collect();
    }
    let of_line = |line: &str| {
        let behind = line.trim_start_matches(|character: char| !character.is_alphanumeric());
        let (name, rest) = behind.split_once(": ")?;
        // What it starts, and how that is.
        rest.contains(" - ").then(|| name.to_owned())
    };
    text.lines().filter_map(of_line).collect()
}

/// What a list says of these servers. The first line with a name is about that server; one with its command line,
/// in which the name stands as well, may come behind.
fn verdict(text: &str, servers: &[&str]) -> Verdict {
    let (mut missing, mut failing) = (Vec::new(), Vec::new());
    for server in servers {
        let mut about = text.lines().filter(|line| has_word(line, server));
        let first = about.clone().next();
        // Another one may have the name among its arguments.
        match about.find(|line| begins_with(line, server)).or(first) {
            None => missing.push((*server).to_owned()),
            Some(line) if says_failure(line) => failing.push((*server).to_owned()),
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        Verdict::Missing(missing)
    } else if !failing.is_empty() {
        Verdict::Failing(failing)
    } else {
        Verdict::AllThere
    }
}

/// Whether a line begins with a word, behind signs and blanks.
fn begins_with(line: &str, word: &str) -> bool {
    let behind = line.trim_start_matches(|character: char| !character.is_alphanumeric());
    behind.starts_with(word) && has_word(behind, word)
}

/// Whether a line says that the server that it is about does not work.
fn says_failure(line: &str) -> bool {
    let line = line.to_lowercase();
    ["✗", "✘", "❌"].iter().any(|sign| line.contains(sign))
        || ["failed", "error", "disconnected", "not connected"]
            .iter()
            .any(|word| has_word(&line, word))
}

/// Whether a word stands in a line, and is no part of another, as of a path or a package's name.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "_-./@".contains(character);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let behind = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

/// What a client said of its servers.
pub(crate) enum Said {
    /// There is nobody to ask.
    NotThere,
    /// It has ended with an error, or not in time.
    Nothing,
    /// This.
    Text(String),
}

/// What a command says, if it ends well and in time. It gets nothing to read.
fn said(mut command: Command, patience: Duration) -> Said {
    let files =
        tempfile::tempfile().and_then(|file| Ok((file.try_clone()?, file.try_clone()?, file)));
    let Ok((output, stdout, stderr)) = files else {
        return Said::Nothing;
    };
    // Everything that it starts ends with it.
    command
        .process_group(0)
        .stdin(Stdio::null())
        // Some write their list there.
        .stderr(stderr)
        .stdout(stdout);
    let Ok(child) = command.spawn() else {
        return Said::NotThere;
    };
    if ends_well(child, patience) {
        text(output).map_or(Said::Nothing, Said::Text)
    } else {
        Said::Nothing
    }
}

fn text(mut output: File) -> Option<String> {
    let mut bytes = Vec::new();
    output.rewind().ok()?;
    output.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn ends_well(mut child: Child, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(status) => break status,
            Err(_) => break None,
        }
    };
    if status.is_none() {
        // Not reaped yet, so the number is still that of its group.
        let _gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _status = child.wait();
    }
    status.is_some_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(script: &str) -> Said {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        said(command, PATIENCE)
    }

    #[test]
    fn a_server_is_there_by_its_whole_name_and_if_it_works() {
        let text = "git-hub: npx x/git - ✓ Connected\n\
                    memory: npx server-memory - ✗ Failed to connect\n\
                    error-tracker: npx - ✓ Connected\n\
                    time: Error: no such file\n  \"name\": \"listed\",\n\
                    ✗ own failed\n    mcpool connect --name own -- npx own\n\
                    files: npx fs notes - ✗ Failed to connect\nnotes: npx - ✓ Connected\n\
                    ● mine connected\n    mcpool connect --name mine -- error\n";
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (servers, expected) in [
            (
                &["git-hub", "error-tracker", "listed", "mine", "notes"][..],
                Verdict::AllThere,
            ),
            (
                &["git", "hub", "memory"],
                Verdict::Missing(strings(&["git", "hub"])),
            ),
            (
                &["memory", "listed", "time", "own"],
                Verdict::Failing(strings(&["memory", "time", "own"])),
            ),
        ] {
            assert_eq!(verdict(text, servers), expected);
        }
    }

    #[test]
    fn a_client_that_fails_or_is_not_there_says_nothing() {
        assert!(matches!(asked("echo memory; exit 3"), Said::Nothing));
        assert!(matches!(
            said(Command::new("mcpool-no-such-program"), PATIENCE),
            Said::NotThere
        ));
        let Said::Text(text) = asked("echo memory >&2; cat") else {
            panic!("it has said something")
        };
        assert_eq!(text, "memory\n");
    }

    #[test]
    fn what_appears_in_a_list_is_named_where_names_can_be_told() {
        let of = |text: &str| Said::Text(text.to_owned());
        for (before, now, expected) in [
            (
                "Checking MCP server health...\n\na: npx a - ✓ Connected\n",
                "Checking MCP server health...\n\na: mcpool connect - ✗ Failed\n\
                 plugin:p:a: npx a - ✓ Connected\n✓ b: npx (stdio) - Connected\n\
                 Warning: nothing of a server\n",
                &["b", "plugin:p:a"][..],
            ),
            (
                r#"[{"name": "a"}]"#,
                r#"[{"name": "b"}, {"name": "a"}]"#,
                &["b"],
            ),
            ("● a connected\n", "● a connected\n● b connected\n", &[]),
        ] {
            assert_eq!(of(now).appeared_since(&of(before)), expected);
        }
        let now = of("a: npx - ✓ Connected");
        assert!(now.appeared_since(&Said::Nothing).is_empty());
    }
}
