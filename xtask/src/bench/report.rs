//! The table.

use serde::Serialize;

/// One measure: its value, its goal, and the figures that the value was made from.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) value: f64,
    /// What follows the value: `×`, `kB`, `MB`.
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
    pub(crate) is_met: bool,
    /// Each with its name, ready to be read.
    pub(crate) figures: Vec<(&'static str, String)>,
}

/// What the value must be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(crate) fn new(
        measure: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Goal,
    ) -> Row {
        let is_met = match goal {
            Goal::AtMost(limit) => value <= limit,
            Goal::AtLeast(limit) => value >= limit,
        };
        Row {
            measure: measure.into(),
            value,
            unit,
            goal,
            is_met,
            figures: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, figure: impl Into<String>) -> Row {
        self.figures.push((name, figure.into()));
        self
    }

    /// One line, for a person who watches the rows come in.
    pub(crate) fn as_line(&self) -> String {
        let [measure, value, goal, is_met, figures] = self.cells();
        format!("{measure}: {value} (goal {goal}, {is_met}) · {figures}")
    }

    fn cells(&self) -> [String; 5] {
        let (sign, limit) = match self.goal {
            Goal::AtMost(limit) => ("≤", limit),
            Goal::AtLeast(limit) => ("≥", limit),
        };
        let unit = self.unit;
        let decimals = if unit == "×" { 3 } else { 1 };
        let figures = self
            .figures
            .iter()
            .map(|(name, figure)| format!("{name} {figure}"));
        [
            self.measure.clone(),
            format!("{:.decimals$} {unit}", self.value),
            format!("{sign} {limit} {unit}"),
            if self.is_met {
                "met".into()
            } else {
                "MISSED".into()
            },
            figures.collect::<Vec<_>>().join(", "),
        ]
    }
}

/// All rows as a table that Markdown understands, too.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["measure", "mcpool", "goal", "", "measured"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|cells| cells[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text: Vec<String> = Vec::new();
    for cells in lines {
        let cells = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push(format!("| {} |", cells.collect::<Vec<_>>().join(" | ")));
    }
    text.insert(
        1,
        format!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|")),
    );
    format!("\n{}", text.join("\n"))
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// The 99th percentile.
pub(crate) fn p99(samples: Vec<f64>) -> f64 {
    percentile(samples, 99)
}

pub(crate) fn p95(samples: Vec<f64>) -> f64 {
    percentile(samples, 95)
}

fn percentile(mut samples: Vec<f64>, percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = samples.len() * percent / 100;
    samples.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_lies_between_the_two() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_goal_is_met_on_its_own_side() {
        assert!(Row::new("a", 1.0, "×", Goal::AtMost(1.0)).is_met);
        assert!(!Row::new("a", 0.3, "×", Goal::AtLeast(0.4)).is_met);
    }

    #[test]
    fn the_99th_percentile_has_one_in_a_hundred_above_it() {
        let samples: Vec<f64> = (0..1000).map(f64::from).collect();
        let value = p99(samples.clone());
        assert_eq!(samples.iter().filter(|sample| **sample > value).count(), 9);
    }
}
