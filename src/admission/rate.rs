//! How often each key, route, address and identity may ask, over all threads.
//!
//! The generic cell rate algorithm (ITU-T I.371): one time per asker, when its bucket will be empty
//! again. It needs no timer, and knows exactly when the next request may come.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::who::Who;
use crate::config::Rate;

/// Askers that are remembered. One whose bucket is empty again is forgotten.
const ASKERS_MAX: usize = 65_536;

/// A full table is searched for places at most this often: a search locks all of it.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// When each asker's bucket will be empty.
#[derive(Debug, Default)]
pub(super) struct Rates {
    empty: DashMap<Who, Instant>,
    swept: Mutex<Option<Instant>>,
}

/// Why an asker must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until its next turn.
    For(Duration),
    /// There are more askers than can be told apart; until some of them are forgotten.
    Full,
}

impl Rates {
    /// Counts one request of `who` at `now`.
    pub(super) fn ask(&self, who: Who, rate: Rate, now: Instant) -> Result<(), Wait> {
        if self.empty.len() >= ASKERS_MAX && !self.empty.contains_key(&who) {
            self.sweep(now);
            if self.empty.len() >= ASKERS_MAX {
                return Err(Wait::Full);
            }
        }
        let mut empty = self.empty.entry(who).or_insert(now);
        // No bucket is fuller than full: by the rate of settings that were changed it may be.
        *empty = (*empty).min(now + rate.per);
        let from = (*empty).max(now);
        let next = from + rate.per / rate.count;
        if next > now + rate.per {
            return Err(Wait::For(next - now - rate.per));
        }
        *empty = next;
        Ok(())
    }

    /// Forgets whoever may ask as if for the first time, if that was not done a moment ago.
    pub(super) fn sweep(&self, now: Instant) {
        // Whoever does not get it leaves the work to whom has it.
        let Ok(mut swept) = self.swept.try_lock() else {
            return;
        };
        if swept.is_some_and(|at| now.saturating_duration_since(at) < SWEEP) {
            return;
        }
        *swept = Some(now);
        self.empty.retain(|_, empty| *empty > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;

    const SECOND: Duration = Duration::from_secs(1);

    fn who(name: &str) -> Who {
        Who::Key(Label::new(name).unwrap())
    }

    #[test]
    fn b23_a_burst_passes_and_then_one_each_turn_at_the_time_that_was_told() {
        let (rates, start) = (Rates::default(), Instant::now());
        let rate = Rate {
            count: 4,
            per: 60 * SECOND,
        };
        for _ in 0..4 {
            assert_eq!(rates.ask(who("a"), rate, start), Ok(()));
        }
        let Err(Wait::For(wait)) = rates.ask(who("a"), rate, start) else {
            panic!("a fifth passed");
        };
        assert_eq!(wait, 15 * SECOND);
        // Asking too early costs nothing, and somebody else is not concerned.
        let early = rates.ask(who("a"), rate, start + wait - SECOND);
        assert_eq!(early, Err(Wait::For(SECOND)));
        assert_eq!(rates.ask(who("b"), rate, start), Ok(()));
        assert_eq!(rates.ask(who("a"), rate, start + wait), Ok(()));
        assert!(rates.ask(who("a"), rate, start + wait).is_err());
        // After a whole period everything is as it was.
        let later = start + wait + 60 * SECOND;
        assert!((0..4).all(|_| rates.ask(who("a"), rate, later).is_ok()));
        assert!(rates.ask(who("a"), rate, later).is_err());
    }

    #[test]
    fn a41_whoever_used_up_an_old_rate_waits_for_one_turn_of_the_new_one() {
        let (rates, start) = (Rates::default(), Instant::now());
        let rate = |count, per| Rate { count, per };
        let hourly = rate(3, 3600 * SECOND);
        assert!((0..3).all(|_| rates.ask(who("a"), hourly, start).is_ok()));
        let minutely = rate(60, 60 * SECOND);
        let waits = rates.ask(who("a"), minutely, start);
        assert_eq!(waits, Err(Wait::For(SECOND)));
        assert_eq!(rates.ask(who("a"), minutely, start + SECOND), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_has_waited() {
        let (rates, start) = (Rates::default(), Instant::now());
        let rate = Rate {
            count: 1,
            per: SECOND,
        };
        for i in 0..ASKERS_MAX {
            assert_eq!(rates.ask(who(&format!("k{i}")), rate, start), Ok(()));
        }
        assert_eq!(rates.ask(who("more"), rate, start), Err(Wait::Full));
        // Who is in the table is served all the same.
        assert_eq!(rates.ask(who("k7"), rate, start), Err(Wait::For(SECOND)));
        assert_eq!(rates.ask(who("more"), rate, start + SECOND), Ok(()));
        assert_eq!(rates.empty.len(), 1);
    }
}
