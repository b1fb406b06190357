//! How much a client may send in a second. Who sends more is read more slowly: the kernel's own
//! back-pressure reaches the sender, and nothing is lost or closed for it.
//!
//! Token buckets of one second. A read may overdraw them, by one read buffer at the most, and then
//! nothing is read until the debt is paid; so the mean never exceeds the limit, floods of pings, which
//! are frames of six bytes, among them.

use std::time::Duration;

use tokio::time::Instant;

/// Bounds of what a client sends; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of frames, their heads among them.
    pub bytes_per_second: Option<u64>,
    /// Frames of any kind.
    pub frames_per_second: Option<u32>,
}

/// How often reading was paused: for bytes, for frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pauses {
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

/// Paces one direction.
pub(super) struct Meter {
    bytes: Option<Bucket>,
    frames: Option<Bucket>,
    /// Nothing is read before that.
    until: Option<Instant>,
    pauses: Pauses,
}

impl Meter {
    /// `None`: there is nothing to pace.
    pub(super) fn new(pace: Pace, now: Instant) -> Option<Box<Meter>> {
        let bucket = |rate: f64| Bucket {
            rate,
            left: rate,
            at: now,
        };
        #[allow(clippy::cast_precision_loss, reason = "no limit needs its last bytes")]
        let bytes = pace.bytes_per_second.map(|rate| bucket(rate as f64));
        let frames = pace.frames_per_second.map(|rate| bucket(rate.into()));
        (bytes.is_some() || frames.is_some()).then(|| {
            Box::new(Meter {
                bytes,
                frames,
                until: None,
                pauses: Pauses::default(),
            })
        })
    }

    /// Whether anything may be read now.
    pub(super) fn may_read(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| now < until) {
            return false;
        }
        self.until = None;
        for bucket in [&mut self.bytes, &mut self.frames].into_iter().flatten() {
            bucket.fill(now);
        }
        true
    }

    /// Ends a pause that is over, whether or not anything can be read then; whether there was one.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }

    /// When reading goes on, while it is paused.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn count_bytes(&mut self, count: usize) {
        if let Some(bucket) = &mut self.bytes {
            #[allow(
                clippy::cast_precision_loss,
                reason = "a read is no more than some KiB"
            )]
            let count = count as f64;
            bucket.left -= count;
        }
    }

    pub(super) fn count_frame(&mut self) {
        if let Some(bucket) = &mut self.frames {
            bucket.left -= 1.0;
        }
    }

    /// A read is over: whether another has to wait.
    pub(super) fn settle(&mut self, now: Instant) {
        let bytes = self.bytes.as_ref().and_then(Bucket::debt);
        let frames = self.frames.as_ref().and_then(Bucket::debt);
        self.pauses.bytes += u64::from(bytes.is_some());
        self.pauses.frames += u64::from(frames.is_some());
        self.until = bytes.max(frames).map(|wait| now + wait);
    }

    /// How often it was paused since this was asked last.
    pub(super) fn take_pauses(&mut self) -> Pauses {
        std::mem::take(&mut self.pauses)
    }
}

/// What is left of a second's worth.
struct Bucket {
    /// A second.
    rate: f64,
    /// Below nothing: a debt.
    left: f64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.rate).min(self.rate);
    }

    /// How long a debt takes.
    fn debt(&self) -> Option<Duration> {
        (self.left < 0.0).then(|| Duration::from_secs_f64(-self.left / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b20_what_is_sent_is_a_seconds_worth_ahead_of_the_rate_and_no_more() {
        let pace = Pace {
            bytes_per_second: Some(1000),
            frames_per_second: Some(50),
        };
        let start = Instant::now();
        let mut meter = Meter::new(pace, start).unwrap();
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(60) {
            assert!(meter.may_read(now));
            meter.count_bytes(700);
            meter.count_frame();
            meter.settle(now);
            sent += 700;
            now = meter.until().unwrap_or(now);
        }
        // One read may be overdrawn.
        assert!((60_000..=61_700).contains(&sent), "{sent}");
        let pauses = meter.take_pauses();
        assert!(pauses.bytes > 80 && pauses.frames == 0, "{pauses:?}");
        assert_eq!(meter.take_pauses(), Pauses::default());
    }

    #[test]
    fn b20_frames_are_paced_apart_from_bytes_and_who_pauses_may_send_again() {
        let pace = Pace {
            bytes_per_second: None,
            frames_per_second: Some(10),
        };
        let start = Instant::now();
        let mut meter = Meter::new(pace, start).unwrap();
        for _ in 0..30 {
            meter.count_frame();
        }
        meter.settle(start);
        let until = start + Duration::from_secs(2);
        assert_eq!(meter.until(), Some(until));
        assert!(!meter.may_read(until - Duration::from_millis(1)));
        assert!(meter.may_read(until));
        // Silence earns a second's worth at the most.
        let later = until + Duration::from_secs(99);
        assert!(meter.may_read(later));
        for _ in 0..11 {
            meter.count_frame();
        }
        meter.settle(later);
        assert_eq!(meter.until(), Some(later + Duration::from_millis(100)));
        assert!(Meter::new(Pace::default(), start).is_none());
    }
}
