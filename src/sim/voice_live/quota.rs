//! How many new connections a resource takes in a minute.
//!
//! Owns the count, in any window and to the last one: a service may count by whole minutes, and is then
//! never stricter. Refuses to know requests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The connections of the last window.
pub(super) struct Quota {
    count: usize,
    per: Duration,
    taken: Mutex<VecDeque<Instant>>,
}

impl Quota {
    pub(super) fn new((count, per): (usize, Duration)) -> Self {
        Self {
            count,
            per,
            taken: Mutex::default(),
        }
    }

    /// Takes one more, or says in how long one may come.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.front().is_some_and(|first| *first + self.per <= now) {
            taken.pop_front();
        }
        if taken.len() >= self.count {
            let first = taken.front().copied().unwrap_or(now);
            return Err(first + self.per - now);
        }
        taken.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_and_each_refusal_says_when_the_next_may_come() {
        let (quota, start) = (Quota::new((2, Duration::from_secs(60))), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(quota.take(at(0)), Ok(()));
        assert_eq!(quota.take(at(50)), Ok(()));
        assert_eq!(quota.take(at(59)), Err(Duration::from_secs(1)));
        assert_eq!(quota.take(at(60)), Ok(()));
        assert_eq!(quota.take(at(61)), Err(Duration::from_secs(49)));
        assert_eq!(quota.take(at(110)), Ok(()));
    }
}
