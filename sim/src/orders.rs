//! Every order of six steps in a small world: two sessions at one server.
//!
//! Sampling finds what is likely; here nothing is left out, within a world that is small enough.

use crate::{
    run::{Played, replay},
    seed::{Bounds, Setting},
    step::{Answering, Replying, Step, Want},
    trace::Trace,
};

/// How many steps follow each other.
const LENGTH: u32 = 6;

/// What may happen, each of it at any place and any number of times.
const LETTERS: [Step; 9] = [
    call_of(0),
    call_of(1),
    answer_to(0),
    answer_to(1),
    Step::Cancel {
        client: 0,
        which: 0,
    },
    Step::Inquire {
        server: 0,
        which: 0,
        what: 0,
        id: 1,
    },
    Step::Reply {
        client: 0,
        which: 0,
        how: Replying::Result,
    },
    Step::Leave { client: 0 },
    Step::Crash { server: 0, lost: 0 },
];

/// How many orders there are.
pub const ORDERS: usize = LETTERS.len().pow(LENGTH);

/// A call, under the same id and token whoever makes it.
const fn call_of(client: u8) -> Step {
    Step::Request {
        client,
        what: Want::Call,
        which: 0,
        id: 1,
        token: 1,
    }
}

const fn answer_to(which: u8) -> Step {
    Step::Answer {
        server: 0,
        which,
        how: Answering::Result,
    }
}

/// Plays one of them. Whatever is said reaches its hearer before the next step.
pub fn play_order(number: usize) -> Played {
    let setting = Setting {
        bounds: Bounds::Usual,
        idle_seconds: Some(0),
    };
    let mut steps = vec![come(false), come(true), hello(0), hello(1), Step::Settle];
    let mut rest = number;
    for _ in 0..LENGTH {
        steps.push(LETTERS[rest % LETTERS.len()]);
        steps.extend([CARRY; 3]);
        rest /= LETTERS.len();
    }
    replay(setting, &steps, Trace::Off)
}

/// The first link with something on it carries all of it.
const CARRY: Step = Step::Carry {
    link: 0,
    count: u8::MAX,
};

const fn come(keeps: bool) -> Step {
    Step::Open { kind: 0, keeps }
}

const fn hello(client: u8) -> Step {
    Step::Hello {
        client,
        id: client,
        version: 1,
        class: 2,
    }
}
