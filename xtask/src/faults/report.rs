//! The table.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    rows::Row,
    shown::{Figure, Shown, Verdict},
};
use crate::{table, test::Counts};

/// All rows that were played.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Played>);

#[derive(Debug, Serialize)]
struct Played {
    row: String,
    fault: &'static str,
    rounds: u32,
    seconds: f64,
    figures: Vec<Figure>,
    words: Vec<String>,
    verdict: Verdict,
}

impl Report {
    pub(crate) fn add(&mut self, row: &Row, rounds: u32, took: Duration, shown: &Shown) {
        self.0.push(Played {
            row: row.label(),
            fault: row.fault,
            rounds,
            seconds: took.as_secs_f64(),
            figures: shown.figures().to_vec(),
            words: shown.words().to_vec(),
            verdict: shown.verdict(),
        });
    }

    pub(crate) fn missed(&self) -> usize {
        self.counts().failed
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for played in &self.0 {
            match played.verdict {
                Verdict::Held => counts.add(true),
                Verdict::Missed => counts.add(false),
                Verdict::NotTried => {}
            }
        }
        counts
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&self.0)?)
    }

    /// A line for each figure; what a row is called stands on its first.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![
            [
                "row", "fault", "rounds", "figure", "seen", "goal", "verdict",
            ]
            .map(str::to_owned),
        ];
        for played in &self.0 {
            for (index, figure) in played.figures.iter().enumerate() {
                let first = |text: &str| {
                    if index == 0 {
                        text.to_owned()
                    } else {
                        String::new()
                    }
                };
                let verdict = if figure.is_held {
                    first(played.verdict.words())
                } else {
                    Verdict::Missed.words().to_owned()
                };
                lines.push([
                    first(&played.row),
                    first(played.fault),
                    first(&played.rounds.to_string()),
                    figure.name.clone(),
                    figure.seen.clone(),
                    figure.goal.clone(),
                    verdict,
                ]);
            }
        }
        let mut text = table::aligned(&lines);
        for played in &self.0 {
            for words in &played.words {
                let _infallible = writeln!(text, "{}: {words}", played.row);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{rows, shown::Pace};

    #[test]
    fn each_figure_has_a_line_and_a_missed_one_says_so_itself() {
        let mut shown = Shown::new(Pace::Exact);
        shown.at_most("lost", 0, 0);
        shown.at_most("twice", 2, 0);
        shown.tell("[1,0,1] was executed 2 times");
        let mut report = Report::default();
        let row = &rows::ALL[0];
        report.add(row, 7, Duration::ZERO, &shown);
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(
            lines[1].contains(row.fault) && lines[1].ends_with("missed"),
            "{table}"
        );
        assert!(lines[2].trim_start().starts_with("twice"), "{table}");
        assert!(
            lines[3].ends_with("[1,0,1] was executed 2 times"),
            "{table}"
        );
        assert_eq!(report.missed(), 1);
    }
}
