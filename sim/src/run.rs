//! One world from its beginning to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    generate::Generator,
    invariants::Broken,
    seed::{Seed, Setting},
    step::Step,
    tally::Tally,
    trace::Trace,
    world::{Held, World},
};

/// What became of a world.
#[derive(Debug)]
pub struct Played<S = Step> {
    /// The steps that were taken.
    pub steps: Vec<S>,
    /// What was seen.
    pub tally: Tally,
    /// What was written down.
    pub trace: Trace,
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
}

/// Plays the world of a seed.
pub fn play_seed(seed: Seed, trace: Trace) -> Played {
    let mut generator = Generator::new(seed);
    let mut steps = Vec::new();
    play(Setting::of(seed), trace, |world| {
        let step = generator.next(world)?;
        steps.push(step);
        Some(step)
    })
    .with(|played| played.steps = steps)
}

/// Plays these steps again.
pub fn replay(setting: Setting, steps: &[Step], trace: Trace) -> Played {
    let mut rest = steps.iter().copied();
    play(setting, trace, |_| rest.next()).with(|played| played.steps = steps.to_vec())
}

impl<S> Played<S> {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Plays the steps that come next, each chosen when the one before has been taken.
pub(crate) fn play(
    setting: Setting,
    trace: Trace,
    mut next: impl FnMut(&World) -> Option<Step>,
) -> Played {
    let mut world = World::new(setting, trace);
    let broken = caught(|| {
        while let Some(step) = next(&world) {
            world.play(step)?;
        }
        world.finish()
    });
    let (tally, trace) = world.into_parts();
    Played {
        steps: Vec::new(),
        tally,
        trace,
        broken,
    }
}

/// What breaks a promise in this, be it that the core's own assertions do not hold.
pub(crate) fn caught(whole: impl FnOnce() -> Held) -> Option<Broken> {
    match catch_unwind(AssertUnwindSafe(whole)) {
        Ok(held) => held.err(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| {
                panic
                    .downcast_ref::<&str>()
                    .map(|words| (*words).to_owned())
            });
            Some(Broken(format!(
                "the core panicked: {}",
                words.unwrap_or_default()
            )))
        }
    }
}

/// Plays the world that these bytes describe, for a fuzzer; panics if a promise is broken.
#[cfg(feature = "arbitrary")]
pub fn run_bytes(data: &[u8]) {
    use arbitrary::{Arbitrary as _, Unstructured};

    let mut data = Unstructured::new(data);
    let Ok(number) = u64::arbitrary(&mut data) else {
        return;
    };
    if number >= OF_BOTH_ERAS {
        crate::eras::run_bytes(Seed(number), data);
        return;
    }
    let steps: Vec<Step> = data
        .arbitrary_iter()
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .take(STEPS_MAX)
        .collect();
    let played = replay(Setting::of(Seed(number)), &steps, Trace::Off);
    assert!(played.broken.is_none(), "{:?} in {steps:?}", played.broken);
}

/// Numbers from this on, one in four, are of worlds of both eras.
#[cfg(feature = "arbitrary")]
const OF_BOTH_ERAS: u64 = 0xC000_0000_0000_0000;

/// Most steps that are decoded from bytes.
#[cfg(feature = "arbitrary")]
pub(crate) const STEPS_MAX: usize = 400;
