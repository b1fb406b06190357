//! The strict echo: each frame goes back with its opcode and FIN bit, unmasked, in order. It looks
//! at no path and no credential. All frames that one read brought leave in one write.

use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::frame::{self, CLOSE, Header, PING, PONG};
use crate::{Result, tls};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest request head that is read before giving up on it.
const HEAD_MAX: usize = 32 << 10;
/// More than a TLS record holds, so that one read takes whatever one record brought.
const READ: usize = 64 << 10;

pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub async fn bind(certificate: &Path, key: &Path, listen: SocketAddr) -> Result<Server> {
        Ok(Server {
            listener: TcpListener::bind(listen).await?,
            acceptor: TlsAcceptor::from(tls::server(certificate, key)?),
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
            let acceptor = self.acceptor.clone();
            tokio::spawn(async move {
                let _ = connection(acceptor, socket).await;
            });
        }
    }
}

async fn connection(acceptor: TlsAcceptor, socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    let mut input = upgrade(&mut stream).await?;
    let mut out = Vec::new();
    loop {
        let open = answer(&mut input, &mut out)?;
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
async fn upgrade(stream: &mut TlsStream<TcpStream>) -> Result<Vec<u8>> {
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

/// Moves all whole frames from `input` to `out`; the rest stays. False after a close.
fn answer(input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
    let mut at = 0;
    let mut open = true;
    while open {
        let Some(header) = Header::parse(&input[at..])? else {
            break;
        };
        if input.len() - at < header.frame() {
            break;
        }
        let mask = header.mask.ok_or("an unmasked frame from a client")?;
        let first = match header.opcode() {
            PING => (header.first & !PING) | PONG,
            _ => header.first,
        };
        if header.opcode() != PONG {
            frame::write_header(out, first, header.payload, None);
            let start = out.len();
            out.extend_from_slice(&input[at + header.length..at + header.frame()]);
            frame::apply(mask, &mut out[start..]);
        }
        open = header.opcode() != CLOSE;
        at += header.frame();
    }
    input.drain(..at);
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a stream of frames is cut, the same bytes go back.
    #[test]
    fn every_cut_gives_the_same_answer() {
        let mut sent = Vec::new();
        let mut expected = Vec::new();
        for (opcode, back, text) in [
            (1, 1, "first"),
            (2, 2, ""),
            (9, 10, "ping"),
            (0, 0, "part"),
            (8, 8, "\u{3}\u{e8}"),
        ] {
            frame::write(&mut sent, opcode, text.as_bytes(), Some([9, 8, 7, 6]));
            frame::write(&mut expected, back, text.as_bytes(), None);
        }
        for cut in 0..=sent.len() {
            let mut input = sent[..cut].to_vec();
            let mut out = Vec::new();
            let open = answer(&mut input, &mut out).expect("sound");
            assert_eq!(open, cut != sent.len());
            if open {
                input.extend_from_slice(&sent[cut..]);
                assert!(!answer(&mut input, &mut out).expect("sound"));
            }
            assert_eq!((out, input.len()), (expected.clone(), 0));
        }
    }
}
