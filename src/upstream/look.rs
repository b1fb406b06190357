//! What is found at a place that the edge would dial, for `tonegate doctor`: addresses, a connection, a
//! TLS session with what its certificate is worth, an answer.
//!
//! The way there is that of `Host`, the judge of certificates is that of `tls`. What differs is that
//! here failures are told apart, where a session needs to know only that there is one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use rustls::{AlertDescription, Error as TlsError, ProtocolVersion, pki_types::ServerName};
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::TlsConnector;

use super::USER_AGENT;
use super::chain::{Flaw, Recorder, ends};
use super::fetch::{self, Asking, Failed};
use super::host::{Host, Stream};
use crate::config::{Identity, Roots};
use crate::error::Reason;
use crate::ws::handshake;

/// The longest answer that is read: a problem document has some hundred bytes, an error page some KiB.
const BODY_MAX: usize = 64 * 1024;

/// Somewhere that the edge dials.
#[derive(Clone, Debug)]
pub struct Place {
    pub host: String,
    pub port: u16,
    /// `None`: plain text.
    pub roots: Option<Roots>,
    /// What is shown where it asks for a certificate.
    pub client: Option<Identity>,
    /// Whether HTTP is spoken there.
    pub http: bool,
}

/// What was found at one.
#[derive(Clone, Debug)]
pub struct Seen {
    /// TCP alone.
    pub connected: Duration,
    /// `None`: plain text.
    pub tls: Option<Session>,
}

/// A TLS session that is as it should be.
#[derive(Clone, Debug)]
pub struct Session {
    /// TLS alone.
    pub took: Duration,
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// When the certificate ends, where that can be read.
    pub ends: Option<SystemTime>,
    /// Certificates that the peer sent.
    pub sent: usize,
}

/// Why nobody can be talked to there. Nothing of it is the peer's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The name does not resolve.
    Name,
    /// What took too long.
    Late(&'static str),
    /// Nobody listens, or the network says no.
    Refused,
    /// It speaks no TLS that the edge does: it is older than 1.2.
    Old,
    Certificate(Flaw),
    /// It wants a certificate of ours, or another one.
    Client,
    /// What it says is no TLS.
    NoTls,
    /// It ended the connection.
    Cut,
    /// Something else in the TLS handshake.
    Tls,
    /// The place itself cannot be used.
    Place,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Empty if it is too long.
    pub body: Bytes,
}

/// All addresses of a name, as a dial would try them.
pub async fn addresses(host: &str, port: u16, until: Deadline) -> Result<Vec<SocketAddr>, Fault> {
    let host = Host::new(host, port, None).map_err(|_| Fault::Place)?;
    match timeout_at(until, host.addresses()).await {
        Ok(Ok(found)) => Ok(found.to_vec()),
        Ok(Err(_)) => Err(Fault::Name),
        Err(_) => Err(Fault::Late("the resolver")),
    }
}

/// Connects, with TLS where the place has it, and looks.
pub async fn look(place: &Place, until: Deadline) -> Result<Seen, Fault> {
    let begun = Deadline::now();
    let host = Host::new(&place.host, place.port, None).map_err(|_| Fault::Place)?;
    let late = |_| Fault::Late("a connection");
    let socket = timeout_at(until, host.tcp(until)).await.map_err(late)?;
    let socket = socket.map_err(|failure| of_host(failure.reason, failure.detail))?;
    let connected = begun.elapsed();
    let Some(roots) = &place.roots else {
        return Ok(Seen {
            connected,
            tls: None,
        });
    };
    let recorder = Arc::new(Recorder::new(roots).map_err(|_| Fault::Place)?);
    let client = place.client.as_ref();
    let mut config = recorder.client_config(client).map_err(|_| Fault::Place)?;
    if place.http {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| Fault::Place)?;
    let begun = Deadline::now();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, socket);
    let shaken = timeout_at(until, shaken).await;
    let shaken = shaken.map_err(|_| Fault::Late("the TLS handshake"))?;
    let session = shaken.map_err(|error| of_tls(&error, &recorder))?;
    let version = match session.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(_) | None => "1.2",
    };
    let chain = recorder.chain();
    Ok(Seen {
        connected,
        tls: Some(Session {
            took: begun.elapsed(),
            version,
            ends: ends(&chain),
            sent: chain.len(),
        }),
    })
}

fn of_host(reason: Reason, detail: &str) -> Fault {
    if reason == Reason::UpstreamTimeout {
        return Fault::Late("a connection");
    }
    match detail.starts_with("the name") {
        true => Fault::Name,
        false => Fault::Refused,
    }
}

fn of_tls(error: &std::io::Error, recorder: &Recorder) -> Fault {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    match tls {
        Some(TlsError::InvalidCertificate(what)) => Fault::Certificate(recorder.flaw(what)),
        Some(TlsError::AlertReceived(AlertDescription::ProtocolVersion))
        | Some(TlsError::PeerIncompatible(_)) => Fault::Old,
        Some(TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA,
        )) => Fault::Client,
        Some(TlsError::InvalidMessage(_)) => Fault::NoTls,
        Some(_) => Fault::Tls,
        None => Fault::Cut,
    }
}

/// What the clock of a peer says, and how long it took to say so: the `Date` of whatever it answers to
/// a GET of `target`.
pub async fn date(
    place: &Place,
    target: &str,
    until: Deadline,
) -> Result<Option<(SystemTime, Duration)>, Fault> {
    let host = whole(place)?;
    let target: Uri = target.parse().map_err(|_| Fault::Place)?;
    let begun = Deadline::now();
    let answer = fetch::send(&host, target, Asking::default(), |_| None, until).await;
    let answer = answer.map_err(failed)?;
    let date = answer.headers.get(header::DATE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Ok(date.map(|date| (date, begun.elapsed())))
}

/// Asks for a WebSocket with these headers, and hears the answer, by `until`. The connection ends with
/// it, whatever it is.
pub async fn upgrade(
    place: &Place,
    target: &str,
    headers: &[(HeaderName, HeaderValue)],
    until: Deadline,
) -> Result<Answered, Fault> {
    let host = whole(place)?;
    let stream = host.connect(until).await;
    let stream = stream.map_err(|failure| of_host(failure.reason, failure.detail))?;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = target.parse().map_err(|_| Fault::Place)?;
    let own = request.headers_mut();
    own.extend(headers.iter().cloned());
    own.insert(header::HOST, host.authority().clone());
    own.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    handshake::request_headers(own);
    let most = |_| Some(BODY_MAX);
    let answer = match stream {
        Stream::Plain(io) => timeout_at(until, fetch::exchange(io, request, most)).await,
        Stream::Tls(io) => timeout_at(until, fetch::exchange(io, request, most)).await,
    };
    let answer = answer.unwrap_or(Err(Failed::Late)).map_err(failed)?;
    Ok(Answered {
        status: answer.status,
        headers: answer.headers,
        body: answer.body.unwrap_or_default(),
    })
}

fn whole(place: &Place) -> Result<Host, Fault> {
    let Place { host, port, .. } = place;
    let (roots, client) = (place.roots.as_ref(), place.client.as_ref());
    Host::with_certificate(host, *port, roots, client).map_err(|_| Fault::Place)
}

fn failed(failed: Failed) -> Fault {
    match failed {
        Failed::Unreachable(_) => Fault::Refused,
        Failed::Late => Fault::Late("an answer"),
        Failed::Cut | Failed::Status(_) | Failed::TooLarge => Fault::Cut,
    }
}
