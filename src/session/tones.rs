//! Keys that callbacks tell of, brought into their order.
//!
//! Callbacks arrive in any order and more than once, on whichever replica; their places say how they
//! were pressed. One that is missing is waited for, but not for long: a key whose callback was lost
//! would hold up all others.

use std::time::Duration;

use tokio::time::Instant;

/// For how long a key waits for one before it. Those of one caller come within a few hundred
/// milliseconds of each other; more than this and a caller would notice.
const GAP: Duration = Duration::from_secs(1);

/// How far a session is with the keys of its call.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The last place that was taken; `None` until it is known what was taken before this session.
    heard: Option<u32>,
    /// Since when the next place is missing.
    missing: Option<Instant>,
}

impl Places {
    /// The last place that was taken, to be told to the store.
    pub(super) fn heard(&self) -> Option<u32> {
        self.heard
    }

    /// Those keys whose turn it is. `before`: the last place that the store knows as taken; `told`:
    /// what is there behind it.
    pub(super) fn take(
        &mut self,
        before: u32,
        mut told: Vec<(u32, char)>,
        now: Instant,
    ) -> Vec<char> {
        let mut heard = self.heard.map_or(before, |heard| heard.max(before));
        told.retain(|&(place, _)| place > heard);
        told.sort_unstable_by_key(|&(place, _)| place);
        let mut taken = Vec::new();
        for (place, key) in told {
            if place != heard.saturating_add(1) {
                let missing = *self.missing.get_or_insert(now);
                if now.saturating_duration_since(missing) < GAP {
                    self.heard = Some(heard);
                    return taken;
                }
            }
            self.missing = None;
            heard = place;
            taken.push(key);
        }
        self.missing = None;
        self.heard = Some(heard);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(places: &mut Places, before: u32, told: &[(u32, char)], at: Instant) -> String {
        places.take(before, told.to_vec(), at).into_iter().collect()
    }

    #[test]
    fn a06_keys_come_in_their_order_and_once() {
        let (mut places, now) = (Places::default(), Instant::now());
        assert_eq!(places.heard(), None);
        assert_eq!(keys(&mut places, 0, &[(2, '2'), (1, '8')], now), "82");
        assert_eq!(places.heard(), Some(2));
        // The store did not know yet.
        assert_eq!(
            keys(&mut places, 0, &[(1, '8'), (2, '2'), (3, '3')], now),
            "3"
        );
        assert_eq!(keys(&mut places, 3, &[], now), "");
        assert_eq!(places.heard(), Some(3));
    }

    #[test]
    fn a06_a_missing_key_is_waited_for_but_not_for_long() {
        let (mut places, now) = (Places::default(), Instant::now());
        let told = [(1, '8'), (3, '3'), (5, '5')];
        assert_eq!(keys(&mut places, 0, &told, now), "8");
        assert_eq!(keys(&mut places, 1, &told, now + GAP / 2), "");
        // It came after all, and the next one is missing from now on.
        let more = [(2, '2'), (3, '3'), (5, '5')];
        assert_eq!(keys(&mut places, 1, &more, now + GAP / 2), "23");
        assert_eq!(keys(&mut places, 3, &more, now + GAP), "");
        assert_eq!(keys(&mut places, 3, &more, now + 2 * GAP), "5");
        // What comes later than that has missed its turn.
        assert_eq!(keys(&mut places, 5, &[(4, '4')], now + 2 * GAP), "");
    }

    #[test]
    fn a06_what_a_session_before_has_taken_is_not_taken_again() {
        let (mut places, now) = (Places::default(), Instant::now());
        assert_eq!(keys(&mut places, 2, &[(3, '3')], now), "3");
        assert_eq!(places.heard(), Some(3));
    }
}
