//! Real-shaped files of every client: what is found in them, what an import changes, and that
//! taking it back leaves no trace.
//!
//! The files are in `tests/clients/CLIENT`, what is expected of them in `tests/clients/CLIENT.golden`.

#![expect(clippy::unwrap_used, reason = "that is how a test reports a surprise")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use config::clients::{
    ALL, Arguments, Caller, Change, Client, Entry, Grammar, Kind, Local, Step, Unreadable, adopt,
    adopt_over_http, over_http, release, release_from_http, survey,
};
use expect_test::expect_file;

const URL: &str = "http://127.0.0.1:7665/mcp/";

fn caller() -> Caller {
    Caller {
        program: "/opt/mcpool".to_owned(),
        home: None,
    }
}

/// What it takes to put mcpool before every server that can be shared.
fn adoption(entries: &[Entry]) -> Vec<Change> {
    let locals = entries.iter().filter_map(|entry| match &entry.kind {
        Kind::Local(local) => Some((entry, local)),
        Kind::Ours(_) | Kind::LeftAlone(_) => None,
    });
    locals
        .flat_map(|(entry, local)| adopt(entry, local, &caller()))
        .collect()
}

/// What it takes to take it away where it was put.
fn undoing(before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let pairs = before.iter().zip(after);
    pairs
        .filter_map(|(before, after)| match (&before.kind, &after.kind) {
            (Kind::Local(local), Kind::Ours(command)) => {
                release(command, local.command.arguments())
            }
            _ => None,
        })
        .flatten()
        .collect()
}

/// What the file has, line by line.
fn found(entries: &[Entry], report: &mut String) {
    for entry in entries {
        let project = entry
            .project
            .as_deref()
            .map(|project| format!(" of {project}"));
        let name = format!("{:?}{}", entry.name, project.unwrap_or_default());
        let _ = match &entry.kind {
            Kind::Local(local) => writeln!(
                report,
                "  {name}: {:?} passes {:?}",
                local.command.words, local.variables
            ),
            Kind::Ours(command) => writeln!(report, "  {name} is ours: {:?}", command.words),
            Kind::LeftAlone(reason) => writeln!(report, "  {name} is left alone: {reason}"),
        };
    }
}

/// The lines that differ. Every line of ours is made of lines before it, so a walk finds them.
fn difference(before: &str, after: &str, report: &mut String) {
    let (old, new): (Vec<&str>, Vec<&str>) = (
        before.split_inclusive('\n').collect(),
        after.split_inclusive('\n').collect(),
    );
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            (a, b) = (a + 1, b + 1);
            continue;
        }
        // The nearest pair of lines that are the same again.
        let next = (0..40)
            .flat_map(|sum| (0..=sum).map(move |left| (left, sum - left)))
            .find(
                |(left, right)| match (old.get(a + left), new.get(b + right)) {
                    (Some(one), Some(other)) => one == other,
                    (None, None) => a + left == old.len() && b + right == new.len(),
                    _ => false,
                },
            );
        let (left, right) = next.unwrap_or((old.len() - a, new.len() - b));
        for line in &old[a..a + left] {
            let _ = writeln!(report, "  -{}", shown(line));
        }
        for line in &new[b..b + right] {
            let _ = writeln!(report, "  +{}", shown(line));
        }
        (a, b) = (a + left, b + right);
    }
}

fn shown(line: &str) -> String {
    line.trim_end_matches('\n')
        .replace('\r', "\\r")
        .replace('\u{feff}', "\\u{feff}")
}

/// The servers of a file, as its client calls them.
fn servers(file: &Path, text: &str, client: &Client) -> Result<Vec<Entry>, Unreadable> {
    let entries = survey(text, client)?.into_iter();
    Ok(entries.map(|entry| entry.in_file(file)).collect())
}

