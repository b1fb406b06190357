//! The operator's listener: metrics and probes, what runs and how it went, and what is to be done.
//!
//! | path | methods | |
//! | --- | --- | --- |
//! | `/healthz`, `/readyz` | `GET` | [`status`]; one word, for whoever asks |
//! | `/metrics` | `GET` | [`status`] |
//! | `/status`, `/settings` | `GET` | [`status`] |
//! | `/sessions` | `GET` | [`sessions`] |
//! | `/sessions/{id}` | `GET`, `DELETE` | [`sessions`] |
//! | `/sessions/{id}/tail` | `GET` | [`tail`] |
//! | `/upstreams` | `GET` | [`upstreams`] |
//! | `/drain` | `POST` | [`drain`] |
//! | `/reload` | `POST` | [`reload`] |
//! | `/witness`, `/witness/{word}` | `POST`, `GET` | [`witness`] |
//! | `/revocations`, `/revoke`, `/lift` | `GET`, `POST`, `POST` | [`revoke`] |
//!
//! Who may ask is [`access`]'s business. Everything but the metrics and the two words is JSON.

mod access;
mod answer;
mod drain;
mod reload;
mod revoke;
pub(super) mod sessions;
mod status;
pub(super) mod tail;
mod upstreams;
mod witness;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use self::access::{Access, Needs};
use self::answer::{Body, wrong};
use super::Public;
use super::doors::InForce;
use super::pulse::Pulse;
use crate::admission::{Address, Permits, Slots};
use crate::ids::SessionId;
use crate::metrics::Work;
use crate::panics::contained;

/// Connections at a time; a scraper, some people and those who look on need few.
const CONNECTIONS: usize = 64;
/// Of them one address may have, beyond this machine: strangers leave places to those who may ask.
const PER_ADDRESS: usize = 8;
/// A connection that asks for nothing is closed after this, and so is one whose TLS handshake takes longer.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longer than a body on loopback takes, and than the store may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What the operator's listener needs.
pub struct Admin {
    doors: InForce,
    access: Access,
    /// It speaks TLS, as clients are spoken to.
    tls: bool,
    /// Places for clients' sockets, of which those are free that nobody has.
    connections: Permits,
    /// When the edge began.
    since: SystemTime,
}

impl Admin {
    /// Of an edge that begins now, with that listener for clients.
    pub fn beside(public: &Public, tls: bool) -> Admin {
        Admin {
            doors: public.doors.clone(),
            access: Access::default(),
            tls,
            connections: public.connections.clone(),
            since: SystemTime::now(),
        }
    }
}

/// Serves to the very end.
pub async fn serve(listener: &TcpListener, admin: &Arc<Admin>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let addresses = Slots::default();
    // The same for all generations.
    let (drain, metrics) = {
        let doors = admin.doors.now();
        (doors.drain.clone(), doors.metrics.clone())
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.finished() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, peer)) = accepted else {
            metrics.accept_errors.increment(1);
            tokio::time::sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let permit = permits.clone().try_acquire_owned().ok();
        let ip = peer.ip();
        // Whoever is on this machine is one address, and is who operates it.
        let most = if ip.is_loopback() {
            CONNECTIONS
        } else {
            PER_ADDRESS
        };
        let slot = addresses.take(Address::of(ip), most);
        let Some(held) = permit.zip(slot) else {
            metrics.limit_hit("admin_connections");
            continue;
        };
        let (admin, drain) = (admin.clone(), drain.clone());
        tokio::spawn(async move {
            let _held = held;
            let metrics = admin.doors.now().metrics.clone();
            let work = connection(&admin, socket, peer);
            tokio::select! {
                () = drain.finished() => {}
                _ = contained(&metrics, Work::Admin, work) => {}
            }
        });
    }
}

