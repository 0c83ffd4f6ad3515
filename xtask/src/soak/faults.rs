//! What went wrong, by class.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How many of each class are kept in words; all are counted.
const TOLD_MAX: usize = 10;

/// The ways in which a message can come to harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Misrouted,
    Lost,
    Duplicated,
    Altered,
    /// Anything else that must not be: refusals without a reason, sessions that end by themselves.
    Unexpected,
}

impl Class {
    pub(crate) const ALL: [Class; 5] = [
        Class::Misrouted,
        Class::Lost,
        Class::Duplicated,
        Class::Altered,
        Class::Unexpected,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Misrouted => "misrouted",
            Class::Lost => "lost",
            Class::Duplicated => "duplicated",
            Class::Altered => "altered",
            Class::Unexpected => "unexpected",
        }
    }
}

/// What all clients have found, and the ledgers.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<BTreeMap<Class, Vec<String>>>);

impl Faults {
    pub(crate) fn note(&self, class: Class, what: String) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = faults.entry(class).or_default();
        // Beyond the first few only the number matters.
        told.push(if told.len() < TOLD_MAX {
            what
        } else {
            String::new()
        });
    }

    pub(crate) fn count(&self, class: Class) -> usize {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(&class).map_or(0, Vec::len)
    }

    pub(crate) fn are_none(&self) -> bool {
        Class::ALL.iter().all(|class| self.count(*class) == 0)
    }

    /// The first of each class, a line each.
    pub(crate) fn told(&self) -> Vec<String> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = faults.iter().flat_map(|(class, told)| {
            let some = told.iter().filter(|what| !what.is_empty());
            some.map(move |what| format!("{}: {what}", class.name()))
        });
        lines.collect()
    }
}