fn examine(client: &Client, file: &Path, text: &str, report: &mut String) {
    let grammar = client.grammar;
    let before = match servers(file, text, client) {
        Ok(entries) => entries,
        Err(error) => {
            let _ = writeln!(report, "  cannot be read: {error}");
            return;
        }
    };
    found(&before, report);
    let mut imported = text.to_owned();
    let mut refused = Vec::new();
    // One after the other, as one that is by hand must not hold up the rest.
    for (number, entry) in before.iter().enumerate() {
        match grammar.edit(&imported, &adoption(&before[number..=number])) {
            Ok(edited) => imported = edited,
            Err(error) => {
                let _ = writeln!(report, "  {:?} is not changed: {error}", entry.name);
                refused.push(number);
            }
        }
    }
    difference(text, &imported, report);
    if refused.is_empty() {
        let together = grammar.edit(text, &adoption(&before)).unwrap();
        assert_eq!(together, imported, "all at once is one after the other");
    }

    let after = servers(file, &imported, client).unwrap();
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        match (&before.kind, &after.kind) {
            (Kind::Local(local), Kind::Ours(command)) => assert_eq!(
                command.words,
                caller().command_line(&before.name, local),
                "the client runs what was meant"
            ),
            (Kind::Local(_), _) => assert!(refused.contains(&number)),
            (Kind::Ours(_) | Kind::LeftAlone(_), _) => assert_eq!(before, after),
        }
    }
    assert!(
        refused.is_empty() || adoption(&after).len() / 2 <= refused.len(),
        "a second import changes nothing"
    );
    let undone = grammar
        .edit(&imported, &undoing(&before, &after))
        .unwrap_or_else(|error| panic!("{error} in {imported}"));
    assert_eq!(undone, text, "taking it back leaves no trace");
}

/// What becomes of a file whose servers are found at addresses, and the way back where it has changed since.
fn examine_over_http(client: &Client, file: &Path, text: &str, report: &mut String) {
    let grammar = client.grammar;
    let Ok(entries) = servers(file, text, client) else {
        return;
    };
    let mut imported = text.to_owned();
    let mut adopted: Vec<(&Entry, &Local)> = Vec::new();
    for entry in &entries {
        let Kind::Local(local) = &entry.kind else {
            continue;
        };
        let tree = grammar.read(&imported).unwrap();
        let server = match over_http(&tree, entry, local, client) {
            Ok((_, server)) => server,
            Err(why) => {
                let _ = writeln!(report, "  {:?} is no address: {why}", entry.name);
                continue;
            }
        };
        let url = format!("{URL}{}", entry.name);
        let changes = adopt_over_http(&tree, entry, local, client, &url);
        match grammar.edit(&imported, &changes) {
            Ok(edited) => {
                let _ = writeln!(
                    report,
                    "  {:?} is {:?} {:?} {:?} in {:?}",
                    entry.name, server.command, server.args, server.env, server.cwd
                );
                imported = edited;
                adopted.push((entry, local));
            }
            Err(error) => {
                let _ = writeln!(report, "  {:?} is no address: {error}", entry.name);
            }
        }
    }
    difference(text, &imported, report);
    let after = survey(&imported, client).unwrap();
    assert_eq!(after.len(), entries.len());
    let before_tree = grammar.read(text).unwrap();
    let mut undone = imported;
    for (entry, local) in &adopted {
        let tree = grammar.read(&undone).unwrap();
        let url = format!("{URL}{}", entry.name);
        let at: &[Step] = &entry.at;
        let before = (text, &before_tree, *entry, *local);
        let changes = release_from_http((&tree, at), before, client, &url).unwrap();
        undone = grammar
            .edit(&undone, &changes)
            .unwrap_or_else(|error| panic!("{error} in {undone}"));
    }
    assert_eq!(
        grammar.read(&undone).unwrap().in_any_order(),
        before_tree.in_any_order(),
        "taken back, it says something else:\n{undone}"
    );
    assert_eq!(
        survey(&undone, client).unwrap().len(),
        entries.len(),
        "{undone}"
    );
}

