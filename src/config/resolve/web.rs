//! What routes have of their own whose requests the edge itself answers, and what of others they have
//! not.

use std::sync::Arc;

use super::route::{At, Known};
use crate::config::{Dtmf, Enter, EventGrid, IssuerKind, Place, Refuse, Route, RouteKind, Way};
use crate::label::Label;

/// How Event Grid names itself where it asks whether its events are wanted (CloudEvents).
const EVENT_GRID_ORIGIN: &str = "eventgrid.azure.net";
/// Longest name of a header (`customContext`: prefix and 64 characters).
const HEADER_MAX: usize = 128;

/// A route of Event Grid; what is wrong with it is told.
pub(super) fn event_grid(at: &mut At<'_>, known: &Known<'_>) -> Option<RouteKind> {
    let written = at.written;
    let media = target(at, known, ("media", "acs-media"), written.media.as_ref());
    let callbacks = target(
        at,
        known,
        ("callbacks", "acs-callback"),
        written.callbacks.as_ref(),
    );
    let usual = || vec![EVENT_GRID_ORIGIN.to_owned()];
    let webhook_origins = written.webhook_origins.clone().unwrap_or_else(usual);
    let is_host = |origin: &String| {
        let of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        !origin.is_empty() && origin.bytes().all(of_host)
    };
    for origin in webhook_origins.iter().filter(|origin| !is_host(origin)) {
        at.add(
            "webhook_origins",
            format!("{origin:?} must be the name of a host, such as {EVENT_GRID_ORIGIN:?}"),
        );
    }
    let sip_header = written.sip_header.clone();
    let is_header = |name: &String| {
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=HEADER_MAX).contains(&name.len()) && name.bytes().all(of_name)
    };
    if sip_header.as_ref().is_some_and(|name| !is_header(name)) {
        at.add(
            "sip_header",
            "must be the name of a header, such as \"X-MS-Custom-session\"",
        );
    }
    Some(RouteKind::EventGrid(Arc::new(EventGrid {
        media: media?,
        callbacks: callbacks?,
        sip_header,
        webhook_origins,
    })))
}

/// The route of a kind that is named; where none is named, the only one there is.
fn target(
    at: &mut At<'_>,
    known: &Known<'_>,
    (key, kind): (&str, &str),
    named: Option<&String>,
) -> Option<Label> {
    let mut routes = known
        .file
        .routes
        .iter()
        .filter(|route| route.kind.as_deref() == Some(kind))
        .filter(|route| named.is_none_or(|name| route.name == *name));
    let name = match (routes.next(), routes.next()) {
        (Some(route), None) => Label::new(&route.name),
        _ => None,
    };
    if name.is_none() {
        let what = match named {
            Some(name) => format!("{name:?} is no route of kind {kind:?}"),
            None => format!("missing; name the route of kind {kind:?} that calls are given"),
        };
        at.add(key, what);
    }
    name
}

/// Who may post here, and what has no use.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let issuer = |way: &Way| match way {
        Way::Issuer(name) => known.issuers.iter().find(|issuer| issuer.name == *name),
        Way::Key | Way::EasyAuth | Way::Call | Way::Anyone => None,
    };
    let ways = route.enter.ways();
    match &route.kind {
        RouteKind::EventGrid(_) => {
            let fits = |way: &Way| match (way, issuer(way)) {
                (Way::Key, _) => true,
                // What is wrong with it has been told.
                (Way::Issuer(_), None) => true,
                (Way::Issuer(_), Some(issuer)) => match &issuer.kind {
                    IssuerKind::EventGrid { .. } => true,
                    IssuerKind::Entra { .. } => !issuer.clients.is_empty(),
                    IssuerKind::Oidc { .. } | IssuerKind::Acs { .. } => false,
                },
                (Way::EasyAuth | Way::Call | Way::Anyone, _) => false,
            };
            if !ways.iter().all(fits) {
                at.add(
                    "admit",
                    "must name issuers of kind \"event-grid\" (or \"entra\", with the clients that \
                     may post) or \"key\": whoever posts here has calls answered",
                );
            }
            let acs = known.file.acs.as_ref();
            if acs.is_none_or(|acs| acs.callbacks.is_none() || acs.media.is_none()) {
                at.add(
                    "kind",
                    "\"event-grid\" needs [acs] with callbacks and media: what ACS is told when a \
                     call is answered",
                );
            }
            if known.file.calls.is_none() {
                at.add(
                    "kind",
                    "\"event-grid\" needs [calls], which signs media URLs",
                );
            }
        }
        RouteKind::AcsCallback => {
            let acs = |way: &Way| match (way, issuer(way)) {
                (Way::Issuer(_), None) => true,
                (_, issuer) => {
                    issuer.is_some_and(|issuer| matches!(issuer.kind, IssuerKind::Acs { .. }))
                }
            };
            if !ways.iter().all(acs) {
                at.add(
                    "admit",
                    "must name an issuer of kind \"acs\", which signs each callback",
                );
            }
        }
        RouteKind::VoiceLive | RouteKind::Relay | RouteKind::AcsMedia(_) => {
            let written = at.written;
            for (key, is_written) in [
                ("media", written.media.is_some()),
                ("callbacks", written.callbacks.is_some()),
                ("sip_header", written.sip_header.is_some()),
                ("webhook_origins", written.webhook_origins.is_some()),
            ] {
                if is_written {
                    at.add(key, "has a use with kind = \"event-grid\" only");
                }
            }
            return;
        }
    }
    useless(at, route);
}

/// What would have no effect, or another one than meant.
fn useless(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let events = matches!(route.kind, RouteKind::EventGrid(_));
    let place = |place: &Place| match place {
        Place::Header => true,
        Place::Query => events,
        Place::Cookie | Place::Subprotocol => false,
    };
    let limits = &route.limits;
    for (key, is_useless) in [
        ("accept", !route.accept.iter().all(place)),
        ("upstreams", !written.upstreams.is_empty()),
        ("models", !route.models.is_empty()),
        ("lock_models", written.lock_models.is_some()),
        ("agents", !route.agents.is_empty()),
        ("projects", !route.projects.is_empty()),
        ("default", written.default.is_some()),
        ("pass", !route.pass.is_empty()),
        ("identities", !route.identities.is_empty()),
        ("resources", !route.resources.is_empty()),
        ("api_versions", !route.api_versions.is_empty()),
        ("parameters", !route.parameters.is_empty()),
        ("subprotocols", written.subprotocols.is_some()),
        ("web_rtc", route.web_rtc),
        ("origins", !route.origins.is_empty()),
        ("without_origin", !route.without_origin),
        ("cookie", written.cookie.is_some()),
        ("dtmf", route.dtmf != Dtmf::Off),
        ("refuse", route.refuse == Refuse::Close),
        ("limits.sessions", limits.sessions.is_some()),
        ("limits.idle", limits.idle.is_some()),
        ("limits.session", limits.session.is_some()),
        ("limits.upstream_message", limits.upstream_message.is_some()),
        ("media", !events && written.media.is_some()),
        ("callbacks", !events && written.callbacks.is_some()),
        ("sip_header", !events && written.sip_header.is_some()),
        (
            "webhook_origins",
            !events && written.webhook_origins.is_some(),
        ),
    ] {
        if is_useless {
            let kind = route.kind.word();
            at.add(
                key,
                format!("has no use with kind = {kind:?}: no session begins here"),
            );
        }
    }
    if matches!(&route.enter, Enter::Any(ways) | Enter::All(ways) if ways.contains(&Way::Anyone)) {
        at.add("admit", "\"anyone\" may not post here");
    }
}
