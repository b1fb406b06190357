//! Counters of what crosses in the sessions of one route.

use std::ops::Deref;
use std::sync::Arc;

use metrics::Counter;

use super::Times;

/// Counters of what crosses. Cloning shares them: each session has one.
#[derive(Clone)]
pub struct Flow(Arc<Counters>);

/// What a [`Flow`] counts with.
pub struct Counters {
    pub up: FlowDirection,
    pub down: FlowDirection,
    pub(super) keys: Counter,
    pub(super) unheard: Counter,
    pub(super) paused: [Counter; 2],
    pub(super) panics: Counter,
    /// What is timed in the route's sessions.
    pub times: Arc<Times>,
}

impl Deref for Flow {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Flow {
    pub(super) fn of(counters: Counters) -> Flow {
        Flow(Arc::new(counters))
    }

    /// Counters that nobody reads, for a relay outside an edge: benches and tests.
    pub fn unread() -> Flow {
        let direction = || FlowDirection {
            messages: Counter::noop(),
            bytes: Counter::noop(),
            audio_messages: Counter::noop(),
        };
        Flow::of(Counters {
            up: direction(),
            down: direction(),
            keys: Counter::noop(),
            unheard: Counter::noop(),
            paused: [Counter::noop(), Counter::noop()],
            panics: Counter::noop(),
            times: Arc::new(Times::unread()),
        })
    }

    /// The relay has panicked.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    /// How often a client had sent more than it may: in bytes, in frames.
    pub fn add_paused(&self, bytes: u64, frames: u64) {
        for (counter, count) in self.paused.iter().zip([bytes, frames]) {
            if count > 0 {
                counter.increment(count);
            }
        }
    }

    /// Keys that were heard, and audio messages that could not be listened to.
    pub fn add_heard(&self, keys: u64, unheard: u64) {
        for (counter, count) in [(&self.keys, keys), (&self.unheard, unheard)] {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}

pub struct FlowDirection {
    pub(super) messages: Counter,
    pub(super) bytes: Counter,
    pub(super) audio_messages: Counter,
}

impl FlowDirection {
    pub fn add(&self, messages: u64, bytes: u64, audio_messages: u64) {
        let pairs = [
            (&self.messages, messages),
            (&self.bytes, bytes),
            (&self.audio_messages, audio_messages),
        ];
        for (counter, count) in pairs {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}
