//! A caller's connection: TCP, TLS or none, upgrade, then frames.

use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Result;
use crate::frame::{self, CLOSE, Header, PONG};
use crate::tls::{self, Tickets};

/// Bytes to and fro, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// RFC 6455 section 1.3 gives this key and its answer as the example. It need not be secret here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const READ: usize = 64 << 10;
/// The load is repeatable, masks included; nobody is deceived by a mask on loopback.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Whom to call and what to say first.
#[derive(clap::Args, Clone)]
pub struct Target {
    /// Of the proxy, on this machine
    #[arg(long, value_name = "IP:PORT")]
    pub address: SocketAddr,
    /// What the upgrade asks for
    #[arg(
        long,
        default_value = "/voice-live/realtime?api-version=2026-07-15&model=sim-echo"
    )]
    pub path: String,
    /// A header of the upgrade request; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// PEM file with the authority that signed the target's certificate
    #[arg(long, value_name = "FILE", required_unless_present = "plain")]
    pub ca: Option<std::path::PathBuf>,
    /// Call without TLS: ws://
    #[arg(long, conflicts_with = "resume")]
    pub plain: bool,
    /// Resume the TLS sessions of earlier connections; fails if fewer than 95 of 100 were
    #[arg(long)]
    pub resume: bool,
}

/// The upgrade was answered with another status than 101.
#[derive(Debug)]
pub struct Refused(pub u16);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with HTTP status {}", self.0)
    }
}

impl std::error::Error for Refused {}

#[derive(Clone)]
pub struct Dialler(Arc<Line>);

struct Line {
    target: Target,
    config: Option<Arc<ClientConfig>>,
    tickets: Arc<Tickets>,
    resumed: AtomicU64,
}

impl Dialler {
    pub fn new(target: Target) -> Result<Dialler> {
        crate::loopback(&[target.address])?;
        let tickets = Arc::new(Tickets::default());
        let config = match &target.ca {
            Some(ca) if !target.plain => {
                Some(tls::client(ca, target.resume.then(|| tickets.clone()))?)
            }
            _ => None,
        };
        Ok(Dialler(Arc::new(Line {
            target,
            config,
            tickets,
            resumed: AtomicU64::new(0),
        })))
    }

    /// TLS sessions that were resumed so far.
    pub fn resumed(&self) -> u64 {
        self.0.resumed.load(Relaxed)
    }

    /// Connections before anything is measured: what the peers keep is there then, and, where
    /// sessions are to be resumed, a ticket for each of `connections` at once.
    pub async fn warm_up(&self, connections: u32) -> Result<()> {
        self.0.tickets.save(true);
        for _ in 0..=connections {
            self.dial().await?.close().await?;
            if !self.0.target.resume || self.0.tickets.count() >= 2 * connections as usize {
                break;
            }
        }
        self.0.tickets.save(false);
        Ok(())
    }

    pub async fn dial(&self) -> Result<Socket> {
        self.dial_to(&self.0.target.path, &self.0.target.headers)
            .await
    }

    /// The same to another path, with other headers.
    pub async fn dial_to(&self, path: &str, headers: &[String]) -> Result<Socket> {
        let socket = TcpStream::connect(self.0.target.address).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.0.config {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let stream = TlsConnector::from(config.clone())
                    .connect(name, socket)
                    .await?;
                if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                    self.0.resumed.fetch_add(1, Relaxed);
                }
                Box::new(stream)
            }
        };
        let mut socket = Socket {
            stream,
            input: Vec::new(),
            at: 0,
        };
        socket
            .upgrade(self.0.target.address.port(), path, headers)
            .await?;
        Ok(socket)
    }
}

pub struct Socket {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    /// How much of `input` was handed out.
    at: usize,
}

/// One message, a ping that wants its answer, or the end.
pub enum Event<'a> {
    Text(&'a [u8]),
    Ping(Vec<u8>),
    /// With this code, or without a close frame.
    Closed(Option<u16>),
}

