//! What is asked on a connection: route, admission, upstream, and then `101` or a refusal.
//!
//! Exactly one request is served per connection. A refusal is a status with a problem document
//! (RFC 9457), or an error message and a close frame; either way the connection closes. An admitted upgrade
//! turns the connection into a session, with every byte that was read beyond the request.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant as Deadline, timeout};

use super::access::note_refusal;
use super::body::Body;
use super::doors::{Asked, Doors, InForce, Open};
use super::head::{self, Held, Unread};
use super::linger::{LINGER, grace, linger, stopped};
use super::pulse::Pulse;
use super::refusal::{Refusal, frames, problem, raw};
use super::stranger::Stranger;
use super::upgrade::{shake, upgrade};
use super::web::{self, cors};
use super::{gateway, hop, probe};
use crate::admission::Peer;
use crate::config::{Refuse, RouteKind};
use crate::error::Reason;
use crate::ids::SessionId;
use crate::label::Label;
use crate::log::ACCESS;
use crate::metrics::Work;
use crate::panics::contained;
use crate::relay::Leg;
use crate::session::{self, Opened, Session};

/// Names the session that begins, in the `101`.
const SESSION: HeaderName = HeaderName::from_static("x-tonegate-session");

/// Serves the one request of a connection; if it is an admitted upgrade, the connection is taken
/// apart by `leg` for the session that begins.
pub(super) async fn serve<S>(
    io: S,
    asked: Asked<'_>,
    stranger: Stranger,
    in_force: &InForce,
    leg: impl FnOnce(S, Bytes) -> Leg<TcpStream>,
) -> Option<Opened>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, read) = read(io, asked.deadline, in_force).await?;
    // Whoever takes their time to ask is judged by what is in force then.
    let doors = &in_force.now();
    let asked = hop::still_by_hop(asked, doors);
    let (io, grace) = match read {
        Ok(read) => {
            let (body, grace) = (web::body(doors, &read), grace(doors, &read));
            (Held::new(io, read).with_body(body), grace)
        }
        Err(unread) => {
            not_asked(io, unread, asked, doors).await;
            return None;
        }
    };
    let course: Arc<Mutex<Course>> = Arc::default();
    let (streams, streaming) = oneshot::channel();
    let streams = Mutex::new(Some(streams));
    let service = service_fn(|request| {
        let (doors, course, stranger) = (doors.clone(), course.clone(), stranger.clone());
        let streams = lock(&streams).take();
        Box::pin(async move {
            let response = only(&doors, asked, &stranger, &course, request).await;
            if let (Some(streams), Some(pulse)) = (streams, response.body().pulse()) {
                // Whoever waits for it is the connection that this is polled by.
                let _ = streams.send(pulse);
            }
            Ok::<_, std::convert::Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .half_close(false)
        .max_headers(head::LINES_MAX)
        .max_buf_size(2 * head::HEAD_MAX)
        .serve_connection(TokioIo::new(io), service);
    let served = tokio::select! {
        served = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => served,
        () = untaken(streaming) => {
            doors.metrics.limit_hit("idle");
            return None;
        }
        // A request that is whole is answered; a client that does not take it is not waited for.
        () = stopped(doors, grace) => {
            asked.decision.lost(Reason::Draining, "the edge stopped before its answer was taken");
            return None;
        }
    };
    let (mut io, early) = connection.into_parts().io.into_inner().into_parts();
    let course = std::mem::take(&mut *lock(&course));
    match (served, course) {
        (Ok(()), Course::Opened(parts)) => {
            asked.decision.opened(parts.entry.id());
            return Some(Session::open(*parts, leg(io, early)));
        }
        (Ok(()), Course::Refused(frames)) => {
            // Whether the client hears why is its own business.
            let _ = timeout(LINGER, io.write_all(&frames)).await;
        }
        (Ok(()), Course::Unasked | Course::Asked(..) | Course::Answered) => {}
        (Err(error), course) => not_served(doors, asked, &error, course),
    }
    linger(io).await;
    None
}

/// Reads the head; `None`: the edge ended before it was there.
async fn read<S: AsyncRead + Unpin>(
    io: S,
    deadline: Deadline,
    in_force: &InForce,
) -> Option<(S, Result<head::Read, Unread>)> {
    let doors = in_force.now();
    tokio::select! {
        read = head::read(io, deadline) => Some(read),
        // Whoever has not asked by then is not waited for.
        () = stopped(&doors, LINGER) => None,
    }
}

/// Answers the one request of a connection, and notes how far it has come.
async fn only(
    doors: &Doors,
    asked: Asked<'_>,
    stranger: &Stranger,
    course: &Mutex<Course>,
    request: Request<Incoming>,
) -> Response<Body> {
    let name = route(doors, &request).map(|open| open.route.name.clone());
    let hops = doors.hops.as_ref();
    let peer = hop::resolve(hops, asked.peer, asked.by_hop, request.headers());
    *lock(course) = Course::Asked(name, peer.unwrap_or(asked.peer));
    doors.witness.heed(&request).await;
    let answered = answer(doors, asked, peer, stranger, request);
    let answered = contained(&doors.metrics, Work::Request, answered).await;
    let (mut response, become_of) = answered.unwrap_or_else(|| failed(doors, asked, course));
    *lock(course) = become_of;
    // hyper's own switch for this would also write `close` into the Connection header of a 101, which
    // strict clients refuse.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    doors.mark(&mut response);
    response
}

/// A request whose answer has panicked.
fn failed(doors: &Doors, asked: Asked<'_>, course: &Mutex<Course>) -> Answer {
    let route = match &*lock(course) {
        Course::Asked(route, _) => route.clone(),
        Course::Unasked | Course::Answered | Course::Opened(_) | Course::Refused(_) => None,
    };
    let refusal = broken();
    note_refusal(doors, asked, &refusal, route.as_ref());
    (problem(&refusal).map(Body::from), Course::Answered)
}

fn broken() -> Refusal {
    Refusal::new(Reason::Internal, "the edge failed")
}

/// How far the one request of a connection has come.
#[derive(Default)]
enum Course {
    /// No request that can be parsed.
    #[default]
    Unasked,
    /// For this route, if one has its path, and by this client.
    Asked(Option<Label>, Peer),
    /// Refused, which has been counted, or a probe.
    Answered,
    /// After the `101` a session begins.
    Opened(Box<session::Parts>),
    /// After the `101` the client is told in these frames why not, which has been counted.
    Refused(Vec<u8>),
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held, and a poisoned slot would hold the same value.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Resolves when an application's answer is not taken any more.
async fn untaken(streaming: oneshot::Receiver<Pulse>) {
    match streaming.await {
        Ok(pulse) => pulse.stops().await,
        // Other answers are short.
        Err(_) => std::future::pending().await,
    }
}

/// There is nothing to parse: the answer, if any, is written here.
async fn not_asked<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    unread: Unread,
    asked: Asked<'_>,
    doors: &Doors,
) {
    let refusal = match unread {
        // Nothing was asked, so nothing was refused.
        Unread::Gone => return,
        Unread::Late => {
            doors.metrics.limit_hit("handshake");
            Refusal::with_status(StatusCode::REQUEST_TIMEOUT, "the head took too long")
        }
        Unread::Refused(status, detail) => Refusal::with_status(status, detail),
    };
    note_refusal(doors, asked, &refusal, None);
    let mut response = problem(&refusal);
    doors.mark(&mut response);
    let written = timeout(LINGER, io.write_all(&raw(response))).await;
    if matches!(written, Ok(Ok(()))) {
        linger(io).await;
    }
}

/// hyper could not serve a request that had passed the judge, or the client went.
fn not_served(doors: &Doors, asked: Asked<'_>, error: &hyper::Error, course: Course) {
    let (route, peer) = match course {
        Course::Unasked => (None, asked.peer),
        Course::Asked(route, peer) => (route, peer),
        Course::Answered | Course::Refused(_) => return,
        Course::Opened(parts) => (Some(parts.route), parts.peer),
    };
    let (reason, detail) = if error.is_parse() {
        (Reason::BadRequest, "the head is malformed")
    } else {
        (Reason::ClientLost, "the client went before its answer")
    };
    doors.metrics.refused(route.as_ref(), reason);
    asked.decision.lost(reason, detail);
    tracing::debug!(
        target: ACCESS,
        route = route.map(tracing::field::display),
        %peer,
        %reason,
        detail,
        "request refused"
    );
}

type Answer = (Response<Body>, Course);

async fn answer(
    doors: &Doors,
    asked: Asked<'_>,
    peer: Result<Peer, &'static str>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Answer {
    if let Some(response) = probe::answer(doors, &request) {
        return (response.map(Body::from), Course::Answered);
    }
    let open = route(doors, &request);
    let traced = (doors.tracing).of(request.headers(), asked.by_hop, &doors.metrics);
    let asked = Asked {
        traced: Some(&traced),
        ..asked
    };
    let client = peer.unwrap_or(asked.peer);
    let begun = open.map_or(Ok(()), |open| {
        asked
            .decision
            .begin(doors, open, &request, (client, asked.trace_id()))
    });
    let no_peer = |detail| Refusal::new(Reason::BadRequest, detail);
    let asked = match begun.and_then(|()| peer.map_err(no_peer)) {
        Ok(peer) => Asked { peer, ..asked },
        Err(refusal) => {
            note_refusal(doors, asked, &refusal, open.map(|open| &open.route.name));
            let mut response = problem(&refusal);
            if let Some(open) = open.filter(|open| open.route.kind.is_answered()) {
                let page = cors::page(&open.route, request.headers());
                cors::mark(&open.route, page, &mut response);
            }
            return (response.map(Body::from), Course::Answered);
        }
    };
    let Some(open) = open else {
        let refusal = Refusal::new(Reason::NotFound, "no route has this path");
        note_refusal(doors, asked, &refusal, None);
        return (problem(&refusal).map(Body::from), Course::Answered);
    };
    let answered = match open.route.kind.http() {
        Some(http) if !(http.web_socket && gateway::is_upgrade(request.headers())) => {
            let answering = gateway::answer(doors, (open, http), asked, stranger, request);
            Box::pin(answering).await
        }
        None if let Some(bot) = open.route.kind.bot() => {
            let answering = gateway::activity::answer(doors, (open, bot), asked, stranger, request);
            Box::pin(answering).await
        }
        None if matches!(open.route.kind, RouteKind::Notify) => {
            let answering = gateway::notify::answer(doors, open, asked, stranger, request);
            Box::pin(answering).await
        }
        None if open.route.kind.is_answered() => {
            let response = Box::pin(web::answer(doors, open, asked, stranger, request)).await;
            return (response, Course::Answered);
        }
        Some(_) | None => return upgraded(doors, open, asked, stranger, request).await,
    };
    if let Ok(response) = &answered {
        asked.decision.answered(response.status());
        asked.span_request(doors, Some(&open.route.name), Ok(()));
    }
    let response = answered.unwrap_or_else(|refusal| {
        note_refusal(doors, asked, &refusal, Some(&open.route.name));
        problem(&refusal).map(Body::from)
    });
    (response, Course::Answered)
}

/// An upgrade, which a session begins with.
async fn upgraded(
    doors: &Doors,
    open: &Open,
    asked: Asked<'_>,
    stranger: &Stranger,
    request: Request<Incoming>,
) -> Answer {
    let refused = |refusal: &Refusal| note_refusal(doors, asked, refusal, Some(&open.route.name));
    let response = match shake(&open.route, &request) {
        Ok(response) => response,
        Err(refusal) => {
            refused(&refusal);
            return (problem(&refusal).map(Body::from), Course::Answered);
        }
    };
    // Here, so that a route which refuses by close frames does so for this, too.
    let upgrading = upgrade(doors, open, asked, stranger, request);
    let upgraded = tokio::select! {
        biased;
        () = doors.drain.turned_away() => Err(Refusal::new(Reason::Draining, "try another instance")),
        upgraded = contained(&doors.metrics, Work::Request, upgrading) => {
            upgraded.unwrap_or_else(|| Err(broken()))
        }
    };
    match (upgraded, open.route.refuse) {
        (Ok(parts), _) => {
            let mut response = response;
            name_session(&mut response, parts.entry.id());
            (response, Course::Opened(Box::new(parts)))
        }
        (Err(refusal), Refuse::Status) => {
            refused(&refusal);
            (problem(&refusal).map(Body::from), Course::Answered)
        }
        (Err(refusal), Refuse::Close) => {
            refused(&refusal);
            (response, Course::Refused(frames(&refusal)))
        }
    }
}

/// By this id whoever may asks for the session, and the logs have it.
fn name_session(response: &mut Response<Body>, id: SessionId) {
    let id = HeaderValue::try_from(id.to_string());
    let headers = response.headers_mut();
    headers.extend(id.map(|id| (SESSION, id)));
}

fn route<'a, B>(doors: &'a Doors, request: &Request<B>) -> Option<&'a Open> {
    let index = doors.paths.find(request.uri().path())?;
    doors.routes.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Admission, Permits, Revocations};
    use crate::audit::Audit;
    use crate::bot::Bot;
    use crate::config::{self, KnownBy, Limits};
    use crate::drain::Drain;
    use crate::listener::decision::Decision;
    use crate::listener::expiry::Expiries;
    use crate::listener::paths::Paths;
    use crate::listener::reload::{Generation, Reload};
    use crate::listener::trace::Tracing;
    use crate::metrics::Metrics;
    use crate::session::{Dialler, Orders, Registry};
    use crate::store::Store;
    use crate::telephony::Telephony;
    use crate::upstream::webhook::Webhooks;
    use std::time::{Duration, Instant};
    use tokio::io::duplex;
    use tokio::sync::Semaphore;

    /// No settings are good without a route.
    const SETTINGS: &str = r#"
        [server]
        listen = "127.0.0.1:0"
        [upstreams.u]
        kind = "relay"
        url = "wss://u.example.com/"
        credential = { none = true }
        [[routes]]
        name = "r"
        kind = "relay"
        paths = ["/r"]
        admit = ["anyone"]
        upstreams = ["u"]
    "#;

    /// Settings of an edge with no routes.
    fn nothing() -> config::Live {
        config::Live {
            identity: None,
            server_certificates: Vec::new(),
            limits: Limits::default(),
            hops: None,
            keys: Vec::new(),
            certificates: Vec::new(),
            issuers: Vec::new(),
            tickets: None,
            calls: None,
            acs: None,
            assertion: None,
            graph: None,
            roles: None,
            pii_detectors: Vec::new(),
            bot: None,
            developer: None,
            admin_token: None,
            scrape_token: None,
            upstreams: Vec::new(),
            routes: Vec::new(),
        }
    }

    fn orders(store: &Arc<Store>, metrics: &crate::metrics::Shared) -> Arc<Orders> {
        let (registry, none) = (Registry::default(), Revocations::default());
        Arc::new(Orders::new(store, &registry, &none, metrics))
    }

    #[tokio::test]
    async fn a_refusal_that_cannot_be_written_is_counted_once() {
        let metrics = Arc::new(Metrics::new());
        let nothing = nothing();
        let store = Arc::new(Store::new(&config::Store::default(), metrics.clone()).unwrap());
        let telephony = Telephony::new(&nothing, None, &store, &Registry::default(), &metrics);
        let settings = config::Settings::read_text("edge.toml", SETTINGS).unwrap();
        let in_force = InForce::new(Doors {
            generation: Generation::first(&settings),
            reload: Reload::default(),
            tls: None,
            routes: Vec::new(),
            paths: Paths::default(),
            admission: Admission::new(&nothing, &metrics).unwrap(),
            hops: None,
            limits: Limits::default(),
            sessions: Permits::new(1),
            registry: Registry::default(),
            orders: orders(&store, &metrics),
            announcer: None,
            store: store.clone(),
            dialler: Arc::new(Dialler::default()),
            telephony: Arc::new(telephony),
            returning: Arc::new(Semaphore::new(1)),
            known_by: KnownBy::Record,
            resume: Duration::ZERO,
            acs: None,
            bot: Arc::new(Bot::new(None, (&store, Duration::ZERO), &metrics)),
            roles: None,
            pii_detectors: Vec::new(),
            tracing: Tracing::default(),
            certificates: Expiries::of(None, &nothing, &config::Store::default()),
            assertions: None,
            webhooks: Arc::new(Webhooks::new(&nothing, &metrics).unwrap()),
            audit: Audit::off(),
            metrics,
            witness: Arc::default(),
            insecure_dev: false,
            drain: Drain::default(),
        });
        let decision = Decision::default();
        let asked = Asked {
            decision: &decision,
            peer: std::net::SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            traced: None,
            by_hop: false,
            certificate: None,
            accepted: Instant::now(),
            deadline: Deadline::now() + Duration::from_secs(5),
        };
        // What the client says can be read, and what it is told cannot be written.
        let (mut client, read) = duplex(1000);
        client
            .write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let io = tokio::io::join(read, duplex(1000).0);
        let begun = serve(io, asked, Stranger::of_a_test(), &in_force, |_, _| {
            panic!("nobody was admitted")
        })
        .await;
        assert!(begun.is_none());
        let page = in_force.now().metrics.render();
        let counted: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("tonegate_requests_total{"))
            .collect();
        let once = r#"tonegate_requests_total{route="none",result="not_found"} 1"#;
        assert_eq!(counted, [once]);
    }
}
