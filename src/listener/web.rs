//! Requests that are no upgrades: a method, a body within its bounds, admission as for any other, and an
//! answer. What the bodies mean `telephony` knows.
//!
//! A body is read after the admission only, and only with a length: hyper gets so many bytes behind
//! the head and no more, so nothing that follows can be taken for a second request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::head::Read;
use super::http::{Asked, Doors, Open};
use super::refusal::Refusal;
use super::stranger::Stranger;
use super::upgrade::count_behind_hop;
use crate::admission::{self, Now, Told};
use crate::config::{Limits, Route, RouteKind};
use crate::error::Reason;
use crate::ids::CallId;
use crate::telephony::{CallbackRoute, EventRoute, Reply, preflight};

/// A body must be whole by then, and in no more time than a head may take. Event Grid waits for 30 s
/// for its answer.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// How bodies may say what they are.
const TYPES: [&str; 3] = [
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
];

/// Who answers the requests of a route.
pub enum Web {
    Events(Arc<EventRoute>),
    Callbacks(Arc<CallbackRoute>),
}

/// The body that hyper is to be given: as long as it says, on a route that takes one, within its
/// bound. Of one that is longer nothing is read.
pub(super) fn body(doors: &Doors, read: &Read) -> usize {
    let open = doors.paths.find(read.path()).map(|at| &doors.routes[at]);
    let takes = open.filter(|open| open.route.kind.is_answered());
    let length = takes.zip(read.body()).filter(|(open, length)| {
        let most = open.route.limits.over(doors.limits).client_message;
        *length <= most
    });
    length.map_or(0, |(_, length)| usize::try_from(length).unwrap_or(0))
}

/// Whether the head is one that the route takes, as far as that can be told without knowing who asks.
pub(super) fn judge(route: &Route, limits: Limits, head: &request::Parts) -> Result<(), Refusal> {
    let allow = match route.kind {
        RouteKind::EventGrid(_) => "POST, OPTIONS",
        RouteKind::AcsCallback
        | RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_) => "POST",
    };
    let asks = allow.split(", ").any(|method| head.method == method);
    if !asks {
        return Err(Refusal {
            allow,
            ..Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, "the method is not for here")
        });
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    if head.method == Method::OPTIONS {
        let none = length.is_none_or(|length| length == "0");
        let none = none && !head.headers.contains_key(header::TRANSFER_ENCODING);
        let detail = "OPTIONS has no body here";
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
    let known = said.is_some_and(|said| TYPES.iter().any(|known| said.eq_ignore_ascii_case(known)));
    if !known || head.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, as it is",
        ));
    }
    Ok(())
}

/// Answers a request on a route of the edge's own.
pub(super) async fn answer(
    doors: &Doors,
    open: &Open,
    asked: Asked,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let (head, body) = request.into_parts();
    judge(&open.route, doors.limits, &head)?;
    count_behind_hop(doors, asked, stranger)?;
    let answered = tokio::select! {
        biased;
        () = doors.stop.cancelled() => Err(Refusal::new(Reason::Draining, "try another instance")),
        answered = admitted(doors, open, asked, stranger, (&head, body)) => answered,
    }?;
    open.metrics.admitted.increment(1);
    Ok(answered)
}

async fn admitted(
    doors: &Doors,
    open: &Open,
    asked: Asked,
    stranger: &Stranger,
    (head, body): (&request::Parts, Incoming),
) -> Result<Response<Full<Bytes>>, Refusal> {
    let wanted = admission::Request {
        route: &open.route,
        head,
        peer: asked.peer.ip,
        by_hop: asked.by_hop,
        now: Now::read(),
    };
    if let (&Method::OPTIONS, RouteKind::EventGrid(events)) = (&head.method, &open.route.kind) {
        // Leave to ask comes before any credential, and lets nobody in.
        doors.admission.glance(wanted)?;
        let allowed = preflight(&events.webhook_origins, &head.headers)?;
        let mut response = Response::new(Full::default());
        response.headers_mut().extend(allowed);
        return Ok(response);
    }
    let grant = doors.admission.decide(wanted, &mut Told::nobody()).await?;
    stranger.admitted();
    open.metrics
        .dropped_parameters
        .increment(grant.dropped_parameters());
    let _place = doors.telephony.place()?;
    let most = open.route.limits.over(doors.limits).client_message;
    let body = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX));
    let wait = BODY_WAIT.min(doors.limits.handshake);
    let body = match timeout(wait, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(Refusal::new(Reason::BadRequest, "the body was cut")),
        Err(_) => {
            let detail = "the body took too long";
            return Err(Refusal::with_status(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    let reply = match &open.web {
        Some(Web::Events(route)) => {
            let room = doors.sessions.available_permits() > 0;
            doors.telephony.take_events(route, &body, room).await?
        }
        Some(Web::Callbacks(route)) => {
            let id = head.uri.path().rsplit_once('/').map(|(_, id)| id);
            let call = id.and_then(CallId::new);
            // The route matched, so this is there.
            let call = call.ok_or(Refusal::new(Reason::NotFound, "the path names no call"))?;
            doors.telephony.hear(route, call, &body).await?
        }
        None => return Err(Refusal::new(Reason::Internal, "nobody answers here")),
    };
    Ok(match reply {
        Reply::Done => Response::new(Full::default()),
        Reply::Validated(code) => {
            let body = serde_json::json!({ "validationResponse": code.expose() });
            let mut response = Response::new(Full::from(body.to_string()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
    })
}
