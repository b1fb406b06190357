//! The operator's listener: metrics, probes and what is taken back, on loopback.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::doors::Doors;
use super::revoke;

/// Connections at a time; a scraper and some people need few.
const CONNECTIONS: usize = 64;
/// A connection that asks for nothing is closed after this.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longer than a body on loopback takes, and than the store may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Serves until the edge ends.
pub async fn serve(listener: TcpListener, doors: Arc<Doors>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = doors.drain.ending() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            doors.metrics.accept_errors.increment(1);
            tokio::time::sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            doors.metrics.limit_hit("admin_connections");
            continue;
        };
        let doors = doors.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request| async {
                let asked = timeout(ANSWER_WAIT, answer(&doors, request)).await;
                Ok::<_, Infallible>(asked.unwrap_or_else(|_| late()))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                () = doors.drain.ending() => {}
                // How an operator's connection ends concerns nobody.
                _ = connection => {}
            }
        });
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

async fn answer(doors: &Doors, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/revoke" | "/lift" | "/revocations" => {
            let (status, told) = revoke::answer(doors, request).await;
            respond(status, "application/json", format!("{told}\n"))
        }
        path if path == "/witness" || path.starts_with("/witness/") => {
            let (status, told) = doors
                .witness
                .answer(&request.into_parts().0, Instant::now());
            if status == StatusCode::TOO_MANY_REQUESTS {
                doors.metrics.limit_hit("witness");
            }
            respond(status, "application/json", format!("{told}\n"))
        }
        _ => look(doors, &request),
    }
}

fn look(doors: &Doors, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let not_ready = doors.not_ready();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, body) = match request.uri().path() {
        _ if !reads => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned()),
        "/metrics" => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            doors.metrics.render(),
        ),
        "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => {
            let status = match not_ready {
                Some(_) => StatusCode::SERVICE_UNAVAILABLE,
                None => StatusCode::OK,
            };
            (status, TEXT, format!("{}\n", not_ready.unwrap_or("ready")))
        }
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /metrics, /healthz, /readyz, /revocations, /revoke and /lift\n".to_owned(),
        ),
    };
    respond(status, kind, body)
}

fn late() -> Response<Full<Bytes>> {
    let text = "the request took too long\n".to_owned();
    respond(StatusCode::REQUEST_TIMEOUT, TEXT, text)
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
