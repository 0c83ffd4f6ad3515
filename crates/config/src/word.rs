//! Settings that have one of a few words.

use thiserror::Error;

/// A word that is none of those that a setting knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is not one of {}", quoted(.known))]
pub struct UnknownWord {
    /// The word itself.
    pub word: String,
    /// The words that the setting knows.
    pub known: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(word: &str, known: &'static [&'static str]) -> Self {
        UnknownWord {
            word: word.to_owned(),
            known,
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// Gives each value of a setting its word, to be written and to be read back.
macro_rules! words {
    ($setting:ident { $($value:ident => $word:literal),+ $(,)? }) => {
        impl $setting {
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it: in a configuration file, on a command line, in `status`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($setting::$value => $word),+
                }
            }
        }

        impl std::str::FromStr for $setting {
            type Err = $crate::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($setting::$value),)+
                    _unknown => Err($crate::UnknownWord::new(word, $setting::WORDS)),
                }
            }
        }
    };
}

pub(crate) use words;
