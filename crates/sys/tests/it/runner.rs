//! A test runner that leaves the main thread, and the main function, to the tests.
//!
//! The usual one runs tests on other threads. What is tested here is a matter of the
//! whole process, so the tests start this very program again in a role of its own,
//! and for that they need its main function.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io, thread};

/// Longest wait for anything, in a test that goes wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A name, which is a true statement, and the function that tells whether it is.
pub(crate) type Test = (&'static str, fn());

/// Lists functions as tests.
#[macro_export]
macro_rules! tests {
    ($($(#[$attribute:meta])* $path:path),* $(,)?) => {
        &[$((stringify!($path), $path)),*]
    };
}

/// Runs the tests that the arguments ask for, all at the same time, and sums up in the
/// words of the usual runner.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let wanted = |name: &str| {
        let fits = |filter: &&String| {
            if exact {
                name == *filter
            } else {
                name.contains(*filter)
            }
        };
        filters.is_empty() || filters.iter().any(fits)
    };
    let chosen: Vec<&Test> = tests.iter().filter(|(name, _)| wanted(name)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in chosen {
            say(&format!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }

    say(&format!("\nrunning {} tests", chosen.len()));
    let start = |(name, test): &&Test| {
        let thread = thread::Builder::new().name((*name).to_owned());
        (*name, thread.spawn(*test).expect("a thread for the test"))
    };
    let running: Vec<_> = chosen.iter().map(start).collect();
    let mut failed = 0;
    let count = running.len();
    for (name, thread) in running {
        let passed = thread.join().is_ok();
        failed += usize::from(!passed);
        say(&format!(
            "test {name} ... {}",
            if passed { "ok" } else { "FAILED" }
        ));
    }
    let (verdict, code) = if failed == 0 {
        ("ok", ExitCode::SUCCESS)
    } else {
        ("FAILED", ExitCode::FAILURE)
    };
    let (passed, filtered) = (count - failed, tests.len() - count);
    say(&format!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out\n"
    ));
    code
}

/// Looks again and again until the answer is there.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "never came: {what}");
        // Nobody unparks us: this only leaves the processor to those we wait for.
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn say(line: &str) {
    // Whoever started us may have stopped reading.
    let _ = writeln!(io::stdout(), "{line}");
}
