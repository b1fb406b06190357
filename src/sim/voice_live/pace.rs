//! Whether audio comes faster than a voice can speak.
//!
//! A wrong rate cannot be seen in samples, but it shows in time: audio of 24 kHz declared as 8 kHz
//! comes three times too fast. Owns that comparison; refuses to know samples and formats.

use std::time::{Duration, Instant};

/// How much audio may come in how much time. Twice real time leaves room for a burst after a stall
/// and is less than the mistake that it is to find, 24 kHz taken for 8 kHz.
const ALLOWED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));

/// How much audio came since when.
pub(super) struct Pace {
    since: Instant,
    audio: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            audio: Duration::ZERO,
        }
    }

    /// Takes note of audio of this length. Says whether it is too much.
    pub(super) fn exceeded(&mut self, length: Duration, now: Instant) -> bool {
        if now.duration_since(self.since) >= ALLOWED.1 {
            *self = Self::new(now);
        }
        self.audio += length;
        self.audio > ALLOWED.0
    }
}
