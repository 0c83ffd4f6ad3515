//! The shortest list of steps that still breaks the same promise.

use std::time::{Duration, Instant};

use crate::invariants::Broken;

/// Takes out whatever can be taken out, for as long as that.
pub fn minimise<S: Clone>(
    steps: &[S],
    broken: &Broken,
    patience: Duration,
    replay: impl Fn(&[S]) -> Option<Broken>,
) -> Vec<S> {
    let latest = Instant::now() + patience;
    let kind = broken.kind();
    let still_breaks = |steps: &[S]| replay(steps).is_some_and(|broken| broken.kind() == kind);
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
