//! What our source files may look like.

use super::{File, assert_none, files};

/// The longest file; most have 100 to 300 lines.
const LINES_MAX: usize = 600;

fn rust() -> impl Iterator<Item = File> {
    files().into_iter().filter(|file| file.has_extension("rs"))
}

/// The lines that are code, numbered from 1.
fn code(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let lines = file
        .text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The code before the tests; a test that joins its tasks hears of their panics.
fn shipped(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let is_test = file.path.contains("/tests/");
    code(file).take_while(move |(_, line)| !is_test && *line != "#[cfg(test)]")
}

#[test]
fn the_pure_crates_have_no_standard_library() {
    let root = |name: &str| {
        rust()
            .find(|file| file.path == format!("crates/{name}/src/lib.rs"))
            .unwrap()
    };
    for name in ["wire", "mux"] {
        assert!(
            root(name).text.contains("\n#![no_std]\n")
                || root(name).text.starts_with("#![no_std]\n"),
            "{name} has no `#![no_std]`"
        );
    }
}

#[test]
fn no_source_file_is_too_long() {
    let long = rust().filter(|file| file.text.lines().count() > LINES_MAX);
    assert_none(
        &long
            .map(|file| format!("{} has more than {LINES_MAX} lines", file.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn only_sys_says_unsafe() {
    let openings = ["{", "fn", "impl", "extern", "trait"].map(|next| format!("unsafe {next}"));
    let mut complaints = Vec::new();
    for file in rust().filter(|file| !file.path.starts_with("crates/sys/")) {
        for (number, line) in code(&file) {
            if openings.iter().any(|opening| line.contains(opening)) && !line.contains('"') {
                complaints.push(format!(
                    "{}:{number}: unsafe code belongs to crates/sys",
                    file.path
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_task_has_a_name() {
    let mut complaints = Vec::new();
    for file in
        rust().filter(|file| !file.path.ends_with("/tasks.rs") && !file.path.starts_with("xtask/"))
    {
        for (number, line) in shipped(&file) {
            if ["tokio::spawn(", "task::spawn(", "spawn_local("]
                .iter()
                .any(|spawn| line.contains(spawn))
            {
                complaints.push(format!(
                    "{}:{number}: use tasks::spawn(name, ..)",
                    file.path
                ));
            }
        }
    }
    assert_none(&complaints);
}

/// The only ones that may ask what time it is for people: to show it, to seed a dice, and to know how old
/// something on disk is, which may be of before the machine was started.
const WALL_CLOCKS: [&str; 7] = [
    "crates/cli/src/moving/journal/clock.rs",
    "crates/daemon/src/kept_words/clock.rs",
    "crates/daemon/src/kept_words/folder/tests.rs",
    "crates/daemon/src/logs.rs",
    "crates/shim/src/direct.rs",
    "crates/shim/src/pump/outage.rs",
    "sim/src/main.rs",
];

#[test]
fn nothing_is_decided_by_the_wall_clock() {
    let words = [
        concat!("SystemTime::", "now"),
        concat!("UNIX_EPOCH.", "elapsed"),
        concat!("ClockId::", "Realtime"),
        concat!("Utc::", "now"),
        concat!("Local::", "now"),
    ];
    let mut complaints = Vec::new();
    for file in rust().filter(|file| !WALL_CLOCKS.contains(&file.path.as_str())) {
        for (number, line) in shipped(&file) {
            if words.iter().any(|word| line.contains(word)) {
                complaints.push(format!(
                    "{}:{number}: a clock that jumps; use Instant, or show it in the log",
                    file.path
                ));
            }
        }
    }
    assert_none(&complaints);
}

/// Where a process is signalled by its number: the groups of leaders that the guardian, or the shim or the
/// verb that is their parent, has not reaped, a child of ours that nobody has, and the process itself.
const SIGNALLERS: [&str; 8] = [
    "crates/guardian/src/stop.rs",
    "crates/shim/src/stand_in.rs",
    "crates/cli/src/moving/verify.rs",
    "crates/cli/src/service/login_path.rs",
    "crates/cli/src/trial/child.rs",
    // Where there is nothing better than a number.
    "crates/sys/src/process/other.rs",
    "crates/sys/src/quit.rs",
    "crates/sys/src/signals/other.rs",
];

#[test]
fn no_process_is_signalled_by_a_number_that_may_be_another_s_by_now() {
    let words = [
        concat!("kill_", "process("),
        concat!("kill_process_", "group("),
        concat!("libc::", "kill"),
        concat!("killpg", "("),
        concat!("Command::new(\"", "kill\")"),
    ];
    let installed = |file: &File| file.path.starts_with("crates/") && file.path.contains("/src/");
    let mut complaints = Vec::new();
    for file in rust()
        .filter(|file| installed(file) && !file.path.contains("/src/bin/fake_server/"))
        .filter(|file| !SIGNALLERS.contains(&file.path.as_str()))
    {
        for (number, line) in shipped(&file) {
            if words.iter().any(|word| line.contains(word)) {
                complaints.push(format!(
                    "{}:{number}: signal by pidfd, or in guardian/src/stop.rs",
                    file.path
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, or this list would find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
        concat!("#[ign", "ore"),
        concat!("#[should_", "panic"),
    ];
    let mut complaints = Vec::new();
    for file in rust() {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                complaints.push(format!("{}:{}: `{word}`", file.path, index + 1));
            }
        }
    }
    assert_none(&complaints);
}
