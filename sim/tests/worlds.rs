//! Worlds of the tests: few and soon over. `cargo xtask sim` plays many.

use std::{fs, path::Path};

use sim::{Pinned, Seed, Steps, Trace, eras};

#[test]
fn no_promise_is_broken_in_a_few_worlds() {
    for seed in 1..=60 {
        let played = sim::play_seed(Seed(seed), Trace::Off);
        assert!(
            played.broken.is_none(),
            "{:?}: cargo xtask sim --seed {seed}",
            played.broken
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_world_byte_for_byte() {
    for seed in 1..=40 {
        let digest = || sim::play_seed(Seed(seed), Trace::hash()).trace.digest();
        assert_eq!(digest(), digest(), "seed {seed}");
    }
    let other = |seed| sim::play_seed(Seed(seed), Trace::hash()).trace.digest();
    assert_ne!(other(1), other(2));
}

#[test]
fn the_steps_of_a_world_are_all_that_it_is_made_of() {
    for seed in 1..=10 {
        let played = sim::play_seed(Seed(seed), Trace::hash());
        let setting = sim::Setting::of(Seed(seed));
        let text = Pinned {
            words: String::new(),
            setting,
            steps: Steps::OfLinks(played.steps),
        }
        .to_text();
        let (_, again, _) = Pinned::parse(&text).unwrap().play(Trace::hash());
        assert_eq!(played.trace.digest(), again.digest(), "seed {seed}");
    }
}

#[test]
fn any_part_of_the_steps_can_be_played() {
    for seed in 1..=10 {
        let played = sim::play_seed(Seed(seed), Trace::Off);
        let setting = sim::Setting::of(Seed(seed));
        for parts in 2..5 {
            let some: Vec<_> = played.steps.iter().step_by(parts).copied().collect();
            let replayed = sim::replay(setting, &some, Trace::Off);
            assert!(
                replayed.broken.is_none(),
                "{:?} in {some:?}",
                replayed.broken
            );
        }
    }
}

#[test]
fn what_was_broken_once_is_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let pinned = Pinned::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let (_, _, broken) = pinned.play(Trace::Off);
        assert!(broken.is_none(), "{}: {broken:?}", path.display());
        assert!(!pinned.steps.is_empty(), "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "there are no regressions to play");
}

#[test]
fn no_promise_is_broken_in_some_of_the_orders_of_six_steps() {
    let mut count = 0;
    // The first part begins with two calls; a step that is prime to the number of parts meets others.
    for part in (1..sim::PARTS).step_by(40) {
        sim::play_part(part, |order, played| {
            assert!(
                played.broken.is_none(),
                "{:?}: cargo xtask sim --order={order}",
                played.broken
            );
            assert!(played.tally.given > 0, "nobody heard anything");
            count += 1;
        });
    }
    assert!(count > 100, "{count}");
}

#[test]
fn no_promise_is_broken_in_a_few_worlds_of_both_eras() {
    let mut parked = 0;
    for seed in 1..=40 {
        let played = eras::play_seed(Seed(seed), Trace::Off);
        assert!(
            played.broken.is_none(),
            "{:?}: cargo xtask sim --of eras --seed {seed}",
            played.broken
        );
        parked += played.tally.count(sim::Kind::Era, "parked");
    }
    assert!(parked > 0, "nobody was answered with questions");
}

#[test]
fn the_same_seed_gives_the_same_world_of_both_eras_byte_for_byte() {
    let digest = |seed| eras::play_seed(Seed(seed), Trace::hash()).trace.digest();
    for seed in 1..=10 {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest(1), digest(2));
}

#[test]
fn the_steps_of_a_world_of_both_eras_are_all_that_it_is_made_of_and_any_part_of_them_can_be_played()
{
    for seed in 1..=10 {
        let played = eras::play_seed(Seed(seed), Trace::Off);
        let setting = sim::Setting::of(Seed(seed));
        let text = Pinned {
            words: String::new(),
            setting,
            steps: Steps::OfEras(played.steps.clone()),
        }
        .to_text();
        let pinned = Pinned::parse(&text).unwrap();
        assert_eq!(pinned.steps, Steps::OfEras(played.steps.clone()));
        let (tally, _, broken) = pinned.play(Trace::Off);
        assert_eq!((tally.given, broken), (played.tally.given, None));
        for parts in 2..5 {
            let some: Vec<_> = played.steps.iter().step_by(parts).copied().collect();
            let replayed = eras::replay(setting, &some, Trace::Off);
            assert!(
                replayed.broken.is_none(),
                "{:?} in {some:?}",
                replayed.broken
            );
        }
    }
}

#[test]
fn no_promise_is_broken_in_some_of_the_orders_of_five_steps_of_both_eras() {
    let mut count = 0;
    // The client of the modern era calls a server of the legacy era and is asked; the other one calls a server of
    // the modern era and is asked.
    for digits in ["002", "114"] {
        let part = usize::from_str_radix(digits, 9).unwrap();
        eras::play_part(part, |order, played| {
            assert!(
                played.broken.is_none(),
                "{:?}: cargo xtask sim --era-order={order}",
                played.broken
            );
            count += 1;
        });
    }
    assert!(count > 100, "{count}");
}
