//! What routes have of their own that lead to private applications.

use std::sync::Arc;

use http::{HeaderName, Method};

use super::route::{At, Known};
use crate::config::{Dtmf, Http, IssuerKind, Refuse, Route, RouteKind, Way};

/// What applications are asked with, where nothing else is said.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];
/// Headers that never go on: what the connection is about, who asks and how that is proven, and what
/// the edge writes itself.
const OWN: [&str; 20] = [
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "authorization",
    "api-key",
    "cookie",
    "proxy-authorization",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "origin",
    "via",
];
const OWN_PREFIXES: [&str; 5] = [
    "x-tonegate-",
    "x-ms-client-principal",
    "x-ms-token-",
    "sec-websocket-",
    "proxy-",
];

/// A route to a private application; what is wrong with it is told.
pub(super) fn http(at: &mut At<'_>) -> RouteKind {
    let written = at.written;
    let mut methods = Vec::new();
    for name in written.methods.iter().flatten() {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) if METHODS.contains(&method) => methods.push(method),
            Ok(_) | Err(_) => {
                let known: Vec<_> = METHODS.iter().map(Method::as_str).collect();
                let what = format!("{name:?} must be one of {}", known.join(", "));
                at.add("methods", what);
            }
        }
    }
    if written.methods.as_ref().is_some_and(Vec::is_empty) {
        at.add("methods", "must not be empty; leave it out for all");
    }
    if written.methods.is_none() {
        methods = METHODS.to_vec();
    }
    let mut pass = Vec::new();
    for name in &written.pass_headers {
        let lower = name.to_ascii_lowercase();
        let own = OWN.contains(&lower.as_str())
            || OWN_PREFIXES.iter().any(|start| lower.starts_with(start));
        match HeaderName::try_from(name) {
            _ if own => {
                let what =
                    format!("{name:?} goes no further: it is the edge's to read or to write");
                at.add("pass_headers", what);
            }
            Ok(name) => pass.push(name),
            Err(_) => at.add("pass_headers", format!("{name:?} is not a header")),
        }
    }
    RouteKind::Http(Arc::new(Http {
        methods,
        pass,
        web_socket: written.web_socket.unwrap_or(false),
    }))
}

/// What has no use, and who may enter.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = at.written;
    let RouteKind::Http(http) = &route.kind else {
        for (key, is_written) in [
            ("methods", written.methods.is_some()),
            ("pass_headers", !written.pass_headers.is_empty()),
            ("web_socket", written.web_socket.is_some()),
        ] {
            if is_written {
                at.add(key, "has a use with kind = \"http\" only");
            }
        }
        return;
    };
    for way in route.enter.ways() {
        let Way::Issuer(name) = way else { continue };
        let issuer = known.issuers.iter().find(|issuer| issuer.name == *name);
        let of_others = issuer.is_some_and(|issuer| match issuer.kind {
            IssuerKind::Acs { .. }
            | IssuerKind::EventGrid { .. }
            | IssuerKind::Bot { .. }
            | IssuerKind::BotTenant { .. } => true,
            IssuerKind::Entra { .. } | IssuerKind::Oidc { .. } => false,
        });
        if of_others {
            at.add("admit", format!("{name} signs for no person"));
        }
    }
    for (key, is_useless) in [
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
        ("web_rtc", route.web_rtc),
        ("dtmf", route.dtmf != Dtmf::Off),
        ("refuse", route.refuse == Refuse::Close && !http.web_socket),
        (
            "subprotocols",
            written.subprotocols.is_some() && !http.web_socket,
        ),
    ] {
        if is_useless {
            at.add(key, "has no use with kind = \"http\"");
        }
    }
}
