//! The ticket of an upgrade, spent at the store when nothing else is in the way and before anything is
//! dialled, so that of all who show it at all replicas one gets further.

use std::time::Duration;

use tokio::time::timeout;

use super::doors::{Doors, Open};
use super::refusal::Refusal;
use crate::admission::Grant;
use crate::admission::ticket::{Outcome, Spendable};
use crate::error::Reason;
use crate::ids::SessionId;

/// A store that does not answer by then has not said that the ticket is unspent. It is asked with a
/// deadline of its own, which is shorter; this one bounds what that may become.
const WAIT: Duration = Duration::from_secs(2);

/// A ticket that this session has spent.
#[must_use = "a ticket is given back where nothing came of it"]
pub(super) struct Spent {
    ticket: Spendable,
    by: SessionId,
}

/// Spends the ticket, if there is one. Who showed it too late is refused, unless it is only observed.
pub(super) async fn spend(
    doors: &Doors,
    open: &Open,
    grant: &Grant,
    by: SessionId,
) -> Result<Option<Spent>, Refusal> {
    let Some(ticket) = grant.ticket() else {
        return Ok(None);
    };
    let asked = timeout(WAIT, doors.store.spend(&ticket.name, by, ticket.ends)).await;
    let (outcome, refusal) = match asked {
        Ok(Ok(true)) => {
            doors.admission.count_ticket(&open.route, Outcome::Ok);
            return Ok(Some(Spent { ticket, by }));
        }
        Ok(Ok(false)) => {
            let detail = "the ticket was used before; each session has one of its own";
            let refusal = Refusal {
                challenge: Some("error=\"invalid_token\""),
                ..Refusal::new(Reason::Unauthenticated, detail)
            };
            (Outcome::Spent, refusal)
        }
        Ok(Err(_)) | Err(_) => {
            let detail = "the session store does not answer";
            let refusal = Refusal::new(Reason::StoreUnavailable, detail);
            (Outcome::Unavailable, refusal)
        }
    };
    doors.admission.count_ticket(&open.route, outcome);
    if !ticket.observed {
        return Err(refusal);
    }
    tracing::debug!(
        route = %open.route.name,
        subject = %grant.subject(),
        result = outcome.word(),
        detail = refusal.detail,
        "a ticket would be refused"
    );
    Ok(None)
}

/// The `101` will not come: the ticket is not spent after all, and opens a session while it lives.
pub(super) async fn give_back(doors: &Doors, spent: Option<Spent>) {
    let Some(Spent { ticket, by }) = spent else {
        return;
    };
    let asked = timeout(WAIT, doors.store.unspend(&ticket.name, by)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::debug!(session = %by, "the ticket stays spent");
    }
}
