//! Dials upstream: from an admitted request to an upgraded connection, or a reason why not.
//!
//! The URL is built from settings and validated values only; the credential goes in a header,
//! after the certificate was verified; headers of the client are never copied. An answer other
//! than a correct `101` is never a tunnel, and redirects are not followed.

mod tls;
pub mod voice_live;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::config;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::ws::handshake;

pub use self::tls::Unusable;

/// An upgraded connection and what was read beyond its `101`.
pub struct Dialled {
    pub stream: Stream,
    pub early: Bytes,
    pub upstream: Label,
    /// TCP, TLS and upgrade.
    pub took: Duration,
}

/// With TLS or, on loopback and where written out, without.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why an upstream cannot serve a session. The detail is for the log; it holds nothing that the
/// upstream sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    pub detail: &'static str,
    /// Status that the upstream answered with instead of `101`.
    pub status: Option<StatusCode>,
}

impl Failure {
    fn new(reason: Reason, detail: &'static str) -> Failure {
        Failure {
            reason,
            detail,
            status: None,
        }
    }
}

/// One place to dial.
pub struct Upstream {
    settings: config::Upstream,
    tls: Option<tls::Connector>,
    /// The `Host` header.
    authority: HeaderValue,
    /// Marked sensitive, so that nothing prints it.
    credential: HeaderValue,
    /// Look-ups of the host's name that may run at a time.
    lookups: Arc<Semaphore>,
    metrics: metrics::Shared,
}

impl Upstream {
    /// Prepares to dial: roots loaded, headers built.
    pub fn new(settings: config::Upstream, metrics: metrics::Shared) -> Result<Upstream, Unusable> {
        let tls = match &settings.roots {
            Some(roots) => Some(tls::Connector::new(&settings.host, roots)?),
            None => None,
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let host = if settings.host.contains(':') {
            format!("[{}]", settings.host)
        } else {
            settings.host.clone()
        };
        let authority = if settings.port == default_port {
            host
        } else {
            format!("{host}:{}", settings.port)
        };
        let authority =
            HeaderValue::try_from(authority).map_err(|_| Unusable::Name(settings.name.clone()))?;
        let mut credential = HeaderValue::try_from(settings.key.expose())
            .map_err(|_| Unusable::Credential(settings.name.clone()))?;
        credential.set_sensitive(true);
        Ok(Upstream {
            settings,
            tls,
            authority,
            credential,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            metrics,
        })
    }

    pub fn name(&self) -> &Label {
        &self.settings.name
    }

    /// Dials for a session that asks for `model`, within this upstream's deadlines.
    ///
    /// Cancel-safe: dropping the future closes whatever was open.
    pub async fn dial(&self, model: &config::Model) -> Result<Dialled, Failure> {
        let started = Instant::now();
        let total = Deadline::now() + self.settings.total;
        let dialled = timeout_at(total, self.connect_and_upgrade(model))
            .await
            .unwrap_or(Err(Failure::new(
                Reason::UpstreamTimeout,
                "no answer to the upgrade in time",
            )));
        match dialled {
            Ok((stream, early)) => {
                let took = started.elapsed();
                self.metrics.dialled(self.name(), took);
                Ok(Dialled {
                    stream,
                    early,
                    upstream: self.name().clone(),
                    took,
                })
            }
            Err(failure) => {
                self.metrics.dial_failed(self.name(), failure.reason);
                Err(failure)
            }
        }
    }

    async fn connect_and_upgrade(&self, model: &config::Model) -> Result<(Stream, Bytes), Failure> {
        let deadline = Deadline::now() + self.settings.connect;
        let late = |_| Failure::new(Reason::UpstreamTimeout, "no connection in time");
        let socket = timeout_at(deadline, self.connect(deadline))
            .await
            .map_err(late)??;
        let Some(tls) = &self.tls else {
            let (io, early) = self.upgrade(socket, model).await?;
            return Ok((Stream::Plain(io), early));
        };
        let stream = timeout_at(deadline, tls.connect(socket))
            .await
            .map_err(late)?
            .map_err(|detail| Failure::new(Reason::UpstreamUnreachable, detail))?;
        let (io, early) = self.upgrade(Box::new(stream), model).await?;
        Ok((Stream::Tls(io), early))
    }

    /// Resolves the host and tries its addresses in order, each for its share of the time left.
    async fn connect(&self, deadline: Deadline) -> Result<TcpStream, Failure> {
        let unreachable = |detail| Failure::new(Reason::UpstreamUnreachable, detail);
        let addresses = self.addresses().await.map_err(unreachable)?;
        let mut failure = unreachable("the name has no address");
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Deadline::now());
            let share = left / (addresses.len() - i) as u32;
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    set_options(&socket);
                    return Ok(socket);
                }
                Ok(Err(_)) => failure = unreachable("the connection was refused or failed"),
                Err(_) => failure = Failure::new(Reason::UpstreamTimeout, "no connection in time"),
            }
        }
        Err(failure)
    }

    /// Asks the system's resolver, which blocks a thread. A look-up that hangs goes on after its
    /// caller has given up, so the permit goes with it and not with the caller.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, &'static str> {
        let permit = self.lookups.clone().acquire_owned().await;
        let permit = permit.map_err(|_| "the resolver is closed")?;
        let (host, port) = (self.settings.host.clone(), self.settings.port);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let addresses = (host.as_str(), port).to_socket_addrs().ok()?;
            Some(addresses.take(ADDRESSES_MAX).collect())
        })
        .await
        .ok()
        .flatten()
        .ok_or("the name does not resolve")
    }

    /// Asks for the upgrade and judges the answer.
    async fn upgrade<S>(&self, io: S, model: &config::Model) -> Result<(S, Bytes), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let refused = |detail| Failure::new(Reason::UpstreamRefused, detail);
        let (request, key) = self.request(model);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(ANSWER_MAX)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(io))
            .await
            .map_err(|_| refused("the connection ended before the request"))?;
        // The connection ends with the upgrade, and then gives the socket back together with
        // what it read beyond the 101.
        let mut connection = std::pin::pin!(connection.without_shutdown());
        let mut answer = std::pin::pin!(sender.send_request(request));
        let mut parts = None;
        let response: Response<Incoming> = loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    break answer.map_err(|_| refused("the answer is not HTTP, or none came"))?;
                }
                ended = &mut connection, if parts.is_none() => match ended {
                    Ok(ended) => parts = Some(ended),
                    // If there was an answer before the failure it has been delivered.
                    Err(_) => {
                        break answer
                            .await
                            .map_err(|_| refused("the answer is not HTTP, or none came"))?;
                    }
                }
            }
        };
        judge(&response, &key)?;
        let parts = match parts {
            Some(parts) => parts,
            None => connection
                .await
                .map_err(|_| refused("the connection failed after the 101"))?,
        };
        Ok((parts.io.into_inner(), parts.read_buf))
    }

    fn request(&self, model: &config::Model) -> (Request<Empty<Bytes>>, HeaderValue) {
        let target = voice_live::target(&self.settings.api_version, model);
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        headers.insert("api-key", self.credential.clone());
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let key = handshake::request_headers(headers);
        (request, key)
    }
}

