//! The far ends upstream: TLS or none, the upgrade, and the part that is played then. No path and no
//! credential is looked at. All frames that one read brought are answered in one write.

use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::orchestrator::Orchestrator;
use crate::socket::Stream;
use crate::{Result, echo, tls, voice};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest request head that is read before giving up on it.
const HEAD_MAX: usize = 32 << 10;
/// More than a TLS record holds, so that one read takes whatever one record brought.
const READ: usize = 64 << 10;

/// What is played on a connection.
#[derive(Clone, Copy)]
pub enum Part {
    Echo,
    /// Voice Live whose answer is what it heard.
    Voice,
    /// An orchestrator that speaks ACS and says again what it heard.
    Orchestrator,
}

pub struct Server {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    part: Part,
}

impl Server {
    /// With a certificate and its key, or without TLS.
    pub async fn bind(
        listen: SocketAddr,
        leaf: Option<(&Path, &Path)>,
        part: Part,
    ) -> Result<Server> {
        crate::loopback(&[listen])?;
        let config = leaf.map(|(certificate, key)| tls::server(certificate, key));
        Ok(Server {
            listener: TcpListener::bind(listen).await?,
            acceptor: config.transpose()?.map(TlsAcceptor::from),
            part,
        })
    }

    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Never returns. A connection that breaks is its own affair: the callers notice and count it.
    pub async fn serve(self) {
        loop {
            let Ok((socket, _)) = self.listener.accept().await else {
                // Out of descriptors: leave the running connections the time to end.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            let (acceptor, part) = (self.acceptor.clone(), self.part);
            tokio::spawn(async move {
                let _ = connection(acceptor, socket, part).await;
            });
        }
    }
}

async fn connection(acceptor: Option<TlsAcceptor>, socket: TcpStream, part: Part) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match acceptor {
        Some(acceptor) => Box::new(acceptor.accept(socket).await?),
        None => Box::new(socket),
    };
    let mut input = upgrade(&mut *stream).await?;
    let mut out = Vec::new();
    let mut orchestrator = Orchestrator::default();
    if let Part::Voice = part {
        voice::greet(&mut out);
    }
    loop {
        let open = match part {
            Part::Echo => echo::answer(&mut input, &mut out)?,
            Part::Voice => voice::answer(&mut input, &mut out)?,
            Part::Orchestrator => orchestrator.answer(&mut input, &mut out)?,
        };
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
            out.shrink_to(READ);
        }
        if !open {
            return Ok(stream.shutdown().await?);
        }
        input.reserve(READ);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Reads the request head and accepts it. Returns what came after it.
async fn upgrade(stream: &mut dyn Stream) -> Result<Vec<u8>> {
    let mut input = Vec::with_capacity(READ);
    let end = loop {
        if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if input.len() > HEAD_MAX || stream.read_buf(&mut input).await? == 0 {
            return Err("no whole request head".into());
        }
    };
    let head = std::str::from_utf8(&input[..end])?;
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim())
        .ok_or("no WebSocket key")?;
    let hash = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{GUID}").as_bytes(),
    );
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(hash)
    );
    stream.write_all(response.as_bytes()).await?;
    stream.flush().await?;
    input.drain(..end);
    Ok(input)
}
