//! What was found, for a person.

use super::finding::{Finding, Report, Weight};
use crate::ui::{Page, Render};

impl Render for Report {
    fn render(&self, page: &mut Page) {
        for finding in &self.findings {
            finding.render(page);
        }
        if self.is_well {
            page.line("All is well.");
        }
    }
}

impl Render for Finding {
    fn render(&self, page: &mut Page) {
        let word = match self.weight {
            Weight::Problem => "problem",
            Weight::Note => "note",
            Weight::Mended => "mended",
        };
        page.line(format_args!("{word}: {}", self.what));
        if let Some(next) = &self.next {
            page.line(format_args!("    {next}"));
        }
        if let Some(undo) = &self.undo {
            page.line(format_args!("    to take that back: {undo}"));
        }
    }
}
