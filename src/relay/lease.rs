//! Until when a session may last: as long as what it was opened with is good, and longer once somebody
//! has shown something that is good for longer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

/// The end of a session's lease. Whoever holds the session's registry entry may put it off, from any
/// thread; the session looks at it when it would end, and nobody looks at it per frame.
#[derive(Debug)]
pub struct Lease(Mutex<Until>);

/// By the world's clock, which credentials go by, and by the steady one, which timers do; none: nothing
/// that was shown ends.
#[derive(Clone, Copy, Debug)]
struct Until {
    wall: Option<SystemTime>,
    steady: Option<Instant>,
}

impl Until {
    fn new(end: Option<SystemTime>) -> Until {
        let left = |end: SystemTime| {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            // What no clock reaches does not end.
            Instant::now().checked_add(left)
        };
        Until {
            wall: end,
            steady: end.and_then(left),
        }
    }
}

impl Lease {
    /// A lease that ends then; `None`: by itself it does not.
    pub fn until(end: Option<SystemTime>) -> Lease {
        Lease(Mutex::new(Until::new(end)))
    }

    /// When it ends, as things are.
    pub fn ends(&self) -> Option<SystemTime> {
        self.lock().wall
    }

    /// Puts its end off; whether that is later than it was. It is never brought forward.
    pub fn extend(&self, end: Option<SystemTime>) -> bool {
        let mut until = self.lock();
        let later = match (until.wall, end) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(was), Some(end)) => end > was,
        };
        if later {
            *until = Until::new(end);
        }
        later
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.lock().steady
    }

    fn lock(&self) -> MutexGuard<'_, Until> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn s41_a_lease_is_put_off_and_never_brought_forward() {
        let (now, steady) = (SystemTime::now(), Instant::now());
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        let lease = Lease::until(at(60));
        for (end, later) in [
            (at(60), false),
            (at(59), false),
            (at(61), true),
            (at(61), false),
        ] {
            assert_eq!(lease.extend(end), later, "{end:?}");
        }
        assert_eq!(lease.ends(), at(61));
        let left = lease.at().unwrap() - steady;
        assert!((60..=61).contains(&left.as_secs()), "{left:?}");
        // What does not end is later than all that does, and stays so.
        assert!(lease.extend(None));
        assert!(!lease.extend(at(3600)) && !lease.extend(None));
        assert_eq!((lease.ends(), lease.at()), (None, None));
    }

    #[test]
    fn s41_what_has_ended_leaves_nothing_and_what_no_clock_reaches_does_not_end() {
        let past = SystemTime::now() - Duration::from_secs(5);
        let lease = Lease::until(Some(past));
        assert!(lease.at().unwrap() <= Instant::now());
        let never = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64 / 4);
        assert!(
            Lease::until(Some(never))
                .at()
                .is_none_or(|at| at > Instant::now())
        );
    }
}
