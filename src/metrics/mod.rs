//! What the edge counts, by the `metrics` crate with handles that are looked up once.
//!
//! There is no global recorder: a [`Metrics`] is passed to whoever counts. Names follow
//! `tonegate_<noun>_<unit>_<total?>`; labels are closed words or names from the settings, never
//! anything that a peer sent. [`FAMILIES`] is the whole list, and the README prints the same one.

mod count;
mod family;
mod flow;
mod label;
mod name;
mod panics;
mod span;
mod times;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label as Tag};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use self::family::{FAMILIES, Family, Kind};
pub use self::flow::{Flow, FlowDirection};
pub use self::label::{LABELS, Labels, Values, of as labels_of};
pub use self::panics::Work;
pub use self::span::{Role, SPANS_MAX, Span};
pub use self::times::Times;

use self::name::*;
use self::span::Spans;
use self::times::{SECONDS_AUDIO, SECONDS_GAP, SECONDS_SILENCE};
use crate::error::{Direction, Reason, Side};
use crate::label::Label;

/// Bounds in seconds: from a fast local answer to the deadlines of an upgrade.
const SECONDS_SHORT: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Bounds in seconds: what callers take to dial a code, up to the longest deadlines.
const SECONDS_GATE: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0];
/// Bounds in seconds: from an aborted session to the longest one.
const SECONDS_LONG: [f64; 10] = [
    1.0, 5.0, 15.0, 60.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];

/// Everything that counts, and the page that shows it.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    pub connections: Gauge,
    pub connections_total: Counter,
    pub accept_errors: Counter,
    pub proxy_failures: Counter,
    pub tls_failures: Counter,
    /// Sessions that failed for a message that was too long.
    pub tls_messages: Counter,
    pub tickets_dropped: Counter,
    pub batch_waits: Counter,
    pub log_drops: Counter,
    pub log_unfiltered: Counter,
    pub store_up: Gauge,
    pub ready: Gauge,
    pub draining: Gauge,
    /// Sessions that ended by themselves while the edge drained, and that it has ended.
    pub drained_left: Counter,
    pub drained_ended: Counter,
    pub insecure_dev: Gauge,
    loaded_at: Gauge,
    in_force: Gauge,
    spans: Spans,
}

