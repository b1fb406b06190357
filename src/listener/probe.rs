//! What anybody may ask without a credential: whether the edge serves.
//!
//! `/healthz` tells that the process serves, `/readyz` that it takes new sessions: that it is not
//! stopping, and that the store answers, where calls need it. `/health` and `/`
//! answer as those of the old Node proxy did, unless a route has their path. None of them takes a
//! session permit. The keys that the edge signs assertions with are published as its keys of a token
//! issuer would be.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use super::doors::Doors;
use crate::config::JWKS;

/// The answer, if the request is for one of these.
pub(super) fn answer<B>(doors: &Doors, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let not_ready = doors.not_ready();
    let status = match request.uri().path() {
        // Alive, whether or not it takes more.
        "/healthz" | "/" => StatusCode::OK,
        _ if not_ready.is_some() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let path = request.uri().path();
    let (kind, body) = match path {
        "/healthz" => (TEXT, "ok\n".to_owned()),
        "/readyz" => (TEXT, format!("{}\n", not_ready.unwrap_or("ready"))),
        // Whoever wants a WebSocket here has the wrong path.
        _ if request.headers().contains_key(header::UPGRADE) => return None,
        // Before any route: one that has all paths would have applications name the keys.
        JWKS if let Some(assertions) = &doors.assertions => {
            return Some(keys(assertions.jwks()));
        }
        _ if doors.paths.find(path).is_some() => return None,
        "/health" => (JSON, health(doors, not_ready)),
        "/" => {
            let name = json!({ "name": "tonegate", "status": "running", "health": "/health" });
            (JSON, name.to_string())
        }
        _ => return None,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// How long whoever verifies may keep them: keys that are new are published before they sign.
const JWKS_AGE: &str = "public, max-age=300";

fn keys(set: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(set));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/jwk-set+json");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(JWKS_AGE));
    response
}

/// Why an upgrade at one of these paths leads nowhere.
pub(super) fn why_not(path: &str) -> Option<&'static str> {
    let probe = matches!(path, "/healthz" | "/readyz" | "/health" | "/");
    probe.then_some("no route has this path: a probe of the edge, but not for an upgrade")
}

fn health(doors: &Doors, not_ready: Option<&str>) -> String {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    json!({
        "status": not_ready.unwrap_or("healthy"),
        "activeConnections": doors.registry.len(),
        "maxConnections": doors.limits.sessions,
        "timestamp": now.to_string(),
    })
    .to_string()
}
