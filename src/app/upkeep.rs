//! What goes on for as long as the edge lives, whoever is served: each is one future, which ends with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::bot::roles::Roles;
use crate::error::Reason;
use crate::listener::admin;
use crate::listener::doors::Doors;
use crate::log;
use crate::panics::{GivenUp, kept_up};

/// How often histograms are folded and the log's drops are counted.
const UPKEEP: Duration = Duration::from_secs(5);

/// Of the time to stop so much is for what others are still told: other clouds of their calls, other
/// edges of what ended here.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// All that talks to the store by itself, until nobody has anything to say to it any more.
pub(super) async fn with_store(doors: &Doors) -> Result<(), GivenUp> {
    let metrics = &doors.metrics;
    tokio::select! {
        kept = kept_up(metrics, "store", || doors.store.run()) => kept,
        kept = kept_up(metrics, "webhooks", || doors.webhooks.run()) => kept,
        kept = kept_up(metrics, "bot", || doors.bot.run()) => kept,
        kept = kept_up(metrics, "orders", || doors.orders.run()) => kept,
        kept = kept_up(metrics, "announce", || announce(doors)) => kept,
        kept = kept_up(metrics, "shares", || shares(doors)) => kept,
        kept = kept_up(metrics, "end", || all_said(doors)) => kept,
    }
}

/// The operator's listener, and what goes on beside it.
pub(super) async fn for_operators(
    doors: &Arc<Doors>,
    listener: &TcpListener,
) -> Result<(), GivenUp> {
    let metrics = &doors.metrics;
    tokio::select! {
        kept = kept_up(metrics, "admin", || admin::serve(listener, doors)) => kept,
        kept = kept_up(metrics, "figures", || upkeep(doors)) => kept,
        kept = kept_up(metrics, "issuer_keys", || issuer_keys(doors)) => kept,
        kept = kept_up(metrics, "identities", || identities(doors)) => kept,
        kept = kept_up(metrics, "warnings", || warn_of_developer(doors)) => kept,
    }
}

/// Resolves after a stop, when nobody has anything to say to the store any more.
async fn all_said(doors: &Doors) {
    doors.drain.ending().await;
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
            doors.orders.settled()
        )
    };
    let _ = tokio::time::timeout(LAST_WORDS, last).await;
}

/// Tells other edges which sessions run here.
async fn announce(doors: &Doors) {
    match &doors.announcer {
        Some(announcer) => announcer.run().await,
        // Nobody is told.
        None => std::future::pending().await,
    }
}

/// Keeps what sessions hold of limits, and ends those whose minutes are used up.
async fn shares(doors: &Doors) {
    let end = |session| {
        doors.registry.end(session, Reason::RateLimited);
    };
    doors.admission.keep_shares(end).await;
}

/// Keeps figures current, and tables small.
async fn upkeep(doors: &Doors) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        doors.metrics.upkeep();
        let ready = doors.not_ready().is_none();
        doors.metrics.ready.set(if ready { 1.0 } else { 0.0 });
        doors.metrics.log_drops.absolute(log::dropped());
        doors.metrics.log_unfiltered.absolute(log::unfiltered());
        doors.admission.sweep(Instant::now());
    }
}

/// Says again and again that no credential is needed, where none is.
async fn warn_of_developer(doors: &Doors) {
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
async fn identities(doors: &Doors) {
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
