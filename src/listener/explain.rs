//! A request judged without a socket, for `tonegate explain`: the same head, the same parser, the
//! same route, the same admission, each told. Nothing is dialled but the issuers of tokens, and
//! nobody is counted: the tables of limits are empty.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header, request};
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant as Deadline;

use super::doors::{Doors, Open};
use super::gateway;
use super::head::{self, Held, Read, Unread};
use super::hop;
use super::probe;
use super::refusal::Refusal;
use super::upgrade::shake;
use super::web::{self, cors};
use crate::admission::{self, Denied, Finding, Grant, Now, Told};
use crate::bot::Heard;
use crate::config::{BotRoute, Refuse, Route, RouteKind, Speak, Way};
use crate::ids::SessionId;
use crate::telephony::preflight;
use crate::upstream::{Through, Want};

/// What was found, and what it comes to.
pub struct Explained {
    pub findings: Vec<Finding>,
    /// What would be asked of each upstream in turn, or how the refusal would be told.
    pub outcome: Result<Vec<String>, Refused>,
}

/// How a client is told that it may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Status(u16),
    /// A `101`, an error message and this code.
    Close(u16),
}

/// Judges the head of a request that `peer` would send.
pub async fn explain(doors: &Doors, head: &[u8], peer: IpAddr) -> Explained {
    let mut findings = Vec::new();
    let outcome = judge(doors, head, peer, &mut findings).await;
    Explained { findings, outcome }
}

async fn judge(
    doors: &Doors,
    head: &[u8],
    peer: IpAddr,
    findings: &mut Vec<Finding>,
) -> Result<Vec<String>, Refused> {
    let mut note = |check, passed, text: String| {
        findings.push(Finding {
            check,
            passed,
            text,
        });
    };
    let request = match read(head).await {
        Ok(request) => request,
        Err((status, detail)) => {
            note("head", false, detail.to_owned());
            return Err(Refused::Status(status));
        }
    };
    note("head", true, "well formed".to_owned());
    let path = request.uri().path();
    if probe::answer(doors, &request).is_some() {
        note("route", true, "a probe of the edge, for anybody".to_owned());
        return Ok(Vec::new());
    }
    let (client, by_hop) = match client(doors, peer, request.headers()) {
        Ok((client, by_hop, text)) => {
            note("client", true, text);
            (client, by_hop)
        }
        Err(detail) => {
            note("client", false, detail.to_owned());
            return Err(Refused::Status(400));
        }
    };
    let Some(open) = doors.paths.find(path).map(|index| &doors.routes[index]) else {
        let text = probe::why_not(path).unwrap_or("no route has this path");
        note("route", false, text.to_owned());
        return Err(Refused::Status(404));
    };
    note("route", true, open.route.name.to_string());
    let kind = &open.route.kind;
    let through = kind.http().is_some_and(|http| http.web_socket);
    if kind.has_bodies() && !(through && gateway::is_upgrade(request.headers())) {
        let (parts, ()) = request.into_parts();
        let came = (&parts, client, by_hop);
        return plain(doors, open, (came, head), findings).await;
    }
    let upgrade = shake(&open.route, &request);
    match upgrade {
        Ok(response) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            let chosen = chosen.and_then(|name| name.to_str().ok());
            let text = chosen.map_or_else(|| "no subprotocol".to_owned(), str::to_owned);
            note("upgrade", true, text);
        }
        Err(refusal) => {
            note("upgrade", false, refusal.detail.to_owned());
            return Err(Refused::Status(refusal.status.as_u16()));
        }
    }
    let (parts, ()) = request.into_parts();
    let (_, upstreams) = decide(doors, open, (&parts, client, by_hop), findings).await?;
    Ok(upstreams)
}

