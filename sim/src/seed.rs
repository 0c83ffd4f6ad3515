//! Where chance comes from: one number, and everything else follows.

use std::time::Duration;

use mux::Limits;
use serde::{Deserialize, Serialize};

/// What a whole world follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed(pub u64);

/// A generator (SplitMix64): small, the same everywhere, and good enough to choose steps.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// One whose numbers follow from this one.
    pub(crate) fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; zero if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    /// A byte below `end`.
    pub(crate) fn small(&mut self, end: usize) -> u8 {
        u8::try_from(self.below(end)).unwrap_or_default()
    }

    /// Whether it is so, once in so many times.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several, which must not be none.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One of several, each as often as its weight says; `None` if none has any.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> Option<T> {
        let all: u32 = from.iter().map(|(_, weight)| weight).sum();
        let mut at = u32::try_from(self.below(all as usize)).unwrap_or_default();
        for (one, weight) in from {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return Some(*one),
            }
        }
        None
    }
}

/// What does not change while a world lasts. Part of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// How small the limits are.
    pub bounds: Bounds,
    /// How long a server stays when nobody uses it, in seconds; `None` for always.
    pub idle_seconds: Option<u16>,
}

/// How small the limits of a world are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bounds {
    /// Those of the product.
    Usual,
    /// So small that quotas are hit.
    Tight,
}

impl Setting {
    /// The setting that a seed has.
    pub fn of(seed: Seed) -> Self {
        let mut chance = Chance::new(seed.0 ^ 0x5E77);
        Setting {
            bounds: if chance.one_in(4) {
                Bounds::Tight
            } else {
                Bounds::Usual
            },
            idle_seconds: chance.pick(&[Some(0), Some(2), Some(60), Some(600), None]),
        }
    }

    /// The bounds as the core takes them.
    pub fn limits(&self) -> Limits {
        let usual = Limits {
            message_bytes: 64 << 10,
            slow_reader_bytes: 64 << 10,
            slow_server_bytes: 16 << 10,
            ..Limits::default()
        };
        match self.bounds {
            Bounds::Usual => usual,
            Bounds::Tight => Limits {
                session_in_flight: 2,
                session_queue: 4,
                session_queue_bytes: 4 << 10,
                waiting: 10,
                buffered_bytes: 24 << 10,
                slow_reader_bytes: 2 << 10,
                slow_server_bytes: 1 << 10,
                tools_remembered: 2,
                routes_remembered: 1,
                subscriptions: 2,
                session_asks: 2,
                last_words: 2,
                untold_lines: 3,
                noise_lines: 3,
                ..usual
            },
        }
    }

    /// How long a server stays when nobody uses it.
    pub fn idle_timeout(&self) -> mux::IdleTimeout {
        match self.idle_seconds {
            Some(seconds) => mux::IdleTimeout::After(Duration::from_secs(u64::from(seconds))),
            None => mux::IdleTimeout::Never,
        }
    }
}
