//! What relay routes have of their own, and what of Voice Live they have not.

use super::route::{At, Known};
use super::upstream::{is_credential, is_fixed};
use crate::config::{Kind, Parameter, Route, Service};
use crate::label::Label;

/// Parameters that mean something to the edge itself.
const KNOWN: [&str; 5] = [
    "model",
    "deployment",
    "api-version",
    "apiVersion",
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
        if KNOWN.contains(&name.as_str()) {
            let what = format!("{name} is judged by models or api_versions");
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
        if kind != route.kind {
            let what = format!(
                "{} is of kind {:?}, the route is not",
                upstream.name,
                kind.word()
            );
            at.add("upstreams", what);
        }
        if let Service::Relay(target) = &upstream.service {
            let names = route.parameters.iter().map(|parameter| &parameter.name);
            let model = (!route.models.is_empty()).then_some(&target.model_parameter);
            for name in names.chain(model).filter(|name| is_fixed(target, name)) {
                let what = format!("{name} is fixed in the url of {}", upstream.name);
                at.add("parameters", what);
            }
            let clash = route.parameters.iter().any(|parameter| {
                parameter.name == target.model_parameter && !route.models.is_empty()
            });
            if clash {
                at.add("parameters", "names the parameter of the model");
            }
        }
    }
    match route.kind {
        Kind::VoiceLive if !route.parameters.is_empty() => {
            at.add("parameters", "has a use with kind = \"relay\" only");
        }
        Kind::VoiceLive => {}
        Kind::Relay => of_voice_live(at, route),
    }
}

fn of_voice_live(at: &mut At<'_>, route: &Route) {
    let written = [
        ("agents", !route.agents.is_empty()),
        ("projects", !route.projects.is_empty()),
        ("pass", !route.pass.is_empty()),
        ("identities", !route.identities.is_empty()),
        ("resources", !route.resources.is_empty()),
        ("web_rtc", route.web_rtc),
    ];
    for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
        at.add(key, "has a use with kind = \"voice-live\" only");
    }
    if route.lock_models && route.models.is_empty() {
        at.add("lock_models", "has no use without models");
    }
}
