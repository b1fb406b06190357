//! Who is next: sessions that wait for a turn, fair by party and in their order within one.
//!
//! Parties stand in a circle. The first one's first is next, and when it has had its turn the party
//! goes to the end. So whoever comes as the first of a party waits for one turn of each other party,
//! however many of these wait. When all places are taken, a party that has fewer than another gets the
//! last place of the one that has most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::secret::Digest;

/// Somebody's place.
#[derive(Debug)]
pub(super) struct Place {
    /// It may be next, or has lost its place.
    pub(super) called: Notify,
    lost: AtomicBool,
    /// In so many queues the same session waits.
    among: usize,
}

impl Place {
    /// Another party had fewer.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// All who wait.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    waiting: usize,
    circle: VecDeque<Party>,
}

#[derive(Debug)]
struct Party {
    whose: Digest,
    places: VecDeque<Arc<Place>>,
}

impl Queue {
    pub(super) fn new(most: usize) -> Queue {
        Queue {
            most,
            waiting: 0,
            circle: VecDeque::new(),
        }
    }

    /// From now on so many may wait. Nobody loses a place by that.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many get their turn before whoever came now.
    pub(super) fn ahead_of_new(&self, whose: Digest) -> usize {
        let own = self.of(whose).map_or(0, |party| party.places.len());
        self.before(whose, own)
    }

    /// How many get their turn before the one in this place.
    pub(super) fn ahead(&self, whose: Digest, place: &Arc<Place>) -> usize {
        let own = self.of(whose).and_then(|party| party.position(place));
        self.before(whose, own.unwrap_or_default())
    }

    /// Those before number `own` of a party: as many rounds of all that stand before it in the circle,
    /// and one less of those behind it. Whoever waits in several queues will leave each for the turn of
    /// another, so it counts for its part.
    fn before(&self, whose: Digest, own: usize) -> usize {
        let (mut behind, mut before) = (false, 0.0);
        for party in &self.circle {
            let rounds = if party.whose == whose {
                behind = true;
                own
            } else if behind {
                own
            } else {
                own + 1
            };
            let first = party.places.iter().take(rounds);
            before += first.map(|place| 1.0 / place.among as f64).sum::<f64>();
        }
        // Thirds do not add up.
        (before + 1e-6).floor() as usize
    }

    fn of(&self, whose: Digest) -> Option<&Party> {
        self.circle.iter().find(|party| party.whose == whose)
    }

    /// Takes a place; `None` if all are taken, and nobody has more of them than this party would.
    pub(super) fn enter(&mut self, whose: Digest, among: usize) -> Option<Arc<Place>> {
        if self.waiting >= self.most && !self.make_room(whose) {
            return None;
        }
        let place = Arc::new(Place {
            called: Notify::new(),
            lost: AtomicBool::new(false),
            among: among.max(1),
        });
        match self.circle.iter_mut().find(|party| party.whose == whose) {
            Some(party) => party.places.push_back(place.clone()),
            None => self.circle.push_back(Party {
                whose,
                places: VecDeque::from([place.clone()]),
            }),
        }
        self.waiting += 1;
        Some(place)
    }

    /// Takes the last place of the party that has most.
    fn make_room(&mut self, whose: Digest) -> bool {
        let own = self.of(whose).map_or(0, |party| party.places.len());
        let most = self
            .circle
            .iter_mut()
            .max_by_key(|party| party.places.len());
        let Some(party) = most.filter(|party| party.places.len() > own + 1) else {
            return false;
        };
        let Some(place) = party.places.pop_back() else {
            return false;
        };
        self.waiting -= 1;
        place.lost.store(true, Ordering::Release);
        place.called.notify_one();
        true
    }

    /// Whether this one is next.
    pub(super) fn is_next(&self, place: &Arc<Place>) -> bool {
        let next = self.circle.front().and_then(|party| party.places.front());
        next.is_some_and(|next| Arc::ptr_eq(next, place))
    }

    /// This one has had its turn, or has given up. Whoever is next is called.
    pub(super) fn leave(&mut self, whose: Digest, place: &Arc<Place>, served: bool) {
        let Some(at) = self.circle.iter().position(|party| party.whose == whose) else {
            return;
        };
        let party = &mut self.circle[at];
        let Some(position) = party.position(place) else {
            return;
        };
        party.places.remove(position);
        self.waiting -= 1;
        if party.places.is_empty() {
            self.circle.remove(at);
        } else if served {
            self.circle.rotate_left(at + 1);
        }
        self.call_next();
    }