#[test]
fn every_client_s_files_name_addresses_where_that_can_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for client in ALL {
        let mut report = String::new();
        for path in files_of(&folder, client) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let _ = writeln!(report, "{name}");
            let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
            examine_over_http(client.form_of(&path), &path, &text, &mut report);
        }
        expect_file![folder.join(format!("{}.http.golden", client.id))].assert_eq(&report);
    }
}

fn files_of(folder: &Path, client: &Client) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.join(client.id))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{} has {} files", client.id, files.len());
    files
}

#[test]
fn every_client_s_files_are_read_and_changed_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for client in ALL {
        let mut report = String::new();
        for path in files_of(&folder, client) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let _ = writeln!(report, "{name}");
            let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
            examine(client.form_of(&path), &path, &text, &mut report);
        }
        expect_file![folder.join(format!("{}.golden", client.id))].assert_eq(&report);
    }
}

#[test]
fn a_huge_file_is_edited_at_its_entries_alone() {
    let client = Client::named("claude-code").unwrap();
    let mut text = String::from("{\n  \"projects\": {\n");
    for number in 0..3000 {
        let history = "pasted { [ \\\" and the like, ".repeat(20);
        let _ = write!(
            text,
            "    \"/home/ada/src/{number}\": {{\n      \"history\": [{{\"display\": \"{history}\"}}],\n      \
             \"mcpServers\": {{\"memory\": {{\"command\": \"npx\", \"args\": [\"-y\", \"server\"]}}}}\n    }},\n"
        );
    }
    text.push_str("    \"/last\": {}\n  },\n  \"cost\": 0.30142500000000005\n}\n");
    assert!(text.len() > 2_000_000);
    let before = survey(&text, client).unwrap();
    assert_eq!(before.len(), 3000);
    let imported = Grammar::Json.edit(&text, &adoption(&before)).unwrap();
    let expected = text.replace(
        "\"command\": \"npx\", \"args\": [\"-y\"",
        "\"command\": \"/opt/mcpool\", \"args\": [\"connect\", \"--name\", \"memory\", \"--\", \"npx\", \"-y\"",
    );
    assert_eq!(imported, expected);
    let after = survey(&imported, client).unwrap();
    let undone = Grammar::Json
        .edit(&imported, &undoing(&before, &after))
        .unwrap();
    assert_eq!(undone, text);
}

