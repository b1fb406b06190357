//! The second look: an entry came out too short, so what was measured of the audio lately is judged
//! once more with the laxer setting. It is the same attempt, and the audio itself is not kept.
//!
//! The gate says which time it wants looked at, [`Ears`](super::Ears) look, the gate puts what they
//! found into the entry. It only counts if the code then has exactly its length: keys that the laxer
//! setting hears in a caller's words make an entry longer, and so no code.

use std::time::Duration;

use super::digits::Key;
use crate::audio::SampleRate;
use crate::dtmf::{Digit, Event, Record, Setting};

/// Most keys of one look that are kept. A record of 10 s could hold twice as many, but no code could.
const FOUND_MAX: usize = 64;

/// Keys that begin in this time are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub from: Duration,
    pub to: Duration,
}

/// What a second look found, in order. The caller's secret, so it is wiped, and `Debug` does not tell.
pub struct Found {
    keys: Vec<(Key, Duration)>,
}

impl Found {
    /// Nothing: what nobody could look at.
    pub fn nothing() -> Found {
        Found { keys: Vec::new() }
    }

    /// Looks at all of a record, so that the judge knows the line's background, and keeps the keys that
    /// `look` wants. `at` tells the time of a sample.
    pub(super) fn within(
        look: Look,
        record: &Record,
        rate: SampleRate,
        at: impl Fn(u64) -> Duration,
    ) -> Found {
        // Room for all at once, as a vector that grows leaves copies.
        let mut found = Found {
            keys: Vec::with_capacity(FOUND_MAX),
        };
        record.judge(rate, Setting::Lenient, |event| {
            if let Event::KeyDown { digit, start, .. } = event {
                let at = at(start);
                if at >= look.from && at <= look.to {
                    found.add(digit, at);
                }
            }
        });
        found
    }

    /// How many keys were found.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn keys(&self) -> &[(Key, Duration)] {
        &self.keys
    }

    /// Those of them that may be of a code.
    pub(super) fn digits(&self) -> Found {
        let mut keys = Vec::with_capacity(self.keys.len());
        keys.extend(self.keys.iter().filter(|(key, _)| key.is_digit()));
        Found { keys }
    }

    pub(super) fn add(&mut self, digit: Digit, at: Duration) {
        if self.keys.len() < FOUND_MAX {
            self.keys.push((Key::of(digit), at));
        }
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Found(_)")
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        self.keys.iter_mut().for_each(|(key, _)| key.wipe());
    }
}
