//! What goes on for as long as the edge lives, whoever is served: each is one future, which ends with it.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;

use crate::bot::roles::Roles;
use crate::config::Telemetry;
use crate::error::Reason;
use crate::listener::doors::Doors;
use crate::log;
#[cfg(feature = "otlp")]
use crate::upstream::otlp::Collector;

/// How often histograms are folded and the log's drops are counted.
const UPKEEP: Duration = Duration::from_secs(5);

/// Of the time to stop so much is for what others are still told: other clouds of their calls, other
/// edges of what ended here.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Resolves after a stop, when nobody has anything to say to the store any more.
pub(super) async fn all_said(doors: &Doors) {
    doors.stop.cancelled().await;
    // Sessions that are ending still have, and so has whoever answers a call or has heard somebody
    // speak to the bot.
    doors.registry.empty().await;
    if let Some(announcer) = &doors.announcer {
        announcer.take_leave().await;
    }
    doors.telephony.settled().await;
    doors.bot.settled().await;
    let last = async {
        tokio::join!(
            doors.admission.settled(),
            doors.webhooks.settled(),
            doors.orders.settled(),
            doors.metrics.spans_settled()
        )
    };
    let _ = tokio::time::timeout(LAST_WORDS, last).await;
}

/// Tells a collector of spans, if the settings name one.
#[cfg(feature = "otlp")]
pub(super) async fn tell_spans(telemetry: &Telemetry, doors: &Doors) {
    let otlp = telemetry.otlp.as_ref();
    match otlp.and_then(|otlp| Collector::new(otlp, &doors.metrics)) {
        Some(collector) => collector.run().await,
        // Nobody is told.
        None => std::future::pending().await,
    }
}

/// This build tells nobody, and settings that name a collector are refused.
#[cfg(not(feature = "otlp"))]
pub(super) async fn tell_spans(_: &Telemetry, _: &Doors) {
    std::future::pending().await
}

/// Tells other edges which sessions run here.
pub(super) async fn announce(doors: &Doors) {
    match &doors.announcer {
        Some(announcer) => announcer.run().await,
        // Nobody is told.
        None => std::future::pending().await,
    }
}

/// Keeps what sessions hold of limits, and ends those whose minutes are used up.
pub(super) async fn shares(doors: &Doors) {
    let end = |session| {
        doors.registry.end(session, Reason::RateLimited);
    };
    doors.admission.keep_shares(end).await;
}

/// Keeps figures current, and tables small.
pub(super) async fn upkeep(doors: &Doors) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        doors.metrics.upkeep();
        let ready = doors.not_ready().is_none();
        doors.metrics.ready.set(if ready { 1.0 } else { 0.0 });
        doors.metrics.log_drops.absolute(log::dropped());
        doors.metrics.log_unfiltered.absolute(log::unfiltered());
        doors.certificates.show(&doors.metrics, SystemTime::now());
        doors.admission.sweep(Instant::now());
    }
}

/// Says again and again that no credential is needed, where none is.
pub(super) async fn warn_of_developer(doors: &Doors) {
    if !doors.insecure_dev {
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

/// Keeps the published keys of all token issuers fresh.
pub(super) async fn issuer_keys(doors: &Doors) {
    let keys = doors.admission.issuer_keys();
    join_all(keys.iter().map(|keys| keys.run())).await;
    // There are no issuers.
    std::future::pending().await
}

/// Keeps the tokens for the edge itself fresh.
pub(super) async fn identities(doors: &Doors) {
    let upstreams = doors.routes.iter().flat_map(|open| &open.upstreams);
    let by_name: HashMap<_, _> = upstreams.map(|u| (u.name(), u)).collect();
    let of_acs = doors.acs.as_ref().and_then(|acs| acs.identity());
    let of_bot = doors.bot.identity();
    let of_roles = doors.roles.as_ref().and_then(Roles::identity);
    let of_upstreams = by_name.values().filter_map(|u| u.identity());
    let identities: Vec<_> = of_upstreams
        .chain(of_acs)
        .chain(of_bot)
        .chain(of_roles)
        .chain(doors.pii_detectors.iter().filter_map(|of| of.identity()))
        .collect();
    join_all(identities.iter().map(|identity| identity.run())).await;
    // There are none.
    std::future::pending().await
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