#[test]
fn a_name_that_begins_like_an_option_is_written_as_the_value_of_one() {
    let client = Client::named("cursor").unwrap();
    for name in ["--", "-", "-x", "--name"] {
        let before =
            format!(r#"{{"mcpServers":{{"{name}":{{"command":"x","args":["--","y"]}}}}}}"#);
        let entries = survey(&before, client).unwrap();
        let imported = Grammar::Jsonc.edit(&before, &adoption(&entries)).unwrap();
        let words = format!(r#"["connect","--name={name}","--","x","--","y"]"#);
        assert!(imported.contains(&words), "{imported}");
        let after = survey(&imported, client).unwrap();
        let undone = Grammar::Jsonc.edit(&imported, &undoing(&entries, &after));
        assert_eq!(undone.unwrap(), before);
    }
}

#[test]
fn a_list_that_was_empty_stays_and_one_that_was_not_there_goes() {
    let client = Client::named("cursor").unwrap();
    for (before, arguments) in [
        (r#"{"mcpServers":{"a":{"command":"x"}}}"#, Arguments::None),
        (
            r#"{"mcpServers":{"a":{"command":"x","args":[]}}}"#,
            Arguments::Listed,
        ),
    ] {
        let entries = survey(before, client).unwrap();
        let imported = Grammar::Jsonc.edit(before, &adoption(&entries)).unwrap();
        let after = survey(&imported, client).unwrap();
        let Kind::Ours(command) = &after[0].kind else {
            panic!("{imported}")
        };
        let undone = Grammar::Jsonc.edit(&imported, &release(command, arguments).unwrap());
        assert_eq!(undone.unwrap(), before);
    }
}

/// Puts an entry at the end of a map of a file; the way back must lead to the same bytes.
#[track_caller]
fn put(text: &str, at: &[&str], expected: &expect_test::Expect) {
    let entry = Grammar::Json
        .read(
            r#"{"type": "stdio", "command": "npx", "args": ["-y", 3], "env": {}, "timeout": 5.0}"#,
        )
        .unwrap();
    let at: Vec<Step> = at.iter().map(|key| Step::Key((*key).to_owned())).collect();
    let put = Change::Put {
        at: at.clone(),
        key: "new".to_owned(),
        value: entry,
    };
    let more = Grammar::Json.edit(text, &[put]).unwrap();
    expected.assert_eq(&more.replace('\r', "\\r").replace('\t', "\\t"));
    let remove = Change::Remove {
        at: at.clone(),
        key: "new".to_owned(),
    };
    let less = Grammar::Json.edit(&more, &[remove]).unwrap();
    let tree = Grammar::Json.read(text).unwrap();
    if tree.at(&at).unwrap().members().is_empty() {
        let less = Grammar::Json.read(&less).unwrap();
        assert_eq!(less.in_any_order(), tree.in_any_order());
    } else {
        assert_eq!(less, text);
    }
}

#[test]
fn one_more_entry_is_written_as_its_file_is() {
    put(
        "{\n  \"a\": {\n    \"old\": {\n      \"x\": 1\n    }\n  }\n}\n",
        &["a"],
        &expect_test::expect![[r#"
            {
              "a": {
                "old": {
                  "x": 1
                },
                "new": {
                  "type": "stdio",
                  "command": "npx",
                  "args": [
                    "-y",
                    3
                  ],
                  "env": {},
                  "timeout": 5.0
                }
              }
            }
        "#]],
    );
    put(
        "{\r\n\t\"a\": {},\r\n\t\"b\": 1\r\n}\r\n",
        &["a"],
        &expect_test::expect![[r#"
            {\r
            \t"a": {\r
            \t\t"new": {\r
            \t\t\t"type": "stdio",\r
            \t\t\t"command": "npx",\r
            \t\t\t"args": [\r
            \t\t\t\t"-y",\r
            \t\t\t\t3\r
            \t\t\t],\r
            \t\t\t"env": {},\r
            \t\t\t"timeout": 5.0\r
            \t\t}\r
            \t},\r
            \t"b": 1\r
            }\r
        "#]],
    );
}

/// What stands before both names on their lines is the same, and no part of them.
#[test]
fn one_more_entry_stands_where_the_value_before_it_ends() {
    put(
        "{\"a\": {\"old\":\n1, \"older\":\n1}}\n",
        &["a"],
        &expect_test::expect![[r#"
            {"a": {"old":
            1, "older":
            1, "new": {
              "type": "stdio",
              "command": "npx",
              "args": [
                "-y",
                3
              ],
              "env": {},
              "timeout": 5.0
            }}}
        "#]],
    );
}

#[test]
fn one_more_entry_is_on_one_line_where_its_file_is_and_is_put_at_the_top_as_well() {
    put(
        r#"{"a": {"old": 1}, "b": 2}"#,
        &["a"],
        &expect_test::expect![[
            r#"{"a": {"old": 1, "new": {"type": "stdio", "command": "npx", "args": ["-y", 3], "env": {}, "timeout": 5.0}}, "b": 2}"#
        ]],
    );
    put(
        r#"{"a":{},"b":2}"#,
        &["a"],
        &expect_test::expect![[
            r#"{"a":{"new":{"type":"stdio","command":"npx","args":["-y",3],"env":{},"timeout":5.0}},"b":2}"#
        ]],
    );
    put(
        "{\n    \"a\": 1\n}\n",
        &[],
        &expect_test::expect![[r#"
        {
            "a": 1,
            "new": {
                "type": "stdio",
                "command": "npx",
                "args": [
                    "-y",
                    3
                ],
                "env": {},
                "timeout": 5.0
            }
        }
    "#]],
    );
}
