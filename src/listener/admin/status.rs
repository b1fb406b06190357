//! What the edge is and how it stands: words for probes, the page of metrics, and both in JSON.

use std::time::{Instant, SystemTime};

use http::{Response, StatusCode};
use serde_json::json;

use super::Admin;
use super::answer::{Body, ok, text, time};
use crate::listener::doors::Doors;

const TEXT: &str = "text/plain; charset=utf-8";

/// `/healthz`
pub(super) fn health() -> Response<Body> {
    text(StatusCode::OK, TEXT, "ok\n".to_owned())
}

/// `/readyz`
pub(super) fn ready(doors: &Doors) -> Response<Body> {
    let not_ready = doors.not_ready();
    let status = match not_ready {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::OK,
    };
    text(status, TEXT, format!("{}\n", not_ready.unwrap_or("ready")))
}

/// `/metrics`
pub(super) fn metrics(doors: &Doors) -> Response<Body> {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    text(StatusCode::OK, kind, doors.metrics.render())
}

/// `/status`
pub(super) fn status(admin: &Admin, doors: &Doors) -> Response<Body> {
    let not_ready = doors.not_ready();
    let uptime = SystemTime::now().duration_since(admin.since);
    let revocations = doors.orders.revocations();
    let age = revocations.age(Instant::now());
    ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "since": time(admin.since),
        "uptime_s": uptime.unwrap_or_default().as_secs(),
        "ready": not_ready.is_none(),
        "not_ready": not_ready,
        "generation": doors.generation.number,
        "settings_since": time(doors.generation.loaded),
        "stage": doors.drain.stage().word(),
        "drain_left_s": doors.drain.left().map(|left| left.as_secs_f64().ceil() as u64),
        "sessions": doors.registry.len(),
        "sessions_max": doors.limits.sessions,
        "connections": admin.connections.taken(),
        "connections_max": doors.limits.connections,
        "store": {"engine": doors.store.engine(), "up": doors.store.is_up()},
        "revocations": {
            "in_force": revocations.list().len(),
            "age_s": age.map(|age| age.as_secs_f64()),
        },
        "insecure_dev": doors.insecure_dev,
    }))
}

/// `/settings`: as `tonegate check` shows them.
pub(super) fn settings(doors: &Doors) -> Response<Body> {
    let settings = &doors.generation.settings;
    let text = settings.describe();
    let lines: Vec<&str> = text.lines().collect();
    ok(&json!({
        "generation": doors.generation.number,
        "settings": lines,
        "notices": settings.notices,
    }))
}
