//! Requests that go on to a private application, and what it answers.
//!
//! ```text
//! head ── judge ── admission ── body, bounded ── inward: what goes on ──▶ application
//!                                                         answer, as it comes ◀──┘
//! ```
//!
//! The body is read whole before the application is asked: it is bounded, and whoever sends slowly
//! keeps nobody waiting but the edge. An answer is passed on piece by piece.

pub(super) mod activity;
pub mod inward;
pub(super) mod notify;
mod path;
mod scrub;
mod told;

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use self::inward::{Inward, Passed};
use self::told::Whom;
use super::body::{Body, Streamed};
use super::doors::{Asked, Doors, Open};
use super::pulse::Pulse;
use super::refusal::Refusal;
use super::stranger::Stranger;
use super::upgrade::{count_behind_hop, permit};
use super::web::{BODY_WAIT, whole};
use crate::admission::{self, Grant, Now};
use crate::config::{Http, Limits, Route};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::log::ACCESS;
use crate::upstream::app::{self, Asking, Pace};
use crate::upstream::{self, Through, Want};

pub(super) use self::inward::target;

/// Whether a request asks for a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Whether the head is one that may go on, as far as that can be told without knowing who asks.
pub(super) fn judge(
    route: &Route,
    http: &Http,
    limits: Limits,
    head: &request::Parts,
) -> Result<(), Refusal> {
    if !http.methods.contains(&head.method) {
        let names: Vec<_> = http.methods.iter().map(Method::as_str).collect();
        return Err(Refusal {
            allow: names.join(", ").into(),
            ..Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, "the method is not for here")
        });
    }
    path::judge(head.uri.path()).map_err(|detail| Refusal::new(Reason::BadRequest, detail))?;
    if is_upgrade(&head.headers) {
        let detail = "no protocol is switched to here";
        return Err(Refusal::new(Reason::BadRequest, detail));
    }
    judge_length(route, limits, head)
}

