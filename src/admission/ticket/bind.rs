//! Whether a ticket is for what is asked. Everything is compared to the letter, and what a ticket is
//! bound to must be there: a request that says nothing of it is another one.

use super::claims::Claims;
use super::flaw::{Flaw, Outcome};
use crate::admission::Subject;
use crate::admission::ask::usual;
use crate::admission::query::Query;
use crate::config::TicketClaim;
use crate::ids::CallId;
use crate::label::Label;
use crate::upstream::{About, Ask};

/// What is asked, and by whom.
#[derive(Clone, Copy)]
pub(in crate::admission) struct Facts<'a> {
    pub(in crate::admission) origin: Option<&'a [u8]>,
    pub(in crate::admission) route: &'a Label,
    pub(in crate::admission) ask: &'a Ask,
    /// Whether the client itself has named a model or an agent.
    pub(in crate::admission) named: bool,
    /// The call that is streamed.
    pub(in crate::admission) call: Option<&'a CallId>,
    /// Who it is by another credential beside the ticket.
    pub(in crate::admission) beside: Option<&'a Subject>,
}

/// Whether the ticket has what the route asks for, and is for this.
pub(in crate::admission) fn judge(
    claims: &Claims,
    wanted: &[TicketClaim],
    facts: Facts<'_>,
) -> Result<(), Flaw> {
    for claim in wanted {
        let (is_there, detail) = match claim {
            TicketClaim::Origin => (claims.origin.is_some(), "the ticket is bound to no origin"),
            TicketClaim::Route => (claims.route.is_some(), "the ticket is bound to no route"),
            TicketClaim::Model => (
                claims.model.is_some() || claims.agent.is_some(),
                "the ticket is bound to no model and no agent",
            ),
            TicketClaim::Call => (claims.call.is_some(), "the ticket is bound to no call"),
            TicketClaim::Subject => (claims.has_subject(), "the ticket does not say whose it is"),
        };
        if !is_there {
            return Err(Flaw::of(Outcome::Unbound, detail));
        }
    }
    let origin = claims.origin.as_ref().map(String::as_bytes);
    if origin.is_some() && origin != facts.origin {
        let detail = "the ticket is for another origin";
        return Err(Flaw::of(Outcome::WrongOrigin, detail));
    }
    let route = claims.route.as_deref();
    if route.is_some_and(|route| route != facts.route.as_str()) {
        return Err(Flaw::of(
            Outcome::WrongRoute,
            "the ticket is for another route",
        ));
    }
    judge_about(claims, facts)?;
    if let Some(call) = claims.call()
        && (call.is_none() || call.as_ref() != facts.call)
    {
        return Err(Flaw::of(
            Outcome::WrongCall,
            "the ticket is for another call",
        ));
    }
    judge_subject(claims, facts)
}

fn judge_about(claims: &Claims, facts: Facts<'_>) -> Result<(), Flaw> {
    let (model, agent) = match &facts.ask.about {
        About::Model(model) => (Some(model.as_str()), None),
        About::Agent { agent, .. } => (None, Some(agent.as_str())),
        About::Relay { model, .. } => (model.as_ref().map(Label::as_str), None),
        About::App => (None, None),
    };
    let is = |bound: Option<&str>, asked| bound.is_none_or(|bound| Some(bound) == asked);
    let fits = is(claims.model.as_deref(), model) && is(claims.agent.as_deref(), agent);
    // Where the client names nothing, an observed ticket would have said what.
    if fits || !facts.named {
        return Ok(());
    }
    let detail = "the ticket is for another model or agent";
    Err(Flaw::of(Outcome::WrongModel, detail))
}

fn judge_subject(claims: &Claims, facts: Facts<'_>) -> Result<(), Flaw> {
    let Some(beside) = facts.beside else {
        return Ok(());
    };
    let same = match &claims.caller {
        Some(caller) => caller.subject() == *beside,
        None => {
            let (tenant, name) = beside.names();
            let is = |bound: &Option<String>, shown| bound.is_none() || bound.as_deref() == shown;
            // Whoever is nobody has nothing that a ticket could be compared with.
            name.is_none() || is(&claims.sub, name) && is(&claims.tid, tenant)
        }
    };
    match same {
        true => Ok(()),
        false => Err(Flaw::of(
            Outcome::WrongSubject,
            "the ticket is for somebody else than the other credential",
        )),
    }
}

/// What the ticket is bound to is what is asked, where the client names nothing.
pub(in crate::admission) fn fill(claims: &Claims, query: &mut Query) -> Result<(), Flaw> {
    if query.names_something() {
        return Ok(());
    }
    let label = |text: &str| Label::new(text).ok_or(Flaw::invalid("the ticket's model is no name"));
    match (&claims.model, &claims.agent) {
        (Some(_), Some(_)) => {
            let detail = "the ticket is for a model and for an agent";
            return Err(Flaw::invalid(detail));
        }
        (Some(model), None) => query.model = Some(label(model)?),
        (None, Some(agent)) => {
            let agent = label(agent)?;
            query.agent = Some((usual(&agent), agent));
        }
        (None, None) => {}
    }
    Ok(())
}
