//! How often somebody may ask, and how many sessions somebody may have: by route, address, key and
//! identity.

use std::time::{Duration, Instant};

use super::network::Address;
use super::rate::{Rates, SWEEP, Wait};
use super::slot::{Slot, Slots};
use super::who::Who;
use super::{Denied, Request};
use crate::config::{ApiKey, Rate};
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::Digest;

/// Told to whoever finds all sessions taken: when one ends nobody can know.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// What there was too much of, mostly.
const UPGRADES: &str = "too many upgrades";

/// What a session has taken of the limits; dropping it gives it back.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<Slot<Who>>);

impl Taken {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The tables of all limits. Addresses have one of their own: strangers can make many of them up,
/// and what they fill must not be what is counted for those who were let in.
pub(super) struct Limits {
    addresses: Rates,
    /// Neighbours of addresses, used while there are too many of those.
    networks: Rates,
    rates: Rates,
    slots: Slots<Who>,
    metrics: metrics::Shared,
}

impl Limits {
    pub(super) fn new(metrics: metrics::Shared) -> Limits {
        Limits {
            addresses: Rates::default(),
            networks: Rates::default(),
            rates: Rates::default(),
            slots: Slots::default(),
            metrics,
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        for rates in [&self.addresses, &self.networks, &self.rates] {
            rates.sweep(now);
        }
    }

    /// Before anything costs anything, and by address only: what a route has for all is not for
    /// strangers to use up.
    pub(super) fn of_address(&self, asked: Request<'_>) -> Result<(), Denied> {
        let route = &asked.route.name;
        let Some(rate) = asked.route.limits.upgrades_per_address else {
            return Ok(());
        };
        let (address, now) = (Address::of(asked.peer), asked.now.steady);
        let who = Who::Address(route.clone(), address);
        let counted = match self.addresses.ask(who, rate, now) {
            // More than can be told apart: whoever is new is counted with its neighbours.
            Err(Wait::Full) => {
                self.metrics.limit_hit("address_table");
                let who = Who::Address(route.clone(), address.network());
                self.networks.ask(who, rate, now)
            }
            counted => counted,
        };
        self.judge(counted, ("upgrades_per_address", UPGRADES))
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
        let by_key = key.map(|key| Who::Key(key.name.clone()));
        let by_route = Some(Who::Route(route.clone()));
        let address = Some(Who::Address(route.clone(), Address::of(asked.peer)));
        let rates = [
            (
                &identity,
                limits.upgrades_per_identity,
                "upgrades_per_identity",
            ),
            (&by_key, key.and_then(|key| key.upgrades), "key_upgrades"),
            (&by_route, limits.upgrades, "upgrades"),
        ];
        for (who, rate, name) in rates {
            if let (Some(who), Some(rate)) = (who, rate) {
                let counted = self.rates.ask(who.clone(), rate, asked.now.steady);
                self.judge(counted, (name, UPGRADES))?;
            }
        }
        let sessions = [
            (by_key, key.and_then(|key| key.sessions), "key_sessions"),
            (
                identity,
                limits.sessions_per_identity,
                "sessions_per_identity",
            ),
            (address, limits.sessions_per_address, "sessions_per_address"),
            (by_route, limits.sessions, "route_sessions"),
        ];
        let mut taken = Taken::default();
        for (who, limit, name) in sessions {
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

    /// Whether this creator may have another call made.
    pub(super) fn of_calls(
        &self,
        route: &Label,
        creator: Digest,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Denied> {
        let who = Who::Creator(route.clone(), creator);
        let counted = self.rates.ask(who, rate, now);
        self.judge(counted, ("calls_per_identity", "too many calls"))
    }

    fn judge(
        &self,
        counted: Result<(), Wait>,
        (name, many): (&'static str, &'static str),
    ) -> Result<(), Denied> {
        let (name, wait, detail) = match counted {
            Ok(()) => return Ok(()),
            Err(Wait::For(wait)) => (name, wait, many),
            // Places come free all the time, the next one by the next sweep at the latest.
            Err(Wait::Full) => ("rate_table", SWEEP, "too many clients to keep apart"),
        };
        self.metrics.limit_hit(name);
        Err(Denied {
            retry_after: Some(wait),
            ..Denied::new(Reason::RateLimited, detail)
        })
    }
}
