//! Requests that are no upgrades: a method, a body within its bounds, admission as for any other, and an
//! answer. What the bodies mean `telephony` knows.
//!
//! A body is read after the admission only, and only with a length: hyper gets so many bytes behind
//! the head and no more, so nothing that follows can be taken for a second request.

mod caller;
pub(super) mod cors;
mod desk;
mod judge;
mod sessions;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use self::desk::Desk;
pub(super) use self::judge::judge;
use self::watch::Watch;

use super::access::{note_answer, note_refusal};
use super::body::Body;
use super::doors::{Asked, Doors, Open};
use super::head::Read;
use super::page::Page;
use super::refusal::{Refusal, problem};
use super::stranger::Stranger;
use super::upgrade::count_behind_hop;
use crate::admission::{self, Grant, Now};
use crate::config::{Live, Route, RouteKind, See};
use crate::error::Reason;
use crate::ids::CallId;
use crate::telephony::{
    self, CallRoute, CallbackRoute, EventRoute, Reply, SessionRoute, Whose, preflight,
};

/// A body must be whole by then, and in no more time than a head may take. Event Grid waits for 30 s
/// for its answer.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(10);

/// Who answers the requests of a route.
pub enum Web {
    Events(Arc<EventRoute>),
    Callbacks(Arc<CallbackRoute>),
    Calls(Arc<CallRoute>),
    Sessions(Arc<SessionRoute>),
    Tickets(Desk),
    /// Of sessions that run.
    Running(See),
    Page(Page),
}

impl Web {
    /// `None`: on this route sessions begin.
    pub fn of(route: &Route, live: &Live) -> Option<Web> {
        if let RouteKind::Sessions(see) = route.kind {
            return Some(Web::Running(see));
        }
        let events = telephony::event_route(route, live).map(|route| Web::Events(Arc::new(route)));
        let callbacks = || telephony::callback_route(route, live);
        let calls = || telephony::call_route(route, live);
        let sessions = || SessionRoute::of(route);
        events
            .or_else(|| callbacks().map(|route| Web::Callbacks(Arc::new(route))))
            .or_else(|| calls().map(|route| Web::Calls(Arc::new(route))))
            .or_else(|| sessions().map(|route| Web::Sessions(Arc::new(route))))
            .or_else(|| Desk::of(route).map(Web::Tickets))
            .or_else(|| Page::of(route, live).map(Web::Page))
    }

    fn whose(&self) -> Whose {
        match self {
            Web::Events(_) | Web::Callbacks(_) => Whose::Platform,
            Web::Calls(_) | Web::Sessions(_) | Web::Tickets(_) | Web::Running(_) | Web::Page(_) => {
                Whose::Asker
            }
        }
    }
}

/// The body that hyper is to be given: as long as it says, on a route that takes one, within its
/// bound. Of one that is longer nothing is read.
pub(super) fn body(doors: &Doors, read: &Read) -> usize {
    let open = doors.paths.find(read.path()).map(|at| &doors.routes[at]);
    let takes = open.filter(|open| open.route.kind.has_bodies());
    let length = takes.zip(read.body()).filter(|(open, length)| {
        let most = open.route.limits.over(doors.limits).client_message;
        *length <= most
    });
    length.map_or(0, |(_, length)| usize::try_from(length).unwrap_or(0))
}

