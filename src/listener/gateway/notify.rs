//! Messages that programs of one's own have the bot send: taken, and answered with what became of them.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::Full;
use hyper::body::Incoming;

use super::activity::judge;
use crate::admission::{self, Now};
use crate::bot::{Sending, Unsent};
use crate::error::Reason;
use crate::listener::body::Body;
use crate::listener::doors::{Asked, Doors, Open};
use crate::listener::refusal::Refusal;
use crate::listener::stranger::Stranger;
use crate::listener::upgrade::count_behind_hop;
use crate::listener::web::{BODY_WAIT, whole};
use crate::upstream::connector::Sent;
use crate::wire::notice;

impl From<Unsent> for Refusal {
    fn from(unsent: Unsent) -> Refusal {
        let refusal = Refusal::new(unsent.reason, unsent.detail);
        Refusal {
            status: unsent.status.unwrap_or(refusal.status),
            retry_after: unsent.retry_after,
            why: unsent.why,
            ..refusal
        }
    }
}

/// Answers a request for a message.
pub(in crate::listener) async fn answer(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    judge(&open.route, doors.limits, &head)?;
    count_behind_hop(doors, asked, stranger)?;
    let sending = tokio::select! {
        biased;
        () = doors.drain.turned_away() => Err(Refusal::new(Reason::Draining, "try another instance")),
        taken = take(doors, open, asked, stranger, (&head, body)) => taken,
    };
    // It is on its way now: that it was not sent would be a lie, and make somebody send it twice.
    let sent = sending?.end().await?;
    open.metrics.admitted.increment(1);
    let said = serde_json::json!({ "id": sent.id });
    let mut response = Response::new(Body::from(Full::new(Bytes::from(format!("{said}\n")))));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// Takes a request for a message, up to its being on its way.
async fn take(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    (head, body): (&request::Parts, Incoming),
) -> Result<Sending, Refusal> {
    let wanted = admission::Request {
        route: &open.route,
        head,
        peer: asked.peer.ip,
        certificate: asked.certificate,
        by_hop: asked.by_hop,
        now: Now::read(),
    };
    let grant = asked.decision.admit(doors, wanted).await?;
    stranger.admitted();
    let most = open.route.limits.over(doors.limits).client_message;
    let body = whole(body, most, BODY_WAIT).await?;
    let notice = notice::read(&body).map_err(Unsent::from)?;
    asked.decision.writes_to(&notice.tenant, &notice.person);
    let room = doors.bot.room()?;
    // Whoever asked may be gone before it is known what became of the message.
    let decision = asked.decision.hand_over();
    let note = move |sent: &Result<Sent, Unsent>| match sent {
        Ok(_) => {
            decision.came_to("ok");
            decision.answered(StatusCode::OK);
        }
        Err(unsent) => {
            decision.came_to(unsent.word());
            decision.refused(&Refusal::from(*unsent));
        }
    };
    Ok(room.send(&open.route.name, grant.subject(), notice, note))
}
