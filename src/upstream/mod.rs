//! Dials upstream: from an admitted request to an upgraded connection, or a reason why not.
//!
//! The URL is built from settings and validated values only; the `credential` goes in a header,
//! after the certificate was verified; headers of the client are never copied. An answer other
//! than a correct `101` is never a tunnel, and redirects are not followed.

mod again;
pub mod app;
mod ask;
pub mod assertion;
mod bearer;
pub mod call_automation;
pub mod chain;
pub mod connector;
mod credential;
mod dials;
pub mod directory;
pub mod fetch;
pub mod graph;
mod host;
pub mod identity;
mod judge;
pub mod look;
mod names;
#[cfg(feature = "otlp")]
pub mod otlp;
mod own;
pub mod pii_detector;
mod relay;
mod tickets;
pub mod tls;
mod trace;
mod voice_live;
mod want;
pub mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::config::{self, Service};
use crate::error::Reason;
use crate::label::Label;
use crate::log::Throttle;
use crate::metrics;
use crate::ws::handshake;

pub use self::ask::{About, Ask, Generation, Transport};
pub use self::dials::Dials;
pub use self::host::{Host, Stream, set_options};
pub use self::tickets::tickets_dropped;
pub use self::tls::Unusable;
pub use self::want::{Caller, Through, Want};

use self::credential::{Shown, Wallet, Whose};
use self::identity::Identity;
use self::judge::judge;

/// An upgraded connection and what was read beyond its `101`.
pub struct Dialled {
    pub stream: Stream,
    pub early: Bytes,
    pub upstream: Label,
    /// TCP, TLS and upgrade.
    pub took: Duration,
    /// How long a session may last there, from the time at which the dial began.
    pub cap: Option<(Deadline, config::SessionCap)>,
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
    /// When to ask again, where that is known.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(reason: Reason, detail: &'static str) -> Failure {
        Failure {
            reason,
            detail,
            status: None,
            by_token: false,
            retry_after: None,
        }
    }
}

/// One place to dial.
pub struct Upstream {
    settings: config::Upstream,
    host: Host,
    wallet: Wallet,
    metrics: metrics::Shared,
    dials: dials::Latest,
}

impl Upstream {
    /// Prepares to dial: roots loaded, headers built.
    pub fn new(settings: config::Upstream, metrics: metrics::Shared) -> Result<Upstream, Unusable> {
        let host = Host::with_certificate(
            &settings.host,
            settings.port,
            settings.roots.as_ref(),
            settings.client.as_ref(),
        )?;
        let wallet = Wallet::new(&settings, &metrics)?;
        Ok(Upstream {
            settings,
            host,
            wallet,
            metrics,
            dials: dials::Latest::default(),
        })
    }

