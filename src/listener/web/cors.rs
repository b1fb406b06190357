//! Requests of scripts on other web pages (CORS: WHATWG Fetch, "HTTP CORS protocol").
//!
//! Who may ask is decided by admission, by the route's list of origins, as for every other request.
//! Here browsers are told so: else a script could do nothing with an answer, a refusal included, and
//! would not be let ask at all. Nothing is said to pages that are not on the list, and no origin is
//! said back that is not.
//!
//! A preflight comes without a credential and lets nobody in. Credentials that a browser adds by
//! itself are allowed where the route admits by EasyAuth: there the cookie of the platform in front is
//! what a page has. Keys and tokens are headers that a script sets, and need no such leave.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::judge::methods;
use crate::config::{Route, Way};
use crate::error::Reason;
use crate::listener::refusal::Refusal;

/// What a script may set.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, api-key");
/// What it may read beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("location, retry-after");
/// Seconds that a browser may go by the answer: a list that becomes shorter holds soon.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The page that asks, if it is one that may.
pub(in crate::listener) fn page(route: &Route, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return None;
    };
    let mut listed = route.origins.iter();
    let known = listed.find(|known| known.as_bytes() == origin.as_bytes())?;
    HeaderValue::from_str(known).ok()
}

/// Tells the browser that the answer is for the page that asked.
pub(in crate::listener) fn mark<T>(
    route: &Route,
    page: Option<HeaderValue>,
    response: &mut Response<T>,
) {
    if route.origins.is_empty() {
        return;
    }
    let headers = response.headers_mut();
    // Also where no page asked: what is kept of it must not be shown to one that did.
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let Some(page) = page else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if route.enter.ways().contains(&Way::EasyAuth) {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// The leave that a browser asks for before a request to `path`. Which page it is for says [`mark`],
/// as with all answers.
pub(in crate::listener) fn preflight<T: Default>(
    route: &Route,
    path: &str,
    asked: &HeaderMap,
) -> Result<Response<T>, Refusal> {
    if !asked.contains_key(ORIGIN) || !asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        let detail = "OPTIONS is for browsers that ask whether a page may ask";
        return Err(Refusal::new(Reason::BadRequest, detail));
    }
    if page(route, asked).is_none() {
        let detail = "the origin is not allowed here";
        return Err(Refusal::new(Reason::Forbidden, detail));
    }
    let mut response = Response::new(T::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let allow = methods(route, path).trim_end_matches(", OPTIONS");
    let allow = HeaderValue::from_static(allow);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allow);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(response)
}