/// Whether the body is within its bound, as its length is said to be.
fn judge_length(route: &Route, limits: Limits, head: &request::Parts) -> Result<(), Refusal> {
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length = length.map(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
    let needs = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
    let most = route.limits.over(limits).client_message;
    match length {
        // The head's own judge lets no coding beside a length pass, and hyper no length that is none.
        None if needs || head.headers.contains_key(header::TRANSFER_ENCODING) => {
            let detail = "the body needs a Content-Length";
            Err(Refusal::with_status(StatusCode::LENGTH_REQUIRED, detail))
        }
        None | Some(Some(0)) => Ok(()),
        Some(Some(_)) if head.method == Method::GET || head.method == Method::HEAD => {
            let detail = "this method has no body here";
            Err(Refusal::new(Reason::BadRequest, detail))
        }
        Some(Some(length)) if length <= most => Ok(()),
        Some(_) => {
            let detail = "the body exceeds the limit";
            Err(Refusal::new(Reason::TooLarge, detail))
        }
    }
}

/// Answers a request with what the application says.
pub(super) async fn answer(
    doors: &Doors,
    (open, http): (&Open, &Http),
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    judge(&open.route, http, doors.limits, &head)?;
    count_behind_hop(doors, asked, stranger)?;
    // What the application has heard is not answered as if it had not.
    let ready = tokio::select! {
        biased;
        () = doors.stop.cancelled() => Err(Refusal::new(Reason::Draining, "try another instance")),
        ready = pass_on(doors, (open, http), asked, stranger, (&head, body)) => ready,
    }?;
    ask(doors, open, ready, asked).await
}

/// What an application is to be asked, and for whom.
struct Ready {
    grant: Grant,
    permit: OwnedSemaphorePermit,
    asking: Asking,
}

async fn pass_on(
    doors: &Doors,
    (open, http): (&Open, &Http),
    asked: Asked<'_>,
    stranger: &Stranger,
    (head, body): (&request::Parts, Incoming),
) -> Result<Ready, Refusal> {
    let wanted = admission::Request {
        route: &open.route,
        head,
        peer: asked.peer.ip,
        certificate: asked.certificate,
        by_hop: asked.by_hop,
        now: Now::read(),
    };
    let begun = Instant::now();
    let decided = asked.decision.admit(doors, wanted).await;
    asked.span_admission(doors, open, begun, &decided);
    let grant = decided?;
    stranger.admitted();
    let permit = permit(doors)?;
    let limits = open.route.limits.over(doors.limits);
    let body = whole(body, limits.client_message, BODY_WAIT).await?;
    let mut whom = Whom::of(&grant);
    if http.scope {
        whom.find_scope(doors).await?;
    }
    let inward = inward(open)?;
    let mut passed = inward.pass((head, body), &open.route, &whom, asked).await?;
    let audience = http.assert.as_deref();
    let body = Some(&*passed.body);
    whom.tell(doors, (&open.route, audience), body, &mut passed.headers)?;
    let asking = Asking {
        method: head.method.clone(),
        target: passed.target,
        headers: passed.headers,
        body: passed.body,
    };
    Ok(Ready {
        grant,
        permit,
        asking,
    })
}

fn inward(open: &Open) -> Result<&Inward, Refusal> {
    let nothing = Refusal::new(Reason::Internal, "nothing goes on from here");
    open.inward.as_ref().ok_or(nothing)
}

/// Asks the application, and answers with what it says.
async fn ask(
    doors: &Doors,
    open: &Open,
    ready: Ready,
    asked: Asked<'_>,
) -> Result<Response<Body>, Refusal> {
    let Ready {
        grant,
        permit,
        asking,
    } = ready;
    let (begun, request) = (Instant::now(), SessionId::random());
    let limits = open.route.limits.over(doors.limits);
    let want = Want {
        traced: asked.traced,
        ..grant.want(&open.route.name, request)
    };
    let pace = Pace {
        idle: limits.idle,
        whole: limits.session,
    };
    let answered = app::ask_first(&open.upstreams, want, &asking, pace).await;
    let response = answered.map_err(|(name, failure)| {
        upstream::warn(&open.dial_warnings, &open.route.name, &name, failure);
        Refusal::from(failure)
    })?;
    open.metrics.admitted.increment(1);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    doors.metrics.app_answered(&open.route.name, status, took);
    tracing::debug!(
        target: ACCESS,
        %request,
        trace_id = asked.trace_id().map(tracing::field::display),
        route = %open.route.name,
        subject = %grant.subject(),
        client = %asked.peer,
        status,
        took_ms = took.as_millis() as u64,
        "request answered"
    );
    Ok(response.map(|answer| {
        Body::Streamed(Box::new(Streamed {
            answer,
            pulse: Pulse::new(pace.idle),
            _grant: grant,
            _permit: permit,
        }))
    }))
}

/// What of an upgrade goes on to the application.
pub(super) struct Upgrading {
    passed: Passed,
    subprotocol: Option<HeaderValue>,
}

impl Upgrading {
    pub(super) fn show(&self) -> Through<'_> {
        Through {
            target: &self.passed.target,
            headers: &self.passed.headers,
            subprotocol: self.subprotocol.as_ref(),
        }
    }
}

/// Judges an upgrade, and takes what of it goes on.
pub(super) async fn through(
    doors: &Doors,
    head: &request::Parts,
    (open, http): (&Open, &Http),
    grant: &Grant,
    asked: Asked<'_>,
) -> Result<Upgrading, Refusal> {
    path::judge(head.uri.path()).map_err(|detail| Refusal::new(Reason::BadRequest, detail))?;
    let mut whom = Whom::of(grant);
    if http.scope {
        whom.find_scope(doors).await?;
    }
    let route = &open.route;
    let mut passed = inward(open)?
        .pass((head, Bytes::new()), route, &whom, asked)
        .await?;
    let audience = http.assert.as_deref();
    whom.tell(doors, (route, audience), None, &mut passed.headers)?;
    Ok(Upgrading {
        passed,
        subprotocol: admission::subprotocol(&head.headers, &route.subprotocols)?,
    })
}