/// A request that is no upgrade; `whole` is all of it, a body too if there is one.
async fn plain(
    doors: &Doors,
    open: &Open,
    (came, whole): (Came<'_>, &[u8]),
    findings: &mut Vec<Finding>,
) -> Result<Vec<String>, Refused> {
    let (head, kind) = (came.0, &open.route.kind);
    let mut note = |passed, text: String| {
        findings.push(Finding {
            check: "request",
            passed,
            text,
        });
    };
    let (judged, what) = of_request(doors, open, head);
    if let Err(refusal) = judged {
        note(false, refusal.detail.to_owned());
        return Err(Refused::Status(refusal.status.as_u16()));
    }
    note(true, format!("well formed, and {what}"));
    if head.method == Method::OPTIONS && kind.is_answered() {
        leave(doors, open, came, findings)?;
        return Ok(Vec::new());
    }
    let (grant, upstreams) = decide(doors, open, came, findings).await?;
    if let Some(bot) = kind.bot() {
        activity(doors, (&grant, bot), body(whole, &head.headers), findings)?;
    }
    Ok(upstreams)
}

/// Whether the head is one that the route takes, and what becomes of such requests.
fn of_request(
    doors: &Doors,
    open: &Open,
    head: &request::Parts,
) -> (Result<(), Refusal>, &'static str) {
    let (route, limits) = (&open.route, doors.limits);
    let goes_on = "goes on to an application";
    match &route.kind {
        RouteKind::Http(http) => (gateway::judge(route, http, limits, head), goes_on),
        RouteKind::Bot(_) => (gateway::activity::judge(route, limits, head), goes_on),
        RouteKind::Notify => (
            gateway::activity::judge(route, limits, head),
            "answered here",
        ),
        RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_)
        | RouteKind::EventGrid(_)
        | RouteKind::AcsCallback
        | RouteKind::CallApi(_)
        | RouteKind::Tickets(_)
        | RouteKind::Sessions(_)
        | RouteKind::Page(_)
        | RouteKind::SessionApi(_) => (web::judge(route, limits, head), "answered here"),
    }
}

/// What stands behind a head, as long as it says.
fn body<'a>(request: &'a [u8], headers: &HeaderMap) -> &'a [u8] {
    let end = memchr::memmem::find(request, b"\r\n\r\n").map_or(request.len(), |at| at + 4);
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
    let behind = &request[end..];
    &behind[..length.unwrap_or(0).min(behind.len())]
}

/// What the body of an activity comes to, if it is there.
fn activity(
    doors: &Doors,
    (grant, bot): (&Grant, &BotRoute),
    body: &[u8],
    findings: &mut Vec<Finding>,
) -> Result<(), Refused> {
    let mut note = |passed, text: String| {
        findings.push(Finding {
            check: "activity",
            passed,
            text,
        });
    };
    if body.is_empty() {
        note(true, "not judged: there is no body here".to_owned());
        return Ok(());
    }
    match doors.bot.hear(grant, bot, body) {
        Ok(Heard::Ours(caller, _)) => {
            let person = caller.user().map_or("nobody", |person| person.as_str());
            let (kind, tenant) = (caller.kind().word(), caller.tenant());
            note(true, format!("{kind} of {person} in {tenant}"));
            Ok(())
        }
        Ok(Heard::Outsiders(outsider)) => {
            let tenant = outsider.tenant();
            note(
                false,
                format!("of another tenant, {tenant}, who is turned away"),
            );
            Err(Refused::Status(200))
        }
        Err(wrong) => {
            note(false, format!("{}: {}", wrong.reason, wrong.detail));
            Err(Refused::Status(wrong.reason.row().status.unwrap_or(500)))
        }
    }
}

/// A head, the client's address, and whether a hop brought it.
type Came<'a> = (&'a request::Parts, IpAddr, bool);

fn wanted<'a>(open: &'a Open, (head, peer, by_hop): Came<'a>) -> admission::Request<'a> {
    admission::Request {
        route: &open.route,
        head,
        peer,
        by_hop,
        certificate: None,
        now: Now::read(),
    }
}

/// Whether a publisher would have leave to post, or a page to ask; both ask without a credential.
/// Where neither is known the method was judged before.
fn leave(
    doors: &Doors,
    open: &Open,
    came: Came<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), Refused> {
    let headers = &came.0.headers;
    let given = || match &open.route.kind {
        RouteKind::EventGrid(events) => {
            preflight(&events.webhook_origins, headers)?;
            Ok("a publisher whose events are wanted")
        }
        RouteKind::VoiceLive
        | RouteKind::Relay
        | RouteKind::AcsMedia(_)
        | RouteKind::AcsCallback
        | RouteKind::CallApi(_)
        | RouteKind::SessionApi(_)
        | RouteKind::Http(_)
        | RouteKind::Bot(_)
        | RouteKind::Tickets(_)
        | RouteKind::Sessions(_)
        | RouteKind::Page(_)
        | RouteKind::Notify => {
            cors::preflight::<()>(&open.route, came.0.uri.path(), headers)?;
            Ok("a page that may ask")
        }
    };
    let glanced = doors.admission.glance(wanted(open, came));
    let allowed = glanced.map_err(Refusal::from).and_then(|()| given());
    findings.push(Finding {
        check: "leave",
        passed: allowed.is_ok(),
        text: match &allowed {
            Ok(text) => (*text).to_owned(),
            Err(refusal) => refusal.detail.to_owned(),
        },
    });
    match allowed {
        Ok(_) => Ok(()),
        Err(refusal) => Err(Refused::Status(refusal.status.as_u16())),
    }
}

