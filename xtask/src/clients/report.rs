//! What came of it, as one table.

use std::time::Duration;

use crate::table;

/// How much of a reason stands in the table; all of it stands below.
const SHOWN_MAX: usize = 100;

/// What came of one client on one way to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All as it should be; what it showed.
    Fine(String),
    /// Why not.
    Failed(String),
    /// Why it cannot be installed here.
    Missing(String),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) client: String,
    pub(super) transport: &'static str,
    pub(super) era: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// All lines, and what the daemon left behind.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    complaints: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in how the daemon ended.
    pub(super) fn complain(&mut self, end: anyhow::Result<()>) {
        if let Err(error) = end {
            self.complaints.push(format!("{error:#}"));
        }
    }

    /// Whether everything is as it should be.
    pub(super) fn is_fine(&self, may_be_missing: bool) -> bool {
        let fine = |row: &Row| match row.outcome {
            Outcome::Fine(_) => true,
            Outcome::Failed(_) => false,
            Outcome::Missing(_) => may_be_missing,
        };
        self.complaints.is_empty() && self.rows.iter().all(fine)
    }

    pub(super) fn text(&self) -> String {
        let head = ["client", "transport", "server", "outcome", "seconds"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let mut text = table::aligned(&lines);
        for row in &self.rows {
            if let Outcome::Failed(why) | Outcome::Missing(why) = &row.outcome {
                let name = [&*row.client, row.transport, row.era].join(" × ");
                text.extend([format!("\n{name}:\n    {}\n", why.replace('\n', "\n    "))]);
            }
        }
        for complaint in &self.complaints {
            text.extend([format!("\nthe daemon: {complaint}\n")]);
        }
        let count = |of: fn(&Outcome) -> bool| {
            let found = self.rows.iter().filter(|row| of(&row.outcome));
            found.count()
        };
        let fine = count(|outcome| matches!(outcome, Outcome::Fine(_)));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let missing = count(|outcome| matches!(outcome, Outcome::Missing(_)));
        text.extend([format!(
            "\n{fine} fine, {failed} failed, {missing} not installed"
        )]);
        text
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let begin = |why: &str| -> String {
            let words: Vec<&str> = why.split_whitespace().collect();
            words.join(" ").chars().take(SHOWN_MAX).collect()
        };
        let outcome = match &self.outcome {
            Outcome::Fine(shown) => format!("ok: {shown}"),
            Outcome::Failed(why) => format!("FAILED: {}", begin(why)),
            Outcome::Missing(why) => format!("not installed: {}", begin(why)),
        };
        let took = match self.outcome {
            Outcome::Missing(_) => "-".to_owned(),
            Outcome::Fine(_) | Outcome::Failed(_) => format!("{:.1}", self.took.as_secs_f64()),
        };
        let [transport, era] = [self.transport, self.era].map(str::to_owned);
        [self.client.clone(), transport, era, outcome, took]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[Outcome]) -> Report {
        let mut report = Report::default();
        for outcome in outcomes {
            report.add(Row {
                client: "codex".into(),
                transport: "http",
                era: "modern",
                outcome: outcome.clone(),
                took: Duration::from_millis(1500),
            });
        }
        report
    }

    #[test]
    fn a_client_that_is_not_there_is_a_failure_unless_that_is_allowed() {
        let fine = Outcome::Fine("29 tools".into());
        let missing = Outcome::Missing("npm ended with 1\nnpm error 404".into());
        let failed = Outcome::Failed("refused".into());
        assert!(report(std::slice::from_ref(&fine)).is_fine(false));
        assert!(!report(&[fine.clone(), missing.clone()]).is_fine(false));
        assert!(report(&[fine.clone(), missing.clone()]).is_fine(true));
        assert!(!report(&[fine.clone(), failed]).is_fine(true));

        let text = report(&[fine, missing]).text();
        assert!(text.contains("ok: 29 tools  "), "{text}");
        assert!(text.contains("1.5\n"), "{text}");
        assert!(
            text.contains("not installed: npm ended with 1 npm error 404 "),
            "{text}"
        );
        assert!(text.contains("\n    npm error 404\n"), "{text}");
        assert!(
            text.ends_with("1 fine, 0 failed, 1 not installed"),
            "{text}"
        );
    }

    #[test]
    fn what_the_daemon_left_behind_is_a_failure() {
        let mut report = report(&[Outcome::Fine("so".into())]);
        report.complain(Err(anyhow::anyhow!("two processes where one would do")));
        assert!(!report.is_fine(true));
        assert!(report.text().contains("two processes where one would do"));
    }
}