impl Metrics {
    pub fn new() -> Metrics {
        let bounds: [(&str, &[f64]); 7] = [
            (SESSION_SECONDS, &SECONDS_LONG),
            (GATE_SECONDS, &SECONDS_GATE),
            (QUEUE_SECONDS, &SECONDS_GATE),
            (FIRST_AUDIO, &SECONDS_AUDIO),
            (AUDIO_GAPS, &SECONDS_GAP),
            (SLOW_CONSUMERS, &SECONDS_GAP),
            (CALLER_SILENCE, &SECONDS_SILENCE),
        ];
        let recorder = bounds
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
            })
            .and_then(|builder| builder.set_buckets(&SECONDS_SHORT))
            .expect("the bounds above are neither empty nor unsorted")
            .build_recorder();
        let handle = recorder.handle();
        let gauge = |name| metrics::with_local_recorder(&recorder, || metrics::gauge!(name));
        let counter = |name| metrics::with_local_recorder(&recorder, || metrics::counter!(name));
        let drained = |how: &'static str| {
            metrics::with_local_recorder(&recorder, || metrics::counter!(DRAINED, "how" => how))
        };
        metrics::with_local_recorder(&recorder, || {
            describe();
            panics::expect();
            metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        });
        let metrics = Metrics {
            connections: gauge(CONNECTIONS),
            connections_total: counter(CONNECTIONS_TOTAL),
            accept_errors: counter(ACCEPT_ERRORS),
            proxy_failures: counter(PROXY_FAILURES),
            tls_failures: counter(TLS_FAILURES),
            tls_messages: metrics::with_local_recorder(&recorder, || {
                metrics::counter!(LIMIT_HITS, vec![word("limit", "tls_message")])
            }),
            tickets_dropped: counter(TICKETS_DROPPED),
            batch_waits: counter(BATCH_WAITS),
            log_drops: counter(LOG_DROPS),
            log_unfiltered: counter(LOG_UNFILTERED),
            store_up: gauge(STORE_UP),
            ready: gauge(READY),
            draining: gauge(DRAINING),
            drained_left: drained("left"),
            drained_ended: drained("ended"),
            insecure_dev: gauge(INSECURE_DEV),
            loaded_at: gauge(SETTINGS_LOADED),
            in_force: gauge(SETTINGS_IN_FORCE),
            spans: Spans::default(),
            recorder,
            handle,
        };
        metrics.settings_in_force(true);
        metrics.expect_settings_loads();
        metrics
    }

    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what histograms gathered since the last scrape; without it they grow for ever while
    /// nobody scrapes. To be called every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Handles for the sessions of one route.
    pub fn route(&self, route: &Label) -> Route {
        let direction = |direction: Direction| {
            let tags = || vec![tag("route", route), word("direction", direction.word())];
            FlowDirection {
                messages: metrics::counter!(MESSAGES, tags()),
                bytes: metrics::counter!(PAYLOAD_BYTES, tags()),
                audio_messages: metrics::counter!(AUDIO_MESSAGES, tags()),
            }
        };
        let lease = |result| {
            let tags = vec![tag("route", route), word("result", result)];
            metrics::counter!(LEASES, tags)
        };
        metrics::with_local_recorder(&self.recorder, || Route {
            flow: Flow::of(flow::Counters {
                up: direction(Direction::Up),
                down: direction(Direction::Down),
                keys: metrics::counter!(DTMF_KEYS, vec![tag("route", route)]),
                unheard: metrics::counter!(DTMF_UNHEARD, vec![tag("route", route)]),
                paused: ["bytes_per_second", "frames_per_second"]
                    .map(|limit| metrics::counter!(LIMIT_HITS, vec![word("limit", limit)])),
                panics: panics::counter(Work::Session),
                times: Arc::new(self.times(route)),
            }),
            sessions: metrics::gauge!(SESSIONS, vec![tag("route", route)]),
            session_seconds: metrics::histogram!(SESSION_SECONDS, vec![tag("route", route)]),
            lease_extended: lease("extended"),
            lease_expired: lease("expired"),
            upgrade_seconds: metrics::histogram!(UPGRADE_SECONDS, vec![tag("route", route)]),
            dropped_parameters: metrics::counter!(DROPPED_PARAMETERS, vec![tag("route", route)]),
            admitted: metrics::counter!(
                REQUESTS,
                vec![tag("route", route), word("result", "admitted")]
            ),
        })
    }

    /// Counts a refusal. `route` is `None` where none matched.
    pub fn refused(&self, route: Option<&Label>, reason: Reason) {
        let route = route.map_or_else(|| word("route", "none"), |route| tag("route", route));
        let tags = vec![route, word("result", reason.word())];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(REQUESTS, tags).increment(1);
        });
    }

    /// Shows the counters that alerts on denials go by as zero, from the start: of one that begins
    /// with its first denials nobody could tell that it has grown.
    pub fn expect_denials(&self, route: &Label, gated: bool) {
        metrics::with_local_recorder(&self.recorder, || {
            for reason in [Reason::Unauthenticated, Reason::Forbidden] {
                let tags = vec![tag("route", route), word("result", reason.word())];
                let _ = metrics::counter!(REQUESTS, tags);
            }
            if gated {
                let tags = vec![tag("route", route), word("result", "rejected")];
                let _ = metrics::counter!(GATES, tags);
            }
        });
    }

    /// Counts the end of a session.
    pub fn session_ended(&self, route: &Label, by: Side, reason: Reason) {
        let tags = vec![
            tag("route", route),
            word("by", by.word()),
            word("reason", reason.word()),
        ];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(SESSIONS_ENDED, tags).increment(1);
        });
    }

    /// Counts an attempt to connect upstream that failed for `reason`.
    pub fn dial_failed(&self, upstream: &Label, reason: Reason) {
        let tags = vec![tag("upstream", upstream), word("result", reason.word())];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(DIALS, tags).increment(1);
        });
    }

    /// Counts a successful attempt and its duration.
    pub fn dialled(&self, upstream: &Label, duration: Duration) {
        let tags = vec![tag("upstream", upstream), word("result", "ok")];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(DIALS, tags).increment(1);
            metrics::histogram!(DIAL_SECONDS, vec![tag("upstream", upstream)]).record(duration);
        });
    }

    /// Counts a fetch of an issuer's keys; `result` is `ok` or `failed`.
    pub fn keys_fetched(&self, issuer: &Label, result: &'static str) {
        let tags = vec![tag("issuer", issuer), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(KEY_FETCHES, tags).increment(1);
        });
    }

    /// Counts a fetch of a token for the edge itself; `result` is `ok` or `failed`.
    pub fn identity_fetched(&self, upstream: &Label, result: &'static str) {
        let tags = vec![tag("upstream", upstream), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(IDENTITY_FETCHES, tags).increment(1);
        });
    }

    fn add(&self, name: &'static str, tags: Vec<Tag>, count: u64) {
        if count > 0 {
            metrics::with_local_recorder(&self.recorder, || {
                metrics::counter!(name, tags).increment(count);
            });
        }
    }

    /// Counts a question to the session store; `result` is `ok`, or why there was no answer.
    pub fn store_answered(
        &self,
        operation: &'static str,
        result: &'static str,
        duration: Duration,
    ) {
        let tags = vec![word("operation", operation), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(STORE_OPERATIONS, tags).increment(1);
            metrics::histogram!(STORE_SECONDS, vec![word("operation", operation)]).record(duration);
        });
    }

    /// Counts an operation of Call Automation with all its attempts; `result` is `ok`, or why it was
    /// not done.
    pub fn call_controlled(
        &self,
        operation: &'static str,
        result: &'static str,
        duration: Duration,
    ) {
        let tags = vec![word("operation", operation), word("result", result)];
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(CALL_CONTROL, tags).increment(1);
            let tags = vec![word("operation", operation)];
            metrics::histogram!(CALL_CONTROL_SECONDS, tags).record(duration);
        });
    }

    /// Counts a request that the admin listener did not answer.
    pub fn admin_refused(&self, reason: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(ADMIN_REFUSED, vec![word("reason", reason)]).increment(1);
        });
    }

    /// Counts that a limit was hit; `limit` is its name in the settings.
    pub fn limit_hit(&self, limit: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(LIMIT_HITS, vec![word("limit", limit)]).increment(1);
        });
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn describe() {
    for family in &FAMILIES {
        match family.kind {
            Kind::Counter => metrics::describe_counter!(family.name, family.help),
            Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
            Kind::Histogram => metrics::describe_histogram!(family.name, family.help),
        }
    }
}

