//! Dials upstream: from an admitted request to an upgraded connection, or a reason why not.
//!
//! The URL is built from settings and validated values only; the credential goes in a header,
//! after the certificate was verified; headers of the client are never copied. An answer other
//! than a correct `101` is never a tunnel, and redirects are not followed.

pub mod fetch;
mod host;
mod tls;
pub mod voice_live;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::config;
use crate::error::Reason;
use crate::label::Label;
use crate::metrics;
use crate::secret::Secret;
use crate::ws::handshake;

pub use self::host::{Stream, set_options};
pub use self::tls::Unusable;
pub use self::voice_live::{About, Ask};

use self::host::Host;

/// An upgraded connection and what was read beyond its `101`.
pub struct Dialled {
    pub stream: Stream,
    pub early: Bytes,
    pub upstream: Label,
    /// TCP, TLS and upgrade.
    pub took: Duration,
}

/// Why an upstream cannot serve a session. The detail is for the log; it holds nothing that the
/// upstream sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    pub detail: &'static str,
    /// Status that the upstream answered with instead of `101`.
    pub status: Option<StatusCode>,
    /// It was the caller's own token that the upstream refused.
    pub by_token: bool,
}

impl Failure {
    fn new(reason: Reason, detail: &'static str) -> Failure {
        Failure {
            reason,
            detail,
            status: None,
            by_token: false,
        }
    }
}

/// One place to dial.
pub struct Upstream {
    settings: config::Upstream,
    host: Host,
    /// The resource's key, ready for its header.
    key: Option<HeaderValue>,
    metrics: metrics::Shared,
}

/// What a session wants of an upstream.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    pub ask: &'a Ask,
    /// The caller's own token, where it is meant for the upstream.
    pub token: Option<&'a Secret>,
}

impl Upstream {
    /// Prepares to dial: roots loaded, headers built.
    pub fn new(settings: config::Upstream, metrics: metrics::Shared) -> Result<Upstream, Unusable> {
        let host = Host::new(&settings.host, settings.port, settings.roots.as_ref())?;
        let key = match &settings.credential.key {
            None => None,
            Some(key) => Some(
                sensitive(key.expose())
                    .ok_or_else(|| Unusable::Credential(settings.name.clone()))?,
            ),
        };
        Ok(Upstream {
            settings,
            host,
            key,
            metrics,
        })
    }

    pub fn name(&self) -> &Label {
        &self.settings.name
    }

    /// Dials for a session, within this upstream's deadlines.
    ///
    /// Cancel-safe: dropping the future closes whatever was open.
    pub async fn dial(&self, want: Want<'_>) -> Result<Dialled, Failure> {
        let started = Instant::now();
        let total = Deadline::now() + self.settings.total;
        let dialled = timeout_at(total, self.connect_and_upgrade(want))
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

    async fn connect_and_upgrade(&self, want: Want<'_>) -> Result<(Stream, Bytes), Failure> {
        let deadline = Deadline::now() + self.settings.connect;
        match self.host.connect(deadline).await? {
            Stream::Plain(io) => {
                let (io, early) = self.upgrade(io, want).await?;
                Ok((Stream::Plain(io), early))
            }
            Stream::Tls(io) => {
                let (io, early) = self.upgrade(io, want).await?;
                Ok((Stream::Tls(io), early))
            }
        }
    }

    /// Asks for the upgrade and judges the answer.
    async fn upgrade<S>(&self, io: S, want: Want<'_>) -> Result<(S, Bytes), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let refused = |detail| Failure::new(Reason::UpstreamRefused, detail);
        let (request, key) = self.request(want)?;
        let by_token = request.headers().contains_key(header::AUTHORIZATION);
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
        judge(&response, &key).map_err(|failure| Failure {
            by_token: by_token && failure.reason == Reason::UpstreamUnauthorized,
            ..failure
        })?;
        let parts = match parts {
            Some(parts) => parts,
            None => connection
                .await
                .map_err(|_| refused("the connection failed after the 101"))?,
        };
        Ok((parts.io.into_inner(), parts.read_buf))
    }

    /// The request as it goes out, built from nothing, with the nonce that its answer must fit.
    fn request(&self, want: Want<'_>) -> Result<(Request<Empty<Bytes>>, HeaderValue), Failure> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = want.ask.target(&self.settings.api_versions);
        let (name, credential) = self.credential(want).ok_or(Failure::new(
            Reason::UpstreamUnauthorized,
            "there is no credential that it would take",
        ))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.authority().clone());
        headers.insert(name, credential);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let key = handshake::request_headers(headers);
        Ok((request, key))
    }

    /// The caller's token if there is one for this upstream, else the resource's key.
    fn credential(&self, want: Want<'_>) -> Option<(HeaderName, HeaderValue)> {
        if let (true, Some(token)) = (self.settings.credential.caller, want.token) {
            let bearer = Secret::new(format!("Bearer {}", token.expose()));
            return Some((header::AUTHORIZATION, sensitive(bearer.expose())?));
        }
        match want.ask.about {
            About::Model(_) => Some((API_KEY, self.key.clone()?)),
            About::Agent { .. } => None,
        }
    }

    /// The request that [`Upstream::dial`] would send, for people; credentials are masked.
    pub fn preview(&self, want: Want<'_>) -> String {
        let scheme = if self.settings.roots.is_some() {
            "wss"
        } else {
            "ws"
        };
        let authority = self.host.authority().to_str().unwrap_or_default();
        let target = want.ask.target(&self.settings.api_versions);
        let credential = match self.credential(want) {
            Some((name, _)) if name == API_KEY => "api-key: ***",
            Some(_) => "Authorization: Bearer *** (the caller's own)",
            None => "no credential, so nothing",
        };
        format!("{scheme}://{authority}{target} with {credential}")
    }
}

/// A header's value that nothing prints.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

const API_KEY: HeaderName = HeaderName::from_static("api-key");
const USER_AGENT: &str = concat!("tonegate/", env!("CARGO_PKG_VERSION"));

/// Longest head of an upstream's answer, and the most that is read beyond a `101` before the
/// relay takes over.
const ANSWER_MAX: usize = 32 * 1024;

/// Dials the first of `upstreams` that answers; what the last one said if none does.
///
/// All failures but a refusal of the caller's own token are tried again elsewhere: another
/// upstream has its own address, credential and quota. The caller gives at least one.
pub async fn dial_first(
    upstreams: &[Arc<Upstream>],
    want: Want<'_>,
) -> Result<Dialled, (Label, Failure)> {
    let mut last = None;
    for upstream in upstreams {
        match upstream.dial(want).await {
            Ok(dialled) => return Ok(dialled),
            // Whom Azure turned away is not let in elsewhere, least of all with our own key.
            Err(failure) if failure.by_token => return Err((upstream.name().clone(), failure)),
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
            (Reason::UpstreamUnauthorized, "it refused the credential")
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
        by_token: false,
    })
}
