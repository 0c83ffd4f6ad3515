//! Which step comes next in a world of both eras: chosen by chance, weighted by the seed.

use super::{
    specs::{OF_ONE_DEVICE, SPECS},
    step::{Act, Step},
};
use crate::seed::{Chance, Seed};

/// Each act and how often it comes, before the seed has its say.
const WEIGHTS: [(Act, u32); 29] = [
    (Act::Open, 8),
    (Act::Hello, 14),
    (Act::Ask, 40),
    (Act::Listen, 6),
    (Act::Return, 16),
    (Act::Dally, 2),
    (Act::Reply, 16),
    (Act::Cancel, 6),
    (Act::End, 1),
    (Act::Leave, 3),
    (Act::Read, 50),
    (Act::Start, 14),
    (Act::Take, 50),
    (Act::Greet, 24),
    (Act::Acknowledge, 10),
    (Act::Answer, 26),
    (Act::Question, 14),
    (Act::Withdraw, 2),
    (Act::Report, 5),
    (Act::Log, 6),
    (Act::Change, 5),
    (Act::Update, 5),
    (Act::Crash, 2),
    (Act::Exit, 10),
    (Act::Settle, 1),
    (Act::Pass, 6),
    (Act::Restart, 1),
    (Act::Stall, 3),
    (Act::Cut, 2),
];

/// Without these nothing ever happens.
const VITAL: [Act; 8] = [
    Act::Open,
    Act::Hello,
    Act::Ask,
    Act::Read,
    Act::Start,
    Act::Take,
    Act::Greet,
    Act::Answer,
];

/// Chooses the steps of one world.
#[derive(Debug)]
pub(super) struct Generator {
    chance: Chance,
    weights: Vec<(Act, u32)>,
    left: usize,
    /// How much is kept from before the beginning.
    before: usize,
    /// The servers of this world, by their places among all.
    specs: Vec<u8>,
    /// What its clients are and can do.
    kinds: Vec<u8>,
    shutdown_at: Option<usize>,
}

impl Generator {
    pub(super) fn new(seed: Seed) -> Self {
        let mut chance = Chance::new(seed.0 ^ 0xE2A5);
        let weights = WEIGHTS.map(|(act, weight)| {
            let times = chance.pick(&[0, 1, 2, 2, 2, 4, 10]);
            let times = if VITAL.contains(&act) {
                times.max(2)
            } else {
                times
            };
            (act, weight * times)
        });
        let left = 40 + chance.below(260);
        let count = 1 + chance.below(2);
        let mut specs: Vec<u8> = (0..count).map(|_| chance.small(SPECS.len())).collect();
        if specs.iter().any(|spec| OF_ONE_DEVICE.contains(spec)) && chance.one_in(2) {
            specs = OF_ONE_DEVICE.to_vec();
        }
        // What a client can do is a part of what sessions share a server by.
        let classes = chance.pick::<&[u8]>(&[&[1], &[1], &[1], &[2], &[0], &[0, 1, 2]]);
        let is_kept = u8::from(chance.one_in(2));
        let kinds = (0..3 + chance.below(6)).map(|_| {
            let class = chance.pick(classes);
            let (nature, link, start) = (chance.small(4), chance.small(3), chance.small(3));
            nature + 4 * class + 12 * link + 36 * is_kept + 72 * start
        });
        let kinds = kinds.collect();
        let before = if chance.one_in(3) { chance.below(4) } else { 0 };
        Generator {
            kinds,
            before,
            specs,
            weights: weights.to_vec(),
            left,
            shutdown_at: chance.one_in(16).then(|| chance.below(left)),
            chance,
        }
    }

    /// How many steps are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The last step has done something.
    pub(super) fn has_stepped(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// The next step; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Step> {
        if self.left == 0 {
            return None;
        }
        if let Some(left) = self.before.checked_sub(1) {
            self.before = left;
            return Some(Step {
                act: Act::Keep,
                who: self.chance.pick(&self.specs),
                what: self.chance.byte(),
            });
        }
        if self.shutdown_at.take_if(|at| *at == self.left).is_some() {
            return Some(Step {
                act: Act::Shutdown,
                who: 0,
                what: 0,
            });
        }
        let act = self.chance.weighted(&self.weights).unwrap_or(Act::Read);
        let (mut who, mut what) = (self.chance.byte(), self.chance.byte());
        if matches!(act, Act::Open | Act::Restart) {
            who = self.chance.pick(&self.specs);
        }
        if act == Act::Open {
            what = self.chance.pick(&self.kinds);
        }
        Some(Step { act, who, what })
    }
}