const USER_AGENT: &str = concat!("tonegate/", env!("CARGO_PKG_VERSION"));

/// Name look-ups of one upstream at a time, and addresses of a name that are tried.
const LOOKUPS: usize = 4;
const ADDRESSES_MAX: usize = 8;

/// Longest head of an upstream's answer, and the most that is read beyond a `101` before the
/// relay takes over.
const ANSWER_MAX: usize = 32 * 1024;

/// Dials the first of `upstreams` that answers; what the last one said if none does.
///
/// All failures are tried again elsewhere: another upstream has its own address, credential and
/// quota. The caller gives at least one.
pub async fn dial_first(
    upstreams: &[Arc<Upstream>],
    model: &config::Model,
) -> Result<Dialled, (Label, Failure)> {
    let mut last = None;
    for upstream in upstreams {
        match upstream.dial(model).await {
            Ok(dialled) => return Ok(dialled),
            Err(failure) => last = Some((upstream.name().clone(), failure)),
        }
    }
    Err(last.expect("a route without upstreams does not start"))
}

fn judge(response: &Response<Incoming>, key: &HeaderValue) -> Result<(), Failure> {
    let status = response.status();
    let (reason, detail) = match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            return handshake::verify(response, key).map_err(|_| {
                Failure::new(
                    Reason::UpstreamRefused,
                    "its 101 does not answer our request",
                )
            });
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            (Reason::UpstreamUnauthorized, "it refused our credential")
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            (Reason::UpstreamBusy, "it is at capacity")
        }
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => {
            (Reason::UpstreamTimeout, "it ran out of time itself")
        }
        _ => (
            Reason::UpstreamRefused,
            "it answered something else than 101",
        ),
    };
    Err(Failure {
        reason,
        detail,
        status: Some(status),
    })
}

/// What every media socket gets: no delay for small frames, and an end for peers that are gone.
///
/// Failing to set an option is not worth a call; the deadlines of the session hold anyway.
pub fn set_options(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
}
