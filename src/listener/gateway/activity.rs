//! Activities of the Bot Connector: taken, and passed on with the edge's word on who speaks.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::Full;
use hyper::body::Incoming;

use super::Ready;
use super::told::Whom;
use crate::admission::{self, Now};
use crate::bot::{Heard, Refused};
use crate::config::{BotRoute, Limits, Route};
use crate::error::Reason;
use crate::listener::body::Body;
use crate::listener::doors::{Asked, Doors, Open};
use crate::listener::refusal::Refusal;
use crate::listener::stranger::Stranger;
use crate::listener::upgrade::{count_behind_hop, permit};
use crate::listener::web::{BODY_WAIT, whole};
use crate::upstream::app::Asking;

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal::new(refused.reason, refused.detail)
    }
}

/// Whether the head is one of an activity, as far as that can be told without knowing who posts it.
pub(in crate::listener) fn judge(
    route: &Route,
    limits: Limits,
    head: &request::Parts,
) -> Result<(), Refusal> {
    if head.method != Method::POST {
        return Err(Refusal {
            allow: "POST".into(),
            ..Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, "the method is not for here")
        });
    }
    super::judge_length(route, limits, head)?;
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    let said = match (types.next(), types.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    };
    let said = said.and_then(|said| said.split(';').next()).map(str::trim);
    let json = said.is_some_and(|said| said.eq_ignore_ascii_case("application/json"));
    if !json || head.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, as it is",
        ));
    }
    Ok(())
}

/// Answers an activity with what the application says.
pub(in crate::listener) async fn answer(
    doors: &Doors,
    (open, bot): (&Open, &BotRoute),
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    judge(&open.route, doors.limits, &head)?;
    count_behind_hop(doors, asked, stranger)?;
    let ready = tokio::select! {
        biased;
        () = doors.drain.turned_away() => Err(Refusal::new(Reason::Draining, "try another instance")),
        ready = take(doors, (open, bot), asked, stranger, (&head, body)) => ready,
    }?;
    match ready {
        Some(ready) => super::ask(doors, open, ready, asked).await,
        None => Ok(Response::new(Body::from(Full::<Bytes>::default()))),
    }
}

/// `None`: nobody is to hear it, and that is all that the connector is told.
async fn take(
    doors: &Doors,
    (open, bot): (&Open, &BotRoute),
    asked: Asked<'_>,
    stranger: &Stranger,
    (head, body): (&request::Parts, Incoming),
) -> Result<Option<Ready>, Refusal> {
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
    let permit = permit(doors)?;
    let most = open.route.limits.over(doors.limits).client_message;
    let body = whole(body, most, BODY_WAIT).await?;
    let caller = match doors.bot.hear(&grant, bot, &body)? {
        Heard::Ours(caller, kept) => {
            asked.decision.speaks_for(caller.tenant(), caller.user());
            doors.bot.keep(kept).await?;
            caller
        }
        Heard::Outsiders(outsider) => {
            asked
                .decision
                .speaks_for(outsider.tenant(), outsider.user());
            asked.decision.refused(&Refusal {
                status: StatusCode::OK,
                ..Refusal::new(Reason::Forbidden, "the person is of another tenant")
            });
            doors.bot.turn_away(&open.route.name, bot, &outsider);
            open.metrics.admitted.increment(1);
            doors
                .metrics
                .refused(Some(&open.route.name), Reason::Forbidden);
            tracing::info!(
                route = %open.route.name,
                tenant = %outsider.tenant(),
                activity = outsider.kind().word(),
                "somebody of another tenant was turned away"
            );
            return Ok(None);
        }
    };
    asked.decision.speaks_for(caller.tenant(), caller.user());
    let mut whom = Whom::of_activity(&grant, &caller);
    // What happens by itself is nobody's doing, and shows nobody anything.
    if bot.scope && caller.user().is_some() {
        whom.find_scope(doors).await?;
    }
    let mut passed = super::inward(open)?
        .pass((head, body), &open.route, &whom, asked)
        .await?;
    let audience = bot.assert.as_deref();
    let body = Some(&*passed.body);
    whom.tell(doors, (&open.route, audience), body, &mut passed.headers)?;
    // It was read as this, whatever charset it came with.
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    passed.headers.insert(header::CONTENT_TYPE, json);
    let asking = Asking {
        method: Method::POST,
        // An activity says what it says in its body.
        target: head.uri.path().to_owned(),
        headers: passed.headers,
        body: passed.body,
    };
    Ok(Some(Ready {
        grant,
        permit,
        asking,
    }))
}
