//! Dialling: TCP, TLS, the upgrade, with a clock beside each.
//!
//! Owns the request and the judgement of its answer. Refuses to know what is said afterwards.

use super::turn::Pace;
use super::{Client, Error, Refused, Timeline};
use crate::sim::head;
use crate::sim::stream::{self, Stream};
use bytes::BytesMut;
use http::Uri;
use rustls::pki_types::ServerName;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The largest message taken: twice what the edge lets through.
const MESSAGE_MAX: usize = 32 << 20;

/// The most that is kept of an answer's body.
const BODY_MAX: usize = 64 * 1024;

/// Where to dial.
pub(in crate::sim) struct Target {
    host: String,
    port: u16,
    tls: bool,
    pub(in crate::sim) path: String,
    pub(in crate::sim) authority: String,
}

/// A connection, and when it stood.
pub(in crate::sim) struct Dialled {
    pub(in crate::sim) stream: Stream,
    tcp: Instant,
    tls: Option<Instant>,
}

impl Target {
    pub(in crate::sim) fn parse(url: &str) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|_| Error::Unusable("URL"))?;
        let tls = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            Some(_) | None => return Err(Error::Unusable("scheme")),
        };
        let authority = uri.authority().ok_or(Error::Unusable("host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            path: path.to_owned(),
            authority: authority.as_str().to_owned(),
        })
    }

    /// Connects; over TLS the server is verified against `roots_pem` and nothing else.
    pub(in crate::sim) async fn connect(&self, roots_pem: Option<&str>) -> Result<Dialled, Error> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        let tcp = Instant::now();
        let (stream, tls) = if self.tls {
            let roots = roots_pem.ok_or(Error::Unusable("no roots for TLS"))?;
            let connector = stream::connector(roots).map_err(|_| Error::Unusable("roots"))?;
            let name = ServerName::try_from(self.host.clone());
            let name = name.map_err(|_| Error::Unusable("host"))?;
            let session = connector.connect(name, socket).await?;
            let stream = Stream::Tls(Box::new(TlsStream::Client(session)));
            (stream, Some(Instant::now()))
        } else {
            (Stream::Plain(socket), None)
        };
        Ok(Dialled { stream, tcp, tls })
    }
}

pub(super) async fn dial(
    url: &str,
    headers: &[(&str, &str)],
    roots_pem: Option<&str>,
) -> Result<(Client, Timeline), Error> {
    let target = Target::parse(url)?;
    let start = Instant::now();
    let Dialled {
        mut stream,
        tcp,
        tls,
    } = target.connect(roots_pem).await?;
    let early = upgrade(&mut stream, &target, headers).await?;
    let upgrade = Instant::now();
    let security = stream.security();
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let early = early.to_vec();
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Client, Some(config)).await;
    let client = Client {
        socket,
        security,
        pace: Pace::AtOnce,
        configured: false,
        unanswered: Vec::new(),
    };
    let timeline = Timeline {
        start,
        tcp,
        tls,
        upgrade,
    };
    Ok((client, timeline))
}

/// Sends the upgrade and judges its answer. Returns what came behind the 101.
async fn upgrade(
    stream: &mut Stream,
    target: &Target,
    headers: &[(&str, &str)],
) -> Result<BytesMut, Error> {
    let key = generate_key();
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
        target.path, target.authority
    );
    for (name, value) in headers {
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(Error::Unusable("header"));
        }
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    let unlike = |error| match error {
        head::Error::Io(error) => Error::Io(error),
        head::Error::TooLong | head::Error::Malformed => Error::Handshake,
    };
    let answer = head::read(stream, &mut buffer).await.map_err(unlike)?;
    let answer = head::parse(&answer).map_err(unlike)?;
    let mut words = answer.start.splitn(3, ' ');
    let (Some("HTTP/1.1"), Some(status)) = (words.next(), words.next()) else {
        return Err(Error::Handshake);
    };
    let status: u16 = status.parse().map_err(|_| Error::Handshake)?;
    if status != 101 {
        let body = body(stream, buffer, &answer).await;
        return Err(Error::Refused(Box::new(Refused {
            status,
            headers: answer.headers,
            body,
        })));
    }
    // RFC 6455, section 4.1: a subprotocol that was not asked for fails the connection.
    let asked = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
    let agreed = answer.one("sec-websocket-accept") == Some(&*derive_accept_key(key.as_bytes()))
        && answer.says("upgrade", "websocket")
        && answer.says("connection", "upgrade")
        && answer.all("sec-websocket-extensions").next().is_none()
        && (asked || answer.all("sec-websocket-protocol").next().is_none());
    agreed.then_some(buffer).ok_or(Error::Handshake)
}

/// What there is of an answer's body: to its length, or to the end of the stream.
pub(in crate::sim) async fn body(
    stream: &mut Stream,
    mut buffer: BytesMut,
    answer: &head::Head,
) -> Vec<u8> {
    let length = answer
        .one("content-length")
        .and_then(|length| length.parse().ok());
    let wanted = length.unwrap_or(BODY_MAX).min(BODY_MAX);
    while buffer.len() < wanted {
        match stream.read_buf(&mut buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    buffer.truncate(wanted);
    buffer.to_vec()
}