fn tag(name: &'static str, value: &Label) -> Tag {
    Tag::new(name, value.shared())
}

fn word(name: &'static str, value: &'static str) -> Tag {
    Tag::from_static_parts(name, value)
}

/// Counters of an audit.
pub struct Audit {
    pub refused: Counter,
    pub errors: Counter,
}

/// Handles for those who wait for turns to connect to an upstream.
pub struct Pacing {
    pub queue: Gauge,
    pub waited: Histogram,
    pub throttled: Counter,
}

/// Handles for the sessions of one route, which share them.
pub struct Route {
    pub flow: Flow,
    pub sessions: Gauge,
    pub session_seconds: Histogram,
    /// Leases that were put off, and with which their sessions ended.
    pub lease_extended: Counter,
    pub lease_expired: Counter,
    pub upgrade_seconds: Histogram,
    pub dropped_parameters: Counter,
    pub admitted: Counter,
}

/// Holds a gauge up by one for as long as it lives.
pub struct Held(Gauge);

impl Held {
    pub fn new(gauge: &Gauge) -> Held {
        gauge.increment(1.0);
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A [`Metrics`] as it is shared by all threads.
pub type Shared = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted beside sessions.
    fn count_others(metrics: &Metrics, route: &Label, upstream: &Label) {
        metrics.gate_ended(route, "authorised", Duration::from_secs(4));
        metrics.gate_digits(route, "in_band", 3);
        metrics.call_drops(route, "unknown", 1);
        metrics.event(route, "call_connected");
        metrics.event_dropped(route, "duplicate");
        metrics.media_failed(route, "forbidden");
        metrics.call_made(route, "ok");
        metrics.webhook(route, "sent");
        metrics.store_answered("enter", "ok", Duration::from_millis(1));
        metrics.call_controlled("hang_up", "ok", Duration::from_millis(1));
        metrics.graph_asked("ok", Duration::from_millis(1));
        metrics.pii_looked(upstream, "timeout", Duration::from_millis(1));
        metrics.bot_sent("reply", "throttled", Duration::from_millis(1));
        metrics.audited("request", "deny");
        metrics.turn(upstream, "taken");
        metrics.session_near_cap(route, upstream);
        let pacing = metrics.pacing(upstream);
        pacing.queue.set(1.0);
        pacing.waited.record(2.0);
        pacing.throttled.increment(1);
        let audit = metrics.audit();
        audit.refused.increment(1);
        audit.errors.increment(1);
        metrics.bot_noted("reference", "ok");
        metrics.ticket(route, "ok");
        metrics.orders("subject", 1);
        metrics.show_revocations(1, Some(Duration::from_millis(1)));
        metrics.app_answered(route, 200, Duration::from_millis(1));
    }

    #[test]
    fn every_family_is_named_once_and_described() {
        let metrics = Metrics::new();
        let route = Label::new("r").unwrap();
        let upstream = Label::new("u").unwrap();
        let handles = metrics.route(&route);
        handles.flow.up.add(1, 2, 3);
        handles.session_seconds.record(2.0);
        handles.upgrade_seconds.record(0.01);
        handles.dropped_parameters.increment(1);
        handles.admitted.increment(1);
        let held = Held::new(&handles.sessions);
        metrics.refused(None, Reason::NotFound);
        metrics.session_ended(&route, Side::Client, Reason::ClientClosed);
        metrics.dialled(&upstream, Duration::from_millis(3));
        metrics.dial_failed(&upstream, Reason::UpstreamTimeout);
        metrics.limit_hit("connections");
        metrics.admin_refused("host");
        metrics.handed_over("done");
        metrics.keys_fetched(&upstream, "ok");
        metrics.identity_fetched(&upstream, "failed");
        count_others(&metrics, &route, &upstream);
        let times = &handles.flow.times;
        times.connected.record(0.1);
        times.barge_in.record(0.1);
        times.gaps[0].record(0.3);
        times.silence.record(3.0);
        times.blocked[1].record(0.3);
        handles.lease_extended.increment(1);
        metrics.traced("begun");
        metrics.count_spans("dropped", 1);
        metrics.show_certificate("server", &route, 60.0);
        metrics.upkeep();
        let page = metrics.render();
        for family in &FAMILIES {
            let help = format!("# HELP {} {}", family.name, family.help);
            assert_eq!(page.matches(&help).count(), 1, "{}", family.name);
        }
        assert!(page.contains(r#"tonegate_messages_total{route="r",direction="up"} 1"#));
        assert!(page.contains(r#"tonegate_session_seconds_bucket{route="r",le="5"} 1"#));
        assert!(page.contains(r#"tonegate_sessions{route="r"} 1"#));
        drop(held);
        assert!(
            metrics
                .render()
                .contains(r#"tonegate_sessions{route="r"} 0"#)
        );
    }
}
