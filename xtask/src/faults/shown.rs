//! What a row has shown: figures, each with its goal if it has one.

use std::{fmt::Display, time::Duration};

use serde::Serialize;

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) seen: String,
    /// What it has to be; nothing if it is only of interest.
    pub(crate) goal: String,
    pub(crate) is_held: bool,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Held,
    Missed,
    /// This machine does not let it happen.
    NotTried,
}

impl Verdict {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Missed => "missed",
            Verdict::NotTried => "not tried",
        }
    }
}

/// The figures of one row, as they come in.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    figures: Vec<Figure>,
    /// What went wrong, for a person.
    words: Vec<String>,
    is_not_tried: bool,
    pace: Pace,
}

/// How times are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the goals say.
    #[default]
    Exact,
    /// On a machine that does other things besides: what is beyond this hangs, or is far too slow.
    Busy,
}

impl Pace {
    fn allows(self, seen: Duration, most: Duration) -> bool {
        match self {
            Pace::Exact => seen <= most,
            Pace::Busy => seen <= most * 5 + Duration::from_secs(2),
        }
    }
}

/// How much of what went wrong is told.
const WORDS_MAX: usize = 8;

impl Shown {
    pub(crate) fn new(pace: Pace) -> Shown {
        Shown {
            pace,
            ..Shown::default()
        }
    }

    /// Something of interest.
    pub(crate) fn fact(&mut self, name: &str, seen: impl Display) {
        self.add(name, seen.to_string(), String::new(), true);
    }

    /// A number that must not be exceeded.
    pub(crate) fn at_most(&mut self, name: &str, seen: u64, most: u64) {
        let goal = if most == 0 {
            "0".to_owned()
        } else {
            format!("≤ {most}")
        };
        self.add(name, seen.to_string(), goal, seen <= most);
    }

    /// A number that must be reached.
    pub(crate) fn at_least(&mut self, name: &str, seen: u64, least: u64) {
        self.add(name, seen.to_string(), format!("≥ {least}"), seen >= least);
    }

    /// So many of all; it must be all.
    pub(crate) fn all(&mut self, name: &str, seen: u64, all: u64) {
        self.add(
            name,
            format!("{seen} of {all}"),
            "all".to_owned(),
            seen == all,
        );
    }

    /// A time that must not be exceeded; a busy machine has more of it.
    pub(crate) fn within(&mut self, name: &str, seen: Option<Duration>, most: Duration) {
        let goal = format!("≤ {}", milliseconds(most));
        match seen {
            Some(seen) => self.add(name, milliseconds(seen), goal, self.pace.allows(seen, most)),
            None => self.add(name, "nothing".to_owned(), goal, false),
        }
    }

    /// A share of a time, in percent, that must not be exceeded.
    pub(crate) fn share(&mut self, name: &str, part: Duration, of: Duration, most_percent: f64) {
        let seen = 100.0 * part.as_secs_f64() / of.as_secs_f64();
        // A busy machine only makes it less, but what runs there is not optimised.
        let factor = match self.pace {
            Pace::Busy => 2.0,
            Pace::Exact => 1.0,
        };
        let is_held = seen <= most_percent * factor;
        self.add(
            name,
            format!("{seen:.1} %"),
            format!("≤ {most_percent} %"),
            is_held,
        );
    }

    /// Something went wrong, in words; figures say how often.
    pub(crate) fn tell(&mut self, words: impl Into<String>) {
        if self.words.len() < WORDS_MAX {
            self.words.push(words.into());
        }
    }

    /// The row could not be played to its end.
    pub(crate) fn broken(&mut self, why: &str) {
        self.add("played", "no".to_owned(), "to the end".to_owned(), false);
        self.tell(why);
    }

    /// This machine has no way to let the fault happen.
    pub(crate) fn not_tried(&mut self, why: &str) {
        self.is_not_tried = true;
        self.fact("why not", why);
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.figures.iter().any(|figure| !figure.is_held) {
            Verdict::Missed
        } else if self.is_not_tried {
            Verdict::NotTried
        } else {
            Verdict::Held
        }
    }

    pub(crate) fn figures(&self) -> &[Figure] {
        &self.figures
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    fn add(&mut self, name: &str, seen: String, goal: String, is_held: bool) {
        self.figures.push(Figure {
            name: name.to_owned(),
            seen,
            goal,
            is_held,
        });
    }
}

/// The time that so many of a hundred do not exceed; nothing if there are none.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_percentile_is_one_of_the_times_and_none_of_none() {
        let times: Vec<Duration> = (1..=200).rev().map(|n| MS * n).collect();
        assert_eq!(percentile(&times, 99), Some(MS * 198));
        assert_eq!(percentile(&times, 100), Some(MS * 200));
        assert_eq!(percentile(&times[..1], 50), Some(MS * 200));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn one_figure_beyond_its_goal_is_a_row_missed() {
        let mut shown = Shown::new(Pace::Exact);
        shown.fact("rounds", 3);
        shown.at_most("lost", 0, 0);
        shown.within("restart", Some(MS * 90), MS * 100);
        assert_eq!(shown.verdict(), Verdict::Held);
        shown.within("restart", None, MS * 100);
        assert_eq!(shown.verdict(), Verdict::Missed);
    }

    #[test]
    fn a_busy_machine_has_more_time_and_nothing_else_more() {
        let mut shown = Shown::new(Pace::Busy);
        shown.within("answer", Some(MS * 2500), MS * 100);
        assert_eq!(shown.verdict(), Verdict::Held);
        shown.at_most("spawns", 13, 12);
        assert_eq!(shown.verdict(), Verdict::Missed);
    }

    #[test]
    fn a_busy_machine_does_not_have_all_the_time_there_is() {
        let mut shown = Shown::new(Pace::Busy);
        shown.within("answer", Some(MS * 2501), MS * 100);
        assert_eq!(shown.verdict(), Verdict::Missed);
    }
}
