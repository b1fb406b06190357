//! `[tickets]`: whom tickets are for and how long they live, and what routes have to do with them.

use std::sync::Arc;
use std::time::Duration;

use super::Problems;
use super::route::{At, Known};
use super::ticket_key::key;
use crate::config::file::{self, File};
use crate::config::{
    Enter, IssuerKind, Kind, Route, RouteKind, RouteTickets, TicketClaim, TicketDesk, TicketKey,
    Tickets, Way,
};
use crate::label::Label;
use crate::secret::Digest;

/// One that signs, the one after it, and the same for the edge's own.
const KEYS_MAX: usize = 4;
/// A page that has asked for a ticket uses it at once; a slow network takes seconds.
const MAX_AGE: Duration = Duration::from_secs(60);
const LIFE: Duration = Duration::from_secs(30);
/// Longer than this it is a token and no ticket.
const MAX_AGE_MAX: Duration = Duration::from_secs(300);
/// What media URLs are signed for, which a ticket must never be taken for.
const MEDIA_URL: &str = "tonegate:media-url";

/// `None`: there are no tickets, or something is wrong with them, which has been told.
pub(super) fn tickets(file: &File, problems: &mut Problems) -> Option<Tickets> {
    let written = file.tickets.as_ref()?;
    let audience = audience(file, written, problems);
    let max_age = written.max_age.unwrap_or(MAX_AGE);
    if max_age < Duration::from_secs(1) || max_age > MAX_AGE_MAX {
        let what = "must be at least 1s and at most 5m: a ticket is for entering, at once";
        problems.add("tickets.max_age", what);
    }
    if written.keys.is_empty() || written.keys.len() > KEYS_MAX {
        let what = "must be 1 to 4 keys; two of one signer while it changes them";
        problems.add("tickets.keys", what);
    }
    let mut keys: Vec<TicketKey> = Vec::new();
    let mut prints: Vec<Digest> = Vec::new();
    for written in written.keys.iter().take(KEYS_MAX) {
        let at = format!("tickets.keys.{}", written.id);
        let Some((key, print)) = key(&at, written, problems) else {
            continue;
        };
        if keys.iter().any(|other| other.id == key.id) {
            problems.add(&at, "this id is taken by another key");
        }
        if prints.iter().any(|other| other.is(&print)) {
            problems.add(&at, "is the same key as another one, by another id");
        }
        keys.push(key);
        prints.push(print);
    }
    Some(Tickets {
        audience: audience?,
        max_age,
        keys,
    })
}

fn audience(file: &File, written: &file::Tickets, problems: &mut Problems) -> Option<String> {
    let at = "tickets.audience";
    let Some(audience) = written.audience.clone().filter(|text| !text.is_empty()) else {
        let what = "missing; what tickets say in aud, to the letter, such as \
                    \"wss://edge.example.com\"";
        problems.add(at, what);
        return None;
    };
    let mut issuers = file.issuers.values();
    if audience == MEDIA_URL || issuers.any(|issuer| issuer.audience.contains(&audience)) {
        let what = "is that of tokens or of media URLs, too: nobody could tell which is which";
        problems.add(at, what);
    }
    Some(audience)
}

/// What a route has to do with tickets.
pub(super) fn of_route(at: &mut At<'_>) -> RouteTickets {
    let observe = match at.written.tickets.as_deref() {
        None | Some("off") => false,
        Some("observe") => true,
        Some(other) => {
            let what = format!(
                "{other:?} must be \"off\" or \"observe\"; to ask for them name \"ticket\" in admit or \
                 require"
            );
            at.add("tickets", what);
            false
        }
    };
    let mut claims = Vec::new();
    for name in at.written.ticket_claims.iter().flatten() {
        let found = TicketClaim::ALL
            .into_iter()
            .find(|claim| claim.word() == name);
        match found {
            Some(claim) if !claims.contains(&claim) => claims.push(claim),
            Some(_) => at.add("ticket_claims", format!("{name:?} stands twice")),
            None => at.add(
                "ticket_claims",
                format!("{name:?} must be \"origin\", \"route\", \"model\", \"call\" or \"sub\""),
            ),
        }
    }
    RouteTickets { observe, claims }
}