impl Socket {
    async fn upgrade(&mut self, port: u16, path: &str, headers: &[String]) -> Result<()> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n",
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.send(request.as_bytes()).await?;
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await? {
                return Err("closed before an answer to the upgrade".into());
            }
        };
        let head = std::str::from_utf8(&self.input[..end])?;
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        match status.and_then(|status| status.parse().ok()) {
            Some(101) if head.contains(ACCEPT) => {}
            Some(101) | None => return Err("an answer that is none to the upgrade".into()),
            Some(status) => return Err(Refused(status).into()),
        }
        self.at = end;
        Ok(())
    }

    /// Sends everything. While the way is full it takes what comes back: an echo that nobody reads
    /// reads nobody. Not cancel-safe.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let (mut sent, mut hears) = (0, true);
        let all = poll_fn(|cx| {
            loop {
                let stream = Pin::new(&mut self.stream);
                let step = if sent < bytes.len() {
                    stream.poll_write(cx, &bytes[sent..])
                } else {
                    stream.poll_flush(cx).map_ok(|()| 0)
                };
                match step {
                    Poll::Ready(Ok(0)) if sent == bytes.len() => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => sent += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if hears => {
                        self.input.reserve(READ);
                        let mut read = pin!(self.stream.read_buf(&mut self.input));
                        hears = ready!(read.as_mut().poll(cx))? > 0;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        Ok(all.await?)
    }

    async fn fill(&mut self) -> Result<bool> {
        // Not each time: much may have come at once, and all of it would move.
        if self.at >= self.input.len() / 2 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        self.input.reserve(READ);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    /// What comes next. Cancel-safe: nothing is consumed until a frame is whole. Anything but a
    /// whole, unmasked frame of an expected kind is an error: the echo sends back what it got, and
    /// texts are what it got.
    pub async fn next(&mut self) -> Result<Event<'_>> {
        let header = loop {
            let header = Header::parse(&self.input[self.at..])?;
            match header.filter(|header| self.input.len() - self.at >= header.frame()) {
                Some(header) => break header,
                None if self.fill().await? => {}
                None => return Ok(Event::Closed(None)),
            }
        };
        let payload = self.at + header.length..self.at + header.frame();
        self.at = payload.end;
        match (header.first, header.mask) {
            (0x81, None) => Ok(Event::Text(&self.input[payload])),
            (0x88, None) => {
                let code = self.input[payload].first_chunk();
                Ok(Event::Closed(Some(
                    code.map_or(1005, |code| u16::from_be_bytes(*code)),
                )))
            }
            (0x89, None) => Ok(Event::Ping(self.input[payload].to_vec())),
            (first, mask) => {
                Err(format!("unexpected frame {first:#04x}, masked: {}", mask.is_some()).into())
            }
        }
    }

    pub async fn pong(&mut self, payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, PONG, payload, Some(MASK));
        self.send(&bytes).await
    }

    /// The next text, handed to `look`; pings are answered on the way. `None` at the end. Not
    /// cancel-safe: the answer to a ping may be half written.
    pub async fn text<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        loop {
            match self.next().await? {
                Event::Text(text) => return Ok(Some(look(text))),
                Event::Ping(payload) => self.pong(&payload).await?,
                Event::Closed(_) => return Ok(None),
            }
        }
    }

    /// Gives the read buffer back: an idle caller should cost the machine little.
    pub fn rest(&mut self) {
        self.input.drain(..self.at);
        self.input.shrink_to_fit();
        self.at = 0;
    }

    /// Says goodbye and waits for the answer.
    pub async fn close(mut self) -> Result<()> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, CLOSE, &1000u16.to_be_bytes(), Some(MASK));
        self.send(&bytes).await?;
        while self.text(|_| ()).await?.is_some() {}
        Ok(())
    }
}

/// Appends `text` as a client's frame.
pub fn text_frame(out: &mut Vec<u8>, text: &[u8]) {
    frame::write(out, frame::TEXT, text, Some(MASK));
}
