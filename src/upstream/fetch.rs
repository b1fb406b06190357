//! A small document over HTTP: no redirects, no proxies, bounded in time and size.
//!
//! The edge fetches what its operator or its platform named and nothing else: no address ever comes
//! out of a token or a request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant as Deadline, timeout_at};

use super::host::{Host, Stream};
use super::{ANSWER_MAX, USER_AGENT, Unusable};
use crate::config::Roots;
use crate::error::Reason;

/// From the first packet to the last byte.
const TOTAL: Duration = Duration::from_secs(10);
/// The largest document. Published key sets have some 10 KiB.
const DOCUMENT_MAX: usize = 1 << 20;

/// One document's place.
pub struct Document {
    host: Host,
    path: Uri,
}

/// How it is asked for.
#[derive(Default)]
pub struct Asking {
    pub method: Method,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// Why a document could not be had; for the log. It holds nothing that the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("the server cannot be reached: {0}")]
    Unreachable(&'static str),
    #[error("it took too long")]
    Late,
    #[error("the answer is not HTTP, or was cut")]
    Cut,
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than it may be")]
    TooLarge,
}

impl Document {
    /// Prepares to fetch an `https` URL; `None` if it is none.
    pub fn new(url: &str, roots: &Roots) -> Option<Result<Document, Unusable>> {
        Document::at(url, "https", Some(roots))
    }

    /// Prepares to fetch an `http` URL: the platform's own services on the machine have no other.
    pub fn plain(url: &str) -> Option<Result<Document, Unusable>> {
        Document::at(url, "http", None)
    }

    /// Prepares to fetch what a host has at this path; `None` if it is none.
    pub fn of(host: Host, path: &str) -> Option<Document> {
        let path = path.parse().ok()?;
        Some(Document { host, path })
    }

    fn at(url: &str, scheme: &str, roots: Option<&Roots>) -> Option<Result<Document, Unusable>> {
        let uri: Uri = url.parse().ok()?;
        if uri.scheme_str() != Some(scheme) || url.contains('@') {
            return None;
        }
        let name = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let path = uri.path_and_query()?.as_str().parse().ok()?;
        let usual = if roots.is_some() { 443 } else { 80 };
        let authority = uri.authority()?;
        let is_written = authority.as_str().len() > authority.host().len();
        let port = uri.port_u16().or((!is_written).then_some(usual))?;
        let host = Host::new(name, port, roots);
        Some(host.map(|host| Document { host, path }))
    }

    /// Fetches it.
    pub async fn fetch(&self) -> Result<Bytes, Failed> {
        self.ask(Asking::default()).await
    }

    /// Fetches it in another way than by a bare GET.
    pub async fn ask(&self, asking: Asking) -> Result<Bytes, Failed> {
        let deadline = Deadline::now() + TOTAL;
        let max = |status| (status == StatusCode::OK).then_some(DOCUMENT_MAX);
        let answer = send(&self.host, self.path.clone(), asking, max, deadline).await?;
        if answer.status != StatusCode::OK {
            return Err(Failed::Status(answer.status));
        }
        answer.body
    }
}

/// What a server said to one request.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As much of it as was wanted, whole or not at all.
    pub(super) body: Result<Bytes, Failed>,
}

/// Sends one request on a connection of its own and hears the answer, by `deadline`. `max` says how
/// long a body may be under a status; `None`: it is not read.
pub(super) async fn send(
    host: &Host,
    target: Uri,
    asking: Asking,
    max: impl Fn(StatusCode) -> Option<usize>,
    deadline: Deadline,
) -> Result<Answer, Failed> {
    let stream = host.connect(deadline).await;
    let stream = stream.map_err(|failure| {
        if failure.reason == Reason::UpstreamTimeout {
            Failed::Late
        } else {
            Failed::Unreachable(failure.detail)
        }
    })?;
    let mut request = Request::new(Full::new(asking.body));
    *request.method_mut() = asking.method;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.extend(asking.headers);
    headers.insert(header::HOST, host.authority().clone());
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let answer = match stream {
        Stream::Plain(io) => timeout_at(deadline, exchange(io, request, max)).await,
        Stream::Tls(io) => timeout_at(deadline, exchange(io, request, max)).await,
    };
    answer.unwrap_or(Err(Failed::Late))
}

pub(super) async fn exchange<S>(
    io: S,
    request: Request<Full<Bytes>>,
    max: impl Fn(StatusCode) -> Option<usize>,
) -> Result<Answer, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(io))
        .await
        .map_err(|_| Failed::Cut)?;
    let mut exchange = std::pin::pin!(async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| Failed::Cut)?;
        let (head, body) = response.into_parts();
        let body = match max(head.status) {
            Some(max) => whole(body, max).await,
            None => Ok(Bytes::new()),
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    });
    // What the connection has delivered before its end is still there after it.
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut exchange => return answer,
        _ = &mut connection => {}
    }
    exchange.await
}

async fn whole(body: Incoming, max: usize) -> Result<Bytes, Failed> {
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Failed::TooLarge),
        Err(_) => Err(Failed::Cut),
    }
}
