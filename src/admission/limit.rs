//! How often somebody may ask, how many sessions somebody may have and for how long: by route, address,
//! key, identity and tenant, as far as this edge knows by itself.

use std::time::{Duration, Instant};

use super::minutes::Minutes;
use super::network::Address;
use super::rate::{Rates, SWEEP, Wait};
use super::slot::{Slot, Slots};
use super::who::Who;
use super::wish::Wish;
use super::{Denied, Request};
use crate::config::Rate;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::Digest;
use crate::store::{Most, minutes};

/// Told to whoever finds all sessions taken: when one ends nobody can know.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// What there was too much of, mostly.
const UPGRADES: &str = "too many upgrades";
const MINUTES: &str = "all minutes of this limit are used";

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
    /// Those of this edge alone, while the edges cannot count together.
    shares: Rates,
    slots: Slots<Who>,
    minutes: Minutes,
    metrics: metrics::Shared,
}

impl Limits {
    pub(super) fn new(metrics: metrics::Shared) -> Limits {
        Limits {
            addresses: Rates::default(),
            networks: Rates::default(),
            rates: Rates::default(),
            shares: Rates::default(),
            slots: Slots::default(),
            minutes: Minutes::default(),
            metrics,
        }
    }

    pub(super) fn metrics(&self) -> metrics::Shared {
        self.metrics.clone()
    }

    pub(super) fn sweep(&self, now: Instant) {
        for rates in [&self.addresses, &self.networks, &self.rates, &self.shares] {
            rates.sweep(now);
        }
        self.minutes.sweep(now);
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
    pub(super) fn of_session(&self, wishes: &[Wish], now: Instant) -> Result<Taken, Denied> {
        let mut taken = Taken::default();
        for wish in wishes {
            let who = wish.who.clone();
            match wish.most {
                Most::Rate(rate) => {
                    let counted = self.rates.ask(who, rate, now);
                    self.judge(counted, (wish.name, UPGRADES))?;
                }
                Most::Sessions(most) => match self.slots.take(who, most) {
                    Some(slot) => taken.0.push(slot),
                    None => return Err(self.no_more(wish, None)),
                },
                Most::Minutes(most) => {
                    let counted = self.minutes.ask(who, most, now);
                    self.judge(counted, (wish.name, MINUTES))?;
                }
            }
        }
        Ok(taken)
    }

    /// Of what edges count together, while they cannot, each takes no more than its share; at least
    /// one, or a fleet that is larger than a limit would be shut. The slots are taken already.
    pub(super) fn of_share(
        &self,
        wishes: &[Wish],
        replicas: u32,
        now: Instant,
    ) -> Result<(), Denied> {
        for wish in wishes {
            match wish.most {
                Most::Rate(rate) => {
                    let counted = self
                        .shares
                        .ask(wish.who.clone(), share(rate, replicas), now);
                    self.judge(counted, (wish.name, UPGRADES))?;
                }
                Most::Sessions(most) => {
                    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
                    if self.slots.taken(&wish.who) > (most / replicas).max(1) {
                        return Err(self.no_more(wish, None));
                    }
                }
                Most::Minutes(most) => {
                    let most = minutes(most) / replicas;
                    let left = self.minutes.used_up(&wish.who, most, now);
                    let counted = left.map_or(Ok(()), |wait| Err(Wait::For(wait)));
                    self.judge(counted, (wish.name, MINUTES))?;
                }
            }
        }
        Ok(())
    }

    /// Adds to the minutes of this edge.
    pub(super) fn lasted(&self, wish: &Wish, lasted: Duration, now: Instant) {
        if let Most::Minutes(rate) = wish.most {
            self.minutes.add(&wish.who, rate, lasted, now);
        }
    }

    /// Whether its part of these minutes, one of so many, is used up.
    pub(super) fn is_used_up(&self, wish: &Wish, replicas: u32, now: Instant) -> bool {
        let Most::Minutes(rate) = wish.most else {
            return false;
        };
        let most = minutes(rate) / replicas;
        self.minutes.used_up(&wish.who, most, now).is_some()
    }

    /// There is no more of it, and it says so.
    pub(super) fn no_more(&self, wish: &Wish, wait: Option<Duration>) -> Denied {
        self.metrics.limit_hit(wish.name);
        let (reason, detail) = match wish.most {
            Most::Sessions(_) => (Reason::Busy, "all sessions of this limit are in use"),
            Most::Rate(_) => (Reason::RateLimited, UPGRADES),
            Most::Minutes(_) => (Reason::RateLimited, MINUTES),
        };
        Denied {
            retry_after: Some(wait.unwrap_or(BUSY_RETRY)),
            ..Denied::new(reason, detail)
        }
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

/// One of so many parts of a rate: all of them together are no more than it.
fn share(rate: Rate, replicas: u32) -> Rate {
    let count = (rate.count / replicas).max(1);
    let per =
        rate.per.as_secs_f64() * f64::from(replicas) * f64::from(count) / f64::from(rate.count);
    Rate {
        count,
        per: Duration::from_secs_f64(per),
    }
}