/// What admission says, and what would be asked of upstreams.
async fn decide(
    doors: &Doors,
    open: &Open,
    came: Came<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(Grant, Vec<String>), Refused> {
    if open.route.enter.ways().contains(&Way::Certificate) {
        findings.push(Finding {
            check: "certificate",
            passed: true,
            text: "none: there is no TLS here to show one in, which this route asks for".to_owned(),
        });
    }
    let asked = wanted(open, came);
    let mut told = Told::somebody();
    let decided = doors.admission.decide(asked, &mut told).await;
    findings.extend(told.findings());
    let grant = decided.map_err(|denied| refused(&open.route, denied))?;
    let headers = HeaderMap::new();
    let target = match open.route.kind.bot() {
        // What an activity's URL says beside its path goes no further.
        Some(_) => came.0.uri.path().to_owned(),
        None => gateway::target(came.0, &open.route),
    };
    let through = Through {
        target: &target,
        headers: &headers,
        subprotocol: None,
    };
    let want = Want {
        through: Some(through),
        ..grant.want(&open.route.name, SessionId::random())
    };
    let upstreams = open.upstreams.iter();
    let upstreams = upstreams
        .map(|upstream| format!("{}: {}", upstream.name(), upstream.preview(want)))
        .collect();
    Ok((grant, upstreams))
}

/// Who would ask: the client's address, whether a hop that speaks HTTP brought it, and both in
/// words. A PROXY header cannot be told here: whom it would name is what `peer` must be.
fn client(
    doors: &Doors,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<(IpAddr, bool, String), &'static str> {
    let hops = doors.hops.as_ref();
    let by_hop = hop::at(hops, peer) == Some(Speak::Http);
    let client = hop::resolve(hops, peer.into(), by_hop, headers)?.ip;
    let how = match (client == peer, by_hop) {
        (_, false) => "who connects".to_owned(),
        (true, true) => "a hop that names nobody".to_owned(),
        (false, true) => format!("named by the hop {peer}"),
    };
    Ok((client, by_hop, format!("{client}, {how}")))
}

fn refused(route: &Route, denied: Denied) -> Refused {
    let refusal = Refusal::from(denied);
    match route.refuse {
        Refuse::Status => Refused::Status(refusal.status.as_u16()),
        Refuse::Close => Refused::Close(refusal.close_code()),
    }
}

/// The request as the listener reads it, or the status and the reason of its refusal.
async fn read(head: &[u8]) -> Result<Request<()>, (u16, &'static str)> {
    let deadline = Deadline::now() + Duration::from_secs(1);
    match head::read(head, deadline).await.1 {
        Ok(read) => parse(read).await.ok_or((400, "it is malformed")),
        Err(Unread::Refused(status, detail)) => Err((status.as_u16(), detail)),
        Err(Unread::Gone | Unread::Late) => Err((408, "it has no end: an empty line")),
    }
}

/// The request as hyper reads it; `None` if it does not.
async fn parse(read: Read) -> Option<Request<()>> {
    let parsed = Mutex::new(None);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        if let Ok(mut parsed) = parsed.lock() {
            *parsed = Some(request.map(|_| ()));
        }
        async { Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    // The other end stays open and silent, like a client that waits.
    let (near, _far) = tokio::io::duplex(64 * 1024);
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_headers(head::LINES_MAX)
        .max_buf_size(2 * head::HEAD_MAX)
        .serve_connection(TokioIo::new(Held::new(near, read)), service);
    let served = connection.await;
    drop(served);
    parsed.into_inner().ok().flatten()
}
