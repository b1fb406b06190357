//! Whether a head is one that a route takes, as far as that can be told without knowing who asks.

use http::{Method, StatusCode, header, request};

use crate::config::{Limits, Route, RouteKind};
use crate::error::Reason;
use crate::listener::refusal::Refusal;

/// How bodies may say what they are.
const TYPES: [&str; 3] = [
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
];

/// Whether the head is one that the route takes, as far as that can be told without knowing who asks.
pub(in crate::listener) fn judge(
    route: &Route,
    limits: Limits,
    head: &request::Parts,
) -> Result<(), Refusal> {
    let allow = methods(route, head.uri.path());
    let asks = allow.split(", ").any(|method| head.method == method);
    if !asks {
        return Err(Refusal {
            allow: allow.into(),
            ..Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, "the method is not for here")
        });
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    // What has a session last longer is the request's own credential.
    let without = matches!(route.kind, RouteKind::Sessions(_));
    let has_body = !without && (head.method == Method::POST || head.method == Method::PUT);
    if !has_body {
        let none = length.is_none_or(|length| length == "0");
        let none = none && !head.headers.contains_key(header::TRANSFER_ENCODING);
        let detail = "this method has no body here";
        return if none {
            Ok(())
        } else {
            Err(Refusal::new(Reason::BadRequest, detail))
        };
    }
    let Some(length) = length else {
        return Err(Refusal::with_status(
            StatusCode::LENGTH_REQUIRED,
            "the body needs a Content-Length",
        ));
    };
    let length = length
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if length.is_none_or(|length: u64| length > route.limits.over(limits).client_message) {
        let detail = "the body exceeds the limit";
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    let said = match (types.next(), types.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    };
    let said = said.and_then(|said| said.split(';').next()).map(str::trim);
    let types = match route.kind {
        RouteKind::CallApi(_)
        | RouteKind::SessionApi(_)
        | RouteKind::Notify
        | RouteKind::Tickets(_)
        | RouteKind::Sessions(_)
        | RouteKind::Page(_) => &TYPES[..1],
        RouteKind::EventGrid(_)
        | RouteKind::AcsCallback
        | RouteKind::Http(_)
        | RouteKind::Bot(_)
        | RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_) => &TYPES[..],
    };
    let known = said.is_some_and(|said| types.iter().any(|known| said.eq_ignore_ascii_case(known)));
    if !known || head.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, as it is",
        ));
    }
    Ok(())
}

/// What may be asked, in the words of `Allow`.
pub(super) fn methods(route: &Route, path: &str) -> &'static str {
    let item = route.item(path).is_some();
    let pages = !route.origins.is_empty();
    match (&route.kind, item) {
        (RouteKind::EventGrid(_), _) => "POST, OPTIONS",
        (RouteKind::CallApi(_), false) if pages => "POST, OPTIONS",
        (RouteKind::CallApi(_), true) if pages => "GET, DELETE, OPTIONS",
        (RouteKind::CallApi(_), false) => "POST",
        (RouteKind::Tickets(_), _) if pages => "POST, OPTIONS",
        (RouteKind::Tickets(_), _) => "POST",
        (RouteKind::CallApi(_), true) => "GET, DELETE",
        (RouteKind::SessionApi(_), true) => "PUT, GET, DELETE",
        (RouteKind::Sessions(_), _) => match (route.refreshed(path), item, pages) {
            (Some(_), _, true) => "POST, OPTIONS",
            (Some(_), _, false) => "POST",
            _ if route.tailed(path).is_some() => match pages {
                true => "GET, OPTIONS",
                false => "GET",
            },
            (None, true, true) => "GET, DELETE, OPTIONS",
            (None, true, false) => "GET, DELETE",
            (None, false, true) => "GET, OPTIONS",
            (None, false, false) => "GET",
        },
        (RouteKind::Page(_), _) => "GET, HEAD",
        // Nobody is told which there are.
        (RouteKind::SessionApi(_), false) => "",
        (
            RouteKind::AcsCallback
            | RouteKind::Http(_)
            | RouteKind::Bot(_)
            | RouteKind::Notify
            | RouteKind::VoiceLive
            | RouteKind::Relay
            | RouteKind::AcsMedia(_),
            _,
        ) => "POST",
    }
}
