//! Every order of five steps in small worlds of both eras: a client of each at one server.
//!
//! **Invariant:** what is not played is like one that is: an order of which a step does nothing is the shorter
//! order without that step.

use std::{fmt, str::FromStr};

use super::{
    run::play,
    step::{Act, Step},
};
use crate::{
    run::Played,
    seed::{Bounds, Setting},
    trace::Trace,
};

/// How many steps follow each other.
const LENGTH: u32 = 5;

/// The servers of the small worlds: one of the legacy era alone, and one of the modern era alone.
const SERVERS: [u8; 2] = [0, 1];

/// What may happen, each of it at any place and any number of times. The first client is of the modern era, the
/// second of the legacy era.
const LETTERS: [Step; 9] = [
    step(Act::Ask, 0, CALL),
    step(Act::Ask, 1, CALL),
    step(Act::Question, 0, 0),
    step(Act::Answer, 0, 0),
    // With two questions, of a server of the modern era.
    step(Act::Answer, 0, QUESTIONS),
    step(Act::Return, 0, 0),
    step(Act::Reply, 0, 0),
    step(Act::Cancel, 0, 0),
    step(Act::Crash, 0, 0),
];

/// A call of the first tool with a token.
const CALL: u8 = 6;

/// Two questions to the client in place of an answer, for the first request.
const QUESTIONS: u8 = 3 + 8 * 2;

/// How many orders there are.
pub const ORDERS: usize = SERVERS.len() * LETTERS.len().pow(LENGTH);

/// Into how many parts they fall, by their server and first two steps.
pub const PARTS: usize = SERVERS.len() * LETTERS.len().pow(2);

const fn step(act: Act, who: u8, what: u8) -> Step {
    Step { act, who, what }
}

/// One of them: the place of its server, and those of its steps. As text, a digit for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraOrder {
    server: usize,
    steps: Vec<usize>,
}

impl EraOrder {
    /// The world that they are played in.
    pub const SETTING: Setting = Setting {
        bounds: Bounds::Usual,
        idle_seconds: Some(0),
    };

    /// Plays it again.
    pub fn play(&self, trace: Trace) -> Played<Step> {
        self.play_once(trace).0
    }

    /// Plays it, and says whether its last step makes it another. Whatever is said is read before the next step.
    fn play_once(&self, trace: Trace) -> (Played<Step>, bool) {
        let server = SERVERS[self.server];
        // Of the modern and of the legacy era, able to answer anything.
        let mut steps = vec![step(Act::Open, server, 5), step(Act::Open, server, 4)];
        steps.extend([
            step(Act::Ask, 0, 1),
            step(Act::Hello, 0, 1),
            step(Act::Settle, 0, 0),
        ]);
        let beginning = steps.len();
        for letter in &self.steps {
            steps.push(LETTERS[*letter]);
            steps.extend([READ, READ, TAKE]);
        }
        let mut is_another = true;
        let played = play(Self::SETTING, trace, |world| {
            for (at, step) in steps.iter().enumerate() {
                let before = world.moves();
                world.play(*step)?;
                let is_letter = at >= beginning && (at - beginning).is_multiple_of(4);
                if is_letter {
                    is_another = world.moves() != before;
                }
            }
            Ok(())
        });
        // Where a promise was broken there was no end to compare with.
        let is_another = is_another || played.broken.is_some();
        (played.with(|played| played.steps = steps), is_another)
    }
}

/// Somebody reads all that waits for it.
const READ: Step = step(Act::Read, 0, 3);
const TAKE: Step = step(Act::Take, 0, 3);

impl fmt::Display for EraOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.server)?;
        self.steps.iter().try_for_each(|place| write!(f, "{place}"))
    }
}

impl FromStr for EraOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let places: Option<Vec<usize>> = text
            .chars()
            .map(|digit| Some(digit.to_digit(10)? as usize))
            .collect();
        let order = places.and_then(|places| {
            let (server, steps) = places.split_first()?;
            let fits =
                steps.len() <= LENGTH as usize && steps.iter().all(|place| *place < LETTERS.len());
            (*server < SERVERS.len() && fits).then(|| EraOrder {
                server: *server,
                steps: steps.to_vec(),
            })
        });
        let most = LETTERS.len() - 1;
        order.ok_or_else(|| {
            format!("such an order is 0 or 1 and at most {LENGTH} digits from 0 to {most}")
        })
    }
}

/// Plays a part of all orders, and shows each that is another than those before.
pub fn play_part(part: usize, mut show: impl FnMut(&EraOrder, Played<Step>)) {
    let (first, second) = (part / LETTERS.len() % LETTERS.len(), part % LETTERS.len());
    let mut order = EraOrder {
        server: part / LETTERS.len().pow(2) % SERVERS.len(),
        steps: vec![first],
    };
    let (played, is_another) = order.play_once(Trace::Off);
    if !is_another {
        return;
    }
    // What begins with a single step is shown by the first part that does.
    if second == 0 {
        show(&order, played);
    }
    order.steps.push(second);
    play_on(&mut order, &mut show);
}

/// Plays an order, and all that go on from it.
fn play_on(order: &mut EraOrder, show: &mut impl FnMut(&EraOrder, Played<Step>)) {
    let (played, is_another) = order.play_once(Trace::Off);
    if !is_another {
        return;
    }
    show(order, played);
    if order.steps.len() < LENGTH as usize {
        for letter in 0..LETTERS.len() {
            order.steps.push(letter);
            play_on(order, show);
            order.steps.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_what_its_digits_say_and_nothing_else_is_one() {
        for digits in ["0", "101", "088888"] {
            assert_eq!(digits.parse::<EraOrder>().unwrap().to_string(), digits);
        }
        for text in ["", "2", "09", "0123456", "-1", "0 1"] {
            assert!(text.parse::<EraOrder>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_question_is_parked_and_answered_in_a_small_world() {
        let seen = |digits: &str, name: &'static str| {
            let played = digits.parse::<EraOrder>().unwrap().play(Trace::Off);
            assert_eq!(played.broken, None, "{digits}");
            assert!(
                played.tally.count(crate::Kind::Era, name) > 0,
                "{digits}: {name}"
            );
        };
        // The client of the modern era calls, is asked, comes back, and is answered.
        seen("00253", "came back");
        seen("00258", "parked");
        seen("0027", "parked");
        // The client of the legacy era calls, is inquired of, and answers.
        seen("114663", "went again");
        seen("1148", "inquiry at a death");
    }
}
