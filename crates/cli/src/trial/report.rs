//! What was measured, side by side.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::ui::{Align, Page, Render, Table};

/// The result of a trial.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) sessions: usize,
    pub(crate) ballast_mb: usize,
    pub(crate) without: Measured,
    pub(crate) with: Measured,
}

/// The same sessions in one of the two ways.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Of servers, shims, daemon and guardian.
    pub(crate) processes: usize,
    /// Of all of them together.
    pub(crate) pss_kb: u64,
    /// From the start of a session until it knew its tools: in the middle.
    #[serde(rename = "ready_median_s", serialize_with = "seconds")]
    pub(crate) ready_median: Duration,
    /// The same, of the session that waited longest.
    #[serde(rename = "ready_last_s", serialize_with = "seconds")]
    pub(crate) ready_last: Duration,
    /// From a call to its result.
    #[serde(rename = "call_median_s", serialize_with = "seconds")]
    pub(crate) call_median: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// The middle one; sorts them.
pub(super) fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default()
}

impl Render for Report {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "{} sessions on a server that holds {} MB",
            self.sessions, self.ballast_mb
        ));
        page.blank();
        let mut table = Table::new(&[
            ("", Align::Left),
            ("WITHOUT", Align::Right),
            ("WITH MCPOOL", Align::Right),
            ("", Align::Left),
        ]);
        let (without, with) = (&self.without, &self.with);
        table.row([
            "processes".into(),
            without.processes.to_string(),
            with.processes.to_string(),
        ]);
        table.row([
            "memory (PSS)".into(),
            megabytes(without.pss_kb),
            megabytes(with.pss_kb),
            ratio(kilobytes(without.pss_kb), kilobytes(with.pss_kb), "less"),
        ]);
        let mut time = |what: &str, without: Duration, with: Duration| {
            let (slower, faster) = (with.as_secs_f64(), without.as_secs_f64());
            let ratio = if slower > faster {
                ratio(slower, faster, "longer")
            } else {
                ratio(faster, slower, "shorter")
            };
            table.row([what.into(), readable(without), readable(with), ratio]);
        };
        time(
            "until a session can call (median)",
            without.ready_median,
            with.ready_median,
        );
        time(
            "until every session can call",
            without.ready_last,
            with.ready_last,
        );
        time("a call (median)", without.call_median, with.call_median);
        page.table(&table);
    }
}

fn kilobytes(kb: u64) -> f64 {
    // Exact up to 2^32 kB; beyond, nobody counts.
    u32::try_from(kb).map_or(f64::INFINITY, f64::from)
}

fn megabytes(kb: u64) -> String {
    format!("{:.1} MB", kilobytes(kb) / 1024.0)
}

fn readable(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    if micros < 1e3 {
        format!("{micros:.0} µs")
    } else if micros < 1e6 {
        format!("{:.1} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

fn ratio(more: f64, less: f64, word: &str) -> String {
    if less > 0.0 {
        format!("{:.1} times {word}", more / less)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_is_one_small_table() {
        let report = Report {
            schema: 1,
            sessions: 10,
            ballast_mb: 200,
            without: Measured {
                processes: 10,
                pss_kb: 2_060_000,
                ready_median: Duration::from_millis(1412),
                ready_last: Duration::from_millis(1820),
                call_median: Duration::from_micros(12),
            },
            with: Measured {
                processes: 13,
                pss_kb: 210_100,
                ready_median: Duration::from_micros(180_300),
                ready_last: Duration::from_millis(190),
                call_median: Duration::from_micros(48),
            },
        };
        let mut page = Page::new(false);
        report.render(&mut page);
        expect![[r"
            10 sessions on a server that holds 200 MB

                                                 WITHOUT  WITH MCPOOL
            processes                                 10           13
            memory (PSS)                       2011.7 MB     205.2 MB  9.8 times less
            until a session can call (median)     1.41 s     180.3 ms  7.8 times shorter
            until every session can call          1.82 s     190.0 ms  9.6 times shorter
            a call (median)                        12 µs        48 µs  4.0 times longer
        "]]
        .assert_eq(&page.into_text());
    }

    #[test]
    fn the_median_is_the_middle_of_what_was_sorted() {
        let mut durations = [3, 1, 2].map(Duration::from_secs);
        assert_eq!(median(&mut durations), Duration::from_secs(2));
        assert_eq!(median(&mut []), Duration::ZERO);
    }
}
