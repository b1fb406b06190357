//! When to ask a service again that has not done what it was asked.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

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

/// Half of it for certain, the rest by lot.
pub(super) fn by_lot(wait: Duration) -> Duration {
    let mut lot = [0];
    // Without randomness the whole of it is as good.
    if aws_lc_rs::rand::fill(&mut lot).is_err() {
        return wait;
    }
    wait / 2 + wait * u32::from(lot[0]) / 510
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
}
