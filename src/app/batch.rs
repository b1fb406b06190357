//! One wake for the frames of many sessions: a worker that is busy lets what comes gather for a moment
//! before it looks for it.
//!
//! A worker that sleeps until the next frame is woken for that frame alone, and to wake costs more than
//! to relay: sleep, interrupt, cold caches. The more frames a wake finds the less each of them costs. What
//! that takes is time: each frame may wait for `server.batch`, and some more, as sleeping does, in each direction.
//!
//! Measured with 200 calls on one worker, 20,000 messages a second, both sides TLS, in five rounds: 0.84 times
//! the CPU with 250 µs (0.70 to 1.02), and round trips, which cross the edge twice, 0.75 ms longer
//! (`loadtest/compare/run.py --modes call --targets nginx,tonegate,tonegate-batch`). With 20 calls less than
//! 1 ms saves nothing.
//!
//! The wait is a bounded one, and only for who gains by it: in a worker that few frames wake, each is
//! relayed at once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::relay;

/// Wakes that two waits have to bring together to be worth it. With two, one each, little was saved where
/// that was measured, and with fewer the sleep is one wake more.
const WORTH: u32 = 3;

thread_local! {
    static PACE: Cell<Pace> = const { Cell::new(Pace { since: None, woken: 0, dense: false }) };
}

/// How often sessions of this thread are woken.
#[derive(Clone, Copy)]
struct Pace {
    /// What is counted was woken since then.
    since: Option<Instant>,
    woken: u32,
    /// When that was judged last, sessions were woken often enough.
    dense: bool,
}

impl Pace {
    /// Sessions were woken; whether it is worth it to wait for `batch` now.
    fn note(&mut self, woken: u32, batch: Duration, now: Instant) -> bool {
        self.woken = self.woken.saturating_add(woken);
        let passed = now.saturating_duration_since(*self.since.get_or_insert(now));
        if passed >= batch {
            self.dense = 2 * batch * self.woken >= passed * WORTH;
            self.since = Some(now);
            self.woken = 0;
        }
        self.dense
    }
}

/// Whether a worker that has nothing to do is to wait for `batch` before it sleeps until something comes.
pub(super) fn is_worth_it(batch: Duration) -> bool {
    let mut pace = PACE.get();
    let is_worth_it = pace.note(relay::take_woken(), batch, Instant::now());
    PACE.set(pace);
    is_worth_it
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_micros(500);

    /// Whether a worker waits, whose sessions are woken so many times in a batch, for a while.
    fn waits(per_batch: u32) -> bool {
        let mut pace = PACE.get();
        let mut now = Instant::now();
        let mut waits = false;
        for _ in 0..100 {
            now += BATCH;
            waits = pace.note(per_batch, BATCH, now);
        }
        waits
    }

    #[test]
    fn a_worker_waits_where_frames_come_closely_and_at_no_other_time() {
        assert_eq!([0, 1, 2, 50].map(waits), [false, false, true, true]);
    }

    #[test]
    fn a_worker_that_was_busy_waits_no_more_when_frames_have_become_few() {
        let mut pace = PACE.get();
        let start = Instant::now();
        assert!(!pace.note(9, BATCH, start));
        assert!(pace.note(9, BATCH, start + BATCH));
        // It slept for a second, and one frame woke it.
        let later = start + Duration::from_secs(1);
        assert!(!pace.note(1, BATCH, later));
        // One frame at a time, each of them relayed at once.
        let mut waits = (1..1000).map(|n| pace.note(1, BATCH, later + n * BATCH));
        assert!(!waits.any(|waits| waits));
    }

    #[test]
    fn a_worker_goes_by_what_it_saw_last() {
        for dense in [true, false] {
            let since = Some(Instant::now());
            PACE.set(Pace {
                since,
                woken: 0,
                dense,
            });
            assert_eq!(is_worth_it(Duration::from_secs(3600)), dense);
        }
    }

    #[test]
    fn frames_that_come_within_one_batch_are_counted_together() {
        let mut pace = PACE.get();
        let start = Instant::now();
        pace.note(0, BATCH, start);
        let mut waits = (1..=100).map(|n| pace.note(1, BATCH, start + n * BATCH / 4));
        assert!(waits.by_ref().take(3).all(|waits| !waits));
        assert!(waits.all(|waits| waits));
    }
}
