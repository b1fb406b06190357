//! Counters of phone calls, of turns, of the audit, and of what goes on to private applications.

use std::time::Duration;

use super::name::*;
use super::{Audit, Metrics, Pacing, tag, word};
use crate::label::Label;

impl Metrics {
    /// Counts the end of a gate: `authorised`, `rejected`, `expired`, `left`.
    pub fn gate_ended(&self, route: &Label, result: &'static str, after: Duration) {
        let tags = vec![tag("route", route), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(GATES, tags).increment(1);
            metrics::histogram!(GATE_SECONDS, vec![tag("route", route)]).record(after);
        });
    }

    /// Counts digits that a gate was given by a feed.
    pub fn gate_digits(&self, route: &Label, feed: &'static str, count: u64) {
        let tags = vec![tag("route", route), word("feed", feed)];
        self.add(GATE_DIGITS, tags, count);
    }

    /// Counts messages of a phone call that went no further.
    pub fn call_drops(&self, route: &Label, kind: &'static str, count: u64) {
        let tags = vec![tag("route", route), word("kind", kind)];
        self.add(CALL_DROPS, tags, count);
    }

    /// Counts an event that Event Grid or Call Automation posted.
    pub fn event(&self, route: &Label, event: &'static str) {
        self.add(EVENTS, vec![tag("route", route), word("event", event)], 1);
    }

    /// Counts an event of which nothing came, and why.
    pub fn event_dropped(&self, route: &Label, why: &'static str) {
        self.add(EVENT_DROPS, vec![tag("route", route), word("why", why)], 1);
    }

    /// Counts a call whose media ACS could not stream, with ACS' own word for why.
    pub fn media_failed(&self, route: &Label, detail: &'static str) {
        let tags = vec![tag("route", route), word("detail", detail)];
        self.add(MEDIA_FAILURES, tags, 1);
    }

    /// Counts a call that was to be made: `ok`, `untold` (nobody took the answer, and it was taken
    /// back), or the reason why it was not.
    pub fn call_made(&self, route: &Label, result: &'static str) {
        let tags = vec![tag("route", route), word("result", result)];
        self.add(CALLS_MADE, tags, 1);
    }

    /// Counts a webhook that was delivered, given up, or had no room.
    pub fn webhook(&self, route: &Label, result: &'static str) {
        self.add(
            WEBHOOKS,
            vec![tag("route", route), word("result", result)],
            1,
        );
    }

    /// Counts an audit record that was written; `decision` is `allow`, `deny` or `none`.
    pub fn audited(&self, event: &'static str, decision: &'static str) {
        let tags = vec![word("event", event), word("decision", decision)];
        self.add(AUDIT_RECORDS, tags, 1);
    }

    /// Handles for an audit, which show from its start on that nothing has failed yet.
    pub fn audit(&self) -> Audit {
        metrics::with_local_recorder(&self.recorder, || Audit {
            refused: metrics::counter!(AUDIT_REFUSED),
            errors: metrics::counter!(AUDIT_ERRORS),
        })
    }

    /// Counts what an application answered, and how long it took to the head of that.
    pub fn app_answered(&self, route: &Label, status: u16, duration: Duration) {
        let class = match status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        metrics::with_local_recorder(&self.recorder, || {
            let tags = vec![tag("route", route), word("status", class)];
            metrics::counter!(APP_ANSWERS, tags).increment(1);
            metrics::histogram!(APP_SECONDS, vec![tag("route", route)]).record(duration);
        });
    }

    /// Counts a list of reports that was asked of Graph; `result` is `ok`, or why it is not known.
    pub fn graph_asked(&self, result: &'static str, duration: Duration) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(GRAPH_LOOKUPS, vec![word("result", result)]).increment(1);
            metrics::histogram!(GRAPH_SECONDS).record(duration);
        });
    }

    /// Counts a body that a detector of personal data was asked about; `result` is `ok`, or why it
    /// did not say.
    pub fn pii_looked(&self, detector: &Label, result: &'static str, duration: Duration) {
        let tags = vec![tag("detector", detector), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(PII_LOOKS, tags).increment(1);
            metrics::histogram!(PII_SECONDS, vec![tag("detector", detector)]).record(duration);
        });
    }

    /// Counts a message of the bot's with all its attempts; `result` is `ok`, or why it was not sent.
    pub fn bot_sent(&self, operation: &'static str, result: &'static str, duration: Duration) {
        let tags = vec![word("operation", operation), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(BOT_MESSAGES, tags).increment(1);
            let tags = vec![word("operation", operation)];
            metrics::histogram!(BOT_SECONDS, tags).record(duration);
        });
    }

    /// Counts what came of a ticket; `result` is `ok`, or why it opens nothing.
    pub fn ticket(&self, route: &Label, result: &'static str) {
        let tags = vec![tag("route", route), word("result", result)];
        self.add(TICKETS, tags, 1);
    }

    /// Counts orders that were news here; `kind` is the order's, or `malformed`.
    pub fn orders(&self, kind: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.add(ORDERS, vec![word("kind", kind)], count);
    }

    /// Shows how many revocations are in force, and how long ago that was read.
    pub fn show_revocations(&self, in_force: usize, age: Option<Duration>) {
        metrics::with_local_recorder(&self.recorder, || {
            let in_force = u32::try_from(in_force).unwrap_or(u32::MAX);
            metrics::gauge!(REVOCATIONS).set(f64::from(in_force));
            if let Some(age) = age {
                metrics::gauge!(REVOCATIONS_AGE).set(age.as_secs_f64());
            }
        });
    }

    /// Counts what was to be kept of somebody who spoke to the bot; `result` is `ok`, `lost` or `full`.
    pub fn bot_noted(&self, note: &'static str, result: &'static str) {
        self.add(
            BOT_NOTES,
            vec![word("note", note), word("result", result)],
            1,
        );
    }

    /// Counts a turn to connect: `taken`, `alone` (without the store), `given_back`, or why there was
    /// none for somebody: `full`, `late`.
    pub fn turn(&self, upstream: &Label, result: &'static str) {
        let tags = vec![tag("upstream", upstream), word("result", result)];
        self.add(TURNS, tags, 1);
    }

    /// Handles for those who wait for turns.
    pub fn pacing(&self, upstream: &Label) -> Pacing {
        let tags = || vec![tag("upstream", upstream)];
        metrics::with_local_recorder(&self.recorder, || Pacing {
            queue: metrics::gauge!(QUEUE, tags()),
            waited: metrics::histogram!(QUEUE_SECONDS, tags()),
            throttled: metrics::counter!(THROTTLED, tags()),
        })
    }

    /// Counts a session that will be ended soon, for its upstream allows no longer one.
    pub fn session_near_cap(&self, route: &Label, upstream: &Label) {
        let tags = vec![tag("route", route), tag("upstream", upstream)];
        self.add(NEAR_CAP, tags, 1);
    }
}
