//! What goes on for as long as the edge lives, whoever is served and whatever the settings are: each is
//! one future, which ends with it.

use std::time::{Duration, Instant, SystemTime};

use super::parts::Parts;
use crate::config::Telemetry;
use crate::listener::doors::InForce;
use crate::log;
use crate::metrics;
use crate::tls;
use crate::upstream;
#[cfg(feature = "otlp")]
use crate::upstream::otlp::Collector;

/// How often histograms are folded, and what the process counts by itself is told.
const UPKEEP: Duration = Duration::from_secs(5);

/// Of the time to stop so much is for what others are still told: other clouds of their calls, other
/// edges of what ended here.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Resolves after a stop, when nobody has anything to say to the store any more.
pub(super) async fn all_said(in_force: &InForce, parts: &Parts) {
    let drain = in_force.now().drain.clone();
    drain.ending().await;
    // What is under way is shared by all generations.
    let doors = in_force.now();
    // Sessions that are ending still have, and so has whoever answers a call or has heard somebody
    // speak to the bot.
    doors.registry.empty().await;
    parts.take_leave().await;
    doors.telephony.settled().await;
    doors.bot.settled().await;
    let last = async {
        tokio::join!(
            parts.shares_settled(),
            doors.webhooks.settled(),
            doors.orders.settled(),
            doors.metrics.spans_settled()
        )
    };
    let _ = tokio::time::timeout(LAST_WORDS, last).await;
}

/// Tells a collector of spans, if the settings name one.
#[cfg(feature = "otlp")]
pub(super) async fn tell_spans(telemetry: &Telemetry, metrics: &metrics::Shared) {
    let otlp = telemetry.otlp.as_ref();
    match otlp.and_then(|otlp| Collector::new(otlp, metrics)) {
        Some(collector) => collector.run().await,
        // Nobody is told.
        None => std::future::pending().await,
    }
}

/// This build tells nobody, and settings that name a collector are refused.
#[cfg(not(feature = "otlp"))]
pub(super) async fn tell_spans(_: &Telemetry, _: &metrics::Shared) {
    std::future::pending().await
}

/// Keeps figures current, and tables small.
pub(super) async fn upkeep(in_force: &InForce) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        let doors = in_force.now();
        doors.metrics.upkeep();
        let ready = doors.not_ready().is_none();
        doors.metrics.ready.set(if ready { 1.0 } else { 0.0 });
        doors.metrics.tls_messages.absolute(tls::too_long());
        let tickets = upstream::tickets_dropped();
        doors.metrics.tickets_dropped.absolute(tickets);
        doors.metrics.log_drops.absolute(log::dropped());
        doors.metrics.log_unfiltered.absolute(log::unfiltered());
        doors.certificates.show(&doors.metrics, SystemTime::now());
        doors.admission.sweep(Instant::now());
    }
}

/// Says again and again that no credential is needed, where none is.
pub(super) async fn warn_of_developer(insecure_dev: bool) {
    if !insecure_dev {
        return std::future::pending().await;
    }
    every_minute(|| {
        tracing::warn!(
            "INSECURE: --insecure-dev lets whoever is on this machine into private applications \
             without a credential; never run production so"
        );
    })
    .await;
}

async fn every_minute(say: impl Fn()) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        say();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn c27_the_warning_comes_at_once_and_every_minute() {
        let said = Cell::new(0);
        let warns = every_minute(|| said.set(said.get() + 1));
        let waited = tokio::time::timeout(Duration::from_secs(181), warns).await;
        assert!(waited.is_err());
        assert_eq!(said.get(), 4);
    }
}
