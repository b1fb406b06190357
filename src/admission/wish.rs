//! What a request needs of the limits, before any of it is taken.

use http::header::UPGRADE;

use super::Request;
use super::identify::Entered;
use super::network::Address;
use super::who::Who;
use crate::config::{Limits, Rate};
use crate::store::{Counter, Most};

/// One of what `who` may have so much of.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) who: Who,
    pub(super) most: Most,
    /// The limit, as metrics name it.
    pub(super) name: &'static str,
}

impl Wish {
    /// How edges count it together.
    pub(super) fn counter(&self) -> Counter {
        Counter {
            name: format!("{}:{}", self.name, self.who.part()).into(),
            most: self.most,
        }
    }
}

/// What the address needs, which comes before all else.
pub(super) fn of_address(asked: Request<'_>) -> Option<Wish> {
    let rate = asked.route.limits.upgrades_per_address?;
    let who = Who::Address(asked.route.name.clone(), Address::of(asked.peer));
    Some(Wish {
        who,
        most: Most::Rate(rate),
        name: "upgrades_per_address",
    })
}

#[allow(
    clippy::too_many_lines,
    reason = "it is a table, and a limit to a line"
)]
/// What a session needs once it is known who asks: rates first, then places, then minutes.
pub(super) fn of_session(asked: Request<'_>, entered: &Entered<'_>, usual: &Limits) -> Vec<Wish> {
    let (route, limits, key) = (&asked.route.name, &asked.route.limits, entered.key);
    let of_identity = entered
        .identity()
        .map(|digest| Who::Identity(route.clone(), digest));
    let of_tenant = entered
        .tenant()
        .map(|digest| Who::Tenant(route.clone(), digest));
    let of_key = key.map(|key| Who::Key(key.name.clone()));
    let of_address = Some(Who::Address(route.clone(), Address::of(asked.peer)));
    let of_route = Some(Who::Route(route.clone()));
    // Nothing lasts that is no session.
    let lasts = asked.head.headers.contains_key(UPGRADE);
    let lasts = |rate: Option<Rate>| rate.filter(|_| lasts).map(Most::Minutes);
    let often = |rate: Option<Rate>| rate.map(Most::Rate);
    let (upgrades, sessions, minutes) = (
        key.and_then(|key| key.upgrades),
        key.and_then(|key| key.sessions),
        key.and_then(|key| key.minutes),
    );
    let needs = [
        (
            &of_identity,
            often(limits.upgrades_per_identity),
            "upgrades_per_identity",
        ),
        (
            &of_tenant,
            often(limits.upgrades_per_tenant),
            "upgrades_per_tenant",
        ),
        (&of_key, often(upgrades), "key_upgrades"),
        (&of_route, often(limits.upgrades), "upgrades"),
        (
            &Some(Who::All),
            often(usual.total_upgrades),
            "total_upgrades",
        ),
        (&of_key, sessions.map(Most::Sessions), "key_sessions"),
        (
            &of_identity,
            limits.sessions_per_identity.map(Most::Sessions),
            "sessions_per_identity",
        ),
        (
            &of_tenant,
            limits.sessions_per_tenant.map(Most::Sessions),
            "sessions_per_tenant",
        ),
        (
            &of_address,
            limits.sessions_per_address.map(Most::Sessions),
            "sessions_per_address",
        ),
        (
            &of_route,
            limits.sessions.map(Most::Sessions),
            "route_sessions",
        ),
        (
            &Some(Who::All),
            usual.total_sessions.map(Most::Sessions),
            "total_sessions",
        ),
        (
            &of_address,
            lasts(limits.minutes_per_address),
            "minutes_per_address",
        ),
        (
            &of_identity,
            lasts(limits.minutes_per_identity),
            "minutes_per_identity",
        ),
        (
            &of_tenant,
            lasts(limits.minutes_per_tenant),
            "minutes_per_tenant",
        ),
        (&of_key, lasts(minutes), "key_minutes"),
        (&of_route, lasts(limits.minutes), "route_minutes"),
        (&Some(Who::All), lasts(usual.total_minutes), "total_minutes"),
    ];
    let needs = needs.into_iter().filter_map(|(who, most, name)| {
        let (who, most) = (who.clone()?, most?);
        Some(Wish { who, most, name })
    });
    needs.collect()
}
