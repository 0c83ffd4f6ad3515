//! What was found out for sessions of the modern era, so that it is not found out for each of their requests.
//!
//! A session that lasts is looked up once. One that is a single request would be looked up as often as its client
//! says anything: a look at the `PATH`, into files, and at what is kept of the server.
//!
//! **Invariant:** nothing is used that a look-up would not find again, but for a change outside of mcpool that is
//! younger than [`LIFE`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mux::{Moment, Route};

use crate::{front::Place, launch::Launch};

/// How long it counts what was found: programs come and go, and so do files that the configuration names.
const LIFE: Duration = Duration::from_secs(10);

/// Places of which it is kept; then the oldest goes.
const PLACES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Openings {
    /// Of which state of the configuration they are.
    edition: u64,
    known: BTreeMap<Place, Known>,
}

#[derive(Debug)]
struct Known {
    launch: Launch,
    since: Moment,
    /// What was kept of its server is as old as it will be then.
    kept_of: Moment,
}

impl Known {
    /// Makes what was kept older that does not hold for ever, by whole seconds ahead.
    fn age(&mut self, now: Moment) {
        let kept = self.launch.opening.kept.as_mut();
        let behind = now - self.kept_of;
        let Some(kept) = kept.filter(|_| !behind.is_zero()) else {
            return;
        };
        let step = Duration::from_secs(behind.as_secs() + 1);
        self.kept_of = self.kept_of + step;
        for words in kept.iter_mut().filter(|words| words.may_expire()) {
            *words = Arc::new(words.as_ref().clone().after(Some(step)));
        }
    }
}

impl Openings {
    /// What was found for this place, if it still counts.
    pub(super) fn find(&mut self, place: &Place, edition: u64, now: Moment) -> Option<&Launch> {
        if self.edition != edition {
            self.edition = edition;
            self.known.clear();
        }
        let known = self.known.get_mut(place)?;
        known.age(now);
        (now < known.since + LIFE).then_some(&known.launch)
    }

    /// Keeps what was found, unless it is for one session alone, or of another state of the configuration than
    /// was asked for last.
    pub(super) fn keep(&mut self, place: &Place, launch: &Launch, now: Moment) {
        let is_of_use = !launch.is_for_one && launch.opening.refused.is_none();
        if !is_of_use || launch.edition != self.edition {
            return;
        }
        if self.find(place, launch.edition, now).is_some() {
            return;
        }
        let mut launch = launch.clone();
        // Who comes to what is known does not wait for it.
        launch.opening.waited = Duration::ZERO;
        let known = Known {
            launch,
            since: now,
            kept_of: now,
        };
        self.known.insert(place.clone(), known);
        if self.known.len() > PLACES_MAX {
            let ages = self.known.iter().map(|(place, known)| (known.since, place));
            let oldest = ages.min().map(|(_, place)| place.clone());
            oldest.map(|place| self.known.remove(&place));
        }
    }

    /// A server of this route has said something new of itself.
    pub(super) fn forget(&mut self, route: &Route) {
        self.known
            .retain(|_, known| known.launch.opening.route != *route);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use mux::{Class, Era, KeptWords, Listing, Page};

    use super::*;

    fn place(number: usize) -> Place {
        Place {
            server: Some(Arc::from(format!("s{number}"))),
            ..Place::default()
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_found_counts_for_a_while_and_in_one_state_of_the_configuration() {
        let mut openings = Openings::default();
        let mut launch = Launch::of_route("route");
        let [one, other] = [place(1), place(2)];
        assert!(openings.find(&one, 1, at(0)).is_none());
        openings.keep(&one, &launch, at(0));
        assert!(openings.find(&one, 1, at(9)).is_some());
        assert!(openings.find(&other, 1, at(9)).is_none());
        // Finding it again makes it no younger.
        openings.keep(&one, &launch, at(9));
        assert!(openings.find(&one, 1, at(10)).is_none());
        openings.keep(&one, &launch, at(10));
        assert!(openings.find(&one, 1, at(19)).is_some());
        assert!(openings.find(&one, 2, at(19)).is_none());
        // It was looked up before the configuration changed.
        openings.keep(&one, &launch, at(19));
        assert!(openings.find(&one, 2, at(19)).is_none());
        launch.edition = 2;
        openings.keep(&one, &launch, at(19));
        openings.forget(&Route(b"other".as_slice().into()));
        assert!(openings.find(&one, 2, at(19)).is_some());
        openings.forget(&launch.opening.route);
        assert!(openings.find(&one, 2, at(19)).is_none());
    }

    #[test]
    fn what_is_for_one_session_is_not_kept_nor_a_refusal() {
        let mut openings = Openings::default();
        let mut launch = Launch::of_route("route");
        assert!(openings.find(&place(1), 1, at(0)).is_none());
        launch.is_for_one = true;
        openings.keep(&place(1), &launch, at(0));
        assert!(openings.find(&place(1), 1, at(0)).is_none());
        launch.is_for_one = false;
        launch.opening.refused = Some(mux::Refusal::ShuttingDown);
        openings.keep(&place(1), &launch, at(0));
        assert!(openings.find(&place(1), 1, at(0)).is_none());
    }

    #[test]
    fn the_oldest_goes_when_there_are_many() {
        let mut openings = Openings::default();
        let launch = Launch::of_route("route");
        assert!(openings.find(&place(0), 1, at(0)).is_none());
        for number in 0..=PLACES_MAX {
            let now = Moment(0) + Duration::from_millis(number as u64);
            openings.keep(&place(number), &launch, now);
        }
        assert_eq!(openings.known.len(), PLACES_MAX);
        assert!(openings.find(&place(0), 1, at(1)).is_none());
        assert!(openings.find(&place(1), 1, at(1)).is_some());
    }

    #[test]
    fn what_was_kept_of_a_server_becomes_older_here_too() {
        let page = Page {
            cursor: None,
            result: Bytes::from_static(b"{}"),
            holds: Some(Duration::from_secs(5)),
        };
        let words = KeptWords {
            class: Class::default(),
            era: Era::Modern,
            program: None,
            handshake: Bytes::from_static(b"{}"),
            refused: None,
            lists: BTreeMap::from([(Listing::Tools, vec![page])]),
        };
        let mut openings = Openings::default();
        let mut launch = Launch::of_route("route");
        launch.opening.kept = Some(vec![Arc::new(words)]);
        assert!(openings.find(&place(1), 1, at(0)).is_none());
        openings.keep(&place(1), &launch, at(0));
        let mut holds = |now| {
            let found = openings.find(&place(1), 1, now).unwrap();
            let kept = found.opening.kept.as_ref().unwrap();
            let pages = kept[0].lists.get(&Listing::Tools)?;
            pages[0].holds.map(|holds| holds.as_secs())
        };
        assert_eq!(holds(at(0)), Some(5));
        assert_eq!(holds(at(0) + Duration::from_millis(1)), Some(4));
        assert_eq!(holds(at(1)), Some(4));
        assert_eq!(holds(at(3) + Duration::from_millis(1)), Some(1));
        assert_eq!(holds(at(5)), None);
    }
}
