//! Who may enter a route, and where a credential may sit.

use super::certificate;
use super::route::{At, Known, nearest};
use crate::config::{Enter, IssuerKind, Place, Route, RouteKind, Speak, Way};
use crate::label::Label;

pub(super) fn enter(at: &mut At<'_>, known: &Known<'_>) -> Enter {
    let written = at.written;
    match (written.admit.as_slice(), written.require.as_slice()) {
        ([], []) => {
            at.add(
                "admit",
                "the route has no admission decision; set admit = [\"key\"], or admit = \
                 [\"anyone\"] to let everybody in",
            );
            Enter::All(Vec::new())
        }
        (any, []) => Enter::Any(ways(at, "admit", any, known)),
        ([], all) => {
            let ways = ways(at, "require", all, known);
            if ways.contains(&Way::Anyone) {
                at.add(
                    "require",
                    "\"anyone\" requires nothing; it belongs in admit",
                );
            }
            if ways.contains(&Way::Certificate) && ways.contains(&Way::EasyAuth) {
                at.add(
                    "require",
                    "\"certificate\" and \"easyauth\" exclude each other: behind a hop that speaks \
                     http the certificate is the hop's",
                );
            }
            let tokens = |way: &&Way| matches!(way, Way::Issuer(_));
            if ways.iter().filter(tokens).count() > 1 {
                at.add(
                    "require",
                    "a request carries one token, so one issuer at the most",
                );
            }
            Enter::All(ways)
        }
        _ => {
            at.add(
                "require",
                "admit (any of) and require (all of) exclude each other",
            );
            Enter::All(Vec::new())
        }
    }
}

fn ways(at: &mut At<'_>, key: &str, names: &[String], known: &Known<'_>) -> Vec<Way> {
    let mut ways = Vec::new();
    let kind = at.written.kind.as_deref();
    for name in names {
        let issuer = known.issuers.iter().find(|i| i.name.as_str() == name);
        let way = match (name.as_str(), issuer) {
            ("key", _) if known.file.keys.is_empty() => {
                at.add(key, "asks for a key, but there are no [[keys]]");
                continue;
            }
            ("key", _) => Way::Key,
            ("certificate", _) if !certificate::is_usable(at, key, known.file) => continue,
            ("certificate", _) => Way::Certificate,
            ("ticket", _) if known.file.tickets.is_none() => {
                at.add(key, "asks for a ticket, but there is no [tickets]");
                continue;
            }
            ("ticket", _) => Way::Ticket,
            ("anyone", _) => Way::Anyone,
            ("easyauth", _) if known.hops.is_none_or(|hops| hops.speak == Speak::Proxy) => {
                at.add(
                    key,
                    "\"easyauth\" needs [hops] with speak = \"http\": from anybody else its \
                     headers are the client's own words",
                );
                continue;
            }
            ("easyauth", _) => Way::EasyAuth,
            ("call", _) if kind != Some("acs-media") => {
                at.add(key, "\"call\" has a use with kind = \"acs-media\" only");
                continue;
            }
            ("call", _) => Way::Call,
            (_, Some(issuer)) if !opens(&issuer.kind, kind) => {
                at.add(key, format!("{name:?} {}", signs_for(&issuer.kind)));
                continue;
            }
            (_, Some(issuer)) => Way::Issuer(issuer.name.clone()),
            // What is wrong with it has been told.
            (other, None) if known.file.issuers.contains_key(other) => match Label::new(other) {
                Some(name) => Way::Issuer(name),
                None => continue,
            },
            (other, None) => {
                let nearest = nearest(other, known.file.issuers.keys());
                at.add(
                    key,
                    format!(
                        "{other:?} must be \"key\", \"certificate\", \"easyauth\", \"ticket\", \"call\", \"anyone\" or \
                         one of [issuers]{nearest}"
                    ),
                );
                continue;
            }
        };
        if ways.contains(&way) {
            at.add(key, format!("{name:?} stands twice"));
        } else {
            ways.push(way);
        }
    }
    ways
}

/// Whether tokens of an issuer may open routes of a kind.
fn opens(issuer: &IssuerKind, kind: Option<&str>) -> bool {
    match issuer {
        IssuerKind::Entra { .. } | IssuerKind::Oidc { .. } => true,
        IssuerKind::Acs { .. } => matches!(kind, Some("acs-media" | "acs-callback")),
        IssuerKind::EventGrid { .. } => kind == Some("event-grid"),
        IssuerKind::Bot { .. } | IssuerKind::BotTenant { .. } => kind == Some("bot"),
    }
}

/// Why they do not.
fn signs_for(issuer: &IssuerKind) -> &'static str {
    match issuer {
        IssuerKind::Acs { .. } => {
            "signs for calls, not for callers, and opens routes of kind \"acs-media\" and \
             \"acs-callback\" only"
        }
        IssuerKind::EventGrid { .. } => {
            "signs for events, not for callers, and opens routes of kind \"event-grid\" only"
        }
        IssuerKind::Bot { .. } | IssuerKind::BotTenant { .. } => {
            "signs for activities of a bot, not for callers, and opens routes of kind \"bot\" only"
        }
        IssuerKind::Entra { .. } | IssuerKind::Oidc { .. } => "signs for callers",
    }
}

pub(super) fn accept(at: &mut At<'_>) -> Vec<Place> {
    let Some(places) = &at.written.accept else {
        return vec![Place::Header];
    };
    let mut accept = Vec::new();
    for place in places {
        match place.as_str() {
            "header" => accept.push(Place::Header),
            "query" => accept.push(Place::Query),
            "cookie" => accept.push(Place::Cookie),
            "subprotocol" => accept.push(Place::Subprotocol),
            other => at.add(
                "accept",
                format!("{other:?} must be \"header\", \"query\", \"cookie\" or \"subprotocol\""),
            ),
        }
    }
    accept
}

pub(super) fn cookie(at: &mut At<'_>) -> String {
    let name = at.written.cookie.as_deref().unwrap_or("tonegate");
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !fits {
        at.add(
            "cookie",
            format!("{name:?} must be letters, digits, - and _"),
        );
    }
    name.to_owned()
}

/// Cookies are sent by the browser for whatever page asks, so the page must be known.
pub(super) fn cookies(at: &mut At<'_>, route: &Route) {
    if !route.accept.contains(&Place::Cookie) {
        if at.written.cookie.is_some() {
            at.add("cookie", "has no use unless accept names \"cookie\"");
        }
        return;
    }
    // A page is opened, which changes nothing, and its text goes to nobody but the browser.
    if matches!(route.kind, RouteKind::Page(_)) {
        return;
    }
    if route.origins.is_empty() || route.without_origin {
        at.add(
            "accept",
            "\"cookie\" needs origins, and without_origin = false: browsers send cookies for any \
             page that asks",
        );
    }
}
