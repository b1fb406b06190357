//! What routes have of their own whose requests the edge itself answers, and what of others they have
//! not.

use std::sync::Arc;

use super::gateway;
use super::route::{At, Known};
use crate::config::{
    CallApi, Dtmf, Enter, EventGrid, IssuerKind, Place, Refuse, Route, RouteKind, SessionApi, Way,
};
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

/// A route of calls that are made; what is wrong with it is told.
pub(super) fn call_api(at: &mut At<'_>, known: &Known<'_>) -> Option<RouteKind> {
    let written = at.written;
    let media = target(at, known, ("media", "acs-media"), written.media.as_ref());
    let callbacks = target(
        at,
        known,
        ("callbacks", "acs-callback"),
        written.callbacks.as_ref(),
    );
    Some(RouteKind::CallApi(Arc::new(CallApi {
        media: media?,
        callbacks: callbacks?,
    })))
}

/// A route of session keys; what is wrong with it is told.
pub(super) fn session_api(_at: &mut At<'_>) -> Option<RouteKind> {
    Some(RouteKind::SessionApi(Arc::new(SessionApi {})))
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
        Way::Key | Way::Certificate | Way::EasyAuth | Way::Call | Way::Anyone => None,
    };
    let ways = route.enter.ways();
    match &route.kind {
        RouteKind::EventGrid(_) => {
            let fits = |way: &Way| match (way, issuer(way)) {
                (Way::Key | Way::Certificate, _) => true,
                // What is wrong with it has been told.
                (Way::Issuer(_), None) => true,
                (Way::Issuer(_), Some(issuer)) => {
                    let entra = matches!(issuer.kind, IssuerKind::Entra { .. });
                    let named = entra && !issuer.clients.is_empty();
                    named || matches!(issuer.kind, IssuerKind::EventGrid { .. })
                }
                (Way::EasyAuth | Way::Call | Way::Anyone, _) => false,
            };
            if !ways.iter().all(fits) {
                at.add(
                    "admit",
                    "must name issuers of kind \"event-grid\" (or \"entra\", with the clients that \
                     may post), \"key\" or \"certificate\": whoever posts here has calls answered",
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
        RouteKind::CallApi(_) | RouteKind::SessionApi(_) => {}
        RouteKind::Notify => gateway::notify(at, route, known),
        RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::Http(_)
        | RouteKind::Bot(_)
        | RouteKind::AcsMedia(_) => {
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

#[cfg(test)]
mod tests {
    use crate::config::{RouteKind, Settings};

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [[keys]]
        name = "kiosk"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [issuers.phone]
        kind = "acs"
        audience = ["55555555-2222-3333-4444-555555555555"]
        [issuers.grid]
        kind = "event-grid"
        tenants = ["11111111-2222-3333-4444-555555555555"]
        audience = ["api://events"]
        [issuers.users]
        kind = "entra"
        tenants = ["11111111-2222-3333-4444-555555555555"]
        audience = ["api://edge"]
        [calls]
        secret = "a secret of media URLs, long enough"
        [acs]
        endpoint = "https://x.communication.azure.com"
        key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
        callbacks = "https://edge.example.com"
        media = "wss://edge.example.com"
        [upstreams.voice]
        kind = "voice-live"
        resource = "my-resource"
        credential = { key = "upstream-secret" }
        [[routes]]
        name = "phone"
        paths = ["/acs/media/{call}"]
        kind = "acs-media"
        require = ["phone", "call"]
        models = ["gpt-realtime"]
        upstreams = ["voice"]
        gate = { flow = "open" }
        [[routes]]
        name = "callbacks"
        paths = ["/acs/callbacks/{call}"]
        kind = "acs-callback"
        admit = ["phone"]
        #callbacks
        [[routes]]
        name = "events"
        paths = ["/events"]
        kind = "event-grid"
        admit = ["grid", "key"]
        #events
    "#;

    fn read(from: &str, to: &str) -> Result<Settings, String> {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        Settings::read_text("edge.toml", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn a03_routes_of_events_find_the_routes_that_calls_are_given() {
        let settings = read("#events", "sip_header = \"X-Id\"").unwrap();
        let RouteKind::EventGrid(events) = &settings.live.routes[2].kind else {
            panic!("another kind");
        };
        assert_eq!(events.media.as_str(), "phone");
        assert_eq!(events.callbacks.as_str(), "callbacks");
        assert_eq!(events.sip_header.as_deref(), Some("X-Id"));
        assert_eq!(events.webhook_origins, ["eventgrid.azure.net"]);
        let grid = settings.live.issuers.iter();
        let grid = grid.clone().find(|issuer| issuer.name.as_str() == "grid");
        assert_eq!(
            grid.unwrap().clients,
            ["4962773b-9cdb-44cf-a8bf-237846a00ab7"]
        );
        let told = settings.describe();
        assert!(
            told.contains("media to phone, callbacks to callbacks"),
            "{told}"
        );
    }

    /// What is written instead, and where that is told.
    const WRONG: [(&str, &str, &str); 19] = [
        ("[\"grid\", \"key\"]", "[\"anyone\"]", "routes.events.admit"),
        ("[\"grid\", \"key\"]", "[\"phone\"]", "routes.events.admit"),
        // Without clients every application of the tenant could post.
        ("[\"grid\", \"key\"]", "[\"users\"]", "routes.events.admit"),
        (
            "admit = [\"phone\"]",
            "admit = [\"key\"]",
            "routes.callbacks.admit",
        ),
        (
            "admit = [\"phone\"]",
            "admit = [\"grid\"]",
            "routes.callbacks.admit",
        ),
        ("admit = [\"phone\"]", "", "routes.callbacks.admit"),
        (
            "\"/acs/callbacks/{call}\"",
            "\"/acs/callbacks\"",
            "routes.callbacks.paths",
        ),
        ("#events", "media = \"callbacks\"", "routes.events.media"),
        (
            "#events",
            "callbacks = \"other\"",
            "routes.events.callbacks",
        ),
        (
            "#events",
            "sip_header = \"X Id\"",
            "routes.events.sip_header",
        ),
        (
            "#events",
            "webhook_origins = [\"*\"]",
            "routes.events.webhook_origins",
        ),
        ("#events", "models = [\"m\"]", "routes.events.models"),
        (
            "#events",
            "upstreams = [\"voice\"]",
            "routes.events.upstreams",
        ),
        (
            "#events",
            "origins = [\"https://x.example\"]",
            "routes.events.origins",
        ),
        (
            "#events",
            "gate = { flow = \"open\" }",
            "routes.events.gate",
        ),
        (
            "#callbacks",
            "accept = [\"query\"]",
            "routes.callbacks.accept",
        ),
        (
            "#callbacks",
            "sip_header = \"X-Id\"",
            "routes.callbacks.sip_header",
        ),
        (
            "media = \"wss://edge.example.com\"",
            "",
            "routes.events.kind",
        ),
        (
            "gate = { flow = \"open\" }",
            "sip_header = \"X\"",
            "routes.phone.sip_header",
        ),
    ];

    #[test]
    fn a04_nobody_posts_who_is_not_named_and_nothing_is_set_in_vain() {
        for (from, to, at) in WRONG {
            let told = read(from, to).map(drop).unwrap_err();
            assert!(told.contains(&format!("{at}: ")), "{to}: {told}");
        }
        let named = "clients = [\"4962773b-9cdb-44cf-a8bf-237846a00ab7\"]";
        let users = "audience = [\"api://edge\"]";
        let text = GOOD.replace("[\"grid\", \"key\"]", "[\"users\"]");
        let text = text.replace(users, &format!("{users}\n{named}"));
        assert!(Settings::read_text("edge.toml", &text).is_ok());
    }
}