    /// The edge's own identity, if it has one here; whoever owns the upstream must run it.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.wallet.identity()
    }

    pub fn name(&self) -> &Label {
        &self.settings.name
    }

    /// What it was made of.
    pub fn settings(&self) -> &config::Upstream {
        &self.settings
    }

    /// Dials for a session, within this upstream's deadlines. Before it connects a second time, it asks
    /// whether it may `again`.
    ///
    /// Cancel-safe: dropping the future closes whatever was open.
    pub async fn dial(
        &self,
        want: Want<'_>,
        again: impl Future<Output = bool>,
    ) -> Result<Dialled, Failure> {
        let (started, begun) = (Instant::now(), Deadline::now());
        let total = begun + self.settings.total;
        let dialled = timeout_at(total, self.show_and_dial(want, again))
            .await
            .unwrap_or(Err(Failure::new(
                Reason::UpstreamTimeout,
                "no answer to the upgrade in time",
            )));
        match dialled {
            Ok((stream, early)) => {
                let took = started.elapsed();
                self.metrics.dialled(self.name(), took);
                self.dials.succeeded(took);
                Ok(Dialled {
                    stream,
                    early,
                    upstream: self.name().clone(),
                    took,
                    cap: self.settings.cap.map(|cap| (begun, cap)),
                })
            }
            Err(failure) => {
                self.metrics.dial_failed(self.name(), failure.reason);
                self.dials.failed(failure);
                Err(failure)
            }
        }
    }

    /// Dials with the credential that fits; if the upstream refuses a token of the edge's own, once
    /// more with a new one.
    async fn show_and_dial(
        &self,
        want: Want<'_>,
        again: impl Future<Output = bool>,
    ) -> Result<(Stream, Bytes), Failure> {
        let shown = self.wallet.show(want).await?;
        let dialled = self.connect_and_upgrade(want, shown.as_ref()).await;
        let (Err(failure), Some(shown)) = (&dialled, &shown) else {
            return dialled;
        };
        if failure.status != Some(StatusCode::UNAUTHORIZED) {
            return dialled;
        }
        match self.wallet.another(shown).await {
            Some(another) if again.await => self.connect_and_upgrade(want, Some(&another)).await,
            Some(_) | None => dialled,
        }
    }

    async fn connect_and_upgrade(
        &self,
        want: Want<'_>,
        shown: Option<&Shown>,
    ) -> Result<(Stream, Bytes), Failure> {
        let deadline = Deadline::now() + self.settings.connect;
        match self.host.connect(deadline).await? {
            Stream::Plain(io) => {
                let (io, early) = self.upgrade(io, want, shown).await?;
                Ok((Stream::Plain(io), early))
            }
            Stream::Tls(io) => {
                let (io, early) = self.upgrade(io, want, shown).await?;
                Ok((Stream::Tls(io), early))
            }
        }
    }

    /// Asks for the upgrade and judges the answer.
    async fn upgrade<S>(
        &self,
        io: S,
        want: Want<'_>,
        shown: Option<&Shown>,
    ) -> Result<(S, Bytes), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let refused = |detail| Failure::new(Reason::UpstreamRefused, detail);
        let (request, key) = self.request(want, shown)?;
        let by_token = shown.is_some_and(|shown| shown.whose == Whose::Caller);
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
        judge(&response, &key, self.subprotocol(want)).map_err(|failure| Failure {
            by_token: by_token && failure.reason == Reason::UpstreamUnauthorized,
            ..failure
        })?;
        let parts = match parts {
            Some(parts) => parts,
            None => connection
                .await
                .map_err(|_| refused("the connection failed after the 101"))?,
        };
        // What is left in hyper's buffer, if anything, without the 8 KiB that it lies in.
        let early = Bytes::copy_from_slice(&parts.read_buf);
        Ok((parts.io.into_inner(), early))
    }

    /// The request as it goes out, built from nothing, with the nonce that its answer must fit.
    fn request(
        &self,
        want: Want<'_>,
        shown: Option<&Shown>,
    ) -> Result<(Request<Empty<Bytes>>, HeaderValue), Failure> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.target(want).ok_or(Failure::new(
            Reason::UpstreamRefused,
            "it does not serve what was asked for",
        ))?;
        let headers = request.headers_mut();
        if let Service::Relay(to) = &self.settings.service {
            headers.extend(to.headers.iter().cloned());
            if to.identity_headers {
                relay::identify(headers, &want.caller);
            }
        }
        if let Some(name) = self.subprotocol(want) {
            let name = HeaderValue::try_from(name);
            headers.extend(name.map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
        }
        if let (Service::Http(app), Some(through)) = (&self.settings.service, want.through) {
            headers.extend(through.headers.clone());
            for (name, value) in &app.headers {
                headers.insert(name.clone(), value.clone());
            }
            if app.identity_headers {
                relay::identify(headers, &want.caller);
            }
        }
        headers.insert(header::HOST, self.host.authority().clone());
        if let Some(shown) = shown {
            headers.insert(shown.name.clone(), shown.value.clone());
        }
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        trace::tell(headers, want);
        let key = handshake::request_headers(headers);
        Ok((request, key))
    }

    fn target(&self, want: Want<'_>) -> Option<Uri> {
        match &self.settings.service {
            Service::VoiceLive(versions) => voice_live::target(want.ask, versions),
            Service::Relay(to) => relay::target(want.ask, to),
            Service::Http(app) => {
                let target = want.through.map_or("/", |through| through.target);
                format!("{}{target}", app.base).parse().ok()
            }
        }
    }

    fn subprotocol<'a>(&'a self, want: Want<'a>) -> Option<&'a str> {
        match &self.settings.service {
            Service::VoiceLive(_) => None,
            Service::Relay(to) => to.subprotocol.as_deref(),
            Service::Http(_) => want.through?.subprotocol?.to_str().ok(),
        }
    }

    /// The request that [`Upstream::dial`] would send, for people; credentials are masked.
    pub fn preview(&self, want: Want<'_>) -> String {
        let app = matches!(self.settings.service, Service::Http(_));
        let scheme = match (app, self.settings.roots.is_some()) {
            (true, true) => "https",
            (true, false) => "http",
            (false, true) => "wss",
            (false, false) => "ws",
        };
        let authority = self.host.authority().to_str().unwrap_or_default();
        let Some(target) = self.target(want) else {
            return "nothing: it does not serve what was asked for".to_owned();
        };
        let credential = self.wallet.preview(want);
        format!("{scheme}://{authority}{target} with {credential}")
    }
}

const USER_AGENT: &str = concat!("tonegate/", env!("CARGO_PKG_VERSION"));

/// Longest head of an upstream's answer, and the most that is read beyond a `101` before the
/// relay takes over.
const ANSWER_MAX: usize = 32 * 1024;

/// Warns that no upstream could serve a session of `route`; `name` is the last that was tried.
pub fn warn(throttle: &Throttle, route: &Label, name: &Label, failure: Failure) {
    if let Some(left_out) = throttle.pass(Instant::now()) {
        tracing::warn!(
            %route,
            upstream = %name,
            reason = %failure.reason,
            status = failure.status.map(|status| status.as_u16()),
            detail = failure.detail,
            left_out,
            "upstream failed"
        );
    }
}
