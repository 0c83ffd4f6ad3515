//! `import` and `undo` killed at every step, and beside clients that rewrite the same file.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::support::{FAKE_SERVER, Home, PATIENCE, finish};

const BEFORE: &str = "{\n  \"mcpServers\": {\n    \"time\": {\n      \"command\": \"uvx\",\n      \
                      \"args\": [\"mcp-server-time\"]\n    }\n  }\n}\n";

fn cursor(home: &Home) -> PathBuf {
    let path = home.user().join(".cursor/mcp.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, BEFORE).unwrap();
    path
}

/// Runs a verb with a kill at each of its steps, until it comes through; how many there were.
fn killed_at_every_step(home: &Home, arguments: &[&str], mut check: impl FnMut(u64)) -> u64 {
    for step in 1.. {
        let mut command = home.mcpool(arguments);
        let ran = finish(command.env("MCPOOL_KILL_AT_STEP", step.to_string()));
        check(step);
        if ran.code == Some(0) {
            return step - 1;
        }
        assert_eq!(ran.code, None, "{ran:?}");
    }
    unreachable!("it comes through some time")
}

#[test]
fn killed_at_any_step_a_file_is_the_old_one_or_the_new_one() {
    let home = Home::new();
    let path = cursor(&home);
    home.done(&["import", "--apply"]);
    let after = fs::read_to_string(&path).unwrap();
    home.done(&["undo"]);

    let read = || fs::read_to_string(&path).unwrap();
    let mut seen = BTreeMap::new();
    let steps = killed_at_every_step(&home, &["import", "--apply"], |step| {
        let now = read();
        assert!(now == BEFORE || now == after, "at step {step}: {now}");
        *seen.entry(now == after).or_insert(0) += 1;
        // Whatever was done can be undone; then the next step begins as the first did.
        home.done(&["undo"]);
        assert_eq!(read(), BEFORE, "at step {step}");
    });
    assert!(steps > 15, "{steps} steps");
    assert!(seen[&false] > 5 && seen[&true] > 2, "{seen:?}");

    home.done(&["import", "--apply"]);
    let steps = killed_at_every_step(&home, &["undo"], |step| {
        let now = read();
        assert!(now == BEFORE || now == after, "at step {step}: {now}");
        // What a killed undo has left to do, the next one does.
        home.done(&["undo"]);
        assert_eq!(read(), BEFORE, "at step {step}");
        home.done(&["import", "--apply"]);
    });
    home.done(&["undo"]);
    assert!(steps > 10, "{steps} steps");
    assert_eq!(read(), BEFORE);
}

#[test]
fn killed_at_any_step_a_new_configuration_is_not_there_or_the_whole_new_one() {
    let home = Home::new();
    let path = home.pool().join("config.toml");
    let servers = home.keep("a.json", r#"{"servers": {"a": {"command": "npx"}}}"#);
    let import = ["import", "--from", servers.to_str().unwrap(), "--apply"];
    home.done(&import);
    let after = fs::read_to_string(&path).unwrap();
    home.done(&["undo"]);
    assert!(!path.exists());

    let check = |step: u64| {
        let now = fs::read_to_string(&path).ok();
        let is_whole = now
            .as_ref()
            .is_none_or(|now| now.is_empty() || *now == after);
        assert!(is_whole, "at step {step}: {now:?}");
        home.done(&["undo"]);
        assert!(!path.exists(), "at step {step}");
        // With a copy there already, the next one would have fewer steps.
        let backups = home.pool().join("state/import/backups");
        for backup in fs::read_dir(backups).unwrap() {
            fs::remove_file(backup.unwrap().path()).unwrap();
        }
    };
    let steps = killed_at_every_step(&home, &import, check);
    assert!(steps >= 10, "{steps} steps");
    home.done(&import);
    let steps = killed_at_every_step(&home, &["undo"], |step| {
        check(step);
        home.done(&import);
    });
    assert!(steps > 10, "{steps} steps");
}

/// A process that counts in the file, as a session of a client does.
struct Rewriter {
    name: String,
    process: Child,
}

impl Rewriter {
    /// Every other one writes in place, as some clients do.
    fn start(home: &Home, path: &Path, number: usize) -> Self {
        let name = format!("writer-{number}");
        let way = if number.is_multiple_of(2) {
            "aside"
        } else {
            "in-place"
        };
        let path = path.to_str().unwrap();
        let mut command = home.command(FAKE_SERVER, &["rewriter", path, &name, way]);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Rewriter {
            name,
            process: process.spawn().unwrap(),
        }
    }

    /// How far it has counted.
    #[track_caller]
    fn end(mut self) -> (String, u64) {
        drop(self.process.stdin.take());
        let output = self.process.wait_with_output().unwrap();
        assert!(output.status.success(), "{} has failed", self.name);
        let count = String::from_utf8(output.stdout).unwrap();
        (self.name, count.trim().parse().unwrap())
    }
}

/// Imports and takes back beside eight writers; how many of the imports were made.
fn beside_writers(imports: usize) -> usize {
    let home = Home::new();
    let path = cursor(&home);
    let writers: Vec<Rewriter> = (0..8)
        .map(|number| Rewriter::start(&home, &path, number))
        .collect();
    let run = |arguments: &[&str]| {
        // A file that is being written has not its end yet: that is said, and it is left alone.
        let ran = home.run(arguments);
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        ran.code == Some(0)
    };
    // A writer that nobody lets run in the middle of its writing keeps all imports from being made meanwhile.
    let deadline = Instant::now() + PATIENCE;
    let (mut tried, mut made) = (0, 0);
    while tried < imports || (made <= imports / 10 && Instant::now() < deadline) {
        tried += 1;
        made += usize::from(run(&["import", "--apply"]));
        run(&["undo"]);
    }
    let counts: Vec<(String, u64)> = writers.into_iter().map(Rewriter::end).collect();
    let text = fs::read_to_string(&path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    for (name, count) in counts {
        assert_eq!(file[&name], json!(count), "a change of {name} is lost");
    }
    home.done(&["undo"]);
    made
}

#[test]
fn no_change_of_eight_writers_is_lost_by_imports_beside_them() {
    let imports = std::env::var("MCPOOL_TEST_IMPORTS").ok();
    let imports = imports
        .and_then(|imports| imports.parse().ok())
        .unwrap_or(50);
    let made = beside_writers(imports);
    println!("{made} of {imports} imports were made beside eight writers");
    assert!(made > imports / 10, "only {made} of {imports} were made");
}
