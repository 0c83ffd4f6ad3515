//! `import` and `undo` killed at every step, and beside clients that rewrite the same file.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Home, finish};

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

/// What the writers know: each its own number, and what all have in the file.
struct Writers {
    path: PathBuf,
    numbers: Mutex<BTreeMap<String, u64>>,
    has_ended: AtomicBool,
}

impl Writers {
    /// Reads, checks, changes and writes the file, 50 times a second, as a client does.
    fn run(&self, writer: usize) {
        let name = format!("writer-{writer}");
        while !self.has_ended.load(Ordering::Relaxed) {
            {
                // They keep each other out, as sessions of one client do. They know nothing of us.
                let mut numbers = self.numbers.lock().unwrap();
                let text = fs::read_to_string(&self.path).unwrap();
                let mut file: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("{error} in {text:?}"));
                for (name, number) in &*numbers {
                    assert_eq!(file[name], json!(number), "a change of {name} is lost");
                }
                let number = numbers.entry(name.clone()).or_insert(0);
                *number += 1;
                file[&name] = json!(*number);
                let text = serde_json::to_string_pretty(&file).unwrap();
                if writer.is_multiple_of(2) {
                    replace(&self.path, &name, &text);
                } else {
                    overwrite(&self.path, &text);
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// As most clients do.
fn replace(path: &Path, name: &str, text: &str) {
    let aside = path.with_file_name(name);
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

/// As some do: in place, in two parts.
fn overwrite(path: &Path, text: &str) {
    let mut file = fs::File::create(path).unwrap();
    let (one, other) = text.split_at(text.len() / 2);
    file.write_all(one.as_bytes()).unwrap();
    file.write_all(other.as_bytes()).unwrap();
}

/// Imports and takes back beside eight writers; how many of the imports were made.
fn beside_writers(imports: usize) -> usize {
    let home = Home::new();
    let writers = Writers {
        path: cursor(&home),
        numbers: Mutex::default(),
        has_ended: AtomicBool::new(false),
    };
    let made = thread::scope(|scope| {
        for writer in 0..8 {
            let writers = &writers;
            scope.spawn(move || writers.run(writer));
        }
        let run = |arguments: &[&str]| {
            // A file that is being written has not its end yet: that is said, and it is left alone.
            let ran = home.run(arguments);
            assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
            ran.code == Some(0)
        };
        let made = (0..imports).filter(|_| {
            let is_made = run(&["import", "--apply"]);
            run(&["undo"]);
            is_made
        });
        let made = made.count();
        writers.has_ended.store(true, Ordering::Relaxed);
        made
    });
    let text = fs::read_to_string(&writers.path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    for (name, number) in &*writers.numbers.lock().unwrap() {
        assert_eq!(file[name], json!(number), "a change of {name} is lost");
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
    assert!(made > imports / 10, "only {made} of {imports} were made");
}
