//! Tickets that the edge itself signs: for whoever it has admitted, on a route of kind `tickets`, and
//! for `tonegate token mint ticket`.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Header, encode};

use super::{Caller, Claims, seconds};
use crate::admission::{Admission, Denied, Grant};
use crate::config::{Route, TicketClaim, TicketKey};
use crate::error::Reason;
use crate::ids::random_guid;
use crate::label::Label;
use crate::secret::Secret;

/// What a ticket is wanted for.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// The route that it is to open.
    pub route: &'a Route,
    pub model: Option<&'a Label>,
    pub agent: Option<&'a Label>,
    /// The page that asks.
    pub origin: Option<&'a str>,
    /// How long it is to live.
    pub life: Duration,
}

/// Signs what a ticket is to say; `None`: only others have what this key signs with.
pub fn sign(claims: &Claims, key: &TicketKey) -> Option<Secret> {
    let header = Header {
        kid: Some(key.id.as_str().to_owned()),
        typ: Some("ticket+jwt".to_owned()),
        ..Header::new(key.algorithm)
    };
    encode(&header, claims, key.signer.as_ref()?)
        .map(Secret::new)
        .ok()
}

impl Admission {
    /// A ticket for whoever was admitted, and how long it lives. It opens what they could ask for
    /// themselves and no more, and the session lasts no longer than what they have shown.
    pub fn issue(
        &self,
        who: &Grant,
        wish: Wish<'_>,
        now: SystemTime,
    ) -> Result<(Secret, Duration), Denied> {
        let internal = Denied::new(
            Reason::Internal,
            "there is no key that tickets are signed with",
        );
        let tickets = self.tickets.as_ref().ok_or(internal)?;
        let key = tickets.own().ok_or(internal)?;
        let caller = Caller::of(who).ok_or(Denied::new(
            Reason::Forbidden,
            "no ticket is for whoever this is",
        ))?;
        self.may_ask(&caller, wish, now)?;
        let iat = seconds(now);
        let left = who.ends().first().map(seconds);
        let exp = iat.saturating_add(wish.life.as_secs());
        let exp = left.map_or(exp, |left| exp.min(left));
        if exp <= iat {
            return Err(Denied::invalid_token("what was shown ends at once"));
        }
        let text = |label: &Label| label.as_str().to_owned();
        let claims = Claims {
            origin: wish.origin.map(str::to_owned),
            route: Some(text(&wish.route.name)),
            model: wish.model.map(text),
            agent: wish.agent.map(text),
            session_exp: left,
            caller: Some(caller),
            ..Claims::of(&tickets.0.audience, (iat, exp), random_guid())
        };
        suffices(&claims, wish.route)?;
        let ticket = sign(&claims, key).ok_or(internal)?;
        Ok((ticket, Duration::from_secs(exp - iat)))
    }

    /// Whether they could ask for this on the route itself, as far as their own lists say.
    fn may_ask(&self, caller: &Caller, wish: Wish<'_>, now: SystemTime) -> Result<(), Denied> {
        let forbidden = |detail| Err(Denied::new(Reason::Forbidden, detail));
        let route = wish.route;
        let key = match caller {
            Caller::Key { name } => Some(self.keys.named(name, &route.name, now)?),
            Caller::Certificate { name } => {
                self.certificates.named(name, &route.name)?;
                None
            }
            Caller::EasyAuth { .. } | Caller::Token { .. } => None,
        };
        let allows = |lists: [Option<&[Label]>; 2], asked: &Label| {
            let [of_route, of_key] = lists;
            of_route.is_some_and(|list| list.contains(asked))
                && of_key.is_none_or(|list| list.is_empty() || list.contains(asked))
        };
        if wish.model.is_some() && wish.agent.is_some() {
            let detail = "a ticket is for a model or for an agent";
            return Err(Denied::new(Reason::BadRequest, detail));
        }
        let models = [Some(&*route.models), key.map(|key| &*key.models)];
        if wish.model.is_some_and(|model| !allows(models, model)) {
            return forbidden("the model is not allowed there");
        }
        let agents = [Some(&*route.agents), key.map(|key| &*key.agents)];
        if wish.agent.is_some_and(|agent| !allows(agents, agent)) {
            return forbidden("the agent is not allowed there");
        }
        let listed = |origin: &str| route.origins.iter().any(|known| known == origin);
        if !wish.origin.is_none_or(listed) {
            return forbidden("the origin is not allowed there");
        }
        Ok(())
    }
}

/// A ticket that would open nothing is not handed out.
fn suffices(claims: &Claims, route: &Route) -> Result<(), Denied> {
    let wanted = &route.tickets.claims;
    if wanted.contains(&TicketClaim::Origin) && claims.origin.is_none() {
        let detail = "tickets of that route are bound to an origin, and none asks here";
        return Err(Denied::new(Reason::Forbidden, detail));
    }
    let about = claims.model.is_some() || claims.agent.is_some();
    if wanted.contains(&TicketClaim::Model) && !about {
        let detail = "tickets of that route are bound to a model or an agent; name one";
        return Err(Denied::new(Reason::BadRequest, detail));
    }
    Ok(())
}