/// The answer to a request, or why there is none, as pages may read it; noted.
pub(super) async fn answer(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Response<Body> {
    let page = cors::page(&open.route, request.headers());
    let answered = judged(doors, open, asked, stranger, request).await;
    if let Ok(response) = &answered {
        asked.decision.answered(response.status());
        note_answer(doors, asked, open, response.status());
    }
    let mut response = answered.unwrap_or_else(|refusal| {
        note_refusal(doors, asked, &refusal, Some(&open.route.name));
        problem(&refusal).map(Body::from)
    });
    cors::mark(&open.route, page, &mut response);
    response
}

/// Answers a request on a route of the edge's own.
async fn judged(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    judge(&open.route, doors.limits, &head)?;
    count_behind_hop(doors, asked, stranger)?;
    let answered = tokio::select! {
        biased;
        () = turned_away(doors, open, &head) => Err(Refusal::new(Reason::Draining, "try another instance")),
        answered = admitted(doors, open, asked, stranger, (&head, body)) => answered,
    }?;
    open.metrics.admitted.increment(1);
    Ok(answered)
}

/// Resolves when the request is refused for the end of the edge: what would begin something as soon as
/// nothing new is, and what is about a call or a session that runs at the end.
async fn turned_away(doors: &Doors, open: &Open, head: &request::Parts) {
    let is_about_one = open.route.item(head.uri.path()).is_some();
    let goes_on = match &open.web {
        Some(Web::Callbacks(_) | Web::Running(_)) => true,
        Some(Web::Calls(_)) => is_about_one,
        // Event Grid brings an event again, to an edge that takes it.
        Some(Web::Events(_) | Web::Sessions(_) | Web::Tickets(_) | Web::Page(_)) | None => false,
    };
    match goes_on {
        true => doors.drain.ending().await,
        false => doors.drain.turned_away().await,
    }
}

async fn admitted(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    (head, body): (&request::Parts, Incoming),
) -> Result<Response<Body>, Refusal> {
    let wanted = admission::Request {
        route: &open.route,
        head,
        peer: asked.peer.ip,
        by_hop: asked.by_hop,
        certificate: asked.certificate,
        now: Now::read(),
    };
    if head.method == Method::OPTIONS {
        return Ok(leave(doors, open, wanted, head)?.map(Body::from));
    }
    let grant = asked.decision.admit(doors, wanted).await?;
    stranger.admitted();
    open.metrics
        .dropped_parameters
        .increment(grant.dropped_parameters());
    if let Some(Web::Page(page)) = &open.web {
        return Ok(page.answer(&open.route, head)?.map(Body::from));
    }
    if let Some(Web::Running(see)) = &open.web
        && let Some(watch) = Watch::of(open, head)
    {
        return watch::answer(doors, *see, asked, (watch, grant)).await;
    }
    let whose = open.web.as_ref().map_or(Whose::Asker, Web::whose);
    let _place = doors.telephony.place(whose)?;
    let most = open.route.limits.over(doors.limits).client_message;
    let wait = BODY_WAIT.min(doors.limits.handshake);
    let body = whole(body, most, wait).await?;
    let item = open.route.item(head.uri.path());
    if let (Some(Web::Callbacks(_) | Web::Calls(_)), Some(call)) = (&open.web, &item) {
        asked.decision.is_about(call);
    }
    let reply = match &open.web {
        Some(Web::Events(route)) => {
            let room = doors.sessions.has_room();
            doors.telephony.take_events(route, &body, room).await?
        }
        Some(Web::Callbacks(route)) => {
            // The route matched, so this is there.
            let call = item.ok_or(Refusal::new(Reason::NotFound, "the path names no call"))?;
            doors.telephony.hear(route, call, &body).await?
        }
        Some(Web::Calls(route)) => {
            let asked = (wanted, item, &*body);
            calls(doors, route, &grant, asked).await?
        }
        Some(Web::Sessions(route)) => {
            let asks = (&head.method, item);
            doors
                .telephony
                .take_session(route, &grant, asks, body)
                .await?
        }
        Some(Web::Tickets(desk)) => desk.answer(doors, &grant, head, &body)?,
        Some(Web::Running(see)) => {
            sessions::answer(doors, (open, *see), asked, (head, &grant)).await?
        }
        Some(Web::Page(_)) | None => {
            return Err(Refusal::new(Reason::Internal, "nobody answers here"));
        }
    };
    Ok(response(reply).map(Body::from))
}

/// Leave to ask, which comes before any credential, and lets nobody in.
fn leave(
    doors: &Doors,
    open: &Open,
    wanted: admission::Request<'_>,
    head: &request::Parts,
) -> Result<Response<Full<Bytes>>, Refusal> {
    doors.admission.glance(wanted)?;
    let RouteKind::EventGrid(events) = &open.route.kind else {
        return cors::preflight(&open.route, head.uri.path(), &head.headers);
    };
    let allowed = preflight(&events.webhook_origins, &head.headers)?;
    let mut response = Response::new(Full::default());
    response.headers_mut().extend(allowed);
    Ok(response)
}

/// The whole body, within its bound and in time.
pub(super) async fn whole(body: Incoming, most: u64, wait: Duration) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX));
    match timeout(wait, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::new(Reason::BadRequest, "the body was cut")),
        Err(_) => {
            let detail = "the body took too long";
            Err(Refusal::with_status(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// A call that is to be made, looked at or ended.
async fn calls(
    doors: &Doors,
    route: &Arc<CallRoute>,
    grant: &Grant,
    (asked, item, body): (admission::Request<'_>, Option<CallId>, &[u8]),
) -> Result<Reply, Refusal> {
    let (telephony, subject) = (&doors.telephony, grant.subject());
    let Some(call) = item else {
        let order = route.order(body)?;
        doors.admission.may_call(asked, &route.calls, grant)?;
        let room = doors.sessions.has_room();
        let at = (asked.head.uri.path(), room);
        return Ok(telephony.make_call(route, order, subject, at).await?);
    };
    if asked.head.method == Method::DELETE {
        return Ok(telephony.end_made(route, subject, &call).await?);
    }
    Ok(telephony.tell_call(route, subject, &call).await?)
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let (status, body, location) = match reply {
        Reply::Done => return Response::new(Full::default()),
        Reply::Gone => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        Reply::Validated(code) => {
            let body = serde_json::json!({ "validationResponse": code.expose() });
            (StatusCode::OK, body, None)
        }
        Reply::Said {
            status,
            body,
            location,
        } => (status, body, location),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // Some of what is said is a secret.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Ok(location)) = location.map(HeaderValue::try_from) {
        headers.insert(header::LOCATION, location);
    }
    response
}
