//! What relay routes have of their own, and what of Voice Live they have not.

use super::route::{At, Known};
use super::upstream::{is_credential, is_fixed};
use crate::config::{ApiKey, Kind, Parameter, Route, RouteKind, Service, Way};
use crate::label::Label;

/// Parameters that mean something to the edge itself, on whatever route (`admission/query`).
const KNOWN: [&str; 18] = [
    "mode",
    "model",
    "deployment",
    "agentId",
    "agent-id",
    "agentName",
    "agent-name",
    "projectName",
    "agent-project-name",
    "conversationId",
    "conversation-id",
    "agentVersion",
    "agent-version",
    "agentAuthenticationIdentityClientId",
    "agent-authentication-identity-client-id",
    "foundryResourceOverride",
    "foundry-resource-override",
    "transport",
];

pub(super) fn parameters(at: &mut At<'_>) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (name, values) in &at.written.parameters {
        let Some(label) = Label::new(name) else {
            let what = format!("{name:?} must be 1 to 64 characters of a-z A-Z 0-9 . _ -");
            at.add("parameters", what);
            continue;
        };
        if is_credential(name) {
            let what = format!("{name} carries a secret; credentials go in headers");
            at.add("parameters", what);
        }
        let version = ["apiVersion", "api-version"].contains(&name.as_str());
        if version || KNOWN.contains(&name.as_str()) {
            let what = format!("{name} means something to the edge itself and goes no further");
            at.add("parameters", what);
        }
        let values = at.labels("parameters", values);
        parameters.push(Parameter {
            name: label,
            values,
        });
    }
    parameters
}

/// Route and upstreams must be of one kind, and nothing may be set that has no effect.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let upstreams = known.upstreams.iter();
    for upstream in upstreams.filter(|upstream| route.upstreams.contains(&upstream.name)) {
        let kind = upstream.service.kind();
        if route.kind.upstream().is_some_and(|wanted| kind != wanted) {
            let what = match route.kind {
                RouteKind::VoiceLive
                | RouteKind::Relay
                | RouteKind::Http(_)
                | RouteKind::Bot(_) => format!(
                    "{} is of kind {:?}, the route is not",
                    upstream.name,
                    kind.word()
                ),
                RouteKind::AcsMedia(_)
                | RouteKind::EventGrid(_)
                | RouteKind::AcsCallback
                | RouteKind::CallApi(_)
                | RouteKind::Notify
                | RouteKind::Tickets(_)
                | RouteKind::Sessions(_)
                | RouteKind::Page(_)
                | RouteKind::SessionApi(_) => "must all be of kind \"voice-live\", or all of kind \
                     \"relay\""
                    .to_owned(),
            };
            at.add("upstreams", what);
        }
        if let Service::Relay(target) = &upstream.service {
            let names = route
                .parameters
                .iter()
                .map(|parameter| parameter.name.as_str());
            for name in names.filter(|name| is_fixed(target, name)) {
                let what = format!("{name} is fixed in the url of {}", upstream.name);
                at.add("parameters", what);
            }
            let versioned = target.api_version.is_some() || !route.api_versions.is_empty();
            for (key, name, is_set) in [
                (
                    "models",
                    target.model_parameter.as_str(),
                    !route.models.is_empty(),
                ),
                ("api_versions", "api-version", versioned),
            ] {
                if is_set && is_fixed(target, name) {
                    let what = format!("{name} is fixed in the url of {}", upstream.name);
                    at.add(key, what);
                }
            }
            let clash = route.parameters.iter().any(|parameter| {
                parameter.name == target.model_parameter && !route.models.is_empty()
            });
            if clash {
                at.add("parameters", "names the parameter of the model");
            }
        }
    }
    match route.kind.upstream() {
        Some(Kind::VoiceLive) if !route.parameters.is_empty() => {
            at.add(
                "parameters",
                "has a use with upstreams of kind \"relay\" only",
            );
        }
        Some(Kind::VoiceLive | Kind::Http) | None => {}
        Some(Kind::Relay) => of_voice_live(at, route, known),
    }
}

fn of_voice_live(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    let written = [
        ("agents", !route.agents.is_empty()),
        ("projects", !route.projects.is_empty()),
        ("pass", !route.pass.is_empty()),
        ("identities", !route.identities.is_empty()),
        ("resources", !route.resources.is_empty()),
        ("web_rtc", route.web_rtc),
    ];
    for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
        at.add(key, "has a use with upstreams of kind \"voice-live\" only");
    }
    // Whoever may ask for some models only could ask for any where none are told apart.
    let bound = |key: &&ApiKey| {
        let opens = key.routes.is_empty() || key.routes.contains(&route.name);
        opens && !key.models.is_empty()
    };
    if route.models.is_empty()
        && route.enter.ways().contains(&Way::Key)
        && let Some(key) = known.keys.iter().find(bound)
    {
        let what = format!("missing; the key {} may ask for some models only", key.name);
        at.add("models", what);
    }
    if route.lock_models && route.models.is_empty() {
        at.add("lock_models", "has no use without models");
    }
}
