//! What routes have of their own whose requests the edge itself answers, and what of others they have
//! not.

use std::sync::Arc;
use std::time::Duration;

use super::route::{At, Known};
use super::{gateway, page};
use crate::config::{
    CallApi, Dtmf, EventGrid, IssuerKind, Place, Rate, Refuse, Route, RouteKind, Way,
};
use crate::ids::{NumberPrefix, PhoneNumber};
use crate::label::Label;

/// How Event Grid names itself where it asks whether its events are wanted (CloudEvents).
const EVENT_GRID_ORIGIN: &str = "eventgrid.azure.net";
/// Longest name of a header (`customContext`: prefix and 64 characters).
const HEADER_MAX: usize = 128;
/// Calls that one identity may have made where nothing else is said: a person who tries again some
/// times, and no machine that calls a town.
const CALLS_PER_IDENTITY: Rate = Rate {
    count: 10,
    per: Duration::from_secs(60),
};

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
    let source = source(at);
    let destinations = destinations(at);
    Some(RouteKind::CallApi(Arc::new(CallApi {
        media: media?,
        callbacks: callbacks?,
        source: source?,
        destinations,
        calls_per_identity: written
            .limits
            .calls_per_identity
            .unwrap_or(CALLS_PER_IDENTITY),
    })))
}

fn source(at: &mut At<'_>) -> Option<PhoneNumber> {
    let source = at.written.source.as_deref();
    let number = source.and_then(PhoneNumber::new);
    if number.is_none() {
        let what = match source {
            Some(source) => {
                format!("{source:?} must be a number in E.164 form, such as \"+15550001111\"")
            }
            None => "missing; the number of the resource that calls are made from, in E.164 form"
                .to_owned(),
        };
        at.add("source", what);
    }
    number
}

fn destinations(at: &mut At<'_>) -> Vec<NumberPrefix> {
    let written = at.written.destinations.as_deref().unwrap_or_default();
    if written.is_empty() {
        at.add(
            "destinations",
            "missing; what the numbers that may be called begin with, such as [\"+1555\"]; [\"+\"] are \
             all of them",
        );
    }
    let mut destinations = Vec::new();
    for text in written {
        match NumberPrefix::new(text) {
            Some(prefix) if destinations.contains(&prefix) => {
                at.add("destinations", format!("{text:?} stands twice"));
            }
            Some(prefix) => destinations.push(prefix),
            None => at.add(
                "destinations",
                format!(
                    "{text:?} must be the beginning of a number in E.164 form, such as \"+1555\""
                ),
            ),
        }
    }
    destinations
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
        Way::Key | Way::Certificate | Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone => None,
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
                (Way::EasyAuth | Way::Ticket | Way::Call | Way::Anyone, _) => false,
            };
            if !ways.iter().all(fits) {
                at.add(
                    "admit",
                    "must name issuers of kind \"event-grid\" (or \"entra\", with the clients that \
                     may post), \"key\" or \"certificate\": whoever posts here has calls answered",
                );
            }
            controls_calls(at, route, known);
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
        RouteKind::CallApi(calls) => {
            controls_calls(at, route, known);
            passable(at, calls, known);
        }
        RouteKind::SessionApi(_) | RouteKind::Sessions(_) => {}
        RouteKind::Notify => gateway::notify(at, route, known),
        RouteKind::Tickets(_) => {}
        RouteKind::Page(_) => page::check(at, route),
        RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::Http(_)
        | RouteKind::Bot(_)
        | RouteKind::AcsMedia(_) => {
            let written = at.written;
            for (key, is_written) in [
                ("media", written.media.is_some()),
                ("callbacks", written.callbacks.is_some()),
            ] {
                if is_written {
                    let what = "has a use with kind = \"event-grid\" or \"call-api\" only";
                    at.add(key, what);
                }
            }
            of_kind(at, route);
            return;
        }
    }
    of_kind(at, route);
    useless(at, route);
}

