//! Servers that run in duplicate without mcpool, and what ended sessions have left behind.

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::advice;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(survey) = &patient.survey else {
        return Vec::new();
    };
    let groups = advice::groups(survey);
    let in_duplicate = groups.iter().filter(|group| {
        let is_shared = advice::verdict(&group.signals).0.is_shared();
        group.signals.copies > 1 && is_shared
    });
    let mut findings: Vec<Finding> = in_duplicate
        .map(|group| {
            let what = format!(
                "`{}` runs {} times without mcpool, in {} MB",
                group.name,
                group.signals.copies,
                group.signals.now.pss_kb.div_ceil(1024)
            );
            Finding::note(Check::Duplicates, what).next("run: mcpool advise")
        })
        .collect();
    let orphans = survey.orphans.len();
    if orphans > 0 {
        let what = format!("{orphans} servers were left behind by sessions that have ended");
        let next = "run: mcpool advise --kill-orphans, which asks first";
        findings.push(Finding::note(Check::Duplicates, what).next(next));
    }
    findings
}
