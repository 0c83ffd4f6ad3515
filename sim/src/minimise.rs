//! The shortest list of steps that still breaks the same promise.

use std::time::{Duration, Instant};

use crate::{invariants::Broken, run, seed::Setting, step::Step, trace::Trace};

/// Takes out whatever can be taken out, for as long as that.
pub fn minimise(
    setting: Setting,
    steps: &[Step],
    broken: &Broken,
    patience: Duration,
) -> Vec<Step> {
    let latest = Instant::now() + patience;
    let kind = broken.kind();
    let still_breaks = |steps: &[Step]| {
        let played = run::replay(setting, steps, Trace::Off);
        played.broken.is_some_and(|broken| broken.kind() == kind)
    };
    let mut left = steps.to_vec();
    let mut size = left.len().div_ceil(2);
    while size > 0 && Instant::now() < latest {
        let before = left.len();
        let mut at = 0;
        while at < left.len() && Instant::now() < latest {
            let mut fewer = left.clone();
            fewer.drain(at..(at + size).min(left.len()));
            if still_breaks(&fewer) {
                left = fewer;
            } else {
                at += size;
            }
        }
        // Single steps are tried until none can go.
        if size > 1 || left.len() == before {
            size /= 2;
        }
    }
    left
}
