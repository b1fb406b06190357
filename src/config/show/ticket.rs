//! Tickets, as `tonegate check` prints them.

use std::fmt::Write as _;

use humantime::format_duration;

use crate::config::{Route, RouteKind, TICKET_LEEWAY, TicketClaim, Tickets};

pub(super) fn tickets(tickets: Option<&Tickets>, out: &mut String) -> std::fmt::Result {
    let Some(tickets) = tickets else {
        return Ok(());
    };
    writeln!(
        out,
        "tickets   for {}, live {} at the most, leeway {}",
        tickets.audience,
        format_duration(tickets.max_age),
        format_duration(TICKET_LEEWAY),
    )?;
    for key in &tickets.keys {
        let whose = if key.own { ", the edge's own" } else { "" };
        let (id, issuer, algorithm) = (&key.id, &key.issuer, key.algorithm);
        writeln!(
            out,
            "          key {id} of {issuer}: {algorithm:?} ***{whose}"
        )?;
    }
    Ok(())
}

pub(super) fn route(route: &Route, out: &mut String) -> std::fmt::Result {
    if route.takes_tickets() {
        let claims = route.tickets.claims.iter();
        let claims: Vec<&str> = claims.map(|claim: &TicketClaim| claim.word()).collect();
        let claims = match claims.as_slice() {
            [] => "nothing".to_owned(),
            claims => claims.join(" and "),
        };
        let how = match route.tickets.observe {
            true => "observed, nobody is refused for the lack of one",
            false => "asked for",
        };
        writeln!(out, "          tickets {how}; must be bound to {claims}")?;
    }
    if let RouteKind::Tickets(desk) = &route.kind {
        let opens: Vec<&str> = desk.opens.iter().map(|name| name.as_str()).collect();
        writeln!(
            out,
            "          hands out tickets for {}, which live {}",
            opens.join(", "),
            format_duration(desk.life),
        )?;
    }
    Ok(())
}
