//! `/upstreams`: who is dialled, and what came of it lately.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Response;
use serde_json::{Value, json};

use super::answer::{Body, ok, time};
use crate::listener::doors::Doors;
use crate::upstream::Upstream;

pub(super) fn answer(doors: &Doors) -> Response<Body> {
    let all = doors.routes.iter();
    let all = all.flat_map(|open| open.upstreams.iter().map(move |it| (it, &open.route.name)));
    let mut by_name: BTreeMap<&str, (&Arc<Upstream>, Vec<&str>)> = BTreeMap::new();
    for (upstream, route) in all {
        let (_, routes) = by_name
            .entry(upstream.name().as_str())
            .or_insert_with(|| (upstream, Vec::new()));
        routes.push(route.as_str());
    }
    let told = by_name
        .into_values()
        .map(|(upstream, routes)| told(doors, upstream, &routes));
    let told: Vec<Value> = told.collect();
    ok(&json!({"upstreams": told}))
}

fn told(doors: &Doors, upstream: &Upstream, routes: &[&str]) -> Value {
    let dials = upstream.dials();
    let ok = dials
        .ok
        .map(|(at, took)| json!({"at": time(at), "ms": milliseconds(took)}));
    let failed = dials.failed.map(|(at, failure)| {
        json!({
            "at": time(at),
            "reason": failure.reason.word(),
            "detail": failure.detail,
            "status": failure.status.map(|status| status.as_u16()),
        })
    });
    let identity = upstream.identity().map(|identity| {
        let state = identity.standing();
        json!({
            "token": state.lasts.is_some(),
            "ends": state.lasts.map(|lasts| time(SystemTime::now() + lasts)),
            "failures": state.failures,
        })
    });
    let pacing = doors.dialler.pacing(upstream.name()).map(|pacing| {
        json!({
            "connects": pacing.connects.count,
            "per_s": pacing.connects.per.as_secs_f64(),
            "taken_here": pacing.taken,
            "queue": pacing.queue,
            "queue_max": pacing.queue_max,
            "throttled_s": pacing.shut.map(|left| left.as_secs_f64()),
        })
    });
    json!({
        "name": upstream.name().as_str(),
        "kind": upstream.kind(),
        "address": upstream.address(),
        "routes": routes,
        "last_dial": match dials.last_failed {
            None => Value::Null,
            Some(true) => json!("failed"),
            Some(false) => json!("ok"),
        },
        "dials": dials.total,
        "failures": dials.failures,
        "last_ok": ok,
        "last_failure": failed,
        "identity": identity,
        "pacing": pacing,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