async fn connection(admin: &Admin, socket: TcpStream, peer: SocketAddr) {
    crate::upstream::set_options(&socket);
    if !admin.tls {
        return requests(admin, socket, peer).await;
    }
    let doors = admin.doors.now();
    // Who had a certificate at the start has one.
    let Some(acceptor) = &doors.tls else { return };
    let accepted = timeout(HEAD_WAIT, acceptor.accept(socket)).await;
    let Ok(Ok((stream, _))) = accepted else {
        return doors.metrics.tls_failures.increment(1);
    };
    // A tail lasts, and must not keep a generation of the settings.
    drop(doors);
    requests(admin, stream, peer).await;
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin>(admin: &Admin, io: S, peer: SocketAddr) {
    // A tail lasts; then the connection watches whether it is still taken.
    let (streams, streaming) = oneshot::channel::<Pulse>();
    let streams = Mutex::new(Some(streams));
    let service = service_fn(|request| async {
        let answered = timeout(ANSWER_WAIT, answer(admin, request, peer));
        let metrics = admin.doors.now().metrics.clone();
        let answer = match contained(&metrics, Work::Admin, answered).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => wrong(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
            None => wrong(StatusCode::INTERNAL_SERVER_ERROR, "the edge failed"),
        };
        if let Some(pulse) = answer.body().pulse()
            && let Some(streams) = lock(&streams).take()
        {
            // Whoever waits for it is this connection.
            let _ = streams.send(pulse);
        }
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(16 * 1024)
        // Nobody keeps a place by asking again and again.
        .keep_alive(false)
        .serve_connection(TokioIo::new(io), service);
    let untaken = async {
        match streaming.await {
            Ok(pulse) => pulse.stops().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        // How an operator's connection ends concerns nobody.
        _ = connection => {}
        () = untaken => admin.doors.now().metrics.limit_hit("tail_idle"),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a path is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    Health,
    Ready,
    Metrics,
    Status,
    Settings,
    Sessions,
    Session(SessionId),
    Tail(SessionId),
    Upstreams,
    Drain,
    Reload,
    Revocations,
    Revoke,
    Lift,
    Witness,
    Witnessed,
}

impl Page {
    /// The error says what is wrong with the path.
    fn of(path: &str) -> Result<Page, &'static str> {
        const NONE: &str = "there are /status, /settings, /sessions, /sessions/{id}, \
            /sessions/{id}/tail, /upstreams, /drain, /reload, /revocations, /revoke, /lift, /witness, /metrics, /healthz \
            and /readyz";
        const ID: &str = "the id of a session is 24 hexadecimal digits, as logs show them";
        let id = |id: &str| SessionId::from_hex(id).ok_or(ID);
        let mut parts = path.strip_prefix('/').ok_or(NONE)?.split('/');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        Ok(match parts {
            [Some("healthz"), None, ..] => Page::Health,
            [Some("readyz"), None, ..] => Page::Ready,
            [Some("metrics"), None, ..] => Page::Metrics,
            [Some("status"), None, ..] => Page::Status,
            [Some("settings"), None, ..] => Page::Settings,
            [Some("sessions"), None, ..] => Page::Sessions,
            [Some("sessions"), Some(session), None, _] => Page::Session(id(session)?),
            [Some("sessions"), Some(session), Some("tail"), None] => Page::Tail(id(session)?),
            [Some("upstreams"), None, ..] => Page::Upstreams,
            [Some("drain"), None, ..] => Page::Drain,
            [Some("reload"), None, ..] => Page::Reload,
            [Some("revocations"), None, ..] => Page::Revocations,
            [Some("revoke"), None, ..] => Page::Revoke,
            [Some("lift"), None, ..] => Page::Lift,
            [Some("witness"), None, ..] => Page::Witness,
            [Some("witness"), Some(_), None, _] => Page::Witnessed,
            _ => return Err(NONE),
        })
    }

    /// As an `Allow` header has it.
    fn methods(&self) -> &'static str {
        match self {
            Page::Session(_) => "GET, HEAD, DELETE",
            Page::Drain | Page::Reload | Page::Revoke | Page::Lift | Page::Witness => "POST",
            Page::Tail(_) | Page::Witnessed => "GET",
            Page::Health
            | Page::Ready
            | Page::Metrics
            | Page::Status
            | Page::Settings
            | Page::Sessions
            | Page::Upstreams
            | Page::Revocations => "GET, HEAD",
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Page::Health | Page::Ready => Needs::Nothing,
            Page::Metrics => Needs::Scrape,
            Page::Status
            | Page::Settings
            | Page::Sessions
            | Page::Session(_)
            | Page::Tail(_)
            | Page::Upstreams
            | Page::Drain
            | Page::Reload
            | Page::Revocations
            | Page::Revoke
            | Page::Lift
            | Page::Witness
            | Page::Witnessed => Needs::Operator,
        }
    }
}

async fn answer(admin: &Admin, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let page = Page::of(request.uri().path());
    let needs = page.as_ref().map_or(Needs::Operator, Page::needs);
    let (head, body) = request.into_parts();
    let doors = &*admin.doors.now();
    let live = &doors.generation.settings.live;
    let tokens = [live.admin_token, live.scrape_token];
    if let Err(refused) = admin.access.judge(&head, needs, tokens) {
        return refused.answer(&doors.metrics, peer);
    }
    let page = match page {
        Ok(page) => page,
        Err(detail) => return wrong(StatusCode::NOT_FOUND, detail),
    };
    let methods = page.methods();
    if !methods.split(", ").any(|method| head.method == *method) {
        return answer::not_so(methods);
    }
    let query = head.uri.query().unwrap_or_default();
    match page {
        Page::Health => status::health(),
        Page::Ready => status::ready(doors),
        Page::Metrics => status::metrics(doors),
        Page::Status => status::status(admin, doors),
        Page::Settings => status::settings(doors),
        Page::Sessions => sessions::list(&doors.registry, query),
        Page::Session(id) if head.method == Method::DELETE => sessions::end(&doors.registry, id),
        Page::Session(id) => sessions::one(&doors.registry, id),
        Page::Tail(id) => tail::answer(doors, id),
        Page::Upstreams => upstreams::answer(doors),
        Page::Drain => drain::answer(doors, &head, body).await,
        Page::Reload => reload::answer(doors, &head, body).await,
        Page::Revocations => revoke::list(doors),
        Page::Revoke => revoke::revoke(doors, &head, body).await,
        Page::Lift => revoke::lift(doors, &head, body).await,
        Page::Witness | Page::Witnessed => witness::answer(doors, &head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c17_a_path_is_one_of_those_there_are() {
        let id = SessionId::random();
        for (path, page) in [
            ("/sessions".to_owned(), Page::Sessions),
            (format!("/sessions/{id}"), Page::Session(id)),
            (format!("/sessions/{id}/tail"), Page::Tail(id)),
            ("/metrics".to_owned(), Page::Metrics),
        ] {
            assert_eq!(Page::of(&path), Ok(page), "{path}");
        }
        for path in [
            "",
            "/",
            "x",
            "/metrics/",
            "/sessions/",
            "/sessions/7f",
            "//metrics",
        ] {
            assert!(Page::of(path).is_err(), "{path}");
        }
        for path in [format!("/sessions/{id}/"), format!("/sessions/{id}/tail/x")] {
            assert!(Page::of(&path).is_err(), "{path}");
        }
    }
}
