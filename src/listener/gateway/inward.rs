//! What of a client's request goes on: what it asks for and in which form, and nothing that says who
//! it is. That the edge says.

use http::{HeaderMap, HeaderName, HeaderValue, header, request};

use crate::admission;
use crate::config::{Place, Route};
use crate::listener::http::Asked;

/// Headers that go on from any client.
const PASS: [HeaderName; 20] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CACHE_CONTROL,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
];

/// Headers for the application.
pub(super) fn headers(head: &request::Parts, pass: &[HeaderName], asked: Asked<'_>) -> HeaderMap {
    let mut inward = HeaderMap::new();
    for name in PASS.iter().chain(pass) {
        for value in head.headers.get_all(name) {
            inward.append(name.clone(), value.clone());
        }
    }
    // Whoever is behind the edge has no other way to know.
    let client = asked.peer.ip.to_canonical().to_string();
    let told = [
        ("x-forwarded-for", HeaderValue::try_from(client).ok()),
        ("x-forwarded-proto", Some(HeaderValue::from_static("https"))),
        ("x-forwarded-host", head.headers.get(header::HOST).cloned()),
    ];
    for (name, value) in told {
        inward.extend(value.map(|value| (HeaderName::from_static(name), value)));
    }
    inward
}

/// Path and query for the application, without the credentials that the edge took out of the query.
pub(in crate::listener) fn target(head: &request::Parts, route: &Route) -> String {
    let path = head.uri.path();
    let Some(query) = head.uri.query() else {
        return path.to_owned();
    };
    if !route.accept.contains(&Place::Query) {
        return format!("{path}?{query}");
    }
    let left = query
        .split('&')
        .filter(|pair| !admission::is_credential(pair));
    let left: Vec<_> = left.collect();
    match left.as_slice() {
        [] => path.to_owned(),
        left => format!("{path}?{}", left.join("&")),
    }
}
