//! What is timed in sessions: one set of handles for each route.

use metrics::Histogram;

use super::name::*;
use super::{Metrics, tag, word};
use crate::error::{Direction, Side};
use crate::label::Label;

/// Bounds in seconds: a person on the phone hears each of them.
pub(super) const SECONDS_AUDIO: [f64; 12] = [
    0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0,
];
/// Bounds in seconds: from a stutter to a leg that is lost, by the usual `ping`.
pub(super) const SECONDS_GAP: [f64; 8] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0];
/// Bounds in seconds: from a thought to a caller who has put the phone down without hanging up.
pub(super) const SECONDS_SILENCE: [f64; 8] = [3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// Handles for what is timed in the sessions of one route.
pub struct Times {
    /// First audio, from the `101`, from the verdict of a gate, from the end of what was said.
    pub connected: Histogram,
    pub gate: Histogram,
    pub turn: Histogram,
    pub barge_in: Histogram,
    /// Up, down.
    pub gaps: [Histogram; 2],
    pub silence: Histogram,
    /// The client's leg, the upstream's.
    pub blocked: [Histogram; 2],
}

impl Times {
    /// Handles that nobody reads.
    pub(super) fn unread() -> Times {
        let noop = Histogram::noop;
        Times {
            connected: noop(),
            gate: noop(),
            turn: noop(),
            barge_in: noop(),
            gaps: [noop(), noop()],
            silence: noop(),
            blocked: [noop(), noop()],
        }
    }
}

impl Metrics {
    pub(super) fn times(&self, route: &Label) -> Times {
        let of_route = || vec![tag("route", route)];
        let first = |stage| {
            let tags = vec![tag("route", route), word("stage", stage)];
            metrics::histogram!(FIRST_AUDIO, tags)
        };
        let gaps = |direction: Direction| {
            let tags = vec![tag("route", route), word("direction", direction.word())];
            metrics::histogram!(AUDIO_GAPS, tags)
        };
        let blocked = |side: Side| {
            let tags = vec![tag("route", route), word("side", side.word())];
            metrics::histogram!(SLOW_CONSUMERS, tags)
        };
        metrics::with_local_recorder(&self.recorder, || Times {
            connected: first("connected"),
            gate: first("gate"),
            turn: first("turn"),
            barge_in: metrics::histogram!(BARGE_IN, of_route()),
            gaps: [Direction::Up, Direction::Down].map(gaps),
            silence: metrics::histogram!(CALLER_SILENCE, of_route()),
            blocked: [Side::Client, Side::Upstream].map(blocked),
        })
    }

    /// Counts what became of the trace of a request: `begun`, `continued`, `unbelieved`, `malformed`.
    pub fn traced(&self, result: &'static str) {
        self.add(TRACES, vec![word("result", result)], 1);
    }

    pub(super) fn count_spans(&self, result: &'static str, count: u64) {
        self.add(SPANS, vec![word("result", result)], count);
    }

    /// Shows in how many seconds a certificate ends; negative: it has.
    pub fn show_certificate(&self, of: &'static str, name: &Label, seconds: f64) {
        let tags = vec![word("use", of), tag("name", name)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::gauge!(CERTIFICATE_EXPIRY, tags).set(seconds);
        });
    }
}
