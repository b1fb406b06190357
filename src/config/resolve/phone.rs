//! What routes of calls have of their own, and what of other routes they have not.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::gate::{flow, rates};
use super::route::{At, Known};
use crate::config::file;
use crate::config::{
    Bridge, Enter, IssuerKind, Kind, Phone, Place, Refuse, Route, RouteKind, VoiceSession, Way,
};

/// The kind of a route; what is wrong with it is told.
pub(super) fn kind(at: &mut At<'_>, known: &Known<'_>) -> Option<RouteKind> {
    let kind = match at.written.kind.as_deref() {
        Some("voice-live") => RouteKind::VoiceLive,
        Some("relay") => RouteKind::Relay,
        Some("acs-media") => return Some(RouteKind::AcsMedia(Arc::new(phone(at, known)))),
        Some(_) | None => {
            at.add("kind", "must be \"voice-live\", \"relay\" or \"acs-media\"");
            return None;
        }
    };
    let written = at.written;
    for (key, is_written) in [
        ("gate", written.gate.is_some()),
        ("session", written.session.is_some()),
        ("greet", written.greet.is_some()),
        ("mask_tones", written.mask_tones.is_some()),
    ] {
        if is_written {
            at.add(key, "has a use with kind = \"acs-media\" only");
        }
    }
    Some(kind)
}

fn phone(at: &mut At<'_>, known: &Known<'_>) -> Phone {
    let nothing = file::Gate::default();
    let written = at.written.gate.as_ref().unwrap_or(&nothing);
    let flow = flow(at, written);
    let (per_ani, per_route) = rates(&flow);
    Phone {
        flow,
        bridge: bridge(at, known),
        attempts_per_ani: written.attempts_per_ani.or(per_ani),
        attempts_per_route: written.attempts_per_route.or(per_route),
    }
}

/// What is done with media follows from where it goes; upstreams of two kinds are refused with
/// those of all routes.
fn bridge(at: &mut At<'_>, known: &Known<'_>) -> Bridge {
    let written = at.written;
    let first = written.upstreams.iter().find_map(|name| {
        let mut all = known.upstreams.iter();
        all.find(|upstream| upstream.name.as_str() == name)
    });
    match first.map(|upstream| upstream.service.kind()) {
        Some(Kind::Relay) => {
            for (key, is_written) in [
                ("session", written.session.is_some()),
                ("greet", written.greet.is_some()),
                ("mask_tones", written.mask_tones.is_some()),
            ] {
                if is_written {
                    let what = "has a use with upstreams of kind \"voice-live\" only: to others \
                                the call goes on as it is";
                    at.add(key, what);
                }
            }
            Bridge::Verbatim
        }
        Some(Kind::VoiceLive) | None => Bridge::VoiceLive(VoiceSession {
            session: session(at, written),
            greet: written.greet.unwrap_or(false),
            mask_tones: written.mask_tones.unwrap_or(false),
        }),
    }
}

/// What follows from the call, or from the route's own lists, is not for the session to say.
const NOT_OF_SESSION: [(&str, &str); 5] = [
    ("input_audio_format", "follows from the call"),
    ("output_audio_format", "follows from the call"),
    ("input_audio_sampling_rate", "follows from the call"),
    ("audio", "follows from the call"),
    ("model", "is named by models"),
];

fn session(at: &mut At<'_>, written: &file::Route) -> Map<String, Value> {
    let mut session = Map::new();
    for (key, value) in written.session.iter().flatten() {
        let at_key = format!("session.{key}");
        if let Some((_, why)) = NOT_OF_SESSION.iter().find(|(name, _)| name == key) {
            at.add(&at_key, why);
            continue;
        }
        match json(value) {
            Some(value) => drop(session.insert(key.clone(), value)),
            None => at.add(&at_key, "holds a date or a number that JSON has not"),
        }
    }
    session
}

fn json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => Value::Number(serde_json::Number::from_f64(*number)?),
        toml::Value::Boolean(is) => (*is).into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(values) => values.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let member = |(key, value): (&String, _)| Some((key.clone(), json(value)?));
            Value::Object(table.iter().map(member).collect::<Option<_>>()?)
        }
    })
}

/// Whoever streams a call shows a token of ACS and the call's secret, both and nothing else.
pub(super) fn check(at: &mut At<'_>, route: &Route, known: &Known<'_>) {
    if route.kind.phone().is_none() {
        return;
    }
    let acs = |way: &Way| match way {
        Way::Issuer(name) => known
            .issuers
            .iter()
            .find(|issuer| issuer.name == *name)
            // What is wrong with it has been told.
            .is_none_or(|issuer| matches!(issuer.kind, IssuerKind::Acs { .. })),
        Way::Key | Way::EasyAuth | Way::Call | Way::Anyone => false,
    };
    let enough = match &route.enter {
        Enter::All(ways) => ways.len() == 2 && ways.contains(&Way::Call) && ways.iter().any(acs),
        Enter::Any(_) => false,
    };
    if !enough {
        at.add(
            "require",
            "must name an issuer of kind \"acs\" and \"call\", such as [\"phone\", \"call\"]: the \
             token says that ACS dials, the call's secret which call it is",
        );
    }
    if known.file.calls.is_none() {
        at.add("require", "\"call\" needs [calls], which signs media URLs");
    }
    let written = at.written;
    let useless = [
        (
            "accept",
            route.accept != [Place::Header],
            "ACS shows its token in Authorization only",
        ),
        ("cookie", written.cookie.is_some(), "ACS sends no cookie"),
        (
            "origins",
            !route.origins.is_empty(),
            "no web page streams a call",
        ),
        (
            "without_origin",
            !route.without_origin,
            "ACS sends no Origin",
        ),
        (
            "refuse",
            route.refuse == Refuse::Close,
            "ACS is told by status",
        ),
        (
            "lock_models",
            written.lock_models.is_some(),
            "no message of ACS names a model",
        ),
        (
            "subprotocols",
            written.subprotocols.is_some(),
            "ACS speaks none",
        ),
        ("web_rtc", route.web_rtc, "a call is no browser"),
        (
            "limits.sessions_per_identity",
            route.limits.sessions_per_identity.is_some(),
            "a call has one session, and a newer socket of it takes over",
        ),
    ];
    for (key, is_useless, why) in useless {
        if is_useless {
            at.add(
                key,
                format!("cannot be so with kind = \"acs-media\": {why}"),
            );
        }
    }
    if route
        .parameters
        .iter()
        .any(|parameter| parameter.name.as_str() == "s")
    {
        at.add(
            "parameters",
            "s holds the call's secret and goes no further",
        );
    }
}
