//! How often somebody may ask, and how many sessions somebody may have: by route, address, key and
//! identity.

use std::time::{Duration, Instant};

use super::network::Address;
use super::rate::{Rates, Wait};
use super::slot::{Slot, Slots};
use super::who::Who;
use super::{Denied, Request};
use crate::config::{ApiKey, Rate};
use crate::error::Reason;
use crate::metrics;
use crate::secret::Digest;

/// Told to whoever finds all sessions taken: when one ends nobody can know.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// What a session has taken of the limits; dropping it gives it back.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<Slot<Who>>);

impl Taken {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The tables of all limits.
pub(super) struct Limits {
    rates: Rates,
    slots: Slots<Who>,
    metrics: metrics::Shared,
}

impl Limits {
    pub(super) fn new(metrics: metrics::Shared) -> Limits {
        Limits {
            rates: Rates::default(),
            slots: Slots::default(),
            metrics,
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.rates.sweep(now);
    }

    /// Before anything costs anything: by address first, so that one cannot use up what the route
    /// has for all.
    pub(super) fn of_address(&self, asked: Request<'_>) -> Result<(), Denied> {
        let (route, limits) = (&asked.route.name, &asked.route.limits);
        let address = Who::Address(route.clone(), Address::of(asked.peer));
        self.rate(
            address,
            limits.upgrades_per_address,
            "upgrades_per_address",
            asked,
        )?;
        self.rate(
            Who::Route(route.clone()),
            limits.upgrades,
            "upgrades",
            asked,
        )
    }

    /// Once it is known who asks. What was taken before something was missing comes back at once.
    pub(super) fn of_session(
        &self,
        asked: Request<'_>,
        key: Option<&ApiKey>,
        identity: Option<Digest>,
    ) -> Result<Taken, Denied> {
        let (route, limits) = (&asked.route.name, &asked.route.limits);
        let identity = identity.map(|digest| Who::Identity(route.clone(), digest));
        if let Some(identity) = identity.clone() {
            let rate = limits.upgrades_per_identity;
            self.rate(identity, rate, "upgrades_per_identity", asked)?;
        }
        if let Some(key) = key {
            self.rate(
                Who::Key(key.name.clone()),
                key.upgrades,
                "key_upgrades",
                asked,
            )?;
        }
        let address = Who::Address(route.clone(), Address::of(asked.peer));
        let by_key = key.map(|key| Who::Key(key.name.clone()));
        let wanted = [
            (by_key, key.and_then(|key| key.sessions), "key_sessions"),
            (
                identity,
                limits.sessions_per_identity,
                "sessions_per_identity",
            ),
            (
                Some(address),
                limits.sessions_per_address,
                "sessions_per_address",
            ),
            (
                Some(Who::Route(route.clone())),
                limits.sessions,
                "route_sessions",
            ),
        ];
        let mut taken = Taken::default();
        for (who, limit, name) in wanted {
            let (Some(who), Some(limit)) = (who, limit) else {
                continue;
            };
            taken.0.push(self.slots.take(who, limit).ok_or_else(|| {
                self.metrics.limit_hit(name);
                Denied {
                    retry_after: Some(BUSY_RETRY),
                    ..Denied::new(Reason::Busy, "all sessions of this limit are in use")
                }
            })?);
        }
        Ok(taken)
    }

    fn rate(
        &self,
        who: Who,
        rate: Option<Rate>,
        name: &'static str,
        asked: Request<'_>,
    ) -> Result<(), Denied> {
        let Some(rate) = rate else { return Ok(()) };
        self.rates
            .ask(who, rate, asked.now.steady)
            .map_err(|wait| match wait {
                Wait::For(wait) => {
                    self.metrics.limit_hit(name);
                    Denied {
                        retry_after: Some(wait),
                        ..Denied::new(Reason::RateLimited, "too many upgrades")
                    }
                }
                Wait::Full => {
                    self.metrics.limit_hit("rate_table");
                    Denied {
                        retry_after: Some(rate.per),
                        ..Denied::new(Reason::RateLimited, "too many clients to keep apart")
                    }
                }
            })
    }
}