/// What has a use with one kind of routes only.
fn of_kind(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let events = matches!(route.kind, RouteKind::EventGrid(_));
    let calls = matches!(route.kind, RouteKind::CallApi(_));
    for (key, kind, is_written) in [
        (
            "sip_header",
            "event-grid",
            !events && written.sip_header.is_some(),
        ),
        (
            "webhook_origins",
            "event-grid",
            !events && written.webhook_origins.is_some(),
        ),
        ("source", "call-api", !calls && written.source.is_some()),
        (
            "destinations",
            "call-api",
            !calls && written.destinations.is_some(),
        ),
        (
            "limits.calls_per_identity",
            "call-api",
            !calls && written.limits.calls_per_identity.is_some(),
        ),
    ] {
        if is_written {
            at.add(key, format!("has a use with kind = {kind:?} only"));
        }
    }
}

/// What it takes to answer and make calls.
fn controls_calls(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let kind = route.kind.word();
    let acs = known.file.acs.as_ref();
    if acs.is_none_or(|acs| acs.callbacks.is_none() || acs.media.is_none()) {
        at.add(
            "kind",
            format!(
                "{kind:?} needs [acs] with callbacks and media: what ACS is told when a call is \
                 answered or made"
            ),
        );
    }
    if known.file.calls.is_none() {
        at.add(
            "kind",
            format!("{kind:?} needs [calls], which signs media URLs"),
        );
    }
}

/// Whether a call that is made gets in where its media goes: it has a connection and whom it called,
/// who may dial a code, but no SIP headers.
fn passable(at: &mut At<'_>, calls: &CallApi, known: &Known<'_>) {
    let mut routes = known.file.routes.iter();
    let media = routes.find(|route| route.name == calls.media.as_str());
    let gate = media.and_then(|media| media.gate.as_ref());
    if gate.is_some_and(|gate| gate.flow.as_deref() == Some("sip-header")) {
        at.add(
            "media",
            format!(
                "calls on {} need the id of a SIP header, which a call that is made has not; its flow \
                 must be \"api\", \"open\", \"pstn\" or \"sip\"",
                calls.media
            ),
        );
    }
}

