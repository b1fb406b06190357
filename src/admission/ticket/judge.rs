//! Tickets among the checks of an admission: those that are asked for, and those that are only observed.

use std::time::SystemTime;

use super::bind::{fill, judge};
use super::{Facts, Flaw, Outcome, Spendable};
use crate::admission::credential::Shown;
use crate::admission::identify::Entered;
use crate::admission::query::Query;
use crate::admission::told::Told;
use crate::admission::{Admission, Denied, Request, Subject};
use crate::config::Route;
use crate::secret::Secret;

/// A ticket that is good, if it was not used before.
pub struct Examined {
    pub subject: Subject,
    /// When it ends, the leeway included.
    pub ends: SystemTime,
    /// What it is bound to, by the names of its claims.
    pub bound: Vec<(&'static str, String)>,
}

impl Admission {
    /// What a ticket says, if it is good; for people.
    pub fn examine_ticket(&self, ticket: &Secret, now: SystemTime) -> Result<Examined, Denied> {
        let none = Flaw::invalid("there is no [tickets] in the settings").denied();
        let tickets = self.tickets.as_ref().ok_or(none)?;
        let ticket = tickets.verify(ticket, now).map_err(Flaw::denied)?;
        let claims = &ticket.claims;
        let bound = [
            ("origin", &claims.origin),
            ("route", &claims.route),
            ("model", &claims.model),
            ("agent", &claims.agent),
            ("call", &claims.call),
        ];
        let bound = bound
            .into_iter()
            .filter_map(|(name, to)| Some((name, to.clone()?)));
        Ok(Examined {
            subject: ticket.subject(),
            ends: ticket.ends,
            bound: bound.collect(),
        })
    }

    /// What a ticket that was asked for is bound to is what is asked, where the client names nothing.
    pub(in crate::admission) fn fill(
        &self,
        route: &Route,
        entered: &Entered<'_>,
        query: &mut Query,
    ) -> Result<(), Denied> {
        let Some(ticket) = &entered.ticket else {
            return Ok(());
        };
        fill(&ticket.claims, query).map_err(|flaw| self.count_flaw(route, flaw))
    }

    /// Whether the ticket that was shown, if one was asked for, is for what is asked.
    pub(in crate::admission) fn bound(
        &self,
        route: &Route,
        entered: &Entered<'_>,
        facts: Facts<'_>,
        told: &mut Told,
    ) -> Result<(), Denied> {
        let Some(ticket) = &entered.ticket else {
            return Ok(());
        };
        let beside = entered.beside();
        let facts = Facts {
            beside: beside.as_ref(),
            ..facts
        };
        let judged = judge(&ticket.claims, &route.tickets.claims, facts);
        let judged = judged.map_err(|flaw| self.count_flaw(route, flaw));
        told.hear("ticket", judged, |()| {
            "good, and for this; whether it was used before is not asked here".to_owned()
        })
    }

    /// The ticket that is to be spent, be it only observed.
    pub(in crate::admission) fn to_be_spent(
        &self,
        asked: Request<'_>,
        (shown, entered): (&Shown<'_>, &Entered<'_>),
        facts: Facts<'_>,
        told: &mut Told,
    ) -> Option<Spendable> {
        match &entered.ticket {
            Some(ticket) => Some(ticket.spendable(false)),
            None if asked.route.tickets.observe => {
                self.observe(asked, (shown, entered), facts, told)
            }
            None => None,
        }
    }

    /// What would have become of whoever was let in, if a ticket were asked for, too. Nobody is refused
    /// by that; a good ticket is to be spent, or the next one to show it would be told of as good, too.
    fn observe(
        &self,
        asked: Request<'_>,
        (shown, entered): (&Shown<'_>, &Entered<'_>),
        facts: Facts<'_>,
        told: &mut Told,
    ) -> Option<Spendable> {
        let route = asked.route;
        let beside = entered.beside();
        let facts = Facts {
            beside: beside.as_ref(),
            ..facts
        };
        let ticket = match (&shown.ticket, &self.tickets) {
            _ if shown.tickets_differ => Err(Flaw::invalid("two different tickets were given")),
            (Some(ticket), Some(tickets)) => tickets.verify(ticket, asked.now.wall),
            (None, _) | (_, None) => Err(Flaw::missing()),
        };
        let judged = ticket.and_then(|ticket| {
            judge(&ticket.claims, &route.tickets.claims, facts)?;
            Ok(ticket.spendable(true))
        });
        let text = match &judged {
            Ok(_) => "observed only: good, and for this".to_owned(),
            Err(flaw) => format!("observed only: {}: {}", flaw.outcome.word(), flaw.detail),
        };
        let _ = told.hear("ticket", Ok(()), |()| text);
        match judged {
            Ok(spendable) => Some(spendable),
            Err(flaw) => {
                self.count_flaw(route, flaw);
                tracing::debug!(
                    route = %route.name,
                    subject = %entered.subject(),
                    result = flaw.outcome.word(),
                    detail = flaw.detail,
                    "a ticket would be refused"
                );
                None
            }
        }
    }

    /// Counts what came of a ticket, and says how that is told.
    pub(in crate::admission) fn count_flaw(&self, route: &Route, flaw: Flaw) -> Denied {
        self.count_ticket(route, flaw.outcome);
        flaw.denied()
    }

    /// Counts what came of a ticket.
    pub fn count_ticket(&self, route: &Route, outcome: Outcome) {
        self.metrics.ticket(&route.name, outcome.word());
    }
}
