//! Answers of the operator's listener, and what is read of a request's body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use serde_json::{Value, json};

use crate::listener::pulse::Pulse;

/// Lines as they come.
pub(super) type Lines = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of an answer.
pub(super) enum Body {
    Whole(Full<Bytes>),
    /// The pulse says whether its client still takes it.
    Lines(Lines, Pulse),
}

impl Body {
    pub(super) fn pulse(&self) -> Option<Pulse> {
        match self {
            Body::Whole(_) => None,
            Body::Lines(_, pulse) => Some(pulse.clone()),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Body::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Body::Lines(lines, pulse) => {
                pulse.beat();
                let line = lines.as_mut().poll_next(cx);
                line.map(|line| line.map(|line| Ok(Frame::data(line))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(whole) if whole.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(whole) => whole.size_hint(),
            Body::Lines(..) => SizeHint::default(),
        }
    }
}

pub(super) fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    respond(status, kind, Body::Whole(Full::from(text)))
}

pub(super) fn document(status: StatusCode, document: &Value) -> Response<Body> {
    text(status, "application/json", format!("{document}\n"))
}

pub(super) fn ok(told: &Value) -> Response<Body> {
    document(StatusCode::OK, told)
}

/// What went wrong, in a sentence.
pub(super) fn wrong(status: StatusCode, detail: impl Into<String>) -> Response<Body> {
    document(status, &json!({"detail": detail.into()}))
}

/// Another method is to be used.
pub(super) fn not_so(methods: &'static str) -> Response<Body> {
    let first = methods.split(',').next().unwrap_or(methods);
    let mut response = wrong(StatusCode::METHOD_NOT_ALLOWED, format!("use {first}"));
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

/// The body of a request that changes something, if it is JSON of `most` bytes: a page in an operator's
/// browser could post anything else without being asked for leave first.
pub(super) async fn read(
    head: &request::Parts,
    body: Incoming,
    most: usize,
) -> Result<Bytes, Box<Response<Body>>> {
    let wrong = |status, text: String| Err(Box::new(wrong(status, text)));
    if !is_json(&head.headers) {
        let text = "the body must be application/json".to_owned();
        return wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => {
            let text = format!("the body has more than {most} bytes, or was cut");
            wrong(StatusCode::PAYLOAD_TOO_LARGE, text)
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// As JSON has it, in UTC.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
