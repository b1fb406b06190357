//! From a well-formed request on a route to a session that may begin: admission, permit, upstream.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::{self, Either};
use http::{Request, Response, header, request};
use http_body_util::Full;
use hyper::body::Incoming;

use super::body::Body;
use super::doors::{Asked, Doors, Open};
use super::refusal::Refusal;
use super::stranger::Stranger;
use super::{calls, gateway, ticket};
use crate::admission::{self, Address, Grant, Now, Permit, Reserved};
use crate::config;
use crate::error::Reason;
use crate::ids::SessionId;
use crate::relay::Lease;
use crate::secret::Digest;
use crate::session::{self, Entry, Leased};
use crate::upstream::{self, Dialled, Want};
use crate::ws::handshake::{self, NotAnUpgrade};

/// The `101` that a well-formed upgrade request would get.
pub(super) fn shake<B>(
    route: &config::Route,
    request: &Request<B>,
) -> Result<Response<Body>, Refusal> {
    let wrong = |wrong: NotAnUpgrade| Refusal::with_status(wrong.status(), wrong.sentence());
    let mut response = handshake::accept(request).map_err(wrong)?;
    if let Some(name) = admission::subprotocol(request.headers(), &route.subprotocols)? {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(response.map(|()| Full::default().into()))
}

/// From a request on a route to a session that may begin.
pub(super) async fn upgrade(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Result<session::Parts, Refusal> {
    count_behind_hop(doors, asked, stranger)?;
    let (head, _) = request.into_parts();
    let grant = admit(doors, open, asked, &head).await?;
    let through = match open.route.kind.http() {
        Some(http) => {
            let to = (open, &**http);
            Some(Box::pin(gateway::through(doors, &head, to, &grant, asked)).await?)
        }
        None => None,
    };
    drop(head);
    stranger.admitted();
    let permit = permit(doors)?;
    let books = session::Books {
        gate: open.route.kind.phone().map(|_| doors.place()).transpose()?,
        end: doors.place()?,
    };
    open.metrics
        .dropped_parameters
        .increment(grant.dropped_parameters());
    let id = SessionId::random();
    let want = Want {
        through: through.as_ref().map(|through| through.show()),
        traced: asked.traced,
        ..grant.want(&open.route.name, id)
    };
    let spent = ticket::spend(doors, open, &grant, id).await?;
    let under_way = calls::UnderWay::new(doors, &grant, id);
    // It is the largest part of a connection's future, which is moved on its way here: boxed, only once.
    let begun = Box::pin(begin(doors, open, (&grant, want), id)).await;
    under_way.done();
    let begun = match begun {
        Ok(begun) => begun,
        Err(refusal) => {
            ticket::give_back(doors, spent).await;
            return Err(refusal);
        }
    };
    let Begun {
        reserved,
        call,
        upstream,
        entry,
        lease,
    } = begun;
    Ok(session::Parts {
        route: open.route.name.clone(),
        kind: open.route.kind.word(),
        grant: grant.hold(reserved),
        peer: asked.peer,
        traced: asked.traced.cloned(),
        accepted: asked.accepted,
        permit,
        books,
        entry,
        lease,
        limits: open.route.limits.over(doors.limits),
        dtmf: open.route.dtmf,
        metrics: doors.metrics.clone(),
        route_metrics: open.metrics.clone(),
        upstream,
        call,
    })
}

/// Leave to open a session, if admission gives it.
async fn admit(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    head: &request::Parts,
) -> Result<Grant, Refusal> {
    let wanted = admission::Request {
        route: &open.route,
        head,
        peer: asked.peer.ip,
        by_hop: asked.by_hop,
        certificate: asked.certificate,
        now: Now::read(),
    };
    let begun = Instant::now();
    let decided = asked.decision.admit_session(doors, wanted).await;
    asked.span_admission(doors, open, begun, &decided);
    Ok(decided?)
}

/// What a session begins with.
struct Begun {
    reserved: Option<Reserved>,
    call: Option<Box<session::Call>>,
    upstream: Option<Dialled>,
    entry: Entry,
    lease: Arc<Lease>,
}

/// What others have to say: the store, and the upstream.
async fn begin(
    doors: &Doors,
    open: &Open,
    (grant, want): (&Grant, Want<'_>),
    id: SessionId,
) -> Result<Begun, Refusal> {
    if open.route.dial_early {
        let (reserved, upstream) = ask_and_dial(doors, open, (grant, want), id).await?;
        let (entry, lease) = seat(doors, open, grant, id);
        return Ok(Begun {
            reserved,
            call: None,
            upstream: Some(upstream),
            entry,
            lease,
        });
    }
    let (reserved, call) = ask_store(doors, open, grant, id).await?;
    // Whoever comes while the upstream is dialled takes the call over, and not the other way round;
    // whoever then finds no upstream has taken nothing.
    let arrival = doors.registry.arrival();
    let upstream = if call.as_ref().is_some_and(|call| call.is_gated()) {
        None
    } else {
        let whose = grant.subject().party();
        Some(dial(doors, open, (want, whose), id, call.as_deref()).await?)
    };
    let (entry, lease) = seat(doors, open, grant, id);
    let entry = match &call {
        Some(call) => entry.of_call(&call.calling.call, arrival),
        None => entry,
    };
    Ok(Begun {
        reserved,
        call,
        upstream,
        entry,
        lease,
    })
}

/// A session's place in the registry, by which whoever may is told of it, and its lease.
fn seat(doors: &Doors, open: &Open, grant: &Grant, id: SessionId) -> (Entry, Arc<Lease>) {
    let route = &open.route.name;
    let longest = open.route.limits.over(doors.limits).session;
    let longest = SystemTime::now() + longest;
    let leased = Leased::new(id, (route, &open.metrics), grant, longest);
    let lease = leased.lease();
    let about = session::About::of(route, grant);
    (doors.registry.enter(id, about).leased(leased), lease)
}

/// What the store says: whether limits that edges share have room, and at the same time, for a call,
/// whether it may begin. A refusal of either gives back what the other took.
async fn ask_store(
    doors: &Doors,
    open: &Open,
    grant: &Grant,
    id: SessionId,
) -> Result<(Option<Reserved>, Option<Box<session::Call>>), Refusal> {
    let share = doors.admission.share(grant, id);
    let Some(phone) = open.route.kind.phone() else {
        return Ok((share.await?, None));
    };
    let (reserved, call) = tokio::join!(share, calls::enter(doors, open, phone, grant, id));
    match (reserved, call) {
        (Ok(reserved), Ok(call)) => Ok((reserved, Some(Box::new(call)))),
        (Err(denied), Ok(call)) => {
            calls::give_back(&call, id).await;
            Err(denied.into())
        }
        (_, Err(refusal)) => Err(refusal),
    }
}

/// Dials while the store is asked, on a route that wants it so. What the store refuses is told as soon as
/// that is known, and ends the dial; what it gave goes back if no upstream can be had.
async fn ask_and_dial(
    doors: &Doors,
    open: &Open,
    (grant, want): (&Grant, Want<'_>),
    id: SessionId,
) -> Result<(Option<Reserved>, Dialled), Refusal> {
    let whose = grant.subject().party();
    let asking = pin!(doors.admission.share(grant, id));
    let dialling = pin!(dial(doors, open, (want, whose), id, None));
    // The store's answer is always waited for: it tells what there is to give back.
    let (reserved, dialled) = match future::select(asking, dialling).await {
        Either::Left((reserved, dialling)) => (reserved?, dialling.await),
        Either::Right((dialled, asking)) => (asking.await?, dialled),
    };
    Ok((reserved, dialled?))
}

/// A place among the sessions of the edge.
pub(super) fn permit(doors: &Doors) -> Result<Permit, Refusal> {
    doors.sessions.take().ok_or_else(|| {
        doors.metrics.limit_hit("sessions");
        Refusal::new(Reason::Busy, "all sessions of this edge are in use")
    })
}

/// A hop's connections are at nobody's address until their heads say whose they are.
pub(super) fn count_behind_hop(
    doors: &Doors,
    asked: Asked<'_>,
    stranger: &Stranger,
) -> Result<(), Refusal> {
    if asked.by_hop && !stranger.count_at(Address::of(asked.peer.ip)) {
        doors.metrics.limit_hit("unadmitted_per_address");
        return Err(Refusal::new(
            Reason::Busy,
            "too many requests of this address wait for their admission",
        ));
    }
    Ok(())
}

/// Dials before the `101`, so that a refusal is still an HTTP status.
async fn dial(
    doors: &Doors,
    open: &Open,
    (want, whose): (Want<'_>, Digest),
    session: SessionId,
    call: Option<&session::Call>,
) -> Result<Dialled, Refusal> {
    let dialled = doors.dialler.dial_first(&open.upstreams, want, whose);
    match dialled.await {
        Ok(dialled) => Ok(dialled),
        Err((name, failure)) => {
            upstream::warn(&open.dial_warnings, &open.route.name, &name, failure);
            if let Some(call) = call {
                calls::give_back(call, session).await;
            }
            Err(Refusal::from(failure))
        }
    }
}