    pub(super) fn call_next(&self) {
        if let Some(next) = self.circle.front().and_then(|party| party.places.front()) {
            next.called.notify_one();
        }
    }
}

impl Party {
    fn position(&self, place: &Arc<Place>) -> Option<usize> {
        self.places
            .iter()
            .position(|known| Arc::ptr_eq(known, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves all who wait, and names their parties in order.
    fn served(queue: &mut Queue) -> String {
        let mut order = String::new();
        while let Some(party) = queue.circle.front() {
            let (whose, place) = (party.whose, party.places[0].clone());
            assert!(queue.is_next(&place));
            assert_eq!(queue.ahead(whose, &place), 0);
            let name = ["a", "b", "c"]
                .into_iter()
                .find(|name| Digest::of(name) == whose);
            order += name.unwrap();
            queue.leave(whose, &place, true);
        }
        assert!(queue.is_empty());
        order
    }

    fn enter(queue: &mut Queue, name: &str) -> (usize, Arc<Place>) {
        let whose = Digest::of(name);
        let ahead = queue.ahead_of_new(whose);
        let place = queue.enter(whose, 1).unwrap();
        assert_eq!(queue.ahead(whose, &place), ahead, "{name}");
        (ahead, place)
    }

    #[test]
    fn u8_a_thousand_of_one_party_delay_the_first_of_another_by_one_turn() {
        let mut queue = Queue::new(2000);
        for i in 0..1000 {
            assert_eq!(enter(&mut queue, "a").0, i);
        }
        assert_eq!(enter(&mut queue, "b").0, 1);
        assert_eq!(enter(&mut queue, "b").0, 3);
        assert_eq!(enter(&mut queue, "c").0, 2);
        assert_eq!(queue.len(), 1003);
        let order = served(&mut queue);
        assert_eq!(&order[..6], "abcaba");
        assert!(order[6..].chars().all(|name| name == 'a'));
    }

    #[test]
    fn u8_within_a_party_the_first_who_came_is_first_and_who_leaves_delays_nobody() {
        let mut queue = Queue::new(10);
        let a = Digest::of("a");
        let places: Vec<_> = (0..4).map(|_| enter(&mut queue, "a").1).collect();
        enter(&mut queue, "b");
        queue.leave(a, &places[1], false);
        assert_eq!(queue.ahead(a, &places[2]), 2);
        assert!(queue.is_next(&places[0]));
        // The next one gives up: its party keeps its place in the circle.
        queue.leave(a, &places[0], false);
        assert!(queue.is_next(&places[2]));
        // Leaving twice is nothing.
        queue.leave(a, &places[0], true);
        assert!(queue.is_next(&places[2]));
        assert_eq!(queue.len(), 3);
        assert_eq!(served(&mut queue), "aba");
    }

    #[test]
    fn u8_a_full_queue_takes_the_last_place_of_whoever_has_most() {
        let mut queue = Queue::new(4);
        let places: Vec<_> = (0..4).map(|_| enter(&mut queue, "a").1).collect();
        assert!(queue.enter(Digest::of("a"), 1).is_none());
        assert!(places.iter().all(|place| !place.is_lost()));
        enter(&mut queue, "b");
        assert!(places[3].is_lost() && !places[2].is_lost());
        enter(&mut queue, "b");
        assert!(places[2].is_lost() && !places[1].is_lost());
        // Two each: nobody has more than another.
        assert!(queue.enter(Digest::of("b"), 1).is_none());
        assert!(queue.enter(Digest::of("a"), 1).is_none());
        enter(&mut queue, "c");
        assert_eq!(queue.len(), 4);
        // Whoever has lost a place leaves without harm.
        queue.leave(Digest::of("a"), &places[3], false);
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn u8_whoever_waits_in_several_queues_counts_for_its_part_in_each() {
        let mut queue = Queue::new(10);
        let a = Digest::of("a");
        for (among, ahead) in [(1, 0), (2, 1), (2, 1), (3, 2), (3, 2), (3, 2), (1, 3)] {
            assert_eq!(queue.ahead_of_new(a), ahead);
            queue.enter(a, among).unwrap();
        }
        assert_eq!(queue.ahead_of_new(Digest::of("b")), 1);
    }

    #[test]
    fn u8_nobody_waits_where_there_is_no_place() {
        let mut queue = Queue::new(0);
        assert!(queue.enter(Digest::of("a"), 1).is_none());
        assert!(queue.is_empty());
    }
}
