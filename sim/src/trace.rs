//! What happened in a world, for a person or as one number.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// How much of a world is written down.
#[derive(Debug, Default)]
pub enum Trace {
    /// Nothing: fastest.
    #[default]
    Off,
    /// One number that any byte changes.
    Hash(DefaultHasher),
    /// Every line.
    Lines(Vec<String>),
}

impl Trace {
    /// One number of all, to begin with.
    pub fn hash() -> Self {
        Trace::Hash(DefaultHasher::new())
    }

    /// Writes something down, if anything is.
    pub fn note(&mut self, words: impl FnOnce() -> String) {
        match self {
            Trace::Off => {}
            Trace::Hash(hasher) => words().hash(hasher),
            Trace::Lines(lines) => lines.push(words()),
        }
    }

    /// The number of all that was written down.
    pub fn digest(&self) -> u64 {
        match self {
            Trace::Off => 0,
            Trace::Hash(hasher) => hasher.finish(),
            Trace::Lines(lines) => {
                let mut hasher = DefaultHasher::new();
                for line in lines {
                    line.hash(&mut hasher);
                }
                hasher.finish()
            }
        }
    }
}
