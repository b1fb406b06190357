//! What routes have of their own that lead to private applications.

use std::sync::Arc;

use http::Method;

use super::inward;
use super::route::{At, Known};
use crate::config::{BotRoute, Dtmf, Http, IssuerKind, Place, Refuse, Route, RouteKind, Way};

/// What applications are asked with, where nothing else is said.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
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
    let rewrite = inward::rewrite(at);
    let names = inward::names(at, &rewrite);
    if names.is_some() && written.scope != Some(true) {
        at.add(
            "about",
            "needs scope = true: it is compared with whom the caller may see",
        );
    }
    RouteKind::Http(Arc::new(Http {
        methods,
        names,
        rewrite,
        pii: inward::pii(at),
        web_socket: written.web_socket.unwrap_or(false),
        scope: written.scope.unwrap_or(false),
        assert: written.assert.clone(),
    }))
}

/// A route of a bot; what is wrong with it is told.
pub(super) fn bot(at: &mut At<'_>) -> RouteKind {
    let written = at.written;
    RouteKind::Bot(Arc::new(BotRoute {
        pass: inward::pass(at),
        pii: inward::pii(at),
        assert: written.assert.clone(),
        scope: written.scope.unwrap_or(false),
        refusal: written.refusal.clone(),
    }))
}

/// What has no use, and who may enter.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = at.written;
    let (http, bot) = (route.kind.http(), route.kind.bot());
    for (key, is_written, fits, kinds) in [
        (
            "methods",
            written.methods.is_some(),
            http.is_some(),
            "\"http\"",
        ),
        (
            "web_socket",
            written.web_socket.is_some(),
            http.is_some(),
            "\"http\"",
        ),
        (
            "refusal",
            written.refusal.is_some(),
            bot.is_some(),
            "\"bot\"",
        ),
        (
            "identity",
            !written.identity.is_empty(),
            http.is_some(),
            "\"http\"",
        ),
        ("about", written.about.is_some(), http.is_some(), "\"http\""),
        (
            "pii",
            written.pii.is_some(),
            http.is_some() || bot.is_some(),
            "\"http\" or \"bot\"",
        ),
        (
            "pass_headers",
            !written.pass_headers.is_empty(),
            http.is_some() || bot.is_some(),
            "\"http\" or \"bot\"",
        ),
        (
            "scope",
            written.scope.is_some(),
            http.is_some() || bot.is_some(),
            "\"http\" or \"bot\"",
        ),
        (
            "assert",
            written.assert.is_some(),
            http.is_some() || bot.is_some(),
            "\"http\" or \"bot\"",
        ),
    ] {
        if is_written && !fits {
            at.add(key, format!("has a use with kind = {kinds} only"));
        }
    }
    if http.is_none() && bot.is_none() {
        return;
    }
    let audience = written.assert.as_deref();
    if audience.is_some_and(|audience| !(1..=256).contains(&audience.len())) {
        let what = "must be whom the assertion is for, such as \"api://my-app\"";
        at.add("assert", what);
    }
    if audience.is_some() && known.file.assertion.is_none() {
        at.add("assert", "needs [assertion], which says with what to sign");
    }
    if written.scope == Some(true) && known.file.roles.is_none() {
        at.add("scope", "needs [roles], which says whom somebody may see");
    }
    if written.refusal.is_some() && known.file.bot.is_none() {
        at.add(
            "refusal",
            "needs [bot], which says how conversations are answered",
        );
    }
    issuers(at, route, known);
    useless(at, route);
}

/// Tokens of an application's callers name people; those of a bot are the connector's.
fn issuers(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let of_bot = route.kind.bot().is_some();
    let ways = route.enter.ways();
    let signs_for_bots = |way: &Way| {
        let Way::Issuer(name) = way else { return None };
        let issuer = known.issuers.iter().find(|issuer| issuer.name == *name)?;
        Some(match issuer.kind {
            IssuerKind::Bot { .. } | IssuerKind::BotTenant { .. } => true,
            IssuerKind::Entra { .. }
            | IssuerKind::Oidc { .. }
            | IssuerKind::Acs { .. }
            | IssuerKind::EventGrid { .. } => false,
        })
    };
    // What is wrong with an issuer that is unknown has been told.
    let fits = |way: &Way| match way {
        Way::Issuer(_) => signs_for_bots(way) != Some(false),
        Way::Key | Way::Certificate | Way::EasyAuth | Way::Call | Way::Anyone => false,
    };
    if of_bot && !ways.iter().all(fits) {
        at.add(
            "admit",
            "must name an issuer of kind \"bot\": nobody else may say who speaks to the bot",
        );
    }
}

/// What would have no effect, or another one than meant.
fn useless(at: &mut At<'_>, route: &Route) {
    let written = at.written;
    let web_socket = route.kind.http().is_some_and(|http| http.web_socket);
    let bot = route.kind.bot().is_some();
    let places = route.accept.iter().all(|place| *place == Place::Header);
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
        ("refuse", route.refuse == Refuse::Close && !web_socket),
        (
            "subprotocols",
            written.subprotocols.is_some() && !web_socket,
        ),
        ("accept", bot && !places),
        ("origins", bot && !route.origins.is_empty()),
        ("cookie", bot && written.cookie.is_some()),
    ] {
        if is_useless {
            let kind = route.kind.word();
            at.add(key, format!("has no use with kind = {kind:?}"));
        }
    }
}