/// A route of kind `tickets`; what is wrong with it is told.
pub(super) fn desk(at: &mut At<'_>, known: &Known<'_>) -> Option<RouteKind> {
    let written = at.written;
    let max_age = known
        .file
        .tickets
        .as_ref()
        .and_then(|tickets| tickets.max_age);
    let max_age = max_age.unwrap_or(MAX_AGE);
    let life = written.life.unwrap_or(LIFE.min(max_age));
    if life < Duration::from_secs(1) || life > max_age {
        at.add(
            "life",
            "must be at least 1s and at most max_age of [tickets]",
        );
    }
    let names = written.opens.clone().unwrap_or_default();
    if names.is_empty() {
        at.add("opens", "missing; list the routes that its tickets open");
    }
    let opens = at.labels("opens", &names);
    Some(RouteKind::Tickets(Arc::new(TicketDesk { opens, life })))
}

/// Whether a route may have to do with tickets as it has.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = at.written;
    let admits = route.enter.ways().contains(&Way::Ticket);
    if route.tickets.observe && known.file.tickets.is_none() {
        at.add("tickets", "needs [tickets], which says who signs them");
    }
    if route.tickets.observe && admits {
        let what =
            "observes nothing where admit or require name \"ticket\": there they are asked for";
        at.add("tickets", what);
    }
    let begins = matches!(
        route.kind,
        RouteKind::VoiceLive | RouteKind::Relay | RouteKind::AcsMedia(_)
    );
    if route.takes_tickets() && !begins {
        let key = if admits { "admit" } else { "tickets" };
        let what = "a ticket opens a session, so the kind must be \"voice-live\", \"relay\" or \
                    \"acs-media\"";
        at.add(key, what);
    }
    if !route.tickets.claims.is_empty() && !route.takes_tickets() {
        at.add("ticket_claims", "has no use where no tickets are taken");
    }
    if route.tickets.claims.contains(&TicketClaim::Call) && route.kind.phone().is_none() {
        at.add(
            "ticket_claims",
            "\"call\" has a use with kind = \"acs-media\" only",
        );
    }
    let taken = |name: &Label| name.as_str() == "ticket";
    let parameter = route
        .parameters
        .iter()
        .any(|parameter| taken(&parameter.name));
    if route.takes_tickets() && parameter && route.kind.upstream() == Some(Kind::Relay) {
        at.add(
            "parameters",
            "ticket holds a ticket here and goes no further",
        );
    }
    if let RouteKind::Tickets(_) = &route.kind {
        known_callers(at, route, known);
        return;
    }
    if written.life.is_some() {
        at.add("life", "has a use with kind = \"tickets\" only");
    }
    if written.opens.is_some() && !matches!(route.kind, RouteKind::Page(_)) {
        let what = "has a use with kind = \"tickets\" or kind = \"page\" only";
        at.add("opens", what);
    }
}

/// A ticket says as whom somebody was admitted, so it must be somebody.
fn known_callers(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let own = |tickets: &file::Tickets| tickets.keys.iter().any(|key| key.own);
    if !known.file.tickets.as_ref().is_some_and(own) {
        let what = "\"tickets\" needs [tickets] with a key that has own = true, which signs";
        at.add("kind", what);
    }
    let fits = |way: &Way| match way {
        Way::Key | Way::Certificate | Way::EasyAuth => true,
        Way::Issuer(name) => {
            let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
            // What is wrong with it has been told.
            issuer.is_none_or(|issuer| {
                matches!(
                    issuer.kind,
                    IssuerKind::Entra { .. } | IssuerKind::Oidc { .. }
                )
            })
        }
        Way::Ticket | Way::Call | Way::Anyone => false,
    };
    if !route.enter.ways().iter().all(fits) {
        let what = "must name issuers, \"key\", \"certificate\" or \"easyauth\": a ticket is for \
                    somebody who is known, and not for whoever had one before";
        at.add("admit", what);
    }
}

/// Whether the routes that tickets are handed out for take them.
pub(super) fn desks(routes: &[Route], problems: &mut Problems) {
    for route in routes {
        let RouteKind::Tickets(desk) = &route.kind else {
            continue;
        };
        for name in &desk.opens {
            let what = match routes.iter().find(|other| other.name == *name) {
                None => format!("there is no route {name}"),
                Some(other) if !other.takes_tickets() => {
                    format!("the route {name} takes no tickets: its admit names no \"ticket\"")
                }
                Some(other)
                    if matches!(other.enter, Enter::All(_)) && other.kind.phone().is_some() =>
                {
                    format!("the route {name} is that of calls, whose tickets others sign")
                }
                Some(_) => continue,
            };
            problems.add(format!("routes.{}.opens", route.name), what);
        }
    }
}
