//! The table.

use std::{fmt::Write as _, time::Duration};

use super::checks::{Checks, Status};
use crate::{table, test::Counts};

/// All that was played.
#[derive(Debug, Default)]
pub(crate) struct Report {
    played: Vec<Played>,
    /// What the daemon had to say at its end.
    complaints: Vec<String>,
    /// How many daemons there were that could have something to say.
    daemons: usize,
}

/// One suite that was played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) name: String,
    /// The server that was played against.
    pub(crate) behind: &'static str,
    pub(crate) checks: Checks,
    pub(crate) goal: Goal,
    /// Whether the suite itself says that all is well.
    pub(crate) is_content: bool,
    pub(crate) took: Duration,
}

/// What a suite must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// So many checks that pass, and none that fails.
    Full(usize),
    /// So many that pass, and of all others those that cannot be translated between the eras, each of them.
    But(usize, &'static [Missing]),
    /// That the suite itself says so.
    Exit,
    /// Nothing in particular: what it gives is told.
    Unset,
}

/// A check that does not pass where the server is of the other era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) scenario: &'static str,
    pub(crate) check: &'static str,
    /// Whether it is one that should pass, but need not.
    pub(crate) is_warning: bool,
}

/// How many checks fail that are missing.
pub(crate) fn failures(missing: &[Missing]) -> usize {
    missing.iter().filter(|it| !it.is_warning).count()
}

impl Goal {
    pub(crate) fn words(self) -> String {
        match self {
            Goal::Full(passed) => format!("{passed} / 0"),
            Goal::But(passed, missing) => format!("{passed} / {}", failures(missing)),
            Goal::Exit => "exit 0".to_owned(),
            Goal::Unset => "none".to_owned(),
        }
    }
}

impl Played {
    fn is_met(&self) -> bool {
        let checks = &self.checks;
        match self.goal {
            Goal::Full(passed) => self.is_content && (checks.passed, checks.failed) == (passed, 0),
            Goal::But(passed, missing) => {
                checks.passed == passed
                    && checks.failed == failures(missing)
                    && self.misses_just(missing)
            }
            Goal::Exit => self.is_content,
            Goal::Unset => true,
        }
    }

    fn misses_just(&self, missing: &[Missing]) -> bool {
        let wrong = self.checks.wrong.iter();
        let mut wrong: Vec<(&str, &str)> = wrong
            .map(|(scenario, check)| (&**scenario, &*check.id))
            .collect();
        let missing = missing.iter();
        let mut missing: Vec<(&str, &str)> = missing.map(|it| (it.scenario, it.check)).collect();
        wrong.sort_unstable();
        missing.sort_unstable();
        wrong == missing
    }

    /// Whether its checks are told of one by one.
    fn is_told_of(&self) -> bool {
        !self.is_met() || self.goal == Goal::Unset
    }
}

impl Report {
    pub(crate) fn add(&mut self, played: Played) {
        self.played.push(played);
    }

    /// Takes in how a daemon ended.
    pub(crate) fn complain(&mut self, end: anyhow::Result<()>) {
        self.daemons += 1;
        self.complaints
            .extend(end.err().map(|error| format!("{error:#}")));
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for played in &self.played {
            counts.add(played.is_met());
        }
        for number in 0..self.daemons {
            counts.add(number >= self.complaints.len());
        }
        counts
    }