/// What would have no effect, or another one than meant.
fn useless(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let events = matches!(route.kind, RouteKind::EventGrid(_));
    let calls = matches!(route.kind, RouteKind::CallApi(_));
    // Scripts of pages may ask there.
    let page = matches!(route.kind, RouteKind::Page(_));
    let pages =
        page || calls || matches!(route.kind, RouteKind::Tickets(_) | RouteKind::Sessions(_));
    let place = |place: &Place| match place {
        Place::Header => true,
        Place::Query => events,
        // What a browser shows by itself when a page is opened.
        Place::Cookie => page,
        Place::Subprotocol => false,
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
        ("origins", !pages && !route.origins.is_empty()),
        ("without_origin", !pages && !route.without_origin),
        ("cookie", !page && written.cookie.is_some()),
        ("dtmf", route.dtmf != Dtmf::Off),
        ("dial_early", route.dial_early),
        ("refuse", route.refuse == Refuse::Close),
        ("limits.sessions", limits.sessions.is_some()),
        ("limits.idle", limits.idle.is_some()),
        ("limits.session", limits.session.is_some()),
        ("limits.upstream_message", limits.upstream_message.is_some()),
        ("media", !events && !calls && written.media.is_some()),
        (
            "callbacks",
            !events && !calls && written.callbacks.is_some(),
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
    if !page && route.enter.ways().contains(&Way::Anyone) {
        at.add("admit", "\"anyone\" may not post here");
    }
}

#[cfg(test)]
mod tests {
    use super::CALLS_PER_IDENTITY;
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
        [[routes]]
        name = "calls"
        paths = ["/api/call"]
        kind = "call-api"
        admit = ["users", "key"]
        source = "+15550001111"
        destinations = ["+1555", "+4930"]
        origins = ["https://app.example.com"]
        #calls
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

    #[test]
    fn a14_calls_are_made_from_one_number_to_those_that_are_listed() {
        let settings = read("#calls", "limits = { calls_per_identity = \"3/h\" }").unwrap();
        let RouteKind::CallApi(calls) = &settings.live.routes[3].kind else {
            panic!("another kind");
        };
        assert_eq!(calls.media.as_str(), "phone");
        assert_eq!(calls.callbacks.as_str(), "callbacks");
        assert_eq!(calls.source.expose(), "+15550001111");
        let rate = calls.calls_per_identity;
        assert_eq!((rate.count, rate.per.as_secs()), (3, 3600));
        let told = settings.describe();
        let line = "calls are made from +15550001111 to +1555 or +4930: media to phone, callbacks to \
                    callbacks; calls per identity 3 in 1h";
        assert!(told.contains(line), "{told}");
        let usual = read("#calls", "").unwrap();
        let RouteKind::CallApi(calls) = &usual.live.routes[3].kind else {
            panic!("another kind");
        };
        assert_eq!(calls.calls_per_identity, CALLS_PER_IDENTITY);
        // Everywhere must be written out, and every flow that a made call can pass will do.
        assert!(read("[\"+1555\", \"+4930\"]", "[\"+\"]").is_ok());
        for flow in ["flow = \"api\"", "flow = \"pstn\", digits = 6"] {
            assert!(read("flow = \"open\"", flow).is_ok(), "{flow}");
        }
    }

    /// What is written instead, and where that is told.
    const WRONG: [(&str, &str, &str); 43] = [
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
        ("[\"users\", \"key\"]", "[\"anyone\"]", "routes.calls.admit"),
        ("[\"users\", \"key\"]", "[\"phone\"]", "routes.calls.admit"),
        ("[\"users\", \"key\"]", "[\"grid\"]", "routes.calls.admit"),
        ("[\"users\", \"key\"]", "[\"call\"]", "routes.calls.admit"),
        // Without a hop in front its word is the client's own.
        (
            "[\"users\", \"key\"]",
            "[\"easyauth\"]",
            "routes.calls.admit",
        ),
        ("source = \"+15550001111\"", "", "routes.calls.source"),
        ("+15550001111", "15550001111", "routes.calls.source"),
        ("+15550001111", "+1 555 000 1111", "routes.calls.source"),
        (
            "destinations = [\"+1555\", \"+4930\"]",
            "",
            "routes.calls.destinations",
        ),
        ("[\"+1555\", \"+4930\"]", "[]", "routes.calls.destinations"),
        (
            "[\"+1555\", \"+4930\"]",
            "[\"\"]",
            "routes.calls.destinations",
        ),
        (
            "[\"+1555\", \"+4930\"]",
            "[\"*\"]",
            "routes.calls.destinations",
        ),
        (
            "[\"+1555\", \"+4930\"]",
            "[\"1555\"]",
            "routes.calls.destinations",
        ),
        (
            "[\"+1555\", \"+4930\"]",
            "[\"+1\", \"+1\"]",
            "routes.calls.destinations",
        ),
        ("#calls", "media = \"events\"", "routes.calls.media"),
        ("#calls", "callbacks = \"phone\"", "routes.calls.callbacks"),
        (
            "flow = \"open\"",
            "flow = \"sip-header\"",
            "routes.calls.media",
        ),
        (
            "media = \"wss://edge.example.com\"",
            "",
            "routes.calls.kind",
        ),
        ("#calls", "sip_header = \"X\"", "routes.calls.sip_header"),
        ("#calls", "accept = [\"query\"]", "routes.calls.accept"),
        ("https://app.example.com", "*", "routes.calls.origins"),
        (
            "#events",
            "source = \"+15550001111\"",
            "routes.events.source",
        ),
        (
            "#callbacks",
            "destinations = [\"+\"]",
            "routes.callbacks.destinations",
        ),
        (
            "models = [\"gpt-realtime\"]",
            "models = [\"gpt-realtime\"]\nlimits = { calls_per_identity = \"1/s\" }",
            "routes.phone.limits.calls_per_identity",
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
