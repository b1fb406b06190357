//! When a service is asked again, and how many are asked at a time.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant as Deadline, timeout_at};

/// Before the second attempt, doubled before each further one, up to the second; half of it is drawn
/// by lot, so that edges that failed together do not come together.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// The pauses between the attempts of one operation.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses(BACK_OFF[0])
    }

    /// As long as the service said, or as long as it is now our turn to wait.
    pub(super) fn next(&mut self, said: Option<Duration>) -> Duration {
        let pause = said.unwrap_or_else(|| by_lot(self.0));
        self.0 = (2 * self.0).min(BACK_OFF[1]);
        pause
    }
}

/// Half of it for certain, the rest by lot.
pub(super) fn by_lot(wait: Duration) -> Duration {
    let mut lot = [0];
    // Without randomness the whole of it is as good.
    if aws_lc_rs::rand::fill(&mut lot).is_err() {
        return wait;
    }
    wait / 2 + wait * u32::from(lot[0]) / 510
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        // Longer than any operation takes, and short enough to be added to any time.
        return Some(Duration::from_secs(seconds).min(Duration::from_secs(24 * 3600)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Operations that may be under way at one service, and those that may wait for that as well.
pub(super) struct Turns {
    pub(super) slots: Semaphore,
    pub(super) places: Semaphore,
}

/// Holds both for as long as an operation lasts.
pub(super) struct Turn<'a> {
    _place: SemaphorePermit<'a>,
    _slot: SemaphorePermit<'a>,
}

impl Turns {
    pub(super) fn new(slots: usize, places: usize) -> Turns {
        Turns {
            slots: Semaphore::new(slots),
            places: Semaphore::new(places),
        }
    }

    /// A turn by `deadline`; `None`: too many others are waiting, or took too long.
    pub(super) async fn take(&self, deadline: Deadline) -> Option<Turn<'_>> {
        let place = self.places.try_acquire().ok()?;
        let slot = timeout_at(deadline, self.slots.acquire())
            .await
            .ok()?
            .ok()?;
        Some(Turn {
            _place: place,
            _slot: slot,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a05_a_service_says_in_seconds_or_by_date_when_to_come_again() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_667_400);
        let after = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        let seconds = Duration::from_secs;
        assert_eq!(after("7"), Some(seconds(7)));
        assert_eq!(after(" 0 "), Some(seconds(0)));
        assert_eq!(after("99999999999999999"), Some(seconds(86_400)));
        assert_eq!(after("Thu, 26 Nov 2026 04:30:09 GMT"), Some(seconds(9)));
        assert_eq!(after("Thu, 26 Nov 2026 04:29:00 GMT"), Some(seconds(0)));
        for bad in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }

    #[test]
    fn a05_a_pause_is_half_by_lot() {
        let wait = Duration::from_secs(2);
        let pauses: Vec<_> = (0..100).map(|_| by_lot(wait)).collect();
        assert!(pauses.iter().all(|p| (wait / 2..=wait).contains(p)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn a05_pauses_grow_and_what_a_service_says_comes_first() {
        let mut pauses = Pauses::new();
        let said = Duration::from_secs(7);
        assert_eq!(pauses.next(Some(said)), said);
        for at_most in [500, 1000, 2000, 2000] {
            let at_most = Duration::from_millis(at_most);
            let pause = pauses.next(None);
            assert!((at_most / 2..=at_most).contains(&pause), "{pause:?}");
        }
    }
}
