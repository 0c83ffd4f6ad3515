//! One world of both eras from its beginning to its end.

use super::{generate::Generator, step::Step, world::World};
use crate::{
    run::{Played, caught},
    seed::{Seed, Setting},
    trace::Trace,
    world::Held,
};

/// Steps that may do nothing, for each that does something.
const TRIES: usize = 12;

/// Plays the world of a seed. What nobody was there to do is no step.
pub fn play_seed(seed: Seed, trace: Trace) -> Played<Step> {
    let mut generator = Generator::new(seed);
    let mut steps = Vec::new();
    let played = play(Setting::of(seed), trace, |world| {
        for _ in 0..TRIES * generator.left() {
            let Some(step) = generator.next() else {
                return Ok(());
            };
            let before = world.moves();
            steps.push(step);
            world.play(step)?;
            if world.moves() == before {
                steps.pop();
            } else {
                generator.has_stepped();
            }
        }
        Ok(())
    });
    played.with(|played| {
        played.tally.steps = steps.len() as u64;
        played.steps = steps;
    })
}

/// Plays these steps again.
pub fn replay(setting: Setting, steps: &[Step], trace: Trace) -> Played<Step> {
    let played = play(setting, trace, |world| {
        steps.iter().try_for_each(|step| world.play(*step))
    });
    played.with(|played| {
        played.tally.steps = steps.len() as u64;
        played.steps = steps.to_vec();
    })
}

/// Plays steps, and what comes behind the last.
pub(super) fn play(
    setting: Setting,
    trace: Trace,
    steps: impl FnOnce(&mut World) -> Held,
) -> Played<Step> {
    let mut world = World::new(setting, trace);
    let broken = caught(|| {
        steps(&mut world)?;
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

/// Plays the world that these bytes describe, for a fuzzer; panics if a promise is broken.
#[cfg(feature = "arbitrary")]
pub(crate) fn run_bytes(seed: Seed, mut data: arbitrary::Unstructured<'_>) {
    let steps = data.arbitrary_iter().into_iter().flatten();
    let steps: Vec<Step> = steps
        .map_while(Result::ok)
        .take(crate::run::STEPS_MAX)
        .collect();
    let played = replay(Setting::of(seed), &steps, Trace::Off);
    assert!(played.broken.is_none(), "{:?} in {steps:?}", played.broken);
}
