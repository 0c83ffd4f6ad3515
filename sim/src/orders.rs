//! Every order of six steps in a small world: two sessions at one server.
//!
//! Sampling finds what is likely; here nothing is left out, within a world that is small enough.
//!
//! **Invariant:** what is not played is like one that is: an order of which a step does nothing is the
//! shorter order without that step, and where a server has but one answer to give, that is its second too.

use std::{fmt, str::FromStr};

use crate::{
    run::{Played, play},
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

/// The answer to the second of what a server works on.
const SECOND_ANSWER: usize = 3;

/// How many orders there are.
pub const ORDERS: usize = LETTERS.len().pow(LENGTH);

/// Into how many parts they fall, by their first two steps.
pub const PARTS: usize = LETTERS.len().pow(2);

/// How often a link carries what it has after a step, so that it all arrives.
const CARRIES: usize = 3;

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

/// One of them: the places of its steps among the nine. As text, a digit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order(Vec<usize>);

impl Order {
    /// The world that they are played in.
    pub const SETTING: Setting = Setting {
        bounds: Bounds::Usual,
        idle_seconds: Some(0),
    };

    /// Plays it again.
    pub fn play(&self, trace: Trace) -> Played {
        play_order(self, trace).0
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|place| write!(f, "{place}"))
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let places = text.chars().map(|digit| {
            let place = digit.to_digit(10).map(|place| place as usize);
            place.filter(|place| *place < LETTERS.len())
        });
        let places: Option<Vec<usize>> = places.collect();
        let order = places.filter(|places| places.len() <= LENGTH as usize);
        let most = LETTERS.len() - 1;
        order
            .map(Order)
            .ok_or_else(|| format!("an order is at most {LENGTH} digits from 0 to {most}"))
    }
}

/// Plays a part of all orders, and shows each that is another than those before.
pub fn play_part(part: usize, mut show: impl FnMut(&Order, Played)) {
    let mut order = Order(vec![part / LETTERS.len()]);
    let (played, is_another) = play_order(&order, Trace::Off);
    // What begins with a single step is shown by the first part that does.
    let is_first = part.is_multiple_of(LETTERS.len());
    if is_first && part == 0 {
        let none = Order::default();
        show(&none, none.play(Trace::Off));
    }
    if !is_another {
        return;
    }
    if is_first {
        show(&order, played);
    }
    order.0.push(part % LETTERS.len());
    play_on(&mut order, &mut show);
}

/// Plays an order, and all that go on from it.
fn play_on(order: &mut Order, show: &mut impl FnMut(&Order, Played)) {
    let (played, is_another) = play_order(order, Trace::Off);
    if !is_another {
        return;
    }
    show(order, played);
    if order.0.len() < LENGTH as usize {
        for letter in 0..LETTERS.len() {
            order.0.push(letter);
            play_on(order, show);
            order.0.pop();
        }
    }
}

/// Plays one of them, and says whether its last step makes it another. Whatever is said reaches its
/// hearer before the next step.
///
/// The session that cancels, answers and leaves is the one whose shim keeps its lines, as real ones do.
fn play_order(Order(order): &Order, trace: Trace) -> (Played, bool) {
    let mut steps = vec![come(true), come(false), hello(0), hello(1), Step::Settle];
    for letter in order {
        steps.push(LETTERS[*letter]);
        steps.extend([CARRY; CARRIES]);
    }
    let mut rest = steps.iter().copied();
    let mut moments = Vec::with_capacity(steps.len() + 1);
    let mut played = play(Order::SETTING, trace, |world| {
        let works: usize = world.servers.values().map(|peer| peer.works.len()).sum();
        moments.push((world.model.tick, world.model.said.len(), works));
        rest.next()
    });
    played.steps = steps;
    let last = moments.len().checked_sub(CARRIES + 2);
    let before = last.and_then(|last| moments.get(last));
    let has_one_answer = before.is_some_and(|(.., works)| *works < 2);
    let is_repeated = has_one_answer && order.last() == Some(&SECOND_ANSWER);
    // Where a promise was broken there was no end to compare with.
    let is_another = played.broken.is_some() || (before != moments.last() && !is_repeated);
    (played, is_another)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_what_its_digits_say_and_nothing_else_is_one() {
        for digits in ["", "0", "012345", "888888"] {
            assert_eq!(digits.parse::<Order>().unwrap().to_string(), digits);
        }
        for text in ["9", "0123456", "-1", "0 1"] {
            assert!(text.parse::<Order>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_order_that_is_shown_is_played_again_from_its_digits() {
        let mut shown = 0;
        // Both sessions leave at once: there is little that may follow.
        play_part(7 * LETTERS.len() + 7, |order, played| {
            let digits = order.to_string();
            let again = digits.parse::<Order>().unwrap().play(Trace::Off);
            assert_eq!(again.steps, played.steps, "{digits}");
            assert_eq!(again.tally.given, played.tally.given, "{digits}");
            shown += 1;
        });
        assert!(shown > 0, "nothing was shown");
    }
}