    pub(crate) fn text(&self) -> String {
        let head = ["suite", "server", "passed", "failed", "goal", "seconds", ""];
        let mut lines = vec![head.map(str::to_owned)];
        for played in &self.played {
            let verdict = match (played.goal, played.is_met()) {
                (Goal::Unset, _any) => "",
                (Goal::Full(_) | Goal::But(..) | Goal::Exit, true) => "met",
                (Goal::Full(_) | Goal::But(..) | Goal::Exit, false) => "missed",
            };
            lines.push([
                played.name.clone(),
                played.behind.to_owned(),
                played.checks.passed.to_string(),
                played.checks.failed.to_string(),
                played.goal.words(),
                format!("{:.1}", played.took.as_secs_f64()),
                verdict.to_owned(),
            ]);
        }
        let mut text = table::aligned(&lines);
        for played in self.played.iter().filter(|played| played.is_told_of()) {
            // Writing to memory cannot fail.
            let _infallible = writeln!(text, "\n{} ({}):", played.name, played.behind);
            let checks = &played.checks;
            for (scenario, check) in checks.wrong.iter().chain(&checks.unseen) {
                let note = match check.status {
                    Status::Success | Status::Failure => "",
                    Status::Warning => " (only a warning)",
                    Status::Info | Status::Skipped => " (not looked at)",
                };
                let reason = check.reason().unwrap_or("no reason is given");
                let _infallible = writeln!(text, "  {scenario}: {}{note}: {reason}", check.id);
            }
        }
        for complaint in &self.complaints {
            let _infallible = writeln!(text, "\nthe daemon: {complaint}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use serde_json::json;

    use super::*;

    const FAILURE: &str = "FAILURE";

    fn played(passed: usize, wrong: &[&str]) -> Played {
        let check = |status: &&str| {
            let check = json!({"id": "wire", "status": status, "errorMessage": "no id"});
            ("ping".to_owned(), serde_json::from_value(check).unwrap())
        };
        let failed = wrong.iter().filter(|status| **status == FAILURE).count();
        Played {
            name: "2025-06-18 all".to_owned(),
            behind: "legacy",
            checks: Checks {
                passed,
                failed,
                wrong: wrong.iter().map(check).collect(),
                unseen: Vec::new(),
            },
            goal: Goal::Full(2),
            is_content: failed == 0,
            took: Duration::from_secs(3),
        }
    }

    #[test]
    fn a_suite_is_met_by_its_whole_number_alone() {
        assert!(played(2, &[]).is_met());
        assert!(!played(1, &["WARNING"]).is_met());
        assert!(!played(3, &[]).is_met());
        assert!(!played(2, &[FAILURE]).is_met());
        let unscored = Played {
            goal: Goal::Exit,
            is_content: true,
            ..played(1, &[FAILURE])
        };
        assert!(unscored.is_met());
        assert!(
            !Played {
                is_content: false,
                ..unscored
            }
            .is_met()
        );
    }

    #[test]
    fn what_cannot_be_translated_is_just_that_and_nothing_else() {
        const MISSING: &[Missing] = &[Missing {
            scenario: "ping",
            check: "wire",
            is_warning: false,
        }];
        let across = |played: Played, missing| Played {
            goal: Goal::But(1, missing),
            ..played
        };
        assert!(across(played(1, &[FAILURE]), MISSING).is_met());
        assert!(
            !across(played(2, &[]), MISSING).is_met(),
            "it can be by now"
        );
        assert!(!across(played(1, &[FAILURE, FAILURE]), MISSING).is_met());
        assert!(!across(played(1, &["WARNING"]), MISSING).is_met());
        assert!(!across(played(1, &[FAILURE]), &[]).is_met());
        assert_eq!(Goal::But(1, MISSING).words(), "1 / 1");
    }

    #[test]
    fn what_failed_is_told_below_the_table_with_its_reason() {
        let mut report = Report::default();
        report.add(played(2, &[]));
        report.add(played(1, &[FAILURE]));
        report.complain(Ok(()));
        let text = report.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].ends_with("met") && lines[2].ends_with("missed"),
            "{text}"
        );
        assert_eq!(lines.last(), Some(&"  ping: wire: no id"));
        let counts = report.counts();
        assert_eq!((counts.passed, counts.failed), (2, 1));
    }

    #[test]
    fn a_daemon_that_complains_is_a_failure() {
        let mut report = Report::default();
        report.add(played(2, &[]));
        report.complain(Err(anyhow!("its books are not clean")));
        assert_eq!(report.counts().failed, 1);
        assert!(
            report
                .text()
                .ends_with("the daemon: its books are not clean\n")
        );
    }
}
