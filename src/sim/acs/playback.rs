//! Where the caller's ear is in what came back.
//!
//! ACS plays what it gets in order and in real time, however fast it came; `StopAudio` drops what
//! has not been played. Owns that model, with time as an argument. Refuses to know messages.

use crate::audio::SampleRate;
use std::collections::VecDeque;
use std::time::Duration;

/// The most samples kept of one direction: ten minutes at 24 kHz.
pub const KEPT_MAX: usize = 10 * 60 * 24_000;

/// A loudspeaker that was switched on when the connection stood.
pub(super) struct Playback {
    rate: SampleRate,
    waiting: VecDeque<i16>,
    /// Samples that time has passed over, played or silent.
    passed: u64,
    heard: Vec<i16>,
    left_out: u64,
}

impl Playback {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            waiting: VecDeque::new(),
            passed: 0,
            heard: Vec::new(),
            left_out: 0,
        }
    }

    /// Audio that came at `now`, to be played behind what waits. Beyond ten minutes it is left out.
    pub(super) fn push(&mut self, now: Duration, samples: &[i16]) {
        self.advance(now);
        let room = KEPT_MAX - self.waiting.len();
        let (kept, over) = samples.split_at(samples.len().min(room));
        self.waiting.extend(kept);
        self.left_out += over.len() as u64;
    }

    /// Drops what was not played by `now`; how long that would have lasted.
    pub(super) fn stop(&mut self, now: Duration) -> Duration {
        self.advance(now);
        let dropped = self.waiting.len() as f64 / f64::from(self.rate.hz());
        self.waiting.clear();
        Duration::from_secs_f64(dropped)
    }

    /// Plays until `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        let until = self.rate.samples_in(now).max(self.passed);
        let due = usize::try_from(until - self.passed).unwrap_or(usize::MAX);
        self.passed = until;
        let played = self.waiting.len().min(due);
        let room = KEPT_MAX - self.heard.len();
        let kept = played.min(room);
        self.heard.extend(self.waiting.drain(..played).take(kept));
        self.left_out += (played - kept) as u64;
        let silent = (due - played).min(KEPT_MAX - self.heard.len());
        self.heard.resize(self.heard.len() + silent, 0);
    }

    /// What the caller heard until `now`, silence included, from when the connection stood; and how
    /// many samples found no room. Nothing is played afterwards.
    pub(super) fn finish(&mut self, now: Duration) -> (Vec<i16>, u64) {
        self.advance(now);
        (std::mem::take(&mut self.heard), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_plays_in_real_time_and_stops_at_once() {
        let mut playback = Playback::new(SampleRate::Hz16000);
        // A second comes at 10 ms, in two pieces at one moment.
        playback.push(10 * MS, &[1; 8_000]);
        playback.push(10 * MS, &[2; 8_000]);
        playback.advance(30 * MS);
        let mut expected = vec![0; 160];
        expected.extend([1; 320]);
        assert_eq!(playback.heard, expected);
        // Stopped at 520 ms: 10 ms of the second piece were played.
        assert_eq!(playback.stop(520 * MS), 490 * MS);
        playback.push(540 * MS, &[3; 160]);
        playback.advance(560 * MS);
        expected.extend([1; 7_680]);
        expected.extend([2; 160]);
        expected.extend([0; 320]);
        expected.extend([3; 160]);
        expected.extend([0; 160]);
        assert_eq!(playback.heard, expected);
        assert_eq!(playback.stop(560 * MS), Duration::ZERO);
        // Time that goes backwards plays nothing.
        playback.advance(100 * MS);
        assert_eq!(playback.finish(560 * MS), (expected, 0));
    }

    #[test]
    fn both_its_ends_are_bounded() {
        let mut playback = Playback::new(SampleRate::Hz24000);
        playback.push(Duration::ZERO, &vec![1; KEPT_MAX + 3]);
        assert_eq!(playback.left_out, 3);
        playback.advance(Duration::from_secs(601));
        assert_eq!(playback.heard.len(), KEPT_MAX);
        playback.push(Duration::from_secs(601), &[1; 24_000]);
        playback.advance(Duration::from_secs(602));
        assert_eq!(playback.heard.len(), KEPT_MAX);
        assert_eq!(playback.left_out, 24_003);
    }
}
