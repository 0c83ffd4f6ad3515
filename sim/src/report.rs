//! What many worlds came to, for a person.

use std::fmt::Write as _;

use crate::{Kind, Tally};

/// The counts, and what was never reached.
pub fn report(tally: &Tally) -> String {
    let mut text = format!(
        "{} worlds, {} steps, {} messages to the core and {} from it, each checked\n",
        tally.worlds, tally.steps, tally.heard, tally.given
    );
    for kind in Kind::ALL {
        let (title, names) = kind.all();
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{title}:");
        for names in names.chunks(3) {
            let cells = names
                .iter()
                .map(|name| format!("{:>9} {name:<28}", tally.count(kind, name)));
            let line: String = cells.collect();
            let _infallible = writeln!(text, "  {}", line.trim_end());
        }
        let missing = tally.missing(kind);
        if !missing.is_empty() {
            let _infallible = writeln!(text, "  never: {}", missing.join(", "));
        }
    }
    text
}
