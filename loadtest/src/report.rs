//! What a run found, as one JSON line.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Counted by the connections' tasks. All of them run on one thread: relaxed is enough.
#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    /// Messages that came back other than they were sent, or out of order.
    pub changed: AtomicU64,
    /// Connections that ended before they should.
    pub broken: AtomicU64,
}

impl Counts {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// One direction at a time: an echo was relayed twice.
    pub fn relayed(&self) -> u64 {
        self.sent.load(Relaxed) + self.received.load(Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.sent
            .load(Relaxed)
            .saturating_sub(self.received.load(Relaxed))
    }

    pub fn sound(&self) -> bool {
        self.lost() + self.changed.load(Relaxed) + self.broken.load(Relaxed) == 0
    }

    pub fn json(&self) -> Value {
        json!({
            "sent": self.sent.load(Relaxed),
            "received": self.received.load(Relaxed),
            "lost": self.lost(),
            "changed": self.changed.load(Relaxed),
            "broken": self.broken.load(Relaxed),
        })
    }
}

/// Microseconds up to a minute, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constants that fit")
}

pub fn percentiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "p50": histogram.value_at_quantile(0.5),
        "p90": histogram.value_at_quantile(0.9),
        "p99": histogram.value_at_quantile(0.99),
        "p999": histogram.value_at_quantile(0.999),
        "max": histogram.max(),
        "count": histogram.len(),
    })
}
